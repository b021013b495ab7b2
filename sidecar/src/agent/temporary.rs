//! A directory for `-dev`: made at the start, for this user only, and removed at the end.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The directory. Removed with everything in it when this is dropped; a process that is killed leaves it behind.
#[derive(Debug)]
pub(super) struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    /// A new one, where the system keeps temporary files, with `random` in its name.
    ///
    /// # Errors
    /// What the system says: also that it is there already.
    pub(super) fn make(random: u64) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("folkmoot-dev-{random:016x}"));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(target: "agent", "cannot remove {}: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_private_new_and_gone_at_the_end() {
        use std::os::unix::fs::PermissionsExt;
        let random = u64::from(std::process::id());
        let directory = TemporaryDirectory::make(random).unwrap();
        let path = directory.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(path.join("file"), "x").unwrap();
        assert_eq!(TemporaryDirectory::make(random).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        drop(directory);
        assert!(!path.exists());
    }
}
