//! Asynchronous client of the agent's RPC (TCP 7373): Folkmoot's, and HashiCorp Serf's own.
//!
//! ```no_run
//! use folkmoot_client::{Client, ConnectOptions, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::connect(&ConnectOptions::new("127.0.0.1:7373")).await?;
//! for member in client.members().await? {
//!     println!("{} is {}", member.name, member.status);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! One connection serves any number of concurrent calls and subscriptions. Answers to `docs/spec/rpc.md`; the bytes are
//! the business of `folkmoot-proto`.

#![forbid(unsafe_code)]

mod connection;
mod dial;
mod error;
pub mod limits;
mod membership;
mod subscriptions;
mod table;

pub use connection::{Client, ConnectOptions};
pub use error::{AddressFault, ConnectError, Error};
pub use folkmoot_proto::{
    Coordinate, EventRecord, HandlerInfo, HandlersResponse, KeyResponse, Member, MemberEventRecord,
    MembersFilteredRequest, QueryEventRecord, QueryRequest, StatsResponse, TagsRequest, Text, UserEventRecord,
};
pub use membership::Prune;
pub use subscriptions::{Coalesce, QueryAnswer, QueryAnswers, Subscription};
