//! A disk in memory that forgets what was not synced, tears and reorders it, fills up, fails and lies, when it is told to.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::disk::{Disk, DiskFile, Mark};

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

/// Bytes of a segment of the log: few, so that there are many of them.
const SEGMENT: u64 = 16 * 1024;

/// What a disk writes at once, or not at all.
const SECTOR: usize = 512;

struct Write {
    offset: usize,
    bytes: Vec<u8>,
}

/// A file's contents, whatever it is called.
#[derive(Default, Clone)]
struct Inode {
    /// What reads see.
    current: Vec<u8>,
    /// What a power cut leaves.
    durable: Vec<u8>,
    /// What was written since the last sync: offset and bytes.
    pending: Vec<(usize, Vec<u8>)>,
}

/// A change of names that is not synced.
#[derive(Clone)]
enum Naming {
    Named(String, u64),
    Renamed { from: String, to: String, inode: u64 },
    Removed(String),
}

type Names = BTreeMap<String, u64>;

#[derive(Default)]
struct Platter {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    names: Names,
    durable_names: Names,
    naming: Vec<Naming>,
    mark: [u8; 32],
    /// Grows with each power cut: who opened the files before has lost them.
    power: u64,
    /// Most bytes.
    capacity: Option<usize>,
    fail_syncs: bool,
    fail_writes: bool,
    /// Syncs are reported done and not made.
    lie: bool,
    syncs: u64,
    /// Changes so far; and after how many of them power goes.
    changes: u64,
    last_change: Option<u64>,
}

/// The disk. Clones are the same one, each until the next power cut after it was made.
#[derive(Default)]
pub(crate) struct FaultDisk {
    platter: Arc<Mutex<Platter>>,
    power: u64,
}

impl Clone for FaultDisk {
    fn clone(&self) -> Self {
        let power = self.platter.lock().unwrap().power;
        Self { platter: Arc::clone(&self.platter), power }
    }
}

impl FaultDisk {
    /// Power goes: of what was not synced any part may have reached the platter, in any order, sector by sector, the last
    /// one torn; and any of the names.
    pub(crate) fn cut_power(&self, chance: &mut Chance) {
        let mut platter = self.platter.lock().unwrap();
        for inode in platter.inodes.values_mut() {
            let mut lucky: Vec<Write> = Vec::new();
            for (offset, bytes) in std::mem::take(&mut inode.pending) {
                // All of it, some of it, or nothing.
                let luck = chance.below(3);
                lucky.extend(
                    sectors(offset, &bytes).into_iter().filter(|_| luck == 0 || luck == 1 && chance.below(2) == 0),
                );
            }
            for last in (1..lucky.len()).rev() {
                let other = usize::try_from(chance.below(last as u64 + 1)).unwrap();
                lucky.swap(last, other);
            }
            if chance.below(2) == 0
                && let Some(Write { bytes, .. }) = lucky.last_mut()
            {
                let half = bytes.len() / 2;
                bytes.truncate(half);
            }
            for Write { offset, bytes } in lucky {
                apply(&mut inode.durable, offset, &bytes);
            }
            inode.current.clone_from(&inode.durable);
        }
        for naming in std::mem::take(&mut platter.naming) {
            if chance.below(2) == 0 {
                rename(&mut platter.durable_names, naming);
            }
        }
        platter.names = platter.durable_names.clone();
        platter.restart();
    }

    /// The process goes, the machine stays: everything written is there, synced or not.
    pub(crate) fn kill(&self) {
        self.platter.lock().unwrap().restart();
    }

    /// Most bytes of all files together.
    pub(crate) fn limit(&self, capacity: Option<usize>) {
        self.platter.lock().unwrap().capacity = capacity;
    }

    pub(crate) fn fail_syncs(&self, fail: bool) {
        self.platter.lock().unwrap().fail_syncs = fail;
    }

    pub(crate) fn fail_writes(&self, fail: bool) {
        self.platter.lock().unwrap().fail_writes = fail;
    }

    pub(crate) fn lie(&self) {
        self.platter.lock().unwrap().lie = true;
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.platter.lock().unwrap().syncs
    }

