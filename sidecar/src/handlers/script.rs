//! Runs a script for one event (sections 4.2 and 4.3): `/bin/sh -c SCRIPT`, event in, output out, query answered.
//!
//! A script that outlasts its time is killed with everything it started that stayed in its process group. When the agent
//! stops, scripts go on, as under Go.

use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, ChildStdin, Command};

use super::limits::{SCRIPT_PIECE_BYTES, SCRIPT_SLOW};
use super::output::OutputTail;
use super::{Invocation, environment, input, respond};
use crate::duration::GoDuration;
use crate::handle::NodeHandle;
use crate::net::go_errors::cause;

/// Why a script counts as failed; Go's texts where Go has one.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScriptError {
    /// It ended, but not well.
    #[error("{}", ended(*.0))]
    Ended(ExitStatus),
    /// It could not be started.
    #[error("fork/exec /bin/sh: {}", cause(.0))]
    Start(io::Error),
    /// No pipe for its output, or the pipe broke.
    #[error("pipe: {}", cause(.0))]
    Pipe(io::Error),
    /// Something about the event cannot be put into a variable. Under Go nothing is started either.
    #[error("fork/exec /bin/sh: invalid argument")]
    Variable,
    /// It ran for too long and was killed.
    #[error("killed: it ran for {}", GoDuration::from(*.0))]
    TimeLimit(Duration),
}

/// Runs `script` until it has ended and its output is closed, and answers with the output if the event is a query.
///
/// # Errors
/// [`ScriptError`]; a query is not answered then.
pub(super) async fn run(
    script: &str,
    invocation: &Invocation,
    node: &NodeHandle,
    time_limit: Duration,
) -> Result<(), ScriptError> {
    let (mut child, mut receiver) = start(script, invocation)?;
    let mut output = OutputTail::default();
    let stdin = child.stdin.take();
    let ended = async {
        let (status, read) = tokio::join!(feed(&mut child, stdin, invocation), drain(&mut receiver, &mut output));
        read.and(status).map_err(ScriptError::Pipe)
    };
    let ended = tokio::select! {
        ended = ended => ended,
        () = tokio::time::sleep(time_limit) => Err(ScriptError::TimeLimit(time_limit)),
        never = warn_when_slow(script) => match never {},
    };
    if matches!(ended, Err(ScriptError::TimeLimit(_))) {
        kill_group(&child).await;
    }
    let written = output.written();
    let output = output.into_bytes();
    let kept = output.len();
    if u64::try_from(kept).unwrap_or(u64::MAX) < written {
        tracing::warn!(
            target: "agent",
            "Script '{script}' generated {written} bytes of output, truncated to {kept}"
        );
    }
    let shown = String::from_utf8_lossy(&output);
    tracing::debug!(target: "agent", "Event '{}' script output: {shown}", invocation.kind());
    let status = ended?;
    if !status.success() {
        return Err(ScriptError::Ended(status));
    }
    if let Some(query) = invocation.query().filter(|_| written > 0) {
        respond(node, query, output.into()).await;
    }
    Ok(())
}

/// One pipe for both outputs, so that they keep their order.
fn start(script: &str, invocation: &Invocation) -> Result<(Child, Receiver), ScriptError> {
    let variables = environment::variables(invocation);
    if variables.values().any(|value| value.as_bytes().contains(&0)) {
        return Err(ScriptError::Variable);
    }
    let (reader, writer) = io::pipe().map_err(ScriptError::Pipe)?;
    let receiver = Receiver::from_owned_fd(OwnedFd::from(reader)).map_err(ScriptError::Pipe)?;
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).envs(variables).stdin(Stdio::piped());
    for variable in environment::KEPT_BACK {
        command.env_remove(variable);
    }
    command.stdout(writer.try_clone().map_err(ScriptError::Pipe)?).stderr(writer).process_group(0);
    let child = command.spawn().map_err(ScriptError::Start)?;
    Ok((child, receiver))
}

