//! Webhooks against a small server inside the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};

use super::scratch::{cli, first_answer, query};
use super::support::{Agent, Kind, PATIENCE};

/// One request, as it came.
struct Posted {
    head: String,
    body: Json,
}

/// Answers each request with the next of the answers it was given, then with an empty 200.
struct Server {
    address: SocketAddr,
    posted: Receiver<Posted>,
}

impl Server {
    fn start(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.44.200:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut answers: Vec<String> = answers.iter().rev().map(|answer| (*answer).to_owned()).collect();
        let (sender, posted) = channel();
        let sender = Arc::new(Mutex::new(sender));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|length| length > 0) {}
                let lower = head.to_lowercase();
                let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                let mut body = vec![0; length.parse().unwrap()];
                reader.read_exact(&mut body).unwrap();
                let answer = answers.pop().unwrap_or_else(|| "200 OK\r\ncontent-length: 0\r\n\r\n".to_owned());
                let _ = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes());
                let posted = Posted { head: lower, body: serde_json::from_slice(&body).unwrap() };
                if sender.lock().unwrap().send(posted).is_err() {
                    return;
                }
            }
        });
        Self { address, posted }
    }

    fn url(&self) -> String {
        format!("http://{}/hook?x=1", self.address)
    }

    fn next(&self) -> Posted {
        self.posted.recv_timeout(PATIENCE).expect("a request comes")
    }
}

#[test]
fn events_are_posted_with_what_scripts_are_told() {
    let server = Server::start(&[]);
    let handler = format!("-event-handler={}", server.url());
    let alpha = Agent::start(Kind::Folkmoot, "alpha", &["-tag=role=web", "-profile=local", &handler]);
    let ip = alpha.address.ip().to_string();
    let local = json!({"name": "alpha", "role": "web", "tags": {"role": "web"}});
    let posted = server.next();
    assert!(posted.head.starts_with("post /hook?x=1 http/1.1\r\n"), "{}", posted.head);
    assert!(posted.head.contains("content-type: application/json\r\n"), "{}", posted.head);
    assert!(posted.head.contains(&format!("host: {}\r\n", server.address)), "{}", posted.head);
    let member = json!({"name": "alpha", "address": ip, "role": "web", "tags": {"role": "web"}});
    assert_eq!(posted.body, json!({"event": "member-join", "self": local, "members": [member]}));
    alpha.rpc().event("deploy", b"v1", false).unwrap();
    let expected = json!({
        "event": "user", "self": local, "name": "deploy", "ltime": 1, "payload": "djE=", "payload_text": "v1",
    });
    assert_eq!(server.next().body, expected);
    let mut beta = Agent::start(Kind::Go, "beta", &["-profile=local", "-tag=x=y"]);
    alpha.rpc().join(&[&beta.gossip()]).unwrap();
    let member = json!({"name": "beta", "address": beta.address.ip().to_string(), "role": "", "tags": {"x": "y"}});
    assert_eq!(server.next().body, json!({"event": "member-join", "self": local, "members": [member]}));
    beta.kill();
    assert_eq!(server.next().body, json!({"event": "member-failed", "self": local, "members": [member]}));
}

#[test]
fn a_failed_post_is_tried_again_and_later_events_keep_their_order() {
    let server = Server::start(&[
        "500 No\r\ncontent-length: 0\r\n\r\n",
        "429 Later\r\ncontent-length: 0\r\n\r\n",
        "not http at all",
    ]);
    let handler = format!("-event-handler=user={}", server.url());
    let agent = Agent::start(Kind::Folkmoot, "alpha", &[&handler]);
    let mut rpc = agent.rpc();
    rpc.event("one", b"", false).unwrap();
    rpc.event("two", b"", false).unwrap();
    let names: Vec<Json> = (0..5).map(|_| server.next().body["name"].clone()).collect();
    assert_eq!(names, ["one", "one", "one", "one", "two"]);
    agent.wait_for_line("failed (attempt 1 of 6), again in 500ms: answered 500 Internal Server Error");
    agent.wait_for_line("failed (attempt 2 of 6), again in 1s: answered 429 Too Many Requests");
    agent.wait_for_line("failed (attempt 3 of 6), again in 2s: ");
}

