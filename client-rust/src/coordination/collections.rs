//! [`Counter`], [`Set`] and [`List`]. Elements are bytes, and go by the order of bytes.

use bytes::Bytes;
use folkmoot_proto::coordination::{
    Contains, CounterAdd, CounterDelete, CounterGet, CounterSet, Element, Elements, ListElements, ListExtend, ListFind,
    ListGet, ListInsert, ListPop, ListRemove, ListReset, ListSet, ListSort, SetAdd, SetContains, SetDiscard,
    SetElements, SetPop, SetRemove, SetReset,
};
use folkmoot_proto::{Blob, Text};

use crate::client::Client;
use crate::error::Error;

/// A counter. One that nobody has set is 0.
#[derive(Debug, Clone)]
pub struct Counter {
    client: Client,
    name: Text,
}

/// A set. One without elements does not exist.
#[derive(Debug, Clone)]
pub struct Set {
    client: Client,
    name: Text,
}

/// A list. Positions are counted from the front, or negative from the end.
#[derive(Debug, Clone)]
pub struct List {
    client: Client,
    name: Text,
}

impl Client {
    /// A counter.
    pub fn counter(&self, name: impl Into<Text>) -> Counter {
        Counter { client: self.clone(), name: name.into() }
    }

    /// A set.
    pub fn set(&self, name: impl Into<Text>) -> Set {
        Set { client: self.clone(), name: name.into() }
    }

    /// A list.
    pub fn list(&self, name: impl Into<Text>) -> List {
        List { client: self.clone(), name: name.into() }
    }
}

impl Counter {
    /// Its value.
    ///
    /// # Errors
    /// As any coordination call; so do all methods below, with what is written there.
    pub async fn get(&self) -> Result<i64, Error> {
        Ok(self.client.read(CounterGet { name: self.name.clone() }, false).await?.0.value)
    }

    /// Sets it; the value after.
    ///
    /// # Errors
    /// [`Error::Refused`] with `too-many`.
    pub async fn set(&self, value: i64) -> Result<i64, Error> {
        Ok(self.client.write(CounterSet { name: self.name.clone(), value }).await?.value)
    }

    /// Adds to it; the value after.
    ///
    /// # Errors
    /// [`Error::Refused`] with `overflow`.
    pub async fn add(&self, by: i64) -> Result<i64, Error> {
        Ok(self.client.write(CounterAdd { by, name: self.name.clone() }).await?.value)
    }

    /// Forgets it; whether it was there.
    ///
    /// # Errors
    /// As [`Counter::get`].
    pub async fn delete(&self) -> Result<bool, Error> {
        Ok(self.client.write(CounterDelete { name: self.name.clone() }).await?.changed > 0)
    }
}

impl Set {
    /// Replaces all elements; how many there are.
    ///
    /// # Errors
    /// [`Error::Refused`] with `too-large`, `too-many`, `storage-full`.
    pub async fn reset(&self, elements: impl IntoIterator<Item = impl Into<Bytes>>) -> Result<u64, Error> {
        Ok(self.client.write(SetReset { elements: blobs(elements), name: self.name.clone() }).await?.changed)
    }

    /// Adds elements; how many were not there.
    ///
    /// # Errors
    /// As [`Set::reset`].
    pub async fn add(&self, elements: impl IntoIterator<Item = impl Into<Bytes>>) -> Result<u64, Error> {
        Ok(self.client.write(SetAdd { elements: blobs(elements), name: self.name.clone() }).await?.changed)
    }

    /// Removes an element.
    ///
    /// # Errors
    /// [`Error::Refused`] with `missing` if it is not there.
    pub async fn remove(&self, element: impl Into<Bytes>) -> Result<(), Error> {
        self.client.write(SetRemove { element: Blob(element.into()), name: self.name.clone() }).await.map(drop)
    }

    /// Removes an element if it is there; whether it was.
    ///
    /// # Errors
    /// As [`Counter::get`].
    pub async fn discard(&self, element: impl Into<Bytes>) -> Result<bool, Error> {
        let discard = SetDiscard { element: Blob(element.into()), name: self.name.clone() };
        Ok(self.client.write(discard).await?.changed > 0)
    }

    /// Takes the first element.
    ///
    /// # Errors
    /// [`Error::Refused`] with `missing` if there is none.
    pub async fn pop(&self) -> Result<Bytes, Error> {
        Ok(taken(self.client.write(SetPop { name: self.name.clone() }).await?))
    }

    /// Whether an element is there.
    ///
    /// # Errors
    /// As [`Counter::get`].
    pub async fn contains(&self, element: impl Into<Bytes>) -> Result<bool, Error> {
        let question = SetContains { element: Blob(element.into()), name: self.name.clone() };
        let (Contains { contains }, _) = self.client.read(question, false).await?;
        Ok(contains)
    }

    /// How many elements there are.
    ///
    /// # Errors
    /// As [`Counter::get`].
    pub async fn length(&self) -> Result<u64, Error> {
        let question = SetElements { after: None, name: self.name.clone() };
        Ok(self.client.read(question, false).await?.0.length)
    }

