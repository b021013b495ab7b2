//! Snapshot lines: what Serf remembers over a restart, as text.
//!
//! Answers to Go's `serf/snapshot.go` and `docs/spec/serf-gossip.md` section 15. Pure functions over text; the file behind
//! them belongs to the shell.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::limits::{SNAPSHOT_MEMBERS_MAX, SNAPSHOT_WARNINGS_MAX};
use crate::{Event, LamportTime, MemberEvent, MemberEventKind, NodeName, Restored, Text};

/// One snapshot line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// `alive: NAME ADDR`
    Alive {
        /// Name.
        name: NodeName,
        /// Address.
        address: SocketAddr,
    },
    /// `not-alive: NAME`
    NotAlive {
        /// Name.
        name: NodeName,
    },
    /// `#failed: NAME ADDR`: a comment to Go, a peer of last resort to us (F13).
    Failed {
        /// Name.
        name: NodeName,
        /// Address.
        address: SocketAddr,
    },
    /// `clock: N`
    Clock(LamportTime),
    /// `event-clock: N`
    EventClock(LamportTime),
    /// `query-clock: N`
    QueryClock(LamportTime),
    /// `leave`
    Leave,
}

impl Record {
    /// Appends the line with its line end. A name that would break the file (control characters) writes nothing (F15).
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Alive { name, .. } | Self::NotAlive { name } | Self::Failed { name, .. }
                if has_control_bytes(name.0.as_bytes()) => {}
            Self::Alive { name, address } => {
                line(out, ALIVE, &[name.0.as_bytes(), b" ", address.to_string().as_bytes()]);
            }
            Self::NotAlive { name } => line(out, NOT_ALIVE, &[name.0.as_bytes()]),
            Self::Failed { name, address } => {
                line(out, FAILED, &[name.0.as_bytes(), b" ", address.to_string().as_bytes()]);
            }
            Self::Clock(time) => line(out, CLOCK, &[time.to_string().as_bytes()]),
            Self::EventClock(time) => line(out, EVENT_CLOCK, &[time.to_string().as_bytes()]),
            Self::QueryClock(time) => line(out, QUERY_CLOCK, &[time.to_string().as_bytes()]),
            Self::Leave => line(out, LEAVE, &[]),
        }
    }
}

/// What a `leave` line means to the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterLeave {
    /// Members and clocks before it are forgotten.
    Forget,
    /// It is as if it were not there (`rejoin_after_leave`).
    Rejoin,
}

/// A snapshot, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replay {
    /// What it brought back.
    pub restored: Restored,
    /// One text per line that was skipped, in Go's words.
    pub warnings: Vec<String>,
    /// Warnings beyond those.
    pub warnings_dropped: usize,
    /// Bytes up to and with the last line end: what follows is a torn line, to be cut off before appending (F11).
    pub whole_bytes: usize,
}

impl Replay {
    /// Reads a snapshot. Never fails: what cannot be read is skipped with a warning.
    pub fn read(file: &[u8], after_leave: AfterLeave) -> Self {
        let mut replay = Self::default();
        let whole = file.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end.saturating_add(1));
        for line in file.get(..whole).unwrap_or_default().split_inclusive(|&byte| byte == b'\n') {
            replay.line(line.strip_suffix(b"\n").unwrap_or(line), after_leave);
        }
        replay
    }

    /// Reads the next whole line, given without its end: for files too large to be held.
    pub fn line(&mut self, line: &[u8], after_leave: AfterLeave) {
        self.whole_bytes = self.whole_bytes.saturating_add(line.len()).saturating_add(1);
        match parse(line) {
            Ok(None) => {}
            Ok(Some(Record::Alive { name, .. } | Record::Failed { name, .. })) if self.is_full_for(&name) => {
                self.warn(format!("Too many members in the snapshot: {}", String::from_utf8_lossy(line)));
            }
            Ok(Some(record)) => self.restored.apply(record, after_leave),
            Err(warning) => self.warn(warning),
        }
    }

    /// Skips a line too long to be one, that begins with `beginning`; the next one starts at `offset`.
    pub fn skip_to(&mut self, offset: usize, beginning: &[u8]) {
        self.whole_bytes = offset;
        self.warn(format!("Unrecognized snapshot line: {}", String::from_utf8_lossy(beginning).escape_default()));
    }

    fn is_full_for(&self, name: &NodeName) -> bool {
        let Restored { members, failed, .. } = &self.restored;
        let known = members.contains_key(name) || failed.contains_key(name);
        !known && members.len().saturating_add(failed.len()) >= SNAPSHOT_MEMBERS_MAX
    }

    fn warn(&mut self, warning: String) {
        if self.warnings.len() < SNAPSHOT_WARNINGS_MAX {
            self.warnings.push(warning);
        } else {
            self.warnings_dropped = self.warnings_dropped.saturating_add(1);
        }
    }
}

