//! Histories whose verdict is known by hand, among them those of the bugs that the checker is there for: stale reads,
//! acknowledgements that came too early, locks granted twice.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on has failed")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for one variant and fails on the others")]

use folkmoot_linearizability::holds::{self, Hold};
use folkmoot_linearizability::models::{
    Counter, CounterCall, Queue, QueueAnswer, QueueCall, Register, RegisterAnswer, RegisterCall,
};
use folkmoot_linearizability::work::{Ledger, Outcome};
use folkmoot_linearizability::{History, Model, Operation, Recorder, Verdict, check, search::STEPS_MAX};

type Row<C, A> = (u64, u64, Option<u64>, C, Option<A>);

/// Rows of client, call stamp, answer stamp, call and answer.
fn history<C: Copy, A: Copy>(rows: &[Row<C, A>]) -> History<C, A> {
    let operation = |(client, invoked, until, call, answer): &Row<C, A>| Operation {
        client: *client,
        call: *call,
        invoked: *invoked,
        answered: until.zip(*answer),
    };
    History { operations: rows.iter().map(operation).collect() }
}

fn verdict<M: Model>(model: &M, rows: &[Row<M::Call, M::Answer>]) -> Verdict
where
    M::Call: Copy,
    M::Answer: Copy,
{
    check(model, &history(rows), STEPS_MAX)
}

fn good<M: Model>(model: &M, rows: &[Row<M::Call, M::Answer>])
where
    M::Call: Copy,
    M::Answer: Copy,
{
    assert_eq!(verdict(model, rows), Verdict::Linearizable);
}

fn bad<M: Model>(model: &M, rows: &[Row<M::Call, M::Answer>]) -> String
where
    M::Call: Copy,
    M::Answer: Copy,
{
    match verdict(model, rows) {
        Verdict::Violation(text) => text,
        other => panic!("{other:?}"),
    }
}

use RegisterAnswer::{Deleted, Found, Written};
use RegisterCall::{CompareAndSet, Delete, Read, Write};

#[test]
fn overlapping_writes_may_take_effect_in_either_order() {
    let writes = [(1, 1, Some(4), Write(10), Some(Written(5))), (2, 2, Some(3), Write(20), Some(Written(4)))];
    good(&Register, &[writes[0], writes[1], (1, 5, Some(6), Read, Some(Found(Some((10, 5)))))]);
    bad(&Register, &[writes[0], writes[1], (1, 5, Some(6), Read, Some(Found(Some((20, 4)))))]);
}

#[test]
fn a_stale_read_is_caught_and_shown_alone() {
    let mut rows = vec![(1, 1, Some(2), Write(10), Some(Written(1))), (1, 3, Some(4), Write(20), Some(Written(2)))];
    for stamp in 0..20 {
        rows.push((2, 10 + 2 * stamp, Some(11 + 2 * stamp), Read, Some(Found(Some((20, 2))))));
    }
    rows.push((3, 100, Some(101), Read, Some(Found(Some((10, 1))))));
    rows.push((3, 102, Some(103), Write(30), Some(Written(3))));
    let text = bad(&Register, &rows);
    assert_eq!(
        text,
        "no order of these operations explains their answers:\n\
         \x20            1..2  client 1   Write(10) -> Written(1)\n\
         \x20            3..4  client 1   Write(20) -> Written(2)\n\
         \x20        100..101  client 3   Read -> Found(Some((10, 1)))  <- cannot be explained\n\
         \x20 an order that explains 2 of 3 answers ends with the state RegisterState { value: Some(20), revision: Is(2) }\n"
    );
}

#[test]
fn an_acknowledged_write_that_is_lost_is_caught() {
    let rows = [(1, 1, Some(2), Write(10), Some(Written(1))), (2, 3, Some(4), Read, Some(Found(None)))];
    bad(&Register, &rows);
    good(&Register, &[(1, 1, None, Write(10), None), rows[1]]);
}

