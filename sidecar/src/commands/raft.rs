//! `raft`: the group of agents that keeps everything: what it is, who belongs to it, backup and restore. Our own.

use std::ffi::OsString;

use folkmoot_client::{Group, RaftMember, RaftPeer, RaftQuorum, RaftState, Text};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::columns::columns;
use super::connect::with_connection;
use super::coordination::{Format, arguments, connect, json_text, pretty, while_, with_format};
use super::definition::{Definition, verb};
use super::failure::Failure;
use super::output::Output;
use crate::duration::GoDuration;
use crate::flags::{FlagDefinition, Parsed};

pub(super) const DEFINITION: Definition = Definition {
    name: "raft",
    line: "Shows and changes the group that keeps the cluster's state",
    usage: "VERB [options] ...",
    about: "Agents with -raft keep the state of keys, locks, queues and the like together: voters decide by majority, learners follow. Which of them vote is chosen by themselves; the verbs that change it are for the rest. What would lose the quorum is refused.\n\nraft VERB -help tells of each verb. Exit code 0: done. 2: raft status found no quorum or no group. 1: an error.",
    flags: Vec::new,
};

pub(super) const VERBS: [Definition; 9] = [
    Definition {
        name: "raft add",
        line: "Takes an agent into the group, without a vote",
        usage: "[options] MEMBER",
        about: "Takes a -raft agent into the group as a learner. MEMBER is its name, or the number that raft members shows; so it is for the verbs below.",
        flags: || with_connection(&[]),
    },
    Definition {
        name: "raft backup",
        line: "Writes a backup of the state",
        usage: "[options] PATH",
        about: "Writes a backup of the whole state to a file, or to stdout if PATH is -. The file appears under its name only when it is whole and on disk.",
        flags: || with_connection(&[]),
    },
    Definition {
        name: "raft demote",
        line: "Takes the vote of a member",
        usage: "[options] MEMBER",
        about: "Makes a voter a learner.",
        flags: || with_connection(&[]),
    },
    Definition {
        name: "raft members",
        line: "Lists the members of the group",
        usage: "[options]",
        about: "Lists the members as the leader sees them: name, address, role, the last entry on their disk, how long ago they answered.",
        flags: || with_format(&[]),
    },
    Definition {
        name: "raft promote",
        line: "Gives a member a vote",
        usage: "[options] MEMBER",
        about: "Makes a learner a voter.",
        flags: || with_connection(&[]),
    },
    Definition {
        name: "raft remove",
        line: "Takes a member out of the group for good",
        usage: "[options] MEMBER",
        about: "Takes a member out of the group for good.",
        flags: || with_connection(&[]),
    },
    Definition {
        name: "raft restore",
        line: "Puts a backup in place of the state",
        usage: "[options] PATH",
        about: "Puts a backup in place of the whole state, from a file, or from stdin if PATH is -. Revisions go on above all that were seen, and everybody who watches is told to read again.",
        flags: || with_connection(&[FlagDefinition::boolean("other-group", "Take a backup of another group as well.")]),
    },
    Definition {
        name: "raft status",
        line: "Shows the state of the group",
        usage: "[options]",
        about: "Shows the group as this agent sees it: role, term, leader, voters, learners, who is missing, how far the log is. Exit code 2: there is no group, or it has no quorum.",
        flags: || with_format(&[]),
    },
    Definition {
        name: "raft transfer",
        line: "Makes another member lead",
        usage: "[options] [MEMBER]",
        about: "Makes another member lead: this one, or whichever is most up to date.",
        flags: || with_connection(&[]),
    },
];

pub(super) async fn run(words: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let (verb, words) = verb(&VERBS, words)?;
    let flags = verb.parse(words)?;
    match verb.verb() {
        "backup" => backup(&flags).await,
        "members" => members(&flags, out).await,
        "restore" => restore(&flags, out).await,
        "status" => status(&flags, out).await,
        "transfer" => {
            let member = match flags.arguments() {
                [] => None,
                _ => arguments::<1>(&flags, "at most one member")?.into_iter().next(),
            };
            let transferred = connect(&flags).await?.group().transfer(member).await;
            transferred.map_err(while_("transferring leadership"))
        }
        changing => {
            let [member] = arguments(&flags, "one member")?;
            let group = connect(&flags).await?.group();
            let changed = change(changing, &group, member.clone()).await;
            changed.map_err(while_(format!("at {changing} of member '{member}'")))
        }
    }
}

async fn change(verb: &str, group: &Group, member: Text) -> Result<(), folkmoot_client::Error> {
    match verb {
        "add" => group.add(member).await,
        "remove" => group.remove(member).await,
        "promote" => group.promote(member).await,
        _ => group.demote(member).await,
    }
}

async fn status(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let [] = arguments(flags, "none")?;
    let format = Format::of(flags)?;
    let state = connect(flags).await?.group().status().await.map_err(while_("asking for the group"))?;
    format.print(out, || lines(&state).into_bytes(), || described(&state))?;
    match state.quorum {
        RaftQuorum::Ok => Ok(()),
        RaftQuorum::None | RaftQuorum::Lost => Err(Failure::no("")),
    }
}

fn named(peer: &RaftPeer) -> String {
    format!("{} ({}, {})", peer.name, peer.address, peer.id)
}

