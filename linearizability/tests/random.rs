//! Random histories: those of a real machine pass, damaged ones fail, and on small ones the search agrees with trying
//! every order.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on has failed")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for one variant and fails on the others")]

use std::collections::VecDeque;

use folkmoot_linearizability::models::{
    Counter, CounterCall, Queue, QueueAnswer, QueueCall, Register, RegisterAnswer, RegisterCall,
};
use folkmoot_linearizability::{History, Model, Operation, Verdict, check};

/// Few enough to be quick; every history below is judged within them or said to be unknown.
const STEPS: u64 = 60_000;

/// Numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A machine that really does what the model says.
trait Machine {
    type Call: Copy;
    type Answer: Copy;
    fn call(&mut self, random: &mut Random, number: u64) -> Self::Call;
    fn apply(&mut self, call: Self::Call) -> Self::Answer;
}

#[derive(Default)]
struct RealRegister {
    value: Option<(u64, u64)>,
    revision: u64,
}

impl Machine for RealRegister {
    type Call = RegisterCall;
    type Answer = RegisterAnswer;
    fn call(&mut self, random: &mut Random, number: u64) -> RegisterCall {
        match random.below(10) {
            0..4 => RegisterCall::Read,
            4..7 => RegisterCall::Write(number),
            7..9 => {
                let back = random.below(3);
                let expected = self.value.map(|(_, revision)| revision.saturating_sub(back));
                RegisterCall::CompareAndSet { expected, value: number }
            }
            _ => RegisterCall::Delete,
        }
    }
    fn apply(&mut self, call: RegisterCall) -> RegisterAnswer {
        match call {
            RegisterCall::CompareAndSet { expected, .. } if self.value.map(|(_, revision)| revision) != expected => {
                RegisterAnswer::Found(self.value)
            }
            RegisterCall::Write(value) | RegisterCall::CompareAndSet { value, .. } => {
                self.revision += 1;
                self.value = Some((value, self.revision));
                RegisterAnswer::Written(self.revision)
            }
            RegisterCall::Read => RegisterAnswer::Found(self.value),
            RegisterCall::Delete => RegisterAnswer::Deleted(self.value.take().is_some()),
        }
    }
}

#[derive(Default)]
struct RealCounter(i64);

impl Machine for RealCounter {
    type Call = CounterCall;
    type Answer = i64;
    fn call(&mut self, random: &mut Random, _: u64) -> CounterCall {
        if random.below(3) == 0 { CounterCall::Read } else { CounterCall::Add(1 + random.below(3).cast_signed()) }
    }
    fn apply(&mut self, call: CounterCall) -> i64 {
        if let CounterCall::Add(by) = call {
            self.0 += by;
        }
        self.0
    }
}

#[derive(Default)]
struct RealQueue(VecDeque<u64>);

impl Machine for RealQueue {
    type Call = QueueCall;
    type Answer = QueueAnswer;
    fn call(&mut self, random: &mut Random, number: u64) -> QueueCall {
        if random.below(2) == 0 { QueueCall::Get } else { QueueCall::Put(number) }
    }
    fn apply(&mut self, call: QueueCall) -> QueueAnswer {
        match call {
            QueueCall::Get => QueueAnswer::Taken(self.0.pop_front()),
            QueueCall::Put(value) => {
                self.0.push_back(value);
                QueueAnswer::Done
            }
        }
    }
}

/// Where a client of the generator is.
enum Phase<C, A> {
    Idle,
    Called(usize, C),
    Done(usize, A),
}