/// One line without its end: a record, nothing (comments, coordinates of old versions), or a warning.
fn parse(line: &[u8]) -> Result<Option<Record>, String> {
    let text = || String::from_utf8_lossy(line).into_owned();
    if has_control_bytes(line) {
        // After a power loss some file systems leave blocks of NUL bytes (F11).
        return Err(format!("Unrecognized snapshot line: {}", text().escape_default()));
    }
    let name = |bytes: &[u8]| NodeName(Text::from_bytes(Bytes::copy_from_slice(bytes)));
    if let Some(info) = line.strip_prefix(ALIVE) {
        let failed = || format!("Failed to parse address: {}", text());
        let (member, address) = named_address(info).ok_or_else(failed)?;
        Ok(Some(Record::Alive { name: name(member), address }))
    } else if let Some(info) = line.strip_prefix(FAILED) {
        // What looks like ours by chance is a comment.
        Ok(named_address(info).map(|(member, address)| Record::Failed { name: name(member), address }))
    } else if let Some(member) = line.strip_prefix(NOT_ALIVE) {
        Ok(Some(Record::NotAlive { name: name(member) }))
    } else if let Some(number) = line.strip_prefix(CLOCK) {
        time("clock", number).map(|time| Some(Record::Clock(time)))
    } else if let Some(number) = line.strip_prefix(EVENT_CLOCK) {
        time("event clock", number).map(|time| Some(Record::EventClock(time)))
    } else if let Some(number) = line.strip_prefix(QUERY_CLOCK) {
        time("query clock", number).map(|time| Some(Record::QueryClock(time)))
    } else if line == LEAVE {
        Ok(Some(Record::Leave))
    } else if line.starts_with(COORDINATE) || line.starts_with(COMMENT) {
        Ok(None)
    } else {
        Err(format!("Unrecognized snapshot line: {}", text()))
    }
}

/// `NAME ADDR`; the name may hold blanks.
fn named_address(info: &[u8]) -> Option<(&[u8], SocketAddr)> {
    let space = info.iter().rposition(|&byte| byte == b' ')?;
    let (name, address) = info.split_at_checked(space)?;
    let address = std::str::from_utf8(address).ok()?.trim_start().parse().ok()?;
    Some((name, address))
}

/// A number as Go's `ParseUint(_, 10, 64)` takes it: digits only.
fn time(what: &str, number: &[u8]) -> Result<LamportTime, String> {
    let text = String::from_utf8_lossy(number);
    let failed = |why| format!("Failed to convert {what} time: strconv.ParseUint: parsing {text:?}: {why}");
    if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
        return Err(failed("invalid syntax"));
    }
    text.parse().map(LamportTime).map_err(|_| failed("value out of range"))
}

impl Restored {
    /// Takes in one line of a snapshot. Clocks only go forward (F11): where Go takes the last value, a line that was
    /// written late or by hand cannot bring old events back.
    pub fn apply(&mut self, record: Record, after_leave: AfterLeave) {
        match record {
            Record::Alive { name, address } => {
                self.failed.remove(&name);
                self.members.insert(name, address);
            }
            Record::NotAlive { name } => {
                self.failed.remove(&name);
                self.members.remove(&name);
            }
            Record::Failed { name, address } => {
                self.members.remove(&name);
                self.failed.insert(name, address);
            }
            Record::Clock(time) => self.clock = self.clock.max(time),
            Record::EventClock(time) => self.event_clock = self.event_clock.max(time),
            Record::QueryClock(time) => self.query_clock = self.query_clock.max(time),
            Record::Leave => match after_leave {
                AfterLeave::Forget => *self = Self::default(),
                AfterLeave::Rejoin => {}
            },
        }
    }

    /// The shortest file that brings back the same: what compaction writes.
    pub fn compact(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, &address) in &self.members {
            Record::Alive { name: name.clone(), address }.write(&mut out);
        }
        for (name, &address) in &self.failed {
            Record::Failed { name: name.clone(), address }.write(&mut out);
        }
        Record::Clock(self.clock).write(&mut out);
        Record::EventClock(self.event_clock).write(&mut out);
        Record::QueryClock(self.query_clock).write(&mut out);
        out
    }
}

/// Size (bytes) beyond which a file is compacted, for the number of members it holds.
pub fn compaction_threshold(members: usize) -> u64 {
    let estimate = (members as u64).saturating_mul(MEMBER_ESTIMATE_BYTES).saturating_mul(COMPACTION_FACTOR);
    estimate.max(COMPACTION_MIN_BYTES)
}

/// Decides which lines events are worth, and knows what the file says so far.
#[derive(Debug, Clone)]
pub struct Recorder {
    state: Restored,
    leaving: bool,
}