fn lines(state: &RaftState) -> String {
    let list = |peers: &[RaftPeer]| match peers {
        [] => "none".to_owned(),
        peers => peers.iter().map(named).collect::<Vec<_>>().join(", "),
    };
    let quorum = match state.quorum {
        RaftQuorum::Ok => "ok".to_owned(),
        RaftQuorum::None => "there is no group".to_owned(),
        RaftQuorum::Lost => format!("lost: missing {}", list(&state.missing)),
    };
    let mut rows = vec![
        ("role", state.role.as_str().to_owned()),
        ("quorum", quorum),
        ("leader", state.leader.as_ref().map_or_else(|| "none known".to_owned(), named)),
        ("term", state.term.to_string()),
        ("voters", list(&state.voters)),
        ("learners", list(&state.learners)),
        ("group", state.cluster.to_string()),
        ("member", state.id.to_string()),
        ("revision", state.revision.to_string()),
        ("log", format!("last {}, committed {}, applied {}", state.last_log, state.committed, state.applied)),
        ("snapshot", state.snapshot.to_string()),
    ];
    if state.changing {
        rows.push(("change", "of voters under way".to_owned()));
    }
    if !state.stopped.is_empty() {
        rows.push(("stopped", state.stopped.to_string()));
    }
    rows.iter().map(|(name, value)| format!("{name:<10} {value}")).collect::<Vec<_>>().join("\n")
}

fn described(state: &RaftState) -> Value {
    let peer = |peer: &RaftPeer| json!({"name": json_text(&peer.name), "address": json_text(&peer.address), "id": json_text(&peer.id)});
    let peers = |peers: &[RaftPeer]| peers.iter().map(peer).collect::<Vec<_>>();
    let usage = state.usage.iter().map(|usage| {
        let limit = Some(usage.limit).filter(|limit| *limit != 0);
        json!({"name": json_text(&usage.name), "used": usage.used, "limit": limit})
    });
    json!({
        "role": state.role.as_str(),
        "quorum": state.quorum.as_str(),
        "missing": peers(&state.missing),
        "leader": state.leader.as_ref().map(peer),
        "term": state.term,
        "voters": peers(&state.voters),
        "learners": peers(&state.learners),
        "changing": state.changing,
        "group": json_text(&state.cluster),
        "member": json_text(&state.id),
        "revision": state.revision,
        "compacted": state.compacted,
        "last_log": state.last_log,
        "committed": state.committed,
        "applied": state.applied,
        "snapshot": state.snapshot,
        "purged": state.purged,
        "appended": state.appended,
        "appended_bytes": state.appended_bytes,
        "stopped": json_text(&state.stopped),
        "usage": usage.collect::<Vec<_>>(),
    })
}

async fn members(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let [] = arguments(flags, "none")?;
    let format = Format::of(flags)?;
    let members = connect(flags).await?.group().members().await.map_err(while_("listing members"))?;
    let role = |member: &RaftMember| match (member.leader, member.voter) {
        (true, _) => "leader",
        (false, true) => "voter",
        (false, false) => "learner",
    };
    match format {
        Format::Json => {
            let members = members.iter().map(|member| {
                json!({
                    "name": json_text(&member.name),
                    "id": json_text(&member.id),
                    "address": json_text(&member.address),
                    "role": role(member),
                    "match": member.matching,
                    "answered_ms": member.answered,
                })
            });
            out.line(pretty(&Value::Array(members.collect())))
        }
        Format::Text => {
            let rows: Vec<Vec<u8>> = members
                .iter()
                .map(|member| {
                    let answered = member.answered.map(std::time::Duration::from_millis).map(GoDuration::from);
                    let answered = answered.map_or_else(|| "never".to_owned(), |span| format!("{span} ago"));
                    let RaftMember { name, id, address, matching, .. } = member;
                    format!("{name}|{id}|{address}|{}|entry {matching}|answered {answered}", role(member)).into_bytes()
                })
                .collect();
            if rows.is_empty() { Ok(()) } else { out.line(columns(&rows)) }
        }
    }
}

async fn backup(flags: &Parsed) -> Result<(), Failure> {
    let [path] = arguments(flags, "one path")?;
    let mut backup = connect(flags).await?.group().backup().await.map_err(while_("making a backup"))?;
    if path.as_bytes() == b"-" {
        let mut stdout = tokio::io::stdout();
        while let Some(bytes) = backup.next().await.map_err(while_("making a backup"))? {
            stdout.write_all(&bytes).await.map_err(|_| Failure::Silent)?;
        }
        return stdout.flush().await.map_err(|_| Failure::Silent);
    }
    let path = path.to_string_lossy();
    let unfinished = format!("{path}.unfinished");
    let failed = |error: std::io::Error| Failure::message(format!("Error writing '{unfinished}': {error}"));
    let written = async {
        let mut file = tokio::fs::File::create(&unfinished).await.map_err(failed)?;
        while let Some(bytes) = backup.next().await.map_err(while_("making a backup"))? {
            file.write_all(&bytes).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        tokio::fs::rename(&unfinished, path.as_ref()).await.map_err(failed)
    };
    let outcome = written.await;
    if outcome.is_err() {
        // It may not even be there.
        let _ = tokio::fs::remove_file(&unfinished).await;
    }
    outcome
}

async fn restore(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let [path] = arguments(flags, "one path")?;
    let other_group = flags.boolean("other-group") == Some(true);
    let group = connect(flags).await?.group();
    let restored = if path.as_bytes() == b"-" {
        group.restore(&mut tokio::io::stdin(), other_group).await
    } else {
        let opened = tokio::fs::File::open(path.to_string_lossy().as_ref()).await;
        let mut file = opened.map_err(|error| Failure::message(format!("Error opening '{path}': {error}")))?;
        group.restore(&mut file, other_group).await
    };
    let revision = restored.map_err(while_(format!("restoring '{path}'")))?;
    out.line(format!("Restored; the group goes on from revision {revision}."))
}
