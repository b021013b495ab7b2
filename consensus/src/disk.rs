//! Where a member's data lies: the real files, and in tests one that tears, drops, fills up and fails.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use redb::StorageBackend;
use redb::backends::FileBackend;

/// A place for the data of one member.
pub(crate) trait Disk: Send + Sync + 'static {
    /// How the storage crate reaches the data file.
    type Data: StorageBackend;

    /// The data file, made empty if it is missing.
    fn data(&self) -> io::Result<Self::Data>;

    /// The file beside it that says how far the data file was synced.
    fn mark(&self) -> io::Result<Box<dyn Mark>>;

    /// What the data file is called in errors.
    fn name(&self) -> PathBuf;
}

/// A short file that is written in place and never synced: what it says was true when it was written.
pub(crate) trait Mark: Send + Sync + 'static {
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// The files of a data directory.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    /// The data file.
    pub(crate) const DATA: &str = "raft.redb";
    const MARK: &str = "raft.synced";
}

impl Disk for Directory {
    type Data = FileBackend;

    fn data(&self) -> io::Result<FileBackend> {
        let path = self.0.join(Self::DATA);
        let made = !path.exists();
        let file = open(&path)?;
        if made {
            // The name itself must survive a power cut, or the member would come back without its vote.
            File::open(&self.0)?.sync_all()?;
        }
        FileBackend::new(file).map_err(io::Error::other)
    }

    fn mark(&self) -> io::Result<Box<dyn Mark>> {
        Ok(Box::new(open(&self.0.join(Self::MARK))?))
    }

    fn name(&self) -> PathBuf {
        self.0.join(Self::DATA)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

impl Mark for File {
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.read_at(out, offset)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }
}
