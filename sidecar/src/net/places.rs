//! Counts what is open, in all and per source address, so that no source can take everything.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// A number of places. Clones share them.
#[derive(Debug, Clone)]
pub struct Places {
    taken: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
    total: usize,
    per_source: usize,
}

impl Places {
    /// `total` places, at most `per_source` of them for one address.
    pub fn new(total: usize, per_source: usize) -> Self {
        Self { taken: Arc::default(), total, per_source }
    }

    /// A place, if one is left for `source`.
    pub fn take(&self, source: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if sum(&taken) >= self.total {
            return None;
        }
        let count = taken.entry(source).or_default();
        if *count >= self.per_source {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Place { places: self.clone(), source })
    }

    /// Places taken.
    pub fn taken(&self) -> usize {
        sum(&self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Places there are.
    pub fn total(&self) -> usize {
        self.total
    }
}

fn sum(taken: &BTreeMap<IpAddr, usize>) -> usize {
    taken.values().fold(0, |sum, count| sum.saturating_add(*count))
}

/// One place; given back when dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    source: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_source_takes_more_than_its_share_and_places_come_back() {
        let places = Places::new(3, 2);
        let [one, two]: [IpAddr; 2] = [[127, 0, 34, 1], [127, 0, 34, 2]].map(IpAddr::from);
        let first = places.take(one).unwrap();
        let _second = places.take(one).unwrap();
        assert!(places.take(one).is_none());
        let _third = places.take(two).unwrap();
        assert!(places.take(two).is_none(), "all are taken");
        assert_eq!(places.taken(), 3);
        drop(first);
        assert!(places.take(one).is_some());
    }
}
