//! A group of three under its clients: the leader is killed, an agent stands still, a reader is slow.

use std::time::Duration;

use folkmoot_client::{Changes, Client, ConnectOptions, Life, RaftRole, Wait, WatchOptions};
use tokio::time::timeout;

use super::support::{Agent, Directory, Kind, Signal};
use super::{PATIENCE, options, serving};

/// Three agents of one group, each with its own disk.
struct Three {
    agents: Vec<Agent>,
    _data: Vec<Directory>,
}

async fn three() -> Three {
    let data: Vec<Directory> = (0..3).map(|_| Directory::fresh()).collect();
    let mut agents: Vec<Agent> = Vec::new();
    for (name, data) in ["a", "b", "c"].into_iter().zip(&data) {
        let directory = format!("-data-dir={}", data.path().display());
        let join = agents.first().map(|first| format!("-join={}", first.gossip()));
        let flags = ["-raft", "-raft-bootstrap-expect=3", &directory].into_iter().chain(join.as_deref());
        agents.push(Agent::start(Kind::Folkmoot, name, &flags.collect::<Vec<_>>()));
    }
    for agent in &agents {
        agent.wait_for_line("this node is one of 3 voters of the group");
        serving(agent).await;
    }
    Three { agents, _data: data }
}

/// Longer than all stalls of a busy machine together: what is held for that long is lost by a fault alone.
const TTL: Duration = PATIENCE.saturating_mul(10);

/// One client for any of these agents, whose calls and holds outlast the stalls of a busy machine.
fn patient(agents: &[&Agent]) -> ConnectOptions {
    ConnectOptions { call_timeout: Some(PATIENCE), client_ttl: TTL, ..options(agents) }
}

/// Which of them leads.
async fn leader(agents: &[Agent]) -> usize {
    loop {
        for (number, agent) in agents.iter().enumerate() {
            let client = Client::connect(&patient(&[agent])).await.unwrap();
            let state = timeout(PATIENCE, client.group().status()).await.unwrap().unwrap();
            if state.role == RaftRole::Leader {
                return number;
            }
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_sees_no_error_when_the_leader_under_its_connection_is_killed() {
    let mut three = three().await;
    for round in 0..3u64 {
        let first = leader(&three.agents).await;
        let order: Vec<&Agent> = three.agents[first..].iter().chain(&three.agents[..first]).collect();
        let client = Client::connect(&patient(&order)).await.unwrap();
        let mut watch = client.watch(WatchOptions::keys()).await.unwrap();
        let lock = client.lock("kill").ttl(TTL).acquire().await.unwrap();
        let counter = client.counter(format!("kill/{round}"));
        let adding = tokio::spawn({
            let (counter, kv) = (counter.clone(), client.kv());
            async move {
                let mut revisions = Vec::new();
                for number in 1..=60 {
                    assert_eq!(counter.add(1).await.unwrap(), number);
                    revisions.push(kv.put("kill/a", number.to_string(), Life::Unlimited).await.unwrap());
                }
                revisions
            }
        });
        // Somewhere in the middle of it.
        let other = Client::connect(&patient(&order[1..])).await.unwrap();
        while other.counter(format!("kill/{round}")).get().await.unwrap() < 10 {}
        three.agents[first].kill();
        let revisions = timeout(2 * PATIENCE, adding).await.unwrap().unwrap();
        assert!(lock.is_held(), "nobody else could have it");
        lock.release().await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < revisions.len() {
            match timeout(PATIENCE, watch.next()).await.unwrap().unwrap() {
                Changes::These(changes) => seen.extend(changes.iter().map(|change| change.revision)),
                Changes::Compacted { .. } => panic!("sixty changes are not forgotten"),
            }
        }
        assert_eq!(seen, revisions, "every change once, in order, over the death of its agent");
        three.agents[first].restart();
        serving(&three.agents[first]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_held_by_the_client_of_a_dead_agent_stays_his() {
    let mut three = three().await;
    let order: Vec<&Agent> = three.agents.iter().collect();
    let client = Client::connect(&patient(&order)).await.unwrap();
    let rival = Client::connect(&patient(&order[1..])).await.unwrap();
    let guard = client.lock("stays").ttl(TTL).acquire().await.unwrap();
    let waiting = tokio::spawn({
        let lock = rival.lock("stays");
        async move { lock.acquire().await.unwrap().token() }
    });
    three.agents[0].kill();
    assert_eq!(timeout(PATIENCE, client.counter("stays").add(1)).await.unwrap().unwrap(), 1);
    assert!(rival.lock("stays").acquire_within(Wait::No).await.unwrap().is_none());
    let token = guard.token();
    guard.release().await.unwrap();
    assert!(timeout(PATIENCE, waiting).await.unwrap().unwrap() > token);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_leave_an_agent_that_stands_still() {
    let three = three().await;
    let order: Vec<&Agent> = three.agents.iter().collect();
    let client = Client::connect(&patient(&order)).await.unwrap();
    assert_eq!(client.counter("still").add(1).await.unwrap(), 1);
    three.agents[0].signal(Signal::Stop);
    let added = timeout(2 * PATIENCE, client.counter("still").add(1)).await.unwrap();
    three.agents[0].signal(Signal::Continue);
    assert_eq!(added.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_slow_misses_no_change_and_keeps_nobody_waiting() {
    let agent = super::group_of_one().await;
    let client = Client::connect(&patient(&[&agent])).await.unwrap();
    let mut slow = client.watch(WatchOptions::keys()).await.unwrap();
    let changes = 3 * folkmoot_client::limits::WATCH_QUEUE;
    let mut written = Vec::new();
    for batch in 0..changes / 64 {
        let puts: Vec<_> = (0..64)
            .map(|number| {
                let kv = client.kv();
                tokio::spawn(async move { kv.put(format!("slow/{batch}/{number}"), "x", Life::Unlimited).await })
            })
            .collect();
        for put in puts {
            written.push(timeout(PATIENCE, put).await.unwrap().unwrap().unwrap());
        }
    }
    written.sort_unstable();
    let mut seen = Vec::new();
    while seen.len() < written.len() {
        match timeout(PATIENCE, slow.next()).await.unwrap().unwrap() {
            Changes::These(changes) => seen.extend(changes.iter().map(|change| change.revision)),
            Changes::Compacted { .. } => panic!("so few changes are not forgotten"),
        }
    }
    assert_eq!(seen, written);
}
