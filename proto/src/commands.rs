//! The commands: their names, which have a body, which are answered with one (sections 7 and 8).

use folkmoot_wire::Text;

use crate::coordination::CoordinationCommand;
use crate::texts;

/// What a request header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Command {
    /// Agrees on the version; comes first.
    Handshake,
    /// Shows the key.
    Auth,
    /// What the agent does: served only once the first two are done.
    Agent(AgentCommand),
    /// What the group does that the agent knows: as above. Folkmoot's own.
    Coordination(CoordinationCommand),
}

/// What the agent does for a client it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the command of that name")]
pub enum AgentCommand {
    Event,
    ForceLeave,
    Join,
    Members,
    MembersFiltered,
    Stream,
    Stop,
    Monitor,
    Leave,
    InstallKey,
    UseKey,
    RemoveKey,
    ListKeys,
    Tags,
    Query,
    Respond,
    Stats,
    GetCoordinate,
    /// Folkmoot's own, as are the next two: Go agents answer `Unsupported command`.
    HandlersAdd,
    HandlersList,
    HandlersRemove,
}

impl Command {
    /// The command of that exact name.
    pub fn parse(name: &[u8]) -> Option<Self> {
        match name {
            b"handshake" => Some(Self::Handshake),
            b"auth" => Some(Self::Auth),
            _ => {
                let agent = AgentCommand::ALL.into_iter().find(|command| command.name().as_bytes() == name);
                let mut others = CoordinationCommand::ALL.iter().copied();
                agent
                    .map(Self::Agent)
                    .or_else(|| others.find(|command| command.name().as_bytes() == name).map(Self::Coordination))
            }
        }
    }

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Auth => "auth",
            Self::Agent(command) => command.name(),
            Self::Coordination(command) => command.name(),
        }
    }

    /// Whether a body follows the request header.
    pub fn has_body(self) -> bool {
        match self {
            Self::Handshake | Self::Auth | Self::Coordination(_) => true,
            Self::Agent(command) => command.has_body(),
        }
    }

    /// Whether a body follows the response header. With an error set it depends: see
    /// [`AgentCommand::is_answered_with_body`].
    pub fn is_answered_with_body(self) -> bool {
        match self {
            Self::Handshake | Self::Auth => false,
            Self::Agent(command) => command.is_answered_with_body(),
            Self::Coordination(command) => !command.opens_stream(),
        }
    }

    /// Whether a body follows a response header with this error (empty: none). Of Serf's commands those that have one
    /// send it with every error but that of the missing key and that of an agent that does not know the command; those of
    /// coordination send it on success only.
    pub fn is_followed_by_body(self, error: &Text) -> bool {
        let may_follow = match self {
            Self::Coordination(_) => error.is_empty(),
            Self::Handshake | Self::Auth | Self::Agent(_) => {
                *error != *texts::AUTHENTICATION_REQUIRED && *error != *texts::UNSUPPORTED_COMMAND
            }
        };
        may_follow && self.is_answered_with_body()
    }
}

impl AgentCommand {
    /// Every one.
    pub const ALL: [Self; 21] = [
        Self::Event,
        Self::ForceLeave,
        Self::Join,
        Self::Members,
        Self::MembersFiltered,
        Self::Stream,
        Self::Stop,
        Self::Monitor,
        Self::Leave,
        Self::InstallKey,
        Self::UseKey,
        Self::RemoveKey,
        Self::ListKeys,
        Self::Tags,
        Self::Query,
        Self::Respond,
        Self::Stats,
        Self::GetCoordinate,
        Self::HandlersAdd,
        Self::HandlersList,
        Self::HandlersRemove,
    ];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::ForceLeave => "force-leave",
            Self::Join => "join",
            Self::Members => "members",
            Self::MembersFiltered => "members-filtered",
            Self::Stream => "stream",
            Self::Stop => "stop",
            Self::Monitor => "monitor",
            Self::Leave => "leave",
            Self::InstallKey => "install-key",
            Self::UseKey => "use-key",
            Self::RemoveKey => "remove-key",
            Self::ListKeys => "list-keys",
            Self::Tags => "tags",
            Self::Query => "query",
            Self::Respond => "respond",
            Self::Stats => "stats",
            Self::GetCoordinate => "get-coordinate",
            Self::HandlersAdd => "handlers-add",
            Self::HandlersList => "handlers-list",
            Self::HandlersRemove => "handlers-remove",
        }
    }

    /// Whether a body follows the request header. One sent with the others is read as the next header (section 5).
    pub fn has_body(self) -> bool {
        !matches!(self, Self::Members | Self::Leave | Self::ListKeys | Self::Stats | Self::HandlersList)
    }

    /// Whether a body follows the response header, with an error set as well: join and the key commands always send
    /// theirs, the others of the list never fail. The exception is [`crate::texts::AUTHENTICATION_REQUIRED`], which
    /// is a header alone whatever the command.
    pub fn is_answered_with_body(self) -> bool {
        match self {
            Self::Join
            | Self::Members
            | Self::MembersFiltered
            | Self::InstallKey
            | Self::UseKey
            | Self::RemoveKey
            | Self::ListKeys
            | Self::Stats
            | Self::GetCoordinate
            | Self::HandlersList => true,
            Self::Event
            | Self::ForceLeave
            | Self::Stream
            | Self::Stop
            | Self::Monitor
            | Self::Leave
            | Self::Tags
            | Self::Query
            | Self::Respond
            | Self::HandlersAdd
            | Self::HandlersRemove => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_to_its_command_and_nothing_else_does() {
        for command in AgentCommand::ALL {
            assert_eq!(Command::parse(command.name().as_bytes()), Some(Command::Agent(command)));
        }
        for command in CoordinationCommand::ALL {
            assert_eq!(Command::parse(command.name().as_bytes()), Some(Command::Coordination(*command)));
        }
        assert_eq!(Command::parse(b"handshake"), Some(Command::Handshake));
        assert_eq!(Command::parse(b"auth"), Some(Command::Auth));
        for name in ["", "Members", " get-coordinate", "members\0", "bogus", "kv-get "] {
            assert_eq!(Command::parse(name.as_bytes()), None, "{name:?}");
        }
    }
}
