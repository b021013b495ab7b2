//! `health`: whether the agent answers, is among its cluster and, with `-raft`, has a quorum. Our own; made for the health
//! checks of containers, which run it in the agent's environment and look at nothing but its exit code.

use std::collections::BTreeMap;
use std::ffi::OsString;

use folkmoot_client::{Client, ConnectOptions, Error, Member, Reconnect, StatsResponse, Text};

use super::connect::address_and_key;
use super::coordination::{Format, arguments, span, unsigned, with_format};
use super::definition::Definition;
use super::failure::Failure;
use super::findings::Findings;
use super::output::Output;
use crate::config::args::Raw;
use crate::config::sources;
use crate::flags::{FlagDefinition, Parsed};
use crate::limits::HEALTH_LIMIT;

pub(super) const DEFINITION: Definition = Definition {
    name: "health",
    line: "Says whether the agent is fit to be used",
    usage: "[options]",
    about: "Asks the agent, and says whether it answers, is among its cluster, and, if it takes part in a group, whether that \
            has a quorum. An agent is among its cluster if it takes itself and at least one of the others it knows for alive; \
            one that has not met anybody is well, unless -members wants more.\n\nMade for health checks of containers: \
            the exit code is 0 if all is well and 1 if anything is not, or if the agent does not answer in time. The \
            address and the key are those of the agent's own variables (FOLKMOOT_RPC_ADDR, FOLKMOOT_RPC_AUTH, \
            FOLKMOOT_CONFIG_FILE) where no flag says otherwise.",
    flags: || {
        with_format(&[
            FlagDefinition::boolean("live", "Ask only whether the agent answers."),
            FlagDefinition::integer("members", "=N", "Members that must be alive, the agent included; default: 1."),
            FlagDefinition::duration("timeout", "=DURATION", "Time for all of it; default: 5s."),
        ])
    },
};

/// Exit code 1 is "unhealthy" to container engines; they reserve the others.
pub(super) async fn run(words: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let flags = DEFINITION.parse(words)?;
    let [] = arguments(&flags, "none")?;
    let format = Format::of(&flags)?;
    let members_least = unsigned(&flags, "members")?.unwrap_or(1);
    let limit = span(&flags, "timeout")?.unwrap_or(HEALTH_LIMIT);
    let (address, key) = agent(&flags)?;
    let options = ConnectOptions::new(address.as_str()).auth_key(key).reconnect(Reconnect::Never);
    let mut findings = Findings::default();
    match tokio::time::timeout(limit, Answers::ask(&options)).await {
        Ok(Ok(answers)) => answers.judge(flags.boolean("live") == Some(true), members_least, &mut findings),
        Ok(Err(error)) => unanswered(&address, &error.to_string(), &mut findings),
        Err(_) => unanswered(&address, &format!("no answer within {limit:?}"), &mut findings),
    }
    match format {
        Format::Text => out.line(findings.text())?,
        Format::Json => out.line(findings.json())?,
    }
    if findings.count_wrong() == 0 { Ok(()) } else { Err(Failure::Silent) }
}

/// Address and key: flags, else the variables and files that the agent reads too, else those of commands.
fn agent(flags: &Parsed) -> Result<(String, String), Failure> {
    let said = Raw { rpc_addr: flags.text("rpc-addr").map(str::to_owned), ..Raw::default() };
    let (raw, _) = sources::read(said).map_err(Failure::message)?;
    Ok(address_and_key(flags, &raw))
}

fn unanswered(address: &str, reason: &str, findings: &mut Findings) {
    let change = "start the agent, or point -rpc-addr and -rpc-auth (FOLKMOOT_RPC_AUTH) at the one that runs";
    findings.wrong("agent", format!("cannot ask the agent at {address}: {reason}"), change);
}

/// What an agent says of itself.
struct Answers {
    stats: StatsResponse,
    members: Vec<Member>,
}

impl Answers {
    async fn ask(options: &ConnectOptions) -> Result<Self, Error> {
        let client = Client::connect(options).await?;
        Ok(Self { stats: client.stats().await?, members: client.members().await? })
    }

    fn judge(&self, live_only: bool, members_least: u64, findings: &mut Findings) {
        let name = self.section("agent").and_then(|section| section.get(&Text::from("name"))).cloned();
        let name = name.unwrap_or_default();
        findings.well("agent", format!("{name} answers"));
        if live_only {
            return;
        }
        self.judge_members(&name, members_least, findings);
        if let Some(raft) = self.section("raft") {
            judge_group(raft, findings);
        }
    }

