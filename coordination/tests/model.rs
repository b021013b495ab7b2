//! The machine against a naive one (`model/naive.rs`) with random requests: every reply, every answer to a waiting call
//! and every revision must be as predicted, at every point. On the way: two replicas stay equal byte for byte, one of them
//! being replaced by what its snapshot restores; watchers get every event once, in order; tokens rise; nothing is held
//! twice.
//!
//! `FOLKMOOT_MODEL_COMMANDS` sets the number of commands (default: a few seconds of a debug build), `FOLKMOOT_MODEL_SEED`
//! the first seed. A failure prints its seed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on has failed")]
#![allow(clippy::wildcard_enum_match_arm, reason = "properties look at some of the variants")]

#[path = "model/naive.rs"]
mod naive;
#[path = "model/naive_objects.rs"]
mod naive_objects;
#[path = "model/naive_work.rs"]
mod naive_work;
#[path = "model/observer.rs"]
mod observer;
#[path = "model/random.rs"]
mod random;

use std::collections::BTreeSet;

use folkmoot_coordination::{
    Acknowledged, Change, ClientId, Command, Entry, LogIndex, Machine, Reply, Request, RequestId, Revision, Ticket,
    TimeMs, WallMs,
};

use naive::Naive;
use observer::Observer;
use random::Generator;

const COMMANDS_PER_SEED: u64 = 1_000;

#[expect(clippy::disallowed_methods, reason = "a longer run is asked for by environment variable")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn the_machine_does_what_the_naive_one_predicts() {
    let commands = setting("FOLKMOOT_MODEL_COMMANDS", 120_000);
    let first = setting("FOLKMOOT_MODEL_SEED", 1);
    for seed in first..first + commands.div_ceil(COMMANDS_PER_SEED) {
        let result = std::panic::catch_unwind(|| World::new(seed).run());
        assert!(result.is_ok(), "FOLKMOOT_MODEL_SEED={seed} FOLKMOOT_MODEL_COMMANDS={COMMANDS_PER_SEED}");
    }
}

/// A client as the test plays it.
struct Client {
    id: ClientId,
    next: u64,
    acknowledged: u64,
    sent: Vec<Request>,
}