impl Recorder {
    /// Goes on where a snapshot ended.
    pub fn new(restored: Restored) -> Self {
        Self { state: restored, leaving: false }
    }

    /// Lines for an event, in the order before coalescing. `member_clock`: the clock's next unused time.
    pub fn on_event(&mut self, event: &Event, member_clock: LamportTime) -> Vec<Record> {
        if self.leaving {
            return Vec::new();
        }
        match event {
            Event::Members(event) => {
                let mut records = self.on_members(event);
                records.extend(self.on_clock(member_clock));
                records
            }
            Event::User(event) if event.ltime > self.state.event_clock => {
                self.state.event_clock = event.ltime;
                vec![Record::EventClock(event.ltime)]
            }
            Event::Query(query) => self.on_query(query.key.ltime).into_iter().collect(),
            Event::User(_) => Vec::new(),
        }
    }

    /// A query, internal ones too.
    pub fn on_query(&mut self, ltime: LamportTime) -> Option<Record> {
        if self.leaving || ltime <= self.state.query_clock {
            return None;
        }
        self.state.query_clock = ltime;
        Some(Record::QueryClock(ltime))
    }

    /// A member that failed in an earlier life and is not expected any more.
    pub fn on_forgotten(&mut self, name: &NodeName) -> Option<Record> {
        if self.leaving || self.state.failed.remove(name).is_none() {
            return None;
        }
        Some(Record::NotAlive { name: name.clone() })
    }

    /// The check every [`CLOCK_CHECK_INTERVAL`] and at shutdown.
    pub fn on_clock(&mut self, member_clock: LamportTime) -> Option<Record> {
        let seen = member_clock.minus(1);
        if seen <= self.state.clock {
            return None;
        }
        self.state.clock = seen;
        Some(Record::Clock(seen))
    }

    /// A graceful leave: afterwards only the clock check gives lines.
    pub fn on_leave(&mut self, after_leave: AfterLeave) -> Record {
        self.leaving = true;
        if after_leave == AfterLeave::Forget {
            self.state.members.clear();
            self.state.failed.clear();
        }
        Record::Leave
    }

    /// What the file amounts to: to be compacted.
    pub fn state(&self) -> &Restored {
        &self.state
    }

    fn on_members(&mut self, event: &MemberEvent) -> Vec<Record> {
        let mut records = Vec::new();
        for member in &event.members {
            let name = member.name.clone();
            let address = member.address.ip().map(|ip| SocketAddr::new(ip, member.port));
            match (event.kind, address) {
                (MemberEventKind::Join, Some(address)) => records.push(Record::Alive { name, address }),
                (MemberEventKind::Leave, _) | (MemberEventKind::Failed, None) => {
                    records.push(Record::NotAlive { name });
                }
                (MemberEventKind::Failed, Some(address)) => {
                    records.push(Record::NotAlive { name: name.clone() });
                    records.push(Record::Failed { name, address });
                }
                // Nobody hopes for its return any more.
                (MemberEventKind::Reap, _) if self.state.failed.contains_key(&name) => {
                    records.push(Record::NotAlive { name });
                }
                (MemberEventKind::Join, None) | (MemberEventKind::Update | MemberEventKind::Reap, _) => {}
            }
        }
        for record in &records {
            self.state.apply(record.clone(), AfterLeave::Rejoin);
        }
        records
    }
}

/// Time between clock checks (Go `clockUpdateInterval`).
pub const CLOCK_CHECK_INTERVAL: std::time::Duration = std::time::Duration::from_millis(500);

fn line(out: &mut Vec<u8>, prefix: &[u8], parts: &[&[u8]]) {
    out.extend_from_slice(prefix);
    for part in parts {
        out.extend_from_slice(part);
    }
    out.push(b'\n');
}

fn has_control_bytes(bytes: &[u8]) -> bool {
    bytes.iter().any(u8::is_ascii_control)
}

const ALIVE: &[u8] = b"alive: ";
const NOT_ALIVE: &[u8] = b"not-alive: ";
const FAILED: &[u8] = b"#failed: ";
const CLOCK: &[u8] = b"clock: ";
const EVENT_CLOCK: &[u8] = b"event-clock: ";
const QUERY_CLOCK: &[u8] = b"query-clock: ";
const COORDINATE: &[u8] = b"coordinate: ";
const LEAVE: &[u8] = b"leave";
const COMMENT: &[u8] = b"#";

/// Go `snapshotBytesPerNode`.
const MEMBER_ESTIMATE_BYTES: u64 = 128;
/// Go `snapshotCompactionThreshold`.
const COMPACTION_FACTOR: u64 = 2;
/// Go `DefaultConfig.MinSnapshotSize`.
const COMPACTION_MIN_BYTES: u64 = 128 * 1024;

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
