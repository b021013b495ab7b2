//! JSON as Go's `encoding/json` reads and prints it: error texts, replacement of what is not UTF-8, escapes.

mod print;
mod read;

pub(crate) use print::Json;
pub(crate) use read::{Value, read_first, read_whole};
