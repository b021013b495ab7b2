//! Settings from environment variables: `FOLKMOOT_` and the name of a flag or of a configuration key, in capitals.
//!
//! Lists are separated by commas, but for event handlers, which have commas inside: each is a line. A variable that is empty says nothing. Serf's agent reads none; ours are for
//! containers, where a file or a flag is the awkward way.

use super::args::{self, Raw, Secret};
use super::keys::{KEYS, Key, Kind};
use crate::duration::DurationError;
use crate::flags;

/// A variable that cannot be used; the user's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// The value cannot be read.
    #[error("Invalid environment variable {variable}={value}: {reason}")]
    Value {
        /// Its whole name.
        variable: String,
        /// As given; keys are not shown.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// One setting said twice.
    #[error("Environment variables {0} and {1} mean the same: set one of them")]
    Twice(String, String),
}

/// Settings, and the variables that look like ours but mean nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// What was said.
    pub raw: Raw,
    /// Variables beginning with `FOLKMOOT_` that nobody knows: probably misspelt.
    pub unknown: Vec<String>,
}

impl Environment {
    /// Reads the variables of this process; a value that is not UTF-8 is read with U+FFFD in its place.
    ///
    /// # Errors
    /// [`EnvironmentError`].
    pub fn of_this_process() -> Result<Self, EnvironmentError> {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        Self::read(std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))))
    }

    /// Reads `variables`.
    ///
    /// # Errors
    /// [`EnvironmentError`].
    pub fn read(variables: impl Iterator<Item = (String, String)>) -> Result<Self, EnvironmentError> {
        let mut environment = Self::default();
        let mut seen: Vec<(&'static str, String)> = Vec::new();
        let mut ours: Vec<_> =
            variables.filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty()).collect();
        ours.sort();
        for (variable, value) in ours {
            let name = variable.strip_prefix(PREFIX).unwrap_or_default();
            let Some(key) = KEYS.iter().find(|key| is_named(key, name)) else {
                environment.unknown.push(variable);
                continue;
            };
            if let Some((_, first)) = seen.iter().find(|(other, _)| *other == key.setting()) {
                return Err(EnvironmentError::Twice(first.clone(), variable));
            }
            set(key, &mut environment.raw, &value).map_err(|reason| EnvironmentError::Value {
                variable: variable.clone(),
                value: if matches!(key.kind, Kind::Secret(_)) { "..".to_owned() } else { value },
                reason,
            })?;
            seen.push((key.setting(), variable));
        }
        Ok(environment)
    }
}

const PREFIX: &str = "FOLKMOOT_";

/// The names a variable of this setting may have: its key's and its flag's, in capitals.
fn is_named(key: &Key, variable: &str) -> bool {
    let capitals = |name: &str| name.to_ascii_uppercase().replace(['.', '-'], "_");
    [key.name, key.flag].into_iter().any(|name| !name.is_empty() && capitals(name) == variable)
}

fn set(key: &Key, raw: &mut Raw, value: &str) -> Result<(), String> {
    match &key.kind {
        Kind::Text(place) => *place(raw) = Some(value.to_owned()),
        Kind::Secret(place) => *place(raw) = Some(Secret(value.to_owned())),
        Kind::Truth(place) | Kind::Choice(place) => *place(raw) = Some(boolean(value)?),
        Kind::Negated(place) => *place(raw) = Some(!boolean(value)?),
        Kind::Integer(place) | Kind::Positive(place) => {
            *place(raw) = Some(flags::parse_integer(value).map_err(|_| "it has to be a whole number")?);
        }
        Kind::Duration(place) => {
            *place(raw) = Some(value.parse().map_err(|error: DurationError| error.to_string())?);
        }
        Kind::List(place) if key.name == "event_handlers" => place(raw).extend(lines(value)),
        Kind::List(place) => place(raw).extend(list(value)),
        Kind::Tags(place) => *place(raw) = args::tags(&list(value))?,
    }
    Ok(())
}

fn boolean(value: &str) -> Result<bool, String> {
    flags::parse_boolean(value).ok_or_else(|| "it has to be true or false".to_owned())
}

