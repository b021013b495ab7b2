//! Counters, sets and lists, with the operations and failures of PySyncObj's batteries (which are Python's). Elements are
//! bytes: sets and sorting go by their order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::command::{Cause, Scope, What};
use crate::error::{Argument, Refusal, Thing};
use crate::limits::{COLLECTIONS_MAX, ELEMENTS_MAX, ELEMENTS_PER_COMMAND, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX};
use crate::step::{Index, Step, cost};
use crate::types::{Key, Value};

/// What a client asks of a counter. An unknown counter is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CounterCommand {
    /// Sets it: [`Reply::Count`] with the value after.
    Set(i64),
    /// Adds to it: as above, or `Overflow`.
    Add(i64),
    /// Forgets it: [`Reply::Changed`] with whether it was there.
    Delete,
}

/// What a client asks of a set. A set without elements does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetCommand {
    /// Replaces all elements: [`Reply::Changed`].
    Reset(Vec<Value>),
    /// Adds elements: [`Reply::Changed`] with how many were not there.
    Add(Vec<Value>),
    /// Removes an element: [`Reply::Changed`], or `Missing`.
    Remove(Value),
    /// Removes an element if it is there: [`Reply::Changed`].
    Discard(Value),
    /// Takes the first element: [`Reply::Element`], or `Missing`.
    Pop,
}

/// What a client asks of a list. Positions are Python's: from the front, or negative from the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListCommand {
    /// Replaces all elements: [`Reply::Changed`].
    Reset(Vec<Value>),
    /// Replaces the element at a position: [`Reply::Changed`], or `OutOfRange`.
    Set(i64, Value),
    /// Appends elements: [`Reply::Changed`].
    Extend(Vec<Value>),
    /// Inserts before a position, which is moved into the list if it lies outside: [`Reply::Changed`].
    Insert(i64, Value),
    /// Removes the first equal element: [`Reply::Changed`], or `Missing`.
    Remove(Value),
    /// Takes the element at a position, `None` is the last: [`Reply::Element`], or `OutOfRange`.
    Pop(Option<i64>),
    /// Sorts by bytes: [`Reply::Changed`] with 0.
    Sort(Order),
}

/// Direction of a sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// Answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The counter's value.
    Count(i64),
    /// How many elements were added or removed (for a reset: are there).
    Changed(u64),
    /// The element taken or asked for.
    Element(Option<Value>),
    /// A page of elements, and how many there are in all.
    Elements {
        /// In order.
        elements: Vec<Value>,
        /// In all.
        length: u64,
    },
    /// Where the element stands.
    Position(Option<u64>),
    /// Whether the element is there.
    Contains(bool),
}

impl Reply {
    /// Bytes of payload inside.
    pub(crate) fn payload(&self) -> usize {
        match self {
            Self::Element(element) => element.as_ref().map_or(0, Value::size),
            Self::Count(_) | Self::Changed(_) | Self::Elements { .. } | Self::Position(_) | Self::Contains(_) => 0,
        }
    }
}

/// Questions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// A counter: [`Reply::Count`].
    Counter(Key),
    /// Whether a set has an element: [`Reply::Contains`].
    SetContains(Key, Value),
    /// A page of a set after an element: [`Reply::Elements`].
    SetElements(Key, Option<Value>),
    /// The element of a list at a position: [`Reply::Element`].
    ListElement(Key, i64),
    /// A page of a list from an index on: [`Reply::Elements`].
    ListElements(Key, u64),
    /// Where an element first stands in a list: [`Reply::Position`].
    ListFind(Key, Value),
}

/// All counters, sets and lists.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Collections {
    counters: BTreeMap<Key, i64>,
    sets: BTreeMap<Key, BTreeSet<Value>>,
    lists: BTreeMap<Key, VecDeque<Value>>,
}

impl Collections {
    pub(crate) fn len(&self) -> usize {
        self.counters.len().saturating_add(self.sets.len()).saturating_add(self.lists.len())
    }

    pub(crate) fn count(&mut self, step: &mut Step<'_>, name: &Key, command: CounterCommand) -> Result<Reply, Refusal> {
        let old = self.counters.get(name).copied();
        let value = match command {
            CounterCommand::Delete => return Ok(self.forget_counter(step, name)),
            CounterCommand::Set(value) => value,
            CounterCommand::Add(by) => old.unwrap_or(0).checked_add(by).ok_or(Refusal::Overflow)?,
        };
        if old.is_none() {
            self.may_create()?;
            step.room(cost(name, 8), 0)?;
            step.stored(cost(name, 8), 0);
        }
        self.counters.insert(name.clone(), value);
        step.event(Scope::Counter, name, What::Count(value));
        Ok(Reply::Count(value))
    }

    fn forget_counter(&mut self, step: &mut Step<'_>, name: &Key) -> Reply {
        let there = self.counters.remove(name).is_some();
        if there {
            step.stored(0, cost(name, 8));
            step.event(Scope::Counter, name, What::Ended(Cause::Removed));
        }
        Reply::Changed(there.into())
    }

