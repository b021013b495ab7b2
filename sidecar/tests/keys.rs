//! Keys of whole clusters: rotation among Go agents and ours while events flow, members that were down meanwhile, and
//! keyring files under kills and failing disks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use support::rpc::Received;
use support::{Agent, Directory, Kind, Rpc, Value, eventually};

const FIRST: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SECOND: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// What the agent said to a key command: the error (or nothing) and the messages of members.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    error: String,
    messages: BTreeMap<String, String>,
}

fn command(rpc: &mut Rpc, command: &str, key: &str) -> Said {
    let sequence = rpc.send(command, Some(Value::map([("Key", Value::text(key))])));
    let mut object = || {
        let received = rpc.receive(support::PATIENCE);
        if let Received::Object(value) = received { value } else { panic!("{command}: {received:?}") }
    };
    let (header, body) = (object(), object());
    assert_eq!(header.get("Seq").as_int(), i128::from(sequence));
    let Value::Map(messages) = body.get("Messages") else { panic!("messages of {body:?}") };
    let messages = messages.iter().map(|(node, message)| (node.as_text(), message.as_text())).collect();
    Said { error: header.get("Error").as_text(), messages }
}

fn succeed(rpc: &mut Rpc, name: &str, key: &str) {
    assert_eq!(command(rpc, name, key), Said { error: String::new(), messages: BTreeMap::new() }, "{name}");
}

/// Repeats a change, which does no harm, until every member has answered in time: a busy machine may be late.
fn carry_out(rpc: &mut Rpc, name: &str, key: &str) {
    eventually(&format!("{name} reaches everybody"), || {
        let said = command(rpc, name, key);
        assert!(said.error.is_empty() || said.error.ends_with("nodes reported success"), "{name}: {said:?}");
        if said.error.is_empty() { Ok(()) } else { Err(format!("{said:?}")) }
    });
}

/// An agent with a keyring file of its own.
struct Keeping {
    agent: Agent,
    file: PathBuf,
}

impl Keeping {
    fn start(kind: Kind, name: &str, directory: &Path) -> Self {
        let file = directory.join(format!("{name}.json"));
        std::fs::write(&file, format!("[\"{FIRST}\"]")).unwrap();
        let flag = format!("-keyring-file={}", file.display());
        let agent = Agent::start(kind, name, &[&flag, "-profile=local"]);
        Self { agent, file }
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap()
    }

    /// The keys of the file, which has to be whole.
    fn keys(&self) -> Vec<String> {
        serde_json::from_str(&self.text()).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }
}

fn join_all(agents: &[&Agent]) {
    for agent in &agents[1..] {
        assert_eq!(agent.rpc().join(&[&agents[0].gossip()]), Ok(1));
    }
    wait_for_all(agents);
}

fn wait_for_all(agents: &[&Agent]) {
    for agent in agents {
        let mut rpc = agent.rpc();
        eventually(&format!("{} sees everybody", agent.name), || {
            let statuses = rpc.statuses();
            let alive = statuses.values().filter(|status| *status == "alive").count();
            if alive == agents.len() { Ok(()) } else { Err(format!("{statuses:?}")) }
        });
    }
}

/// Fires events one after the other until told to stop; gives their names.
fn keep_firing(agent: &Agent, stop: &Arc<AtomicBool>) -> JoinHandle<BTreeSet<String>> {
    let (mut rpc, name, stop) = (agent.rpc(), agent.name.clone(), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut fired = BTreeSet::new();
        while !stop.load(Ordering::Relaxed) {
            let event = format!("{name}-{}", fired.len());
            rpc.event(&event, b"", false).unwrap();
            fired.insert(event);
            // A pace that no queue on the way has to drop at.
            std::thread::park_timeout(Duration::from_millis(20));
        }
        fired
    })
}