struct World {
    generator: Generator,
    machine: Machine,
    replica: Machine,
    naive: Naive,
    observer: Observer,
    clients: Vec<Client>,
    /// The last client's number.
    drawn: u64,
    index: u64,
    time: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            generator: Generator::new(seed),
            machine: Machine::new(),
            replica: Machine::new(),
            naive: Naive::default(),
            observer: Observer::default(),
            clients: Vec::new(),
            drawn: 0,
            index: 0,
            time: 0,
        }
    }

    fn run(mut self) {
        for _ in 0..COMMANDS_PER_SEED {
            let command = self.command();
            self.apply(command);
            if self.generator.random.chance(5) {
                self.restore();
            }
            if self.generator.random.chance(5) {
                self.naive.compare(|query| self.machine.read(query));
                self.observer.compare(&self.machine);
            }
        }
    }

    /// Passes time, most often a little, sometimes backwards, sometimes exactly to the next deadline.
    fn pass_time(&mut self) {
        let random = &mut self.generator.random;
        match random.below(20) {
            0 => self.time = self.time.saturating_sub(5),
            1 => self.time += random.below(300),
            2 | 3 => self.time = self.machine.next_expiry().map_or(self.time, |time| time.0.min(self.time + 300)),
            _ => self.time += random.below(8),
        }
    }

    fn command(&mut self) -> Command {
        self.pass_time();
        if self.clients.len() < 3 {
            self.drawn += 1;
            return self.register(ClientId(self.drawn));
        }
        match self.generator.random.below(60) {
            0 => return Command::Tick,
            1 => return Command::NodeGone { node: self.generator.node() },
            2 if self.generator.random.chance(20) => {
                let revision = self.machine.revision().0 + self.generator.random.below(9);
                return Command::RaiseRevision { revision: Revision(revision.saturating_sub(4)) };
            }
            3 if self.generator.random.chance(20) => {
                return Command::Compact { revision: Revision(self.machine.revision().0.saturating_sub(50)) };
            }
            4 => return Command::ConnectionGone { session: self.generator.known_session() },
            5 | 6 => return self.caller_gone(),
            // The answer of the first time was lost; it may have expired since.
            7 => {
                let client = ClientId(1 + self.generator.random.below(self.drawn));
                return self.register(client);
            }
            _ => {}
        }
        let place = self.generator.random.below(3) as usize;
        let client = &mut self.clients[place];
        if self.generator.random.chance(8) && !client.sent.is_empty() {
            let again = self.generator.random.below(client.sent.len() as u64) as usize;
            return Command::Client(client.sent[again].clone());
        }
        client.next += 1;
        if self.generator.random.chance(20) {
            client.acknowledged = client.acknowledged.max(client.next.saturating_sub(self.generator.random.below(10)));
        }
        let mut open = BTreeSet::new();
        if self.generator.random.chance(20) {
            let ago = (1..12).filter(|_| self.generator.random.chance(30));
            open.extend(ago.map(|ago| RequestId(client.acknowledged.saturating_sub(ago))));
        }
        let request = Request {
            client: client.id,
            request: RequestId(client.next),
            acknowledged: Acknowledged { below: RequestId(client.acknowledged), open },
            operation: self.generator.operation(RequestId(client.next)),
        };
        client.sent.push(request.clone());
        if client.sent.len() > 10 {
            client.sent.remove(0);
        }
        Command::Client(request)
    }

    fn register(&mut self, client: ClientId) -> Command {
        let ttl = 300 + self.generator.random.below(500);
        Command::RegisterClient { client, ttl: ttl.try_into().unwrap() }
    }

    /// One of the last calls of a client is given up, whether it waits or not.
    fn caller_gone(&mut self) -> Command {
        let place = self.generator.random.below(3) as usize;
        let ago = self.generator.random.below(6);
        let client = &self.clients[place];
        let ticket = Ticket { client: client.id, request: RequestId(client.next.saturating_sub(ago)) };
        Command::CallerGone { ticket }
    }

    fn apply(&mut self, command: Command) {
        self.index += 1;
        let entry = Entry { time: TimeMs(self.time), wall: WallMs(self.index), command };
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        let entry = Entry::decode(&bytes).unwrap();

        let (mut changes, mut again) = (Vec::new(), Vec::new());
        let reply = self.machine.apply(LogIndex(self.index), &entry, &mut changes);
        let repeated = self.replica.apply(LogIndex(self.index), &entry, &mut again);
        assert_eq!((&reply, &changes), (&repeated, &again), "two replicas");
        let predicted = self.naive.apply(&entry);
        assert_eq!(reply, predicted, "reply to {entry:?}");
        assert_eq!(self.machine.revision(), self.naive.revision, "revision after {entry:?}");
        let answered = changes.iter().filter_map(|change| match change {
            Change::Answered { ticket, reply } => Some((*ticket, reply.clone())),
            Change::Event(_) => None,
        });
        let answered: Vec<_> = answered.collect();
        assert_eq!(answered, std::mem::take(&mut self.naive.answers), "answers after {entry:?}");

        self.observer.observe(&changes);
        self.generator.learn(&reply);
        answered.iter().for_each(|(_, reply)| self.generator.learn(reply));
        self.learn_clients(&reply);
    }

    /// Registered clients join; one that has expired is given up.
    fn learn_clients(&mut self, reply: &Reply) {
        if let Reply::Registered(id) = reply
            && !self.clients.iter().any(|client| client.id == *id)
        {
            self.clients.push(Client { id: *id, next: 0, acknowledged: 0, sent: Vec::new() });
        }
        if *reply == Reply::Refused(folkmoot_coordination::Refusal::ClientExpired) {
            let machine = &self.naive;
            self.clients.retain(|client| machine.is_registered(client.id));
        }
    }

    /// The replica goes on from a snapshot, as one that was restarted, and is the same machine in all that is derived, too.
    fn restore(&mut self) {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        self.machine.snapshot(&mut ours);
        self.replica.snapshot(&mut theirs);
        assert_eq!(ours, theirs, "replicas are equal byte for byte");
        self.replica = Machine::restore(&ours).unwrap();
        assert_eq!(self.replica, self.machine, "what is rebuilt is what was built step by step");
    }
}
