//! What clients do to a group while it is disturbed, and the verdict on what they were told.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use folkmoot_linearizability::holds::{self, Hold};
use folkmoot_linearizability::models::{
    Counter, CounterCall, Queue, QueueAnswer, QueueCall, Register, RegisterAnswer, RegisterCall,
};
use folkmoot_linearizability::work::{Ledger, Outcome as Completion};
use folkmoot_linearizability::{History, Model, Operation, Recorder, Verdict, check, search::STEPS_MAX};

use super::call::{Caller, Endpoint, Outcome};
use super::random::Random;
use crate::support::{Value, rest};

/// Clients of each kind: within what the checker judges quickly.
const CLIENTS: u64 = 3;
/// When a client gives a request up and says that its outcome is unknown.
const GIVE_UP: Duration = Duration::from_secs(4);
/// Keys of each kind. With the clients of each kind it keeps few operations of one key at once (the checker likes it).
const KEYS: u64 = 3;
/// Time to live of holds that nobody releases.
const LEASE: Duration = Duration::from_millis(1_500);

/// So much before its end a lease is let go, to be certain that it was held until then.
const MARGIN: Duration = Duration::from_millis(200);

/// Everything that is recorded, shared by all clients.
#[derive(Default)]
pub struct Records {
    registers: Recorder<(u64, RegisterCall), RegisterAnswer>,
    counters: Recorder<(u64, CounterCall), i64>,
    queue: Recorder<QueueCall, QueueAnswer>,
    /// Its stamps are those of holds and of the ledger.
    clock: Recorder<(), ()>,
    holds: Mutex<Vec<(u64, Hold)>>,
    ledger: Mutex<Ledger>,
    /// Answered operations of all kinds.
    pub answered: AtomicU64,
    /// Operations of unknown outcome.
    pub unknown: AtomicU64,
    stop: AtomicBool,
}

/// Where registers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// From the group as it is.
    Current,
    /// From what one agent knows, another one for each client: a mistake, which the judge has to find.
    Stale,
}

/// Clients at work.
pub struct Load {
    pub records: Arc<Records>,
    endpoints: Vec<Endpoint>,
    seed: u64,
    reads: Reads,
    /// How often clients were started.
    rounds: u64,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts clients of each kind.
    pub fn start(endpoints: &[Endpoint], seed: u64, reads: Reads) -> Self {
        let (records, endpoints) = (Arc::default(), endpoints.to_vec());
        let mut load = Self { records, endpoints, seed, reads, rounds: 0, clients: Vec::new() };
        load.resume();
        load
    }

    /// Starts new clients, beside those that work already.
    pub fn resume(&mut self) {
        self.records.stop.store(false, Ordering::Relaxed);
        let kinds: [fn(&Records, &mut Client); 5] = [registers, counters, locks, work, queue];
        for (kind, run) in kinds.into_iter().enumerate() {
            // Two clients are enough to judge a queue, whose elements all depend on one another.
            let clients = if kind == 4 { CLIENTS.min(2) } else { CLIENTS };
            for place in 0..clients {
                let number = place + 10 * self.rounds + 100 * kind as u64;
                let first = usize::try_from(place).unwrap();
                let agent = &self.endpoints[first % self.endpoints.len()];
                let mut client = Client {
                    number,
                    caller: Caller::new(&self.endpoints, first),
                    stale: (self.reads == Reads::Stale).then(|| Caller::of_one(agent)),
                    random: Random::new(self.seed ^ (number << 32)),
                    made: 0,
                };
                let records = Arc::clone(&self.records);
                self.clients.push(std::thread::spawn(move || {
                    while !records.stop.load(Ordering::Relaxed) {
                        run(&records, &mut client);
                    }
                }));
            }
        }
        self.rounds += 1;
    }

