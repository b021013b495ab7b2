//! A disk in memory that forgets what was not synced, tears and reorders it, fills up, fails and lies, when it is told to.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use redb::{BackendError, StorageBackend};

use crate::disk::{Disk, Mark};

/// A sequence of numbers that only depends on its seed (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

enum Write {
    Bytes { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Default)]
struct Platter {
    /// What reads see.
    current: Vec<u8>,
    /// What a power cut leaves.
    durable: Vec<u8>,
    pending: Vec<Write>,
    mark: [u8; 32],
    /// Grows with each power cut: who opened the files before has lost them.
    power: u64,
    /// Most bytes.
    capacity: Option<usize>,
    fail_syncs: bool,
    /// Syncs are reported done and not made.
    lie: bool,
    syncs: u64,
}

/// The disk. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct FaultDisk(Arc<Mutex<Platter>>);

impl FaultDisk {
    /// Power goes: of what was not synced any part may have reached the platter, in any order, the last piece torn.
    pub(crate) fn cut_power(&self, chance: &mut Chance) {
        let mut platter = self.0.lock().unwrap();
        let pending = std::mem::take(&mut platter.pending);
        let mut durable = std::mem::take(&mut platter.durable);
        let mut lucky: Vec<Write> = pending.into_iter().filter(|_| chance.below(2) == 0).collect();
        for last in (1..lucky.len()).rev() {
            let other = usize::try_from(chance.below(last as u64 + 1)).unwrap();
            lucky.swap(last, other);
        }
        if let Some(Write::Bytes { bytes, .. }) = lucky.last_mut() {
            let half = bytes.len() / 2;
            bytes.truncate(half);
        }
        for write in lucky {
            apply(&mut durable, &write);
        }
        platter.current.clone_from(&durable);
        platter.durable = durable;
        platter.power += 1;
    }

    /// The process goes, the machine stays: everything written is there.
    pub(crate) fn kill(&self) {
        let mut platter = self.0.lock().unwrap();
        let pending = std::mem::take(&mut platter.pending);
        for write in pending {
            apply(&mut platter.durable, &write);
        }
        platter.power += 1;
    }

    pub(crate) fn limit(&self, capacity: Option<usize>) {
        self.0.lock().unwrap().capacity = capacity;
    }

    pub(crate) fn fail_syncs(&self, fail: bool) {
        self.0.lock().unwrap().fail_syncs = fail;
    }

    pub(crate) fn lie(&self) {
        self.0.lock().unwrap().lie = true;
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.0.lock().unwrap().syncs
    }

    pub(crate) fn length(&self) -> usize {
        self.0.lock().unwrap().current.len()
    }

    /// Changes what lies on the platter.
    pub(crate) fn damage(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut platter = self.0.lock().unwrap();
        change(&mut platter.current);
        platter.durable = platter.current.clone();
        platter.pending.clear();
    }

    /// A copy with a life of its own.
    pub(crate) fn copy(&self) -> Self {
        let platter = self.0.lock().unwrap();
        let copy = Platter {
            current: platter.current.clone(),
            durable: platter.durable.clone(),
            mark: platter.mark,
            ..Platter::default()
        };
        Self(Arc::new(Mutex::new(copy)))
    }
}

fn apply(bytes: &mut Vec<u8>, write: &Write) {
    match write {
        Write::Length(length) => bytes.resize(*length, 0),
        Write::Bytes { offset, bytes: new } => {
            let end = offset + new.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(new);
        }
    }
}

impl Disk for FaultDisk {
    type Data = Data;

    fn data(&self) -> io::Result<Data> {
        Ok(Data { disk: self.clone(), power: self.0.lock().unwrap().power })
    }

    fn mark(&self) -> io::Result<Box<dyn Mark>> {
        Ok(Box::new(self.data()?))
    }

    fn name(&self) -> PathBuf {
        PathBuf::from("raft.redb")
    }
}

pub(crate) struct Data {
    disk: FaultDisk,
    power: u64,
}

impl Data {
    fn with<T>(&self, work: impl FnOnce(&mut Platter) -> io::Result<T>) -> io::Result<T> {
        let mut platter = self.disk.0.lock().unwrap();
        if platter.power == self.power { work(&mut platter) } else { Err(io::Error::other("no power")) }
    }

    fn put(&self, write: Write) -> io::Result<()> {
        self.with(|platter| {
            let end = match &write {
                Write::Length(length) => *length,
                Write::Bytes { offset, bytes } => offset + bytes.len(),
            };
            if platter.capacity.is_some_and(|capacity| end > capacity && end > platter.durable.len()) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            apply(&mut platter.current, &write);
            platter.pending.push(write);
            Ok(())
        })
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a disk in memory")
    }
}

impl StorageBackend for Data {
    fn len(&self) -> io::Result<u64> {
        self.with(|platter| Ok(platter.current.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|platter| {
            let offset = usize::try_from(offset).unwrap();
            let found = platter.current.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(found);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.put(Write::Length(usize::try_from(len).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|platter| {
            if platter.fail_syncs {
                return Err(io::Error::other("the cable is loose"));
            }
            platter.syncs += 1;
            if !platter.lie {
                let pending = std::mem::take(&mut platter.pending);
                for write in pending {
                    apply(&mut platter.durable, &write);
                }
            }
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.put(Write::Bytes { offset: usize::try_from(offset).unwrap(), bytes: data.to_vec() })
    }

    fn try_lock_range(&self, _start: std::ops::Bound<u64>, _end: std::ops::Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn unlock_range(&self, _start: std::ops::Bound<u64>, _end: std::ops::Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }
}

impl Mark for Data {
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.with(|platter| {
            let offset = usize::try_from(offset).unwrap();
            out.copy_from_slice(&platter.mark[offset..offset + out.len()]);
            Ok(out.len())
        })
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(|platter| {
            let offset = usize::try_from(offset).unwrap();
            platter.mark[offset..offset + bytes.len()].copy_from_slice(bytes);
            Ok(())
        })
    }
}