    pub(crate) fn change_set(
        &mut self,
        step: &mut Step<'_>,
        name: &Key,
        command: &SetCommand,
    ) -> Result<Reply, Refusal> {
        let none = BTreeSet::new();
        let old = self.sets.get(name).unwrap_or(&none);
        let (reply, added, removed): (Reply, BTreeSet<Value>, BTreeSet<Value>) = match command {
            SetCommand::Reset(elements) => {
                few(elements)?;
                let wanted: BTreeSet<Value> = elements.iter().cloned().collect();
                let added = wanted.difference(old).cloned().collect();
                let removed = old.difference(&wanted).cloned().collect();
                (Reply::Changed(wanted.len() as u64), added, removed)
            }
            SetCommand::Add(elements) => {
                few(elements)?;
                let added: BTreeSet<Value> = elements.iter().filter(|one| !old.contains(one)).cloned().collect();
                (Reply::Changed(added.len() as u64), added, BTreeSet::new())
            }
            SetCommand::Remove(element) | SetCommand::Discard(element) if old.contains(element) => {
                (Reply::Changed(1), BTreeSet::new(), BTreeSet::from([element.clone()]))
            }
            SetCommand::Remove(_) => return Err(Refusal::Missing(Thing::Elements)),
            SetCommand::Discard(_) => return Ok(Reply::Changed(0)),
            SetCommand::Pop => {
                let first = old.first().ok_or(Refusal::Missing(Thing::Elements))?.clone();
                (Reply::Element(Some(first.clone())), BTreeSet::new(), BTreeSet::from([first]))
            }
        };
        let freed = weigh(name, &removed);
        let kept = old.len().saturating_sub(removed.len());
        self.replace_room(step, name, (kept, old.is_empty()), &added, freed)?;
        if added.is_empty() && removed.is_empty() {
            return Ok(reply);
        }
        step.stored(weigh(name, &added), freed);
        let set = self.sets.entry(name.clone()).or_default();
        for element in &removed {
            set.remove(element);
        }
        set.extend(added);
        let length = set.len() as u64;
        if set.is_empty() {
            self.sets.remove(name);
        }
        step.event(Scope::Set, name, What::Length(length));
        Ok(reply)
    }

    pub(crate) fn change_list(
        &mut self,
        step: &mut Step<'_>,
        name: &Key,
        command: &ListCommand,
    ) -> Result<Reply, Refusal> {
        let none = VecDeque::new();
        let old = self.lists.get(name).unwrap_or(&none);
        let (added, freed, kept): (&[Value], usize, usize) = match command {
            ListCommand::Reset(elements) => (elements, weigh(name, old), 0),
            ListCommand::Extend(elements) => (elements, 0, old.len()),
            ListCommand::Insert(_, element) => (std::slice::from_ref(element), 0, old.len()),
            ListCommand::Set(position, element) => {
                let replaced = old.get(inside(*position, old.len())?);
                (std::slice::from_ref(element), weigh(name, replaced), old.len().saturating_sub(1))
            }
            ListCommand::Remove(_) | ListCommand::Pop(_) | ListCommand::Sort(_) => (&[], 0, old.len()),
        };
        few(added)?;
        self.replace_room(step, name, (kept, old.is_empty()), added, freed)?;
        let mut list = self.lists.remove(name).unwrap_or_default();
        let outcome = edit(&mut list, command);
        let length = list.len() as u64;
        let bytes_removed = match &outcome {
            Ok(Edit { removed: Some(element), .. }) => weigh(name, Some(element)),
            Ok(_) | Err(_) => freed,
        };
        if !list.is_empty() {
            self.lists.insert(name.clone(), list);
        }
        let Edit { reply, changed, .. } = outcome?;
        if changed {
            step.stored(weigh(name, added), bytes_removed);
            step.event(Scope::List, name, What::Length(length));
        }
        Ok(reply)
    }

    pub(crate) fn read(&self, query: &Query) -> Reply {
        match query {
            Query::Counter(name) => Reply::Count(self.counters.get(name).copied().unwrap_or(0)),
            Query::SetContains(name, element) => {
                Reply::Contains(self.sets.get(name).is_some_and(|set| set.contains(element)))
            }
            Query::SetElements(name, after) => {
                let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
                let set = self.sets.get(name);
                let elements = set.into_iter().flat_map(|set| set.range((from, Bound::Unbounded)));
                Reply::Elements { elements: page(elements), length: set.map_or(0, |set| set.len() as u64) }
            }
            Query::ListElement(name, position) => {
                let list = self.lists.get(name);
                let element = list.and_then(|list| list.get(inside(*position, list.len()).ok()?));
                Reply::Element(element.cloned())
            }
            Query::ListElements(name, from) => {
                let from = usize::try_from(*from).unwrap_or(usize::MAX);
                let list = self.lists.get(name);
                let elements = list.into_iter().flat_map(|list| list.iter().skip(from));
                Reply::Elements { elements: page(elements), length: list.map_or(0, |list| list.len() as u64) }
            }
            Query::ListFind(name, element) => {
                let found = self.lists.get(name).and_then(|list| list.iter().position(|one| one == element));
                Reply::Position(found.map(|position| position as u64))
            }
        }
    }

