//! Random faults under the simulated runtime: clients count on one counter while members lose power, are killed and are
//! parted. Each addition is sent until it is answered, so the counter tells the whole story: every answer is another
//! number, in the order of time, and at the end nothing is missing and nothing was done twice.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft::{AsyncRuntime, Instant};
use openraft_rt_sim::{SimInstant, SimRuntime};

use super::disk::Chance;
use super::world::{Sim, World, add, count, count_query, now, simulate, sleep};
use crate::error::ProposeError;
use crate::member::Member;
use crate::settings::Timing;

/// What a client saw.
#[derive(Debug, Clone, Copy)]
struct Seen {
    sent: SimInstant,
    answered: SimInstant,
    value: i64,
    added: bool,
}

type Members = Arc<Mutex<Vec<Option<Arc<Member<Sim>>>>>>;

/// Clients that go on until they are told to stop.
struct Clients {
    members: Members,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<Mutex<bool>>,
}

const CLIENTS: u64 = 4;

/// A client adds and reads in turns, at members that it tries at random.
async fn work(
    members: Members,
    client: folkmoot_coordination::ClientId,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<Mutex<bool>>,
) {
    let mut chance = Chance(client.0);
    let mut request = 1;
    while !*stop.lock().unwrap() {
        let sent = now();
        let added = chance.below(3) > 0;
        let value = loop {
            let member = {
                let members = members.lock().unwrap();
                members[usize::try_from(chance.below(members.len() as u64)).unwrap()].clone()
            };
            let Some(member) = member else {
                sleep(5).await;
                continue;
            };
            let answer =
                if added { member.propose(add(client, request)).await } else { member.read(&count_query()).await };
            match answer {
                Ok(reply) => break count(&reply),
                Err(ProposeError::NotLeader { .. }) => sleep(3).await,
                // An addition that may have happened is sent again under its number.
                Err(_) => sleep(10).await,
            }
        };
        request += u64::from(added);
        seen.lock().unwrap().push(Seen { sent, answered: now(), value, added });
        sleep(chance.below(10)).await;
    }
}

impl Clients {
    async fn start(world: &World) -> Self {
        let clients =
            Self { members: Arc::new(Mutex::new(world.members.clone())), seen: Arc::default(), stop: Arc::default() };
        for _ in 0..CLIENTS {
            let client = world.client().await;
            let (members, seen, stop) = (clients.members.clone(), clients.seen.clone(), clients.stop.clone());
            drop(Sim::spawn(work(members, client, seen, stop)));
        }
        clients
    }

    /// Tells them who runs.
    fn follow(&self, world: &World) {
        self.members.lock().unwrap().clone_from(&world.members);
    }
}

/// What is wrong with what clients saw, if anything.
fn judge(mut seen: Vec<Seen>, end: i64) -> Result<(), String> {
    let mut values: Vec<i64> = seen.iter().filter(|seen| seen.added).map(|seen| seen.value).collect();
    values.sort_unstable();
    let twice = values.windows(2).find(|pair| pair[0] == pair[1]);
    if let Some(pair) = twice {
        return Err(format!("two additions were answered {}", pair[0]));
    }
    // Every client has at most one addition whose answer it has not got.
    let answered = i64::try_from(values.len()).unwrap();
    if !(answered..=answered + i64::try_from(CLIENTS).unwrap()).contains(&end) {
        return Err(format!("{answered} additions were answered, the counter stands at {end}"));
    }
    // Whoever is answered before another one asks has seen less.
    seen.sort_by_key(|seen| seen.sent);
    let mut done: Vec<Seen> = seen.clone();
    done.sort_by_key(|seen| seen.answered);
    let (mut highest, mut next) = (0, 0);
    for one in &seen {
        while next < done.len() && done[next].answered < one.sent {
            highest = highest.max(done[next].value);
            next += 1;
        }
        if one.value < highest || (one.added && one.value == highest) {
            return Err(format!("{one:?} came after {highest} was seen"));
        }
    }
    Ok(())
}

/// Faults for some virtual seconds, then peace; `lies` makes disks report syncs that they do not make.
async fn run(mut world: World, seconds: u64, lies: bool) -> Result<(), String> {
    world.adjust = |settings| {
        settings.snapshot_every = 300;
        settings.log_kept = 50;
    };
    world.found(3).await;
    if lies {
        world.disks.iter().for_each(super::disk::FaultDisk::lie);
    }
    let clients = Clients::start(&world).await;
    let started = now();
    while started.elapsed() < Duration::from_secs(seconds) {
        let wait = 50 + world.chance.below(500);
        sleep(wait).await;
        let number = 1 + world.chance.below(3);
        match world.chance.below(7) {
            0 | 1 if world.runs(number) => world.crash(number).await,
            2 if world.runs(number) => world.kill(number).await,
            3 => world.part(&[number].into()),
            4 => world.net.heal(),
            // Beside everything else that may happen to it meanwhile.
            5 if world.runs(number) => {
                let (member, level) = (world.member(number), u32::try_from(world.chance.below(3)).unwrap());
                drop(Sim::spawn(async move { drop(member.retime(Timing::at(level)).await) }));
            }
            _ => {
                for number in world.numbers() {
                    if !world.runs(number) {
                        world.try_open(number).await.map_err(|error| error.to_string())?;
                    }
                }
            }
        }
        clients.follow(&world);
    }
    world.net.heal();
    for number in world.numbers() {
        if !world.runs(number) {
            world.try_open(number).await.map_err(|error| error.to_string())?;
        }
    }
    clients.follow(&world);
    sleep(1000).await;
    *clients.stop.lock().unwrap() = true;
    sleep(3000).await;
    world.settle().await;
    let leader = world.leader().await;
    let end = count(&world.member(leader).read(&count_query()).await.unwrap());
    assert!(end > 50, "only {end} additions in {seconds} seconds: the faults leave no time to work");
    let seen = clients.seen.lock().unwrap().clone();
    judge(seen, end)
}

#[test]
fn no_answered_addition_is_lost_and_no_read_is_stale() {
    let seeds = std::env::var("FOLKMOOT_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(3);
    for seed in 0..seeds {
        let result = simulate(seed, async |world| run(world, 8, false).await, 3);
        assert_eq!(result, Ok(()), "seed {seed}");
    }
}

/// The judge is worth something: disks that lie about syncs are found out.
#[test]
fn disks_that_lie_are_found_out() {
    let found = (0..10).any(|seed| {
        let run = || simulate(seed, async |world| run(world, 5, true).await, 3);
        std::panic::catch_unwind(run).map_or(true, |result| result.is_err())
    });
    assert!(found);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let trace = |seed| {
        let mut runtime = SimRuntime::with_seed(seed);
        runtime.record_trace(true);
        let mut world = None;
        runtime.block_on(async {
            let mut made = super::world::empty(seed, 3);
            let result = run_short(&mut made).await;
            world = Some(result);
        });
        (crc32fast::hash(runtime.take_trace().join("\n").as_bytes()), world.unwrap())
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1).0, trace(2).0);
}

async fn run_short(world: &mut World) -> Vec<u8> {
    world.found(3).await;
    let client = world.client().await;
    for request in 1..=20 {
        world.propose(add(client, request)).await;
        if request == 10 {
            let leader = world.leader().await;
            world.crash(leader).await;
            world.open(leader).await;
        }
    }
    world.settle().await;
    world.state(1)
}
