//! The calls about counters, sets, lists and queues.

use std::sync::{Mutex, PoisonError};

use folkmoot_client::{Client, Queue, Taken};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::core::Core;
use crate::error::Failure;
use crate::input::{Blob, Many, Name, Waiting, blobs};
use crate::pending::Pending;
use crate::runtime::Local;
use crate::values::Answer;

#[pymethods]
impl Core {
    fn counter_get(&self, name: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.counter(name.0).get().await })
    }

    fn counter_set(&self, name: Name, value: i64) -> PyResult<Pending> {
        self.call(move |client| async move { client.counter(name.0).set(value).await })
    }

    fn counter_add(&self, name: Name, by: i64) -> PyResult<Pending> {
        self.call(move |client| async move { client.counter(name.0).add(by).await })
    }

    fn counter_delete(&self, name: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.counter(name.0).delete().await })
    }

    fn set_reset(&self, name: Name, elements: Many<Blob>) -> PyResult<Pending> {
        self.call(|client| async move { client.set(name.0).reset(blobs(elements)).await })
    }

    fn set_add(&self, name: Name, elements: Many<Blob>) -> PyResult<Pending> {
        self.call(|client| async move { client.set(name.0).add(blobs(elements)).await })
    }

    fn set_remove(&self, name: Name, element: Blob) -> PyResult<Pending> {
        self.call(|client| async move { client.set(name.0).remove(element.0).await })
    }

    fn set_discard(&self, name: Name, element: Blob) -> PyResult<Pending> {
        self.call(|client| async move { client.set(name.0).discard(element.0).await })
    }

    fn set_pop(&self, name: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.set(name.0).pop().await })
    }

    fn set_contains(&self, name: Name, element: Blob) -> PyResult<Pending> {
        self.call(|client| async move { client.set(name.0).contains(element.0).await })
    }

    fn set_length(&self, name: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.set(name.0).length().await })
    }

    fn set_elements(&self, name: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.set(name.0).elements().await })
    }

    fn list_reset(&self, name: Name, elements: Many<Blob>) -> PyResult<Pending> {
        self.call(|client| async move { client.list(name.0).reset(blobs(elements)).await })
    }

    fn list_extend(&self, name: Name, elements: Many<Blob>) -> PyResult<Pending> {
        self.call(|client| async move { client.list(name.0).extend(blobs(elements)).await })
    }

    fn list_insert(&self, name: Name, position: i64, element: Blob) -> PyResult<Pending> {
        self.call(move |client| async move { client.list(name.0).insert(position, element.0).await })
    }

    fn list_set(&self, name: Name, position: i64, element: Blob) -> PyResult<Pending> {
        self.call(move |client| async move { client.list(name.0).set(position, element.0).await })
    }

    fn list_remove(&self, name: Name, element: Blob) -> PyResult<Pending> {
        self.call(|client| async move { client.list(name.0).remove(element.0).await })
    }

    fn list_pop(&self, name: Name, position: Option<i64>) -> PyResult<Pending> {
        self.call(move |client| async move { client.list(name.0).pop(position).await })
    }

    fn list_sort(&self, name: Name, descending: bool) -> PyResult<Pending> {
        self.call(move |client| async move { client.list(name.0).sort(descending).await })
    }

    fn list_get(&self, name: Name, position: i64) -> PyResult<Pending> {
        self.call(move |client| async move { client.list(name.0).get(position).await })
    }

    fn list_find(&self, name: Name, element: Blob) -> PyResult<Pending> {
        self.call(|client| async move { client.list(name.0).find(element.0).await })
    }

    fn list_length(&self, name: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.list(name.0).length().await })
    }

    fn list_elements(&self, name: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.list(name.0).elements().await })
    }

    fn queue_put(&self, name: Name, priority: Option<i64>, value: Blob, bound: Option<u32>) -> PyResult<Pending> {
        self.call(move |client| async move {
            let queue = queue(&client, name, priority.is_some());
            // 0 is no bound, as in Python's own queues.
            let queue = if let Some(bound) = bound { queue.bounded(bound) } else { queue };
            queue.put_at(priority.unwrap_or(0), value.0).await
        })
    }

    fn queue_get(&self, name: Name, by_priority: bool, wait: Waiting) -> PyResult<Pending> {
        let home = self.shared().home().clone();
        self.call(move |client| async move {
            let taken = queue(&client, name, by_priority).take(wait.0).await?;
            Ok::<_, Failure>(taken.map(|taken| TakenObject(Mutex::new(Some(Local::new(&home, taken))))))
        })
    }

    fn queue_info(&self, name: Name, by_priority: bool) -> PyResult<Pending> {
        self.call(move |client| async move { queue(&client, name, by_priority).info().await })
    }
}

/// An element on its way to who asked: garbage before it is kept, it is put back.
#[pyclass(frozen, name = "Taken", module = "folkmoot._folkmoot")]
pub(crate) struct TakenObject(Mutex<Option<Local<Taken>>>);

impl Answer for TakenObject {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Ok(Bound::new(py, self)?.into_any())
    }
}

#[pymethods]
impl TakenObject {
    fn keep<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let taken = taken.ok_or_else(|| PyRuntimeError::new_err("this element was kept before"))?;
        taken.into_inner()?.keep().answer(py)
    }
}

fn queue(client: &Client, name: Name, by_priority: bool) -> Queue {
    if by_priority { client.priority_queue(name.0) } else { client.queue(name.0) }
}
