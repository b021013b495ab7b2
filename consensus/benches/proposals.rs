//! How many proposals a second one member brings to disk, and how long it takes to start with a long log: a group of one on
//! real files, with proposers that each wait for their answer. `cargo bench -p folkmoot-consensus`; the directory is
//! `TMPDIR`, so choose the disk with it. Numbers are to be compared with others of the same machine only.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use folkmoot_consensus::{ClusterId, Group, NodeId, Peer, Role, Settings, Transport};
use folkmoot_coordination::{
    Acknowledged, ClientId, Command, Key, Operation, Reply, Request, RequestId, Ttl, Value, kv,
};

/// There is nobody else.
struct Nowhere;

impl Transport for Nowhere {
    type Stream = tokio::io::DuplexStream;

    async fn connect(&self, to: SocketAddr) -> io::Result<Self::Stream> {
        Err(io::Error::other(format!("nobody is at {to}")))
    }
}

/// How long each number of proposers works.
const TIME: Duration = Duration::from_secs(3);

/// Entries of the long log, and how many proposers write it.
const ENTRIES: u64 = 1_000_000;
const WRITERS: u64 = 1_024;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Outcome<()> {
    let directory = std::env::temp_dir().join(format!("folkmoot-proposals-{}", std::process::id()));
    let settings = settings(directory.clone())?;
    let group = founded(&settings).await?;
    println!("proposers  writes/s  median ms  p99 ms  syncs/s  writes/sync");
    for proposers in [1u64, 16, 64, 256] {
        measure(&group, proposers).await?;
    }
    group.shutdown().await;
    println!("\nstart with {ENTRIES} entries written   ms  entries read from the log");
    let snapshots = Settings { snapshot_every: 1 << 40, ..settings.clone() };
    for (name, settings) in [("with snapshots", settings), ("without any", snapshots)] {
        restart(name, &settings).await?;
    }
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

fn settings(directory: PathBuf) -> Outcome<Settings> {
    let me = Peer { id: NodeId(1), name: "one".to_owned(), address: "127.0.31.1:4321".parse()? };
    Ok(Settings::new(me, directory))
}

/// A new group of one.
async fn founded(settings: &Settings) -> Outcome<Group> {
    if settings.directory.exists() {
        std::fs::remove_dir_all(&settings.directory)?;
    }
    std::fs::create_dir_all(&settings.directory)?;
    let group = Group::open(settings.clone(), None, Arc::new(Nowhere)).await?;
    group.found(ClusterId(1), vec![settings.me.clone()]).await?;
    group.status_changes().wait_for(|status| status.role == Role::Leader).await?;
    Ok(group)
}

/// How long a member takes from its start until it has applied what it had.
async fn restart(name: &str, settings: &Settings) -> Outcome<()> {
    let group = founded(settings).await?;
    let left = Arc::new(AtomicU64::new(ENTRIES));
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        writers.push(tokio::spawn(fill(group.clone(), Arc::clone(&left))));
    }
    for writer in writers {
        writer.await?;
    }
    let goal = group.status().applied;
    group.shutdown().await;
    let started = Instant::now();
    let group = Group::open(settings.clone(), None, Arc::new(Nowhere)).await?;
    group.status_changes().wait_for(|status| status.applied >= goal).await?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    println!("{name:34} {took:5.0}  {}", goal.0.saturating_sub(group.status().snapshot.0));
    group.shutdown().await;
    Ok(())
}

/// Writes until `left` is used up.
async fn fill(group: Group, left: Arc<AtomicU64>) {
    let Some(client) = register(&group).await else { return };
    let more = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    let mut number = 0;
    while more() {
        number += 1;
        let Some(command) = put(client, number) else { return };
        if group.propose(command).await.is_err() {
            return;
        }
    }
}

async fn register(group: &Group) -> Option<ClientId> {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let (client, ttl) = (ClientId(DRAWN.fetch_add(1, Ordering::Relaxed) + 1), Ttl::try_from(600_000).ok()?);
    let register = Command::RegisterClient { client, ttl };
    let Ok(Reply::Registered(client)) = group.propose(register).await else { return None };
    Some(client)
}

async fn measure(group: &Group, proposers: u64) -> Outcome<()> {
    let before = group.status();
    let started = Instant::now();
    let mut workers = Vec::new();
    for _ in 0..proposers {
        workers.push(tokio::spawn(work(group.clone(), started)));
    }
    let mut waits = Vec::new();
    for worker in workers {
        waits.extend(worker.await?);
    }
    let seconds = started.elapsed().as_secs_f64();
    let syncs = group.status().syncs.saturating_sub(before.syncs) as f64;
    waits.sort_unstable();
    let millis = |part: usize| waits.get(waits.len() * part / 100).map_or(0.0, |wait| wait.as_secs_f64() * 1e3);
    println!(
        "{proposers:9}  {:8.0}  {:9.3}  {:6.3}  {:7.0}  {:11.1}",
        waits.len() as f64 / seconds,
        millis(50),
        millis(99),
        syncs / seconds,
        waits.len() as f64 / syncs.max(1.0),
    );
    Ok(())
}

/// Writes a key again and again, and says how long each write took.
async fn work(group: Group, started: Instant) -> Vec<Duration> {
    let mut waits = Vec::new();
    let Some(client) = register(&group).await else { return waits };
    let mut number = 0;
    while started.elapsed() < TIME {
        number += 1;
        let Some(command) = put(client, number) else { return waits };
        let sent = Instant::now();
        if group.propose(command).await.is_err() {
            return waits;
        }
        waits.push(sent.elapsed());
    }
    waits
}

fn put(client: ClientId, number: u64) -> Option<Command> {
    let key = Key::try_from(format!("key-{}", client.0).as_str()).ok()?;
    let value = Value::try_from("v".repeat(64).as_str()).ok()?;
    let operation = Operation::Kv(kv::Command::Put(kv::Put { key, value, life: kv::Life::Unlimited }));
    let (request, acknowledged) = (RequestId(number), Acknowledged::below(RequestId(number)));
    Some(Command::Client(Request { client, request, acknowledged, operation }))
}