#[test]
fn a_write_of_unknown_outcome_may_happen_later_or_never() {
    let lost = (1, 1, None, Write(10), None);
    let other = (2, 2, Some(3), Write(20), Some(Written(4)));
    let read = |client, stamp, found| (client, stamp, Some(stamp + 1), Read, Some(Found(Some(found))));
    good(&Register, &[lost, other, read(2, 4, (20, 4))]);
    good(&Register, &[lost, other, read(2, 4, (20, 4)), read(2, 6, (10, 7)), read(3, 8, (10, 7))]);
    bad(&Register, &[lost, other, read(2, 4, (20, 4)), read(2, 6, (10, 7)), read(3, 8, (20, 4))]);
    bad(&Register, &[lost, other, read(2, 4, (20, 4)), read(2, 6, (10, 3))]);
}

#[test]
fn compare_and_set_succeeds_once_per_revision() {
    let first = (1, 1, Some(2), Write(10), Some(Written(1)));
    let set = |client, stamp, until, value, answer| {
        (client, stamp, Some(until), CompareAndSet { expected: Some(1), value }, Some(answer))
    };
    good(&Register, &[first, set(2, 3, 6, 20, Written(2)), set(3, 4, 5, 30, Found(Some((20, 2))))]);
    bad(&Register, &[first, set(2, 3, 6, 20, Written(2)), set(3, 4, 5, 30, Written(3))]);
    bad(&Register, &[first, set(2, 3, 4, 20, Found(Some((10, 1))))]);
    let absent = CompareAndSet { expected: None, value: 40 };
    good(&Register, &[first, (1, 3, Some(4), Delete, Some(Deleted(true))), (1, 5, Some(6), absent, Some(Written(3)))]);
    bad(&Register, &[first, (1, 3, Some(4), absent, Some(Written(3)))]);
    bad(&Register, &[first, (1, 3, Some(4), Delete, Some(Deleted(false)))]);
}

#[test]
fn revisions_only_grow() {
    let rows = [(1, 1, Some(2), Write(10), Some(Written(5))), (1, 3, Some(4), Write(20), Some(Written(4)))];
    bad(&Register, &rows);
}

#[test]
fn a_counter_adds_every_acknowledged_amount_once() {
    use CounterCall::{Add, Read};
    good(
        &Counter,
        &[(1, 1, Some(4), Add(2), Some(5)), (2, 2, Some(3), Add(3), Some(3)), (1, 5, Some(6), Read, Some(5))],
    );
    bad(&Counter, &[(1, 1, Some(2), Add(2), Some(2)), (2, 3, Some(4), Add(3), Some(3))]);
    bad(&Counter, &[(1, 1, Some(2), Add(2), Some(4)), (2, 3, Some(4), Read, Some(4))]);
    good(&Counter, &[(1, 1, None, Add(2), None), (2, 3, Some(4), Add(3), Some(3)), (2, 5, Some(6), Read, Some(5))]);
}

#[test]
fn many_unknown_outcomes_of_one_kind_cost_little() {
    let mut rows: Vec<_> = (0..200).map(|client| (client, client, None, CounterCall::Add(1), None)).collect();
    rows.push((999, 1000, Some(1001), CounterCall::Read, Some(150)));
    good(&Counter, &rows);
    rows.push((999, 1002, Some(1003), CounterCall::Read, Some(149)));
    bad(&Counter, &rows);
}

#[test]
fn a_queue_gives_each_element_once_and_in_order() {
    use {QueueAnswer::Done, QueueAnswer::Taken, QueueCall::Get, QueueCall::Put};
    let puts = [(1, 1, Some(2), Put(1), Some(Done)), (1, 3, Some(4), Put(2), Some(Done))];
    let get = |client, stamp, until, taken| (client, stamp, Some(until), Get, Some(Taken(taken)));
    good(&Queue::default(), &[puts[0], puts[1], get(2, 5, 8, Some(2)), get(3, 6, 7, Some(1)), get(2, 9, 10, None)]);
    bad(&Queue::default(), &[puts[0], puts[1], get(2, 5, 6, Some(2))]);
    bad(&Queue::default(), &[puts[0], puts[1], get(2, 5, 6, Some(1)), get(3, 7, 8, Some(1))]);
    bad(&Queue::default(), &[puts[0], puts[1], get(2, 5, 6, None)]);
    good(&Queue::default(), &[puts[0], puts[1], (2, 5, None, Get, None), get(3, 7, 8, Some(2))]);
}

