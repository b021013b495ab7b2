//! The table of commands: what is run, and what may vary. `commands.rs` runs it.
//!
//! In words and variables `SELF`, `MATE`, `PEER`, `AWAY` are names of agents (the one asked, the other of its kind, the
//! two of the other kind), `IP_OF_SELF` and so on their addresses, `RPC_OF_SELF` the address asked, `LONG` a word that is
//! too long for events, queries and tags, `FIRST_KEY` and `SECOND_KEY` keys.

use super::normal::Vary::{self, Measured, Moment, More, Order, Program, RandomKey, Version094};

pub const SECOND_KEY: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// One command line.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub words: &'static [&'static str],
    pub variables: &'static [(&'static str, &'static str)],
    pub varies: &'static [Vary],
    /// The four runs follow one another (key changes of several agents at once outrun their time), and the next row
    /// waits until all agents asked show the same members.
    pub changes: bool,
}

/// A row whose outputs are equal to the byte, order apart.
const fn row(words: &'static [&'static str]) -> Row {
    Row { words, variables: &[], varies: &[Order], changes: false }
}

impl Row {
    const fn varies(self, varies: &'static [Vary]) -> Self {
        Self { varies, ..self }
    }

    const fn with(self, variables: &'static [(&'static str, &'static str)]) -> Self {
        Self { variables, ..self }
    }

    const fn changes(self) -> Self {
        Self { changes: true, ..self }
    }
}

/// Order is compared too.
const EXACT: &[Vary] = &[];
const JOIN: &[Vary] = &[Version094];
const KEYS: &[Vary] = &[Order, Version094];
const MEASURED: &[Vary] = &[Order, Measured];