    /// Ends all clients, each after what it is doing.
    pub fn pause(&mut self) {
        self.records.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            client.join().expect("a client has failed");
        }
    }

    /// Waits until `count` more operations were answered, at most `limit`. Says whether they were.
    pub fn progress(&self, count: u64, limit: Duration) -> bool {
        let goal = self.answered() + count;
        rest(limit, || self.answered() >= goal)
    }

    /// Waits until every lock was held and given up after the first `count` holds. Says whether that came.
    pub fn locks_all(&self, count: usize, limit: Duration) -> bool {
        rest(limit, || {
            let holds = self.records.holds.lock().unwrap();
            (0..KEYS).all(|key| holds[count..].iter().any(|(of, _)| *of == key))
        })
    }

    /// Holds so far that were given up.
    pub fn holds(&self) -> usize {
        self.records.holds.lock().unwrap().len()
    }

    /// Answers so far.
    pub fn answered(&self) -> u64 {
        self.records.answered.load(Ordering::Relaxed)
    }

    /// Stops all clients, reads what is left, and judges everything. The group has to be healthy.
    pub fn judge(mut self) -> Judgement {
        self.pause();
        let records = &self.records;
        let mut caller = Caller::new(&self.endpoints, 0);
        let mut judgement = Judgement::default();
        read_finally(records, &mut caller);
        for (key, history) in records.registers.history().by_key(|(key, _)| *key) {
            judgement.add(&format!("register {key}"), &Register, stripped(history));
        }
        for (key, history) in records.counters.history().by_key(|(key, _)| *key) {
            judgement.add(&format!("counter {key}"), &Counter, stripped(history));
        }
        let queue = records.queue.history();
        judgement.add("queue", &Queue::of(&queue), queue);
        let held = records.holds.lock().unwrap();
        for name in 0..KEYS {
            let holds: Vec<Hold> = held.iter().filter(|(key, _)| *key == name).map(|(_, hold)| hold.clone()).collect();
            judgement.holds += holds.len();
            judgement.violations.extend(holds::check(&holds).err().map(|text| format!("lock {name}: {text}")));
        }
        let ledger = records.ledger.lock().unwrap();
        judgement.items = ledger.put.len();
        judgement.violations.extend(ledger.check().err().map(|text| format!("work: {text}")));
        judgement.unknown = records.unknown.load(Ordering::Relaxed);
        judgement
    }
}

/// The verdict on one run.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Operations of registers, counters and the queue.
    pub operations: usize,
    pub holds: usize,
    pub items: usize,
    /// Operations whose outcome no client learned.
    pub unknown: u64,
    /// Histories that were too hard to judge.
    pub undecided: Vec<String>,
    pub violations: Vec<String>,
}

impl Judgement {
    fn add<M: Model>(&mut self, name: &str, model: &M, history: History<M::Call, M::Answer>) {
        self.operations += history.operations.len();
        match check(model, &history, STEPS_MAX) {
            Verdict::Linearizable => {}
            Verdict::Unknown { .. } => self.undecided.push(format!("{name}, {} operations", history.operations.len())),
            Verdict::Violation(text) => self.violations.push(format!("{name}: {text}")),
        }
    }
}

/// A history whose calls name a key first, without the key.
fn stripped<C, A>(history: History<(u64, C), A>) -> History<C, A> {
    let strip =
        |Operation { client, call: (_, call), invoked, answered }| Operation { client, call, invoked, answered };
    History { operations: history.operations.into_iter().map(strip).collect() }
}

/// One client, which does one thing after another.
struct Client {
    number: u64,
    caller: Caller,
    /// Reads what one agent knows, where that is asked for.
    stale: Option<Caller>,
    random: Random,
    made: u64,
}

impl Client {
    /// A number that nobody else writes.
    fn fresh(&mut self) -> u64 {
        self.made += 1;
        self.number * 1_000_000 + self.made
    }

    fn write(&mut self, records: &Records, command: &str, fields: &[(&str, Value)], wait: Duration) -> Outcome {
        let outcome = self.caller.write(command, fields, wait, GIVE_UP + wait);
        let counted = if outcome == Outcome::Unknown { &records.unknown } else { &records.answered };
        counted.fetch_add(u64::from(outcome != Outcome::Never), Ordering::Relaxed);
        outcome
    }
}

