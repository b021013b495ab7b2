//! What was written, unvalidated, under Serf's own names (`docs/spec/agent-cli.md` 3.1, 3.2): the settings of one source,
//! and how the command line gives them.
//!
//! [`Raw`] is one source; sources are laid over one another with [`Raw::overlay`]. Files are in `file.rs`, variables in
//! `environment.rs`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use super::keys::{KEYS, Kind};
use crate::duration::{DurationError, GoDuration};
use crate::flags::{FlagDefinition, FlagError, FlagSet, Parsed};

/// One source of settings, by the names of Serf's configuration keys. `None` and empty mean: not said here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the key of that name in the configuration")]
pub struct Raw {
    pub advertise: Option<String>,
    pub bind: Option<String>,
    pub broadcast_timeout: Option<GoDuration>,
    /// Ours: the cluster to keep to.
    pub cluster: Option<String>,
    /// Files and directories of settings, in the order they were named.
    pub config_paths: Vec<String>,
    pub data_dir: Option<String>,
    pub dev: Option<bool>,
    pub disable_coordinates: Option<bool>,
    pub disable_name_resolution: Option<bool>,
    pub discover: Option<String>,
    pub enable_compression: Option<bool>,
    pub enable_syslog: Option<bool>,
    pub encrypt_key: Option<Secret>,
    /// Ours: how long a script may run.
    pub event_handler_timeout: Option<GoDuration>,
    pub event_handlers: Vec<String>,
    pub interface: Option<String>,
    pub keyring_file: Option<String>,
    pub leave_on_terminate: Option<bool>,
    pub log_level: Option<String>,
    pub mdns_disable_ipv4: Option<bool>,
    pub mdns_disable_ipv6: Option<bool>,
    pub mdns_interface: Option<String>,
    /// `MsgpackUseNewTimeFormat`.
    pub new_time_format: Option<bool>,
    /// Ours: no capability trailer.
    pub no_capability: Option<bool>,
    pub node_name: Option<String>,
    pub profile: Option<String>,
    pub protocol: Option<i64>,
    pub query_response_size_limit: Option<i64>,
    pub query_size_limit: Option<i64>,
    pub raft: Option<bool>,
    pub raft_addr: Option<String>,
    pub raft_advertise: Option<String>,
    pub raft_bootstrap_expect: Option<i64>,
    pub raft_max_voters: Option<i64>,
    pub raft_tls_ca: Option<String>,
    pub raft_tls_cert: Option<String>,
    pub raft_tls_key: Option<String>,
    pub raft_voter: Option<String>,
    pub reconnect_interval: Option<GoDuration>,
    pub reconnect_timeout: Option<GoDuration>,
    pub rejoin_after_leave: Option<bool>,
    pub replay_on_join: Option<bool>,
    pub retry_interval: Option<GoDuration>,
    pub retry_join: Vec<String>,
    pub retry_max_attempts: Option<i64>,
    pub role: Option<String>,
    pub rpc_addr: Option<String>,
    pub rpc_auth: Option<Secret>,
    /// Ours: whether RPC clients may change event handlers.
    pub rpc_handlers: Option<bool>,
    pub skip_leave_on_interrupt: Option<bool>,
    pub snapshot_path: Option<String>,
    pub start_join: Vec<String>,
    pub statsd_addr: Option<String>,
    pub statsite_addr: Option<String>,
    pub syslog_facility: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub tags_file: Option<String>,
    pub tombstone_timeout: Option<GoDuration>,
    pub user_event_size_limit: Option<i64>,
    pub validate_node_names: Option<bool>,
}

/// A key: never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// Why a command line was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// Not a command line of this command: the help follows.
    #[error(transparent)]
    Flag(#[from] FlagError),
    /// A value that cannot be read.
    #[error("Error: {0}")]
    Value(String),
}

