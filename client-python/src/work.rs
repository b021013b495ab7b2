//! The calls about work queues.

use std::collections::BTreeSet;

use folkmoot_client::{Claim, NewItem, Text, WorkState};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::core::Core;
use crate::error::Failure;
use crate::held::{Dependence, ItemObject};
use crate::input::{Blob, Many, Name, Span, Waiting, texts};
use crate::pending::Pending;

#[pymethods]
impl Core {
    #[expect(clippy::too_many_arguments, reason = "each is one of the item's own")]
    fn work_put(
        &self,
        name: Name,
        payload: Blob,
        priority: u8,
        delay: Span,
        dedupe: Option<Name>,
        depends_on: Many<u64>,
        max_attempts: u32,
        requires: Many<Name>,
        target: Option<Name>,
        target_within: Option<Span>,
        excluded: Many<Name>,
    ) -> PyResult<Pending> {
        if target.is_none() && target_within.is_some() {
            return Err(PyValueError::new_err("target_within without target"));
        }
        let item = NewItem {
            payload: payload.0,
            priority,
            delay: delay.0,
            dedupe: dedupe.map(|key| key.0),
            depends_on: depends_on.0.into_iter().collect(),
            max_attempts,
            requires: texts(requires),
            target: target.map(|node| (node.0, target_within.map(|within| within.0))),
            excluded: texts(excluded),
        };
        self.call(|client| async move { client.work_queue(name.0).put(item).await })
    }

    #[expect(clippy::too_many_arguments, reason = "each is one of the claim's own")]
    fn work_claim(
        &self,
        name: Name,
        lease: Option<Span>,
        most: u32,
        capabilities: Many<Name>,
        node: Option<Name>,
        session: Option<Dependence>,
        wait: Waiting,
    ) -> PyResult<Pending> {
        let default = Claim::default();
        let claim = Claim {
            capabilities: texts::<BTreeSet<Text>>(capabilities),
            node: node.map(|node| node.0),
            lease: lease.map_or(default.lease, |lease| lease.0),
            most,
            session: session.map(|session| session.0),
        };
        let (shared, queue) = (self.shared(), name.0.to_string_lossy().into_owned());
        self.call(move |client| async move {
            let items = client.work_queue(name.0).claim(&claim, wait.0).await?;
            let items = items.into_iter().map(|item| ItemObject::new(&shared, item, &queue));
            Ok::<Vec<_>, Failure>(items.collect())
        })
    }

    fn work_heartbeat(&self, name: Name, item: u64, token: u64) -> PyResult<Pending> {
        self.call(move |client| async move { client.work_queue(name.0).heartbeat(item, token).await })
    }

    fn work_complete(&self, name: Name, item: u64, token: u64, result: Blob) -> PyResult<Pending> {
        self.call(move |client| async move { client.work_queue(name.0).complete(item, token, result.0).await })
    }

    fn work_fail(&self, name: Name, item: u64, token: u64, reason: Blob, retry_after: Span) -> PyResult<Pending> {
        self.call(
            move |client| async move { client.work_queue(name.0).fail(item, token, reason.0, retry_after.0).await },
        )
    }

    fn work_release(&self, name: Name, item: u64, token: u64, delay: Span) -> PyResult<Pending> {
        self.call(move |client| async move { client.work_queue(name.0).release(item, token, delay.0).await })
    }

    fn work_cancel(&self, name: Name, item: u64) -> PyResult<Pending> {
        self.call(move |client| async move { client.work_queue(name.0).cancel(item).await })
    }

    fn work_redrive(&self, name: Name, item: Option<u64>) -> PyResult<Pending> {
        self.call(move |client| async move { client.work_queue(name.0).redrive(item).await })
    }

    fn work_configure(&self, name: Name, soft: u64, hard: u64) -> PyResult<Pending> {
        self.call(move |client| async move { client.work_queue(name.0).configure(soft, hard).await })
    }

    fn work_forget(&self, name: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.work_queue(name.0).forget().await })
    }

    fn work_stats(&self, name: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.work_queue(name.0).stats().await })
    }

    fn work_get(&self, name: Name, item: u64) -> PyResult<Pending> {
        self.call(move |client| async move { client.work_queue(name.0).get(item).await })
    }

    fn work_list(&self, name: Name, after: u64, state: &str) -> PyResult<Pending> {
        let known = WorkState::ALL.iter().find(|known| known.as_str() == state);
        let state = *known.ok_or_else(|| PyValueError::new_err(format!("unknown state of an item {state:?}")))?;
        self.call(move |client| async move { client.work_queue(name.0).list(after, state).await })
    }

    fn work_dead(&self, name: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.work_queue(name.0).dead().await })
    }

    fn work_history(&self, name: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.work_queue(name.0).history().await })
    }
}
