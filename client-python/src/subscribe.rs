//! The calls that open streams.

use folkmoot_client::{Client, QueryRequest, Scope, WatchOptions};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::core::Core;
use crate::error::Failure;
use crate::input::{Blob, Many, Name, Pairs, Span, texts};
use crate::kv::Space;
use crate::pending::Pending;
use crate::streams::{Opened, Source, Watched};

impl Core {
    /// Opens a stream.
    fn open<S, E, F>(&self, open: impl FnOnce(Client) -> F) -> PyResult<Pending>
    where
        S: Source,
        E: Into<Failure> + Send + 'static,
        F: Future<Output = Result<S, E>> + Send + 'static,
    {
        let shared = self.shared();
        self.call(|client| {
            let source = open(client);
            async move { source.await.map(|source| Opened::new(&shared, source)) }
        })
    }
}

#[pymethods]
impl Core {
    #[expect(clippy::too_many_arguments, reason = "each is one of the query's own")]
    fn query(
        &self,
        name: Name,
        payload: Blob,
        nodes: Many<Name>,
        tags: Pairs,
        ack: bool,
        relay: u8,
        timeout: Option<Span>,
    ) -> PyResult<Pending> {
        let nanoseconds = timeout.map_or(0, |span| i64::try_from(span.0.as_nanos()).unwrap_or(i64::MAX).max(1));
        let request = QueryRequest {
            filter_nodes: texts(nodes),
            filter_tags: tags.0,
            name: name.0,
            payload: Some(payload.0),
            relay_factor: relay,
            request_ack: ack,
            timeout: nanoseconds,
        };
        self.open(|client| async move { client.query(request).await })
    }

    fn stream(&self, filter: Name) -> PyResult<Pending> {
        self.open(|client| async move { client.stream(filter.0).await })
    }

    fn monitor(&self, level: Name) -> PyResult<Pending> {
        self.open(|client| async move { client.monitor(level.0).await })
    }

    fn kv_watch(&self, space: Space, prefix: Name, after: Option<u64>) -> PyResult<Pending> {
        self.open(move |client| async move {
            let watch = space.of(&client).watch(prefix.0, after).await?;
            Ok::<_, Failure>(Watched { watch, space: space.prefix() })
        })
    }

    fn watch(&self, scope: &str, prefix: Name, after: Option<u64>) -> PyResult<Pending> {
        let known = Scope::ALL.iter().find(|known| known.as_str() == scope);
        let scope = *known.ok_or_else(|| PyValueError::new_err(format!("unknown kind of object {scope:?}")))?;
        let options = WatchOptions { prefix: prefix.0, scope, after };
        self.open(|client| async move {
            let watch = client.watch(options).await?;
            Ok::<_, Failure>(Watched { watch, space: String::new() })
        })
    }

    fn election_observe(&self, name: Name) -> PyResult<Pending> {
        self.open(|client| async move { client.election(name.0).observe().await })
    }

    fn group_backup(&self) -> PyResult<Pending> {
        self.open(|client| async move { client.group().backup().await })
    }
}
