//! One member alone with the machine: what it does where the model (`model.rs`) has nothing to choose.

use super::*;
use crate::founding::{Answer, Output, decode, encode};

const FRESH: ClusterId = ClusterId(0xf0);
const SECOND: Duration = Duration::from_secs(1);

fn peer(id: u64) -> Peer {
    let port = u16::try_from(4_000 + id).unwrap();
    Peer { id: NodeId(id), name: format!("n{id}"), address: std::net::SocketAddr::from(([127, 0, 33, 1], port)) }
}

fn seen(id: u64, cluster: Option<u64>) -> Seen {
    Seen { peer: peer(id), alive: true, cluster: cluster.map(ClusterId), expect: Some(3) }
}

fn member(expect: Option<u8>, alone: bool, record: Record) -> Founding {
    Founding::new(Duration::ZERO, peer(5), Rule { expect, alone }, record)
}

/// Looks for five seconds, keeping what is to be kept, and returns all else that was wanted.
fn run(founding: &mut Founding, seen: &[Seen]) -> Vec<Output> {
    let mut outputs = Vec::new();
    for quarter in 0..20 {
        let now = Duration::from_millis(250 * quarter);
        founding.look(now, seen, FRESH);
        while let Some(output) = founding.poll() {
            if matches!(output, Output::Keep(_)) {
                founding.kept(now, Ok(()));
            } else {
                outputs.push(output);
            }
        }
    }
    outputs
}

fn proposal() -> Proposal {
    Proposal { cluster: ClusterId(9), proposer: NodeId(1), voters: vec![peer(1), peer(3), peer(5)] }
}

/// The answer to a request, kept first if it is a promise.
fn answer(founding: &mut Founding, from: u64, request: Request) -> Answer {
    founding.asked(NodeId(from), 1, request);
    loop {
        match founding.poll().unwrap() {
            Output::Keep(_) => founding.kept(SECOND, Ok(())),
            Output::Reply { answer, .. } => return answer,
            Output::Ask { .. } | Output::Found(_) | Output::Join(_) | Output::Tell(_) => {}
        }
    }
}

#[test]
fn who_has_nobody_to_join_founds_alone_and_who_has_waits() {
    let mut alone = member(None, true, Record::Free);
    let voters = vec![peer(5)];
    let expected = Proposal { cluster: FRESH, proposer: NodeId(5), voters };
    assert_eq!(run(&mut alone, &[]), [Output::Found(expected.clone())]);
    assert_eq!(alone.record(), &Record::Founded(expected));
    let mut waiting = member(None, false, Record::Free);
    assert_eq!(run(&mut waiting, &[seen(1, None)]), [Output::Tell(Note::NobodyThere)]);
}

#[test]
fn a_group_in_sight_is_joined_and_of_two_neither() {
    let mut late = member(Some(3), false, Record::Free);
    assert_eq!(run(&mut late, &[seen(1, Some(7)), seen(2, None)]), [Output::Join(ClusterId(7))]);
    let mut torn = member(None, false, Record::Free);
    let two = Output::Tell(Note::TwoGroups(ClusterId(7), ClusterId(8)));
    assert_eq!(run(&mut torn, &[seen(1, Some(8)), seen(2, Some(7))]), [two]);
}

#[test]
fn a_group_whose_members_have_failed_is_waited_for() {
    let mut member = member(Some(3), false, Record::Free);
    let failed = Seen { alive: false, ..seen(9, Some(7)) };
    assert_eq!(run(&mut member, &[failed, seen(6, None), seen(7, None)]), [Output::Tell(Note::NobodyThere)]);
}

#[test]
fn a_promise_is_kept_before_it_is_given_and_holds_against_all_others() {
    let mut member = member(Some(3), false, Record::Free);
    member.asked(NodeId(1), 1, Request::Promise(proposal()));
    assert_eq!(member.poll(), Some(Output::Keep(Record::Promised(proposal()))));
    assert_eq!(member.poll(), None, "no answer before it is durable");
    member.asked(NodeId(3), 2, Request::Outcome(ClusterId(9)));
    assert_eq!(member.poll(), Some(Output::Reply { question: 2, answer: Answer::Busy }));
    member.kept(SECOND, Ok(()));
    assert_eq!(member.poll(), Some(Output::Reply { question: 1, answer: Answer::Promised }));
    let other = Proposal { cluster: ClusterId(10), proposer: NodeId(3), ..proposal() };
    let refused = answer(&mut member, 3, Request::Promise(other));
    assert_eq!(refused, Answer::Refused(Refusal::Promised(ClusterId(9))));
    assert_eq!(answer(&mut member, 1, Request::Promise(proposal())), Answer::Promised);
}

