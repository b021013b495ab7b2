//! The client-facing RPC of the Serf agent (TCP 7373): names, texts, framing, bodies, both directions.
//!
//! An engine: bytes in, values out and back. Connections, stages and queues belong to the sidecar (the server's side)
//! and to `folkmoot-client` (the client's). `docs/spec/rpc.md` is what it answers to; section numbers in this crate are
//! that document's.

#![forbid(unsafe_code)]

mod commands;
pub mod coordination;
mod fields;
mod frame;
pub mod limits;
mod member;
mod objects;
mod records;
mod request;
mod response;
pub mod texts;

pub use commands::{AgentCommand, Command};
pub use folkmoot_wire::{Blob, DecodeError, Text};
pub use frame::FrameReader;
pub use member::{Member, MemberRef, MembersResponse, Status, encode_member_event, encode_members};
pub use objects::With;
pub use records::{
    EventRecord, LogRecord, MemberEventRecord, QueryEventRecord, QueryRecord, QueryRecordType, UserEventRecord,
};
pub use request::{
    AgentRequest, AuthRequest, CoordinateRequest, EventRequest, ForceLeaveRequest, HandlerRequest, HandshakeRequest,
    Header, JoinRequest, KeyRequest, MembersFilteredRequest, MonitorRequest, QueryRequest, Request, RespondRequest,
    StopRequest, StreamRequest, TagsRequest,
};
pub use response::{
    Coordinate, CoordinateResponse, HandlerInfo, HandlersResponse, JoinResponse, KeyResponse, ResponseHeader,
    StatsResponse,
};

/// The only version of the protocol (`handshake`).
pub const VERSION: i32 = 1;

/// What a body or header can be read from.
pub trait Decode: Sized {
    /// Reads one whole object, leniently as section 3 lists. What is absent is zero.
    ///
    /// # Errors
    /// A field holds what its type does not accept, or the object is no map, array or nil.
    fn decode(object: &[u8]) -> Result<Self, DecodeError>;
}

/// What a body or header can be written as.
pub trait Encode {
    /// Appends the object to `out`.
    fn encode(&self, out: &mut Vec<u8>);
}
