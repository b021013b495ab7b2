//! [`Child`]: a command that may run as long as something is held. It gets the signals that we get; when what is held is
//! lost it is ended: SIGTERM, and SIGKILL after a time.
//!
//! Where stdin is no terminal it is a process group of its own, so that signals reach everything that it started. On a
//! terminal it stays in ours, because only that may read.

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use folkmoot_client::Lost;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

use super::coordination::span;
use super::failure::Failure;
use crate::flags::{FlagDefinition, Parsed};
use crate::limits::COMMAND_GRACE;

pub(super) const GRACE: FlagDefinition = FlagDefinition::duration(
    "kill-after",
    "=DURATION",
    "Time between SIGTERM and SIGKILL when it is lost; default: 5s.",
);

/// Exit code where nothing was run: an error, or it could not be had.
pub(super) const NOT_RUN: u8 = 125;
/// Exit code where it was lost and the command ended for that.
pub(super) const LOST: u8 = 124;

/// Between two looks whether what it started is gone.
const LOOK: Duration = Duration::from_millis(50);

/// Time for the rest of its output once it has ended.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// A command line to run.
#[derive(Debug)]
pub(super) struct Child<'a> {
    pub(super) words: &'a [OsString],
    pub(super) environment: Vec<(&'static str, String)>,
    /// Its stdin; `None`: ours.
    pub(super) input: Option<Bytes>,
    /// Bytes of its stdout to keep; `None`: it is ours.
    pub(super) output: Option<usize>,
    /// Between SIGTERM and SIGKILL.
    pub(super) grace: Duration,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// By itself, or because we were told to end; and what was kept of its stdout.
    Exited(ExitStatus, Vec<u8>),
    /// By us, because what it needed was lost.
    Killed(Lost),
}

impl Ended {
    /// The exit code that passes it on.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Exited(status, _) => match (status.code(), status.signal()) {
                (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
                (None, signal) => u8::try_from(signal.unwrap_or(0)).unwrap_or(0).saturating_add(128),
            },
            Self::Killed(_) => LOST,
        }
    }
}

/// The signals that end a program. From its creation on they do not end this one.
#[derive(Debug)]
pub(super) struct Signals {
    signals: Vec<(&'static str, Signal)>,
    came: bool,
}

impl Signals {
    pub(super) fn new() -> Self {
        let kinds =
            [("INT", SignalKind::interrupt()), ("TERM", SignalKind::terminate()), ("HUP", SignalKind::hangup())];
        // Where the system refuses a handler the signal ends us, as it does without this type.
        let signals = kinds.into_iter().filter_map(|(name, kind)| Some((name, signal(kind).ok()?)));
        Self { signals: signals.collect(), came: false }
    }

    /// Whether one has come.
    pub(super) fn came(&self) -> bool {
        self.came
    }