/// Writes the event to the script until it has read all or has ended; then waits for its end.
async fn feed(child: &mut Child, stdin: Option<ChildStdin>, invocation: &Invocation) -> io::Result<ExitStatus> {
    let Some(stdin) = stdin else { return child.wait().await };
    let input = input::stdin(&invocation.event);
    tokio::select! {
        written = write(stdin, &input) => {
            if let Err(error) = written {
                told_nothing(invocation, &error);
            }
            child.wait().await
        }
        status = child.wait() => status,
    }
}

async fn write(mut stdin: ChildStdin, input: &[u8]) -> io::Result<()> {
    stdin.write_all(input).await?;
    stdin.shutdown().await
}

/// As Go, nothing is said of lists of members that nobody read to the end.
fn told_nothing(invocation: &Invocation, error: &io::Error) {
    match &*invocation.event {
        folkmoot_serf::Event::Members(_) => {}
        folkmoot_serf::Event::User(_) | folkmoot_serf::Event::Query(_) => {
            tracing::error!(target: "agent", "Error writing payload: write |1: {}", cause(error));
        }
    }
}

async fn drain(receiver: &mut Receiver, output: &mut OutputTail) -> io::Result<()> {
    let mut piece = vec![0; SCRIPT_PIECE_BYTES];
    loop {
        let length = receiver.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        output.push(piece.get(..length).unwrap_or_default());
    }
}

async fn warn_when_slow(script: &str) -> Infallible {
    tokio::time::sleep(SCRIPT_SLOW).await;
    let limit = GoDuration::from(SCRIPT_SLOW);
    tracing::warn!(target: "agent", "Script '{script}' slow, execution exceeding {limit}");
    std::future::pending().await
}

/// Kills the script and what it started, while the process we started is there to name the group. If it has ended,
/// what it left behind is left alone: its number may be somebody else's.
async fn kill_group(child: &Child) {
    let Some(group) = child.id() else { return };
    let kill = format!("kill -s KILL -- -{group}");
    // No call of the standard library reaches a whole group.
    let _ = Command::new("/bin/sh").arg("-c").arg(kill).stdin(Stdio::null()).stderr(Stdio::null()).status().await;
}

/// As Go's `ProcessState` prints it.
fn ended(status: ExitStatus) -> String {
    let Some(number) = status.signal() else { return format!("exit status {}", status.code().unwrap_or(-1)) };
    let core = if status.core_dumped() { " (core dumped)" } else { "" };
    let name = usize::try_from(number).ok().and_then(|number| SIGNALS.get(number)).filter(|name| !name.is_empty());
    match name {
        Some(name) => format!("signal: {name}{core}"),
        None => format!("signal: signal {number}{core}"),
    }
}

/// Go's words for the signals of Linux, by number.
const SIGNALS: [&str; 32] = [
    "",
    "hangup",
    "interrupt",
    "quit",
    "illegal instruction",
    "trace/breakpoint trap",
    "aborted",
    "bus error",
    "floating point exception",
    "killed",
    "user defined signal 1",
    "segmentation fault",
    "user defined signal 2",
    "broken pipe",
    "alarm clock",
    "terminated",
    "stack fault",
    "child exited",
    "continued",
    "stopped (signal)",
    "stopped",
    "stopped (tty input)",
    "stopped (tty output)",
    "urgent I/O condition",
    "CPU time limit exceeded",
    "file size limit exceeded",
    "virtual timer expired",
    "profiling timer expired",
    "window changed",
    "I/O possible",
    "power failure",
    "bad system call",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_named_as_in_go() {
        let text = |raw| ended(ExitStatus::from_raw(raw));
        assert_eq!(text(7 << 8), "exit status 7");
        assert_eq!(text(9), "signal: killed");
        assert_eq!(text(11 | 0x80), "signal: segmentation fault (core dumped)");
        assert_eq!(text(40), "signal: signal 40");
    }
}
