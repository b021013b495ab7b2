//! Sends the rows of `request_rows.rs` to a Go agent and to ours in one cluster and compares all that comes back, object
//! by object, with types and with the order of keys.

use std::collections::BTreeMap;

use super::cluster::{Cluster, View};
use super::commands::KEY;
use super::normal::of_0_9_4;
use super::request_rows::{self as rows, Row, Step};
use super::support::rpc::Received;
use super::support::{Agent, Kind, Loopback, PATIENCE, Rpc, Turnstile, Value};

/// The Seq of the request whose reply says that everything before is answered.
const FENCE: u64 = 1 << 40;

/// What came back, per Seq: errors and bodies in order; and how it ended.
#[derive(Debug, PartialEq)]
struct Conversation {
    messages: BTreeMap<i128, Vec<(String, Option<Value>)>>,
    closed: bool,
}

/// One connection under way.
struct Client<'a> {
    view: View<'a>,
    rpc: Rpc,
    conversation: Conversation,
    /// The Seq of the header that came last, as long as its body may follow.
    last: Option<i128>,
    fences: u64,
}

impl<'a> Client<'a> {
    fn new(view: View<'a>) -> Self {
        let rpc = Rpc::connect_raw(view.agent().rpc_address());
        let conversation = Conversation { messages: BTreeMap::new(), closed: false };
        Self { view, rpc, conversation, last: None, fences: FENCE }
    }

    /// Takes one object; false when the agent has closed the connection.
    fn take(&mut self) -> bool {
        match self.rpc.receive(PATIENCE) {
            Received::Object(object) if is_header(&object) => {
                let seq = object.get("Seq").as_int();
                self.last = Some(seq);
                let messages = self.conversation.messages.entry(seq).or_default();
                messages.push((self.view.anonymous(&object.get("Error").as_text()), None));
            }
            Received::Object(body) => {
                let seq = self.last.take().unwrap_or_else(|| panic!("a body without a header: {body:?}"));
                let message = self.conversation.messages.get_mut(&seq).unwrap().last_mut().unwrap();
                message.1 = Some(body);
            }
            Received::Closed => self.conversation.closed = true,
            other @ (Received::Silence | Received::Garbage) => panic!("{other:?} after {:?}", self.conversation),
        }
        !self.conversation.closed
    }

    fn send(&mut self, seq: u64, command: &str, body: Option<&Value>) {
        let header = [("Command", Value::text(command)), ("Seq", Value::Int(i128::from(seq)))];
        let mut bytes = Value::map(header).encode();
        bytes.extend(body.iter().flat_map(|body| concrete(self.view, body).encode()));
        self.rpc.send_bytes(&bytes);
    }

    /// Waits until everything sent is answered, or the connection closed.
    fn fence(&mut self) {
        self.fences += 1;
        let fence = i128::from(self.fences);
        self.send(self.fences, "get-coordinate", Some(&Value::map([("Node", Value::text("nobody"))])));
        while !self.conversation.messages.contains_key(&fence) && self.take() {}
        // Without a key the answer is an error alone.
        let messages = |client: &Self| client.conversation.messages.get(&fence).cloned();
        let is_half = |(error, body): &(String, Option<Value>)| error.is_empty() && body.is_none();
        while !self.conversation.closed && messages(self).is_some_and(|messages| is_half(&messages[0])) {
            self.take();
        }
    }

    fn step(&mut self, step: &Step) {
        if self.conversation.closed {
            return;
        }
        match step {
            Step::Send(seq, command, body) => self.send(*seq, command, body.as_ref()),
            Step::Fence => self.fence(),
            Step::Until(seq, key, wanted) => {
                let wanted = self.view.concrete(wanted);
                while !self.has(*seq, key, &wanted) && self.take() {}
            }
            Step::Respond(seq, of, payload) => {
                let records = &self.conversation.messages[&i128::from(*of)];
                let id = records.iter().filter_map(|(_, body)| body.as_ref()).next_back().unwrap().get("ID").clone();
                let body = Value::map([("ID", id), ("Payload", payload.clone())]);
                self.send(*seq, "respond", Some(&body));
            }
            Step::UntilClosed => while self.take() {},
        }
    }

