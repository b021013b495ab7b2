//! Scenarios people can read: one command per line, the expected outcome below it.
//!
//! ```text
//! nodes 3            # or: memberlist 3; first, once
//! seed 7             # before it, optional
//! network loss 5% delay 1ms..20ms
//! join 2..3 1        # each of them through n1
//! run 10s
//! until converged 60s
//! kill 3             # restart, pause, resume, leave: the same way
//! partition 1 | 2,3  # and heal
//! event deploy from 2
//! query uptime from 1
//! tag 2 role web
//! force-leave 3 from 1
//! members 1          # prints what n1 knows
//! facts              # prints what was reported since the last time, and where
//! expect member 3 failed at all
//! expect fact event deploy once at 1,2
//! expect none member-failed
//! ```
//!
//! Lines that start with `>` are what the command above them prints. They are compared, or rewritten.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::Request;
use crate::node::{self, Life};
use crate::options::{Layer, Links, Options};
use crate::trace::Fact;
use crate::world::World;

/// Runs a scenario and returns it as it should be: every `>` line says what was printed.
///
/// # Errors
/// A command is unknown, an expectation does not hold, or an invariant broke; the line is named.
pub fn run(script: &str) -> Result<String, String> {
    let mut player = Player::default();
    let mut out = String::new();
    for (number, line) in script.lines().enumerate() {
        if line.starts_with('>') {
            continue;
        }
        out.push_str(line);
        out.push('\n');
        let command = line.split('#').next().unwrap_or_default().trim();
        if command.is_empty() {
            continue;
        }
        let words: Vec<&str> = command.split_whitespace().collect();
        let printed = player.play(&words).map_err(|error| format!("line {}: {command}: {error}", number + 1))?;
        for line in printed {
            out.push_str("> ");
            out.push_str(&line);
            out.push('\n');
        }
    }
    Ok(out)
}

/// The state of a scenario.
#[derive(Default)]
struct Player {
    seed: u64,
    world: Option<World>,
    facts_shown: usize,
}

impl Player {
    fn play(&mut self, words: &[&str]) -> Result<Vec<String>, String> {
        match *words {
            ["seed", seed] => self.seed = number(seed)?,
            ["nodes", count] => self.create(Layer::Serf, number(count)?)?,
            ["memberlist", count] => self.create(Layer::Memberlist, number(count)?)?,
            ["network", ref rest @ ..] => self.world()?.set_links(links(rest)?),
            ["run", time] => self.world()?.run(duration(time)?).map_err(|violation| violation.to_string())?,
            ["until", "converged", time] => self.until_converged(duration(time)?)?,
            ["partition", ..] => {
                let parts = words.get(1..).unwrap_or_default().join("");
                let parts = parts.split('|').map(|part| self.nodes(part)).collect::<Result<Vec<_>, _>>()?;
                self.world()?.partition(&parts);
            }
            ["heal"] => self.world()?.heal(),
            ["join", who, whom] => {
                let whom = self.node(whom)?;
                self.each(who, |world, node| world.join(node, whom))?;
            }
            ["kill", who] => self.each(who, World::crash)?,
            ["pause", who] => self.each(who, World::pause)?,
            ["resume", who] => self.each(who, World::resume)?,
            ["leave", who] => self.each(who, World::leave)?,
            ["restart", who] => {
                let mut result = Ok(());
                self.each(who, |world, node| result = std::mem::replace(&mut result, Ok(())).and(world.restart(node)))?;
                result?;
            }
            ["event", name, "from", who] => {
                self.ask(who, Request::Event { name: name.to_string(), payload: String::new() })?;
            }
            ["query", name, "from", who] => self.ask(who, Request::Query { name: name.to_string() })?,
            ["tag", who, name, value] => {
                self.ask(who, Request::Tag { name: name.to_string(), value: value.to_string() })?;
            }
            ["force-leave", whom, "from", who] => {
                let name = node::name(self.node(whom)?);
                self.ask(who, Request::ForceLeave { name })?;
            }
            ["members", who] => return self.members(who),
            ["facts"] => return self.facts(),
            ["expect", "member", whom, status, "at", who] => self.expect_member(whom, status, who)?,
            ["expect", "fact", ref fact @ .., "once", "at", who] => self.expect_fact(&fact.join(" "), who)?,
            ["expect", "none", ref fact @ ..] => self.expect_none(&fact.join(" "))?,
            _ => return Err("no such command".to_string()),
        }
        Ok(Vec::new())
    }

