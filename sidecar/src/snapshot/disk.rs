//! What the journal asks of a disk, and the real one.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::net::go_errors;

/// A file operation failed; the disk's fault. In Go's words: `write /var/lib/serf.snap: no space left on device`.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}: {}", path.display(), go_errors::cause(error))]
pub(super) struct DiskError {
    pub action: &'static str,
    pub path: PathBuf,
    pub error: io::Error,
}

/// A file that grows at its end, and that can be replaced as a whole. After an error of [`Disk::append`] part of the
/// bytes may be in the file; after one of the others it is as it was.
pub(super) trait Disk {
    /// Adds to the end.
    fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError>;
    /// Takes away what is behind `length` bytes.
    fn cut(&mut self, length: u64) -> Result<(), DiskError>;
    /// Has everything on the disk when it returns.
    fn sync(&mut self) -> Result<(), DiskError>;
    /// Puts a successor beside the file, with `contents`, on the disk when it returns.
    fn prepare(&mut self, contents: &[u8]) -> Result<(), DiskError>;
    /// Puts the successor into the file's place, at once and for good.
    fn swap(&mut self) -> Result<(), DiskError>;
}

/// The operating system's.
#[derive(Debug)]
pub(super) struct RealDisk {
    path: PathBuf,
    file: File,
    successor: Option<File>,
}

impl RealDisk {
    /// Over an open file, locked, in append mode; `path` is where it is, links resolved.
    pub fn new(path: PathBuf, file: File) -> Self {
        Self { path, file, successor: None }
    }

    fn fault(&self, action: &'static str) -> impl Fn(io::Error) -> DiskError {
        let path = self.path.clone();
        move |error| DiskError { action, path: path.clone(), error }
    }
}

impl Disk for RealDisk {
    fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        let links = self.file.metadata().map_err(self.fault("stat"))?.nlink();
        if links == 0 {
            return Err(self.fault("write")(io::Error::other("the file was deleted or replaced")));
        }
        self.file.write_all(bytes).map_err(self.fault("write"))
    }

    fn cut(&mut self, length: u64) -> Result<(), DiskError> {
        // Somebody else may have made it shorter: it must not grow again.
        if self.file.metadata().map_err(self.fault("stat"))?.len() > length {
            self.file.set_len(length).map_err(self.fault("truncate"))?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), DiskError> {
        self.file.sync_all().map_err(self.fault("sync"))
    }

    fn prepare(&mut self, contents: &[u8]) -> Result<(), DiskError> {
        let path = successor_path(&self.path);
        let result = write_successor(&path, contents, self.file.metadata().ok().map(|file| file.mode()));
        match result {
            Ok(file) => {
                self.successor = Some(file);
                Ok(())
            }
            Err((action, error)) => {
                // What is half written only takes space.
                let _ = std::fs::remove_file(&path);
                Err(DiskError { action, path, error })
            }
        }
    }

    fn swap(&mut self) -> Result<(), DiskError> {
        let Some(successor) = self.successor.take() else {
            return Err(self.fault("rename")(io::Error::other("nothing was prepared")));
        };
        if let Err(error) = std::fs::rename(successor_path(&self.path), &self.path) {
            return Err(self.fault("rename")(error));
        }
        self.file = successor;
        if let Err(error) = sync_directory(&self.path) {
            let fault = self.fault("sync")(error);
            tracing::warn!(target: "serf", "Snapshot: {fault}: after a power loss the file may be the one before");
        }
        Ok(())
    }
}

/// Where a compacted file is written before it replaces `path`. Go's name for it.
pub(super) fn successor_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".compact");
    PathBuf::from(name)
}

/// Opens (creates) a snapshot to be read and appended to.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(SNAPSHOT_MODE).open(path)
}

/// Whether a lock was had: no other process writes a file that we hold locked. A file system without locks is no
/// obstacle, because Go's agent takes none.
pub(super) fn lock(file: &File) -> Lock {
    match file.try_lock() {
        Ok(()) => Lock::Held,
        Err(TryLockError::WouldBlock) => Lock::Taken,
        Err(TryLockError::Error(error)) => Lock::Unsupported(error),
    }
}

/// See [`lock`].
pub(super) enum Lock {
    Held,
    Taken,
    Unsupported(io::Error),
}

/// Makes a rename in the directory of `path` last.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        Some(_) | None => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

fn write_successor(path: &Path, contents: &[u8], mode: Option<u32>) -> Result<File, (&'static str, io::Error)> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(("remove", error)),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create_new(true).mode(SNAPSHOT_MODE);
    let mut file = options.open(path).map_err(|error| ("open", error))?;
    // Locked before it has the name that others open. Where locks do not work, the start has said so.
    let _ = lock(&file);
    if let Some(mode) = mode {
        // As before, but nobody executes a snapshot (Go's compaction leaves 0755).
        file.set_permissions(Permissions::from_mode(mode & 0o666)).map_err(|error| ("chmod", error))?;
    }
    file.write_all(contents).map_err(|error| ("write", error))?;
    file.sync_all().map_err(|error| ("sync", error))?;
    Ok(file)
}

/// Of a new file, before the process's mask. Go: the same, 0755 after a compaction.
const SNAPSHOT_MODE: u32 = 0o644;