pub const PLAIN: &[Row] = &[
    // Help and the top level.
    row(&["agent", "-h"]).varies(&[More]),
    row(&["event", "-h"]),
    row(&["force-leave", "-h"]),
    row(&["info", "-h"]),
    row(&["join", "-h"]),
    row(&["keygen", "-h"]),
    row(&["keys", "-h"]),
    row(&["leave", "-h"]),
    row(&["members", "-h"]),
    row(&["monitor", "-h"]),
    row(&["query", "-h"]),
    row(&["reachability", "-h"]),
    row(&["rtt", "-h"]),
    row(&["tags", "-h"]),
    row(&["version", "-h"]).varies(EXACT),
    row(&["members", "--help"]),
    row(&["members", "-help"]),
    row(&["members", "-h=x"]),
    row(&["members", "---x"]),
    row(&["members", "--", "-h"]),
    row(&["help"]).varies(&[More]),
    row(&["--help"]).varies(&[More]),
    row(&["-h"]).varies(&[More]),
    row(&["-h", "nope"]).varies(&[More]),
    row(&["-x"]).varies(&[More]),
    row(&["nope"]).varies(&[More]),
    row(&[]).varies(&[More]),
    row(&["", "members"]),
    row(&["--", "members"]).varies(&[Order, More]),
    row(&["-rpc-addr=RPC_OF_SELF", "members"]),
    row(&["version"]).varies(&[Program]),
    row(&["--version"]).varies(&[Program]),
    row(&["-v"]).varies(&[Program]),
    row(&["-version", "members"]),
    row(&["keygen"]).varies(&[RandomKey]),
    row(&["keygen", "ignored"]).varies(&[RandomKey]),
    // Wrong options and words.
    row(&["event"]),
    row(&["event", "a", "b", "c"]),
    row(&["event", "-coalesce=no", "name"]),
    row(&["force-leave"]),
    row(&["force-leave", "a", "b"]),
    row(&["force-leave", "-prune=x", "a"]),
    row(&["info", "-nope"]),
    row(&["info", "-format"]),
    row(&["join"]),
    row(&["join", "-replay"]),
    row(&["keys"]),
    row(&["keys", "-list", "-install=x"]),
    row(&["keys", "-list", "-remove=x"]),
    row(&["keys", "-use", "x", "-remove", "y"]),
    row(&["keys", "-list=false"]),
    row(&["keys", "-install="]),
    row(&["leave", "-nope"]),
    row(&["members", "-nope"]),
    row(&["members", "-role=web", "-tag", "bad"]),
    row(&["monitor", "-log-level"]),
    row(&["query"]),
    row(&["query", "a", "b", "c"]),
    row(&["query", "-timeout=1d", "x"]),
    row(&["query", "-tag", "x", "-relay-factor=300", "a", "b", "c"]),
    row(&["query", "-relay-factor=300", "a"]),
    row(&["query", "-relay-factor=-1", "a"]),
    row(&["query", "-relay-factor=09", "a"]),
    row(&["reachability", "-nope"]),
    row(&["rtt"]),
    row(&["rtt", "a", "b", "c"]),
    row(&["tags"]),
    row(&["tags", "-set", "a"]),
    row(&["tags", "-delete"]),
    // Where the agent is.
    row(&["members", "-rpc-addr=RPC_OF_SELF"]).with(&[("SERF_RPC_ADDR", "127.0.49.250:1")]),
    row(&["members"]).with(&[("SERF_RPC_ADDR", "RPC_OF_SELF"), ("SERF_RPC_AUTH", "")]),
    row(&["members"]).with(&[("SERF_RPC_ADDR", "127.0.49.250:1")]),
    row(&["members"]).with(&[("SERF_RPC_ADDR", "nonsense")]),
    row(&["members", "-rpc-addr="]),
    row(&["members", "-rpc-addr=[::1"]),
    row(&["members", "-rpc-addr=127.0.49.250:x"]),
    row(&["members", "-rpc-addr=127.0.49.250:99999"]),
    row(&["event", "-rpc-addr=127.0.49.250:1", "a"]),
    row(&["force-leave", "-rpc-addr=127.0.49.250:1", "a"]),
    row(&["info", "-rpc-addr=127.0.49.250:1"]),
    row(&["join", "-rpc-addr=127.0.49.250:1", "a"]),
    row(&["keys", "-rpc-addr=127.0.49.250:1", "-list"]),
    row(&["leave", "-rpc-addr=127.0.49.250:1"]),
    row(&["monitor", "-rpc-addr=127.0.49.250:1"]),
    row(&["query", "-rpc-addr=127.0.49.250:1", "a"]),
    row(&["reachability", "-rpc-addr=127.0.49.250:1"]),
    row(&["rtt", "-rpc-addr=127.0.49.250:1", "a"]),
    row(&["tags", "-rpc-addr=127.0.49.250:1", "-set", "a=b"]),
    row(&["members", "-rpc-auth=wrong"]),
    row(&["members"]).with(&[("SERF_RPC_AUTH", "wrong")]),
    row(&["members", "-rpc-auth="]).with(&[("SERF_RPC_AUTH", "wrong")]),
    // info
    row(&["info"]).varies(&[Order, Moment]),
    row(&["info", "-format=json"]).varies(&[Order, Moment]),
    row(&["info", "-format=text", "ignored"]).varies(&[Order, Moment]),
    row(&["info", "-format=yaml", "ignored"]),
    // members
    row(&["members"]),
    row(&["members", "ignored"]),
    row(&["members", "-detailed"]),
    row(&["members", "-format=json"]),
    row(&["members", "-format=text"]),
    row(&["members", "-format", "json", "-detailed", "-name=SELF"]),
    row(&["members", "-format=json", "-name=nobody"]),
    row(&["members", "-format=xml"]),
    row(&["members", "-format="]),
    row(&["members", "-name=SELF"]),
    row(&["members", "-name=...a"]),
    row(&["members", "-name=SELF|MATE"]),
    row(&["members", "-name=S"]),
    row(&["members", "-name=("]),
    row(&["members", "-status=("]),
    row(&["members", "-status=alive"]),
    row(&["members", "-status=a.*e"]),
    row(&["members", "-status=failed"]),
    row(&["members", "-status=left", "-format=json"]),
    row(&["members", "-tag", "role=d.", "-tag", "dc="]),
    row(&["members", "-tag", "role=we.", "-tag", "dc=.*"]),
    row(&["members", "-tag=role=("]),
    row(&["members", "-tag", "nothing=x"]),
    row(&["members", "-role=web"]),
    row(&["members", "-role=", "-name="]),
    row(&["members", "-role=web", "-tag", "dc=west"]),
    // event
    row(&["event", "deploy"]),
    row(&["event", "deploy", "v1"]),
    row(&["event", "-coalesce=false", "deploy"]),
    row(&["event", "-coalesce=T", "name", ""]),
    row(&["event", ""]),
    row(&["event", "deploy", "LONG"]),
    row(&["event", "LONG"]),
    // join
    row(&["join", "IP_OF_MATE"]).varies(JOIN),
    row(&["join", "IP_OF_MATE", "IP_OF_PEER"]).varies(JOIN),
    row(&["join", "IP_OF_SELF"]).varies(JOIN),
    row(&["join", "-replay", "IP_OF_MATE:7946", "MATE/IP_OF_MATE:7946"]).varies(JOIN),
    row(&["join", "-replay=1", "IP_OF_PEER", "IP_OF_AWAY"]).varies(JOIN),
    row(&["join", "127.0.49.250"]).varies(JOIN),
    row(&["join", "IP_OF_PEER", "127.0.49.250"]).varies(JOIN),
    row(&["join", "1.2.3.4:99999"]).varies(JOIN),
    // query: every agent answers `load`, `odd`, `multi`; `fail`, `long` and `empty` bring acks alone. The time is long
    // enough for a machine that stands still for some seconds.
    row(&["query", "-timeout=8s", "load"]),
    row(&["query", "-timeout=8s", "-no-ack", "load", "args"]),
    row(&["query", "-timeout=8s", "-node=MATE", "load"]),
    row(&["query", "-timeout=8s", "-node=MATE", "-node=PEER", "-node=nobody", "load"]),
    row(&["query", "-timeout=8s", "-tag", "role=^web$", "load"]),
    row(&["query", "-timeout=8s", "-tag", "role=d", "-tag", "dc=", "load"]),
    row(&["query", "-timeout=300ms", "-tag", "role=(", "load"]),
    row(&["query", "-timeout=8s", "-format=json", "load"]),
    row(&["query", "-timeout=8s", "-format=json", "odd"]),
    row(&["query", "-timeout=8s", "-relay-factor=1", "load"]),
    row(&["query", "-timeout=8s", "-relay-factor=0x2", "-format=text", "load"]),
    row(&["query", "-timeout=8s", "odd", ""]),
    row(&["query", "-timeout=8s", "multi"]),
    row(&["query", "-timeout=8s", "fail"]),
    row(&["query", "-timeout=8s", "long"]),
    row(&["query", "-timeout=8s", "empty"]),
    row(&["query", "load"]),
    row(&["query", "-timeout=-1s", "-no-ack", "x"]),
    row(&["query", "-timeout=300ms", "-no-ack", "_serf_ping"]),
    row(&["query", "-format=xml", "_serf_x"]),
    row(&["query", "_serf_load"]),
    row(&["query", "load", "LONG"]),
    row(&["query", "LONG"]),
    // reachability, rtt
    row(&["reachability"]).varies(MEASURED),
    row(&["reachability", "-verbose"]).varies(MEASURED),
    row(&["rtt", "SELF"]).varies(MEASURED),
    row(&["rtt", "MATE"]).varies(MEASURED),
    row(&["rtt", "MATE", "PEER"]).varies(MEASURED),
    row(&["rtt", "nobody"]),
    row(&["rtt", "MATE", "nobody"]),
    row(&["rtt", "no\"such\n"]),
    // keys without encryption
    row(&["keys", "-list"]).varies(KEYS).changes(),
    row(&["keys", "-install", "SECOND_KEY"]).varies(KEYS).changes(),
    row(&["keys", "-use", "SECOND_KEY"]).varies(KEYS).changes(),
    row(&["keys", "-remove", "SECOND_KEY"]).varies(KEYS).changes(),
    // monitor: what it shows is in `monitor.rs`.
    row(&["monitor", "-log-level=bogus"]),
    row(&["monitor", "-log-level=ERROR"]),
    row(&["monitor", "-log-level="]),
    // tags
    row(&["tags", "-set", "rack=r1", "-set", "dc=west", "-delete", "role"]).changes(),
    row(&["members", "-name=SELF"]),
    row(&["members", "-tag", "rack=r1", "-format=json"]),
    row(&["tags", "-set", "a=b=c", "-set", "empty="]).changes(),
    row(&["members"]),
    row(&["members", "-tag", "empty="]),
    row(&["tags", "-delete", "nothing"]).changes(),
    row(&["tags", "-set", "new=1", "-delete", "new"]).changes(),
    row(&["tags", "-set", "big=LONG"]).changes(),
    row(&["members"]),
    row(&["info"]).varies(&[Order, Moment]),
    row(&["tags", "-set", "t= x|y <é> ", "-delete", "a", "-delete", "dc", "-delete", "empty", "-delete", "new"])
        .changes(),
    row(&["tags", "-delete", "rack"]).changes(),
    row(&["members", "-name=SELF"]),
    row(&["members", "-format=json"]),
    row(&["tags", "-delete", "t", "-set", "role=web", "-set", "dc=east"]).changes(),
    row(&["members"]),
    // force-leave of nobody and of oneself
    row(&["force-leave", "nobody"]).changes(),
    row(&["force-leave", "-prune=false", "nobody"]).changes(),
    row(&["force-leave", "-prune", "nobody"]).changes(),
    row(&["force-leave", ""]).changes(),
];

