//! Where entries lie: not each of them, but some, from which the others are found by reading on. Bounded by the bytes of the
//! log, not by the number of its entries.

use std::collections::VecDeque;

use crate::in_force::{Change, Step, behind};
use crate::limits::SIGNPOST_BYTES;

/// The places of the log's entries.
///
/// From one signpost up to the index of the next, entries follow one another in one segment: whatever breaks that (another
/// segment, entries that went) has the next entry put up a signpost. What was truncated may lie behind them, and is never
/// reached.
#[derive(Debug)]
pub(crate) struct Index {
    signposts: VecDeque<Signpost>,
    /// The index of the next entry.
    end: u64,
    /// The next entry puts up a signpost.
    broken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signpost {
    index: u64,
    segment: u64,
    offset: u64,
}

/// Entries that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) segment: u64,
    /// Where the first of them begins.
    pub(crate) offset: u64,
    /// The index of the first.
    pub(crate) first: u64,
    /// The index behind the last.
    pub(crate) end: u64,
}

impl Index {
    /// Of no entries; the next one has the index `end`.
    pub(crate) fn new(end: u64) -> Self {
        Self { signposts: VecDeque::new(), end, broken: true }
    }

    /// The index of the next entry.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Takes what was written at `offset` of `segment`.
    pub(crate) fn take(&mut self, segment: u64, offset: u64, step: &Step) {
        let end = step.end(self.end);
        match step {
            Step::Entry(log_id) => {
                let near = self
                    .signposts
                    .back()
                    .is_some_and(|last| last.segment == segment && offset.saturating_sub(last.offset) < SIGNPOST_BYTES);
                if self.broken || !near {
                    self.signposts.push_back(Signpost { index: log_id.index, segment, offset });
                    self.broken = false;
                }
            }
            Step::Change(Change::TruncateAfter(last)) => {
                let cut = behind(*last);
                while self.signposts.pop_back_if(|signpost| signpost.index >= cut).is_some() {}
                self.broken = true;
            }
            Step::Change(Change::Purge(_)) => {
                // Those before it go with their segments, unless nothing stays.
                if end > self.end {
                    self.signposts.clear();
                }
                self.broken = true;
            }
            Step::Change(
                Change::Owner(_) | Change::Timing(_) | Change::Vote(_) | Change::Committed(_) | Change::Snapshot(_),
            ) => {}
        }
        self.end = end;
    }

    /// The stretch with entry `index`; `None` if it is not there any more or not yet.
    pub(crate) fn find(&self, index: u64) -> Option<Stretch> {
        if index >= self.end {
            return None;
        }
        let next = self.signposts.partition_point(|signpost| signpost.index <= index);
        let signpost = self.signposts.get(next.checked_sub(1)?)?;
        let end = self.signposts.get(next).map_or(self.end, |next| next.index);
        let Signpost { index: first, segment, offset } = *signpost;
        Some(Stretch { segment, offset, first, end })
    }

    /// Forgets the entries in segments before `segment`.
    pub(crate) fn forget(&mut self, segment: u64) {
        while self.signposts.pop_front_if(|signpost| signpost.segment < segment).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::NodeId;
    use crate::types::{Leader, LogId};

    fn id(index: u64) -> LogId {
        LogId { leader_id: Leader { term: 1, node_id: NodeId(1) }, index }
    }

    #[derive(Debug, Clone)]
    enum Do {
        Append(u64),
        Truncate(u64),
        Purge(u64),
        Roll,
    }

    fn doing() -> impl Strategy<Value = Do> {
        prop_oneof![
            4 => (1u64..400).prop_map(Do::Append),
            1 => (0u64..600).prop_map(Do::Truncate),
            1 => (0u64..600).prop_map(Do::Purge),
            1 => Just(Do::Roll),
        ]
    }

    proptest! {
        /// Reading on from a signpost finds the entry that was written last under each index.
        #[test]
        fn every_entry_is_found_where_it_lies(doings in proptest::collection::vec(doing(), 1..40)) {
            let mut index = Index::new(0);
            // What lies in each segment: index and offset, in the order of writing; and the last place of each index.
            let mut files: Vec<Vec<(u64, u64)>> = vec![Vec::new()];
            let mut places: std::collections::BTreeMap<u64, (u64, u64)> = std::collections::BTreeMap::new();
            let (mut end, mut offset) = (0u64, 0u64);
            for doing in doings {
                let segment = files.len() as u64 - 1;
                match doing {
                    Do::Append(count) => for _ in 0..count {
                        index.take(segment, offset, &Step::Entry(id(end)));
                        files.last_mut().unwrap().push((end, offset));
                        places.insert(end, (segment, offset));
                        offset += 1_300;
                        end += 1;
                    },
                    Do::Truncate(back) => {
                        let after = end.saturating_sub(back);
                        index.take(segment, offset, &Step::Change(Change::TruncateAfter(after.checked_sub(1).map(id))));
                        places.split_off(&after);
                        end = after;
                    }
                    Do::Purge(on) => {
                        let upto = end.saturating_sub(400) + on;
                        index.take(segment, offset, &Step::Change(Change::Purge(id(upto))));
                        if upto >= end {
                            places.clear();
                            end = upto + 1;
                        }
                    }
                    Do::Roll => {
                        files.push(Vec::new());
                        offset = 0;
                    }
                }
                prop_assert_eq!(index.end(), end);
            }
            for (wanted, place) in &places {
                let stretch = index.find(*wanted).unwrap();
                let file = &files[usize::try_from(stretch.segment).unwrap()];
                let start = file.iter().position(|(_, offset)| *offset == stretch.offset).unwrap();
                let (found, offset) = file[start + usize::try_from(*wanted - stretch.first).unwrap()];
                prop_assert_eq!((found, (stretch.segment, offset)), (*wanted, *place));
                prop_assert!(*wanted < stretch.end);
            }
            prop_assert_eq!(index.find(end), None);
        }
    }
}
