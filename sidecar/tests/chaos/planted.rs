//! The judge is worth something: real groups in which something is wrong on purpose are found out.

use super::group::{Group, Means, Node, RECOVERY};
use super::load::{Load, Reads};

/// Lets clients work for a while in which every lock is held.
fn work(load: &Load, group: &Group) {
    let served = load.progress(300, RECOVERY) && load.locks_all(load.holds(), RECOVERY);
    assert!(served, "clients are not served\n{}", group.logs());
}

/// Disks that acknowledge and forget: every process comes up with the data that it had a while ago. So does a group that
/// acknowledges before it has synced, when power goes.
#[test]
fn a_group_that_forgets_what_it_acknowledged_is_found_out() {
    let mut group = Group::start(3, Means::default());
    let mut load = Load::start(&group.endpoints(), 1, Reads::Current);
    work(&load, &group);
    group.reopen(Node::save_data);
    work(&load, &group);
    load.pause();
    group.reopen(Node::restore_data);
    load.resume();
    work(&load, &group);
    let violations = load.judge().violations;
    // What was counted is lost, and finished work is done again. (Whether a lock is granted again under a token that was used
    // depends on who asks for it first.)
    for kind in ["counter", "work"] {
        assert!(violations.iter().any(|text| text.starts_with(kind)), "no {kind} in {violations:#?}");
    }
}

/// Reads from what one agent knows, as if that were what the group knows. One agent is cut off, so it cannot.
#[test]
fn stale_reads_are_found_out() {
    let mut group = Group::start(3, Means { links: true, ..Means::default() });
    let load = Load::start(&group.endpoints(), 1, Reads::Stale);
    assert!(load.progress(200, RECOVERY), "clients are not served\n{}", group.logs());
    group.partition(&[1, 0, 0]);
    assert!(load.progress(600, RECOVERY), "clients are not served\n{}", group.logs());
    group.heal();
    group.wait_until_caught_up();
    let violations = load.judge().violations;
    let of_register = |text: &String| text.starts_with("register") && text.contains("no order of these operations");
    assert!(violations.iter().any(of_register), "no stale read in {violations:#?}");
}
