//! The data directory's owner: which member it makes of an agent, and what that member has bound itself to in founding a
//! group. One small file, replaced as a whole, and a lock so that two agents never are the same member.
//!
//! `identity`: magic 8 bytes | length 4 | contents (`coordination::codec`) | CRC-32 of the contents 4, big-endian. A new
//! one is written beside it, synced, renamed over it, and the directory is synced: a crash leaves the old or the new one.
//!
//! Not here: the Raft log and snapshots, which lie in the same directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use folkmoot_coordination::codec;
use serde::{Deserialize, Serialize};

use crate::disk::Directory;
use crate::founding::Record;
use crate::limits::IDENTITY_BYTES_MAX;
use crate::peer::NodeId;

/// A data directory, ours until dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    contents: Contents,
    /// Locked as long as it is open.
    _lock: File,
}

/// Whose directory it is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The node's name in gossip (`-node`).
    pub name: String,
    /// The cluster it keeps to (`-cluster`).
    pub cluster: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Contents {
    id: NodeId,
    owner: Owner,
    record: Record,
}

/// Why a data directory cannot be used. What was in it is as it was.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The disk refuses.
    #[error("data directory {}: cannot {doing} {}: {cause}", path.display(), file.display())]
    Disk {
        /// Which directory.
        path: PathBuf,
        /// What was tried, as a verb.
        doing: &'static str,
        /// With which file.
        file: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another process has it.
    #[error("data directory {} is in use by another agent", path.display())]
    InUse {
        /// Which directory.
        path: PathBuf,
    },
    /// It has things in it, but not the file that says whose it is.
    #[error(
        "data directory {} holds {found} but no identity file: it is not a data directory, or its identity is lost; a first start needs an empty directory",
        path.display()
    )]
    NotOurs {
        /// Which directory.
        path: PathBuf,
        /// The first thing found in it.
        found: String,
    },
    /// It has an identity that took part in a group, but not the log.
    #[error(
        "data directory {}: the log (raft-*.log) is missing or empty although this member has taken part in a group: without it the member does not know how it voted; restore it, or start with an empty directory, which makes a new member",
        path.display()
    )]
    LogLost {
        /// Which directory.
        path: PathBuf,
    },
    /// Its identity cannot be believed.
    #[error(
        "data directory {}: the file identity is damaged ({reason}): restore it, or start with an empty directory, which makes a new member",
        path.display()
    )]
    Damaged {
        /// Which directory.
        path: PathBuf,
        /// How it was noticed.
        reason: String,
    },
    /// It is another node's.
    #[error(
        "data directory {} belongs to node '{found}', this is '{expected}': two nodes must not be one member (-node, -data-dir)",
        path.display()
    )]
    OtherNode {
        /// Which directory.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asked.
        expected: String,
    },
    /// It is another cluster's.
    #[error(
        "data directory {} belongs to {}, this agent is of {} (-cluster, -data-dir)",
        path.display(), cluster_text(found), cluster_text(expected)
    )]
    OtherCluster {
        /// Which directory.
        path: PathBuf,
        /// Whose it is.
        found: Option<String>,
        /// Who asked.
        expected: Option<String>,
    },
}

impl DataDirectory {
    /// Opens the directory at `path` for `owner`. An absent or empty one is a first start: it is made, and `fresh`, a random
    /// number nobody has drawn before, is the id of the new member.
    ///
    /// # Errors
    /// It is in use, cannot be written, is damaged, or belongs to another node or cluster.
    pub fn open(path: &Path, owner: Owner, fresh: NodeId) -> Result<Self, DirectoryError> {
        fs::create_dir_all(path).map_err(disk_error(path, "make", path))?;
        let lock = lock(path)?;
        let identity = path.join(IDENTITY);
        let contents = match File::open(&identity) {
            Ok(file) => read(path, file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                refuse_strange_contents(path)?;
                let contents = Contents { id: fresh, owner: owner.clone(), record: Record::Free };
                write(path, &contents)?;
                contents
            }
            Err(error) => return Err(disk_error(path, "open", &identity)(error)),
        };
        let path = path.to_owned();
        if contents.owner.name != owner.name {
            return Err(DirectoryError::OtherNode { path, found: contents.owner.name, expected: owner.name });
        }
        if contents.owner.cluster != owner.cluster {
            return Err(DirectoryError::OtherCluster { path, found: contents.owner.cluster, expected: owner.cluster });
        }
        if contents.record != Record::Free && !Directory::has_log(&path) {
            return Err(DirectoryError::LogLost { path });
        }
        // Better now than at the first promise.
        write(&path, &contents)?;
        Ok(Self { path, contents, _lock: lock })
    }

