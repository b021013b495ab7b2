//! The table of requests: what is sent on one connection, and what may vary in what comes back. `requests.rs` runs it.
//!
//! In texts `SELF`, `MATE`, `PEER`, `AWAY` are names of agents as in `command_rows.rs`. Everywhere the value of `LTime`
//! varies (it counts what happened before), and so do the texts of the agent that changed between 0.9.4 and Serf's
//! newest source (docs/spec/rpc.md 13); members and maps have no order.

use super::command_rows::SECOND_KEY;
use super::support::Value;

/// One step of a client.
#[derive(Debug, Clone)]
pub enum Step {
    /// Seq, command, body. Nothing is awaited.
    Send(u64, &'static str, Option<Value>),
    /// Waits until all is answered.
    Fence,
    /// Waits for a record of this Seq whose field of this name contains this.
    Until(u64, &'static str, &'static str),
    /// As this Seq, answers the last query that came on the stream of the second Seq.
    Respond(u64, u64, Value),
    UntilClosed,
}

#[derive(Debug, Clone)]
pub struct Row {
    pub name: &'static str,
    pub steps: Vec<Step>,
    /// Paths of fields of which only the type is compared.
    pub varies: &'static [&'static str],
    /// Records between the reply and the last come in any order.
    pub any_order: bool,
    /// Maps have no order (sections of `stats`).
    pub unordered: bool,
    /// Log lines are compared as `monitor.rs` does; here only their form is.
    pub first_line_only: bool,
    /// Sent to one agent after the other.
    pub changes: bool,
    /// Sent at the same time as its neighbours of which this is true too.
    pub shared: bool,
}

fn text(text: &str) -> Value {
    Value::text(text)
}

fn send(seq: u64, command: &'static str, body: Value) -> Step {
    Step::Send(seq, command, Some(body))
}

fn bare(seq: u64, command: &'static str) -> Step {
    Step::Send(seq, command, None)
}

fn handshake(seq: u64) -> Step {
    send(seq, "handshake", Value::map([("Version", Value::Int(1))]))
}

/// A row whose steps follow a handshake.
fn row(name: &'static str, steps: Vec<Step>) -> Row {
    let steps = std::iter::once(handshake(0)).chain(steps).collect();
    Row {
        name,
        steps,
        varies: &[],
        any_order: false,
        unordered: false,
        first_line_only: false,
        changes: false,
        shared: false,
    }
}

/// A row of one request.
fn one(name: &'static str, command: &'static str, body: Value) -> Row {
    row(name, vec![send(1, command, body)])
}

impl Row {
    fn varies(self, varies: &'static [&'static str]) -> Self {
        Self { varies, ..self }
    }

    fn changes(self) -> Self {
        Self { changes: true, ..self }
    }

    fn without_handshake(mut self) -> Self {
        self.steps.remove(0);
        self
    }
}

const COORDINATE: &[&str] = &[".Coord.Adjustment", ".Coord.Error", ".Coord.Height", ".Coord.Vec"];
const STATS: &[&str] = &[
    ".runtime.version",
    ".runtime.goroutines",
    ".runtime.max_procs",
    ".serf.health_score",
    ".serf.member_time",
    ".serf.event_time",
    ".serf.query_time",
    ".serf.intent_queue",
    ".serf.event_queue",
    ".serf.query_queue",
    ".serf.coordinate_resets",
];

pub fn all() -> Vec<Row> {
    let groups = [
        monitors(),
        beginnings(),
        members(),
        facts(),
        events(),
        streams(),
        streamed_queries(),
        queries(),
        joins(),
        tags(),
        keys(),
    ];
    groups.into_iter().flatten().collect()
}

