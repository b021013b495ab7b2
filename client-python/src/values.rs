//! [`Answer`]: what the client answers, as Python's own objects. Records are tuples in the order of `_folkmoot.pyi`, which is
//! that of the classes in `results.py`. This file has the building blocks and Serf's records, `records.rs` coordination's.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;
use folkmoot_client::{
    Coordinate, EventRecord, HandlerInfo, HandlersResponse, KeyResponse, Member, QueryAnswer, StatsResponse, Text,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

/// Something that Python can be given. Made by who asked, when it is asked for.
pub(crate) trait Answer: Send + 'static {
    /// As an object of Python's.
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>>;
}

/// A tuple of answers.
macro_rules! record {
    ($py:expr; $($field:expr),+ $(,)?) => {{
        let py = $py;
        Ok(pyo3::types::PyTuple::new(py, [$($crate::values::Answer::answer($field, py)?),+])?.into_any())
    }};
}
pub(crate) use record;

/// Types that Python has as well.
macro_rules! plain {
    ($($kind:ty),+) => { $(
        impl Answer for $kind {
            fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
                Ok(self.into_pyobject(py)?.to_owned().into_any())
            }
        }
    )+ };
}

plain!(bool, u8, u16, u32, u64, usize, i64, f64, String, &'static str);

impl Answer for () {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Ok(py.None().into_bound(py))
    }
}

/// Of words that come by the thousand.
impl Answer for Py<PyString> {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Ok(self.into_bound(py).into_any())
    }
}

impl<T: Answer> Answer for Option<T> {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Some(value) => value.answer(py),
            None => ().answer(py),
        }
    }
}

impl<T: Answer> Answer for Vec<T> {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let elements = self.into_iter().map(|element| element.answer(py)).collect::<PyResult<Vec<_>>>()?;
        Ok(PyList::new(py, elements)?.into_any())
    }
}

impl<T: Answer> Answer for Box<T> {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        (*self).answer(py)
    }
}

impl<K: Answer, V: Answer> Answer for BTreeMap<K, V> {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let dict = PyDict::new(py);
        for (key, value) in self {
            dict.set_item(key.answer(py)?, value.answer(py)?)?;
        }
        Ok(dict.into_any())
    }
}

impl<A: Answer, B: Answer> Answer for (A, B) {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        record!(py; self.0, self.1)
    }
}

impl<A: Answer, B: Answer, C: Answer> Answer for (A, B, C) {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        record!(py; self.0, self.1, self.2)
    }
}

impl Answer for Bytes {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Ok(PyBytes::new(py, &self).into_any())
    }
}

impl Answer for Text {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        if let Some(text) = self.as_str() {
            return Ok(PyString::new(py, text).into_any());
        }
        PyBytes::new(py, self.as_bytes()).call_method1("decode", ("utf-8", "surrogateescape"))
    }
}

/// Milliseconds, as seconds.
pub(crate) fn seconds(milliseconds: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years")]
    let seconds = milliseconds as f64 / 1000.0;
    seconds
}

/// Milliseconds, of which 0 means that there is no such time, as seconds.
pub(crate) fn seconds_unless_none(milliseconds: u64) -> Option<f64> {
    Some(milliseconds).filter(|milliseconds| *milliseconds != 0).map(seconds)
}

/// A number that names something, or 0 for nothing.
pub(crate) fn number(number: u64) -> Option<u64> {
    Some(number).filter(|number| *number != 0)
}

/// A name, or empty for nothing.
pub(crate) fn name(name: Text) -> Option<Text> {
    Some(name).filter(|name| !name.is_empty())
}

impl Answer for Member {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let address = if let Ok(address) = <[u8; 4]>::try_from(&*self.addr) {
            IpAddr::from(address).to_string()
        } else {
            <[u8; 16]>::try_from(&*self.addr).map(|address| IpAddr::from(address).to_string()).unwrap_or_default()
        };
        record!(
            py;
            self.name, address, self.port, self.tags, self.status,
            self.protocol_min, self.protocol_max, self.protocol_cur,
            self.delegate_min, self.delegate_max, self.delegate_cur,
        )
    }
}

impl Answer for EventRecord {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Members(event) => record!(py; event.event, event.members),
            Self::User(event) => {
                let kind = intern!(py, "user").clone().unbind();
                record!(py; kind, event.name, event.payload.unwrap_or_default(), event.ltime, event.coalesce)
            }
            Self::Query(event) => {
                let kind = intern!(py, "query").clone().unbind();
                record!(py; kind, event.id, event.name, event.payload.unwrap_or_default(), event.ltime)
            }
        }
    }
}

impl Answer for QueryAnswer {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Ack { from } => record!(py; from, None::<Bytes>),
            Self::Response { from, payload } => record!(py; from, payload),
        }
    }
}

impl Answer for StatsResponse {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        self.0.answer(py)
    }
}

impl Answer for Coordinate {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        record!(py; self.vec.unwrap_or_default(), self.error, self.adjustment, self.height)
    }
}

impl Answer for KeyResponse {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        record!(py; self.keys.unwrap_or_default(), self.messages, self.num_nodes, self.num_resp, self.num_err)
    }
}

impl Answer for HandlerInfo {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        record!(py; self.handler, self.source, self.runs, self.failures, self.dropped, self.waiting)
    }
}

impl Answer for HandlersResponse {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        record!(py; self.handlers, self.dropped)
    }
}
