//! `monitor` at every level, four times each: what it shows of an event, and how it ends.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use super::cluster::{Cluster, View};
use super::command_rows::Row;
use super::commands::Programs;
use super::support::{Kind, eventually, log};

/// Options, and the levels that are not to be seen then.
const LEVELS: &[(&[&str], &[&str])] = &[
    (&["monitor"], &["TRACE", "DEBUG"]),
    (&["monitor", "-log-level=trace"], &[]),
    (&["monitor", "-log-level=DEBUG"], &["TRACE"]),
    (&["monitor", "-log-level=info"], &["TRACE", "DEBUG"]),
    (&["monitor", "-log-level=Warn"], &["TRACE", "DEBUG", "INFO"]),
    (&["monitor", "-log-level=ERR", "ignored"], &["TRACE", "DEBUG", "INFO", "WARN"]),
];

/// What a monitor showed: the lines about the last event, and the exit code.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    event: BTreeSet<String>,
    exit: Option<i32>,
    stderr: String,
}

#[test]
fn monitors_of_every_level_show_the_same() {
    let cluster = Cluster::start(4, &["-log-level=TRACE"]);
    let programs = Programs::new();
    for (words, hidden) in LEVELS {
        let row = Row { words, variables: &[], varies: &[], changes: false };
        let four = [(Kind::Go, 0), (Kind::Folkmoot, 0), (Kind::Go, 1), (Kind::Folkmoot, 1)].map(|(kind, agent)| {
            let view = cluster.asked()[agent];
            watch(view, programs.start(kind, &view, &row), hidden)
        });
        for other in &four[1..] {
            assert_eq!(*other, four[0], "serf {}: {four:#?}", words.join(" "));
        }
    }
}

/// Lets one monitor see an event, interrupts it, and gives what it showed.
fn watch(view: View<'_>, mut child: Child, hidden: &[&str]) -> Shown {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let (stdout, kept) = (BufReader::new(child.stdout.take().unwrap()), Arc::clone(&lines));
    let reader = std::thread::spawn(move || {
        stdout.lines().map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line));
    });
    let shows = |part: &str| lines.lock().unwrap().iter().any(|line| line.contains(part));
    // Fired until the monitor is there to see it; the next event is seen from its beginning.
    let fire = |name: &str| view.agent().rpc().event(name, b"v\xff1", false).unwrap();
    let (first, second) = (format!("first-{}", child.id()), format!("second-{}", child.id()));
    eventually("the monitor shows an event", || {
        fire(&first);
        if shows(&format!("Name: \"{first}\"")) { Ok(()) } else { Err(format!("{:#?}", lines.lock().unwrap())) }
    });
    fire(&second);
    eventually("the monitor shows the next event", || {
        // The block of an event and the log lines about it come in any order.
        let block = shows(&format!("Name: \"{second}\""));
        let received = hidden.contains(&"INFO") || shows(&format!("Received event: user-event: {second}"));
        let requested = hidden.contains(&"DEBUG") || shows(&format!("Requesting user event send: {second}"));
        if block && received && requested { Ok(()) } else { Err(format!("{:#?}", lines.lock().unwrap())) }
    });
    let interrupt = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &interrupt]).status().unwrap().success());
    let exit = child.wait().unwrap().code();
    reader.join().unwrap();
    let stderr = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    let lines = std::mem::take(&mut *lines.lock().unwrap());
    for line in &lines {
        assert!(!hidden.iter().any(|level| line.contains(&format!("[{level}] "))), "{line}");
    }
    Shown { event: about(&lines, &second), exit, stderr }
}

/// The lines about one event: log lines by shape, and the fields of its block.
fn about(lines: &[String], name: &str) -> BTreeSet<String> {
    // Whether an event comes back by gossip from a peer, and before the monitor ends, is the moment's doing.
    let gossiped = |line: &str| line.contains("serf: messageUserEventType: ");
    let mentions = || lines.iter().filter(|line| line.contains(name) && !gossiped(line));
    let logged = mentions().map(|line| log::shape(line, &[name])).zip(mentions());
    // Ours logs no payloads (docs/compatibility.md).
    let shown = |shape: String| shape.split(". Payload: ").next().unwrap_or_default().to_owned();
    let mut about: BTreeSet<String> =
        logged.map(|(shape, line)| shape.map_or_else(|| line.replace(name, "NODE"), shown)).collect();
    let blocks = lines.split(|line| line == "Event Info:").skip(1);
    for block in blocks {
        let fields: Vec<&String> = block.iter().take_while(|line| line.starts_with('\t')).collect();
        if !fields.iter().any(|field| field.contains(name)) {
            continue;
        }
        about.extend(fields.iter().map(|field| {
            let moment = field.starts_with("\tLTime: ");
            if moment { "\tLTime: #".to_owned() } else { field.replace(name, "NODE") }
        }));
    }
    about
}