fn beginnings() -> Vec<Row> {
    let version = |version: i128| Value::map([("Version", Value::Int(version))]);
    let key = |key: &str| Value::map([("AuthKey", text(key))]);
    vec![
        row("handshake twice", vec![handshake(7)]),
        row("handshake 0", vec![send(1, "handshake", version(0))]).without_handshake(),
        row("handshake 2, then 1", vec![send(1, "handshake", version(2)), handshake(2)]).without_handshake(),
        row("handshake -1", vec![send(1, "handshake", version(-1))]).without_handshake(),
        row("members before handshake", vec![bare(1, "members")]).without_handshake(),
        one("auth without a key", "auth", key("")),
        one("auth with a key nobody asked for", "auth", key("s3cret")),
        row("auth fields absent", vec![send(1, "auth", Value::map([]))]),
        row("unknown command", vec![bare(u64::MAX >> 1, "nope")]),
        row("empty command", vec![bare(1, "")]),
        row("Seq of 64 bits", vec![bare(u64::from(u32::MAX), "members")]),
        row("stop of nothing", vec![send(1, "stop", Value::map([("Stop", Value::Int(99))]))]),
    ]
}

fn filter(name: &str, status: &str, tags: &[(&str, &str)]) -> Value {
    let tags = tags.iter().map(|(key, value)| (text(key), text(value))).collect();
    Value::map([("Tags", Value::Map(tags)), ("Status", text(status)), ("Name", text(name))])
}

fn members() -> Vec<Row> {
    let filtered = |name, body| one(name, "members-filtered", body);
    vec![
        row("members", vec![bare(1, "members"), bare(2, "members")]),
        filtered("filter: nothing", filter("", "", &[])),
        filtered("filter: absent", Value::map([])),
        filtered("filter: name", filter("SELF", "", &[])),
        filtered("filter: half a name", filter("go", "", &[])),
        filtered("filter: pattern", filter(".*-a", "", &[])),
        filtered("filter: alternatives", filter("SEL|MATE", "", &[])),
        filtered("filter: alive", filter("", "alive", &[])),
        filtered("filter: failed", filter("", "failed", &[])),
        filtered("filter: tag", filter("", "", &[("role", "web")])),
        filtered("filter: tags", filter("", "", &[("role", "w.*"), ("dc", "east")])),
        filtered("filter: tag that nobody has", filter("", "", &[("x", "y")])),
        filtered("filter: tag absent", filter("", "", &[("dc", "")])),
        filtered("filter: all of it", filter("SELF", "alive", &[("dc", "e.*t")])),
        filtered("filter: bad name", filter("(", "", &[])),
        filtered("filter: bad status", filter("", "(", &[])),
        filtered("filter: bad tag", filter("", "", &[("role", "(")])),
    ]
}

fn facts() -> Vec<Row> {
    let node = |node: &str| Value::map([("Node", text(node))]);
    let stats = row("stats", vec![bare(1, "stats")]).varies(STATS);
    vec![
        Row { unordered: true, ..stats },
        one("coordinate of oneself", "get-coordinate", node("SELF")).varies(COORDINATE),
        one("coordinate of another", "get-coordinate", node("PEER")).varies(COORDINATE),
        one("coordinate of nobody", "get-coordinate", node("nobody")),
        one("coordinate without a name", "get-coordinate", Value::map([])),
    ]
}

fn event(name: &str, payload: Value, coalesce: bool) -> Value {
    Value::map([("Name", text(name)), ("Payload", payload), ("Coalesce", Value::Bool(coalesce))])
}

fn events() -> Vec<Row> {
    let long = || Value::Bin(vec![b'x'; 600]);
    vec![
        one("event", "event", event("plain", Value::Bin(b"v1".to_vec()), false)),
        one("event to be coalesced", "event", event("plain", text("v1"), true)),
        one("event without payload", "event", event("plain", Value::Nil, false)),
        one("event without a name", "event", event("", Value::Nil, false)),
        one("event of a name alone", "event", Value::map([("Name", text("plain"))])),
        one("event too long", "event", event("plain", long(), false)),
        one("event of 512 bytes", "event", event("plain", Value::Bin(vec![b'x'; 507]), false)),
        one("event of bytes", "event", event("plain", Value::Bin(vec![0, 255, 1]), false)),
    ]
}