fn name(kind: &str, key: u64) -> Value {
    Value::text(&format!("{kind}-{key}"))
}

fn number(value: u64) -> Value {
    Value::Bin(value.to_string().into_bytes())
}

fn parsed(value: &Value) -> u64 {
    String::from_utf8(value.as_bytes()).unwrap().parse().unwrap()
}

fn unsigned(value: &Value) -> u64 {
    u64::try_from(value.as_int()).unwrap()
}

fn registers(records: &Records, client: &mut Client) {
    let key = client.random.below(KEYS);
    let call = match client.random.below(10) {
        0..4 => RegisterCall::Read,
        4..7 => RegisterCall::Write(client.fresh()),
        7..9 => {
            // What it was a moment ago: succeeds unless another client comes between.
            let Some(found) = find(records, client, key) else { return };
            RegisterCall::CompareAndSet { expected: found.map(|(_, revision)| revision), value: client.fresh() }
        }
        _ => RegisterCall::Delete,
    };
    if call == RegisterCall::Read {
        find(records, client, key);
        return;
    }
    let key_field = ("Key", name("register", key));
    let pending = records.registers.invoke(client.number, (key, call));
    let outcome = match call {
        RegisterCall::Write(value) => {
            client.write(records, "kv-put", &[key_field, ("Value", number(value))], Duration::ZERO)
        }
        RegisterCall::CompareAndSet { expected, value } => {
            let expected = ("Expected", Value::Int(expected.unwrap_or(0).into()));
            client.write(
                records,
                "kv-compare-and-set",
                &[expected, key_field, ("Value", number(value))],
                Duration::ZERO,
            )
        }
        RegisterCall::Delete | RegisterCall::Read => client.write(records, "kv-delete", &[key_field], Duration::ZERO),
    };
    match outcome {
        Outcome::Answer(answer) => records.registers.answer(pending, register_answer(call, &answer)),
        Outcome::Never => records.registers.withdraw(pending),
        Outcome::Unknown => {}
        Outcome::Refused(word) => panic!("{call:?} was refused: {word}"),
    }
}

fn register_answer(call: RegisterCall, answer: &Value) -> RegisterAnswer {
    match call {
        RegisterCall::Delete => RegisterAnswer::Deleted(answer.get("Keys").as_int() > 0),
        RegisterCall::CompareAndSet { .. } if *answer.get("Written") == Value::Bool(false) => {
            RegisterAnswer::Found(entry(answer))
        }
        RegisterCall::Write(_) | RegisterCall::CompareAndSet { .. } | RegisterCall::Read => {
            RegisterAnswer::Written(unsigned(answer.get("Revision")))
        }
    }
}

fn entry(answer: &Value) -> Option<(u64, u64)> {
    let entry = answer.get("Entry");
    (*entry != Value::Nil).then(|| (parsed(entry.get("Value")), unsigned(entry.get("Modified"))))
}

/// Reads a register; `None` if nobody answered.
fn find(records: &Records, client: &mut Client, key: u64) -> Option<Option<(u64, u64)>> {
    let pending = records.registers.invoke(client.number, (key, RegisterCall::Read));
    let fields = [("Key", name("register", key))];
    let found = match &mut client.stale {
        Some(caller) => caller.read_as("kv-get", &fields, true, GIVE_UP)?,
        None => client.caller.read("kv-get", &fields, GIVE_UP)?,
    };
    let found = entry(&found.unwrap_or_else(|error| panic!("a read was refused: {error}")));
    records.registers.answer(pending, RegisterAnswer::Found(found));
    records.answered.fetch_add(1, Ordering::Relaxed);
    Some(found)
}