    fn create(&mut self, layer: Layer, nodes: usize) -> Result<(), String> {
        self.world = Some(World::new(Options::quiet(self.seed, layer, nodes))?);
        Ok(())
    }

    fn world(&mut self) -> Result<&mut World, String> {
        self.world.as_mut().ok_or_else(|| "say first how many nodes there are".to_string())
    }

    fn until_converged(&mut self, time: Duration) -> Result<(), String> {
        let converged =
            self.world()?.run_until(time, World::is_converged).map_err(|violation| violation.to_string())?;
        if converged { Ok(()) } else { Err("views still differ".to_string()) }
    }

    fn ask(&mut self, who: &str, request: Request) -> Result<(), String> {
        let node = self.node(who)?;
        self.world()?.ask(node, request)
    }

    fn each(&mut self, who: &str, mut action: impl FnMut(&mut World, usize)) -> Result<(), String> {
        for node in self.nodes(who)? {
            action(self.world()?, node);
        }
        Ok(())
    }

    fn node(&mut self, word: &str) -> Result<usize, String> {
        let count = self.world()?.nodes().len();
        let node = number::<usize>(word)?.checked_sub(1).filter(|&node| node < count);
        node.ok_or_else(|| format!("there is no node {word}"))
    }

    /// `all` (that run), `3`, `1,4`, `2..5` (both included).
    fn nodes(&mut self, words: &str) -> Result<BTreeSet<usize>, String> {
        if words == "all" {
            let nodes = self.world()?.nodes().iter().enumerate();
            return Ok(nodes.filter(|(_, node)| node.life() == Life::Running).map(|(number, _)| number).collect());
        }
        let mut nodes = BTreeSet::new();
        for word in words.split(',') {
            match word.split_once("..") {
                Some((first, last)) => nodes.extend(self.node(first)?..=self.node(last)?),
                None => {
                    nodes.insert(self.node(word)?);
                }
            }
        }
        Ok(nodes)
    }

    fn members(&mut self, who: &str) -> Result<Vec<String>, String> {
        let node = self.node(who)?;
        let engine = self.world()?.nodes().get(node).and_then(|node| node.engine()).ok_or("it is dead")?;
        let mut by_status: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, status) in engine.view() {
            by_status.entry(status).or_default().push(name);
        }
        Ok(by_status.into_iter().map(|(status, names)| format!("{status}: {}", names.join(" "))).collect())
    }

    /// Each fact with the nodes it was reported at, twice if it was reported twice. Order and time are left out: they
    /// change with every draw and say nothing.
    fn facts(&mut self) -> Result<Vec<String>, String> {
        let shown = self.facts_shown;
        let facts = self.world()?.trace().facts();
        let mut by_text: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for fact in facts.get(shown..).unwrap_or_default() {
            by_text.entry(&fact.text).or_default().push(fact.node);
        }
        let lines = by_text.into_iter().map(|(text, mut nodes)| {
            nodes.sort_unstable();
            let names: Vec<String> = nodes.into_iter().map(node::name).collect();
            format!("{text}: {}", names.join(" "))
        });
        let lines = lines.collect();
        self.facts_shown = facts.len();
        Ok(lines)
    }

    fn expect_member(&mut self, whom: &str, status: &str, who: &str) -> Result<(), String> {
        let whom = node::name(self.node(whom)?);
        for observer in self.nodes(who)? {
            let node = self.world()?.nodes().get(observer);
            let view = node.and_then(|node| node.engine()).map(|engine| engine.view()).unwrap_or_default();
            let found = view.get(&whom).copied().unwrap_or("unknown");
            if found != status {
                return Err(format!("it is {found} at {}", node::name(observer)));
            }
        }
        Ok(())
    }

    fn expect_fact(&mut self, text: &str, who: &str) -> Result<(), String> {
        for observer in self.nodes(who)? {
            let facts = self.world()?.trace().facts();
            let count = facts.iter().filter(|fact| fact.node == observer && fact.text == text).count();
            if count != 1 {
                return Err(format!("{count} times at {}", node::name(observer)));
            }
        }
        Ok(())
    }

    fn expect_none(&mut self, text: &str) -> Result<(), String> {
        let facts = self.world()?.trace().facts();
        match facts.iter().find(|fact: &&Fact| fact.text.starts_with(text)) {
            Some(fact) => Err(format!("but: {fact}")),
            None => Ok(()),
        }
    }
}