#[test]
fn a_rotation_among_go_agents_and_ours_loses_no_event() {
    let directory = Directory::fresh();
    let start = |kind, name| Keeping::start(kind, name, directory.path());
    let kinds = [(Kind::Folkmoot, "bern"), (Kind::Go, "rome"), (Kind::Folkmoot, "oslo"), (Kind::Go, "kiev")];
    let mut cluster: Vec<Keeping> = kinds.into_iter().map(|(kind, name)| start(kind, name)).collect();
    join_all(&cluster.iter().map(|keeping| &keeping.agent).collect::<Vec<_>>());
    let mut streams: Vec<Rpc> = cluster.iter().map(|keeping| keeping.agent.rpc()).collect();
    streams.iter_mut().for_each(|stream| stream.stream("user"));
    let stop = Arc::new(AtomicBool::new(false));
    let firing: Vec<_> = cluster.iter().map(|keeping| keep_firing(&keeping.agent, &stop)).collect();
    // Ours asks for the first half, the Go agent for the second.
    let (mut ours, mut gos) = (cluster[0].agent.rpc(), cluster[1].agent.rpc());
    carry_out(&mut ours, "install-key", SECOND);
    carry_out(&mut gos, "use-key", SECOND);
    carry_out(&mut ours, "remove-key", FIRST);
    carry_out(&mut gos, "install-key", FIRST);
    carry_out(&mut ours, "use-key", FIRST);
    carry_out(&mut gos, "remove-key", SECOND);
    carry_out(&mut ours, "install-key", SECOND);
    stop.store(true, Ordering::Relaxed);
    let fired: BTreeSet<String> = firing.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert!(fired.len() > 20, "traffic flowed: {}", fired.len());
    for (keeping, stream) in cluster.iter().zip(&mut streams) {
        let mut missing = fired.clone();
        while !missing.is_empty() {
            let Some(record) = stream.record(support::PATIENCE) else {
                panic!("{} has not heard {missing:?}", keeping.agent.name);
            };
            missing.remove(&record.get("Name").as_text());
        }
    }
    for keeping in &cluster {
        assert_eq!(keeping.text(), format!("[\n  \"{FIRST}\",\n  \"{SECOND}\"\n]"), "{}", keeping.agent.name);
    }
    // What is in the file is what an agent starts with.
    carry_out(&mut ours, "use-key", SECOND);
    carry_out(&mut gos, "remove-key", FIRST);
    cluster[2].agent.kill();
    cluster[2].agent.restart();
    assert_eq!(cluster[2].agent.rpc().join(&[&cluster[1].agent.gossip()]), Ok(1));
    wait_for_all(&cluster.iter().map(|keeping| &keeping.agent).collect::<Vec<_>>());
}

