//! Ten thousand connections, one after the other: none leaves a descriptor or a task behind, here or in the agent. A program of
//! its own, because it counts what this process has open.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::time::Duration;

use folkmoot_client::{Client, ConnectOptions, Error, MembersFilteredRequest};
use support::{Agent, Kind, eventually};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections in all.
const RECONNECTS: usize = 10_000;

#[tokio::test]
async fn ten_thousand_connections_leave_nothing_behind() {
    let agent = Agent::start(Kind::under_test(), "alpha", &[]);
    let options = ConnectOptions::new(agent.rpc_address().to_string());
    let client = Client::connect(&options).await.unwrap();
    assert_eq!(client.members().await.unwrap().len(), 1);
    let (files, theirs, tasks) = (descriptors(std::process::id()), descriptors(agent.pid()), alive());
    for number in 0..RECONNECTS * 8 / 10 {
        lose(&client).await;
        if number % 10 == 0 {
            // A stream ends with its connection.
            let mut events = timeout(PATIENCE, client.stream("user")).await.unwrap().unwrap();
            lose(&client).await;
            assert!(timeout(PATIENCE, events.next()).await.unwrap().is_err());
        }
    }
    for _ in 0..RECONNECTS * 2 / 10 {
        let another = timeout(PATIENCE, Client::connect(&options)).await.unwrap().unwrap();
        drop(timeout(PATIENCE, another.stream("user")).await.unwrap().unwrap());
    }
    assert_eq!(timeout(PATIENCE, client.members()).await.unwrap().unwrap().len(), 1);
    tasks_back_to(tasks).await;
    back_to(files, "descriptors of the client", || descriptors(std::process::id()));
    back_to(theirs, "descriptors of the agent", || descriptors(agent.pid()));
}

/// Loses the connection, which the next call replaces: an expression that cannot be read makes an agent of either kind close
/// it.
async fn lose(client: &Client) {
    let filter = MembersFilteredRequest { name: "(".into(), ..Default::default() };
    let closed = timeout(PATIENCE, client.members_filtered(filter)).await.unwrap();
    assert!(matches!(closed, Err(Error::Closed)), "{closed:?}");
}

/// Files and sockets that a process has open.
fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Waits until a number is no higher than before; `what` it counts.
fn back_to(before: usize, what: &str, count: impl Fn() -> usize) {
    eventually(what, || match count() {
        now if now <= before => Ok(()),
        now => Err(format!("{now}, {before} before")),
    });
}

fn alive() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

async fn tasks_back_to(before: usize) {
    let gone = async {
        while alive() > before {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap_or_else(|_| panic!("{} tasks, {before} before", alive()));
}
