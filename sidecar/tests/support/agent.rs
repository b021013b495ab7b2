//! An agent process, Go's or ours: start, watch its output, signal it, and make sure it is gone at the end.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::{GO_LEAVES_WITHIN, Loopback, PATIENCE, Rpc, eventually, reason};

/// Output lines kept per agent; the oldest go first.
const LINES_MAX: usize = 50_000;
/// Output lines shown of an agent whose test fails.
const TAIL_LINES: usize = 40;

/// Whose program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// HashiCorp's, from Debian's package `serf`.
    Go,
    /// Ours.
    Folkmoot,
}

impl Kind {
    /// The agent under test: ours, or Go's if `FOLKMOOT_TEST_AGENT=go` asks to check the tests themselves.
    pub fn under_test() -> Self {
        match std::env::var("FOLKMOOT_TEST_AGENT").as_deref() {
            Ok("go") => Self::Go,
            Ok(other) => panic!("FOLKMOOT_TEST_AGENT={other}: only `go` is known"),
            Err(_) => Self::Folkmoot,
        }
    }

    /// The program's path.
    pub fn program(self) -> &'static str {
        match self {
            Self::Go => "serf",
            Self::Folkmoot => env!("CARGO_BIN_EXE_folkmoot"),
        }
    }

    /// A command of this program with these arguments, without input and with captured output.
    pub fn command(self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env_remove("SERF_RPC_ADDR").env_remove("SERF_RPC_AUTH");
        command
    }

    fn spawn(self, arguments: &[&str], variables: &[(String, String)]) -> Child {
        let mut command = self.command(arguments);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.spawn().unwrap_or_else(|error| match self {
            Self::Go => panic!("cannot run `serf` ({error}): install the Go agent with `apt-get install serf`"),
            Self::Folkmoot => panic!("cannot run {}: {error}", self.program()),
        })
    }
}

/// What may be sent to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Kill,
    Stop,
    Continue,
    Interrupt,
    Terminate,
    Hangup,
    /// SIGUSR1
    Telemetry,
}

impl Signal {
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
            Self::Hangup => "HUP",
            Self::Telemetry => "USR1",
        }
    }
}

/// A running (or ended) agent. Dropping it kills the process.
#[derive(Debug)]
pub struct Agent {
    pub kind: Kind,
    pub name: String,
    pub address: Arc<Loopback>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    child: Child,
    output: Arc<Output>,
}

impl Agent {
    /// Starts `name` on an address of its own and waits until its RPC answers.
    pub fn start(kind: Kind, name: &str, arguments: &[&str]) -> Self {
        Self::start_at(kind, name, Arc::new(Loopback::fresh()), arguments)
    }

    /// Starts `name` on `address` and waits until its RPC answers.
    pub fn start_at(kind: Kind, name: &str, address: Arc<Loopback>, arguments: &[&str]) -> Self {
        let agent = Self::spawn_at(kind, name, address, arguments);
        agent.wait_until_serving()
    }