#[test]
fn members_that_missed_a_rotation_are_named() {
    let directory = Directory::fresh();
    let start = |kind, name| Keeping::start(kind, name, directory.path());
    let (bern, mut rome, mut oslo) =
        (start(Kind::Folkmoot, "bern"), start(Kind::Go, "rome"), start(Kind::Folkmoot, "oslo"));
    join_all(&[&bern.agent, &rome.agent, &oslo.agent]);
    let mut rpc = bern.agent.rpc();
    rome.agent.kill();
    eventually("rome has failed", || match rpc.statuses().get("rome") {
        Some(status) if status == "failed" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let said = eventually("all who are asked answer in time", || {
        let said = command(&mut rpc, "install-key", SECOND);
        if said.error.is_empty() { Ok(said) } else { Err(format!("{said:?}")) }
    });
    let named: Vec<_> = said.messages.into_iter().collect();
    assert_eq!(named, [("rome".into(), "not-asked: it is down and comes back without this change".into())]);
    bern.agent.wait_for_line("[WARN] serf: key change has not reached 'rome'");
    let address = format!("-rpc-addr={}", bern.agent.rpc_address());
    let shown = Kind::Folkmoot.command(&["keys", &address, "-install", SECOND]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let expected = "==> Installing key on all members...\n==> Successfully installed key!\n\
                    warning:  rome  not-asked: it is down and comes back without this change\n";
    assert_eq!(shown, expected);
    oslo.agent.kill();
    let said = command(&mut rpc, "use-key", SECOND);
    assert_eq!(said.error, "1/2 nodes reported success");
    assert_eq!(said.messages["oslo"], "no-answer: it may lack this change");
    // Whoever was named comes back with its old key, and can be brought up to date as long as that is the primary one.
    command(&mut rpc, "use-key", FIRST);
    rome.agent.restart();
    oslo.agent.restart();
    join_all(&[&bern.agent, &rome.agent, &oslo.agent]);
    carry_out(&mut rpc, "install-key", SECOND);
    carry_out(&mut rpc, "use-key", SECOND);
    carry_out(&mut rpc, "remove-key", FIRST);
    for keeping in [&bern, &rome, &oslo] {
        assert_eq!(keeping.keys(), [SECOND], "{}", keeping.agent.name);
    }
}

#[test]
fn kills_at_any_moment_leave_a_whole_keyring() {
    const ROUNDS: usize = 25;
    let directory = Directory::fresh();
    let mut keeping = Keeping::start(Kind::Folkmoot, "bern", directory.path());
    for round in 0..ROUNDS {
        let mut rpc = keeping.agent.rpc();
        // Some changes are answered; more are on their way when the kill comes.
        let key = |number: usize| format!("{number:021}A==");
        for number in 0..round % 5 {
            succeed(&mut rpc, "install-key", &key(round * 100 + number));
        }
        for number in 50..60 {
            rpc.send("install-key", Some(Value::map([("Key", Value::text(&key(round * 100 + number)))])));
        }
        keeping.agent.kill();
        let keys = keeping.keys();
        assert_eq!(keys[0], FIRST);
        for number in 0..round % 5 {
            let answered = key(round * 100 + number);
            assert!(keys.contains(&answered), "round {round}: {answered} was answered and is lost");
        }
        keeping.agent.restart();
        // Small again, so that rounds stay alike.
        let mut rpc = keeping.agent.rpc();
        for key in &keys[1..] {
            succeed(&mut rpc, "remove-key", key);
        }
        assert_eq!(keeping.keys(), [FIRST]);
    }
    let names: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["bern.json"], "nothing is left beside it");
}

/// The change is refused by name of the file, stays in force, and the agent goes on; `mend` makes writing possible.
fn fail_and_go_on(keeping: &Keeping, cause: &str, mend: impl FnOnce()) {
    let mut rpc = keeping.agent.rpc();
    let said = command(&mut rpc, "install-key", SECOND);
    assert_eq!(said.error, "1/1 nodes reported failure");
    assert_eq!(said.messages["bern"], format!("Failed to write keyring file: {cause}"));
    keeping.agent.wait_for_line(&format!("[ERR] serf: Failed to write keyring file: {cause}"));
    rpc.event("still-here", b"", false).unwrap();
    mend();
    // The ring has the key: it can be used, and the next change writes all of it.
    succeed(&mut rpc, "use-key", SECOND);
    assert_eq!(keeping.keys(), [SECOND, FIRST]);
}

#[test]
fn a_full_disk_costs_no_key() {
    let disk = Directory::small_disk(16);
    let keeping = Keeping::start(Kind::Folkmoot, "bern", disk.path());
    let before = keeping.text();
    let filler = disk.path().join("filler");
    let full = std::fs::write(&filler, vec![0; 1024 * 1024]).unwrap_err();
    assert_eq!(full.raw_os_error(), Some(28), "the disk is full: {full}");
    let cause = format!("write {}: no space left on device", keeping.file.display());
    fail_and_go_on(&keeping, &cause, || {
        assert_eq!(keeping.text(), before, "the old file stands");
        std::fs::remove_file(&filler).unwrap();
    });
}

#[test]
fn a_directory_that_is_gone_costs_no_key() {
    let directory = Directory::fresh();
    let folder = directory.path().join("gone");
    std::fs::create_dir(&folder).unwrap();
    let keeping = Keeping::start(Kind::Folkmoot, "bern", &folder);
    std::fs::remove_dir_all(&folder).unwrap();
    let cause = format!("open {}: no such file or directory", keeping.file.display());
    fail_and_go_on(&keeping, &cause, || std::fs::create_dir(&folder).unwrap());
    assert_eq!(std::fs::metadata(&keeping.file).unwrap().permissions().mode() & 0o777, 0o600);
}
