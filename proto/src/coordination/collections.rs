//! Counters, sets and lists. Elements are bytes, and go by the order of bytes.

use folkmoot_wire::{Blob, Text};

use crate::objects::objects;

objects! {
    /// Body of `counter-set`.
    CounterSet {
        /// Which counter.
        "Name" name: Text,
        /// To what.
        "Value" value: i64,
    }

    /// Body of `counter-add`.
    CounterAdd {
        /// How much; may be negative.
        "By" by: i64,
        /// To which counter.
        "Name" name: Text,
    }

    /// Body of `counter-delete`: forgets it, so it is 0 again.
    CounterDelete {
        /// Which counter.
        "Name" name: Text,
    }

    /// Body of `counter-get`.
    CounterGet {
        /// Which counter.
        "Name" name: Text,
    }

    /// A counter's value, after what was done.
    Count {
        /// The value; 0 if there is no such counter.
        "Value" value: i64,
    }

    /// How much was changed.
    Changed {
        /// Elements added or removed; of a reset: elements that are there; of `counter-delete`: 1 if it was there.
        "Changed" changed: u64,
    }

    /// Body of `set-reset`: replaces all elements.
    SetReset {
        /// By these.
        "Elements" elements: Vec<Blob>,
        /// Of which set.
        "Name" name: Text,
    }

    /// Body of `set-add`.
    SetAdd {
        /// What.
        "Elements" elements: Vec<Blob>,
        /// To which set.
        "Name" name: Text,
    }

    /// Body of `set-remove`; fails if the element is not there.
    SetRemove {
        /// What.
        "Element" element: Blob,
        /// From which set.
        "Name" name: Text,
    }

    /// Body of `set-discard`: removes an element if it is there.
    SetDiscard {
        /// What.
        "Element" element: Blob,
        /// From which set.
        "Name" name: Text,
    }

    /// Body of `set-pop`: takes the first element.
    SetPop {
        /// Of which set.
        "Name" name: Text,
    }

    /// Body of `set-contains`.
    SetContains {
        /// What.
        "Element" element: Blob,
        /// In which set.
        "Name" name: Text,
    }

    /// Answer to `set-contains`.
    Contains {
        /// Whether it is there.
        "Contains" contains: bool,
    }

    /// Body of `set-elements`: a page of them, in order.
    SetElements {
        /// The last one of the page before; nil: from the first on.
        "After" after: Option<Blob>,
        /// Of which set.
        "Name" name: Text,
    }

    /// A page of elements.
    Elements {
        /// In order.
        "Elements" elements: Vec<Blob>,
        /// How many there are in all.
        "Length" length: u64,
    }

    /// Body of `list-reset`: replaces all elements.
    ListReset {
        /// By these.
        "Elements" elements: Vec<Blob>,
        /// Of which list.
        "Name" name: Text,
    }

    /// Body of `list-set`: replaces one element.
    ListSet {
        /// By what.
        "Element" element: Blob,
        /// Of which list.
        "Name" name: Text,
        /// Where: from the front, or negative from the end.
        "Position" position: i64,
    }

    /// Body of `list-extend`: appends.
    ListExtend {
        /// What.
        "Elements" elements: Vec<Blob>,
        /// To which list.
        "Name" name: Text,
    }

    /// Body of `list-insert`.
    ListInsert {
        /// What.
        "Element" element: Blob,
        /// Into which list.
        "Name" name: Text,
        /// Before what stands here; moved into the list if it lies outside.
        "Position" position: i64,
    }

    /// Body of `list-remove`: removes the first equal element; fails if there is none.
    ListRemove {
        /// What.
        "Element" element: Blob,
        /// From which list.
        "Name" name: Text,
    }

    /// Body of `list-pop`: takes an element; fails if there is none.
    ListPop {
        /// Of which list.
        "Name" name: Text,
        /// Where; nil: the last.
        "Position" position: Option<i64>,
    }

    /// Body of `list-sort`.
    ListSort {
        /// Largest first.
        "Descending" descending: bool,
        /// Which list.
        "Name" name: Text,
    }

    /// Body of `list-get`: one element.
    ListGet {
        /// Of which list.
        "Name" name: Text,
        /// Where: from the front, or negative from the end.
        "Position" position: i64,
    }

    /// Body of `list-elements`: a page of them.
    ListElements {
        /// From this index on.
        "From" from: u64,
        /// Of which list.
        "Name" name: Text,
    }

    /// Body of `list-find`.
    ListFind {
        /// What.
        "Element" element: Blob,
        /// In which list.
        "Name" name: Text,
    }

    /// Answer to `list-find`.
    Position {
        /// Where it first stands; nil if it does not.
        "Position" position: Option<u64>,
    }
}