    /// Starts an agent that asks its clients for `key`: Go's reads it from a file, ours from the environment.
    pub fn start_secured(kind: Kind, name: &str, address: Arc<Loopback>, key: &str) -> Self {
        let agent = match kind {
            Kind::Go => {
                let config = format!("{}/auth-{}.json", env!("CARGO_TARGET_TMPDIR"), address.ip());
                std::fs::write(&config, format!(r#"{{"rpc_auth": "{key}"}}"#)).unwrap();
                Self::spawn_at(kind, name, address, &[&format!("-config-file={config}")])
            }
            Kind::Folkmoot => {
                let variables = vec![("FOLKMOOT_RPC_AUTH".to_owned(), key.to_owned())];
                Self::spawn_with(kind, name, address, &[], variables)
            }
        };
        agent.wait_until_serving()
    }

    /// Starts ours with variables like `NAME=value` in its environment and waits until its RPC answers.
    pub fn start_with_environment(name: &str, address: Arc<Loopback>, arguments: &[&str], variables: &[&str]) -> Self {
        let pairs = variables.iter().filter_map(|variable| variable.split_once('='));
        let variables = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self::spawn_with(Kind::Folkmoot, name, address, arguments, variables).wait_until_serving()
    }

    /// Starts `name` on `address` without waiting for anything.
    pub fn spawn_at(kind: Kind, name: &str, address: Arc<Loopback>, arguments: &[&str]) -> Self {
        Self::spawn_with(kind, name, address, arguments, Vec::new())
    }

    fn spawn_with(
        kind: Kind,
        name: &str,
        address: Arc<Loopback>,
        arguments: &[&str],
        variables: Vec<(String, String)>,
    ) -> Self {
        let mut all = vec![
            "agent".to_owned(),
            format!("-node={name}"),
            format!("-bind={}", address.ip()),
            format!("-rpc-addr={}", address.rpc()),
        ];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        reason::remember();
        let mut child = kind.spawn(&all.iter().map(String::as_str).collect::<Vec<_>>(), &variables);
        let output = Output::of(&mut child);
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { kind, name: name.to_owned(), address, arguments, variables, child, output }
    }

    fn wait_until_serving(mut self) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.output.wait_for_end();
                panic!("{:?} agent {} ended at start with {status}", self.kind, self.name);
            }
            // A connection alone proves nothing about who listens; the process says itself that it runs, in a banner
            // that ends with this line.
            let runs = self.has_line_from(0, "Log data will now stream in");
            if runs && TcpStream::connect_timeout(&self.rpc_address(), Duration::from_secs(1)).is_ok() {
                return self;
            }
            assert!(Instant::now() < deadline, "{:?} agent {} does not serve", self.kind, self.name);
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Starts a new process with this agent's name, address and arguments. The old one must have ended.
    pub fn restart(&mut self) {
        let status = self.child.try_wait().unwrap();
        assert!(status.is_some(), "{} still runs", self.name);
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let address = Arc::clone(&self.address);
        let fresh = Self::spawn_with(self.kind, &self.name, address, &arguments, self.variables.clone());
        let fresh = fresh.wait_until_serving();
        fresh.output.prepend(&self.output);
        *self = fresh;
    }

    pub fn rpc_address(&self) -> SocketAddr {
        self.address.rpc()
    }

    /// A new RPC connection, greeted.
    pub fn rpc(&self) -> Rpc {
        Rpc::connect(self.rpc_address())
    }

    /// `IP:PORT` of its gossip, as a join address.
    pub fn gossip(&self) -> String {
        self.address.gossip().to_string()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process, which must not have been waited for.
    pub fn signal(&self, signal: Signal) {
        let kill = format!("kill -{} {}", signal.name(), self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success(), "{kill}: {status}");
        if signal == Signal::Stop {
            self.wait_until_stopped();
        }
    }

    /// The signal is under way when `kill` ends: each thread stands still when the kernel gets to it.
    fn wait_until_stopped(&self) {
        eventually(&format!("every thread of {} stands still", self.name), || {
            let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
            for thread in threads {
                // A thread may end meanwhile.
                let stat = std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default();
                let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
                if state.is_some_and(|state| state != 'T') {
                    return Err(stat);
                }
            }
            Ok(())
        });
    }

    /// Kills the process without warning and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::Kill);
        self.wait_for_exit();
    }

    /// Waits until the process has ended by itself.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let status = eventually(&format!("{} ends", self.name), || {
            child.try_wait().unwrap().ok_or_else(|| "it runs".to_owned())
        });
        self.output.wait_for_end();
        status
    }

    /// Waits for the end of the graceful leave that a signal just asked for. A Go agent on a machine that stood still may
    /// have given it up.
    pub fn wait_for_graceful_exit(&mut self) {
        let begun = Instant::now();
        let code = self.wait_for_exit().code();
        let given_up = self.kind == Kind::Go && begun.elapsed() >= GO_LEAVES_WITHIN;
        assert!(code == Some(0) || (given_up && code == Some(1)), "{} ended with {code:?}", self.name);
    }

    /// Every line written so far, standard output and standard error as they came.
    pub fn lines(&self) -> Vec<String> {
        self.output.state.lock().unwrap().lines.iter().cloned().collect()
    }

    pub fn text(&self) -> String {
        self.output.text()
    }

    /// Waits for a line that contains `part`, in what has been written so far or comes.
    pub fn wait_for_line(&self, part: &str) -> String {
        self.wait_for_line_from(0, part)
    }

    /// Lines written so far: where [`Self::wait_for_line_from`] may begin.
    pub fn mark(&self) -> usize {
        let state = self.output.state.lock().unwrap();
        state.dropped + state.lines.len()
    }

    /// As [`Self::wait_for_line`], but only lines from `mark` on.
    pub fn wait_for_line_from(&self, mark: usize, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.output.state.lock().unwrap();
        loop {
            let from = mark.saturating_sub(state.dropped);
            if let Some(line) = state.lines.iter().skip(from).find(|line| line.contains(part)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                panic!("{} does not print {part:?}", self.name);
            }
            state = self.output.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Whether a line from `mark` on contains `part`.
    pub fn has_line_from(&self, mark: usize, part: &str) -> bool {
        let state = self.output.state.lock().unwrap();
        let from = mark.saturating_sub(state.dropped);
        state.lines.iter().skip(from).any(|line| line.contains(part))
    }

    /// Resident memory in KiB, from the kernel.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// True while the process has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Already ended is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let lines = self.lines();
            let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            eprintln!("--- last lines of {:?} agent {} ---\n{}", self.kind, self.name, tail.join("\n"));
            eprintln!("--- the test failed because ---\n{}", reason::last());
        }
    }
}

/// Lines of one process, from both of its streams.
#[derive(Debug)]
struct Output {
    state: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<String>,
    dropped: usize,
    open_streams: usize,
}

impl Output {
    fn of(child: &mut Child) -> Arc<Self> {
        let output = Arc::new(Self {
            state: Mutex::new(Lines { open_streams: 2, ..Lines::default() }),
            changed: Condvar::new(),
        });
        output.read(child.stdout.take().unwrap());
        output.read(child.stderr.take().unwrap());
        output
    }

    fn read(self: &Arc<Self>, stream: impl Read + Send + 'static) {
        let output = Arc::clone(self);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line), Ok(length) if length > 0) {
                output.push(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned());
                line.clear();
            }
            output.state.lock().unwrap().open_streams -= 1;
            output.changed.notify_all();
        });
    }

    fn push(&self, line: String) {
        let mut state = self.state.lock().unwrap();
        if state.lines.len() == LINES_MAX {
            state.lines.pop_front();
            state.dropped += 1;
        }
        state.lines.push_back(line);
        self.changed.notify_all();
    }

    /// Puts what an earlier process wrote in front, so that a restarted agent's output is whole.
    fn prepend(&self, earlier: &Self) {
        let mut lines: VecDeque<String> = earlier.state.lock().unwrap().lines.clone();
        let mut state = self.state.lock().unwrap();
        lines.append(&mut state.lines);
        state.lines = lines;
    }

    fn wait_for_end(&self) {
        let mut state = self.state.lock().unwrap();
        while state.open_streams > 0 {
            let (next, timeout) = self.changed.wait_timeout(state, PATIENCE).unwrap();
            assert!(!timeout.timed_out(), "a child of the agent keeps its output open");
            state = next;
        }
    }

    fn text(&self) -> String {
        Vec::from(self.state.lock().unwrap().lines.clone()).join("\n")
    }
}
