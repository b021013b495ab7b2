//! The flags and variables every command has that talks to an agent, and arguments in common (`docs/spec/agent-cli.md`
//! 1.3, 2).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use bytes::Bytes;
use folkmoot_client::{Client, ConnectOptions, Reconnect, Text};

use super::failure::Failure;
use crate::config::args::Raw;
use crate::flags::{FlagDefinition, Parsed};

const DEFAULT_ADDRESS: &str = "127.0.0.1:7373";

/// The flags of a command, and those for [`connect`].
pub(super) fn with_connection(own: &[FlagDefinition]) -> Vec<FlagDefinition> {
    let address = "RPC address of the agent, or unix:///PATH; default: SERF_RPC_ADDR, else 127.0.0.1:7373.";
    let key = "RPC key of the agent; default: SERF_RPC_AUTH.";
    let connection =
        [FlagDefinition::text("rpc-addr", "=ADDR", address), FlagDefinition::text("rpc-auth", "=KEY", key)];
    own.iter().copied().chain(connection).collect()
}

/// Connects as flags and environment say. Flags win, also empty ones. Serf's commands take as long as the agent does.
pub(super) async fn connect(flags: &Parsed) -> Result<Client, Failure> {
    let options = options(flags).reconnect(Reconnect::Never).call_timeout(Duration::MAX);
    let connected = Client::connect(&options).await;
    connected.map_err(Failure::during("Error connecting to Serf agent"))
}

/// How to connect, as flags and environment say.
pub(super) fn options(flags: &Parsed) -> ConnectOptions {
    let address = flags.text("rpc-addr").map(str::to_owned);
    let address = address.or_else(|| from_environment("SERF_RPC_ADDR").filter(|address| !address.is_empty()));
    let key = flags.text("rpc-auth").map(str::to_owned).or_else(|| from_environment("SERF_RPC_AUTH"));
    ConnectOptions::new(address.unwrap_or_else(|| DEFAULT_ADDRESS.to_owned())).auth_key(key.unwrap_or_default())
}

/// Where the agent of settings `raw` is, and its key. Flags win over settings, settings over the variables of commands.
pub(super) fn address_and_key(flags: &Parsed, raw: &Raw) -> (String, String) {
    let address = raw.rpc_addr.clone().filter(|address| !address.is_empty());
    let address = address.or_else(|| from_environment("SERF_RPC_ADDR").filter(|address| !address.is_empty()));
    let key = flags.text("rpc-auth").map(str::to_owned).or_else(|| raw.rpc_auth.as_ref().map(|key| key.0.clone()));
    let key = key.or_else(|| from_environment("SERF_RPC_AUTH"));
    (address.unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()), key.unwrap_or_default())
}

fn from_environment(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// `key=value` arguments; a later one for the same key wins.
pub(super) fn parse_tags<'a>(tags: impl IntoIterator<Item = &'a str>) -> Result<BTreeMap<Text, Text>, Failure> {
    let parse = |tag: &'a str| match tag.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err(Failure::message(format!("Error: Invalid tag: '{tag}'"))),
    };
    tags.into_iter().map(parse).collect()
}

/// An argument as text, byte for byte.
pub(super) fn text(argument: &OsString) -> Text {
    Text::from_bytes(payload(argument))
}

/// An argument as payload, byte for byte.
pub(super) fn payload(argument: &OsString) -> Bytes {
    Bytes::from(argument.clone().into_vec())
}

/// An argument to print.
pub(super) fn bytes(argument: &OsString) -> &[u8] {
    argument.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_split_at_the_first_equal_sign() {
        let tags = parse_tags(["a=1", "b=x=y", "c=", "a=2"]).unwrap();
        let expected = [("a", "2"), ("b", "x=y"), ("c", "")];
        assert_eq!(tags, expected.map(|(key, value)| (key.into(), value.into())).into());
    }

    #[test]
    fn a_tag_needs_a_key_and_an_equal_sign() {
        for tag in ["a", "=x", "", "="] {
            let Err(Failure::Message(text)) = parse_tags([tag]) else { panic!("{tag} must be refused") };
            assert_eq!(text, format!("Error: Invalid tag: '{tag}'"));
        }
    }
}
