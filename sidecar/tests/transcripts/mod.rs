//! Recorded RPC conversations (`vectors/rpc`) replayed against a running agent.

pub mod case;
pub mod compare;
pub mod replay;
pub mod stage;