    /// Whether a record of `seq` has this text under this key.
    fn has(&self, seq: u64, key: &str, wanted: &str) -> bool {
        let records = self.conversation.messages.get(&i128::from(seq)).into_iter().flatten();
        records.filter_map(|(_, body)| body.as_ref()).any(|body| {
            let field = body.get(key);
            *field != Value::Nil && field.as_text().contains(wanted)
        })
    }
}

fn is_header(object: &Value) -> bool {
    matches!(object, Value::Map(entries) if entries.len() == 2
        && *object.get("Error") != Value::Nil && *object.get("Seq") != Value::Nil)
}

/// Names and addresses in a body to be sent become those of the agent asked.
fn concrete(view: View<'_>, value: &Value) -> Value {
    match value {
        Value::Str(bytes) => {
            String::from_utf8(bytes.clone()).map_or(value.clone(), |text| Value::text(&view.concrete(&text)))
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| concrete(view, item)).collect()),
        Value::Map(entries) => {
            Value::Map(entries.iter().map(|(key, item)| (key.clone(), concrete(view, item))).collect())
        }
        Value::Nil | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Bin(_) => value.clone(),
    }
}

/// A conversation without what its row lets vary.
fn normal(view: View<'_>, row: &Row, conversation: Conversation) -> Conversation {
    let mut messages = conversation.messages;
    messages.retain(|seq, _| *seq <= i128::from(FENCE));
    for (_, body) in messages.values_mut().flatten() {
        *body = body.take().map(|body| field(view, row, "", body));
        if let Some(Value::Map(entries)) = body
            && row.first_line_only
            && entries.iter().any(|(key, _)| *key == Value::text("Log"))
        {
            entries.iter_mut().for_each(|(_, log)| *log = Value::text("a line"));
        }
    }
    for replies in messages.values_mut() {
        replies.iter_mut().for_each(|(error, _)| *error = of_0_9_4(error));
        if row.first_line_only {
            replies.dedup();
        }
        if row.any_order {
            // The reply comes first and `done` last: a query's records are in between.
            let middle = 1..replies.len().saturating_sub(1).max(1);
            replies[middle].sort_by_key(|message| format!("{message:?}"));
        }
    }
    Conversation { messages, closed: conversation.closed }
}

fn field(view: View<'_>, row: &Row, path: &str, value: Value) -> Value {
    if row.varies.contains(&path) || path.ends_with(".LTime") {
        return kind_of(value);
    }
    match value {
        Value::Str(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Value::text(&of_0_9_4(&view.anonymous(&text))),
            Err(error) => Value::Str(error.into_bytes()),
        },
        Value::Bin(bytes) if path.ends_with(".Addr") => {
            let ip = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(".");
            Value::Bin(view.anonymous(&ip).into_bytes())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(|item| field(view, row, path, item)).collect();
            if path.ends_with(".Members") {
                items.sort_by_key(|item| format!("{item:?}"));
            }
            Value::Array(items)
        }
        Value::Map(entries) => {
            let entries = entries.into_iter().map(|(key, item)| {
                let path = format!("{path}.{}", key.as_text());
                (field(view, row, "", key), field(view, row, &path, item))
            });
            let mut entries: Vec<_> = entries.collect();
            // Go's maps, other than its structures, have no order.
            let is_map = ["Tags", "Keys", "Messages", "agent", "runtime", "serf", "tags", "event_handlers"];
            let name = path.rsplit('.').next().unwrap_or_default();
            if is_map.contains(&name) || row.unordered {
                entries.sort_by_key(|entry| format!("{entry:?}"));
            }
            Value::Map(entries)
        }
        Value::Nil | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Bin(_) => value,
    }
}

/// Only the type counts.
fn kind_of(value: Value) -> Value {
    match value {
        Value::Int(_) => Value::text("an integer"),
        Value::Float(_) => Value::text("a float"),
        Value::Str(_) => Value::text("a text"),
        Value::Array(items) => Value::Array(items.into_iter().map(kind_of).collect()),
        Value::Nil | Value::Bool(_) | Value::Bin(_) | Value::Map(_) => value,
    }
}

