//! The shell around the Serf engine: sockets, clock, RPC, command line. It contains no protocol decision.

pub mod agent;
pub mod clock;
pub mod commands;
pub mod config;
pub mod coordination;
pub mod duration;
pub mod event_filter;
pub mod files;
pub mod flags;
pub mod go_base64;
mod go_json;
pub mod go_text;
pub mod group;
pub mod handle;
pub mod handlers;
pub mod limits;
pub mod logging;
pub mod mdns;
pub mod net;
pub mod node;
mod random;
pub mod rpc;
pub mod shutdown;
pub mod snapshot;
pub mod telemetry;
pub mod watch;