/// The history of clients that call a machine, in a random order of calls, effects and answers. One call in `lossy` gets
/// no answer (0: none), and happens or does not.
fn run<M: Machine>(
    mut machine: M,
    random: &mut Random,
    clients: u64,
    calls: u64,
    lossy: u64,
) -> History<M::Call, M::Answer> {
    let mut operations: Vec<Operation<M::Call, M::Answer>> = Vec::new();
    let mut phases: Vec<Phase<M::Call, M::Answer>> = (0..clients).map(|_| Phase::Idle).collect();
    let mut stamp = 0;
    while (operations.len() as u64) < calls || phases.iter().any(|phase| !matches!(phase, Phase::Idle)) {
        stamp += 1;
        let client = random.below(clients);
        let phase = &mut phases[client as usize];
        let lost = lossy > 0 && random.below(2 * lossy) == 0;
        *phase = match std::mem::replace(phase, Phase::Idle) {
            Phase::Idle if operations.len() as u64 >= calls => Phase::Idle,
            Phase::Idle => {
                let call = machine.call(random, stamp);
                operations.push(Operation { client, call, invoked: stamp, answered: None });
                Phase::Called(operations.len() - 1, call)
            }
            Phase::Called(..) if lost => Phase::Idle,
            Phase::Called(place, call) => Phase::Done(place, machine.apply(call)),
            Phase::Done(..) if lost => Phase::Idle,
            Phase::Done(place, answer) => {
                operations[place].answered = Some((stamp, answer));
                Phase::Idle
            }
        };
    }
    History { operations }
}

#[test]
fn histories_of_a_real_machine_pass() {
    let mut unknown = 0;
    for seed in 0..100 {
        let random = &mut Random(seed);
        let (clients, calls, lossy) =
            (1 + random.below(8), 1 + random.below(150), [0, 5, 20][random.below(3) as usize]);
        let queue = run(RealQueue::default(), random, clients, calls, lossy);
        let said = [
            check(&Register, &run(RealRegister::default(), random, clients, calls, lossy), STEPS),
            check(&Counter, &run(RealCounter::default(), random, clients, calls, lossy), STEPS),
            check(&Queue::of(&queue), &queue, STEPS),
        ];
        for verdict in said {
            assert!(!matches!(verdict, Verdict::Violation(_)), "seed {seed}: {verdict:?}");
            assert!(lossy == 5 || verdict == Verdict::Linearizable, "seed {seed}: {verdict:?}");
            unknown += u32::from(verdict != Verdict::Linearizable);
        }
    }
    assert!(unknown < 15, "{unknown} of 300 are too hard");
}

#[test]
fn a_long_history_of_eight_clients_is_judged() {
    let history = run(RealRegister::default(), &mut Random(7), 8, 5_000, 0);
    assert_eq!(check(&Register, &history, 20 * STEPS), Verdict::Linearizable);
}

/// Stale reads: an answer is replaced by what the register held before, when that had certainly been overwritten.
#[test]
fn reads_that_are_made_stale_fail() {
    let mut damaged = 0;
    for seed in 0..100 {
        let random = &mut Random(1_000 + seed);
        let mut history = run(RealRegister::default(), random, 4, 40, 20);
        let written = |operation: &Operation<RegisterCall, RegisterAnswer>| match (operation.call, &operation.answered)
        {
            (RegisterCall::Write(value), Some((stamp, RegisterAnswer::Written(revision)))) => {
                Some((value, *revision, *stamp))
            }
            _ => None,
        };
        let writes: Vec<_> = history.operations.iter().filter_map(written).collect();
        let read = history.operations.iter().rposition(|one| one.call == RegisterCall::Read && one.answered.is_some());
        let Some(read) = read else { continue };
        let before: Vec<_> = writes.iter().filter(|(_, _, stamp)| *stamp < history.operations[read].invoked).collect();
        let Some(latest) = before.iter().map(|(_, revision, _)| *revision).max() else { continue };
        let Some((value, revision, _)) = before.iter().find(|(_, revision, _)| *revision < latest) else { continue };
        let answered = history.operations[read].until();
        history.operations[read].answered = Some((answered, RegisterAnswer::Found(Some((*value, *revision)))));
        damaged += 1;
        assert!(matches!(check(&Register, &history, STEPS), Verdict::Violation(_)), "seed {seed}");
    }
    assert!(damaged > 50, "{damaged}");
}