fn counters(records: &Records, client: &mut Client) {
    let key = client.random.below(KEYS);
    if client.random.below(3) == 0 {
        let pending = records.counters.invoke(client.number, (key, CounterCall::Read));
        if let Some(Ok(answer)) = client.caller.read("counter-get", &[("Name", name("counter", key))], GIVE_UP) {
            records.counters.answer(pending, i64::try_from(answer.get("Value").as_int()).unwrap());
            records.answered.fetch_add(1, Ordering::Relaxed);
        }
        return;
    }
    let pending = records.counters.invoke(client.number, (key, CounterCall::Add(1)));
    let fields = [("By", Value::Int(1)), ("Name", name("counter", key))];
    match client.write(records, "counter-add", &fields, Duration::ZERO) {
        Outcome::Answer(answer) => {
            records.counters.answer(pending, i64::try_from(answer.get("Value").as_int()).unwrap());
        }
        Outcome::Never => records.counters.withdraw(pending),
        Outcome::Unknown => {}
        Outcome::Refused(word) => panic!("an addition was refused: {word}"),
    }
}

/// When a client stops to rely on a lease that it took at `begun`: now, or at the moment it learned of it if the lease may
/// have run out since. (The lease began after the client asked for it, so it is safe for its length from then on.)
fn given_up(records: &Records, begun: Instant, lease: Duration, granted: u64) -> Option<u64> {
    let stamp = records.clock.stamp();
    Some(if begun.elapsed() < lease { stamp } else { granted })
}

/// Waits for a lock, holds it for a moment, and gives it back; one hold in three is left to its time to live instead.
fn locks(records: &Records, client: &mut Client) {
    let key = client.random.below(KEYS);
    let leaves = client.random.below(3) == 0;
    // Also the others have one, or a hold whose grant nobody learned of would block the lock for good.
    let lease = if leaves { LEASE } else { 4 * LEASE };
    let wait = Duration::from_secs(2);
    let fields = [
        ("Kind", Value::text("lock")),
        ("Name", name("lock", key)),
        ("TTL", Value::Int(lease.as_millis().try_into().unwrap())),
        ("Wait", Value::Int(wait.as_millis().try_into().unwrap())),
    ];
    let (asked, begun) = (records.clock.stamp(), Instant::now());
    let Outcome::Answer(answer) = client.write(records, "lock-acquire", &fields, wait) else { return };
    let granted = records.clock.stamp();
    let held = if leaves {
        (lease - MARGIN).saturating_sub(begun.elapsed())
    } else {
        Duration::from_millis(client.random.below(30))
    };
    rest(held, || false);
    let given_up = given_up(records, begun, lease, granted);
    let hold = Hold { client: client.number, token: unsigned(answer.get("Token")), asked, granted, given_up };
    records.holds.lock().unwrap().push((key, hold));
    if !leaves {
        let fields = [("Hold", answer.get("Hold").clone()), ("Kind", Value::text("lock")), ("Name", name("lock", key))];
        client.write(records, "lock-release", &fields, Duration::ZERO);
    }
}

/// Puts an item, or claims some and completes, fails, or abandons them.
fn work(records: &Records, client: &mut Client) {
    let queue = ("Name", name("work", 0));
    if client.random.below(2) == 0 {
        let payload = client.fresh();
        records.ledger.lock().unwrap().perhaps_put.insert(payload);
        let outcome = client.write(records, "work-put", &[queue, ("Payload", number(payload))], Duration::ZERO);
        let mut ledger = records.ledger.lock().unwrap();
        if outcome != Outcome::Unknown {
            ledger.perhaps_put.remove(&payload);
        }
        if matches!(outcome, Outcome::Answer(_)) {
            ledger.put.insert(payload);
        }
        return;
    }
    let lease = ("Lease", Value::Int(LEASE.as_millis().try_into().unwrap()));
    let (asked, begun) = (records.clock.stamp(), Instant::now());
    let fields = [lease, ("Most", Value::Int(2)), queue.clone(), ("Wait", Value::Int(0))];
    let Outcome::Answer(answer) = client.write(records, "work-claim", &fields, Duration::ZERO) else { return };
    let granted = records.clock.stamp();
    for item in answer.get("Items").as_array() {
        let end = client.random.below(10);
        if end == 0 {
            rest((LEASE - MARGIN).saturating_sub(begun.elapsed()), || false);
        }
        let given_up = given_up(records, begun, LEASE, granted);
        let payload = parsed(item.get("Payload"));
        let token = unsigned(item.get("Token"));
        let hold = Hold { client: client.number, token, asked, granted, given_up };
        records.ledger.lock().unwrap().claims.push((payload, hold));
        let named = [("Item", item.get("Item").clone()), queue.clone(), ("Token", item.get("Token").clone())];
        match end {
            0 => {}
            1 => drop(client.write(records, "work-fail", &named, Duration::ZERO)),
            _ => complete(records, client, payload, &named),
        }
    }
}

