//! Scenarios nobody wrote: faults drawn from a seed, then peace, in which everybody has to agree again.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::alarm;
use crate::engine::Request;
use crate::node::Life;
use crate::options::{Layer, Links, Options};
use crate::world::World;

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Equal for equal runs.
    pub hash: u64,
    /// Virtual time it took.
    pub time: Duration,
    /// Facts reported.
    pub facts: usize,
}

/// Runs the world of these options: form a cluster, inject faults, make peace, agree, pass one event on to all.
///
/// # Errors
/// What went wrong, with the options that reproduce it.
pub fn run(options: &Options) -> Result<Outcome, String> {
    let (result, errors) = alarm::listen(|| play(options));
    let outcome = result.map_err(|error| format!("{error} [{options}]"))?;
    match errors.first() {
        Some(error) => Err(format!("ERROR in the logs: {error} [{options}]")),
        None => Ok(outcome),
    }
}

fn play(options: &Options) -> Result<Outcome, String> {
    let mut world = World::new(options.clone())?;
    introduce(&mut world)?;
    run_for(&mut world, Duration::from_secs(5))?;
    let end = world.now().after(Duration::from_secs(options.seconds));
    let mut fault = 0;
    while world.now() < end {
        fault += 1;
        inject(&mut world, fault)?;
        let pause = world.random().between(Duration::from_millis(200), Duration::from_secs(8));
        run_for(&mut world, pause)?;
    }
    make_peace(&mut world)?;
    agree(&mut world)?;
    if options.layer == Layer::Serf {
        pass_on_an_event(&mut world)?;
    }
    Ok(Outcome { hash: world.trace().hash(), time: world.now().since_epoch(), facts: world.trace().facts().len() })
}

fn run_for(world: &mut World, duration: Duration) -> Result<(), String> {
    world.run(duration).map_err(|violation| violation.to_string())
}

/// One fault at one node, or an everyday thing in the midst of them.
fn inject(world: &mut World, fault: usize) -> Result<(), String> {
    let count = world.nodes().len();
    let victim = world.random().below(count);
    match world.random().below(9) {
        0 => world.crash(victim),
        1 => world.restart(victim)?,
        2 => world.pause(victim),
        3 => world.resume(victim),
        4 => {
            let part: BTreeSet<usize> = (0..count).filter(|_| world.random().chance(500)).collect();
            world.partition(&[part]);
        }
        5 => world.heal(),
        6 => world.leave(victim),
        // A dead or paused node refuses, which is no fault of anybody.
        7 => drop(world.ask(victim, Request::Event { name: format!("e{fault}"), payload: String::new() })),
        _ => drop(world.ask(victim, Request::Query { name: format!("q{fault}") })),
    }
    Ok(())
}

/// Ends all faults. Everybody who did not mean to leave runs again and is introduced once more.
fn make_peace(world: &mut World) -> Result<(), String> {
    world.heal();
    world.set_links(Links::quiet());
    for number in 0..world.nodes().len() {
        world.resume(number);
        // Who is on its way out is let go first.
        if world.nodes().get(number).is_some_and(|node| node.leaving) {
            run_for(world, Duration::from_secs(10))?;
            world.crash(number);
        }
        if world.nodes().get(number).is_some_and(|node| node.life() == Life::Dead) {
            world.restart(number)?;
        }
    }
    introduce(world)
}

/// Everybody joins through the first node, not too many at once: it refuses more than 127 exchanges.
fn introduce(world: &mut World) -> Result<(), String> {
    for number in 1..world.nodes().len() {
        world.join(number, 0);
        if number % 50 == 0 {
            run_for(world, Duration::from_millis(200))?;
        }
    }
    Ok(())
}

fn agree(world: &mut World) -> Result<(), String> {
    let agreed = world.run_until(AGREEMENT, World::is_converged).map_err(|violation| violation.to_string())?;
    if agreed {
        return Ok(());
    }
    let views: Vec<String> = world
        .nodes()
        .iter()
        .map(|node| format!("{}: {:?}", node.name(), node.engine().map(|engine| engine.view())))
        .collect();
    Err(format!("no agreement after {AGREEMENT:?}: {}", views.join("; ")))
}

fn pass_on_an_event(world: &mut World) -> Result<(), String> {
    let count = world.nodes().len();
    let first = world.random().below(count);
    world.ask(first, Request::Event { name: "peace".to_string(), payload: String::new() })?;
    let arrived = |world: &World| world.trace().facts().iter().filter(|fact| fact.text == "event peace").count();
    // Who hears of it by push/pull does not gossip it on (as in Go), so gossip may miss somebody; push/pull does not.
    let all = world.run_until(AGREEMENT, |world| arrived(world) == count);
    match all.map_err(|violation| violation.to_string())? {
        true => Ok(()),
        false => Err(format!("the event reached {} of {count} nodes", arrived(world))),
    }
}

/// Time for all views to agree after the faults, and for an event to reach everybody: the first push/pull comes within
/// two intervals of 30 s, and two more make up for partners who do not know better.
const AGREEMENT: Duration = Duration::from_secs(120);
