//! What can be judged on this machine alone: settings, keys, ports, paths, clock.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use folkmoot_serf::Serf;
use folkmoot_serf::memberlist::Keyring;

use crate::clock::Clock;
use crate::commands::findings::Findings;
use crate::config::args::Raw;
use crate::config::coordination::DataPlace;
use crate::config::resolve::{Settings, resolve};
use crate::files::{keyring, tags};
use crate::net::go_errors;
use crate::net::interfaces::{self, Interfaces};
use crate::net::raft::TlsIdentity;

/// The settings, if they can be used at all.
pub(super) async fn settings(raw: Raw, unknown_variables: &[String], findings: &mut Findings) -> Option<Settings> {
    for variable in unknown_variables {
        findings.wrong("config", format!("{variable} means nothing to folkmoot"), "correct its name or remove it");
    }
    let mut told = Vec::new();
    let resolved = resolve(raw, &mut |line| told.push(line)).await;
    for line in told {
        findings.note("config", line, "");
    }
    match resolved {
        Ok(mut settings) => {
            load_keys(&mut settings, findings);
            load_tags(&mut settings, findings);
            match settings.engine(settings.bind) {
                Ok(engine) => {
                    let address = engine.memberlist.advertise_address.ip();
                    if address.is_some_and(interfaces::is_public) && engine.memberlist.keyring.is_empty() {
                        let seen = "a public address is advertised and gossip is not encrypted";
                        findings.wrong("address", seen, "set -encrypt to a key of `folkmoot keygen` on every member");
                    }
                    // A clock and a seed of its own: this engine never runs.
                    match Serf::new(engine, Clock::start().now(), [0; 32]) {
                        Ok(_) => findings.well("config", "the settings can be used"),
                        Err(error) => findings.wrong("config", error.to_string(), "correct this setting"),
                    }
                }
                Err(error) => findings.wrong("config", error.0, "correct this setting"),
            }
            Some(settings)
        }
        Err(error) => {
            findings.wrong("config", error.0, "correct this setting");
            None
        }
    }
}

fn load_keys(settings: &mut Settings, findings: &mut Findings) {
    let Some(path) = &settings.keyring_file else { return };
    if settings.encrypt_key.as_ref().is_some_and(|key| !key.is_empty()) {
        findings.wrong("keys", "both a key and a keyring file are set", "remove -encrypt (encrypt_key)");
        return;
    }
    match keyring::load(path) {
        Ok(keys) => settings.keyring = keys,
        Err(error) => {
            findings.wrong("keys", error, "correct the keyring file, or point -keyring-file at the right one")
        }
    }
}

fn load_tags(settings: &mut Settings, findings: &mut Findings) {
    let Some(path) = &settings.tags_file else { return };
    match tags::load(path, &settings.tags) {
        Ok(tags) => settings.tags = tags,
        Err(error) => findings.wrong("config", error, "correct the tags file, or set tags with -tag and no tags file"),
    }
}

/// The keys to talk with; empty: none are configured, or none can be used.
pub(super) fn keys(settings: &Settings) -> Keyring {
    settings.engine(settings.bind).map(|engine| engine.memberlist.keyring).unwrap_or_default()
}

/// Whether an agent could take its ports: asked only when none runs.
pub(super) fn ports(bind: SocketAddr, findings: &mut Findings) {
    let legs = [("TCP", TcpListener::bind(bind).map(drop)), ("UDP", UdpSocket::bind(bind).map(drop))];
    for (leg, bound) in legs {
        port(leg, bind, "-bind", bound, findings);
    }
}

/// The same of the Raft port.
pub(super) fn raft_port(listen: SocketAddr, findings: &mut Findings) {
    port("TCP", listen, "-raft-addr", TcpListener::bind(listen).map(drop), findings);
}