#[test]
fn what_cannot_succeed_is_given_up_at_once_and_counted() {
    let server = Server::start(&["404 Not Found\r\ncontent-length: 0\r\n\r\n"]);
    let handler = format!("user={}", server.url());
    let agent = Agent::start(Kind::Folkmoot, "alpha", &["-event-handler", &handler]);
    let mut rpc = agent.rpc();
    rpc.event("one", b"", false).unwrap();
    rpc.event("two", b"", false).unwrap();
    assert_eq!(server.next().body["name"], "one");
    assert_eq!(server.next().body["name"], "two");
    agent.wait_for_line(&format!("[ERR] agent: Error invoking webhook '{}': answered 404 Not Found", server.url()));
    let address = format!("-rpc-addr={}", agent.rpc_address());
    super::support::eventually("both runs are counted", || {
        let listed = cli(Kind::Folkmoot, true, &["handlers", "-list", &address]);
        let expected = format!("config  runs=2  failed=1  dropped=0  waiting=0  {handler}\n");
        if listed == expected { Ok(()) } else { Err(listed) }
    });
}

#[test]
fn a_webhook_nobody_serves_is_told_of_and_holds_nobody_up() {
    let unserved = TcpListener::bind("127.0.44.201:0").unwrap().local_addr().unwrap();
    let handler = format!("-event-handler=user=http://{unserved}/");
    let served = Server::start(&[]);
    let other = format!("-event-handler=user={}", served.url());
    let agent = Agent::start(Kind::Folkmoot, "alpha", &[&handler, &other]);
    agent.rpc().event("x", b"\xff", false).unwrap();
    let body = served.next().body;
    assert_eq!((&body["payload"], &body["payload_text"]), (&json!("/w=="), &Json::Null));
    agent.wait_for_line("failed (attempt 1 of 6), again in 500ms: connection refused");
}

#[test]
fn the_answer_of_a_webhook_answers_a_query() {
    let server = Server::start(&[
        "200 OK\r\ncontent-length: 3\r\n\r\n0.5",
        "204 No Content\r\n\r\n",
        "200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "200 OK\r\ncontent-length: 9000\r\n\r\n",
        "503 No\r\ncontent-length: 4\r\n\r\nbusy",
    ]);
    let handler = format!("-event-handler=query={}", server.url());
    let agent = Agent::start(Kind::Folkmoot, "alpha", &[&handler]);
    let posted = || {
        let posted = server.next().body;
        assert_eq!((&posted["event"], &posted["name"]), (&json!("query"), &json!("load")));
    };
    let is_answered = |answer: &[u8]| {
        assert_eq!(first_answer(&agent, "load", b"x"), answer);
        posted();
    };
    let mut rpc = agent.rpc();
    let mut is_not_answered = || {
        rpc.query(query("load", b"x", 400)).unwrap();
        assert_eq!(rpc.answers().responses, []);
        posted();
    };
    is_answered(b"0.5");
    is_not_answered();
    is_answered(b"hi");
    is_not_answered();
    agent.wait_for_line("its answer is longer than 8192 bytes, or broke off");
    is_not_answered();
    agent.wait_for_line("Error invoking webhook");
}

#[test]
fn addresses_that_cannot_be_posted_to_are_refused_at_the_start() {
    for (handler, words) in [
        ("user=https://h/", "webhooks are posted to http:// addresses only"),
        ("user=http://me:secret@h/", "a webhook needs an address of the form http://HOST"),
    ] {
        let text = cli(Kind::Folkmoot, false, &["agent", "-bind=127.0.0.1", "-event-handler", handler]);
        assert!(text.starts_with("==> Invalid event script: '") && text.contains(words), "{text}");
    }
}
