//! `doctor`: checks settings, ports, keys, names, versions, paths, clock, and the way to each member, and says what to
//! change. Our own. Talks to the agent and to the members it names, and to nobody else.

mod cluster;
mod local;
mod ping;

use std::ffi::OsString;

use folkmoot_client::{Client, ConnectOptions, Reconnect, Text};

use super::connect::address_and_key;
use super::definition::Definition;
use super::failure::Failure;
use super::findings::Findings;
use super::info::invalid_format;
use super::output::Output;
use crate::config::args::{ArgsError, Raw, flag_definitions};
use crate::config::resolve::Settings;
use crate::config::sources;
use crate::flags::{FlagDefinition, Parsed};
use cluster::{Agent, Speech};
use local::ClockCheck;

pub(super) const DEFINITION: Definition = Definition {
    name: "doctor",
    line: "Checks the agent, its settings and the way to each member",
    usage: "[options]",
    about: "Checks the settings, as the agent with the same flags, variables and files would read them; the agent that \
            runs; and from here, by UDP and by TCP, each member it knows. Says what is wrong and what to change. The \
            exit code is 0 when all is well and 1 when something has to be changed.\n\n\
            Pings in an encrypted cluster need its key: give the agent's -config-file, -encrypt or -keyring-file.",
    flags: || {
        let own = [
            FlagDefinition::text("format", "=text|json", "Form of the output; default: text."),
            FlagDefinition::text(
                "rpc-auth",
                "=KEY",
                "RPC key of the agent; default: the settings', else SERF_RPC_AUTH.",
            ),
        ];
        let mut flags: Vec<FlagDefinition> = flag_definitions().into_iter().chain(own).collect();
        flags.sort_by_key(|flag| flag.name);
        flags
    },
};

pub(super) async fn run(arguments: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let flags = DEFINITION.parse(arguments)?;
    let format = flags.text("format").unwrap_or("text");
    if !["text", "json"].contains(&format) {
        return Err(invalid_format(format));
    }
    let mut findings = Findings::default();
    examine(&flags, &mut findings).await;
    out.line(if format == "json" { findings.json() } else { findings.text() })?;
    if findings.count_wrong() == 0 { Ok(()) } else { Err(Failure::Silent) }
}

async fn examine(flags: &Parsed, findings: &mut Findings) {
    let clock = ClockCheck::start();
    let said = Raw::from_parsed(flags).map_err(|error| match error {
        ArgsError::Flag(error) => error.to_string(),
        ArgsError::Value(text) => text,
    });
    let raw = match said.and_then(sources::read) {
        Ok((raw, unknown_variables)) => {
            let settings = local::settings(raw.clone(), &unknown_variables, findings).await;
            if let Some(settings) = &settings {
                local::addresses(settings, findings);
                local::paths(settings, findings);
                local::certificates(settings, findings);
            }
            Some((raw, settings))
        }
        Err(error) => {
            findings.wrong("config", error, "correct this setting");
            None
        }
    };
    let (raw, settings) = raw.unwrap_or_default();
    examine_cluster(flags, &raw, settings.as_ref(), findings).await;
    clock.finish(findings);
}

async fn examine_cluster(flags: &Parsed, raw: &Raw, settings: Option<&Settings>, findings: &mut Findings) {
    let (address, key) = address_and_key(flags, raw);
    let agent = match Agent::find(&address, key).await {
        Ok(agent) => agent,
        Err(error) => {
            let change = "start the agent, or point -rpc-addr and -rpc-auth at the one that runs";
            findings.wrong("agent", format!("cannot ask the agent at {address}: {error}"), change);
            if let Some(settings) = settings {
                local::ports(settings.bind, findings);
                if let Some(raft) = &settings.raft {
                    local::raft_port(raft.listen, findings);
                }
            }
            return;
        }
    };
    findings.well("agent", format!("{} answers at {address}", agent.name));
    let members = match agent.client.members().await {
        Ok(members) => members,
        Err(error) => {
            findings.wrong("agent", format!("it does not list its members: {error}"), "look at its log");
            return;
        }
    };
    let configured = settings.map(local::keys).unwrap_or_default();
    let speech = cluster::keys(&agent, configured, findings).await;
    cluster::list(&agent, raw.node_name.as_deref(), &members, findings);
    if matches!(speech, Speech::Unknown) {
        for member in members.iter().filter(|member| member.status == "failed") {
            let name = member.name.to_string_lossy();
            let change = format!("start it; if it will not return: `folkmoot force-leave {name}`");
            findings.wrong("reach", format!("the agent takes {name} for failed"), change);
        }
    }
    cluster::reach(&members, &speech, findings).await;
}

impl Agent {
    async fn find(address: &str, key: String) -> Result<Self, folkmoot_client::Error> {
        let client = Client::connect(&ConnectOptions::new(address).auth_key(key).reconnect(Reconnect::Never)).await?;
        let stats = client.stats().await?;
        let field = |section: &str, key: &str| {
            let section = stats.0.get(&Text::from(section));
            section.and_then(|section| section.get(&Text::from(key))).cloned().unwrap_or_default()
        };
        let name = field("agent", "name").to_string_lossy().into_owned();
        let encrypted = field("serf", "encrypted") == "true";
        Ok(Self { client, name, encrypted })
    }
}