    /// The name of the next one.
    pub(super) async fn next(&mut self) -> &'static str {
        std::future::poll_fn(|context| {
            for (name, signal) in &mut self.signals {
                if signal.poll_recv(context).is_ready() {
                    self.came = true;
                    return std::task::Poll::Ready(*name);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// The exit code of a program that a signal ended.
pub(super) fn code_of_signal(name: &str) -> u8 {
    match name {
        "INT" => 130,
        "HUP" => 129,
        _ => 143,
    }
}

/// As the flag says.
pub(super) fn grace(flags: &Parsed) -> Result<Duration, Failure> {
    Ok(span(flags, GRACE.name)?.unwrap_or(COMMAND_GRACE))
}

/// The words behind `--` and those before it; `None` where there is no `--`.
pub(super) fn split(arguments: &[OsString]) -> (&[OsString], Option<&[OsString]>) {
    match arguments.iter().position(|word| word == "--") {
        Some(position) => {
            let (before, after) = arguments.split_at(position);
            (before, Some(after.get(1..).unwrap_or_default()))
        }
        None => (arguments, None),
    }
}

impl Child<'_> {
    /// Runs it to its end, or until `lost` comes.
    pub(super) async fn run(&self, lost: impl Future<Output = Lost>, signals: &mut Signals) -> Result<Ended, Failure> {
        let Some((program, arguments)) = self.words.split_first() else {
            return Err(Failure::usage("A command must follow the --."));
        };
        let apart = self.input.is_some() || !std::io::stdin().is_terminal();
        let mut command = Command::new(program);
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        if self.input.is_some() {
            command.stdin(Stdio::piped());
        }
        if self.output.is_some() {
            command.stdout(Stdio::piped());
        }
        if apart {
            command.process_group(0);
        }
        let mut child = command.spawn().map_err(|error| {
            let code = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
            Failure::Exit(code, format!("Error running '{}': {error}", program.to_string_lossy()))
        })?;
        let mut kept = Vec::new();
        let status = {
            let mut lost = std::pin::pin!(lost);
            let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
            let streams = async { tokio::join!(feed(stdin, self.input.clone()), keep(stdout, self.output, &mut kept)) };
            let mut streams = std::pin::pin!(streams);
            let mut ended = false;
            let status = loop {
                tokio::select! {
                    status = child.wait() => break status,
                    lost = &mut lost => {
                        self.end(&mut child, apart).await;
                        return Ok(Ended::Killed(lost));
                    }
                    name = signals.next() => {
                        // On a terminal it has got an interrupt itself.
                        if apart || name != "INT" {
                            send(name, &child, apart).await;
                        }
                    }
                    _ = &mut streams, if !ended => ended = true,
                }
            };
            if !ended {
                // What it wrote last is on its way; what it left running may keep the pipe open.
                let _ = timeout(LAST_OUTPUT, streams).await;
            }
            status
        };
        let status = status.map_err(|error| Failure::message(format!("Error waiting for the command: {error}")))?;
        Ok(Ended::Exited(status, kept))
    }

    async fn end(&self, child: &mut tokio::process::Child, apart: bool) {
        let number = child.id();
        send("TERM", child, apart).await;
        let gone = async {
            let _ = child.wait().await;
            // What it started may go on for longer, and must not do so without what was lost.
            while let Some(number) = number.filter(|_| apart) {
                if !kill("0", number, apart).await {
                    break;
                }
                sleep(LOOK).await;
            }
        };
        if timeout(self.grace, gone).await.is_err() {
            if let Some(number) = number {
                kill("KILL", number, apart).await;
            }
            // Where there is no shell to send signals with.
            let _ = child.start_kill();
            let _ = child.wait().await;
        }
    }
}

/// Writes its stdin. One that does not read it is its own business.
async fn feed(stdin: Option<tokio::process::ChildStdin>, input: Option<Bytes>) {
    if let (Some(mut stdin), Some(input)) = (stdin, input) {
        let _ = stdin.write_all(&input).await;
        let _ = stdin.shutdown().await;
    }
}

/// Reads its stdout to the end, and keeps the beginning.
async fn keep(stdout: Option<tokio::process::ChildStdout>, most: Option<usize>, kept: &mut Vec<u8>) {
    let (Some(mut stdout), Some(most)) = (stdout, most) else { return };
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = stdout.read(&mut bytes).await {
        let room = most.saturating_sub(kept.len()).min(length);
        kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
    }
}

/// Sends a signal to the command, and to what it started if it is a group of its own, while it is there to name it.
async fn send(name: &str, child: &tokio::process::Child, apart: bool) {
    let Some(number) = child.id() else { return };
    kill(name, number, apart).await;
}

/// Sends a signal to a process, or to a group; whether there was one to get it. `0` only asks.
async fn kill(name: &str, number: u32, group: bool) -> bool {
    let kill = format!("kill -s {name} -- {}{number}", if group { "-" } else { "" });
    // No call of the standard library sends a signal to another process.
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(kill).stdin(Stdio::null()).stderr(Stdio::null());
    shell.status().await.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    async fn run(script: &str, grace: Duration, lost: impl Future<Output = Lost>) -> Ended {
        let words = vec!["/bin/sh".into(), "-c".into(), script.into()];
        let child = Child {
            words: &words,
            environment: vec![("X", "7".into())],
            input: Some("in".into()),
            output: Some(4),
            grace,
        };
        child.run(lost, &mut Signals::new()).await.unwrap()
    }

    #[tokio::test]
    async fn the_exit_code_is_passed_on_with_environment_and_stdin() {
        let never = std::future::pending::<Lost>;
        assert_eq!(run("exit $X", COMMAND_GRACE, never()).await.code(), 7);
        assert_eq!(run("test \"$(cat)\" = in", COMMAND_GRACE, never()).await.code(), 0);
        let Ended::Exited(_, kept) = run("echo abcdefgh", COMMAND_GRACE, never()).await else { panic!("it ends") };
        assert_eq!(kept, b"abcd");
        assert_eq!(run("kill -s KILL $$", COMMAND_GRACE, never()).await.code(), 137);
    }

    #[tokio::test]
    async fn a_command_that_ignores_sigterm_is_killed_after_the_grace() {
        // It says that it has its trap by closing its stdout's only other end: the file it makes.
        let directory = std::env::temp_dir().join(format!("folkmoot-child-{}", std::process::id()));
        let ready = directory.clone();
        let script = format!("trap '' TERM; : > '{}'; while :; do sleep 1; done", directory.display());
        let lost = async move {
            while !ready.exists() {
                tokio::task::yield_now().await;
            }
            Lost::Ended
        };
        let ended = run(&script, Duration::from_millis(50), lost).await;
        let _ = std::fs::remove_file(directory);
        assert!(matches!(ended, Ended::Killed(Lost::Ended)));
        assert_eq!(ended.code(), LOST);
    }

    #[tokio::test]
    async fn what_a_command_started_does_not_outlive_it() {
        let file = std::env::temp_dir().join(format!("folkmoot-grandchild-{}", std::process::id()));
        let (ready, path) = (file.clone(), file.display());
        // The shell ends at once; what it started ignores the signal.
        let script = format!(
            "(trap '' TERM; sh -c 'echo $PPID' > '{path}.new'; mv '{path}.new' '{path}'; while :; do sleep 1; done) & wait"
        );
        let lost = async move {
            while !ready.exists() {
                tokio::task::yield_now().await;
            }
            Lost::Ended
        };
        let ended = run(&script, Duration::from_millis(200), lost).await;
        let number = std::fs::read_to_string(&file).unwrap();
        let _ = std::fs::remove_file(file);
        assert!(matches!(ended, Ended::Killed(Lost::Ended)));
        // Killed it is at most a zombie that nobody has asked for yet, once the kernel has got round to it.
        let stat = format!("/proc/{}/stat", number.trim());
        let patience = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let state = std::fs::read_to_string(&stat).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") || state.contains(") X ") {
                return;
            }
            assert!(tokio::time::Instant::now() < patience, "it lives: {state}");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_cannot_be_run_has_the_codes_of_shells() {
        for (program, code) in [("/nonexistent/program", 127), ("/", 126)] {
            let words = [program.into()];
            let child =
                Child { words: &words, environment: Vec::new(), input: None, output: None, grace: COMMAND_GRACE };
            let failed = child.run(std::future::pending(), &mut Signals::new()).await;
            assert!(matches!(failed, Err(Failure::Exit(found, _)) if found == code), "{failed:?}");
        }
    }

    #[test]
    fn the_command_stands_behind_the_first_dashes() {
        let line = words("name -- cat -- x");
        let (before, command) = split(&line);
        assert_eq!((before, command), (&words("name")[..], Some(&words("cat -- x")[..])));
        assert_eq!(split(&words("name")).1, None);
    }
}
