//! The compiled half of the Python package `folkmoot`: the calls of `folkmoot-client`, waited for from threads and from
//! asyncio loops. What users see of it, in Python, is made in `python/folkmoot/`; `_folkmoot.pyi` there is the contract.

mod collections;
mod core;
mod error;
mod group;
mod held;
mod input;
mod kv;
mod locks;
mod notices;
mod pending;
mod records;
mod runtime;
mod serf;
mod streams;
mod subscribe;
mod turns;
mod values;
mod work;

/// The module `folkmoot._folkmoot`.
#[pyo3::pymodule(gil_used = false)]
mod _folkmoot {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::collections::TakenObject;
    #[pymodule_export]
    use crate::core::{Core, connect};
    #[pymodule_export]
    use crate::held::{HeldObject, ItemObject, PassageObject, SessionObject};
    #[pymodule_export]
    use crate::notices::{end_notices, next_notices};
    #[pymodule_export]
    use crate::pending::{Completions, Pending};
    #[pymodule_export]
    use crate::streams::Records;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
        module.add("WORDS", crate::error::words())
    }
}
