//! `handlers`: lists, adds and removes the agent's event handlers while it runs. Our own: `serf` has no such command.

use std::ffi::OsString;

use folkmoot_client::HandlerInfo;

use super::connect::{connect, with_connection};
use super::definition::Definition;
use super::failure::Failure;
use super::output::Output;
use crate::flags::FlagDefinition;

pub(super) const DEFINITION: Definition = Definition {
    name: "handlers",
    line: "Lists and changes the agent's event handlers",
    usage: "[options]",
    about: "Lists and changes the agent's event handlers while it runs. What is added stays until it is removed or the agent stops; a handler of the agent's configuration that is removed returns when the configuration is reloaded. Changes need an agent that was started with -rpc-handlers.",
    flags: || {
        with_connection(&[
            FlagDefinition::boolean(
                "list",
                "List the handlers in the order in which they are run: where each is from (config or rpc), how often it was run, how often that failed, how many events were dropped because too many waited, how many wait.",
            ),
            FlagDefinition::text("add", "=[FILTER=]SCRIPT", "Add a handler, written as for agent -event-handler."),
            FlagDefinition::text("remove", "=[FILTER=]SCRIPT", "Remove a handler, written as it is listed."),
        ])
    },
};

enum Action<'a> {
    List,
    Add(&'a str),
    Remove(&'a str),
}

pub(super) async fn run(arguments: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let flags = DEFINITION.parse(arguments)?;
    let mut actions: Vec<Action<'_>> = Vec::new();
    actions.extend(flags.boolean("list").filter(|list| *list).map(|_| Action::List));
    actions.extend(flags.text("add").map(Action::Add));
    actions.extend(flags.text("remove").map(Action::Remove));
    let [action] = actions.as_slice() else {
        return Err(match actions.as_slice() {
            [] => Failure::Help,
            _ => Failure::message("Only one of -list, -add, or -remove allowed"),
        });
    };
    let client = connect(&flags).await?;
    match action {
        Action::List => {
            let listed = client.handlers().await.map_err(Failure::during("Error listing handlers"))?;
            if listed.dropped > 0 {
                out.line(format!("{} events were dropped for all handlers", listed.dropped))?;
            }
            listed.handlers.iter().try_for_each(|handler| out.line(line(handler)))
        }
        Action::Add(handler) => {
            client.add_handler(*handler).await.map_err(Failure::during("Error adding handler"))?;
            out.line("Successfully added handler")
        }
        Action::Remove(handler) => {
            client.remove_handler(*handler).await.map_err(Failure::during("Error removing handler"))?;
            out.line("Successfully removed handler")
        }
    }
}

/// The handler comes last: it may hold anything.
fn line(handler: &HandlerInfo) -> Vec<u8> {
    let HandlerInfo { dropped, failures, handler: text, runs, source, waiting } = handler;
    let numbers = format!("runs={runs}  failed={failures}  dropped={dropped}  waiting={waiting}  ");
    [format!("{:<6}  ", source.to_string_lossy()).as_bytes(), numbers.as_bytes(), text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_is_one_line_that_ends_with_what_was_written() {
        let handler = HandlerInfo {
            handler: "user:a=x | y".into(),
            source: "rpc".into(),
            runs: 3,
            failures: 1,
            dropped: 0,
            waiting: 2,
        };
        assert_eq!(line(&handler), b"rpc     runs=3  failed=1  dropped=0  waiting=2  user:a=x | y");
    }
}
