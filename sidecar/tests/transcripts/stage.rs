//! The set-ups the recordings name: which agents run, where, and what somebody else does while a client talks.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::rpc::{Answers, Rpc};
use crate::support::{Agent, Kind, Loopback, Signal, Value, eventually};

/// How long a query of somebody else lasts: enough for a machine that stands still for some seconds.
pub const ASKED_FOR: Duration = Duration::from_secs(5);

/// The agents of one set-up and whoever else is connected to them.
pub struct Stage {
    pub kind: Kind,
    /// The agents are on 127.0.`net`.*.
    pub net: u8,
    pub agents: Vec<Agent>,
    /// The agent the recorded client was connected to.
    pub client_of: usize,
    /// Connections that listen for queries to answer, per agent.
    responders: Vec<(String, Rpc)>,
    /// A client with a query under way.
    pub asker: Option<Rpc>,
    /// What it got, once it has read all.
    pub answers: Option<Answers>,
    /// Where keyring and configuration files are.
    pub folder: PathBuf,
}

impl Stage {
    fn of(kind: Kind, net: u8, agents: Vec<Agent>) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        Self { kind, net, agents, client_of: 0, responders: Vec::new(), asker: None, answers: None, folder }
    }

    /// `alpha` and `beta` as most recordings have them, joined and quiet.
    pub fn pair(kind: Kind, alpha: &[&str], beta: &[&str]) -> Self {
        let alpha = [&["-profile=local"], alpha].concat();
        let beta = [&["-profile=local"], beta].concat();
        let net = any_net();
        let agents = vec![start(kind, "alpha", [net, 1], &alpha), start(kind, "beta", [net, 2], &beta)];
        assert_eq!(agents[1].rpc().join(&[&agents[0].gossip()]), Ok(1));
        let stage = Self::of(kind, net, agents);
        stage.settle();
        stage
    }

    /// One agent alone.
    pub fn single(kind: Kind, name: &str, host: u8, arguments: &[&str]) -> Self {
        let net = any_net();
        let stage = Self::of(kind, net, vec![start(kind, name, [net, host], arguments)]);
        stage.settle();
        stage
    }

    /// One agent that asks for a key; nobody can watch it settle without it.
    pub fn of_secured(kind: Kind, key: &str) -> Self {
        let net = any_net();
        let address = Loopback::exactly(Ipv4Addr::new(127, 0, net, 7));
        Self::of(kind, net, vec![Agent::start_secured(kind, "secure", Arc::new(address), key)])
    }

    /// Starts another agent and joins it to the first.
    pub fn add(&mut self, name: &str, host: u8, arguments: &[&str]) {
        // An earlier process of this name gives its address back.
        self.agents.retain(|other| other.name != name);
        let agent = start(self.kind, name, [self.net, host], &[arguments, &["-profile=local"]].concat());
        assert_eq!(agent.rpc().join(&[&self.agents[0].gossip()]), Ok(1));
        self.agents.push(agent);
    }

    /// Starts two agents that know each other and joins them to the first in one step: it hears of both at once.
    pub fn add_both(&mut self, names: [&str; 2], hosts: [u8; 2], arguments: &[&str]) {
        let arguments = [arguments, &["-profile=local"]].concat();
        let [one, other] = [0, 1].map(|index| start(self.kind, names[index], [self.net, hosts[index]], &arguments));
        assert_eq!(other.rpc().join(&[&one.gossip()]), Ok(1));
        let mut rpc = one.rpc();
        eventually("the two know each other", || match rpc.statuses().len() {
            2 => Ok(()),
            number => Err(format!("{number} members")),
        });
        rpc.finish();
        assert_eq!(one.rpc().join(&[&self.agents[0].gossip()]), Ok(1));
        self.agents.extend([one, other]);
    }

    /// Waits until all agents see one another alive and no event is on its way to a client: member events are held back
    /// for 1 s, so 2 s of silence mean quiet.
    pub fn settle(&self) {
        let expected = self.agents.len();
        for agent in &self.agents {
            let mut rpc = agent.rpc();
            eventually(&format!("{} sees everybody", agent.name), || {
                let statuses = rpc.statuses();
                let alive = statuses.values().filter(|status| *status == "alive").count();
                if alive == expected { Ok(()) } else { Err(format!("{statuses:?}")) }
            });
            rpc.finish();
        }
        let mut stream = self.agents[0].rpc();
        stream.stream("*");
        while stream.record(Duration::from_secs(2)).is_some() {}
        stream.finish();
    }

    pub fn agent(&mut self, name: &str) -> &mut Agent {
        self.agents.iter_mut().find(|agent| agent.name == name).unwrap_or_else(|| panic!("no agent {name}"))
    }

    /// A connection to the agent of this name.
    pub fn rpc(&mut self, name: &str) -> Rpc {
        self.agent(name).rpc()
    }

    /// Fires an event with the payload as it is (nil, text or bin).
    pub fn fire(&mut self, on: &str, name: &Value, payload: &Value, coalesce: &Value) {
        let body = [("Name", name.clone()), ("Payload", payload.clone()), ("Coalesce", coalesce.clone())];
        let mut rpc = self.rpc(on);
        rpc.call("event", Some(Value::map(body))).unwrap();
        rpc.finish();
    }

    /// Fires coalesced events that have to come within one second: all in one write.
    pub fn fire_coalesced(&mut self, on: &str, name: &Value, payloads: impl Iterator<Item = Value>) {
        let mut rpc = self.rpc(on);
        let bodies = payloads
            .map(|payload| Value::map([("Name", name.clone()), ("Payload", payload), ("Coalesce", Value::Bool(true))]));
        rpc.send_all("event", bodies);
        rpc.finish();
    }

    /// Starts a query whose asker stays connected.
    pub fn ask(&mut self, on: &str, name: &Value, payload: &Value) {
        let timeout = Value::Int(i128::try_from(ASKED_FOR.as_nanos()).unwrap());
        let acks = ("RequestAck", Value::Bool(true));
        let body = [("Name", name.clone()), ("Payload", payload.clone()), acks, ("Timeout", timeout)];
        let mut rpc = self.rpc(on);
        rpc.query(Value::map(body)).unwrap();
        self.asker = Some(rpc);
    }

    /// Makes every agent listen for `load` queries, to be answered by [`Self::answer`].
    pub fn listen(&mut self) {
        let open = |agent: &Agent| {
            let mut rpc = agent.rpc();
            rpc.stream("query:load");
            (agent.name.clone(), rpc)
        };
        self.responders = self.agents.iter().map(open).collect();
    }

    /// Answers the query that just came, on the agent of this name.
    pub fn answer(&mut self, name: &str, payload: &Value) {
        let (_, rpc) = self.responders.iter_mut().find(|(other, _)| other == name).unwrap();
        let record = rpc.record(crate::support::PATIENCE).expect("the query arrives");
        let body = [("ID", record.get("ID").clone()), ("Payload", payload.clone())];
        rpc.call("respond", Some(Value::map(body))).unwrap();
    }

    /// Ends the agent in this way, waits until the process is gone, and gives its address back.
    pub fn end(&mut self, name: &str, signal: Signal) {
        let agent = self.agent(name);
        agent.signal(signal);
        agent.wait_for_exit();
        self.agents.retain(|agent| agent.name != name);
    }

    /// Waits until the first agent shows a node in this state.
    pub fn wait_for_status(&mut self, node: &str, status: &str) {
        let mut rpc = self.agents[0].rpc();
        eventually(&format!("{node} is {status}"), || {
            let statuses = rpc.statuses();
            if statuses.get(node).is_some_and(|shown| shown == status) { Ok(()) } else { Err(format!("{statuses:?}")) }
        });
        rpc.finish();
    }
}

/// Where agents of the recordings may be: two tests that run at the same time rarely wait for one another.
const NETS: [u8; 4] = [13, 14, 15, 16];

fn any_net() -> u8 {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NETS[NEXT.fetch_add(1, Ordering::Relaxed) % NETS.len()]
}

/// An agent where the recordings have it, in this network at this host.
fn start(kind: Kind, name: &str, [net, host]: [u8; 2], arguments: &[&str]) -> Agent {
    let address = Loopback::exactly(Ipv4Addr::new(127, 0, net, host));
    Agent::start_at(kind, name, Arc::new(address), arguments)
}