fn port(leg: &str, address: SocketAddr, flag: &str, bound: io::Result<()>, findings: &mut Findings) {
    match bound {
        Ok(()) => findings.well("ports", format!("{leg} {address} is free for an agent")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => findings.wrong(
            "ports",
            format!("{leg} {address} is used by another program, and no agent answers"),
            format!("stop that program, or choose another address or port with {flag}"),
        ),
        Err(error) => findings.wrong(
            "ports",
            format!("{leg} {address} cannot be used: {}", go_errors::cause(&error)),
            format!("set {flag} to an address of this machine"),
        ),
    }
}

/// What `bind` and `advertise` make others see.
pub(super) fn addresses(settings: &Settings, findings: &mut Findings) {
    if let Some(advertise) = settings.advertise {
        if advertise.ip().is_unspecified() {
            let seen = format!("{advertise} is advertised, which leads nowhere");
            findings.wrong("address", seen, "set -advertise to an address that other members reach");
        } else if advertise.ip().is_loopback() && !settings.bind.ip().is_loopback() {
            let seen = format!("{advertise} is advertised, where every machine finds only itself");
            findings.wrong("address", seen, "set -advertise to an address that other members reach");
        }
        return;
    }
    if settings.bind.ip().is_loopback() {
        let seen = format!("{} is reached from this machine only", settings.bind);
        findings.note("address", seen, "for a cluster of several machines set -bind to an address of the network");
    } else if settings.bind.ip().is_unspecified()
        && Interfaces::of_this_machine().is_ok_and(|machine| machine.private_address().is_none())
    {
        let seen = "no private address is there to advertise";
        findings.wrong("address", seen, "set -advertise to an address that other members reach");
    }
}

/// Whether the files an agent keeps can be written.
pub(super) fn paths(settings: &Settings, findings: &mut Findings) {
    let snapshot = settings.snapshot.as_deref().map(|path| ("-snapshot", path));
    let keyring = settings.keyring_file.as_deref().map(|path| ("-keyring-file", Path::new(path)));
    let tags = settings.tags_file.as_deref().map(|path| ("-tags-file", Path::new(path)));
    let data = settings.raft.as_ref().and_then(|raft| match &raft.data {
        // Where it will be made, if it is not there; its own files have their own rules.
        DataPlace::Directory(path) => {
            path.ancestors().find(|path| path.exists()).map(|path| ("-data-dir", path.join("identity.probe")))
        }
        DataPlace::Temporary => None,
    });
    let data = data.as_ref().map(|(flag, path)| (*flag, path.as_path()));
    for (flag, path) in [snapshot, keyring, tags, data].into_iter().flatten() {
        match writable(path) {
            Ok(()) => findings.well("disk", format!("{flag} {} can be written", path.display())),
            Err(error) => findings.wrong(
                "disk",
                format!("{flag} {} cannot be written: {}", path.display(), go_errors::cause(&error)),
                "give the agent's user a directory that it may write, with room on its disk",
            ),
        }
    }
}

/// Whether the certificates can be used, and for how long.
pub(super) fn certificates(settings: &Settings, findings: &mut Findings) {
    let Some(files) = &settings.raft_tls else { return };
    match TlsIdentity::load(files) {
        Ok(identity) if identity.expires_soon => findings.wrong(
            "certificates",
            format!("the certificate in {} expires within 30 days", files.cert),
            "put another in its place and send the agent SIGHUP",
        ),
        Ok(_) => findings.well("certificates", format!("{} and its key can be used", files.cert)),
        Err(error) => findings.wrong("certificates", error.to_string(), "correct this file"),
    }
}

/// Changes no file: one that is there is only opened, and one beside it is made and removed, as a replacement would be.
fn writable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(io::Error::from_raw_os_error(21)),
        Ok(_) => drop(File::options().append(true).open(path)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let probe = directory.join(format!(".folkmoot-doctor-{}", std::process::id()));
    let written = File::options().write(true).create_new(true).open(&probe).and_then(|mut file| {
        use std::io::Write;
        file.write_all(b"folkmoot doctor\n")?;
        file.sync_all()
    });
    let removed = fs::remove_file(&probe);
    written.and(removed)
}

/// The clock at the start, to be compared at the end.
pub(super) struct ClockCheck {
    wall: SystemTime,
    monotonic: Instant,
}

/// The wall clock may be adjusted by that much within one run.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(500);

/// 2024-01-01: the clock of a machine that forgot the time is before it. Seconds since 1970.
const EARLIEST: u64 = 1_704_067_200;

impl ClockCheck {
    pub(super) fn start() -> Self {
        Self { wall: SystemTime::now(), monotonic: Instant::now() }
    }

    pub(super) fn finish(&self, findings: &mut Findings) {
        let end = Self::start();
        let passed = end.monotonic.saturating_duration_since(self.monotonic);
        let difference = match end.wall.duration_since(self.wall) {
            Ok(wall) => wall.abs_diff(passed),
            Err(back) => back.duration().saturating_add(passed),
        };
        let set = end.wall.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since.as_secs() >= EARLIEST);
        if difference > CLOCK_TOLERANCE {
            let seen = format!("the wall clock jumped by {difference:?} while this ran");
            findings.wrong("clock", seen, "let one time service adjust the clock slowly, and none set it");
        } else if !set {
            findings.wrong("clock", "the wall clock is years behind", "set the clock, with a time service (NTP)");
        } else {
            findings.well("clock", "the wall clock is set and ran steadily; other members' clocks cannot be asked for");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(wall: SystemTime) -> String {
        let mut findings = Findings::default();
        ClockCheck { wall, monotonic: Instant::now() }.finish(&mut findings);
        findings.text()
    }

    #[test]
    fn a_wall_clock_that_jumps_is_told_in_both_directions() {
        let hour = Duration::from_secs(3600);
        assert!(said(SystemTime::now()).starts_with("ok     clock: "));
        assert!(said(SystemTime::now() - hour).starts_with("WRONG  clock: the wall clock jumped by 3"));
        assert!(said(SystemTime::now() + hour).starts_with("WRONG  clock: the wall clock jumped by 3"));
    }
}