/// With `dead` killed.
pub const ONE_FAILED: &[Row] = &[
    row(&["members"]),
    row(&["members", "-status=failed", "-format=json"]),
    row(&["members", "-detailed", "-status=failed"]),
    row(&["info"]).varies(&[Order, Moment]),
    row(&["reachability"]).varies(MEASURED),
    row(&["rtt", "dead"]).varies(MEASURED),
    row(&["join", "IP_OF_MATE"]).varies(JOIN),
    row(&["force-leave", "dead"]).changes(),
];

pub const ONE_LEFT: &[Row] = &[
    row(&["members", "-status=left"]),
    row(&["members"]),
    row(&["info"]).varies(&[Order, Moment]),
    row(&["force-leave", "dead"]).changes(),
    row(&["force-leave", "-prune", "dead"]).changes(),
];

pub const ONE_PRUNED: &[Row] =
    &[row(&["members"]), row(&["rtt", "dead"]).varies(MEASURED), row(&["force-leave", "-prune", "dead"]).changes()];

/// Run at one agent after the other; `leave` is the one that changes.
pub const LEAVE: &[Row] = &[row(&["leave"]).changes(), row(&["members"]), row(&["leave"])];

pub const ENCRYPTED: &[Row] = &[
    row(&["info"]).varies(&[Order, Moment]),
    row(&["members"]),
    row(&["keys", "-list"]).varies(KEYS).changes(),
    row(&["keys", "-install", "SECOND_KEY"]).varies(KEYS).changes(),
    row(&["keys", "-install", "SECOND_KEY"]).varies(KEYS).changes(),
    row(&["keys", "-list"]).varies(KEYS).changes(),
    row(&["keys", "-use", "SECOND_KEY"]).varies(KEYS).changes(),
    row(&["keys", "-remove", "SECOND_KEY"]).varies(KEYS).changes(),
    row(&["keys", "-remove", "FIRST_KEY"]).varies(KEYS).changes(),
    row(&["keys", "-remove", "FIRST_KEY"]).varies(KEYS).changes(),
    row(&["keys", "-use", "FIRST_KEY"]).varies(KEYS).changes(),
    row(&["keys", "-list"]).varies(KEYS).changes(),
    row(&["keys", "-install", "no base64"]).varies(KEYS).changes(),
    row(&["keys", "-use", "no base64"]).varies(KEYS).changes(),
    row(&["keys", "-remove", "no base64"]).varies(KEYS).changes(),
    row(&["keys", "-install", "AAAA"]).varies(KEYS).changes(),
    row(&["keys", "-use", "AAAA"]).varies(KEYS).changes(),
    row(&["keys", "-list", "ignored"]).varies(KEYS).changes(),
    row(&["query", "-timeout=8s", "load"]),
    row(&["event", "-coalesce=false", "deploy", "v1"]),
    row(&["reachability"]).varies(MEASURED),
    row(&["join", "IP_OF_PEER"]).varies(JOIN),
];

