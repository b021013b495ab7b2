//! `simulate [--seed N] [--runs N] [--nodes N] [--seconds N]`: runs worlds from consecutive seeds and says which failed.

use std::process::ExitCode;

use folkmoot_simulator::options::Options;
use folkmoot_simulator::swarm;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match parse(&arguments) {
        Ok(Some(request)) => run(&request),
        Ok(None) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("simulate: {error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run(request: &Request) -> ExitCode {
    let mut failures = 0_u64;
    for seed in request.seed..request.seed.saturating_add(request.runs) {
        let mut options = Options::from_seed(seed);
        options.nodes = request.nodes.unwrap_or(options.nodes);
        options.seconds = request.seconds.unwrap_or(options.seconds);
        println!("{options}");
        match swarm::run(&options) {
            Ok(outcome) => {
                println!("PASSED  hash={:016x} virtual time={:?} facts={}", outcome.hash, outcome.time, outcome.facts)
            }
            Err(error) => {
                failures += 1;
                println!("FAILED  {error}");
                println!("again:  simulate {}", request.again(seed));
            }
        }
    }
    println!("{} runs, {failures} failed", request.runs);
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    seed: u64,
    runs: u64,
    nodes: Option<usize>,
    seconds: Option<u64>,
}

impl Request {
    /// The arguments that repeat one run.
    fn again(&self, seed: u64) -> String {
        let mut again = format!("--seed {seed}");
        for (name, value) in [("--nodes", self.nodes.map(|nodes| nodes as u64)), ("--seconds", self.seconds)] {
            if let Some(value) = value {
                again.push_str(&format!(" {name} {value}"));
            }
        }
        again
    }
}

/// `None`: help is wanted.
fn parse(arguments: &[String]) -> Result<Option<Request>, String> {
    let mut request = Request { seed: 1, runs: 1, nodes: None, seconds: None };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--help" || argument == "-h" {
            return Ok(None);
        }
        let mut value = || {
            let value = arguments.next().ok_or_else(|| format!("{argument} needs a number"))?;
            value.parse::<u64>().map_err(|_| format!("{argument} {value}: not a number"))
        };
        match argument.as_str() {
            "--seed" => request.seed = value()?,
            "--runs" => request.runs = value()?,
            "--nodes" => request.nodes = Some(within("--nodes", value()?, 1, NODES_MAX)? as usize),
            "--seconds" => request.seconds = Some(within("--seconds", value()?, 0, SECONDS_MAX)?),
            other => return Err(format!("unknown argument {other}")),
        }
    }
    if request.runs == 0 {
        return Err("--runs 0: nothing to do".to_string());
    }
    Ok(Some(request))
}

fn within(name: &str, value: u64, least: u64, most: u64) -> Result<u64, String> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(format!("{name} {value}: must be from {least} to {most}"))
    }
}

const USAGE: &str = "usage: simulate [--seed N] [--runs N] [--nodes N] [--seconds N]
  --seed N    first seed (default 1); each run prints the options its seed makes
  --runs N    how many seeds, one after the other (default 1)
  --nodes N   nodes in every run instead of what the seed says
  --seconds N  length of the time of faults, virtual, instead of what the seed says";

/// More nodes than this are not simulated in a reasonable time.
const NODES_MAX: u64 = 5_000;
/// As above.
const SECONDS_MAX: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Option<Request>, String> {
        parse(&line.split_whitespace().map(str::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_are_read() {
        let expected = Request { seed: 7, runs: 3, nodes: Some(20), seconds: Some(0) };
        assert_eq!(parsed("--seed 7 --runs 3 --nodes 20 --seconds 0"), Ok(Some(expected)));
        assert_eq!(parsed(""), Ok(Some(Request { seed: 1, runs: 1, nodes: None, seconds: None })));
        assert_eq!(parsed("--seed 7 -h"), Ok(None));
    }

    #[test]
    fn bad_arguments_are_named() {
        for (line, expected) in [
            ("--seed", "--seed needs a number"),
            ("--seed x", "--seed x: not a number"),
            ("--nodes 0", "--nodes 0: must be from 1 to 5000"),
            ("--runs 0", "--runs 0: nothing to do"),
            ("--dance", "unknown argument --dance"),
        ] {
            assert_eq!(parsed(line), Err(expected.to_string()));
        }
    }

    #[test]
    fn failed_run_can_be_repeated() {
        let request = Request { seed: 1, runs: 9, nodes: Some(4), seconds: None };
        assert_eq!(
            parsed(&request.again(6)).map(|request| request.map(|request| (request.seed, request.nodes))),
            Ok(Some((6, Some(4))))
        );
    }
}