    /// Changes of files and names so far, each of which may be the last one.
    pub(crate) fn changes(&self) -> u64 {
        self.platter.lock().unwrap().changes
    }

    /// Everything fails behind that many changes from here.
    pub(crate) fn fail_after(&self, changes: u64) {
        let mut platter = self.platter.lock().unwrap();
        platter.last_change = Some(platter.changes + changes);
    }

    /// Bytes of all files.
    pub(crate) fn length(&self) -> usize {
        self.platter.lock().unwrap().length()
    }

    pub(crate) fn files(&self) -> Vec<String> {
        self.platter.lock().unwrap().names.keys().cloned().collect()
    }

    /// Changes what lies on the platter under a name.
    pub(crate) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut platter = self.platter.lock().unwrap();
        let number = platter.names[name];
        let inode = platter.inodes.get_mut(&number).unwrap();
        change(&mut inode.current);
        inode.durable = inode.current.clone();
        inode.pending.clear();
    }

    /// Takes a file away.
    pub(crate) fn lose(&self, name: &str) {
        let mut platter = self.platter.lock().unwrap();
        platter.names.remove(name).unwrap();
        platter.durable_names = platter.names.clone();
        platter.naming.clear();
    }

    /// Puts all files of another disk in the place of these; the mark stays.
    pub(crate) fn put_files_of(&self, other: &Self) {
        let other = other.copy();
        let other = other.platter.lock().unwrap();
        let mut platter = self.platter.lock().unwrap();
        platter.inodes = other.inodes.clone();
        platter.names = other.names.clone();
        platter.durable_names = other.durable_names.clone();
        platter.naming.clear();
        platter.restart();
    }

    /// All of it, with the mark.
    pub(crate) fn become_like(&self, other: &Self) {
        self.put_files_of(other);
        let mark = other.platter.lock().unwrap().mark;
        self.platter.lock().unwrap().mark = mark;
    }

    /// A copy with a life of its own.
    pub(crate) fn copy(&self) -> Self {
        let platter = self.platter.lock().unwrap();
        let copy = Platter {
            inodes: platter.inodes.clone(),
            next_inode: platter.next_inode,
            names: platter.names.clone(),
            durable_names: platter.durable_names.clone(),
            naming: platter.naming.clone(),
            mark: platter.mark,
            ..Platter::default()
        };
        Self { platter: Arc::new(Mutex::new(copy)), power: 0 }
    }

    fn handle(&self, inode: u64) -> Handle {
        Handle { platter: Arc::clone(&self.platter), inode, power: self.power }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Platter) -> io::Result<T>) -> io::Result<T> {
        self.platter.lock().unwrap().powered(self.power, work)
    }
}

impl Platter {
    fn length(&self) -> usize {
        self.names.values().map(|inode| self.inodes[inode].current.len()).sum()
    }

    /// Works for somebody who was there when the power was that.
    fn powered<T>(&mut self, power: u64, work: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        if self.power == power { work(self) } else { Err(io::Error::other("no power")) }
    }

    /// Who had files open has not any more.
    fn restart(&mut self) {
        self.power += 1;
        self.last_change = None;
        let used: Vec<u64> = self.names.values().chain(self.durable_names.values()).copied().collect();
        let pending: Vec<u64> = self.naming.iter().filter_map(Naming::inode).collect();
        self.inodes.retain(|number, _| used.contains(number) || pending.contains(number));
    }

    /// Counts a change, if power is there for it.
    fn change(&mut self) -> io::Result<()> {
        if self.last_change.is_some_and(|last| self.changes >= last) {
            return Err(io::Error::other("no power"));
        }
        self.changes += 1;
        Ok(())
    }

    fn rename(&mut self, naming: Naming) {
        rename(&mut self.names, naming.clone());
        self.naming.push(naming);
    }