fn stream(seq: u64, kind: &str) -> Step {
    send(seq, "stream", Value::map([("Type", text(kind))]))
}

fn streams() -> Vec<Row> {
    let bad = |name, kind| row(name, vec![stream(1, kind)]);
    let fire = |seq, name: &str, payload| send(seq, "event", event(name, payload, false));
    let stop = |seq: u64| send(seq, "stop", Value::map([("Stop", Value::Int(1))]));
    vec![
        bad("stream: unknown", "nope"),
        bad("stream: comma at the end", "user,"),
        bad("stream: blank", "user, query"),
        bad("stream: member event with a name", "member-join:x"),
        bad("stream: capitals", "User"),
        row(
            "stream: user event",
            vec![
                stream(1, "user:one-SELF"),
                Step::Fence,
                fire(2, "one-SELF", Value::Bin(b"v\xff".to_vec())),
                Step::Until(1, "Name", "one-SELF"),
            ],
        ),
        row(
            "stream: only the name asked for, in order",
            vec![
                stream(1, "user:two-SELF,user:end-SELF"),
                Step::Fence,
                fire(2, "other-SELF", Value::Nil),
                fire(3, "two-SELF", text("text")),
                fire(4, "two-SELF", Value::Nil),
                fire(5, "end-SELF", Value::Bin(vec![1])),
                Step::Until(1, "Name", "end-SELF"),
            ],
        ),
        row(
            "stream: the Seq is taken, then free",
            vec![stream(1, "user:three"), Step::Fence, stream(1, "query"), Step::Fence, stop(2), stream(1, "query")],
        ),
        row(
            "stream: a coalesced event",
            vec![
                stream(1, "user:four-SELF"),
                Step::Fence,
                send(2, "event", event("four-SELF", text("a"), true)),
                send(3, "event", event("four-SELF", text("b"), true)),
                Step::Until(1, "Name", "four-SELF"),
            ],
        ),
    ]
}

fn streamed_queries() -> Vec<Row> {
    vec![
        row(
            "stream: a query, answered",
            vec![
                stream(1, "query:ask-SELF"),
                Step::Fence,
                send(2, "query", query("ask-SELF", 5_000, &[("FilterNodes", Value::Array(vec![text("SELF")]))])),
                Step::Until(1, "Name", "ask-SELF"),
                Step::Respond(3, 1, Value::Bin(b"an answer".to_vec())),
                Step::Fence,
                Step::Respond(4, 1, Value::Bin(b"another".to_vec())),
                Step::Fence,
                Step::Until(2, "Type", "done"),
            ],
        ),
        row(
            "stream: a query, answered at too great length",
            vec![
                stream(1, "query:big-SELF"),
                Step::Fence,
                send(2, "query", query("big-SELF", 5_000, &[("FilterNodes", Value::Array(vec![text("SELF")]))])),
                Step::Until(1, "Name", "big-SELF"),
                Step::Respond(3, 1, Value::Bin(vec![b'x'; 2_000])),
                Step::Fence,
                Step::Until(2, "Type", "done"),
            ],
        ),
        row(
            "respond to nothing",
            vec![send(1, "respond", Value::map([("ID", Value::Int(7)), ("Payload", Value::Bin(vec![1]))]))],
        ),
    ]
}

