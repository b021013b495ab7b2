//! Files the agent keeps besides its snapshot: the keyring and the tags (`docs/spec/agent-cli.md` 3.10). Reading at
//! start, and writing so that a crash leaves the old file or the new one, whole.

mod keeper;
pub mod keyring;
mod replace;
pub mod tags;

pub use keeper::{Keeper, Kept, KeptFiles};

use std::fs::File;
use std::io::Read;

use crate::limits::CONFIG_FILE_BYTES;
use crate::net::go_errors;

/// The bytes of a file, or Go's text of why not.
fn read(path: &str) -> Result<Vec<u8>, String> {
    let failed = |operation: &str, error: &std::io::Error| format!("{operation} {path}: {}", go_errors::cause(error));
    let file = File::open(path).map_err(|error| failed("open", &error))?;
    let mut bytes = Vec::new();
    let limit = CONFIG_FILE_BYTES.saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(|error| failed("read", &error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > CONFIG_FILE_BYTES {
        return Err(format!("read {path}: it is longer than {CONFIG_FILE_BYTES} bytes"));
    }
    Ok(bytes)
}
