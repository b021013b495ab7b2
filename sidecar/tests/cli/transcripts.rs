//! What the command line sends, against `vectors/rpc/18-go-cli.json`: a recorded agent answers, and every request has to
//! be the one that Go's command line sent.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};

use serde_json::{Value as Json, json};

use super::support::msgpack::Unread;
use super::support::{Kind, PATIENCE, Value, eventually};

#[test]
fn requests_are_those_of_the_go_command_line() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors/rpc/18-go-cli.json");
    let vectors: Json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 20);
    cases.iter().for_each(replay);
}

/// Lets our command line talk to the recorded agent of one case.
fn replay(case: &Json) {
    let id = case["id"].as_str().unwrap();
    let typed = case["description"].as_str().unwrap().split("serf ").last().unwrap();
    let words: Vec<&str> = typed.split(' ').collect();
    let listener = TcpListener::bind("127.0.27.4:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let child = Kind::Folkmoot.command(&words).env("SERF_RPC_ADDR", address).spawn().unwrap();
    let (socket, _) = listener.accept().unwrap();
    let mut agent = RecordedAgent::new(socket);
    let transcript = case["transcript"].as_array().unwrap();
    for entry in transcript {
        if let Some(recorded) = entry["objects"].as_array().filter(|_| entry["c2s"].is_string()) {
            if recorded[0]["Command"] == "stop" && recorded[0]["Seq"] == 4 {
                interrupt(&child);
            }
            let sent: Vec<Json> = recorded.iter().map(|_| plain(&agent.receive(id))).collect();
            assert_eq!(sent, recorded.iter().map(without_nil).collect::<Vec<_>>(), "{id}");
        } else if let Some(bytes) = entry["s2c"].as_str() {
            agent.socket.write_all(&unhex(bytes)).unwrap();
        } else if entry["event"] == "agent closed" {
            agent.socket.shutdown(std::net::Shutdown::Both).unwrap();
        }
    }
    agent.expect_end(id);
    let output = finish(child);
    let end = transcript.last().unwrap();
    assert_eq!(json!(format!("exit code {}", output.status.code().unwrap())), end["note"], "{id}");
    let lines = String::from_utf8_lossy(&output.stdout).lines().count();
    assert_eq!(json!(lines), end["stdout_lines"], "{id}: {output:?}");
}

/// The interrupt comes before the agent's last reply: it is remembered, and the monitor ends as it does later.
#[test]
fn an_interrupt_while_the_monitor_starts_is_remembered() {
    let listener = TcpListener::bind("127.0.27.4:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let child = Kind::Folkmoot.command(&["monitor"]).env("SERF_RPC_ADDR", address).spawn().unwrap();
    let mut agent = RecordedAgent::new(listener.accept().unwrap().0);
    let mut stopped = Vec::new();
    for command in ["handshake", "stream", "monitor", "stop", "stop"] {
        let header = agent.receive("interrupt");
        assert_eq!(header.get("Command").as_text(), command);
        let body = agent.receive("interrupt");
        match command {
            "monitor" => interrupt(&child),
            "stop" => stopped.push(body.get("Stop").as_int()),
            _ => {}
        }
        let reply = Value::map([("Error", Value::text("")), ("Seq", header.get("Seq").clone())]);
        agent.socket.write_all(&reply.encode()).unwrap();
    }
    agent.expect_end("interrupt");
    assert_eq!((stopped, finish(child).status.code()), (vec![3, 2], Some(0)));
}

struct RecordedAgent {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl RecordedAgent {
    fn new(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, buffer: Vec::new() }
    }

    fn receive(&mut self, id: &str) -> Value {
        loop {
            match Value::read(&self.buffer) {
                Ok((value, length)) => {
                    self.buffer.drain(..length);
                    return value;
                }
                Err(Unread::Invalid) => panic!("{id}: not MessagePack: {:?}", self.buffer),
                Err(Unread::Incomplete) => {}
            }
            let mut chunk = [0; 4096];
            let length = self.socket.read(&mut chunk).unwrap();
            assert!(length > 0, "{id}: closed in the middle of the session");
            self.buffer.extend(&chunk[..length]);
        }
    }

    /// Nothing comes any more but the end of the connection, tidy or not.
    fn expect_end(&mut self, id: &str) {
        let mut rest = std::mem::take(&mut self.buffer);
        let _ = self.socket.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{id}: unexpected bytes {rest:?}");
    }
}

fn interrupt(child: &Child) {
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

fn finish(mut child: Child) -> std::process::Output {
    eventually("the command ends", || child.try_wait().unwrap().ok_or_else(|| "it runs".to_owned()));
    child.wait_with_output().unwrap()
}

/// As the vectors write values, but that an empty list or map is nil: Go's client sends either, by chance of its code.
fn plain(value: &Value) -> Json {
    let json = match value {
        Value::Nil => Json::Null,
        Value::Bool(boolean) => json!(boolean),
        Value::Int(number) => json!(i64::try_from(*number).unwrap()),
        Value::Float(number) => json!({ "$f64": number }),
        Value::Str(bytes) => json!(String::from_utf8(bytes.clone()).unwrap()),
        Value::Bin(bytes) => json!({ "$bin": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Map(entries) => Json::Object(entries.iter().map(|(key, value)| (key.as_text(), plain(value))).collect()),
    };
    without_nil(&json)
}

fn without_nil(value: &Json) -> Json {
    match value {
        Json::Array(items) if items.is_empty() => Json::Null,
        Json::Object(fields) if fields.is_empty() => Json::Null,
        Json::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), without_nil(value))).collect(),
        Json::Array(_) | Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => value.clone(),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
