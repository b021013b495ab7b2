//! A window over logical time that remembers what was seen: for user events and for query ids.
//!
//! Answers to `docs/spec/serf-gossip.md` 5.1 steps 2 to 5 and 6.2 steps 2 to 4. Slots are taken by time modulo their
//! number; the accepted window is as long as the ring, so two living times never share one.

use crate::LamportTime;
use crate::limits::ENTRIES_PER_SLOT_MAX;

/// The window.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    slots: Vec<Option<Slot<T>>>,
    floor: LamportTime,
    weight: usize,
}

/// Everything seen of one time.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    /// That time.
    pub(crate) ltime: LamportTime,
    /// In the order it came.
    pub(crate) entries: Vec<T>,
    weight: usize,
}

/// What the window says to a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not seen before; it is remembered.
    New,
    /// Seen before.
    Known,
    /// Before the floor: from before our start or join, or forgotten.
    BelowFloor,
    /// Before the window.
    TooOld,
    /// Its time has more entries than we keep.
    Full,
}

impl<T> Ring<T> {
    /// An empty window of `length` times that accepts nothing before `floor`.
    pub(crate) fn new(length: usize, floor: LamportTime) -> Self {
        Self { slots: (0..length.max(1)).map(|_| None).collect(), floor, weight: 0 }
    }

    /// Remembers `entry` of time `ltime` if the window admits it. `current` is the clock after witnessing that time;
    /// `weight` what the entry adds to [`Self::weight`].
    pub(crate) fn admit(
        &mut self,
        ltime: LamportTime,
        current: LamportTime,
        entry: T,
        weight: usize,
        same: impl Fn(&T, &T) -> bool,
    ) -> Verdict {
        let length = self.slots.len() as u64;
        if ltime < self.floor {
            return Verdict::BelowFloor;
        }
        if current.0 > length && ltime < current.minus(length) {
            return Verdict::TooOld;
        }
        let index = ltime.0.checked_rem(length).and_then(|index| self.slots.get_mut(index as usize));
        let Some(slot) = index else { return Verdict::Full };
        match slot {
            Some(slot) if slot.ltime == ltime => {
                if slot.entries.iter().any(|known| same(known, &entry)) {
                    return Verdict::Known;
                }
                if slot.entries.len() >= ENTRIES_PER_SLOT_MAX {
                    return Verdict::Full;
                }
                slot.entries.push(entry);
                slot.weight = slot.weight.saturating_add(weight);
            }
            Some(_) | None => {
                let before = slot.replace(Slot { ltime, entries: vec![entry], weight });
                self.weight = self.weight.saturating_sub(before.map_or(0, |slot| slot.weight));
            }
        }
        self.weight = self.weight.saturating_add(weight);
        Verdict::New
    }

    /// Accepts nothing before `floor` from here on, and never less than before.
    pub(crate) fn raise_floor(&mut self, floor: LamportTime) {
        self.floor = self.floor.max(floor);
    }

    /// Forgets the oldest times until at most `weight` remains; what is forgotten is refused from then on.
    pub(crate) fn shrink(&mut self, weight: usize) {
        while self.weight > weight {
            let oldest = self.slots.iter_mut().filter(|slot| slot.is_some());
            let Some(slot) = oldest.min_by_key(|slot| slot.as_ref().map(|slot| slot.ltime)).and_then(Option::take)
            else {
                return;
            };
            self.weight = self.weight.saturating_sub(slot.weight);
            self.raise_floor(slot.ltime.plus(1));
        }
    }

    /// The slots in their order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Option<&Slot<T>>> {
        self.slots.iter().map(Option::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(ring: &mut Ring<u32>, ltime: u64, current: u64, entry: u32) -> Verdict {
        ring.admit(LamportTime(ltime), LamportTime(current), entry, 10, |one, two| one == two)
    }

    #[test]
    fn same_time_and_entry_is_known_other_entry_is_new() {
        let mut ring = Ring::new(512, LamportTime(0));
        assert_eq!(admit(&mut ring, 3, 4, 77), Verdict::New);
        assert_eq!(admit(&mut ring, 3, 4, 77), Verdict::Known);
        assert_eq!(admit(&mut ring, 3, 4, 78), Verdict::New);
    }

    #[test]
    fn window_is_the_last_512_times() {
        let mut ring = Ring::new(512, LamportTime(0));
        assert_eq!(admit(&mut ring, 1_000, 1_001, 1), Verdict::New);
        assert_eq!(admit(&mut ring, 488, 1_001, 1), Verdict::TooOld);
        assert_eq!(admit(&mut ring, 489, 1_001, 1), Verdict::New);
        assert_eq!(admit(&mut ring, 489, 1_001, 1), Verdict::Known);
        assert_eq!(admit(&mut ring, 1_001, 1_002, 1), Verdict::New);
        assert_eq!(admit(&mut ring, 489, 1_002, 2), Verdict::TooOld);
    }

    #[test]
    fn floor_holds_back_older_times_and_never_sinks() {
        let mut ring = Ring::new(512, LamportTime(10));
        assert_eq!(admit(&mut ring, 9, 20, 1), Verdict::BelowFloor);
        assert_eq!(admit(&mut ring, 10, 20, 1), Verdict::New);
        ring.raise_floor(LamportTime(5));
        assert_eq!(admit(&mut ring, 9, 20, 1), Verdict::BelowFloor);
    }

    #[test]
    fn slot_takes_a_limited_number_of_entries() {
        let mut ring = Ring::new(512, LamportTime(0));
        for entry in 0..ENTRIES_PER_SLOT_MAX as u32 {
            assert_eq!(admit(&mut ring, 1, 2, entry), Verdict::New);
        }
        assert_eq!(admit(&mut ring, 1, 2, u32::MAX), Verdict::Full);
        assert_eq!(admit(&mut ring, 1, 2, 0), Verdict::Known);
        assert_eq!(admit(&mut ring, 2, 3, 0), Verdict::New);
    }

    #[test]
    fn shrinking_forgets_the_oldest_and_refuses_them_afterwards() {
        let mut ring = Ring::new(4, LamportTime(0));
        for ltime in 1..=4 {
            admit(&mut ring, ltime, ltime + 1, 1);
        }
        admit(&mut ring, 5, 6, 1);
        ring.shrink(30);
        assert_eq!(ring.weight, 30);
        assert_eq!(admit(&mut ring, 2, 6, 1), Verdict::BelowFloor);
        assert_eq!(admit(&mut ring, 3, 6, 1), Verdict::Known);
    }
}