    fn section(&self, name: &str) -> Option<&BTreeMap<Text, Text>> {
        self.stats.0.get(&Text::from(name))
    }

    fn judge_members(&self, own_name: &Text, least: u64, findings: &mut Findings) {
        let own = self.members.iter().find(|member| member.name == *own_name);
        let own_status = own.map(|member| member.status.clone()).unwrap_or_default();
        if own_status != "alive" {
            findings.wrong(
                "members",
                format!("it takes itself for {own_status}"),
                "start it again when it has stopped",
            );
            return;
        }
        let count = |status: &str| self.members.iter().filter(|member| member.status == status).count();
        let (alive, failed) = (count("alive"), count("failed"));
        let seen = format!("{alive} of {} are alive", alive.saturating_add(failed));
        let change = "look whether the others run, and whether gossip reaches them by UDP and TCP";
        if alive == 1 && failed > 0 {
            findings.wrong("members", format!("all others have failed: {seen}"), change);
        } else if u64::try_from(alive).is_ok_and(|alive| alive < least) {
            findings.wrong("members", format!("{seen}, where {least} must be"), change);
        } else {
            findings.well("members", seen);
        }
    }
}

/// `raft`: the agent's numbers about its group.
fn judge_group(raft: &BTreeMap<Text, Text>, findings: &mut Findings) {
    let of = |key: &str| raft.get(&Text::from(key)).map(|value| value.to_string_lossy()).unwrap_or_default();
    match of("quorum").as_ref() {
        "ok" if of("state") != "stopped" => {
            findings.well("quorum", format!("{} of the voters {}", of("state"), of("voters")));
        }
        "ok" => findings.wrong("quorum", "the group's member has stopped", "look at the agent's log"),
        "none" => {
            let change =
                "start the nodes that are expected to found it (-raft-bootstrap-expect); the agent's log says more";
            findings.wrong("quorum", "this node belongs to no group yet", change);
        }
        _ => {
            let seen = format!("no majority of the voters {}: missing {}", of("voters"), of("missing"));
            findings.wrong("quorum", seen, "bring one of the missing back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(members: &[(&str, &str)], raft: Option<&[(&str, &str)]>) -> Answers {
        let section =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let mut stats = BTreeMap::from([(Text::from("agent"), section(&[("name", "a")]))]);
        stats.extend(raft.map(|pairs| (Text::from("raft"), section(pairs))));
        let member = |(name, status): &(&str, &str)| Member {
            name: (*name).into(),
            status: (*status).into(),
            ..Member::default()
        };
        Answers { stats: StatsResponse(stats), members: members.iter().map(member).collect() }
    }

    fn judged(answers: &Answers, least: u64) -> (usize, String) {
        let mut findings = Findings::default();
        answers.judge(false, least, &mut findings);
        (findings.count_wrong(), findings.text())
    }

    #[test]
    fn a_node_is_well_alone_until_it_has_met_others() {
        for (members, least, wrong, words) in [
            (&[("a", "alive")][..], 1, 0, "1 of 1 are alive"),
            (&[("a", "alive")], 2, 1, "1 of 1 are alive, where 2 must be"),
            (&[("a", "alive"), ("b", "left")], 1, 0, "1 of 1 are alive"),
            (&[("a", "alive"), ("b", "failed"), ("c", "alive")], 1, 0, "2 of 3 are alive"),
            (&[("a", "alive"), ("b", "failed")], 1, 1, "all others have failed: 1 of 2 are alive"),
            (&[("a", "leaving"), ("b", "alive")], 1, 1, "it takes itself for leaving"),
        ] {
            let (count, text) = judged(&answers(members, None), least);
            assert_eq!(count, wrong, "{text}");
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_member_of_a_group_needs_a_quorum() {
        for (raft, wrong, words) in [
            (&[("quorum", "ok"), ("state", "leader"), ("voters", "a,b,c")], 0, "leader of the voters a,b,c"),
            (&[("quorum", "ok"), ("state", "stopped"), ("voters", "a")], 1, "has stopped"),
            (&[("quorum", "none"), ("state", "outside"), ("voters", "")], 1, "belongs to no group yet"),
            (&[("quorum", "lost"), ("voters", "a,b,c"), ("missing", "b,c")], 1, "voters a,b,c: missing b,c"),
        ] {
            let (count, text) = judged(&answers(&[("a", "alive")], Some(raft)), 1);
            assert_eq!(count, wrong, "{text}");
            assert!(text.contains(words), "{text}");
        }
    }
}
