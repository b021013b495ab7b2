//! First starts, restarts, and every directory that is refused.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::founding::Proposal;
use crate::peer::{ClusterId, Peer};

const LOG: &str = "raft-0000000001.log";

/// A directory of this test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("folkmoot-identity-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn open(&self) -> Result<DataDirectory, DirectoryError> {
        DataDirectory::open(&self.0, owner("oslo"), NodeId(7))
    }

    fn make_log(&self) {
        fs::write(self.0.join(LOG), b"log").unwrap();
    }

    fn refusal(&self) -> String {
        self.open().err().unwrap().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn owner(name: &str) -> Owner {
    Owner { name: name.to_owned(), cluster: None }
}

fn promise() -> Record {
    let voter = |id| Peer { id: NodeId(id), name: format!("n{id}"), address: "127.0.33.1:4321".parse().unwrap() };
    Record::Promised(Proposal { cluster: ClusterId(9), proposer: NodeId(1), voters: vec![voter(1), voter(7)] })
}

#[test]
fn a_first_start_draws_an_id_and_a_restart_keeps_it_with_the_promise() {
    let scratch = Scratch::new();
    let mut directory = scratch.open().unwrap();
    assert_eq!((directory.id(), directory.record()), (NodeId(7), &Record::Free));
    directory.keep(promise()).unwrap();
    drop(directory);
    scratch.make_log();
    let directory = DataDirectory::open(&scratch.0, owner("oslo"), NodeId(8)).unwrap();
    assert_eq!((directory.id(), directory.record()), (NodeId(7), &promise()));
}

#[test]
fn a_member_that_lost_its_log_does_not_come_back_as_itself() {
    let scratch = Scratch::new();
    let mut directory = scratch.open().unwrap();
    directory.keep(promise()).unwrap();
    drop(directory);
    assert!(scratch.refusal().contains("the log (raft-*.log) is missing or empty"));
    fs::write(scratch.0.join(LOG), b"").unwrap();
    assert!(scratch.refusal().contains("the log (raft-*.log) is missing or empty"));
}

#[test]
fn two_agents_cannot_share_it() {
    let scratch = Scratch::new();
    let directory = scratch.open().unwrap();
    assert!(scratch.refusal().ends_with("is in use by another agent"));
    drop(directory);
    assert!(scratch.open().is_ok());
}

#[test]
fn it_is_refused_to_another_node_and_another_cluster() {
    let scratch = Scratch::new();
    drop(scratch.open().unwrap());
    let other = DataDirectory::open(&scratch.0, owner("bern"), NodeId(8)).err().unwrap().to_string();
    assert!(other.contains("belongs to node 'oslo', this is 'bern'"), "{other}");
    let of_north = Owner { name: "oslo".to_owned(), cluster: Some("north".to_owned()) };
    let other = DataDirectory::open(&scratch.0, of_north, NodeId(8)).err().unwrap().to_string();
    assert!(other.contains("belongs to no named cluster, this agent is of cluster 'north'"), "{other}");
}

#[test]
fn every_damage_of_the_identity_is_noticed() {
    let scratch = Scratch::new();
    let mut directory = scratch.open().unwrap();
    directory.keep(promise()).unwrap();
    drop(directory);
    scratch.make_log();
    let file = scratch.0.join(IDENTITY);
    let whole = fs::read(&file).unwrap();
    for length in 0..whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        assert!(scratch.refusal().contains("the file identity is damaged"), "cut to {length}");
    }
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        fs::write(&file, &flipped).unwrap();
        assert!(scratch.refusal().contains("the file identity is damaged"), "flipped at {at}");
    }
    fs::write(&file, [whole.as_slice(), b"x"].concat()).unwrap();
    assert!(scratch.refusal().contains("the file identity is damaged"));
    fs::write(&file, &whole).unwrap();
    assert!(scratch.open().is_ok());
}

#[test]
fn what_an_interrupted_write_leaves_does_no_harm() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.0.join("lost+found")).unwrap();
    fs::write(scratch.0.join(IDENTITY_NEW), b"half").unwrap();
    drop(scratch.open().unwrap());
    fs::write(scratch.0.join(IDENTITY_NEW), b"half").unwrap();
    assert_eq!(scratch.open().unwrap().id(), NodeId(7));
}

#[test]
fn a_directory_of_something_else_is_refused() {
    let scratch = Scratch::new();
    fs::create_dir_all(&scratch.0).unwrap();
    fs::write(scratch.0.join(LOG), b"log").unwrap();
    assert!(scratch.refusal().contains("holds raft-0000000001.log but no identity file"));
}

#[test]
fn what_cannot_be_written_is_refused_by_name() {
    let scratch = Scratch::new();
    fs::create_dir_all(&scratch.0).unwrap();
    let file = scratch.0.join("file");
    fs::write(&file, b"").unwrap();
    let refused = DataDirectory::open(&file.join("data"), owner("oslo"), NodeId(7)).err().unwrap().to_string();
    assert!(refused.contains("cannot make") && refused.contains("Not a directory"), "{refused}");
    let locked = scratch.0.join("locked");
    drop(DataDirectory::open(&locked, owner("oslo"), NodeId(7)).unwrap());
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
    // Root may write everywhere.
    if File::create(locked.join("probe")).is_err() {
        let refused = DataDirectory::open(&locked, owner("oslo"), NodeId(7)).err().unwrap().to_string();
        assert!(refused.contains("cannot write"), "{refused}");
    }
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
}