#[test]
fn only_the_proposer_ends_a_promise() {
    let mut held = member(Some(3), false, Record::Promised(proposal()));
    held.answered(SECOND, NodeId(3), ClusterId(9), Some(Answer::GivenUp));
    held.answered(SECOND, NodeId(1), ClusterId(8), Some(Answer::GivenUp));
    held.answered(SECOND, NodeId(3), ClusterId(9), Some(Answer::Exists(proposal())));
    held.asked(NodeId(3), 1, Request::Exists(proposal()));
    assert_eq!(held.poll(), Some(Output::Reply { question: 1, answer: Answer::Pending }));
    assert_eq!(held.poll(), None);
    held.answered(SECOND, NodeId(1), ClusterId(9), Some(Answer::GivenUp));
    assert_eq!(held.poll(), Some(Output::Keep(Record::Free)));
}

#[test]
fn proposals_that_make_no_sense_are_refused() {
    let mut member = member(Some(3), false, Record::Free);
    let cases = [
        Proposal { voters: vec![peer(1), peer(3)], ..proposal() },
        Proposal { voters: vec![peer(3), peer(1), peer(5)], ..proposal() },
        Proposal { voters: vec![peer(1), peer(1), peer(5)], ..proposal() },
        Proposal { proposer: NodeId(2), ..proposal() },
        Proposal { voters: vec![peer(1), peer(3), peer(4)], ..proposal() },
        Proposal { voters: Vec::new(), ..proposal() },
    ];
    for case in cases {
        let refused = answer(&mut member, case.proposer.0, Request::Promise(case.clone()));
        assert!(matches!(refused, Answer::Refused(_)), "{case:?}");
    }
    let stranger = answer(&mut member, 3, Request::Promise(proposal()));
    assert_eq!(stranger, Answer::Refused(Refusal::Unsound), "a proposal of another's");
    assert_eq!(member.record(), &Record::Free);
}

#[test]
fn a_disk_that_fails_ends_our_part() {
    let mut member = member(Some(3), false, Record::Free);
    member.asked(NodeId(1), 1, Request::Promise(proposal()));
    member.kept(SECOND, Err("disk full".to_owned()));
    assert_eq!(member.poll(), Some(Output::Keep(Record::Promised(proposal()))));
    assert_eq!(member.poll(), Some(Output::Tell(Note::Halted("disk full".to_owned()))));
    member.asked(NodeId(1), 2, Request::Promise(proposal()));
    assert_eq!(member.poll(), Some(Output::Reply { question: 2, answer: Answer::Busy }));
    assert_eq!(run(&mut member, &[seen(1, Some(7))]), []);
}

#[test]
fn other_expectations_are_named() {
    let mut member = member(Some(3), false, Record::Free);
    let differs = Seen { expect: Some(2), ..seen(1, None) };
    let others =
        [differs.clone(), Seen { expect: Some(2), ..seen(2, None) }, Seen { expect: Some(2), ..seen(3, None) }];
    let note = Note::ExpectDiffers { peer: differs.peer, theirs: Some(2) };
    assert_eq!(run(&mut member, &others), [Output::Tell(note)]);
}

#[test]
fn messages_survive_their_bytes_and_nothing_else_is_one() {
    for request in [Request::Promise(proposal()), Request::Exists(proposal()), Request::Outcome(ClusterId(9))] {
        let bytes = encode(&(NodeId(1), &request)).unwrap();
        assert_eq!(decode::<(NodeId, Request)>(&bytes), Ok((NodeId(1), request)));
        for length in 0..bytes.len() {
            assert!(decode::<(NodeId, Request)>(&bytes[..length]).is_err());
        }
        let later = [&[2], &bytes[1..]].concat();
        assert!(decode::<(NodeId, Request)>(&later).is_err());
    }
}
