//! The `folkmoot` program.

use std::ffi::OsString;
use std::process::ExitCode;

use folkmoot::commands::{Program, run};

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let program = Program::from_path(words.next().as_deref());
    let words: Vec<OsString> = words.collect();
    ExitCode::from(run(program, &words))
}
