//! A watcher: it sees events only, and from them knows the keys, and who holds what with which token. It reads in pages,
//! as one that reconnects, and what it reads must be what was reported, each event once, in order.

use std::collections::BTreeMap;

use bytes::Bytes;
use folkmoot_coordination::kv;
use folkmoot_coordination::work_queue::StateName;
use folkmoot_coordination::{
    Change, Event, HoldId, ItemId, Key, Machine, Query, Refusal, Reply, Revision, Scope, Value, What, watch,
};

#[derive(Default)]
pub struct Observer {
    events: Vec<Event>,
    keys: BTreeMap<Key, Value>,
    holders: BTreeMap<(Scope, Key), Vec<HoldId>>,
    tokens: BTreeMap<(Scope, Key), Revision>,
    items: BTreeMap<(Key, ItemId), StateName>,
    read_through: Revision,
    read: Vec<Event>,
}

impl Observer {
    pub fn observe(&mut self, changes: &[Change]) {
        for change in changes {
            let Change::Event(event) = change else { continue };
            let last = self.events.last().map_or(Revision(0), |event| event.revision);
            assert!(last <= event.revision, "revisions never fall");
            self.events.push(event.clone());
            let place = (event.scope, event.key.clone());
            match &event.what {
                What::Put { value, .. } => drop(self.keys.insert(event.key.clone(), value.clone())),
                What::Ended(_) if event.scope == Scope::Key => {
                    assert!(self.keys.remove(&event.key).is_some(), "only what is there ends");
                }
                What::Granted { hold, token, .. } => {
                    let exclusive = matches!(event.scope, Scope::Lock | Scope::Election);
                    let holders = self.holders.entry(place.clone()).or_default();
                    assert!(!exclusive || holders.is_empty(), "held by one at most");
                    holders.push(*hold);
                    let old = self.tokens.insert(place, *token).unwrap_or_default();
                    assert!(old < *token || (!exclusive && old == *token), "tokens rise");
                }
                What::Released { hold, .. } if event.scope != Scope::Barrier => {
                    let holders = self.holders.entry(place).or_default();
                    assert!(holders.contains(hold), "only a hold is released");
                    holders.retain(|one| one != hold);
                }
                What::Item { item, state } => {
                    let old = self.items.insert((event.key.clone(), *item), *state);
                    let claimed = *state == StateName::Claimed;
                    assert!(!claimed || old == Some(StateName::Ready), "claimed by one at most, and only when ready");
                    assert!(old != Some(StateName::Completed), "completed once");
                }
                _ => {}
            }
        }
    }

    pub fn compare(&mut self, machine: &Machine) {
        let list = kv::Query::List { prefix: Bytes::new(), after: None, limit: 1000 };
        let Reply::Kv(kv::Reply::Page { entries, .. }) = machine.read(&Query::Kv(list)) else { panic!() };
        let entries: BTreeMap<Key, Value> = entries.into_iter().map(|(key, entry)| (key, entry.value)).collect();
        assert_eq!(entries, self.keys, "the keys follow from the events");
        self.read_on(machine);
        self.read_prefix(machine);
    }

    fn read_on(&mut self, machine: &Machine) {
        loop {
            let query = watch::Query { scope: None, prefix: Bytes::new(), after: self.read_through };
            match machine.read(&Query::Watch(query)) {
                Reply::Changes(page) => {
                    self.read.extend(page.events);
                    let done = page.through == machine.revision();
                    self.read_through = page.through;
                    if done {
                        break;
                    }
                }
                Reply::Refused(Refusal::Compacted(revision)) => {
                    assert!(revision > self.read_through, "what is there is not refused");
                    self.read = self.events.iter().filter(|event| event.revision <= revision).cloned().collect();
                    self.read_through = revision;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(self.read, self.events, "each event once, in order");
    }

    fn read_prefix(&self, machine: &Machine) {
        let after = machine.compacted();
        let query = watch::Query { scope: Some(Scope::Lock), prefix: Bytes::from_static(b"a"), after };
        let Reply::Changes(page) = machine.read(&Query::Watch(query.clone())) else { panic!() };
        let wanted = self.events.iter().filter(|event| event.revision > after && event.revision <= page.through);
        let wanted: Vec<Event> = wanted.filter(|event| query.matches(event)).cloned().collect();
        assert_eq!(page.events, wanted);
    }
}