    /// The member.
    pub fn id(&self) -> NodeId {
        self.contents.id
    }

    /// What it has bound itself to.
    pub fn record(&self) -> &Record {
        &self.contents.record
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Binds the member; returns once it is durable.
    ///
    /// # Errors
    /// The disk refuses. Whether the old record holds after a crash or the new one is open then.
    pub fn keep(&mut self, record: Record) -> Result<(), DirectoryError> {
        let contents = Contents { record, ..self.contents.clone() };
        write(&self.path, &contents)?;
        self.contents = contents;
        Ok(())
    }
}

/// The file that says who the directory makes of an agent.
const IDENTITY: &str = "identity";
/// It, while it is written.
const IDENTITY_NEW: &str = "identity.new";
/// The file that is locked. It stays.
const LOCK: &str = "lock";
/// What a first start may find: what an interrupted one leaves, and what `mkfs` makes.
const HARMLESS: [&str; 3] = [IDENTITY_NEW, LOCK, "lost+found"];
const MAGIC: [u8; 8] = *b"FMKDATA\x01";

fn cluster_text(name: &Option<String>) -> String {
    name.as_ref().map_or_else(|| "no named cluster".to_owned(), |name| format!("cluster '{name}'"))
}

fn disk_error(path: &Path, doing: &'static str, file: &Path) -> impl FnOnce(io::Error) -> DirectoryError + use<> {
    let (path, file) = (path.to_owned(), file.to_owned());
    move |cause| DirectoryError::Disk { path, doing, file, cause }
}

fn lock(path: &Path) -> Result<File, DirectoryError> {
    let name = path.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&name);
    let file = file.map_err(disk_error(path, "open", &name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DirectoryError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(cause)) => Err(disk_error(path, "lock", &name)(cause)),
    }
}

fn refuse_strange_contents(path: &Path) -> Result<(), DirectoryError> {
    for entry in fs::read_dir(path).map_err(disk_error(path, "list", path))? {
        let name = entry.map_err(disk_error(path, "list", path))?.file_name();
        if !HARMLESS.iter().any(|harmless| name == *harmless) {
            let found = name.to_string_lossy().into_owned();
            return Err(DirectoryError::NotOurs { path: path.to_owned(), found });
        }
    }
    Ok(())
}

fn read(path: &Path, file: File) -> Result<Contents, DirectoryError> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(IDENTITY_BYTES_MAX).unwrap_or(u64::MAX);
    let whole = file.take(limit).read_to_end(&mut bytes);
    whole.map_err(disk_error(path, "read", &path.join(IDENTITY)))?;
    parse(&bytes).map_err(|reason| DirectoryError::Damaged { path: path.to_owned(), reason })
}

fn parse(bytes: &[u8]) -> Result<Contents, String> {
    let (magic, rest) = bytes.split_first_chunk::<8>().ok_or("it ends too early")?;
    if *magic != MAGIC {
        return Err("it does not begin as one".to_owned());
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or("it ends too early")?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|error| error.to_string())?;
    let (contents, check) = rest.split_at_checked(length).ok_or("it ends too early")?;
    if check != crc32fast::hash(contents).to_be_bytes() {
        return Err("its checksum is wrong".to_owned());
    }
    codec::decode(contents).map_err(|error| error.to_string())
}

fn write(path: &Path, contents: &Contents) -> Result<(), DirectoryError> {
    let (new, file) = (path.join(IDENTITY_NEW), path.join(IDENTITY));
    let bytes = bytes_of(contents).map_err(disk_error(path, "write", &new))?;
    let mut written = File::create(&new).map_err(disk_error(path, "write", &new))?;
    written.write_all(&bytes).map_err(disk_error(path, "write", &new))?;
    written.sync_all().map_err(disk_error(path, "sync", &new))?;
    fs::rename(&new, &file).map_err(disk_error(path, "replace", &file))?;
    let directory = File::open(path).map_err(disk_error(path, "open", path))?;
    directory.sync_all().map_err(disk_error(path, "sync", path))
}

fn bytes_of(contents: &Contents) -> io::Result<Vec<u8>> {
    let mut encoded = Vec::new();
    codec::encode(contents, &mut encoded).map_err(io::Error::other)?;
    let mut bytes = MAGIC.to_vec();
    let length = u32::try_from(encoded.len()).map_err(io::Error::other)?;
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&encoded);
    bytes.extend_from_slice(&crc32fast::hash(&encoded).to_be_bytes());
    if bytes.len() > IDENTITY_BYTES_MAX {
        return Err(io::Error::other("it would be longer than it may be"));
    }
    Ok(bytes)
}

#[cfg(test)]
#[path = "data_directory_tests.rs"]
mod tests;
