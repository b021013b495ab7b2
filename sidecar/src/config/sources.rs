//! All sources of settings together: files below the environment below flags.

use super::args::Raw;
use super::environment::Environment;
use super::file;

/// What was said in all of them, with `flags` on top, and the `FOLKMOOT_` variables that mean nothing.
///
/// # Errors
/// The complaint of the first source that cannot be read.
pub fn read(flags: Raw) -> Result<(Raw, Vec<String>), String> {
    let environment = Environment::of_this_process().map_err(|error| error.to_string())?;
    let said = environment.raw.overlay(flags);
    let files = file::read_paths(&said.config_paths).map_err(|error| error.to_string())?;
    Ok((files.overlay(said), environment.unknown))
}
