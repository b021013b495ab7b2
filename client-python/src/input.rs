//! What Python hands over, read into the client's types: text, bytes, spans, waits, iterables and mappings.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_client::{Text, Wait};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString};

/// Text: `str`, with surrogate escapes for bytes that are no UTF-8, as the names of files have.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) Text);

impl<'py> FromPyObject<'_, 'py> for Name {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let text = object.cast::<PyString>()?;
        if let Ok(text) = text.to_cow() {
            return Ok(Self(Text::from(&*text)));
        }
        let bytes = text.call_method1("encode", ("utf-8", "surrogateescape"))?;
        Ok(Self(Text::from_bytes(Bytes::copy_from_slice(bytes.cast::<PyBytes>()?.as_bytes()))))
    }
}

/// Bytes: `bytes` or `bytearray`.
pub(crate) struct Blob(pub(crate) Bytes);

impl<'py> FromPyObject<'_, 'py> for Blob {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self(Bytes::copy_from_slice(bytes.as_bytes())));
        }
        match object.cast::<PyByteArray>() {
            Ok(bytes) => Ok(Self(bytes.to_vec().into())),
            Err(_) => Err(PyTypeError::new_err(format!("bytes expected, not {}", object.get_type().name()?))),
        }
    }
}

/// Seconds.
#[derive(Clone, Copy)]
pub(crate) struct Span(pub(crate) Duration);

impl<'py> FromPyObject<'_, 'py> for Span {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let seconds: f64 = object.extract()?;
        let span = Duration::try_from_secs_f64(seconds);
        let span = span.map_err(|error| PyValueError::new_err(format!("{seconds} s is no span of time: {error}")))?;
        Ok(Self(span))
    }
}

/// Seconds a call may wait; `None` and infinity: without end.
pub(crate) struct Waiting(pub(crate) Wait);

impl<'py> FromPyObject<'_, 'py> for Waiting {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is_none() || object.extract::<f64>()? == f64::INFINITY {
            return Ok(Self(Wait::Always));
        }
        let Span(span) = object.extract()?;
        Ok(Self(if span.is_zero() { Wait::No } else { Wait::For(span) }))
    }
}

/// The elements of any iterable but text and bytes.
pub(crate) struct Many<T>(pub(crate) Vec<T>);

impl<'py, T: FromPyObjectOwned<'py>> FromPyObject<'_, 'py> for Many<T> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyString>() || object.is_instance_of::<PyBytes>() {
            return Err(PyTypeError::new_err("a list or the like is expected, not text or bytes"));
        }
        object.try_iter()?.map(|element| element?.extract().map_err(Into::into)).collect::<PyResult<_>>().map(Self)
    }
}

/// A mapping of text to text.
pub(crate) struct Pairs(pub(crate) BTreeMap<Text, Text>);

impl<'py> FromPyObject<'_, 'py> for Pairs {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let pairs = object.call_method0("items")?.try_iter()?;
        let pair = |pair: PyResult<Bound<'py, PyAny>>| {
            let (Name(key), Name(value)) = pair?.extract()?;
            Ok((key, value))
        };
        pairs.map(pair).collect::<PyResult<_>>().map(Self)
    }
}

/// The texts of names.
pub(crate) fn texts<C: FromIterator<Text>>(names: Many<Name>) -> C {
    names.0.into_iter().map(|name| name.0).collect()
}

/// The bytes of blobs.
pub(crate) fn blobs(blobs: Many<Blob>) -> Vec<Bytes> {
    blobs.0.into_iter().map(|blob| blob.0).collect()
}
