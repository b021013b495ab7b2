//! The first words on a stream: what it is for, of which group, from whom and to whom. Whatever is not meant for this member
//! is refused before anything else is read, and both sides learn why.
//!
//! ```text
//! both directions:  "FMRC"  version: u8  length: u16, big-endian  body (see `folkmoot_coordination::codec`)
//! ```
//! Magic, version and length never change, so that every version can refuse every other by name.

use std::io;

use folkmoot_coordination::codec;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::limits::HELLO_BYTES_MAX;
use crate::me::Identity;
use crate::peer::{ClusterId, NodeId};

/// Version of everything that is said on streams.
pub(crate) const VERSION: u8 = 1;
const MAGIC: [u8; 4] = *b"FMRC";
const HEADER: usize = 7;

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StreamKind {
    /// Messages between members of one group.
    Raft,
    /// Calls of agents, members or not.
    Calls,
}

/// How a stream begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) kind: StreamKind,
    /// The group that the caller is in or wants to reach; a caller of `Raft` always says it.
    pub(crate) cluster: Option<ClusterId>,
    /// Who calls; an agent without a data directory has no id.
    pub(crate) from: Option<NodeId>,
    /// Who is to answer: addresses pass from one agent to another.
    pub(crate) to: Option<NodeId>,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Welcome {
    /// Frames follow.
    Accepted {
        /// The group of the answering member, if it is in one.
        cluster: Option<ClusterId>,
    },
    /// The stream ends.
    Refused(Unwelcome),
}

/// Why a stream is refused, as seen by who refuses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Unwelcome {
    #[error("speaks version {theirs} between agents, version {ours} is spoken here")]
    Version { ours: u8, theirs: u8 },
    #[error("is of group {theirs}, this member is of group {ours}")]
    OtherCluster { ours: ClusterId, theirs: ClusterId },
    #[error("looks for member {asked} at this address, which is member {ours}")]
    OtherNode { ours: NodeId, asked: NodeId },
    #[error("calls itself {0}, which is this member: was a data directory copied?")]
    OwnId(NodeId),
    #[error("does not say of which group it is, or who")]
    Nameless,
    #[error("calls a member that is in no group yet")]
    NoGroupYet,
    #[error("calls an agent that takes no part in coordination")]
    NoMember,
    #[error("does not speak as Folkmoot agents do")]
    Strange,
}

/// Why a stream did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetError {
    /// The stream broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other side refused us.
    #[error("refused: this agent {0}")]
    RefusedThere(Unwelcome),
    /// We refused the other side.
    #[error("refused: the other side {0}")]
    RefusedHere(Unwelcome),
}

impl GreetError {
    /// Whether a stream is refused that will be accepted in a moment: while a group is founded, members learn of it one
    /// after the other.
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Self::RefusedThere(Unwelcome::NoGroupYet) | Self::RefusedHere(Unwelcome::NoGroupYet))
    }
}

impl Hello {
    /// Whether this member (if it is one) accepts the stream.
    pub(crate) fn judge(&self, identity: Option<&Identity>) -> Result<Welcome, Unwelcome> {
        let identity = identity.ok_or(Unwelcome::NoMember)?;
        let (me, cluster) = (identity.me.id, identity.cluster());
        if let Some(asked) = self.to.filter(|asked| *asked != me) {
            return Err(Unwelcome::OtherNode { ours: me, asked });
        }
        if let (Some(ours), Some(theirs)) = (cluster, self.cluster)
            && ours != theirs
        {
            return Err(Unwelcome::OtherCluster { ours, theirs });
        }
        match (self.kind, self.from, self.cluster, cluster) {
            (StreamKind::Calls, ..) => Ok(Welcome::Accepted { cluster }),
            (StreamKind::Raft, Some(from), ..) if from == me => Err(Unwelcome::OwnId(me)),
            (StreamKind::Raft, Some(_), Some(_), Some(_)) => Ok(Welcome::Accepted { cluster }),
            (StreamKind::Raft, Some(_), Some(_), None) => Err(Unwelcome::NoGroupYet),
            (StreamKind::Raft, ..) => Err(Unwelcome::Nameless),
        }
    }
}

/// Says hello and waits for the answer.
///
/// # Errors
/// The stream breaks, or either side refuses the other.
pub(crate) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, hello: &Hello) -> Result<(), GreetError> {
    say(stream, hello).await?;
    match hear::<Welcome, _>(stream).await? {
        Ok(Welcome::Accepted { .. }) => Ok(()),
        Ok(Welcome::Refused(reason)) => Err(GreetError::RefusedThere(reason)),
        Err(reason) => Err(GreetError::RefusedHere(reason)),
    }
}

/// Waits for a hello and answers it.
///
/// # Errors
/// The stream breaks, or the hello is refused (the other side was told then).
pub(crate) async fn welcome<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    identity: Option<&Identity>,
) -> Result<Hello, GreetError> {
    let heard = hear::<Hello, _>(stream).await?;
    let judged = heard.and_then(|hello| hello.judge(identity).map(|welcome| (hello, welcome)));
    match judged {
        Ok((hello, welcome)) => {
            say(stream, &welcome).await?;
            Ok(hello)
        }
        Err(reason) => {
            say(stream, &Welcome::Refused(reason.clone())).await?;
            Err(GreetError::RefusedHere(reason))
        }
    }
}

async fn say<T: Serialize, S: AsyncWrite + Unpin>(stream: &mut S, body: &T) -> io::Result<()> {
    stream.write_all(&written(body)?).await?;
    stream.flush().await
}

/// What the other side says, or why that is not understood.
async fn hear<T, S>(stream: &mut S) -> io::Result<Result<T, Unwelcome>>
where
    T: for<'a> Deserialize<'a>,
    S: AsyncRead + Unpin,
{
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await?;
    let length = match length(header) {
        Ok(length) => length,
        Err(reason) => return Ok(Err(reason)),
    };
    let mut body = [0; HELLO_BYTES_MAX];
    let Some(body) = body.get_mut(..length) else { return Ok(Err(Unwelcome::Strange)) };
    stream.read_exact(body).await?;
    Ok(codec::decode(body).map_err(|_| Unwelcome::Strange))
}

fn written<T: Serialize>(body: &T) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    codec::encode(body, &mut bytes).map_err(io::Error::other)?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?.to_be_bytes();
    let [high, low] = length;
    let [a, b, c, d] = MAGIC;
    Ok([&[a, b, c, d, VERSION, high, low], &bytes[..]].concat())
}

/// The length of the body, at most [`HELLO_BYTES_MAX`].
fn length([a, b, c, d, version, high, low]: [u8; HEADER]) -> Result<usize, Unwelcome> {
    if [a, b, c, d] != MAGIC {
        return Err(Unwelcome::Strange);
    }
    if version != VERSION {
        return Err(Unwelcome::Version { ours: VERSION, theirs: version });
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length <= HELLO_BYTES_MAX { Ok(length) } else { Err(Unwelcome::Strange) }
}

#[cfg(test)]
#[path = "hello_tests.rs"]
mod tests;