fn links(words: &[&str]) -> Result<Links, String> {
    let mut links = Links::quiet();
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        let value = words.next().copied().ok_or_else(|| format!("{word} needs a value"))?;
        match word {
            "loss" => links.loss_per_mille = per_mille(value)?,
            "duplicates" => links.duplicates_per_mille = per_mille(value)?,
            "delay" => {
                let (least, most) = value.split_once("..").ok_or("a delay is written 1ms..20ms")?;
                (links.delay_least, links.delay_most) = (duration(least)?, duration(most)?);
            }
            other => return Err(format!("links have no {other}")),
        }
    }
    Ok(links)
}

fn per_mille(word: &str) -> Result<u32, String> {
    let percent: u32 = number(word.strip_suffix('%').ok_or("a rate is written 5%")?)?;
    Ok(percent.saturating_mul(10))
}

fn duration(word: &str) -> Result<Duration, String> {
    if let Some(count) = word.strip_suffix("ms") {
        return number(count).map(Duration::from_millis);
    }
    number(word.strip_suffix('s').ok_or("a time is written 10s or 200ms")?).map(Duration::from_secs)
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (script, expected) in [
            ("dance", "line 1: dance: no such command"),
            ("# nothing\nrun 1s", "line 2: run 1s: say first how many nodes there are"),
            ("nodes 2\nkill 3", "line 2: kill 3: there is no node 3"),
            ("nodes 2\nrun 10", "line 2: run 10: a time is written 10s or 200ms"),
            ("nodes x", "line 1: nodes x: x is no number"),
            ("nodes 2\nnetwork loss 5", "line 2: network loss 5: a rate is written 5%"),
            ("memberlist 1\nevent e from 1", "line 2: event e from 1: memberlist alone cannot do that"),
        ] {
            assert_eq!(run(script).unwrap_err(), expected);
        }
    }

    #[test]
    fn what_is_printed_replaces_what_was_expected() {
        let script = "memberlist 1\nmembers 1\n> something else\n";
        assert_eq!(run(script).unwrap(), "memberlist 1\nmembers 1\n> alive: n1\n");
    }

    #[test]
    fn expectations_can_fail() {
        let failed = |expectation: &str| run(&format!("nodes 2\njoin 2 1\nrun 5s\n{expectation}\n")).is_err();
        assert!(!failed("expect member 2 alive at 1"));
        assert!(failed("expect member 2 failed at 1"));
        assert!(!failed("expect fact member-join n2 once at 1"));
        assert!(failed("expect fact member-join n1 once at 1,2\nexpect fact event e once at 1"));
        assert!(failed("expect none member-join"));
        assert!(!failed("expect none member-failed"));
        assert!(failed("partition 1|2\nrun 30s\nuntil converged 1s"));
    }
}
