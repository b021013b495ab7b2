//! Where a member's data lies: the real files, and in tests ones that tear, drop, fill up and fail.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::limits::SEGMENT_BYTES;
use crate::segment;

/// A place for the data of one member: files with names, and a mark beside them.
pub(crate) trait Disk: Send + Sync + 'static {
    /// What is there.
    fn names(&self) -> io::Result<Vec<String>>;

    /// An empty file, in the place of one that has the name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// A file that is there.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, in the place of one that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a file's name away. Who has it open goes on reading.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns when the names are as durable as they can be.
    fn sync_names(&self) -> io::Result<()>;

    /// The file that says how far the log was synced.
    fn mark(&self) -> io::Result<Box<dyn Mark>>;

    /// What a file is called in errors; without a name, the directory.
    fn path(&self, name: &str) -> PathBuf;

    /// Bytes that are set aside for a segment of the log.
    fn segment_bytes(&self) -> u64;
}

/// An open file.
pub(crate) trait DiskFile: Send + Sync + 'static {
    fn length(&self) -> io::Result<u64>;
    /// Fills `out`, or fails.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Returns when what was written is as durable as it can be.
    fn sync(&self) -> io::Result<()>;
}

/// A short file that is written in place and never synced: what it says was true when it was written.
pub(crate) trait Mark: Send + Sync + 'static {
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// An error that says at which file it happened.
pub(crate) fn named(disk: &dyn Disk, name: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", disk.path(name).display()))
}

/// The files of a data directory.
#[derive(Clone)]
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    const MARK: &str = "raft.synced";

    /// Whether a log is there, in this program's form or in that of one before it.
    pub(crate) fn has_log(path: &Path) -> bool {
        let Ok(files) = fs::read_dir(path) else { return false };
        files.flatten().any(|file| {
            let name = file.file_name();
            let log = name.to_str().is_some_and(|name| segment::number(name).is_some() || name == segment::FORMER);
            log && file.metadata().is_ok_and(|data| data.len() > 0)
        })
    }
}

impl Disk for Directory {
    fn names(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.0)?.map(|file| file.map(|file| file.file_name().into_string()));
        // What is not text is not ours.
        Ok(names.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.path(name))?;
        Ok(Arc::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(self.path(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    fn mark(&self) -> io::Result<Box<dyn Mark>> {
        let path = self.path(Self::MARK);
        Ok(Box::new(OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?))
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.0.clone() } else { self.0.join(name) }
    }

    fn segment_bytes(&self) -> u64 {
        SEGMENT_BYTES
    }
}

impl DiskFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Mark for File {
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.read_at(out, offset)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }
}