/// Agents with the key `s3cret` for clients, each alone.
pub const SECURED: &[Row] = &[
    row(&["members"]),
    row(&["members", "-rpc-auth=wrong"]),
    row(&["members", "-rpc-auth=s3cret"]),
    row(&["members"]).with(&[("SERF_RPC_AUTH", "s3cret")]),
    row(&["members"]).with(&[("SERF_RPC_AUTH", "wrong")]),
    row(&["members"]).with(&[("SERF_RPC_AUTH", "")]),
    row(&["members", "-rpc-auth=wrong"]).with(&[("SERF_RPC_AUTH", "s3cret")]),
    row(&["members", "-rpc-auth=s3cret"]).with(&[("SERF_RPC_AUTH", "wrong")]),
    row(&["event", "a"]),
    row(&["event", "-rpc-auth=s3cret", "a"]),
    row(&["force-leave", "a"]),
    row(&["force-leave", "-rpc-auth=s3cret", "a"]),
    row(&["info"]),
    row(&["info", "-rpc-auth=s3cret"]).varies(&[Order, Moment]),
    row(&["join", "127.0.49.250"]),
    row(&["join", "-rpc-auth=s3cret", "127.0.49.250"]).varies(JOIN),
    row(&["keys", "-list"]),
    row(&["keys", "-rpc-auth=s3cret", "-list"]).varies(KEYS).changes(),
    row(&["leave"]),
    row(&["leave", "-rpc-auth=wrong"]),
    row(&["monitor"]),
    row(&["monitor", "-rpc-auth=wrong"]),
    row(&["query", "a"]),
    row(&["query", "-rpc-auth=s3cret", "-timeout=300ms", "a"]),
    row(&["reachability"]),
    row(&["reachability", "-rpc-auth=s3cret"]).varies(MEASURED),
    row(&["rtt", "SELF"]),
    row(&["rtt", "-rpc-auth=s3cret", "nobody"]),
    row(&["tags", "-set", "a=b"]),
    row(&["tags", "-rpc-auth=s3cret", "-set", "a=b"]).changes(),
    row(&["members", "-rpc-auth=s3cret"]),
];