fn lines(value: &str) -> impl Iterator<Item = String> {
    value.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned)
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, EnvironmentError> {
        Environment::read(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn variables_are_named_after_flags_or_keys() {
        let variables = [
            ("FOLKMOOT_NODE", "a"),
            ("FOLKMOOT_START_JOIN", "h1, h2:80,"),
            ("FOLKMOOT_TAG", "role=web,dc=east"),
            ("FOLKMOOT_LEAVE_ON_TERMINATE", "true"),
            ("FOLKMOOT_RECONNECT_TIMEOUT", "1h"),
            ("FOLKMOOT_RPC_AUTH", "secret"),
            ("FOLKMOOT_EVENT_HANDLER", "member-join,member-leave=a b, c\n\nuser=d"),
            ("FOLKMOOT_BIND", ""),
            ("PATH", "/bin"),
        ];
        let environment = read(&variables).unwrap();
        assert_eq!(environment.raw.node_name.as_deref(), Some("a"));
        assert_eq!(environment.raw.start_join, ["h1", "h2:80"]);
        assert_eq!(environment.raw.tags["dc"], "east");
        assert_eq!(environment.raw.leave_on_terminate, Some(true));
        assert_eq!(environment.raw.reconnect_timeout, Some("1h".parse().unwrap()));
        assert_eq!(environment.raw.rpc_auth, Some(Secret("secret".into())));
        assert_eq!(environment.raw.event_handlers, ["member-join,member-leave=a b, c", "user=d"]);
        assert_eq!(environment.raw.bind, None);
        assert!(environment.unknown.is_empty());
    }

    #[test]
    fn a_bad_value_names_variable_value_and_reason_and_never_a_key() {
        let error = read(&[("FOLKMOOT_RETRY_INTERVAL", "5")]).unwrap_err().to_string();
        assert_eq!(
            error,
            "Invalid environment variable FOLKMOOT_RETRY_INTERVAL=5: time: missing unit in duration \"5\""
        );
        let error = read(&[("FOLKMOOT_REPLAY", "maybe")]).unwrap_err().to_string();
        assert_eq!(error, "Invalid environment variable FOLKMOOT_REPLAY=maybe: it has to be true or false");
    }

    #[test]
    fn one_setting_said_twice_is_refused() {
        let error = read(&[("FOLKMOOT_NODE", "a"), ("FOLKMOOT_NODE_NAME", "b")]).unwrap_err().to_string();
        assert_eq!(error, "Environment variables FOLKMOOT_NODE and FOLKMOOT_NODE_NAME mean the same: set one of them");
    }

    #[test]
    fn every_key_and_every_flag_has_its_variable() {
        let variable = |name: &str| format!("FOLKMOOT_{}", name.to_ascii_uppercase().replace(['.', '-'], "_"));
        for name in KEYS.iter().flat_map(|key| [key.name, key.flag]).filter(|name| !name.is_empty()) {
            let said =
                ["x=1", "true", "7", "1h"].into_iter().filter_map(|value| read(&[(&variable(name), value)]).ok());
            let settings: Vec<Raw> = said.map(|environment| environment.raw).collect();
            assert!(settings.iter().any(|raw| *raw != Raw::default()), "{name}");
        }
    }

    #[test]
    fn compression_and_config_files_have_their_own_variables() {
        let raw = |variables: &[(&str, &str)]| read(variables).unwrap().raw;
        assert_eq!(raw(&[("FOLKMOOT_DISABLE_COMPRESSION", "true")]).enable_compression, Some(false));
        assert_eq!(raw(&[("FOLKMOOT_ENABLE_COMPRESSION", "false")]).enable_compression, Some(false));
        let both = [("FOLKMOOT_DISABLE_COMPRESSION", "true"), ("FOLKMOOT_ENABLE_COMPRESSION", "true")];
        assert!(matches!(read(&both), Err(EnvironmentError::Twice(_, _))));
        let paths = raw(&[("FOLKMOOT_CONFIG_FILE", "a.json,b"), ("FOLKMOOT_CONFIG_DIR", "d")]).config_paths;
        assert_eq!(paths, ["d", "a.json", "b"]);
    }

    #[test]
    fn what_nobody_knows_is_told() {
        assert_eq!(read(&[("FOLKMOOT_NOED", "a")]).unwrap().unknown, ["FOLKMOOT_NOED"]);
    }
}
