//! What the running agent and the members it knows tell: keys, names, versions, and whether each answers from here.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use folkmoot_client::{Client, Member, Text};
use folkmoot_serf::NodeName;
use folkmoot_serf::memberlist::Keyring;
use tokio::task::JoinSet;

use super::ping::{self, Answer};
use crate::commands::findings::Findings;
use crate::go_base64;
use crate::limits::DOCTOR_PINGS;

/// The running agent, as far as the checks need it.
pub(super) struct Agent {
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) encrypted: bool,
}

/// How gossip can be spoken with the members.
pub(super) enum Speech {
    /// With these keys; none: in plaintext.
    With(Keyring),
    /// The cluster is encrypted and we have no key.
    Unknown,
}

/// Compares the keys of the settings with those of the cluster.
pub(super) async fn keys(agent: &Agent, configured: Keyring, findings: &mut Findings) -> Speech {
    match (agent.encrypted, configured.primary()) {
        (false, None) => {
            findings.well("keys", "gossip is not encrypted, and the settings have no key for it");
            Speech::With(configured)
        }
        (false, Some(_)) => {
            let seen = "the settings have a key, but the agent that runs does not encrypt";
            findings.wrong("keys", seen, "restart the agent with these settings, and every other member too");
            Speech::With(Keyring::default())
        }
        (true, None) => {
            let seen = "the cluster is encrypted and no key was given: UDP and TCP pings are not checked";
            findings.note("keys", seen, "give -encrypt, -keyring-file or the agent's -config-file");
            Speech::Unknown
        }
        (true, Some(primary)) => {
            match agent.client.list_keys().await {
                Ok(listed) => {
                    let known = listed.keys.unwrap_or_default();
                    let is_ours = |key: &Text| {
                        go_base64::decode(key.as_bytes()).is_ok_and(|decoded| decoded.as_slice() == &primary[..])
                    };
                    judge_keys(&known, listed.num_nodes, &is_ours, findings);
                }
                Err(error) => {
                    let change = "run `folkmoot keys -list`; install the missing key where a member lacks it";
                    findings.wrong("keys", format!("not every member told its keys: {error}"), change);
                }
            }
            Speech::With(configured)
        }
    }
}

fn judge_keys(known: &BTreeMap<Text, i64>, nodes: i64, is_ours: &dyn Fn(&Text) -> bool, findings: &mut Findings) {
    match known.iter().find(|(key, _)| is_ours(key)) {
        None => findings.wrong(
            "keys",
            "the key of the settings is not one of the cluster's",
            "set -encrypt or the keyring file to the key that the other members have",
        ),
        Some((_, count)) if *count < nodes => findings.wrong(
            "keys",
            format!("the key of the settings is at {count} of {nodes} members"),
            "install it everywhere: `folkmoot keys -install=KEY`",
        ),
        Some(_) => findings.well("keys", "every member has the key of the settings"),
    }
}

/// Names, addresses and versions of the list.
pub(super) fn list(agent: &Agent, wanted_name: Option<&str>, members: &[Member], findings: &mut Findings) {
    if let Some(wanted) = wanted_name.filter(|wanted| *wanted != agent.name) {
        let seen = format!("the settings name this node '{wanted}', the agent that runs is '{}'", agent.name);
        findings.wrong("name", seen, "restart the agent with these settings, or point -rpc-addr at the right one");
    }
    let alive: Vec<&Member> = members.iter().filter(|member| member.status == "alive").collect();
    let mut by_address: BTreeMap<SocketAddr, Vec<String>> = BTreeMap::new();
    for member in &alive {
        if let Some(address) = address(member) {
            by_address.entry(address).or_default().push(member.name.to_string_lossy().into_owned());
        }
    }
    for (address, names) in by_address.iter().filter(|(_, names)| names.len() > 1) {
        let seen = format!("{} are all said to be at {address}", names.join(" and "));
        findings.wrong("name", seen, "give each node its own address; force-leave the names that are gone");
    }
    let several_machines = by_address.keys().any(|address| !address.ip().is_loopback());
    for (address, names) in &by_address {
        let name = names.join(", ");
        if address.ip().is_unspecified() || (several_machines && address.ip().is_loopback()) {
            let seen = format!("{name} advertises {address}, where other machines cannot find it");
            findings.wrong("address", seen, "start it with -advertise set to an address that all members reach");
        }
    }
    versions(&alive, findings);
}

