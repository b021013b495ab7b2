//! Output of a command in comparable form: exact, but for what its row lets vary.

use std::process::Output;

use serde_json::Value as Json;

use super::cluster::View;

/// What may vary in the output of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vary {
    /// Order of lines and of `a=1,b=2`: Go shows maps and answers in random order, ours sorts (docs/compatibility.md).
    /// Blanks at the end of a line go with it: the line that comes last has none.
    Order,
    /// Numbers with a fraction: times measured, distances of coordinates.
    Measured,
    /// Values of `info` that are of the moment or of the program.
    Moment,
    /// Texts of the agent that changed between 0.9.4 and Serf's newest source, which ours follows: capitals of
    /// `failed to join`, `removing the` and `requested key`, and the port in errors of joins.
    Version094,
    /// Ours has more options and commands than Go.
    More,
    /// The version of the program, which differs on purpose.
    Program,
    /// A random key: only its length counts.
    RandomKey,
}

/// What Debian's build of 0.9.4 calls itself.
const GO_VERSION: &str = "0.8.2-dev";

/// Values of `info` that are not compared; their names are.
const OF_THE_MOMENT: [&str; 11] = [
    "version",
    "goroutines",
    "max_procs",
    "health_score",
    "member_time",
    "event_time",
    "query_time",
    "intent_queue",
    "event_queue",
    "query_queue",
    "coordinate_resets",
];

/// What a command did.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub exit: Option<i32>,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
    /// Standard output as JSON, if it is; members and nodes in the order of their names.
    pub json: Option<Json>,
}

impl Seen {
    pub fn of(view: Option<View<'_>>, output: &Output, varies: &[Vary]) -> Self {
        let anonymous = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            view.map_or(text.clone(), |view| view.anonymous(&text))
        };
        let (stdout, stderr) = (anonymous(&output.stdout), anonymous(&output.stderr));
        // Where values are of the moment, the lines say all.
        let compared = !varies.contains(&Vary::Moment);
        let json = serde_json::from_str(&stdout).ok().filter(Json::is_object).filter(|_| compared).map(sorted);
        Self { exit: output.status.code(), stdout: lines(&stdout, varies), stderr: lines(&stderr, varies), json }
    }
}

fn sorted(mut json: Json) -> Json {
    let Some(fields) = json.as_object_mut() else { return json };
    for list in fields.values_mut().filter_map(Json::as_array_mut) {
        list.sort_by_key(ToString::to_string);
    }
    json
}

fn lines(text: &str, varies: &[Vary]) -> Vec<String> {
    let may = |vary| varies.contains(&vary);
    let (before, help) = match text.find("Usage: ") {
        Some(at) => (&text[..at], help(&text[at..])),
        None => (text, Vec::new()),
    };
    let mut lines: Vec<String> = before.lines().map(|line| one(line, varies)).collect();
    if may(Vary::Order) {
        lines.sort();
    }
    lines.extend(help);
    lines
}

fn one(line: &str, varies: &[Vary]) -> String {
    let mut line = line.to_owned();
    for vary in varies {
        line = match vary {
            Vary::Order => tags_in_order(line.strip_suffix(',').unwrap_or(&line).trim_end()),
            Vary::Measured => without_fractions(&line),
            Vary::Moment => without_moment(&line),
            Vary::Version094 => of_0_9_4(&line),
            Vary::Program if line.starts_with("Serf v") || line == GO_VERSION => "Serf vX".to_owned(),
            Vary::RandomKey => format!("{} characters", line.len()),
            Vary::Program | Vary::More => line,
        };
    }
    line
}

fn tags_in_order(line: &str) -> String {
    let words = line.split(' ').map(|word| {
        let mut parts: Vec<&str> = word.split(',').collect();
        parts.sort_unstable();
        parts.join(",")
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `12.3` and `1.5s` become `#` and `#`, `127.0.0.1` stays.
fn without_fractions(line: &str) -> String {
    let word = |word: &str| {
        let number = word.trim_end_matches(['s', 'm', 'n', 'µ', '.', ',']);
        let is_fraction = number.contains('.') && number.parse::<f64>().is_ok();
        if is_fraction { "#".to_owned() } else { word.to_owned() }
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn without_moment(line: &str) -> String {
    let Some((name, _value)) = line.split_once(['=', ':']) else { return line.to_owned() };
    let bare = name.trim().trim_matches('"');
    if OF_THE_MOMENT.contains(&bare) && !line.ends_with('{') { format!("{name}...") } else { line.to_owned() }
}

pub fn of_0_9_4(line: &str) -> String {
    let words = [
        ("Failed to join", "failed to join"),
        ("Failed to resolve", "failed to resolve"),
        (":7946: dial", ": dial"),
        ("Removing the", "removing the"),
        ("Requested key", "requested key"),
    ];
    words.iter().fold(line.to_owned(), |line, (old, new)| line.replace(old, new))
}

/// The words of help texts are our own; the command, its options and, in the list of commands, those are not.
fn help(text: &str) -> Vec<String> {
    let mut words = text.split_whitespace().take(3);
    let usage = (words.next(), words.next(), words.next().filter(|word| !word.starts_with('[')));
    let mut names: Vec<String> = text.lines().filter_map(listed).collect();
    names.sort();
    names.dedup();
    names.insert(0, format!("{usage:?}"));
    names
}

/// The option or command a line of help is about.
fn listed(line: &str) -> Option<String> {
    let indent = line.len() - line.trim_start().len();
    let word: String = line.trim_start().chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
    let option = indent == 2 && word.starts_with('-') && word.len() > 1;
    let after = line.trim_start().get(word.len()..).unwrap_or_default();
    let command = indent == 4 && !word.is_empty() && (after.starts_with("  ") || after.is_empty());
    (option || command).then_some(word)
}
