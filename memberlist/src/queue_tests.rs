//! Tests of the transmit-limited queue: Go's `queue_test.go` in behaviour (spec 16.1).

use super::*;

fn queue_with(messages: &[&str]) -> TransmitLimitedQueue {
    let mut queue = TransmitLimitedQueue::new(1);
    for message in messages {
        enqueue(&mut queue, message);
    }
    queue
}

fn enqueue(queue: &mut TransmitLimitedQueue, message: &str) {
    queue.enqueue(None, Bytes::copy_from_slice(message.as_bytes()), None);
}

fn named(queue: &mut TransmitLimitedQueue, key: &str, message: &str, id: u64) {
    queue.enqueue(Some(key.into()), Bytes::copy_from_slice(message.as_bytes()), Some(BroadcastId(id)));
}

fn take(queue: &mut TransmitLimitedQueue, limit: usize, node_count: usize) -> Vec<String> {
    queue.take(2, limit, node_count).iter().map(|message| String::from_utf8_lossy(message).into_owned()).collect()
}

#[test]
fn longest_goes_first_and_newest_among_equals() {
    let mut queue = queue_with(&["aa", "bbbb", "cc", "dddd"]);
    assert_eq!(take(&mut queue, 1000, 1), ["dddd", "bbbb", "cc", "aa"]);
}

#[test]
fn fewer_transmissions_go_first() {
    let mut queue = TransmitLimitedQueue::new(3);
    enqueue(&mut queue, "long and old");
    assert_eq!(take(&mut queue, 1000, 1), ["long and old"]);
    enqueue(&mut queue, "new");
    assert_eq!(take(&mut queue, 1000, 1), ["new", "long and old"]);
}

#[test]
fn byte_limit_counts_overhead_and_lets_shorter_ones_fill_the_rest() {
    let mut queue = queue_with(&["12345678", "1234567", "12"]);
    // 8 + 2 = 10, then 5 left: the 7 does not fit, the 2 does.
    assert_eq!(take(&mut queue, 15, 1), ["12345678", "12"]);
    assert_eq!(take(&mut queue, 15, 1), ["1234567"]);
    assert!(queue.is_empty());
}

#[test]
fn nothing_fits_below_the_overhead() {
    let mut queue = queue_with(&["", "a"]);
    assert!(take(&mut queue, 1, 1).is_empty());
    assert_eq!(take(&mut queue, 2, 1), [""]);
}

#[test]
fn too_long_a_message_stays() {
    let mut queue = queue_with(&["far too long for this packet"]);
    assert!(take(&mut queue, 10, 1).is_empty());
    assert_eq!(queue.len(), 1);
}

#[test]
fn message_is_retired_at_the_transmit_limit() {
    let mut queue = TransmitLimitedQueue::new(2);
    named(&mut queue, "node", "message", 9);
    for _ in 0..3 {
        assert_eq!(take(&mut queue, 100, 10).len(), 1);
        assert!(queue.drain_finished().is_empty());
    }
    assert_eq!(take(&mut queue, 100, 10).len(), 1);
    assert_eq!(queue.drain_finished(), [BroadcastId(9)]);
    assert!(queue.drain_finished().is_empty(), "an end is told once");
    assert!(take(&mut queue, 100, 10).is_empty());
}

#[test]
fn among_zero_nodes_a_message_is_sent_once() {
    let mut queue = queue_with(&["a"]);
    assert_eq!(take(&mut queue, 100, 0).len(), 1);
    assert!(queue.is_empty());
}

#[test]
fn newer_message_of_a_name_replaces_the_old_one_and_ends_it() {
    let mut queue = TransmitLimitedQueue::new(4);
    named(&mut queue, "foo", "1", 1);
    named(&mut queue, "bar", "2", 2);
    named(&mut queue, "foo", "3", 3);
    assert_eq!(queue.len(), 2);
    assert_eq!(queue.drain_finished(), [BroadcastId(1)]);
    assert_eq!(take(&mut queue, 100, 1), ["3", "2"]);
}

#[test]
fn replacing_works_after_some_transmissions() {
    let mut queue = TransmitLimitedQueue::new(4);
    named(&mut queue, "foo", "old", 1);
    take(&mut queue, 100, 1);
    take(&mut queue, 100, 1);
    named(&mut queue, "foo", "new", 2);
    assert_eq!(take(&mut queue, 100, 1), ["new"]);
    assert_eq!(queue.len(), 1);
}

#[test]
fn unnamed_messages_replace_nothing() {
    let mut queue = queue_with(&["same", "same"]);
    assert_eq!(take(&mut queue, 100, 1).len(), 2);
}

#[test]
fn prune_drops_the_worst_and_ends_them() {
    let mut queue = TransmitLimitedQueue::new(4);
    named(&mut queue, "sent", "sent once already", 1);
    take(&mut queue, 100, 1);
    named(&mut queue, "short", "s", 2);
    named(&mut queue, "long", "long", 3);
    assert_eq!(queue.prune(1), 2);
    assert_eq!(queue.drain_finished(), [BroadcastId(1), BroadcastId(2)]);
    assert_eq!(take(&mut queue, 100, 1), ["long"]);
    assert_eq!(queue.prune(5), 0);
}

#[test]
fn ids_start_again_when_the_queue_is_empty() {
    let mut queue = queue_with(&["a", "b"]);
    assert_eq!(queue.next_id, 3);
    take(&mut queue, 100, 1);
    assert_eq!(queue.next_id, 1);
}

#[test]
fn lone_message_held_for_another_round_keeps_its_place_to_itself() {
    let mut queue = TransmitLimitedQueue::new(4);
    enqueue(&mut queue, "first");
    take(&mut queue, 100, 1);
    enqueue(&mut queue, "other");
    assert_eq!(take(&mut queue, 8, 1), ["other"], "room for one only: both have been sent once");
    assert_eq!(queue.len(), 2);
}

#[test]
fn ten_thousand_messages_drain_in_order_of_length() {
    let mut queue = TransmitLimitedQueue::new(1);
    for number in 0..10_000_usize {
        queue.enqueue(Some(format!("node-{number}").into()), Bytes::from(vec![0; number % 50]), None);
    }
    let mut total = 0;
    for _ in 0..10_000 {
        let taken = queue.take(2, 1400, 5);
        assert!(taken.iter().map(|message| message.len() + 2).sum::<usize>() <= 1400);
        total += taken.len();
        if queue.is_empty() {
            break;
        }
    }
    assert_eq!(total, 10_000);
}