#[test]
fn a_search_without_end_says_that_it_does_not_know() {
    let hard: Vec<_> = (0..30)
        .map(|client| (client, 1 + client, None, CounterCall::Add(1 << client), None))
        .chain([(99, 500, Some(501), CounterCall::Read, Some(-1))])
        .collect();
    assert!(matches!(check(&Counter, &history(&hard), 10_000), Verdict::Unknown { .. }));
}

#[test]
fn a_recorder_puts_calls_and_answers_into_one_order() {
    let recorder = Recorder::default();
    let first = recorder.invoke(1, Write(10));
    let second = recorder.invoke(2, Read);
    let never = recorder.invoke(3, Write(20));
    recorder.answer(second, Found(None));
    recorder.answer(first, Written(1));
    recorder.withdraw(never);
    drop(recorder.invoke(4, Delete));
    let operations = recorder.history().operations;
    assert_eq!(operations.len(), 3);
    assert!(operations[0].until() > operations[1].until() && operations[1].invoked > operations[0].invoked);
    assert_eq!(operations[2].answered, None);
    let keys = recorder.history().by_key(|call| *call == Read);
    assert_eq!((keys[&true].operations.len(), keys[&false].operations.len()), (1, 2));
}

fn hold(client: u64, token: u64, asked: u64, granted: u64, given_up: Option<u64>) -> Hold {
    Hold { client, token, asked, granted, given_up }
}

#[test]
fn a_lock_granted_twice_is_caught() {
    let first = hold(1, 10, 1, 2, Some(5));
    assert_eq!(holds::check(&[first.clone(), hold(2, 11, 3, 6, Some(8))]), Ok(()));
    let twice = holds::check(&[first.clone(), hold(2, 11, 3, 4, Some(8))]).unwrap_err();
    assert!(twice.starts_with("held by two at once: Hold { client: 1, token: 10,"), "{twice}");
    assert!(holds::check(&[hold(1, 10, 1, 2, None), hold(2, 11, 3, 4, Some(8))]).is_err(), "never given up");
    assert!(holds::check(&[first.clone(), hold(2, 10, 6, 7, Some(8))]).unwrap_err().contains("one token"));
    assert!(holds::check(&[first.clone(), hold(2, 9, 6, 7, Some(8))]).unwrap_err().contains("lower token"));
    assert_eq!(holds::check(&[first, hold(2, 11, 1, 4, Some(3))]), Ok(()), "given up before it was learned of");
}

#[test]
fn two_holders_inside_a_longer_hold_are_all_found() {
    let holds = [hold(1, 30, 1, 10, Some(20)), hold(2, 10, 2, 30, Some(90)), hold(3, 20, 3, 12, Some(14))];
    assert!(holds::check(&holds).unwrap_err().contains("held by two at once"));
}

#[test]
fn work_is_neither_lost_nor_done_twice() {
    let claim = |token, asked, given_up| (7, hold(token, token, asked, asked + 1, Some(given_up)));
    let done = |answered| (7, Outcome::Accepted { answered });
    let good = Ledger {
        put: [7].into(),
        claims: vec![claim(1, 1, 5), claim(2, 6, 9)],
        completions: vec![(7, Outcome::Stale), done(10)],
        ..Ledger::default()
    };
    assert_eq!(good.check(), Ok(()));
    let text = |ledger: Ledger| ledger.check().unwrap_err();
    assert_eq!(text(Ledger { completions: vec![], ..good.clone() }), "item 7 was put and is lost\n");
    assert_eq!(text(Ledger { completions: vec![done(9), done(10)], ..good.clone() }), "item 7 was completed twice\n");
    assert!(text(Ledger { left: [7].into(), ..good.clone() }).contains("still there"));
    assert!(text(Ledger { completions: vec![done(5)], ..good.clone() }).contains("claimed again"));
    assert!(text(Ledger { put: [].into(), ..good.clone() }).contains("never put"));
    assert!(text(Ledger { claims: vec![claim(1, 1, 8), claim(2, 6, 9)], ..good.clone() }).contains("held by two"));
    let unknown = Ledger { completions: vec![(7, Outcome::Unknown)], ..good.clone() };
    assert_eq!(unknown.check(), Ok(()));
    assert_eq!(Ledger { left: [7].into(), ..unknown }.check(), Ok(()), "an unknown completion may not have happened");
}
