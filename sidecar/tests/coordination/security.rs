//! The Raft port between processes: keys that differ, certificates, rotation while the group works, strangers.

use std::io::{Read, Write};
use std::net::TcpStream;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::caller::{Caller, leader, stats};
use super::groups::{start, three};
use super::support::{Agent, Directory, Kind, PATIENCE, Rpc, Value, eventually};

const FIRST: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SECOND: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

#[test]
fn keys_protect_the_group_and_can_be_rotated_while_it_works() {
    let directory = Directory::fresh();
    let agents = three(&directory, &[&format!("-encrypt={FIRST}")]);
    let mut caller = Caller::register(&agents[1]);
    let mut number = 0;
    let mut work = |what: &str| {
        number += 1;
        caller.put("k", &format!("{number}"));
        assert_eq!(caller.get("k"), Some(number.to_string()), "{what}");
    };
    work("before");
    for (command, key) in [("install-key", SECOND), ("use-key", SECOND), ("remove-key", FIRST)] {
        change_keys(&mut agents[0].rpc(), command, key);
        work(command);
    }
    leader(&agents.iter().collect::<Vec<_>>());
    eventually("the quorum is there", || match stats(&agents[2])["quorum"].as_str() {
        "ok" => Ok(()),
        other => Err(other.to_owned()),
    });
}

/// Repeats a change, which does no harm, until every member has answered in time.
fn change_keys(rpc: &mut Rpc, command: &str, key: &str) {
    eventually(&format!("{command} reaches everybody"), || {
        rpc.ask(command, Some(Value::map([("Key", Value::text(key))]))).map(drop)
    });
}

#[test]
fn an_open_port_is_told_of_and_strangers_are_named() {
    let directory = Directory::fresh();
    let agent = start(&directory, "open", &[]);
    agent.wait_for_line("is open: whoever reaches it can take part in the group");
    for (said, heard) in [("GET / HTTP/1.1\r\n\r\n", "it speaks HTTP"), ("FMN\x01", "this node uses no protection")] {
        let mut stranger = TcpStream::connect((agent.address.ip(), 4321)).unwrap();
        stranger.set_read_timeout(Some(PATIENCE)).unwrap();
        stranger.write_all(said.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stranger.read_to_end(&mut answer);
        agent.wait_for_line(heard);
    }
    Caller::register(&agent).put("k", "v");
}

#[test]
fn a_node_with_another_key_is_refused_on_the_raft_port() {
    let directory = Directory::fresh();
    let ours = start(&directory, "ours", &[&format!("-encrypt={FIRST}")]);
    Caller::register(&ours).put("k", "v");
    // A recording of nothing: the first message of a caller with another key is 48 bytes that nobody can read.
    let mut stranger = TcpStream::connect((ours.address.ip(), 4321)).unwrap();
    stranger.set_read_timeout(Some(PATIENCE)).unwrap();
    stranger.write_all(&[b"FMN\x01\x00\x30".as_slice(), &[7; 48]].concat()).unwrap();
    let mut answer = [0; 4];
    stranger.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"FM!K");
    ours.wait_for_line("have no gossip key in common");
    let said = ours.text();
    assert!(!said.contains("is open: "), "{said}");
    assert!(!said.contains(FIRST));
}

/// An authority and the flags of nodes whose certificates it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn flags(&self, directory: &Directory, name: &str) -> [String; 3] {
        let key = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let files = [("ca", self.pem.clone()), ("cert", signed.pem()), ("key", key.serialize_pem())];
        files.map(|(kind, text)| {
            let path = directory.file(&format!("{name}-{kind}.pem"));
            std::fs::write(&path, text).unwrap();
            format!("-raft-tls-{kind}={}", path.display())
        })
    }
}

#[test]
fn certificates_protect_the_group_and_those_who_only_forward() {
    let (directory, authority) = (Directory::fresh(), Authority::new());
    let flags = authority.flags(&directory, "node");
    let agents = three(&directory, &flags.each_ref().map(String::as_str));
    let join = format!("-join={}", agents[0].gossip());
    let [ca, cert, key] = authority.flags(&directory, "plain");
    let plain = Agent::start(Kind::Folkmoot, "plain", &["-profile=local", &join, &ca, &cert, &key]);
    let mut caller = Caller::register(&plain);
    caller.put("k", "v");
    assert_eq!(caller.moved_to(&agents[2]).get("k").as_deref(), Some("v"));
}

#[test]
fn a_certificate_of_another_authority_is_refused_and_told() {
    let directory = Directory::fresh();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let flags = ours.flags(&directory, "ours");
    let group = start(&directory, "ours", &flags.each_ref().map(String::as_str));
    Caller::register(&group).put("k", "v");
    let join = format!("-join={}", group.gossip());
    let [ca, cert, key] = theirs.flags(&directory, "theirs");
    let stranger = Agent::start(Kind::Folkmoot, "stranger", &["-profile=local", &join, &ca, &cert, &key]);
    let body = Value::map([("TTL", Value::Int(60_000)), ("Timeout", Value::Int(500))]);
    // Until it has heard of the group by gossip it has nobody to call.
    eventually("the stranger is told why", || {
        assert!(stranger.rpc().call("client-register", Some(body.clone())).is_err());
        let told = stranger.has_line_from(0, "its certificate was not signed by the authority in -raft-tls-ca");
        if told { Ok(()) } else { Err(stranger.text()) }
    });
    group.wait_for_line("refused a connection to the Raft port from");
}