fn versions(alive: &[&Member], findings: &mut Findings) {
    let lowest = alive.iter().map(|member| member.delegate_max).min().unwrap_or_default();
    let mut well = true;
    for member in alive.iter().filter(|member| member.delegate_cur > lowest) {
        let (name, current) = (member.name.to_string_lossy(), member.delegate_cur);
        let seen = format!("{name} speaks Serf protocol {current}, but a member understands only up to {lowest}");
        findings.wrong("versions", seen, format!("upgrade that member, or start {name} with -protocol={lowest}"));
        well = false;
    }
    if well {
        findings.well("versions", format!("the Serf protocols of {} alive members fit together", alive.len()));
    }
}

fn address(member: &Member) -> Option<SocketAddr> {
    let ip = match member.addr.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(&member.addr[..]).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(&member.addr[..]).ok()?).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, member.port))
}

/// Pings every member that is alive or failed, a few at a time.
pub(super) async fn reach(members: &[Member], speech: &Speech, findings: &mut Findings) {
    let Speech::With(keyring) = speech else { return };
    let asked: Vec<&Member> =
        members.iter().filter(|member| member.status == "alive" || member.status == "failed").collect();
    for some in asked.chunks(DOCTOR_PINGS) {
        let mut pings = JoinSet::new();
        for (index, member) in some.iter().enumerate() {
            let name = member.name.to_string_lossy().into_owned();
            let failed = member.status == "failed";
            let Some(to) = address(member) else {
                findings.wrong("address", format!("{name} has no address"), "restart it with -advertise");
                continue;
            };
            let keyring = keyring.clone();
            let node = NodeName(member.name.clone());
            pings.spawn(async move {
                let (udp, tcp) = tokio::join!(ping::udp(to, &node, &keyring), ping::tcp(to, &node, &keyring));
                // Whoever is there under another name answers to no name.
                let other = udp != Answer::Acknowledged
                    && tcp != Answer::Acknowledged
                    && ping::udp(to, &NodeName::default(), &keyring).await == Answer::Acknowledged;
                (index, Reached { name, to, failed, udp, tcp, other })
            });
        }
        let mut reached = pings.join_all().await;
        reached.sort_by_key(|(index, _)| *index);
        reached.iter().for_each(|(_, reached)| reached.judge(!keyring.is_empty(), findings));
    }
}

struct Reached {
    name: String,
    to: SocketAddr,
    /// The agent takes it for failed.
    failed: bool,
    udp: Answer,
    tcp: Answer,
    /// Somebody answers there who has another name.
    other: bool,
}

impl Reached {
    fn judge(&self, encrypted: bool, findings: &mut Findings) {
        let Self { name, to, failed, udp, tcp, other } = self;
        let port = to.port();
        match (udp, tcp) {
            (Answer::Acknowledged, Answer::Acknowledged) if *failed => findings.wrong(
                "reach",
                format!("{name} at {to} answers from here, but the agent takes it for failed"),
                format!("let the two talk: UDP and TCP port {port} between the agent's machine and {to}"),
            ),
            (Answer::Acknowledged, Answer::Acknowledged) => {
                findings.well("reach", format!("{name} at {to} answers by UDP and by TCP"));
            }
            (Answer::Acknowledged, Answer::ConnectedOnly | Answer::Silent(_)) => findings.wrong(
                "reach",
                format!("only UDP reaches {name} at {to}: TCP {}", tcp.words()),
                format!("open TCP port {port} to it, in firewalls and port mappings: joins and full state need it"),
            ),
            (Answer::ConnectedOnly | Answer::Silent(_), Answer::Acknowledged) => findings.wrong(
                "reach",
                format!("only TCP reaches {name} at {to}: UDP {}", udp.words()),
                format!("open UDP port {port} to it, in firewalls and port mappings, both ways: probes need it"),
            ),
            _ if *other => findings.wrong(
                "name",
                format!("at {to} another node answers than {name}"),
                format!("give each node a name and an address of its own; if {name} is gone: `folkmoot force-leave {name}`"),
            ),
            (_, Answer::ConnectedOnly) if encrypted => findings.wrong(
                "keys",
                format!("{name} at {to} takes connections but answers neither leg: it has another key, or is no member"),
                "give the settings and that member the same key",
            ),
            (_, Answer::ConnectedOnly) => findings.wrong(
                "reach",
                format!("{name} at {to} takes connections but answers neither leg: it hangs, or asks for a key"),
                "look at its log; restart it",
            ),
            (_, Answer::Silent(_)) => findings.wrong(
                "reach",
                format!("{name} at {to} does not answer: UDP {}, TCP {}", udp.words(), tcp.words()),
                format!(
                    "start it, or open UDP and TCP port {port} to it; if it will not return: `folkmoot force-leave {name}`"
                ),
            ),
        }
    }
}

impl Answer {
    fn words(&self) -> &str {
        match self {
            Self::Acknowledged => "answers",
            Self::ConnectedOnly => "connects but does not answer",
            Self::Silent(reason) => reason,
        }
    }
}
