//! How far a client has come, and what it may ask there (section 4). The order of the checks is part of the protocol:
//! handshake, then key, then the command's name.

use folkmoot_proto::coordination::CoordinationCommand;
use folkmoot_proto::{AgentCommand, Command, texts};

/// How far a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Connected.
    Fresh,
    /// Has shaken hands, has to show the key.
    Greeted,
    /// Is let in.
    Open,
}

/// What happens to a request, judged by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The handshake itself.
    Handshake,
    /// The key.
    Auth,
    /// The agent serves it. Only [`Stage::Open`] gives this verdict.
    Serve(AgentCommand),
    /// The group serves it, as above.
    Coordinate(CoordinationCommand),
    /// Error header, nothing read; the connection stays.
    Refuse(&'static str),
    /// Error header, nothing read; the connection is closed.
    Close(&'static str),
}

impl Stage {
    /// Judges a request for `command` (`None`: there is no such command).
    pub fn judge(self, command: Option<Command>) -> Verdict {
        match (self, command) {
            (_, Some(Command::Handshake)) => Verdict::Handshake,
            (Self::Fresh, _) => Verdict::Close(texts::HANDSHAKE_REQUIRED),
            (Self::Greeted | Self::Open, Some(Command::Auth)) => Verdict::Auth,
            (Self::Greeted, Some(Command::Agent(_) | Command::Coordination(_)) | None) => {
                Verdict::Refuse(texts::AUTHENTICATION_REQUIRED)
            }
            (Self::Open, Some(Command::Agent(command))) => Verdict::Serve(command),
            (Self::Open, Some(Command::Coordination(command))) => Verdict::Coordinate(command),
            (Self::Open, None) => Verdict::Close(texts::UNSUPPORTED_COMMAND),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_open_connection_is_served() {
        let members = Some(Command::Agent(AgentCommand::Members));
        assert_eq!(Stage::Fresh.judge(members), Verdict::Close(texts::HANDSHAKE_REQUIRED));
        assert_eq!(Stage::Greeted.judge(members), Verdict::Refuse(texts::AUTHENTICATION_REQUIRED));
        assert_eq!(Stage::Open.judge(members), Verdict::Serve(AgentCommand::Members));
        let get = Some(Command::Coordination(CoordinationCommand::KvGet));
        assert_eq!(Stage::Fresh.judge(get), Verdict::Close(texts::HANDSHAKE_REQUIRED));
        assert_eq!(Stage::Greeted.judge(get), Verdict::Refuse(texts::AUTHENTICATION_REQUIRED));
        assert_eq!(Stage::Open.judge(get), Verdict::Coordinate(CoordinationCommand::KvGet));
    }

    #[test]
    fn unknown_commands_are_judged_by_stage_first() {
        assert_eq!(Stage::Fresh.judge(None), Verdict::Close(texts::HANDSHAKE_REQUIRED));
        assert_eq!(Stage::Greeted.judge(None), Verdict::Refuse(texts::AUTHENTICATION_REQUIRED));
        assert_eq!(Stage::Open.judge(None), Verdict::Close(texts::UNSUPPORTED_COMMAND));
    }

    #[test]
    fn the_key_comes_after_the_handshake_and_both_may_be_repeated() {
        assert_eq!(Stage::Fresh.judge(Some(Command::Auth)), Verdict::Close(texts::HANDSHAKE_REQUIRED));
        for stage in [Stage::Greeted, Stage::Open] {
            assert_eq!(stage.judge(Some(Command::Auth)), Verdict::Auth);
            assert_eq!(stage.judge(Some(Command::Handshake)), Verdict::Handshake);
        }
    }
}
