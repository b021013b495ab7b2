//! Debian's unit for serf starts our program, called `/usr/bin/serf`, with its lines as they stand.
//!
//! Nothing in the lines is substituted: they run in a mount namespace of their own (which needs root), where our program
//! lies over `/usr/bin/serf` and `/etc` is an empty directory in memory with the user and group files. There is no systemd:
//! the test does what it does with these lines.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::support::{Directory, GO_LEAVES_WITHIN, Kind, Loopback, PATIENCE, Rpc, eventually, log};

/// Runs of the Go agent until one leaves in time.
const RUNS_MAX: usize = 5;
const UNIT: &str = "/lib/systemd/system/serf.service";

/// Prepares the namespace, runs `ExecStartPre`, puts the configuration in place, and becomes `ExecStart`.
const SCRIPT: &str = r#"
set -eu
cp /etc/passwd /etc/group "$KEPT"
mount -t tmpfs -o mode=0755 tmpfs /etc
cp "$KEPT/passwd" "$KEPT/group" /etc
if [ -n "$PROGRAM" ]; then mount --bind "$PROGRAM" /usr/bin/serf; fi
$EXEC_START_PRE
cp "$CONFIG" /etc/serf/agent.json
/usr/bin/serf version
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 $EXEC_START
"#;

/// The value of a line `name=value` of the unit.
fn setting(name: &str) -> String {
    let unit = std::fs::read_to_string(UNIT).unwrap_or_else(|error| panic!("{UNIT} of the package serf: {error}"));
    let line = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("{UNIT} has no {name}:\n{unit}")).to_owned()
}

/// What the unit's lines do with one of the programs.
#[derive(Debug, PartialEq, Eq)]
struct Started {
    version: String,
    members: Vec<(String, String)>,
    /// Exit code after the unit's `KillSignal`.
    exit: Option<i32>,
    /// What is printed up to the end, without what varies.
    lines: Vec<String>,
}

struct Unit {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Unit {
    fn start(kind: Kind, directory: &Directory, address: &Loopback) -> Self {
        let config = directory.file("agent.json");
        let text = format!(
            r#"{{"node_name": "unit", "bind": "{}", "rpc_addr": "{}", "profile": "local"}}"#,
            address.ip(),
            address.rpc()
        );
        std::fs::write(&config, text).unwrap();
        let program = if kind == Kind::Go { "" } else { kind.program() };
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation=private", "sh", "-c", SCRIPT]);
        command.env("KEPT", directory.path()).env("CONFIG", config).env("PROGRAM", program);
        command.env("EXEC_START_PRE", setting("ExecStartPre")).env("EXEC_START", setting("ExecStart"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = std::sync::mpsc::channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                // The test is over when nobody listens.
                BufReader::new(stream).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
            });
        }
        Self { child, lines }
    }

    /// Gives the time that its leave took, too.
    fn run(mut self, address: &Loopback) -> (Started, Duration) {
        let mut printed = Vec::new();
        eventually("the unit's agent runs", || {
            printed.extend(self.lines.try_iter());
            let runs = printed.iter().any(|line| line.contains("Serf agent running!"));
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended with {ended:?}; mounting needs root: {printed:#?}");
            if runs { Ok(()) } else { Err(format!("{printed:#?}")) }
        });
        let mut rpc = Rpc::connect(address.rpc());
        let members = rpc.members().into_iter().map(|row| (row.name, row.status)).collect();
        rpc.finish();
        let name = setting("KillSignal");
        let kill = format!("kill -{} {}", name.trim_start_matches("SIG"), self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let child = &mut self.child;
        let begun = Instant::now();
        let exit = eventually("the agent leaves", || child.try_wait().unwrap().ok_or_else(|| "it runs".to_owned()));
        let left_in = begun.elapsed();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            printed.push(line);
        }
        let version = printed.remove(0);
        let mut lines: Vec<String> = printed.iter().map(|line| shown(line)).collect();
        lines.retain(|line| !MOMENTS.iter().any(|moment| line.contains(moment)));
        lines.sort();
        lines.dedup();
        (Started { version, members, exit: exit.code(), lines }, left_in)
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // Already ended is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines that depend on the moment in either agent: coalesced events of the agent's own coming and going may come too
/// late for its end (`docs/spec/agent-cli.md` 4.2), and `vectors/rpc/cli/agent.txt` calls the last one a race.
const MOMENTS: [&str; 3] = ["Received event: member-join", "Received event: member-leave", "Serf shutdown detected"];

/// A line of output without times and numbers.
fn shown(line: &str) -> String {
    log::shape(line, &[]).unwrap_or_else(|| line.to_owned())
}

#[test]
fn debians_unit_starts_our_program_as_it_starts_go() {
    let directory = Directory::fresh();
    let address = Loopback::exactly(std::net::Ipv4Addr::new(127, 0, 49, 240));
    let run = |kind| Unit::start(kind, &directory, &address).run(&address);
    // On a machine that stands still Go gives its leave up, and says other things than else.
    let go = (0..RUNS_MAX).map(|_| run(Kind::Go)).find(|(_, left_in)| *left_in < GO_LEAVES_WITHIN);
    let (go, ours) = (go.expect("a leave of the Go agent takes less than 3 s").0, run(Kind::Folkmoot).0);
    assert!(ours.version.starts_with("Serf v0.10.2 (Folkmoot "), "{ours:?}");
    assert_eq!((&ours.members, ours.exit), (&go.members, go.exit));
    assert_eq!(ours.lines, go.lines, "ours left, Go right");
    assert_eq!(ours.exit, Some(0));
}
