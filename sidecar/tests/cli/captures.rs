//! Reads `vectors/rpc/cli/*.txt` (format: `vectors/rpc/README.md`) and compares command lines with them.

use std::path::Path;
use std::process::{Command, Output};

/// One command of a capture file.
#[derive(Debug, Clone)]
pub struct Capture {
    /// The comment lines before it.
    pub comment: String,
    /// As typed.
    pub line: String,
    /// Variables set in front of the command.
    pub variables: Vec<(String, String)>,
    /// Words after the program.
    pub words: Vec<String>,
    pub exit: i32,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

/// All captures of a file, in order.
pub fn read(name: &str) -> Vec<Capture> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors/rpc/cli").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = text.replace("127.0.13.", "127.0.27.");
    let mut captures: Vec<Capture> = Vec::new();
    let mut comment = String::new();
    let mut in_stderr = false;
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("# ") {
            comment.push_str(words);
        } else if let Some(command) = line.strip_prefix("$ ") {
            captures.push(Capture::of(command, std::mem::take(&mut comment)));
        } else if let Some(exit) = line.strip_prefix("exit ") {
            captures.last_mut().unwrap().exit = exit.parse().unwrap();
        } else if line == "stdout:" || line == "stderr:" {
            in_stderr = line == "stderr:";
        } else if let Some(output) = line.strip_prefix("| ").or_else(|| line.strip_prefix('|')) {
            let capture = captures.last_mut().unwrap();
            let stream = if in_stderr { &mut capture.stderr } else { &mut capture.stdout };
            stream.push(output.to_owned());
        } else {
            // What follows a blank line is about the next command; the file's own header ends here too.
            assert!(line.is_empty(), "{name}: {line}");
            comment.clear();
        }
    }
    assert!(!captures.is_empty(), "{name} holds no captures");
    captures
}

impl Capture {
    fn of(line: &str, comment: String) -> Self {
        let mut words = split(line);
        let program = words.iter().position(|word| word == "serf").unwrap();
        let variables = words.drain(..=program).take(program);
        let variables = variables.map(|pair| pair.split_once('=').map(|(k, v)| (k.into(), v.into())).unwrap());
        let variables = variables.collect();
        Self { comment, line: line.into(), variables, words, exit: -1, stdout: Vec::new(), stderr: Vec::new() }
    }

    /// Asserts that `output` is what was captured, after `normal` on the lines of both.
    pub fn compare(&self, output: &Output, normal: impl Fn(&[String]) -> Vec<String>) {
        let seen = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
        let (stdout, stderr) = (seen(&output.stdout), seen(&output.stderr));
        let context = format!("{}\nstdout: {stdout:#?}\nstderr: {stderr:#?}", self.line);
        assert_eq!(output.status.code(), Some(self.exit), "{context}");
        for (captured, seen) in [(&self.stdout, &stdout), (&self.stderr, &stderr)] {
            match captured.iter().position(|line| line.starts_with('[') && line.ends_with(" lines]")) {
                Some(marker) => {
                    assert_eq!(captured[..marker], seen[..marker], "{context}");
                    assert!(seen.len() > marker + 1, "text is missing: {context}");
                    let is_help = captured[marker].starts_with("[help text");
                    assert!(!is_help || seen[marker].starts_with("Usage: "), "{context}");
                }
                None => assert_eq!(normal(captured), normal(seen), "{context}"),
            }
        }
    }
}

/// Splits as a shell does: blanks, single quotes, and `x...[600 times x]`.
fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in line.replace(" times x]", "_times_x]").chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().unwrap().push(character),
        }
    }
    words.into_iter().filter(|word| !word.is_empty()).map(|word| repeat(&word)).collect()
}

/// `x...[600_times_x]` is that many x, whatever stands in front.
fn repeat(word: &str) -> String {
    let Some((before, rest)) = word.split_once("x...[") else { return word.to_owned() };
    let times = rest.strip_suffix("_times_x]").unwrap().parse().unwrap();
    format!("{before}{}", "x".repeat(times))
}

/// The command of a capture with our program; `variables` are the defaults of its environment.
pub fn command(capture: &Capture, mut command: Command, variables: &[(&str, &str)]) -> Command {
    command.args(&capture.words).envs(variables.iter().copied());
    command.envs(capture.variables.iter().map(|(name, value)| (name, value)));
    command
}

/// Runs it.
pub fn run(capture: &Capture, program: Command, variables: &[(&str, &str)]) -> Output {
    command(capture, program, variables).output().unwrap()
}

/// What varies between runs: the order of lines and of tags, digits where `digits` says so.
pub fn unordered(lines: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = lines.iter().map(|line| sort_tags(line.trim_end_matches(','))).collect();
    lines.sort();
    lines
}

/// Lines without their numbers.
pub fn without_numbers(lines: &[String]) -> Vec<String> {
    let replace = |line: &String| {
        let mut out = String::new();
        for character in line.chars() {
            match character {
                '0'..='9' | '.' if out.ends_with('#') => {}
                '0'..='9' => out.push('#'),
                _ => out.push(character),
            }
        }
        out
    };
    lines.iter().map(replace).collect()
}

/// `a=1,b=2` in any order is the same.
fn sort_tags(line: &str) -> String {
    let sort = |cell: &str| {
        let mut tags: Vec<&str> = cell.split(',').collect();
        tags.sort_unstable();
        tags.join(",")
    };
    line.split(' ')
        .map(|cell| if cell.contains('=') { sort(cell) } else { cell.to_owned() })
        .collect::<Vec<_>>()
        .join(" ")
}
