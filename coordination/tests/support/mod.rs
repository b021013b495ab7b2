//! A machine with a clock in hand: requests of numbered clients, at times that the test says.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;

use folkmoot_coordination::kv::{self, Life, Put};
use folkmoot_coordination::lock::{Acquire, Mode};
use folkmoot_coordination::{
    Acknowledged, Change, ClientId, Command, Entry, Event, HoldId, Key, LogIndex, Machine, Operation, Patience, Query,
    Refusal, Reply, Request, RequestId, Revision, SessionId, Ticket, TimeMs, Ttl, Value, WallMs, lock, session,
};

/// A machine and what the test knows about it.
pub struct Fixture {
    pub machine: Machine,
    pub time: u64,
    pub changes: Vec<Change>,
    next: BTreeMap<ClientId, u64>,
    /// The last client's number.
    drawn: u64,
}

impl Fixture {
    pub fn new() -> Self {
        Self { machine: Machine::new(), time: 0, changes: Vec::new(), next: BTreeMap::new(), drawn: 0 }
    }

    /// One whose clients have numbers above this one.
    pub fn drawing_from(drawn: u64) -> Self {
        Self { drawn, ..Self::new() }
    }

    /// Applies a command; `changes` are those of this entry.
    pub fn apply(&mut self, command: Command) -> Reply {
        let entry = Entry { time: TimeMs(self.time), wall: WallMs(0), command };
        self.changes.clear();
        let index = LogIndex(self.machine.applied().0 + 1);
        self.machine.apply(index, &entry, &mut self.changes)
    }

    /// Lets time pass to `time`.
    pub fn tick(&mut self, time: u64) {
        self.time = time;
        assert_eq!(self.apply(Command::Tick), Reply::Done);
    }

    /// A client that lives for a day.
    pub fn client(&mut self) -> ClientId {
        self.client_for(86_400_000)
    }

    /// A client that is forgotten after `millis` of silence.
    pub fn client_for(&mut self, millis: u64) -> ClientId {
        self.drawn += 1;
        let client = ClientId(self.drawn);
        assert_eq!(self.apply(Command::RegisterClient { client, ttl: ttl(millis) }), Reply::Registered(client));
        client
    }

    /// Sends the client's next request and acknowledges all before it that do not wait.
    pub fn ask(&mut self, client: ClientId, operation: Operation) -> Reply {
        let request = self.request(client, operation);
        self.apply(Command::Client(request))
    }

    /// The client's next request.
    pub fn request(&mut self, client: ClientId, operation: Operation) -> Request {
        let next = self.next.entry(client).or_default();
        *next += 1;
        Request { client, request: RequestId(*next), acknowledged: Acknowledged::default(), operation }
    }

    pub fn put(&mut self, client: ClientId, key: &str, value: &str, life: Life) -> Reply {
        self.ask(client, put(key, value, life))
    }

    pub fn get(&self, name: &str) -> Option<kv::Entry> {
        match self.machine.read(&Query::Kv(kv::Query::Get(key(name)))) {
            Reply::Kv(kv::Reply::Found(entry)) => entry,
            other => panic!("{other:?}"),
        }
    }

    pub fn session(&mut self, client: ClientId, millis: u64, with_node: Option<&str>) -> SessionId {
        let with_node = with_node.map(key);
        let create = session::Command::Create { ttl: ttl(millis), with_client: false, with_node };
        match self.ask(client, Operation::Session(create)) {
            Reply::Session(session::Reply::Created(session)) => session,
            other => panic!("{other:?}"),
        }
    }

    /// What the last entry answered to a waiting call.
    pub fn answer(&self, ticket: Ticket) -> Option<Reply> {
        self.changes.iter().find_map(|change| match change {
            Change::Answered { ticket: one, reply } if *one == ticket => Some(reply.clone()),
            Change::Answered { .. } | Change::Event(_) => None,
        })
    }

    pub fn events(&self) -> Vec<Event> {
        let event = |change: &Change| match change {
            Change::Event(event) => Some(event.clone()),
            Change::Answered { .. } => None,
        };
        self.changes.iter().filter_map(event).collect()
    }
}

pub fn key(text: &str) -> Key {
    Key::try_from(text).unwrap()
}

pub fn value(text: &str) -> Value {
    Value::try_from(text).unwrap()
}

pub fn ttl(millis: u64) -> Ttl {
    Ttl::try_from(millis).unwrap()
}

pub fn put(name: &str, text: &str, life: Life) -> Operation {
    Operation::Kv(kv::Command::Put(Put { key: key(name), value: value(text), life }))
}

pub fn acquire(name: &str, mode: Mode, session: Option<SessionId>, ttl: Option<Ttl>, patience: Patience) -> Operation {
    Operation::Lock(lock::Command::Acquire(Acquire { name: key(name), mode, session, ttl, patience }))
}

pub fn waiting(reply: &Reply) -> Ticket {
    match reply {
        Reply::Waiting { ticket, .. } => *ticket,
        other => panic!("{other:?}"),
    }
}

pub fn held(reply: &Reply) -> (HoldId, Revision) {
    match reply {
        Reply::Held { hold, token, .. } => (*hold, *token),
        other => panic!("{other:?}"),
    }
}

pub fn refusal(reply: &Reply) -> &Refusal {
    match reply {
        Reply::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}
