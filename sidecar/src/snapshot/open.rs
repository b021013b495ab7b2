//! Opening a snapshot: whose it is, what it says, and what a crash left behind.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use folkmoot_serf::records::{AfterLeave, Replay};

use super::Opened;
use super::disk::{self, Lock, RealDisk, successor_path};
use super::journal::Journal;
use crate::limits::{SNAPSHOT_LINE_BYTES, SNAPSHOT_OPEN_ATTEMPTS, SNAPSHOT_WARNING_CHARACTERS};
use crate::net::go_errors;

/// The snapshot cannot be used: our configuration's or the disk's fault. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Go's text.
    #[error("failed to open snapshot: open {}: {}", path.display(), go_errors::cause(error))]
    Open {
        /// As configured.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It was opened but cannot be read.
    #[error("failed to open snapshot: read {}: {}", path.display(), go_errors::cause(error))]
    Read {
        /// As configured.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A device, a socket or a pipe: compaction would replace it.
    #[error("failed to open snapshot: {} is not a regular file", path.display())]
    NotAFile {
        /// As configured.
        path: PathBuf,
    },
    /// Two agents that write one file would each restore a mixture of both.
    #[error("failed to open snapshot: {} is in use by another agent: give each its own (-snapshot)", path.display())]
    InUse {
        /// As configured.
        path: PathBuf,
    },
}

/// See [`Opened::open`].
pub(super) fn open(path: &Path, after_leave: AfterLeave) -> Result<Opened, OpenError> {
    let (real_path, file) = take(path)?;
    let failed = |error| OpenError::Read { path: path.to_owned(), error };
    let (replay, bytes) = replay(&file, after_leave).map_err(failed)?;
    tell(&replay);
    let whole = replay.whole_bytes as u64;
    let mut journal = Journal::new(RealDisk::new(real_path, file), replay.restored.clone(), whole, after_leave);
    if bytes > whole {
        repair(path, &mut journal, bytes, whole);
    }
    Ok(Opened { restored: replay.restored, journal, path: path.to_owned() })
}

/// The file and its path without links: opened, locked, and still the one that has this name.
fn take(path: &Path) -> Result<(PathBuf, File), OpenError> {
    let failed = |error| OpenError::Open { path: path.to_owned(), error };
    for _ in 0..SNAPSHOT_OPEN_ATTEMPTS {
        let file = disk::open(path).map_err(failed)?;
        let opened = file.metadata().map_err(failed)?;
        if !opened.is_file() {
            return Err(OpenError::NotAFile { path: path.to_owned() });
        }
        match disk::lock(&file) {
            Lock::Held => {}
            Lock::Taken => return Err(OpenError::InUse { path: path.to_owned() }),
            Lock::Unsupported(error) => tracing::warn!(
                target: "serf",
                "Snapshot {}: {}: nobody notices if a second agent uses this file",
                path.display(),
                go_errors::cause(&error)
            ),
        }
        // Links are followed, so that a compaction replaces the file and not the link.
        let real_path = std::fs::canonicalize(path).map_err(failed)?;
        let named = std::fs::metadata(&real_path).map_err(failed)?;
        let replaced = (named.dev(), named.ino()) != (opened.dev(), opened.ino());
        if replaced || adopt_successor(&real_path, opened.len()) {
            continue;
        }
        return Ok((real_path, file));
    }
    Err(OpenError::InUse { path: path.to_owned() })
}

/// Go removes the old file before it renames the new one: a crash between leaves the new one only, whole, under its
/// other name. True: the empty file at `path` was replaced by it.
fn adopt_successor(path: &Path, bytes: u64) -> bool {
    let successor = successor_path(path);
    let Ok(found) = std::fs::symlink_metadata(&successor) else { return false };
    if bytes > 0 || !found.is_file() || found.len() == 0 {
        // Half a compaction, of no use. If it cannot be removed, the next compaction says so.
        if found.is_file() {
            let _ = std::fs::remove_file(&successor);
        }
        return false;
    }
    let adopted = std::fs::rename(&successor, path).and_then(|()| disk::sync_directory(path));
    let (path, successor) = (path.display(), successor.display());
    match adopted {
        Ok(()) => {
            tracing::info!(target: "serf", "Snapshot {path}: went on with {successor}, which a crash had left");
            true
        }
        Err(error) => {
            let cause = go_errors::cause(&error);
            tracing::warn!(target: "serf", "Snapshot {path}: cannot go on with {successor}: {cause}");
            false
        }
    }
}

/// What the file says, and its bytes, with memory for one line only.
fn replay(file: &File, after_leave: AfterLeave) -> io::Result<(Replay, u64)> {
    let mut reader = BufReader::new(file);
    let (mut replay, mut bytes, mut line) = (Replay::default(), 0_u64, Vec::new());
    loop {
        line.clear();
        let read = (&mut reader).take(SNAPSHOT_LINE_BYTES).read_until(b'\n', &mut line)?;
        bytes = bytes.saturating_add(read as u64);
        if read == 0 {
            return Ok((replay, bytes));
        }
        if let Some(whole) = line.strip_suffix(b"\n") {
            if whole == b"leave" && after_leave == AfterLeave::Rejoin {
                tracing::info!(target: "serf", "Ignoring previous leave in snapshot");
            }
            replay.line(whole, after_leave);
        } else if read as u64 == SNAPSHOT_LINE_BYTES {
            let beginning = std::mem::take(&mut line);
            while !line.ends_with(b"\n") {
                line.clear();
                let read = (&mut reader).take(SNAPSHOT_LINE_BYTES).read_until(b'\n', &mut line)?;
                bytes = bytes.saturating_add(read as u64);
                if read == 0 {
                    return Ok((replay, bytes));
                }
            }
            replay.skip_to(usize::try_from(bytes).unwrap_or(usize::MAX), &beginning);
        }
    }
}

fn tell(replay: &Replay) {
    for warning in &replay.warnings {
        let shown: String = warning.chars().take(SNAPSHOT_WARNING_CHARACTERS).collect();
        tracing::warn!(target: "serf", "{shown}");
    }
    if replay.warnings_dropped > 0 {
        let dropped = replay.warnings_dropped;
        tracing::warn!(target: "serf", "{dropped} more lines of the snapshot were skipped");
    }
}

/// Takes the part of a line at the end away, so that the next line is not glued to it.
fn repair(path: &Path, journal: &mut Journal<RealDisk>, bytes: u64, whole: u64) {
    let torn = bytes.saturating_sub(whole);
    match journal.cut() {
        Ok(()) => {
            let path = path.display();
            tracing::warn!(target: "serf", "Snapshot {path}: took away {torn} bytes of a line that was never finished");
        }
        Err(error) => {
            tracing::warn!(target: "serf", "Snapshot: {error}: a line that was never finished stays");
        }
    }
}
