//! The queries a client has been shown and may still answer, under numbers of its own (section 8.5).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use folkmoot_serf::QueryKey;
use tokio::time::Instant;

use super::limits::PENDING_QUERIES;

/// Shared by a connection's streams, which add, and its reader, which looks up.
#[derive(Debug, Default)]
pub(super) struct PendingQueries {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number given last; the first query is 1.
    last: u64,
    queries: BTreeMap<u64, Pending>,
}

#[derive(Debug)]
struct Pending {
    key: QueryKey,
    answer_by: Instant,
}

impl PendingQueries {
    /// Gives a query its number. It can be answered under it until `answer_by`.
    pub fn register(&self, now: Instant, key: QueryKey, answer_by: Instant) -> u64 {
        let mut state = self.lock();
        state.last = state.last.saturating_add(1);
        let id = state.last;
        state.queries.retain(|_, pending| pending.answer_by > now);
        if answer_by > now {
            if state.queries.len() >= PENDING_QUERIES {
                state.queries.pop_first();
            }
            state.queries.insert(id, Pending { key, answer_by });
        }
        id
    }

    /// The query of that number, if it can still be answered.
    pub fn get(&self, now: Instant, id: u64) -> Option<QueryKey> {
        self.lock().queries.get(&id).filter(|pending| pending.answer_by > now).map(|pending| pending.key)
    }

    /// A task that panicked here leaves nothing half done: go on.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use folkmoot_serf::LamportTime;

    use super::*;

    fn key(id: u32) -> QueryKey {
        QueryKey { ltime: LamportTime(7), id }
    }

    #[test]
    fn numbers_count_from_one_and_end_at_the_deadline() {
        let pending = PendingQueries::default();
        let now = Instant::now();
        let deadline = now + Duration::from_secs(1);
        assert_eq!(pending.register(now, key(10), deadline), 1);
        assert_eq!(pending.register(now, key(10), deadline), 2);
        assert_eq!(pending.get(now, 1), Some(key(10)));
        assert_eq!(pending.get(now, 2), Some(key(10)));
        assert_eq!(pending.get(now, 3), None);
        assert_eq!(pending.get(deadline, 1), None);
    }

    #[test]
    fn a_query_that_is_over_gets_a_number_and_no_answer() {
        let pending = PendingQueries::default();
        let now = Instant::now();
        assert_eq!(pending.register(now, key(1), now), 1);
        assert_eq!(pending.get(now, 1), None);
    }

    #[test]
    fn the_oldest_is_forgotten_at_the_limit() {
        let pending = PendingQueries::default();
        let now = Instant::now();
        let deadline = now + Duration::from_secs(1);
        for _ in 0..=PENDING_QUERIES {
            pending.register(now, key(1), deadline);
        }
        assert_eq!(pending.get(now, 1), None);
        assert_eq!(pending.get(now, 2), Some(key(1)));
    }
}
