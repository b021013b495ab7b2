//! The calls about the group itself.

use folkmoot_client::Text;
use pyo3::prelude::*;
use tokio::fs::File;

use crate::core::Core;
use crate::error::Failure;
use crate::input::Name;
use crate::pending::Pending;

#[pymethods]
impl Core {
    fn revision(&self) -> PyResult<Pending> {
        self.call(|client| async move { client.revision().await })
    }

    fn group_status(&self) -> PyResult<Pending> {
        self.call(|client| async move { client.group().status().await })
    }

    fn group_members(&self) -> PyResult<Pending> {
        self.call(|client| async move { client.group().members().await })
    }

    fn group_add(&self, member: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.group().add(member.0).await })
    }

    fn group_remove(&self, member: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.group().remove(member.0).await })
    }

    fn group_promote(&self, member: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.group().promote(member.0).await })
    }

    fn group_demote(&self, member: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.group().demote(member.0).await })
    }

    fn group_transfer(&self, member: Option<Name>) -> PyResult<Pending> {
        let member: Option<Text> = member.map(|member| member.0);
        self.call(|client| async move { client.group().transfer(member).await })
    }

    fn group_restore(&self, path: std::path::PathBuf, other_group: bool) -> PyResult<Pending> {
        self.call(move |client| async move {
            let mut backup = File::open(&path).await.map_err(|error| {
                Failure::Client(folkmoot_client::Error::Read { reason: format!("{}: {error}", path.display()).into() })
            })?;
            Ok::<_, Failure>(client.group().restore(&mut backup, other_group).await?)
        })
    }
}