    /// All elements, read page by page: not as they were at one moment, if they are changed meanwhile.
    ///
    /// # Errors
    /// As [`Counter::get`].
    pub async fn elements(&self) -> Result<Vec<Bytes>, Error> {
        let mut all: Vec<Bytes> = Vec::new();
        loop {
            let question = SetElements { after: all.last().cloned().map(Blob), name: self.name.clone() };
            let (Elements { elements, .. }, _) = self.client.read(question, false).await?;
            if elements.is_empty() {
                return Ok(all);
            }
            all.extend(elements.into_iter().map(|element| element.0));
        }
    }
}

impl List {
    /// Replaces all elements; how many there are.
    ///
    /// # Errors
    /// [`Error::Refused`] with `too-large`, `too-many`, `storage-full`.
    pub async fn reset(&self, elements: impl IntoIterator<Item = impl Into<Bytes>>) -> Result<u64, Error> {
        Ok(self.client.write(ListReset { elements: blobs(elements), name: self.name.clone() }).await?.changed)
    }

    /// Appends elements.
    ///
    /// # Errors
    /// As [`List::reset`].
    pub async fn extend(&self, elements: impl IntoIterator<Item = impl Into<Bytes>>) -> Result<u64, Error> {
        Ok(self.client.write(ListExtend { elements: blobs(elements), name: self.name.clone() }).await?.changed)
    }

    /// Inserts before what stands at `position`, which is moved into the list if it lies outside.
    ///
    /// # Errors
    /// As [`List::reset`].
    pub async fn insert(&self, position: i64, element: impl Into<Bytes>) -> Result<(), Error> {
        let element = Blob(element.into());
        self.client.write(ListInsert { element, name: self.name.clone(), position }).await.map(drop)
    }

    /// Replaces the element at `position`.
    ///
    /// # Errors
    /// [`Error::Refused`] with `out-of-range`.
    pub async fn set(&self, position: i64, element: impl Into<Bytes>) -> Result<(), Error> {
        let element = Blob(element.into());
        self.client.write(ListSet { element, name: self.name.clone(), position }).await.map(drop)
    }

    /// Removes the first equal element.
    ///
    /// # Errors
    /// [`Error::Refused`] with `missing` if there is none.
    pub async fn remove(&self, element: impl Into<Bytes>) -> Result<(), Error> {
        self.client.write(ListRemove { element: Blob(element.into()), name: self.name.clone() }).await.map(drop)
    }

    /// Takes the element at `position`, `None` is the last.
    ///
    /// # Errors
    /// [`Error::Refused`] with `out-of-range`.
    pub async fn pop(&self, position: Option<i64>) -> Result<Bytes, Error> {
        Ok(taken(self.client.write(ListPop { name: self.name.clone(), position }).await?))
    }

    /// Sorts by bytes, largest first if `descending`.
    ///
    /// # Errors
    /// As [`Counter::get`].
    pub async fn sort(&self, descending: bool) -> Result<(), Error> {
        self.client.write(ListSort { descending, name: self.name.clone() }).await.map(drop)
    }

    /// The element at `position`; `None` outside the list.
    ///
    /// # Errors
    /// As [`Counter::get`].
    pub async fn get(&self, position: i64) -> Result<Option<Bytes>, Error> {
        let (Element { element }, _) = self.client.read(ListGet { name: self.name.clone(), position }, false).await?;
        Ok(element.map(|element| element.0))
    }

    /// Where an element first stands.
    ///
    /// # Errors
    /// As [`Counter::get`].
    pub async fn find(&self, element: impl Into<Bytes>) -> Result<Option<u64>, Error> {
        let question = ListFind { element: Blob(element.into()), name: self.name.clone() };
        Ok(self.client.read(question, false).await?.0.position)
    }

    /// How many elements there are.
    ///
    /// # Errors
    /// As [`Counter::get`].
    pub async fn length(&self) -> Result<u64, Error> {
        Ok(self.client.read(ListElements { from: u64::MAX, name: self.name.clone() }, false).await?.0.length)
    }

    /// All elements, read page by page: not as they were at one moment, if they are changed meanwhile.
    ///
    /// # Errors
    /// As [`Counter::get`].
    pub async fn elements(&self) -> Result<Vec<Bytes>, Error> {
        let mut all: Vec<Bytes> = Vec::new();
        loop {
            let from = u64::try_from(all.len()).unwrap_or(u64::MAX);
            let question = ListElements { from, name: self.name.clone() };
            let (Elements { elements, .. }, _) = self.client.read(question, false).await?;
            if elements.is_empty() {
                return Ok(all);
            }
            all.extend(elements.into_iter().map(|element| element.0));
        }
    }
}

fn blobs(elements: impl IntoIterator<Item = impl Into<Bytes>>) -> Vec<Blob> {
    elements.into_iter().map(|element| Blob(element.into())).collect()
}

/// An element that was taken is always there: without one the call fails.
fn taken(element: Element) -> Bytes {
    element.element.map(|element| element.0).unwrap_or_default()
}