/// Lost and doubled elements, lost and doubled additions.
#[test]
fn answers_that_no_machine_gives_fail() {
    let mut caught = 0;
    for seed in 0..100 {
        let random = &mut Random(2_000 + seed);
        let mut counts = run(RealCounter::default(), random, 4, 40, 0);
        let place = random.below(40) as usize;
        let Some((_, answer)) = &mut counts.operations[place].answered else { panic!("lossless") };
        *answer += 1_000;
        assert!(matches!(check(&Counter, &counts, STEPS), Verdict::Violation(_)), "seed {seed}");

        let mut queue = run(RealQueue::default(), random, 4, 60, 0);
        let taken = |one: &Operation<QueueCall, QueueAnswer>| match one.answered {
            Some((_, QueueAnswer::Taken(Some(value)))) => Some(value),
            _ => None,
        };
        let first = queue.operations.iter().find_map(taken);
        let last = queue.operations.iter().rposition(|one| taken(one).is_some());
        let (Some(first), Some(last)) = (first, last) else { continue };
        if taken(&queue.operations[last]) != Some(first) {
            let stamp = queue.operations[last].until();
            queue.operations[last].answered = Some((stamp, QueueAnswer::Taken(Some(first))));
            let verdict = check(&Queue::of(&queue), &queue, STEPS);
            assert_ne!(verdict, Verdict::Linearizable, "seed {seed}");
            caught += u32::from(matches!(verdict, Verdict::Violation(_)));
        }
    }
    assert!(caught > 60, "{caught} of 100 queues");
}

/// Every order of every subset, without any cleverness.
fn brute_force<M: Model>(model: &M, operations: &[Operation<M::Call, M::Answer>], state: &M::State, used: u32) -> bool {
    let left = |place: usize| used & (1 << place) == 0;
    let known_left = (0..operations.len()).any(|place| left(place) && operations[place].answered.is_some());
    if !known_left {
        return true;
    }
    (0..operations.len()).filter(|place| left(*place)).any(|place| {
        let operation = &operations[place];
        let blocked = (0..operations.len()).any(|other| left(other) && operations[other].until() < operation.invoked);
        let answer = operation.answered.as_ref().map(|(_, answer)| answer);
        !blocked
            && model
                .step(state, &operation.call, answer)
                .is_some_and(|after| brute_force(model, operations, &after, used | (1 << place)))
    })
}

#[test]
fn the_search_agrees_with_trying_every_order() {
    let mut bad = 0;
    for seed in 0..3_000 {
        let random = &mut Random(3_000 + seed);
        let mut registers = run(RealRegister::default(), random, 3, 6, 4);
        let mut queue = run(RealQueue::default(), random, 3, 6, 4);
        // Two answers of one history change places: sometimes still explained, more often not.
        let (one, other) = (random.below(6) as usize, random.below(6) as usize);
        swap(&mut registers, one, other);
        swap(&mut queue, one, other);
        let expected = brute_force(&Register, &registers.operations, &Register.start(), 0);
        let found = check(&Register, &registers, STEPS);
        assert_eq!(found == Verdict::Linearizable, expected, "seed {seed}: {registers:#?} {found:?}");
        bad += u32::from(!expected);
        let expected = brute_force(&Queue::default(), &queue.operations, &VecDeque::new(), 0);
        let found = check(&Queue::of(&queue), &queue, STEPS);
        assert_eq!(found == Verdict::Linearizable, expected, "seed {seed}: {queue:#?} {found:?}");
        bad += u32::from(!expected);
    }
    assert!((300..5_700).contains(&bad), "{bad} of 6000 are bad");
}

fn swap<C, A: Copy>(history: &mut History<C, A>, one: usize, other: usize) {
    let answer = |history: &History<C, A>, place: usize| history.operations[place].answered;
    let (first, second) = (answer(history, one), answer(history, other));
    if let (Some((first_stamp, first)), Some((second_stamp, second))) = (first, second) {
        history.operations[one].answered = Some((first_stamp, second));
        history.operations[other].answered = Some((second_stamp, first));
    }
}
