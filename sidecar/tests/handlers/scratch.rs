//! A directory of a test's own, and what scripts leave there.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::support::{Agent, Kind, PATIENCE, Value, eventually};

/// A directory that goes when the test does. Scripts that wait for its file `held` to go end with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("folkmoot-handlers-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// Waits until the file holds exactly `text`.
    pub fn wait_for(&self, name: &str, text: &str) {
        eventually(&format!("{name} holds {text:?}"), || {
            let found = self.read(name);
            if found == text { Ok(()) } else { Err(format!("{found:?}")) }
        });
    }

    /// A script that hangs until [`Self::remove`] of `held`, or the end of the test.
    pub fn hanging(&self) -> String {
        let held = self.write("held", "");
        format!("while [ -e {held} ]; do sleep 0.05; done")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The body of a query to everybody that lasts `timeout_ms`.
pub fn query(name: &str, payload: &[u8], timeout_ms: i128) -> Value {
    Value::map([
        ("Name", Value::text(name)),
        ("Payload", Value::Bin(payload.to_vec())),
        ("Timeout", Value::Int(timeout_ms * 1_000_000)),
    ])
}

/// The first answer to a query that may take its time: it lasts longer than any machine stands still, and nobody waits
/// for its end.
pub fn first_answer(agent: &Agent, name: &str, payload: &[u8]) -> Vec<u8> {
    let mut rpc = agent.rpc();
    rpc.query(query(name, payload, 25_000)).unwrap();
    loop {
        let record = rpc.record(PATIENCE).expect("an answer or the end of the query");
        match record.get("Type").as_text().as_str() {
            "response" => return record.get("Payload").as_bytes(),
            "ack" => {}
            other => panic!("{other} before any answer to {name}"),
        }
    }
}

/// Standard output of a command that has to succeed, or has to fail.
pub fn cli(kind: Kind, succeeds: bool, arguments: &[&str]) -> String {
    let output = kind.command(arguments).env_remove("FOLKMOOT_TEST_AGENT").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.success(), succeeds, "{arguments:?}: {text}");
    text
}
