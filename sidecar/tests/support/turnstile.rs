//! Lets queries of many clients through one by one, and no faster than gossip carries them.
//!
//! Go's agent reads its query clock and advances it in two steps: two queries that come at the same moment get one number,
//! and the answers to the first are lost (`docs/compatibility.md`). So the next query starts when the agent has answered
//! the one before; for a command, this sees it because it passes the bytes on.
//!
//! As long as all queries that wait to be told fit one packet, each is told to every member of a small cluster at once;
//! with more, chance decides who hears which, and now and then a member misses one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Agent, Rpc, Value, eventually};

/// Queries in any agent's queue when another one starts. A query of the tests takes less than 200 bytes of the 1,400 of a
/// packet.
const QUEUED_MAX: u32 = 4;

/// In front of the agents of one cluster.
#[derive(Debug)]
pub struct Turnstile {
    agents: Vec<SocketAddr>,
    turn: Mutex<()>,
}

impl Turnstile {
    /// With one other member there is nobody to be missed, and nothing to be waited for: `agents` is empty then.
    pub fn new(agents: &[Agent]) -> Self {
        Self { agents: agents.iter().map(Agent::rpc_address).collect(), turn: Mutex::new(()) }
    }

    /// To be held from before a query until its reply.
    pub fn enter(&self) -> MutexGuard<'_, ()> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for agent in &self.agents {
            let mut rpc = Rpc::connect(*agent);
            eventually(&format!("{agent} has told most queries"), || {
                let stats = rpc.ask("stats", None)?;
                let queued: u32 = stats.get("serf").get("query_queue").as_text().parse().unwrap();
                if queued <= QUEUED_MAX { Ok(()) } else { Err(format!("{queued} are left")) }
            });
            rpc.finish();
        }
        turn
    }

    /// Starts a command for `agent` by telling `start` where to connect to; returns when the agent has sent `objects`, the
    /// last of them the reply to its query, or when the command has ended.
    pub fn pass(&self, agent: SocketAddr, objects: usize, start: impl FnOnce(SocketAddr) -> Child) -> Child {
        let _turn = self.enter();
        let listener = TcpListener::bind((agent.ip(), 0)).unwrap();
        let mut child = start(listener.local_addr().unwrap());
        let replies = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&replies);
        std::thread::spawn(move || {
            // Without a connection the command was refused before it made one.
            if let Ok((client, _)) = listener.accept() {
                carry(client, TcpStream::connect(agent).unwrap(), &seen);
            }
        });
        eventually("the query is under way", || {
            let over = replies.load(Ordering::Relaxed) >= objects || child.try_wait().unwrap().is_some();
            if over { Ok(()) } else { Err("no reply yet".to_owned()) }
        });
        child
    }
}

/// Passes bytes on in both directions and counts objects that come from the agent.
fn carry(client: TcpStream, agent: TcpStream, replies: &AtomicUsize) {
    let (from_client, to_agent) = (client.try_clone().unwrap(), agent.try_clone().unwrap());
    std::thread::spawn(move || pass_on(from_client, to_agent, |_| {}));
    let mut unread = Vec::new();
    pass_on(agent, client, |bytes| {
        unread.extend_from_slice(bytes);
        while let Ok((_, length)) = Value::read(&unread) {
            unread.drain(..length);
            replies.fetch_add(1, Ordering::Relaxed);
        }
    });
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, mut seen: impl FnMut(&[u8])) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
        seen(&bytes[..length]);
    }
    // The other side may be gone already.
    let _ = to.shutdown(std::net::Shutdown::Both);
}
