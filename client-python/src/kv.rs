//! The calls about keys: all of them, or those of a dictionary (`space`).

use folkmoot_client::{Client, Compare, Kv, Life, Operation, Transaction};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::core::Core;
use crate::error::Failure;
use crate::input::{Blob, Many, Name, Span};
use crate::pending::Pending;

/// All keys, or those of a dictionary.
pub(crate) struct Space(pub(crate) String);

impl<'py> FromPyObject<'_, 'py> for Space {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        object.extract().map(Self)
    }
}

impl Space {
    pub(crate) fn of(&self, client: &Client) -> Kv {
        if self.0.is_empty() { client.kv() } else { client.dict(&self.0) }
    }

    /// What its keys begin with.
    pub(crate) fn prefix(&self) -> String {
        if self.0.is_empty() { String::new() } else { format!("{}/", self.0) }
    }

    fn read(&self, client: &Client, stale: bool) -> Kv {
        let kv = self.of(client);
        if stale { kv.stale() } else { kv }
    }
}

/// How long a key lives, from the two arguments of which one at most is given.
fn life(ttl: Option<Span>, session: Option<u64>) -> PyResult<Life<'static>> {
    match (ttl, session) {
        (None, None) => Ok(Life::Unlimited),
        (Some(ttl), None) => Ok(Life::Ttl(ttl.0)),
        (None, Some(session)) => Ok(Life::SessionId(session)),
        (Some(_), Some(_)) => Err(PyValueError::new_err("a key lives for a time or with a session, not both")),
    }
}

#[pymethods]
impl Core {
    fn kv_get(&self, space: Space, key: Name, stale: bool) -> PyResult<Pending> {
        self.call(move |client| async move {
            let (entry, as_of) = space.read(&client, stale).get_as_of(key.0).await?;
            Ok::<_, Failure>((entry, as_of.revision, as_of.age.map(crate::values::seconds)))
        })
    }

    fn kv_put(
        &self,
        space: Space,
        key: Name,
        value: Blob,
        ttl: Option<Span>,
        session: Option<u64>,
    ) -> PyResult<Pending> {
        let life = life(ttl, session)?;
        self.call(move |client| async move { space.of(&client).put(key.0, value.0, life).await })
    }

    fn kv_compare_and_set(
        &self,
        space: Space,
        key: Name,
        expected: Option<u64>,
        value: Blob,
        ttl: Option<Span>,
        session: Option<u64>,
    ) -> PyResult<Pending> {
        let life = life(ttl, session)?;
        self.call(move |client| async move { space.of(&client).compare_and_set(key.0, expected, value.0, life).await })
    }

    fn kv_delete(&self, space: Space, key: Name) -> PyResult<Pending> {
        self.call(|client| async move { space.of(&client).delete(key.0).await })
    }

    fn kv_delete_prefix(&self, space: Space, prefix: Name) -> PyResult<Pending> {
        self.call(|client| async move { space.of(&client).delete_prefix(prefix.0).await })
    }

    fn kv_list(&self, space: Space, prefix: Name, after: Option<Name>, limit: u32, stale: bool) -> PyResult<Pending> {
        let after = after.map(|after| after.0);
        self.call(move |client| async move { space.read(&client, stale).list(prefix.0, after, limit).await })
    }

    fn kv_list_all(&self, space: Space, prefix: Name, stale: bool) -> PyResult<Pending> {
        self.call(move |client| async move { space.read(&client, stale).list_all(prefix.0).await })
    }

    fn kv_transaction(
        &self,
        space: Space,
        compares: Many<Condition>,
        then: Many<Step>,
        otherwise: Many<Step>,
    ) -> PyResult<Pending> {
        let steps = |steps: Many<Step>| steps.0.into_iter().map(|step| step.0).collect();
        let compares = compares.0.into_iter().map(|compare| compare.0).collect();
        let transaction = Transaction { compares, then: steps(then), otherwise: steps(otherwise) };
        self.call(|client| async move {
            let done = space.of(&client).transaction(&transaction).await?;
            Ok::<_, Failure>((done.succeeded, done.outcomes))
        })
    }
}

/// A condition of a transaction, as a tuple.
struct Condition(Compare);

impl<'py> FromPyObject<'_, 'py> for Condition {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let tuple = object.cast::<PyTuple>()?;
        let word: String = tuple.get_item(0)?.extract()?;
        if let "exists" | "absent" = word.as_str() {
            let (_, Name(key)): (String, Name) = object.extract()?;
            return Ok(Self(if word == "exists" { Compare::Exists(key) } else { Compare::Absent(key) }));
        }
        if word == "value" {
            let (_, Name(key), Blob(value)): (String, Name, Blob) = object.extract()?;
            return Ok(Self(Compare::Value(key, value)));
        }
        let (_, Name(key), number): (String, Name, u64) = object.extract()?;
        match word.as_str() {
            "modified" => Ok(Self(Compare::Modified(key, number))),
            "modified-after" => Ok(Self(Compare::ModifiedAfter(key, number))),
            "created" => Ok(Self(Compare::Created(key, number))),
            "version" => Ok(Self(Compare::Version(key, number))),
            _ => Err(PyValueError::new_err(format!("unknown compare {word:?}"))),
        }
    }
}

/// A step of a transaction, as a tuple.
struct Step(Operation<'static>);

impl<'py> FromPyObject<'_, 'py> for Step {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let tuple = object.cast::<PyTuple>()?;
        let word: String = tuple.get_item(0)?.extract()?;
        if word == "put" {
            type Put = (String, Name, Blob, Option<Span>, Option<u64>);
            let (_, Name(key), Blob(value), ttl, session): Put = object.extract()?;
            return Ok(Self(Operation::Put(key, value, life(ttl, session)?)));
        }
        let (_, Name(key)): (String, Name) = object.extract()?;
        match word.as_str() {
            "get" => Ok(Self(Operation::Get(key))),
            "delete" => Ok(Self(Operation::Delete(key))),
            _ => Err(PyValueError::new_err(format!("unknown operation {word:?}"))),
        }
    }
}