fn complete(records: &Records, client: &mut Client, payload: u64, named: &[(&str, Value)]) {
    let completion = match client.write(records, "work-complete", named, Duration::ZERO) {
        Outcome::Answer(_) => Completion::Accepted { answered: records.clock.stamp() },
        Outcome::Refused(word) if word == "stale-lease" => Completion::Stale,
        Outcome::Refused(word) => panic!("a completion was refused: {word}"),
        Outcome::Never => return,
        Outcome::Unknown => Completion::Unknown,
    };
    records.ledger.lock().unwrap().completions.push((payload, completion));
}

fn queue(records: &Records, client: &mut Client) {
    let put = client.random.below(2) == 0;
    let call = if put { QueueCall::Put(client.fresh()) } else { QueueCall::Get };
    let named = [("Kind", Value::text("fifo")), ("Name", name("queue", 0))];
    let pending = records.queue.invoke(client.number, call);
    let outcome = match call {
        QueueCall::Put(value) => {
            let [kind, queue] = named;
            client.write(records, "queue-put", &[kind, queue, ("Value", number(value))], Duration::ZERO)
        }
        QueueCall::Get => client.write(records, "queue-get", &named, Duration::ZERO),
    };
    match (call, outcome) {
        (QueueCall::Put(_), Outcome::Answer(_)) => records.queue.answer(pending, QueueAnswer::Done),
        (QueueCall::Get, Outcome::Answer(answer)) => {
            records.queue.answer(pending, QueueAnswer::Taken(Some(parsed(answer.get("Element")))));
        }
        (QueueCall::Get, Outcome::Refused(word)) if word == "empty" => {
            records.queue.answer(pending, QueueAnswer::Taken(None));
        }
        (_, Outcome::Refused(word)) => panic!("{call:?} was refused: {word}"),
        (_, Outcome::Never) => records.queue.withdraw(pending),
        (_, Outcome::Unknown) => {}
    }
}

/// Reads every register and counter once more, and what is left of the work.
fn read_finally(records: &Records, caller: &mut Caller) {
    const LAST: u64 = 999;
    let patience = Duration::from_secs(30);
    for key in 0..KEYS {
        let pending = records.registers.invoke(LAST, (key, RegisterCall::Read));
        let answer = caller.read("kv-get", &[("Key", name("register", key))], patience).unwrap().unwrap();
        records.registers.answer(pending, RegisterAnswer::Found(entry(&answer)));
        let pending = records.counters.invoke(LAST, (key, CounterCall::Read));
        let answer = caller.read("counter-get", &[("Name", name("counter", key))], patience).unwrap().unwrap();
        records.counters.answer(pending, i64::try_from(answer.get("Value").as_int()).unwrap());
    }
    let (mut left, mut after) = (BTreeSet::new(), 0);
    loop {
        let fields = [("After", Value::Int(after)), ("Name", name("work", 0)), ("State", Value::text(""))];
        // A queue to which nothing was ever put does not exist.
        let Ok(page) = caller.read("work-list", &fields, patience).unwrap() else { break };
        let items = page.get("Items").as_array();
        let Some(last) = items.last() else { break };
        after = last.get("Item").as_int();
        left.extend(items.iter().map(|item| parsed(item.get("Payload"))));
    }
    records.ledger.lock().unwrap().left = left;
}