    pub(crate) fn reindex(&self, index: &mut Index) {
        let counters = self.counters.keys().map(|name| cost(name, 8));
        let sets = self.sets.iter().map(|(name, set)| weigh(name, set));
        let lists = self.lists.iter().map(|(name, list)| weigh(name, list));
        let stored = counters.chain(sets).chain(lists).fold(0, usize::saturating_add);
        index.stored_bytes = index.stored_bytes.saturating_add(stored);
    }

    fn may_create(&self) -> Result<(), Refusal> {
        if self.len() >= COLLECTIONS_MAX {
            return Err(Refusal::TooMany(Thing::Collections, COLLECTIONS_MAX as u64));
        }
        Ok(())
    }

    /// Fails unless `added` fits beside the `kept` elements where `freed` bytes go, and into a collection that it may create.
    fn replace_room<'a, T>(
        &self,
        step: &Step<'_>,
        name: &Key,
        (kept, creates): (usize, bool),
        added: &'a T,
        freed: usize,
    ) -> Result<(), Refusal>
    where
        T: ?Sized,
        &'a T: IntoIterator<Item = &'a Value>,
    {
        let count = added.into_iter().count();
        if count > 0 && kept.saturating_add(count) > ELEMENTS_MAX {
            return Err(Refusal::TooMany(Thing::Elements, ELEMENTS_MAX as u64));
        }
        if count > 0 && creates {
            self.may_create()?;
        }
        step.room(weigh(name, added), freed)
    }
}

/// What an edit of a list did.
struct Edit {
    reply: Reply,
    removed: Option<Value>,
    changed: bool,
}

/// Applies a command whose additions fit; on an error the list is as it was.
fn edit(list: &mut VecDeque<Value>, command: &ListCommand) -> Result<Edit, Refusal> {
    let length = list.len();
    let changed = |count: usize| Edit { reply: Reply::Changed(count as u64), removed: None, changed: true };
    Ok(match command {
        ListCommand::Reset(elements) => {
            *list = elements.iter().cloned().collect();
            Edit { changed: length > 0 || !elements.is_empty(), ..changed(elements.len()) }
        }
        ListCommand::Extend(elements) => {
            list.extend(elements.iter().cloned());
            Edit { changed: !elements.is_empty(), ..changed(elements.len()) }
        }
        ListCommand::Set(position, element) => {
            if let Some(place) = list.get_mut(inside(*position, length)?) {
                *place = element.clone();
            }
            changed(1)
        }
        ListCommand::Insert(position, element) => {
            list.insert(clamped(*position, length), element.clone());
            changed(1)
        }
        ListCommand::Remove(element) => {
            let position = list.iter().position(|one| one == element).ok_or(Refusal::Missing(Thing::Elements))?;
            Edit { removed: list.remove(position), ..changed(1) }
        }
        ListCommand::Pop(position) => {
            let removed = list.remove(inside(position.unwrap_or(-1), length)?);
            Edit { reply: Reply::Element(removed.clone()), removed, changed: true }
        }
        ListCommand::Sort(order) => {
            let elements = list.make_contiguous();
            match order {
                Order::Ascending => elements.sort(),
                Order::Descending => elements.sort_by(|left, right| right.cmp(left)),
            }
            Edit { changed: length > 0, ..changed(0) }
        }
    })
}

/// The index of a Python position in a list of `length`.
fn inside(position: i64, length: usize) -> Result<usize, Refusal> {
    let signed = i64::try_from(length).unwrap_or(i64::MAX);
    let index = if position < 0 { position.saturating_add(signed) } else { position };
    usize::try_from(index).ok().filter(|index| *index < length).ok_or(Refusal::OutOfRange(length as u64))
}

/// The index before which Python's `insert` puts an element.
fn clamped(position: i64, length: usize) -> usize {
    let signed = i64::try_from(length).unwrap_or(i64::MAX);
    let index = if position < 0 { position.saturating_add(signed) } else { position };
    usize::try_from(index.clamp(0, signed)).unwrap_or(length)
}

fn few(elements: &[Value]) -> Result<(), Refusal> {
    if elements.len() > ELEMENTS_PER_COMMAND {
        return Err(Refusal::TooLarge(Argument::Elements, ELEMENTS_PER_COMMAND as u64));
    }
    Ok(())
}

/// What elements of a collection are counted with: each as if it had the name to itself.
fn weigh<'a>(name: &Key, elements: impl IntoIterator<Item = &'a Value>) -> usize {
    elements.into_iter().map(|element| cost(name, element.size())).fold(0, usize::saturating_add)
}

fn page<'a>(elements: impl Iterator<Item = &'a Value>) -> Vec<Value> {
    let mut bytes = 0usize;
    let fits = |element: &&Value| {
        let fits = bytes < PAGE_BYTES_MAX;
        bytes = bytes.saturating_add(element.size());
        fits
    };
    elements.take(PAGE_ENTRIES_MAX).take_while(fits).cloned().collect()
}
