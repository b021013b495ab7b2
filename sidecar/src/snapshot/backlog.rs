//! Records that are not in the file yet: the newest one per member and clock.
//!
//! A snapshot says what is true at its end, so an older line about the same subject adds nothing to it. That bounds what
//! waits for a slow disk by the number of members, whatever happens meanwhile.

use std::collections::BTreeMap;

use folkmoot_serf::{NodeName, Record};

use crate::limits::SNAPSHOT_MEMBERS_WAITING;

/// What a line is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Member(NodeName),
    /// Stands beside the line that says it is not alive.
    Failure(NodeName),
    Clock,
    EventClock,
    QueryClock,
    Leave,
}

/// Records waiting to be written, each with its place in the order of arrival.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    records: BTreeMap<Subject, (u64, Record)>,
    arrived: u64,
    lost: u64,
}

impl Backlog {
    /// Adds a record, in place of an older one about the same subject. Members beyond [`SNAPSHOT_MEMBERS_WAITING`] are
    /// lost and counted: a later start then knows a peer too few, or tries one that is gone.
    pub fn push(&mut self, record: Record) {
        let subject = match &record {
            Record::Alive { name, .. } | Record::NotAlive { name } => Subject::Member(name.clone()),
            Record::Failed { name, .. } => Subject::Failure(name.clone()),
            Record::Clock(_) => Subject::Clock,
            Record::EventClock(_) => Subject::EventClock,
            Record::QueryClock(_) => Subject::QueryClock,
            Record::Leave => Subject::Leave,
        };
        let is_full = self.records.len() >= SNAPSHOT_MEMBERS_WAITING;
        if is_full
            && matches!(subject, Subject::Member(_) | Subject::Failure(_))
            && !self.records.contains_key(&subject)
        {
            self.lost = self.lost.saturating_add(1);
            return;
        }
        self.arrived = self.arrived.saturating_add(1);
        self.records.insert(subject, (self.arrived, record));
    }

    /// The records in order of arrival.
    pub fn into_records(self) -> impl Iterator<Item = Record> {
        let mut records: Vec<_> = self.records.into_values().collect();
        records.sort_unstable_by_key(|(arrived, _)| *arrived);
        records.into_iter().map(|(_, record)| record)
    }

    /// The lines in order of arrival, and how many.
    pub fn lines(&self) -> Vec<u8> {
        let mut records: Vec<_> = self.records.values().collect();
        records.sort_unstable_by_key(|(arrived, _)| *arrived);
        let mut lines = Vec::new();
        for (_, record) in records {
            record.write(&mut lines);
        }
        lines
    }

    /// Records waiting.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether the farewell waits, which is not to be held back.
    pub fn holds_leave(&self) -> bool {
        self.records.contains_key(&Subject::Leave)
    }

    /// Records lost so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use folkmoot_serf::LamportTime;
    use folkmoot_serf::records::{AfterLeave, Replay};
    use proptest::prelude::*;

    use super::*;

    fn name(number: usize) -> NodeName {
        NodeName(format!("n{number}").as_str().into())
    }

    fn alive(number: usize) -> Record {
        Record::Alive { name: name(number), address: "127.0.0.1:7946".parse().unwrap() }
    }

    fn failed(number: usize) -> Record {
        Record::Failed { name: name(number), address: "127.0.0.1:7946".parse().unwrap() }
    }

    fn record() -> impl Strategy<Value = Record> {
        prop_oneof![
            (0..4_usize).prop_map(alive),
            (0..4_usize).prop_map(|number| Record::NotAlive { name: name(number) }),
            (0..4_usize).prop_map(failed),
            (0..9_u64).prop_map(|time| Record::EventClock(LamportTime(time))),
            (0..9_u64).prop_map(|time| Record::QueryClock(LamportTime(time))),
        ]
    }

    proptest! {
        #[test]
        fn the_newest_lines_say_what_all_lines_say(
            mut records in prop::collection::vec(record(), 0..30),
            leaves in any::<bool>(),
        ) {
            // What the engine gives: clocks that grow, and after a leave nothing but the member clock.
            records.sort_by_key(|record| match record {
                Record::EventClock(time) | Record::QueryClock(time) => time.0,
                Record::Alive { .. }
                | Record::NotAlive { .. }
                | Record::Failed { .. }
                | Record::Clock(_)
                | Record::Leave => 4,
            });
            if leaves {
                records.extend([Record::Leave, Record::Clock(LamportTime(7))]);
            }
            let (mut all, mut backlog) = (Vec::new(), Backlog::default());
            for record in records {
                record.write(&mut all);
                backlog.push(record);
            }
            for after_leave in [AfterLeave::Forget, AfterLeave::Rejoin] {
                let expected = Replay::read(&all, after_leave).restored;
                prop_assert_eq!(Replay::read(&backlog.lines(), after_leave).restored, expected);
            }
        }
    }

    #[test]
    fn what_waits_is_bounded_by_the_members_and_what_is_lost_is_counted() {
        let mut backlog = Backlog::default();
        for time in 0..1_000 {
            backlog.push(Record::EventClock(LamportTime(time)));
        }
        assert_eq!((backlog.len(), backlog.lines()), (1, b"event-clock: 999\n".to_vec()));
        for number in 0..=SNAPSHOT_MEMBERS_WAITING {
            backlog.push(alive(number));
        }
        backlog.push(Record::NotAlive { name: name(0) });
        backlog.push(Record::Clock(LamportTime(1)));
        backlog.push(Record::Leave);
        assert_eq!((backlog.len(), backlog.lost()), (SNAPSHOT_MEMBERS_WAITING + 2, 2));
        assert!(backlog.lines().ends_with(b"\nnot-alive: n0\nclock: 1\nleave\n"));
    }
}