impl Raw {
    /// Reads the words after `agent`. Words after the flags are ignored, as in Go.
    ///
    /// # Errors
    /// [`ArgsError`].
    pub fn from_flags(words: &[OsString]) -> Result<Self, ArgsError> {
        Self::from_parsed(&FlagSet::of(&flag_definitions()).parse(words)?)
    }

    /// Takes what a command with the flags of `agent` was given.
    ///
    /// # Errors
    /// [`ArgsError::Value`].
    pub fn from_parsed(parsed: &Parsed) -> Result<Self, ArgsError> {
        let text = |flag| parsed.text(flag).map(str::to_owned);
        let mut raw = Self::default();
        for key in KEYS.iter().filter(|key| !key.flag.is_empty()) {
            match key.kind {
                Kind::Text(place) => *place(&mut raw) = text(key.flag),
                Kind::Secret(place) => *place(&mut raw) = text(key.flag).map(Secret),
                Kind::Truth(place) | Kind::Choice(place) => *place(&mut raw) = parsed.boolean(key.flag),
                Kind::Negated(place) => *place(&mut raw) = parsed.boolean(key.flag).map(|value| !value),
                Kind::Integer(place) | Kind::Positive(place) => *place(&mut raw) = parsed.integer(key.flag),
                Kind::Duration(place) => *place(&mut raw) = duration(parsed.text(key.flag))?,
                Kind::List(place) => place(&mut raw).extend_from_slice(parsed.list(key.flag)),
                Kind::Tags(place) => *place(&mut raw) = tags(parsed.list(key.flag)).map_err(ArgsError::Value)?,
            }
        }
        Ok(raw)
    }

    /// Lays `over` on top, by the rules of each setting (`docs/spec/agent-cli.md` 3.3).
    pub fn overlay(mut self, mut over: Self) -> Self {
        for key in &KEYS {
            key.overlay(&mut self, &mut over);
        }
        self
    }
}

/// Reads `key=value` texts; the key ends at the first `=` and is not empty.
///
/// # Errors
/// Go's text.
pub fn tags(list: &[String]) -> Result<BTreeMap<String, String>, String> {
    list.iter()
        .map(|tag| match tag.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            Some(_) | None => Err(format!("Invalid tag: '{tag}'")),
        })
        .collect()
}

/// The flags of `agent`, sorted by name.
pub fn flag_definitions() -> Vec<FlagDefinition> {
    let with_flag = KEYS.iter().filter(|key| !key.flag.is_empty());
    let mut flags: Vec<FlagDefinition> = with_flag
        .map(|key| match key.kind {
            // Durations are texts to the flag parser, because their complaint is the agent's own.
            Kind::Text(_) | Kind::Secret(_) | Kind::Duration(_) => FlagDefinition::text(key.flag, key.value, key.text),
            Kind::Truth(_) | Kind::Choice(_) | Kind::Negated(_) => FlagDefinition::boolean(key.flag, key.text),
            Kind::Integer(_) | Kind::Positive(_) => FlagDefinition::integer(key.flag, key.value, key.text),
            // One list, so that files and directories keep the order they were named in.
            Kind::List(_) if key.flag == "config-dir" => {
                FlagDefinition::list(key.flag, key.value, key.text).into_list_of("config-file")
            }
            Kind::List(_) | Kind::Tags(_) => FlagDefinition::list(key.flag, key.value, key.text),
        })
        .collect();
    flags.sort_by_key(|flag| flag.name);
    flags
}

