//! Sockets: gossip datagrams, gossip streams, and the addresses both need.

pub mod addresses;
pub mod go_errors;
pub mod interfaces;
pub mod open_files;
pub mod sockets;
pub mod streams;
pub mod udp;
