//! `keys`: lists and changes the encryption keys of the cluster (`docs/spec/agent-cli.md` 2.3).

use std::ffi::OsString;

use folkmoot_client::{Client, Error, KeyResponse};

use super::columns::columns;
use super::connect::{connect, with_connection};
use super::definition::Definition;
use super::failure::Failure;
use super::output::Output;
use crate::flags::FlagDefinition;

pub(super) const DEFINITION: Definition = Definition {
    name: "keys",
    line: "Lists and changes the encryption keys of the cluster",
    usage: "[options]",
    about: "Lists and changes the encryption keys of the cluster. Every member carries a change out; the exit code is 0 only if all of them did. Doing it twice does no harm.\n\nMembers may have several keys. They encrypt with one of them, the primary key, and decrypt with all. To change keys: install the new one, use it, remove the old one.",
    flags: || {
        with_connection(&[
            FlagDefinition::text("install", "=KEY", "Add a key."),
            FlagDefinition::text("use", "=KEY", "Encrypt with this key, which has to be installed."),
            FlagDefinition::text("remove", "=KEY", "Remove a key, which must not be the primary one."),
            FlagDefinition::boolean("list", "List the keys and how many members have each."),
        ])
    },
};

/// What is to be done.
enum Action<'a> {
    List,
    Install(&'a str),
    Use(&'a str),
    Remove(&'a str),
}

pub(super) async fn run(arguments: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let flags = DEFINITION.parse(arguments)?;
    let key = |name| flags.text(name).filter(|key| !key.is_empty());
    let mut actions: Vec<Action<'_>> = Vec::new();
    actions.extend(flags.boolean("list").filter(|list| *list).map(|_| Action::List));
    actions.extend(key("install").map(Action::Install));
    actions.extend(key("use").map(Action::Use));
    actions.extend(key("remove").map(Action::Remove));
    let [action] = actions.as_slice() else {
        return Err(match actions.as_slice() {
            [] => Failure::Help,
            _ => Failure::message("Only one of -install, -use, -remove, or -list allowed"),
        });
    };
    let client = connect(&flags).await?;
    let words = action.words();
    out.line(format!("==> {}...", words.start))?;
    match action.carry_out(&client).await {
        Ok(response) => {
            out.line(format!("==> {}", words.success))?;
            // Of members that were down: only our agents name them.
            show_messages("warning", &response, out)?;
            action.show(&response, out)
        }
        Err(error) => {
            if let Error::Keys { response, .. } = &error {
                show_messages("failed", response, out)?;
            }
            out.line("")?;
            Err(Failure::during(words.failure)(error))
        }
    }
}

struct Words {
    start: &'static str,
    success: &'static str,
    failure: &'static str,
}

impl Action<'_> {
    fn words(&self) -> Words {
        match self {
            Self::List => Words {
                start: "Asking all members for installed keys",
                success: "Keys gathered, listing cluster keys...",
                failure: "Failed to gather member keys",
            },
            Self::Install(_) => Words {
                start: "Installing key on all members",
                success: "Successfully installed key!",
                failure: "Error installing key",
            },
            Self::Use(_) => Words {
                start: "Changing primary key on all members",
                success: "Successfully changed primary key!",
                failure: "Error changing primary key",
            },
            Self::Remove(_) => Words {
                start: "Removing key on all members",
                success: "Successfully removed key!",
                failure: "Error removing key",
            },
        }
    }

    async fn carry_out(&self, client: &Client) -> Result<KeyResponse, Error> {
        match self {
            Self::List => client.list_keys().await,
            Self::Install(key) => client.install_key(*key).await,
            Self::Use(key) => client.use_key(*key).await,
            Self::Remove(key) => client.remove_key(*key).await,
        }
    }

    /// Keys and on how many of the members they are.
    fn show(&self, response: &KeyResponse, out: &mut Output) -> Result<(), Failure> {
        let Self::List = self else { return Ok(()) };
        let total = response.num_nodes;
        let row = |(key, count): (&folkmoot_client::Text, &i64)| {
            [key.as_bytes(), format!("|[{count}/{total}]").as_bytes()].concat()
        };
        let rows: Vec<Vec<u8>> = response.keys.iter().flatten().map(row).collect();
        out.line("")?;
        out.line(columns(&rows))
    }
}

/// What each member said, if any said something.
fn show_messages(label: &str, response: &KeyResponse, out: &mut Output) -> Result<(), Failure> {
    let row = |(node, message): (&folkmoot_client::Text, &folkmoot_client::Text)| {
        [label.as_bytes(), b": |", node.as_bytes(), b"|", message.as_bytes()].concat()
    };
    let rows: Vec<Vec<u8>> = response.messages.iter().map(row).collect();
    if rows.is_empty() { Ok(()) } else { out.line(columns(&rows)) }
}
