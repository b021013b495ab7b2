//! Two Go agents and two of ours in one cluster, and how it looks from one of them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crate::support::rpc::MemberRow;
use crate::support::{Agent, Kind, Loopback, eventually, eventually_within};

/// Longest time from a crash to `failed` among five agents with default settings: every live node is probed once per round
/// (4 s), a probe lasts 1 s, and a suspicion nobody confirms lasts 6 x 4 s (docs/spec/memberlist.md). Doubled, because the
/// machine is shared.
const FAILURE_SEEN_WITHIN: Duration = Duration::from_secs(2 * (4 + 1 + 24));
/// Every agent answers these queries in this way.
const HANDLERS: [&str; 6] = [
    "-event-handler=query:load=echo 0.5",
    r#"-event-handler=query:odd=printf "\377<a>&\001\342\200\250\"\\\t|""#,
    r#"-event-handler=query:multi=printf "a\nb\n""#,
    "-event-handler=query:fail=echo no; exit 3",
    "-event-handler=query:long=head -c 2000 /dev/zero | tr '\\0' x",
    "-event-handler=query:empty=true",
];
/// What the agents are called; all names and all addresses have one length, so that columns are equally wide.
const NAMES: [&str; 4] = ["go-a", "go-b", "fm-a", "fm-b"];
const HOSTS: [u8; 4] = [11, 12, 21, 22];
/// Where the addresses of each cluster begin.
const GROUPS: [u8; 5] = [0, 100, 120, 140, 160];
/// The same from the point of view of one agent: itself, the other of its kind, and the two of the other kind.
pub const ROLES: [&str; 4] = ["SELF", "MATE", "PEER", "AWAY"];

/// `go-a`, `go-b`, `fm-a`, `fm-b`, all joined; those called `a` have the tags of a web server, the others of a database.
pub struct Cluster {
    pub agents: Vec<Agent>,
}

impl Cluster {
    /// Each cluster has a group of addresses of its own, by number.
    pub fn start(group: usize, arguments: &[&str]) -> Self {
        let agents = (0..4).map(|index| {
            let kind = if index < 2 { Kind::Go } else { Kind::under_test() };
            let tags: &[&str] = if index % 2 == 0 { &["-tag=role=web", "-tag=dc=east"] } else { &["-tag=role=db"] };
            let address = Loopback::exactly(Ipv4Addr::new(127, 0, 49, GROUPS[group] + HOSTS[index]));
            // The profile for one machine sends each broadcast twice only: now and then a query misses a member.
            let arguments = [&["-profile=lan"], arguments, tags, &HANDLERS].concat();
            Agent::start_at(kind, NAMES[index], Arc::new(address), &arguments)
        });
        let cluster = Self { agents: agents.collect() };
        for agent in &cluster.agents[1..] {
            assert_eq!(agent.rpc().join(&[&cluster.agents[0].gossip()]), Ok(1));
        }
        cluster.settle();
        cluster
    }

    /// The agents that commands and requests go to: Go's, then ours.
    pub fn asked(&self) -> [View<'_>; 2] {
        [View { cluster: self, own: 0 }, View { cluster: self, own: 2 }]
    }

    /// The others of both kinds.
    pub fn others(&self) -> [View<'_>; 2] {
        [View { cluster: self, own: 1 }, View { cluster: self, own: 3 }]
    }

    /// Waits until everybody is alive everywhere, has a coordinate, and the two agents asked show the same.
    pub fn settle(&self) {
        self.eventually_equal(|rows| NAMES.iter().all(|name| rows.get(*name).is_some_and(|row| row.status == "alive")));
        NAMES.iter().for_each(|name| self.wait_for_coordinate(name));
    }

    /// Waits until both agents asked know a coordinate of `name`.
    pub fn wait_for_coordinate(&self, name: &str) {
        for view in self.asked() {
            eventually("a coordinate is known", || view.agent().rpc().coordinate(name).ok_or_else(|| name.to_owned()));
        }
    }

    /// Waits until `name` is shown in this state by both agents asked; no state means not shown.
    pub fn wait_for_status(&self, name: &str, status: Option<&str>) {
        self.eventually_equal(|rows| rows.get(name).map(|row| row.status.as_str()) == status);
    }

    /// Waits until both agents asked show the same, seen from each, and it is as wanted.
    pub fn eventually_equal(&self, wanted: impl Fn(&BTreeMap<String, MemberRow>) -> bool) {
        eventually_within(FAILURE_SEEN_WITHIN, "both agents show the same members", || {
            let seen = self.asked().map(|view| {
                let mut rpc = view.agent().rpc();
                let rows: BTreeMap<_, _> = rpc.members().into_iter().map(|row| (row.name.clone(), row)).collect();
                rpc.finish();
                let shown: BTreeMap<_, _> = rows
                    .values()
                    .map(|row| (view.anonymous(&row.name), (row.status.clone(), row.tags.clone())))
                    .collect();
                (wanted(&rows), shown)
            });
            let [(go_fits, go), (ours_fits, ours)] = seen;
            if go_fits && ours_fits && go == ours { Ok(()) } else { Err(format!("Go: {go:?}\nours: {ours:?}")) }
        });
    }
}

/// The cluster from the point of view of one agent.
#[derive(Clone, Copy)]
pub struct View<'a> {
    cluster: &'a Cluster,
    own: usize,
}

impl<'a> View<'a> {
    pub fn agent(&self) -> &'a Agent {
        &self.cluster.agents[self.own]
    }

    /// Real name, real address, and the words that stand for them.
    fn words(&self) -> impl Iterator<Item = (String, String, &'static str)> {
        let agents = &self.cluster.agents;
        let own = self.own;
        // Numbers 0 and 1 are of one kind, 2 and 3 of the other.
        ROLES.iter().enumerate().map(move |(role, word)| {
            let agent = &agents[own ^ role];
            (agent.name.clone(), agent.address.ip().to_string(), *word)
        })
    }

    /// `SELF` becomes the name of this agent, `IP_OF_SELF` its address, and so on.
    pub fn concrete(&self, text: &str) -> String {
        self.words().fold(text.to_owned(), |text, (name, ip, word)| {
            text.replace(&format!("IP_OF_{word}"), &ip).replace(word, &name)
        })
    }

    /// The other way round.
    pub fn anonymous(&self, text: &str) -> String {
        self.words().fold(text.to_owned(), |text, (name, ip, word)| {
            text.replace(&ip, &format!("IP_OF_{word}")).replace(&name, word)
        })
    }
}