fn duration(text: Option<&str>) -> Result<Option<GoDuration>, ArgsError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|error: DurationError| ArgsError::Value(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Raw, ArgsError> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Raw::from_flags(&words)
    }

    #[test]
    fn flags_fill_the_settings_they_stand_for() {
        let raw = read(&["-node=a", "--join", "h1", "-join=h2", "-tag", "x=1=2", "-tag=y=", "-replay", "-protocol=4"]);
        let raw = raw.unwrap();
        assert_eq!(raw.node_name.as_deref(), Some("a"));
        assert_eq!(raw.start_join, ["h1", "h2"]);
        assert_eq!(raw.tags["x"], "1=2");
        assert_eq!(raw.tags["y"], "");
        assert_eq!(raw.replay_on_join, Some(true));
        assert_eq!(raw.protocol, Some(4));
        assert_eq!(raw.enable_compression, None);
        assert_eq!(read(&["-disable-compression"]).unwrap().enable_compression, Some(false));
    }

    #[test]
    fn every_flag_of_serf_is_known() {
        let texts = "bind advertise encrypt keyring-file log-level node role rpc-addr profile snapshot tags-file discover \
                     iface mdns-iface config-file config-dir event-handler join retry-join";
        for flag in texts.split_whitespace() {
            assert_ne!(read(&[&format!("-{flag}=x")]).unwrap(), Raw::default(), "{flag}");
        }
        for flag in "replay syslog rejoin disable-compression mdns-disable-ipv4 mdns-disable-ipv6".split_whitespace() {
            assert_ne!(read(&[&format!("-{flag}")]).unwrap(), Raw::default(), "{flag}");
        }
        for setting in ["-tag=a=1", "-protocol=4", "-retry-max=3", "-retry-interval=3s", "-broadcast-timeout=3s"] {
            assert_ne!(read(&[setting]).unwrap(), Raw::default(), "{setting}");
        }
    }

    #[test]
    fn files_and_directories_keep_their_order() {
        let raw = read(&["-config-file=b", "-config-dir", "a", "-config-file=c"]).unwrap();
        assert_eq!(raw.config_paths, ["b", "a", "c"]);
    }

    #[test]
    fn faults_have_gos_texts() {
        let text = |words: &[&str]| read(words).unwrap_err().to_string();
        assert_eq!(text(&["-tag", "foo"]), "Error: Invalid tag: 'foo'");
        assert_eq!(text(&["-retry-interval=5"]), "Error: time: missing unit in duration \"5\"");
        assert_eq!(text(&["-broadcast-timeout=x"]), "Error: time: invalid duration \"x\"");
        assert_eq!(text(&["-nope"]), "flag provided but not defined: -nope");
        assert_eq!(text(&["-protocol=x"]), "invalid value \"x\" for flag -protocol: parse error");
    }

    #[test]
    fn each_kind_of_setting_has_its_rule_for_merging() {
        let under = read(&["-node=a", "-join=h1", "-tag=x=1", "-tag=y=1", "-replay", "-retry-max=3", "-protocol=4"]);
        let over =
            read(&["-node=", "-join=h2", "-tag=y=2", "-replay=false", "-retry-max=0", "-bind=b", "-protocol=-1"]);
        let raw = under.unwrap().overlay(over.unwrap());
        assert_eq!(raw.node_name.as_deref(), Some("a"));
        assert_eq!(raw.bind.as_deref(), Some("b"));
        assert_eq!(raw.start_join, ["h1", "h2"]);
        assert_eq!((raw.tags["x"].as_str(), raw.tags["y"].as_str()), ("1", "2"));
        assert_eq!(raw.replay_on_join, Some(true), "true stays true");
        assert_eq!(raw.retry_max_attempts, Some(3));
        assert_eq!(raw.protocol, Some(4));
        let compressed = read(&["-disable-compression"]).unwrap().overlay(read(&["-disable-compression=0"]).unwrap());
        assert_eq!(compressed.enable_compression, Some(true), "the last word counts");
        let interval = |text| read(&[&format!("-retry-interval={text}")]).unwrap();
        assert_eq!(interval("5s").overlay(interval("0s")), interval("5s"));
        assert_eq!(interval("5s").overlay(interval("-1s")), interval("-1s"));
    }

    #[test]
    fn keys_do_not_show_in_debug_output() {
        let raw = read(&["-encrypt=AAAAAAAAAAAAAAAAAAAAAA=="]).unwrap();
        assert!(!format!("{raw:?}").contains("AAAA"));
    }
}
