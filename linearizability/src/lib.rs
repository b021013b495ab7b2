//! Did a group of nodes behave like one machine? Tests record what clients asked and were told ([`history`]), and ask
//! here whether some order of the operations explains all answers: Wing and Gong's search with Lowe's memory of states
//! already seen ([`search`]), for registers, counters and queues ([`models`]). Locks and work items are judged by their
//! fencing tokens and by the time in which holders believed to hold ([`holds`], [`work`]), which needs no search.
//!
//! Only tests depend on this crate. It reads no clock: [`history::Recorder`] numbers what happens in the order in which it
//! happens in one process, which is all that real time means here.
//!
//! An operation without an answer (a timeout, a lost connection) may have happened, may happen at any later time, or
//! never. The search has a limit of steps and says [`search::Verdict::Unknown`] at it, which is neither good nor bad.
#![allow(clippy::indexing_slicing, reason = "indices are made here; one out of range is a failed test")]

pub mod history;
pub mod holds;
pub mod models;
mod report;
pub mod search;
pub mod work;

pub use history::{History, Operation, Pending, Recorder};
pub use search::{Model, Verdict, check};
