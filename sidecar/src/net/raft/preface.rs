//! The first four bytes of a connection to the Raft port, and of the answer: which protection the caller uses, and
//! whether the other end takes it.
//!
//! They let a mistake in the settings be told in plain words on both ends. They protect nothing: what is agreed on here
//! is part of the Noise handshake's prologue, and TLS has its own.

use std::fmt;

use super::HandshakeError;

/// How connections to the Raft port are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// By a key of the gossip ring.
    Keyring,
    /// By certificates.
    Tls,
    /// Not at all.
    Open,
}

/// Bytes of a preface and of its answer.
pub(super) const LENGTH: usize = 4;

/// Version of everything that comes before Raft's own frames.
const VERSION: u8 = 1;

/// In the place of the mode: an answer that refuses; its reason follows.
const REFUSED: u8 = b'!';

/// The reasons that are no mode of the refusing end.
const WRONG_KEY: u8 = b'K';
const BUSY: u8 = b'B';

impl Mode {
    fn letter(self) -> u8 {
        match self {
            Self::Keyring => b'N',
            Self::Tls => b'T',
            Self::Open => b'P',
        }
    }

    fn of_letter(letter: u8) -> Option<Self> {
        [Self::Keyring, Self::Tls, Self::Open].into_iter().find(|mode| mode.letter() == letter)
    }

    /// What a caller sends, and an answer that accepts it.
    pub(super) fn preface(self) -> [u8; LENGTH] {
        [b'F', b'M', self.letter(), VERSION]
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keyring => "the gossip keys",
            Self::Tls => "certificates (TLS)",
            Self::Open => "no protection",
        })
    }
}

/// Whether an accepted connection that begins with `start` may go on.
///
/// # Errors
/// What it is instead.
pub(super) fn accept(ours: Mode, start: [u8; LENGTH]) -> Result<(), HandshakeError> {
    if start == ours.preface() {
        return Ok(());
    }
    let [first, second, letter, version] = start;
    if [first, second] != *b"FM" {
        return Err(HandshakeError::Protocol(foreign(start)));
    }
    match Mode::of_letter(letter) {
        Some(theirs) if version == VERSION => Err(HandshakeError::Mode { theirs, ours }),
        Some(_) => Err(HandshakeError::Protocol(format!("it speaks version {version}, this is version {VERSION}"))),
        None => Err(HandshakeError::Protocol(foreign(start))),
    }
}

/// The answer to a connection that is refused, where one is useful to the caller.
pub(super) fn refusal(ours: Mode, error: &HandshakeError) -> Option<[u8; LENGTH]> {
    let reason = match error {
        HandshakeError::Mode { .. } => ours.letter(),
        HandshakeError::Key => WRONG_KEY,
        HandshakeError::Busy => BUSY,
        HandshakeError::Protocol(_)
        | HandshakeError::Certificate(_)
        | HandshakeError::Unproven
        | HandshakeError::Slow
        | HandshakeError::Gone(_) => return None,
    };
    Some([b'F', b'M', REFUSED, reason])
}

/// Whether the end that was called goes on.
///
/// # Errors
/// Why not, as it says.
pub(super) fn answered(ours: Mode, answer: [u8; LENGTH]) -> Result<(), HandshakeError> {
    if answer == ours.preface() {
        return Ok(());
    }
    match answer {
        [b'F', b'M', REFUSED, WRONG_KEY] => Err(HandshakeError::Key),
        [b'F', b'M', REFUSED, BUSY] => Err(HandshakeError::Busy),
        [b'F', b'M', REFUSED, letter] => Err(match Mode::of_letter(letter) {
            Some(theirs) => HandshakeError::Mode { theirs, ours },
            None => HandshakeError::Protocol(foreign(answer)),
        }),
        _ => Err(HandshakeError::Protocol(foreign(answer))),
    }
}

/// What something that is not Folkmoot's probably is.
fn foreign(start: [u8; LENGTH]) -> String {
    const METHODS: [&[u8; LENGTH]; 9] =
        [b"GET ", b"POST", b"PUT ", b"HEAD", b"OPTI", b"DELE", b"CONN", b"PRI ", b"HTTP"];
    if METHODS.contains(&&start) {
        return "it speaks HTTP".to_owned();
    }
    if start.starts_with(&[0x16, 0x03]) {
        return "it speaks TLS, but not to Folkmoot's Raft port".to_owned();
    }
    if start == *b"SSH-" {
        return "it speaks SSH".to_owned();
    }
    let hex: Vec<String> = start.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("it does not speak Folkmoot's Raft protocol (it begins with {})", hex.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(start: &[u8; LENGTH]) -> String {
        accept(Mode::Keyring, *start).unwrap_err().to_string()
    }

    #[test]
    fn what_a_stranger_speaks_is_named() {
        assert!(refused(b"GET ").contains("HTTP"));
        assert!(refused(&[0x16, 0x03, 0x01, 0x02]).contains("TLS"));
        assert!(refused(b"SSH-").contains("SSH"));
        assert!(refused(&[0, 1, 2, 0xff]).contains("00 01 02 ff"));
        assert!(refused(b"FMN\x07").contains("version 7"));
    }

    #[test]
    fn a_refusal_tells_the_caller_what_the_other_end_wants() {
        for (ours, theirs) in [(Mode::Keyring, Mode::Tls), (Mode::Tls, Mode::Open), (Mode::Open, Mode::Keyring)] {
            let error = accept(ours, theirs.preface()).unwrap_err();
            assert_eq!(error, HandshakeError::Mode { theirs, ours });
            let answer = refusal(ours, &error).unwrap();
            assert_eq!(answered(theirs, answer), Err(HandshakeError::Mode { theirs: ours, ours: theirs }));
        }
        for error in [HandshakeError::Key, HandshakeError::Busy] {
            assert_eq!(answered(Mode::Keyring, refusal(Mode::Keyring, &error).unwrap()), Err(error));
        }
        assert_eq!(answered(Mode::Open, *b"FMP\x01"), Ok(()));
        assert!(matches!(answered(Mode::Open, *b"HTTP"), Err(HandshakeError::Protocol(_))));
    }
}