fn monitors() -> Vec<Row> {
    let monitor = |seq, level: &str| send(seq, "monitor", Value::map([("LogLevel", text(level))]));
    let of = |name, level: &str| Row {
        first_line_only: true,
        ..row(name, vec![monitor(1, level), Step::Until(1, "Log", "Serf agent starting")])
    };
    vec![
        // First of all: closed connections of other rows write lines of this level.
        row("monitor: twice, then stopped", {
            let stop = send(3, "stop", Value::map([("Stop", Value::Int(1))]));
            vec![monitor(1, "ERR"), Step::Fence, monitor(2, "ERR"), Step::Fence, stop, monitor(4, "ERR")]
        }),
        of("monitor: info", "INFO"),
        of("monitor: small letters", "debug"),
        of("monitor: trace", "Trace"),
        row("monitor: unknown level", vec![monitor(1, "bogus")]),
        row("monitor: no level", vec![send(1, "monitor", Value::map([]))]),
        row("monitor: ERROR is no level", vec![monitor(1, "ERROR")]),
    ]
}

/// A query with further fields; the time in milliseconds.
fn query(name: &str, timeout: i128, more: &[(&str, Value)]) -> Value {
    let mut entries = vec![(text("Name"), text(name)), (text("Timeout"), Value::Int(timeout * 1_000_000))];
    entries.extend(more.iter().map(|(key, value)| (text(key), value.clone())));
    Value::Map(entries)
}

/// How long queries last that somebody answers: enough for a machine that stands still for some seconds.
const LONG_MS: i128 = 8_000;

fn queries() -> Vec<Row> {
    let ask = |name, body| Row {
        any_order: true,
        shared: true,
        ..row(name, vec![send(1, "query", body), Step::Fence, Step::Until(1, "Type", "done")])
    };
    let refused = |name, body| one(name, "query", body);
    let nodes = |names: &[&str]| ("FilterNodes", Value::Array(names.iter().map(|name| text(name)).collect()));
    let tags = |key: &str, value: &str| ("FilterTags", Value::Map(vec![(text(key), text(value))]));
    let acks = ("RequestAck", Value::Bool(true));
    vec![
        ask("query", query("load", LONG_MS, &[])),
        ask("query: acks", query("load", LONG_MS, std::slice::from_ref(&acks))),
        ask("query: nodes", query("load", LONG_MS, &[acks.clone(), nodes(&["SELF", "AWAY", "nobody"])])),
        ask("query: tags", query("load", LONG_MS, &[acks.clone(), tags("role", "we")])),
        ask("query: bad pattern", query("load", 500, &[acks.clone(), tags("role", "(")])),
        ask("query: nodes and tags", query("load", LONG_MS, &[acks.clone(), nodes(&["MATE"]), tags("role", "db")])),
        ask("query: relays", query("load", LONG_MS, &[acks.clone(), ("RelayFactor", Value::Int(2))])),
        ask("query: bytes", query("odd", LONG_MS, &[acks.clone(), ("Payload", Value::Bin(vec![0, 255]))])),
        ask("query: answers too long", query("long", LONG_MS, std::slice::from_ref(&acks))),
        ask("query: nobody answers", query("nothing", 500, &[])),
        ask("query: over at once", query("nothing", -1, &[])),
        ask("query: the usual time", Value::map([("Name", text("load")), ("RequestAck", Value::Bool(true))])),
        ask("query: _serf_ping", query("_serf_ping", 500, &[])),
        refused("query: reserved name", query("_serf_other", 500, &[])),
        refused("query: too long", query("load", 500, &[("Payload", Value::Bin(vec![b'x'; 1_100]))])),
    ]
}

fn joins() -> Vec<Row> {
    let join = |name, addresses: &[&str], replay| {
        let existing = Value::Array(addresses.iter().map(|address| text(address)).collect());
        one(name, "join", Value::map([("Existing", existing), ("Replay", Value::Bool(replay))]))
    };
    let force_leave = |name, node: &str, prune| {
        one(name, "force-leave", Value::map([("Node", text(node)), ("Prune", Value::Bool(prune))])).changes()
    };
    vec![
        join("join", &["IP_OF_MATE"], false),
        join("join: replay", &["IP_OF_PEER:7946", "MATE/IP_OF_MATE"], true),
        join("join: nobody there", &["127.0.49.250"], false),
        join("join: somebody there", &["127.0.49.250", "IP_OF_PEER"], false),
        join("join: no addresses", &[], false),
        one("join: fields absent", "join", Value::map([])),
        force_leave("force-leave: nobody", "nobody", false),
        force_leave("force-leave: nobody, pruned", "nobody", true),
        force_leave("force-leave: no name", "", false),
        one("force-leave: without Prune", "force-leave", Value::map([("Node", text("nobody"))])).changes(),
    ]
}

