//! Sockets: gossip datagrams, gossip streams, the Raft port, and the addresses they need.

pub mod addresses;
pub mod go_errors;
pub mod interfaces;
pub mod open_files;
pub mod places;
pub mod raft;
pub mod sockets;
pub mod streams;
pub mod udp;