    fn inode(&mut self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Naming {
    fn inode(&self) -> Option<u64> {
        match self {
            Self::Named(_, inode) | Self::Renamed { inode, .. } => Some(*inode),
            Self::Removed(_) => None,
        }
    }
}

fn rename(names: &mut Names, naming: Naming) {
    match naming {
        Naming::Named(name, inode) => drop(names.insert(name, inode)),
        Naming::Removed(name) => drop(names.remove(&name)),
        Naming::Renamed { from, to, inode } => {
            if names.get(&from) == Some(&inode) {
                names.remove(&from);
            }
            names.insert(to, inode);
        }
    }
}

fn sectors(mut offset: usize, mut bytes: &[u8]) -> Vec<Write> {
    let mut sectors = Vec::new();
    while !bytes.is_empty() {
        let (sector, rest) = bytes.split_at((SECTOR - offset % SECTOR).min(bytes.len()));
        sectors.push(Write { offset, bytes: sector.to_vec() });
        offset += sector.len();
        bytes = rest;
    }
    sectors
}

fn apply(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    let end = offset + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(new);
}

impl Disk for FaultDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.files())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.with(|platter| {
            platter.change()?;
            platter.next_inode += 1;
            let inode = platter.next_inode;
            platter.inodes.insert(inode, Inode::default());
            platter.rename(Naming::Named(name.to_owned(), inode));
            Ok(Arc::new(self.handle(inode)) as _)
        })
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.with(|platter| Ok(Arc::new(self.handle(platter.inode(name)?)) as _))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.with(|platter| {
            platter.change()?;
            let inode = platter.inode(from)?;
            platter.rename(Naming::Renamed { from: from.to_owned(), to: to.to_owned(), inode });
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.with(|platter| {
            platter.change()?;
            platter.inode(name)?;
            platter.rename(Naming::Removed(name.to_owned()));
            Ok(())
        })
    }

    fn sync_names(&self) -> io::Result<()> {
        self.with(|platter| {
            if platter.fail_syncs {
                return Err(io::Error::other("the cable is loose"));
            }
            platter.change()?;
            if !platter.lie {
                platter.naming.clear();
                platter.durable_names = platter.names.clone();
            }
            Ok(())
        })
    }

    fn mark(&self) -> io::Result<Box<dyn Mark>> {
        Ok(Box::new(self.handle(0)))
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }

    fn segment_bytes(&self) -> u64 {
        SEGMENT
    }
}

/// An open file, until power goes.
struct Handle {
    platter: Arc<Mutex<Platter>>,
    inode: u64,
    power: u64,
}

impl Handle {
    fn with<T>(&self, work: impl FnOnce(&mut Platter) -> io::Result<T>) -> io::Result<T> {
        self.platter.lock().unwrap().powered(self.power, work)
    }
}

impl DiskFile for Handle {
    fn length(&self) -> io::Result<u64> {
        self.with(|platter| Ok(platter.inodes[&self.inode].current.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|platter| {
            let offset = usize::try_from(offset).unwrap();
            let current = &platter.inodes[&self.inode].current;
            out.copy_from_slice(current.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(|platter| {
            platter.change()?;
            if platter.fail_writes {
                return Err(io::Error::other("the head is stuck"));
            }
            let offset = usize::try_from(offset).unwrap();
            let grows = (offset + bytes.len()).saturating_sub(platter.inodes[&self.inode].current.len());
            if grows > 0 && platter.capacity.is_some_and(|capacity| platter.length() + grows > capacity) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let inode = platter.inodes.get_mut(&self.inode).unwrap();
            apply(&mut inode.current, offset, bytes);
            inode.pending.push((offset, bytes.to_vec()));
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|platter| {
            if platter.fail_syncs {
                return Err(io::Error::other("the cable is loose"));
            }
            platter.change()?;
            platter.syncs += 1;
            if !platter.lie {
                let inode = platter.inodes.get_mut(&self.inode).unwrap();
                for (offset, bytes) in std::mem::take(&mut inode.pending) {
                    apply(&mut inode.durable, offset, &bytes);
                }
            }
            Ok(())
        })
    }
}

impl Mark for Handle {
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.with(|platter| {
            let offset = usize::try_from(offset).unwrap();
            out.copy_from_slice(&platter.mark[offset..offset + out.len()]);
            Ok(out.len())
        })
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(|platter| {
            platter.change()?;
            let offset = usize::try_from(offset).unwrap();
            platter.mark[offset..offset + bytes.len()].copy_from_slice(bytes);
            Ok(())
        })
    }
}