fn tags() -> Vec<Row> {
    let tags = |name, set: &[(&str, &str)], delete: &[&str]| {
        let set = set.iter().map(|(key, value)| (text(key), text(value))).collect();
        let delete = delete.iter().map(|key| text(key)).collect();
        let body = Value::map([("Tags", Value::Map(set)), ("DeleteTags", Value::Array(delete))]);
        let own = send(2, "members-filtered", filter("SELF", "", &[]));
        row(name, vec![send(1, "tags", body), Step::Fence, own]).changes()
    };
    let long = "x".repeat(600);
    vec![
        tags("tags: set", &[("rack", "r1"), ("role", "cache")], &[]),
        tags("tags: set and deleted", &[("rack", "r2")], &["rack", "dc"]),
        tags("tags: too long", &[("big", &long)], &[]),
        tags("tags: unknown deleted", &[], &["nothing"]),
        one("tags: nothing", "tags", Value::map([])).changes(),
        tags("tags: as before", &[("role", "web"), ("dc", "east")], &["rack"]),
    ]
}

fn keys() -> Vec<Row> {
    let with = |name, command, key: &str| one(name, command, Value::map([("Key", text(key))])).changes();
    let list = |name| row(name, vec![bare(1, "list-keys")]).changes();
    vec![
        list("keys: listed"),
        with("keys: no base64", "install-key", "no base64"),
        with("keys: no base64 to use", "use-key", "no base64"),
        with("keys: no base64 to remove", "remove-key", "no base64"),
        with("keys: three bytes", "install-key", "AAAA"),
        with("keys: use of an unknown one", "use-key", SECOND_KEY),
        with("keys: removal of an unknown one", "remove-key", SECOND_KEY),
        with("keys: installed", "install-key", SECOND_KEY),
        list("keys: two listed"),
        with("keys: used", "use-key", SECOND_KEY),
        with("keys: removal of the one in use", "remove-key", SECOND_KEY),
        with("keys: removed", "remove-key", super::commands::KEY),
        list("keys: the second listed"),
        one("keys: no key", "install-key", Value::map([])).changes(),
    ]
}

/// The last of all.
pub fn leave() -> Row {
    row("leave", vec![bare(1, "leave"), Step::UntilClosed])
}

/// At agents that ask for the key `s3cret`.
pub fn secured() -> Vec<Row> {
    let auth = |seq, key: &str| send(seq, "auth", Value::map([("AuthKey", text(key))]));
    let before = |name, command| row(name, vec![bare(1, command)]);
    vec![
        before("event before the key", "event"),
        before("members before the key", "members"),
        before("stats before the key", "stats"),
        before("list-keys before the key", "list-keys"),
        before("leave before the key", "leave"),
        before("stream before the key", "stream"),
        before("unknown before the key", "nope"),
        row("a body before the key", vec![send(1, "members-filtered", filter("", "", &[]))]),
        row("the wrong key", vec![auth(1, "wrong"), bare(2, "members")]),
        row("no key", vec![auth(1, ""), bare(2, "members")]),
        row("the key", vec![auth(1, "s3cret"), bare(2, "members"), auth(3, "wrong"), bare(4, "members")]),
        row("the key before the handshake", vec![auth(1, "s3cret")]).without_handshake(),
        Row { unordered: true, ..row("stats with the key", vec![auth(1, "s3cret"), bare(2, "stats")]).varies(STATS) },
    ]
}
