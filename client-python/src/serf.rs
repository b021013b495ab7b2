//! The calls of Serf: members, cluster, tags, keys, handlers, numbers, events and queries.

use folkmoot_client::{Coalesce, MembersFilteredRequest, Prune, TagsRequest};
use pyo3::prelude::*;

use crate::core::Core;
use crate::input::{Blob, Many, Name, Pairs, texts};
use crate::pending::Pending;

#[pymethods]
impl Core {
    fn members(&self) -> PyResult<Pending> {
        self.call(|client| async move { client.members().await })
    }

    fn members_filtered(&self, name: Name, status: Name, tags: Pairs) -> PyResult<Pending> {
        let filter = MembersFilteredRequest { name: name.0, status: status.0, tags: tags.0 };
        self.call(|client| async move { client.members_filtered(filter).await })
    }

    fn join(&self, addresses: Many<Name>, replay: bool) -> PyResult<Pending> {
        let addresses: Vec<_> = texts(addresses);
        self.call(|client| async move { client.join(addresses, replay).await })
    }

    fn leave(&self) -> PyResult<Pending> {
        self.call(|client| async move { client.leave().await })
    }

    fn force_leave(&self, node: Name, prune: bool) -> PyResult<Pending> {
        let prune = if prune { Prune::Erase } else { Prune::Keep };
        self.call(move |client| async move { client.force_leave(node.0, prune).await })
    }

    fn tags(&self, set: Pairs, delete: Many<Name>) -> PyResult<Pending> {
        let change = TagsRequest { delete_tags: texts(delete), tags: set.0 };
        self.call(|client| async move { client.tags(change).await })
    }

    fn stats(&self) -> PyResult<Pending> {
        self.call(|client| async move { client.stats().await })
    }

    fn coordinate(&self, node: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.coordinate(node.0).await })
    }

    fn handlers(&self) -> PyResult<Pending> {
        self.call(|client| async move { client.handlers().await })
    }

    fn add_handler(&self, handler: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.add_handler(handler.0).await })
    }

    fn remove_handler(&self, handler: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.remove_handler(handler.0).await })
    }

    fn install_key(&self, key: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.install_key(key.0).await })
    }

    fn use_key(&self, key: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.use_key(key.0).await })
    }

    fn remove_key(&self, key: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.remove_key(key.0).await })
    }

    fn list_keys(&self) -> PyResult<Pending> {
        self.call(|client| async move { client.list_keys().await })
    }

    fn event(&self, name: Name, payload: Blob, coalesce: bool) -> PyResult<Pending> {
        let coalesce = if coalesce { Coalesce::Newest } else { Coalesce::Every };
        self.call(move |client| async move { client.event(name.0, Some(payload.0), coalesce).await })
    }

    fn respond(&self, query: u64, payload: Blob) -> PyResult<Pending> {
        self.call(move |client| async move { client.respond(query, Some(payload.0)).await })
    }
}
