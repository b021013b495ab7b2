//! [`Queue`]: bounded queues and priority queues. (Queues of work, with leases, are in `work.rs`.)

use bytes::Bytes;
use folkmoot_proto::coordination::{Code, Element, QueueGet, QueueInfo, QueueKind, QueuePut, QueueState};
use folkmoot_proto::{Blob, Text};

use super::Wait;
use super::call::Answered;
use super::hold::{GiveBack, Owed};
use crate::client::Client;
use crate::error::{Error, Refusal};

/// A queue, or a priority queue. Each kind has names of its own.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    name: Text,
    kind: QueueKind,
    bound: u32,
}

impl Client {
    /// A queue: elements come out as they were put.
    pub fn queue(&self, name: impl Into<Text>) -> Queue {
        Queue { client: self.clone(), name: name.into(), kind: QueueKind::Fifo, bound: 0 }
    }

    /// A priority queue: the lowest number comes out first, then as they were put.
    pub fn priority_queue(&self, name: impl Into<Text>) -> Queue {
        Queue { client: self.clone(), name: name.into(), kind: QueueKind::Priority, bound: 0 }
    }
}

impl Queue {
    /// Puts of this handle fail where more elements than this would be there.
    #[must_use]
    pub fn bounded(mut self, bound: u32) -> Self {
        self.bound = bound;
        self
    }

    /// Adds an element; in a priority queue with number 0.
    ///
    /// # Errors
    /// [`Error::Refused`] with `full`, `too-large`, `storage-full`.
    pub async fn put(&self, value: impl Into<Bytes>) -> Result<(), Error> {
        self.put_at(0, value).await
    }

    /// Adds an element with a number, which means nothing but in a priority queue.
    ///
    /// # Errors
    /// As [`Queue::put`].
    pub async fn put_at(&self, priority: i64, value: impl Into<Bytes>) -> Result<(), Error> {
        let Self { client, name, kind, bound } = self;
        let value = Blob(value.into());
        client.write(QueuePut { bound: *bound, kind: *kind, name: name.clone(), priority, value }).await.map(drop)
    }

    /// Takes the next element, and waits for one; `None` if there was none in time.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn get(&self, wait: Wait) -> Result<Option<Bytes>, Error> {
        Ok(self.take(wait).await?.map(Taken::keep))
    }

    /// As [`Queue::get`], for whoever has to hand it on, to somebody who may be gone by then: until it is kept, its drop puts
    /// it back.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn take(&self, wait: Wait) -> Result<Option<Taken>, Error> {
        let Self { client, name, kind, .. } = self;
        let get = QueueGet { kind: *kind, name: name.clone(), wait: wait.to_body() };
        let queue = self.clone();
        let taken = async move |Answered { answer: Element { element }, .. }: Answered<_>| {
            Ok(element.map(|Blob(element)| Taken(Owed::new(Handed { queue, element }))))
        };
        match client.write_waiting(get, wait, taken).await {
            Err(Error::Refused(Refusal { code: Code::Empty | Code::TimedOut, .. })) => Ok(None),
            outcome => outcome,
        }
    }

    /// How many elements there are, and the next one, which stays.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn info(&self) -> Result<QueueState, Error> {
        let question = QueueInfo { kind: self.kind, name: self.name.clone() };
        Ok(self.client.read(question, false).await?.0)
    }
}

/// An element on its way to somebody who may be gone. Dropped, it is put back in the background: at the end, as its place is
/// not known any more.
#[derive(Debug)]
pub struct Taken(Owed<Handed>);

impl Taken {
    /// The element, for good.
    pub fn keep(mut self) -> Bytes {
        self.0.settle();
        self.0.what().element.clone()
    }
}

#[derive(Debug, Clone)]
struct Handed {
    queue: Queue,
    element: Bytes,
}

impl GiveBack for Handed {
    /// At the end (in a priority queue behind those of number 0), because nobody knows its place. If this fails too, the element is lost, as it is when its
    /// taker dies: work queues have leases for that.
    async fn give_back(&self) -> Result<(), Error> {
        Queue { bound: 0, ..self.queue.clone() }.put(self.element.clone()).await
    }
}
