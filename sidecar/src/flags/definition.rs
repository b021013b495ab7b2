//! [`FlagDefinition`]: one flag as a command defines it. Reading, help, completion and manual all come from it.

use super::{FlagSet, Kind};

/// One flag of a command.
#[derive(Debug, Clone, Copy)]
pub struct FlagDefinition {
    /// Without dash.
    pub name: &'static str,
    /// Its value as the help shows it, with what stands before it: `=KEY`, ` KEY=VALUE`, or `=text|json` where only these
    /// are allowed. Empty: it takes none.
    pub value: &'static str,
    /// What it does, in sentences.
    pub text: &'static str,
    pub(super) kind: Kind,
    /// The name its values are kept under.
    pub(super) target: &'static str,
}

/// What may be offered for the value of a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offered {
    /// It takes no value of its own.
    Nothing,
    /// Nothing is known about it.
    Anything,
    /// One of these.
    Words(Vec<&'static str>),
    /// The path of a file or directory.
    Paths,
}

impl FlagDefinition {
    /// `-name` or `-name=true`.
    pub const fn boolean(name: &'static str, text: &'static str) -> Self {
        Self { name, value: "", text, kind: Kind::Boolean, target: name }
    }

    /// Any text; the last one counts.
    pub const fn text(name: &'static str, value: &'static str, text: &'static str) -> Self {
        Self { name, value, text, kind: Kind::Text, target: name }
    }

    /// A 64-bit integer.
    pub const fn integer(name: &'static str, value: &'static str, text: &'static str) -> Self {
        Self { name, value, text, kind: Kind::Integer, target: name }
    }

    /// A duration with a unit.
    pub const fn duration(name: &'static str, value: &'static str, text: &'static str) -> Self {
        Self { name, value, text, kind: Kind::Duration, target: name }
    }

    /// Any text; repeated flags append.
    pub const fn list(name: &'static str, value: &'static str, text: &'static str) -> Self {
        Self { name, value, text, kind: Kind::List, target: name }
    }

    /// The same, but its values are appended to the list of `target`, in command-line order.
    pub const fn into_list_of(mut self, target: &'static str) -> Self {
        self.target = target;
        self
    }

    /// What may be offered for its value.
    pub fn offered(&self) -> Offered {
        let value = self.value.get(1..).unwrap_or_default();
        match value {
            "" => Offered::Nothing,
            "PATH" => Offered::Paths,
            _ if value.contains('|') => Offered::Words(value.split('|').collect()),
            _ => Offered::Anything,
        }
    }
}

impl FlagSet {
    /// The flags so defined.
    pub fn of(definitions: &[FlagDefinition]) -> Self {
        definitions.iter().fold(Self::new(), |set, flag| set.with(flag.name, flag.kind, flag.target))
    }
}