fn converse(view: View<'_>, turnstile: &Turnstile, row: &Row) -> Conversation {
    let mut client = Client::new(view);
    let mut turn = row.shared.then(|| turnstile.enter());
    for step in &row.steps {
        client.step(step);
        if matches!(step, Step::Fence) {
            turn = None;
        }
    }
    drop(turn);
    if !client.conversation.closed {
        client.fence();
    }
    let Client { rpc, mut conversation, .. } = client;
    rpc.finish();
    if view.agent().kind == Kind::Go {
        // The records that Go should not send (docs/compatibility.md, RPC `query`).
        let is_fault = |body: &Value| *body.get("From") == Value::text("") && *body.get("Type") != Value::text("done");
        for replies in conversation.messages.values_mut() {
            replies.retain(|(_, body)| !body.as_ref().is_some_and(is_fault));
        }
    }
    normal(view, row, conversation)
}

/// Runs rows in order, those that may be shared at the same time, and reports every difference at the end.
fn run_all(cluster: &Cluster, rows: &[Row]) {
    let turnstile = Turnstile::new(&cluster.agents);
    let groups = rows.chunk_by(|row, next| row.shared && next.shared);
    let failures: Vec<String> = groups
        .flat_map(|group| {
            std::thread::scope(|scope| {
                let runs: Vec<_> = group.iter().map(|row| scope.spawn(|| run(cluster, &turnstile, row))).collect();
                runs.into_iter().filter_map(|run| run.join().unwrap().err()).collect::<Vec<_>>()
            })
        })
        .collect();
    assert!(failures.is_empty(), "{} of {} rows differ:\n{}", failures.len(), rows.len(), failures.join("\n"));
}

/// Sends one row to both agents. An error has both conversations.
fn run(cluster: &Cluster, turnstile: &Turnstile, row: &Row) -> Result<(), String> {
    let [go, ours] = cluster.asked();
    let (go, ours) = if row.changes {
        (converse(go, turnstile, row), converse(ours, turnstile, row))
    } else {
        std::thread::scope(|scope| {
            let go = scope.spawn(|| converse(go, turnstile, row));
            let ours = converse(ours, turnstile, row);
            (go.join().unwrap(), ours)
        })
    };
    if row.changes {
        cluster.eventually_equal(|_| true);
    }
    if go == ours { Ok(()) } else { Err(format!("{}\n  Go:   {go:?}\n  ours: {ours:?}", row.name)) }
}

/// Tells both agents asked to leave, last of all.
fn leave(cluster: &mut Cluster) {
    let row = rows::leave();
    let [go, ours] = cluster.asked().map(|view| converse(view, &Turnstile::new(&[]), &row));
    assert_eq!(ours, go, "leave: ours left, Go right");
    for index in [0, 2] {
        assert_eq!(cluster.agents[index].wait_for_exit().code(), Some(0));
    }
}

#[test]
fn requests_to_a_cluster_without_encryption() {
    let mut cluster = Cluster::start(2, &[]);
    run_all(&cluster, &rows::all());
    leave(&mut cluster);
}

#[test]
fn requests_to_a_cluster_with_encryption() {
    let mut cluster = Cluster::start(3, &[&format!("-encrypt={KEY}")]);
    run_all(&cluster, &rows::all());
    leave(&mut cluster);
}

#[test]
fn requests_to_agents_that_ask_for_a_key() {
    let agents = [Kind::Go, Kind::under_test()];
    let agents = agents.into_iter().enumerate().flat_map(|(at, kind)| [(at * 2, kind), (at * 2 + 1, kind)]);
    let agents = agents.map(|(at, kind)| {
        let ip = std::net::Ipv4Addr::new(127, 0, 49, 221 + u8::try_from(at).unwrap());
        let address = std::sync::Arc::new(Loopback::exactly(ip));
        Agent::start_secured(kind, "secure", address, "s3cret")
    });
    let cluster = Cluster { agents: agents.collect() };
    let mut failures = Vec::new();
    for row in rows::secured() {
        let [go, ours] = cluster.asked().map(|view| converse(view, &Turnstile::new(&[]), &row));
        if go != ours {
            failures.push(format!("{}\n  Go:   {go:?}\n  ours: {ours:?}", row.name));
        }
    }
    assert!(failures.is_empty(), "{} rows differ:\n{}", failures.len(), failures.join("\n"));
}
