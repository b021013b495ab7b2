//! What the settings of coordination mean: `-raft` and what belongs to it, certificates, `-dev`. Serf has none of them.
//!
//! `-dev` takes no setting away from files or the environment: where one of theirs cannot go with it, both are named and
//! the agent does not start.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use folkmoot_serf::VoterPreference;

use super::args::Raw;
use super::resolve::SettingsError;
use crate::limits::RAFT_VOTERS;
use crate::net::addresses;
use crate::net::raft::TlsFiles;

/// Port of an address that names none. The same for all nodes unless it is set: nothing else uses it.
pub const DEFAULT_RAFT_PORT: u16 = 4321;

/// Members with a vote where nothing is configured. Ours: two may fail.
const DEFAULT_VOTERS: usize = 5;

/// What an agent with `-raft` needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftSettings {
    /// Where it listens; port 0 leaves the port to the system.
    pub listen: SocketAddr,
    /// What others shall use instead; `None`: the gossip address, with the port in use.
    pub advertise: Option<SocketAddr>,
    /// Found the group when so many nodes have met.
    pub bootstrap_expect: Option<usize>,
    /// Members with a vote at most; odd.
    pub max_voters: usize,
    /// Whether this node may get a vote.
    pub voter: VoterPreference,
    /// Where its share of the state is kept.
    pub data: DataPlace,
}

/// Where a node keeps its share of the group's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataPlace {
    /// In this directory.
    Directory(PathBuf),
    /// In a directory that is made at the start and removed at the end.
    Temporary,
}

/// `-raft` and what belongs to it; `None` without it. `bind` is the gossip address.
///
/// # Errors
/// A setting that cannot be used, or that needs another one: its flag, value, the reason and what would do.
pub(super) async fn raft(raw: &Raw, bind: SocketAddr) -> Result<Option<RaftSettings>, SettingsError> {
    let dev = raw.dev == Some(true);
    if dev {
        refuse_with_dev(raw, bind).await?;
    } else if raw.raft != Some(true) {
        needs_raft(raw)?;
        return Ok(None);
    }
    if raw.no_capability == Some(true) {
        return fault(
            "-raft cannot go with -no-capability: by it the members of the group find one another; leave one of them out",
        );
    }
    let listen = match &raw.raft_addr {
        Some(text) => address("-raft-addr", text).await?,
        None => SocketAddr::new(bind.ip(), DEFAULT_RAFT_PORT),
    };
    let advertise = match &raw.raft_advertise {
        Some(text) => Some(advertised(text, address("-raft-advertise", text).await?)?),
        // Where the gossip address is, nobody listens for Raft.
        None if !listen.ip().is_unspecified() && listen.ip() != bind.ip() => Some(listen),
        None => None,
    };
    let max_voters = max_voters(raw.raft_max_voters)?;
    let voter = voter(raw.raft_voter.as_deref())?;
    let bootstrap_expect = bootstrap_expect(raw.raft_bootstrap_expect, max_voters, voter)?;
    let data = match &raw.data_dir {
        Some(path) => DataPlace::Directory(PathBuf::from(path)),
        None if dev => DataPlace::Temporary,
        None => {
            return fault(
                "-raft needs -data-dir=PATH: what this node promises the group has to outlive it; for trying things use \
                 -dev instead of -raft",
            );
        }
    };
    Ok(Some(RaftSettings { listen, advertise, bootstrap_expect, max_voters, voter, data }))
}

/// The files of certificates, all or none. Agents without `-raft` need them too: they call those with it.
///
/// # Errors
/// Some are missing.
pub(super) fn tls(raw: &Raw) -> Result<Option<TlsFiles>, SettingsError> {
    let all = [
        ("-raft-tls-ca", &raw.raft_tls_ca),
        ("-raft-tls-cert", &raw.raft_tls_cert),
        ("-raft-tls-key", &raw.raft_tls_key),
    ];
    if let [(_, Some(ca)), (_, Some(cert)), (_, Some(key))] = all {
        return Ok(Some(TlsFiles { ca: ca.clone(), cert: cert.clone(), key: key.clone() }));
    }
    let (set, missing): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, path)| path.is_some());
    let Some((flag, Some(path))) = set.first() else { return Ok(None) };
    let missing: Vec<&str> = missing.into_iter().map(|(flag, _)| flag).collect();
    fault(format!("{flag}={path} needs {} too: set all three, or none", missing.join(" and ")))
}

/// Of a node that says nothing of its address, `-dev` listens on loopback only.
pub(super) fn default_bind(raw: &Raw) -> &'static str {
    if raw.dev == Some(true) { "127.0.0.1" } else { "0.0.0.0" }
}

fn fault<T>(text: impl Into<String>) -> Result<T, SettingsError> {
    Err(SettingsError(text.into()))
}

async fn address(flag: &str, text: &str) -> Result<SocketAddr, SettingsError> {
    let found = addresses::address_with_port(text, DEFAULT_RAFT_PORT).await;
    found.or_else(|error| {
        fault(format!("Invalid {flag}={text}: {error}; it has to be an address such as 10.0.0.1:{DEFAULT_RAFT_PORT}"))
    })
}

fn advertised(text: &str, address: SocketAddr) -> Result<SocketAddr, SettingsError> {
    if address.ip().is_unspecified() || address.port() == 0 {
        return fault(format!(
            "Invalid -raft-advertise={text}: nobody can call {address}; it has to be an address that the other nodes reach"
        ));
    }
    Ok(address)
}

fn max_voters(configured: Option<i64>) -> Result<usize, SettingsError> {
    let Some(configured) = configured.filter(|number| *number != 0) else { return Ok(DEFAULT_VOTERS) };
    match usize::try_from(configured) {
        Ok(number) if number > RAFT_VOTERS => fault(format!(
            "Invalid -raft-max-voters={configured}: each one more makes every write slower; it can be at most {RAFT_VOTERS}"
        )),
        Ok(number) if !number.is_multiple_of(2) => Ok(number),
        Ok(number) => fault(format!(
            "Invalid -raft-max-voters={configured}: an even number bears no more failures than the odd one below it; use {} \
             or {}",
            number.saturating_sub(1),
            number.saturating_add(1)
        )),
        Err(_) => fault(format!("Invalid -raft-max-voters={configured}: it has to be at least 1")),
    }
}

fn voter(configured: Option<&str>) -> Result<VoterPreference, SettingsError> {
    match configured {
        None | Some("" | "auto") => Ok(VoterPreference::Auto),
        Some("never") => Ok(VoterPreference::Never),
        Some("prefer") => Ok(VoterPreference::Prefer),
        Some(other) => fault(format!("Invalid -raft-voter={other}: it has to be auto, never or prefer")),
    }
}

fn bootstrap_expect(
    configured: Option<i64>,
    max_voters: usize,
    voter: VoterPreference,
) -> Result<Option<usize>, SettingsError> {
    let Some(configured) = configured.filter(|number| *number != 0) else { return Ok(None) };
    let Some(number) = usize::try_from(configured).ok() else {
        return fault(format!("Invalid -raft-bootstrap-expect={configured}: it has to be at least 1"));
    };
    if number > max_voters {
        return fault(format!(
            "Invalid -raft-bootstrap-expect={configured}: the founders vote, and -raft-max-voters={max_voters} is fewer; \
             expect at most {max_voters}, or raise -raft-max-voters"
        ));
    }
    if voter == VoterPreference::Never {
        return fault(format!(
            "-raft-bootstrap-expect={configured} cannot go with -raft-voter=never: founders vote; leave one of them out"
        ));
    }
    Ok(Some(number))
}

/// Settings that mean nothing without `-raft`.
fn needs_raft(raw: &Raw) -> Result<(), SettingsError> {
    let number = |value: Option<i64>| value.filter(|number| *number != 0).map(|number| number.to_string());
    let settings = [
        ("-raft-addr", raw.raft_addr.clone()),
        ("-raft-advertise", raw.raft_advertise.clone()),
        ("-raft-bootstrap-expect", number(raw.raft_bootstrap_expect)),
        ("-raft-max-voters", number(raw.raft_max_voters)),
        ("-raft-voter", raw.raft_voter.clone()),
        ("-data-dir", raw.data_dir.clone()),
    ];
    for (flag, value) in settings {
        if let Some(value) = value {
            return fault(format!("{flag}={value} is without effect: add -raft, or leave it out"));
        }
    }
    Ok(())
}

/// Settings that cannot go with `-dev`, wherever they come from.
async fn refuse_with_dev(raw: &Raw, bind: SocketAddr) -> Result<(), SettingsError> {
    let alone = "it runs one node alone, with state that is removed at the end";
    let given = [
        ("-join", raw.start_join.first().cloned()),
        ("-retry-join", raw.retry_join.first().cloned()),
        ("-discover", raw.discover.clone()),
        ("-snapshot", raw.snapshot_path.clone()),
        ("-data-dir", raw.data_dir.clone()),
        ("-raft-voter", raw.raft_voter.clone().filter(|wish| wish == "never")),
        ("-raft-bootstrap-expect", raw.raft_bootstrap_expect.filter(|n| *n > 1).map(|n| n.to_string())),
    ];
    for (flag, value) in given {
        if let Some(value) = value {
            return fault(format!("-dev cannot go with {flag}={value}: {alone}; leave one of them out"));
        }
    }
    let mut addresses = vec![("-bind", bind.to_string(), Some(bind.ip()))];
    for (flag, text) in [
        ("-advertise", &raw.advertise),
        ("-raft-addr", &raw.raft_addr),
        ("-raft-advertise", &raw.raft_advertise),
        ("-rpc-addr", &raw.rpc_addr),
    ] {
        let Some(text) = text.as_ref().filter(|text| !text.starts_with("unix:")) else { continue };
        // One that cannot be read is refused where it is used.
        let ip = addresses::address_parts(text).await.ok().map(|address| address.ip());
        addresses.push((flag, text.clone(), ip));
    }
    for (flag, text, ip) in addresses {
        if ip.is_some_and(|ip| !ip.is_loopback()) {
            let example = IpAddr::V4(Ipv4Addr::LOCALHOST);
            return fault(format!(
                "-dev cannot go with {flag}={text}: it is for this machine only; use {example}, or leave one of them out"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Option<String> {
        Some(value.to_owned())
    }

    fn with_raft() -> Raw {
        Raw { raft: Some(true), data_dir: text("/data"), ..Raw::default() }
    }

    async fn settled(raw: Raw) -> Result<Option<RaftSettings>, String> {
        let bind = raw.bind.as_deref().unwrap_or(default_bind(&raw)).to_owned();
        raft(&raw, addresses::address_parts(&bind).await.unwrap()).await.map_err(|error| error.0)
    }

    async fn refused(raw: Raw) -> String {
        settled(raw).await.unwrap_err()
    }

    #[tokio::test]
    async fn without_the_flag_there_is_nothing_and_with_it_there_are_defaults() {
        assert_eq!(settled(Raw::default()).await, Ok(None));
        let settings = settled(Raw { bind: text("127.0.34.1:7000"), ..with_raft() }).await.unwrap().unwrap();
        assert_eq!(settings.listen, "127.0.34.1:4321".parse().unwrap());
        assert_eq!((settings.max_voters, settings.voter), (5, VoterPreference::Auto));
        assert_eq!((settings.advertise, settings.bootstrap_expect), (None, None));
        assert_eq!(settings.data, DataPlace::Directory("/data".into()));
        let apart = Raw { bind: text("127.0.34.1"), raft_addr: text("127.0.34.2:9"), ..with_raft() };
        assert_eq!(settled(apart).await.unwrap().unwrap().advertise, Some("127.0.34.2:9".parse().unwrap()));
        let everywhere = Raw { bind: text("127.0.34.1"), raft_addr: text("0.0.0.0:9"), ..with_raft() };
        assert_eq!(settled(everywhere).await.unwrap().unwrap().advertise, None);
        let other = Raw { raft_addr: text("127.0.34.2"), raft_advertise: text("10.0.0.1:99"), ..with_raft() };
        let settings = settled(other).await.unwrap().unwrap();
        assert_eq!(settings.listen, "127.0.34.2:4321".parse().unwrap());
        assert_eq!(settings.advertise, Some("10.0.0.1:99".parse().unwrap()));
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused_with_flag_value_reason_and_a_way_out() {
        let numbers = |expect: i64, voters: i64| Raw {
            raft_bootstrap_expect: Some(expect),
            raft_max_voters: Some(voters),
            ..with_raft()
        };
        let never = Raw { raft_voter: text("never"), ..numbers(3, 5) };
        for (raw, parts) in [
            (Raw { data_dir: None, ..with_raft() }, ["-raft needs -data-dir", "-dev"]),
            (Raw { raft_voter: text("no"), ..with_raft() }, ["-raft-voter=no", "auto, never or prefer"]),
            (numbers(3, 4), ["-raft-max-voters=4", "use 3 or 5"]),
            (numbers(3, -1), ["-raft-max-voters=-1", "at least 1"]),
            (numbers(3, 99), ["-raft-max-voters=99", "at most 9"]),
            (numbers(7, 5), ["-raft-bootstrap-expect=7", "at most 5"]),
            (numbers(-3, 5), ["-raft-bootstrap-expect=-3", "at least 1"]),
            (never, ["-raft-bootstrap-expect=3", "-raft-voter=never"]),
            (Raw { raft_addr: text("x:y"), ..with_raft() }, ["-raft-addr=x:y", "such as"]),
            (Raw { raft_advertise: text("0.0.0.0"), ..with_raft() }, ["-raft-advertise=0.0.0.0", "nobody can call"]),
            (Raw { no_capability: Some(true), ..with_raft() }, ["-raft cannot go", "-no-capability"]),
            (Raw { raft: None, ..with_raft() }, ["-data-dir=/data", "add -raft"]),
            (Raw { raft_voter: text("never"), ..Raw::default() }, ["-raft-voter=never", "add -raft"]),
        ] {
            let said = refused(raw).await;
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
    }

    #[tokio::test]
    async fn dev_is_one_node_on_loopback_and_says_what_cannot_go_with_it() {
        let dev = || Raw { dev: Some(true), ..Raw::default() };
        let settings = settled(dev()).await.unwrap().unwrap();
        assert_eq!((settings.listen, settings.data), ("127.0.0.1:4321".parse().unwrap(), DataPlace::Temporary));
        let moved = Raw { bind: text("127.0.34.3:1"), rpc_addr: text("unix:///run/x"), ..dev() };
        assert!(settled(moved).await.is_ok());
        for (raw, part) in [
            (Raw { start_join: vec!["h".into()], ..dev() }, "-join=h"),
            (Raw { retry_join: vec!["h".into()], ..dev() }, "-retry-join=h"),
            (Raw { discover: text("c"), ..dev() }, "-discover=c"),
            (Raw { snapshot_path: text("s"), ..dev() }, "-snapshot=s"),
            (Raw { data_dir: text("d"), ..dev() }, "-data-dir=d"),
            (Raw { raft_bootstrap_expect: Some(3), ..dev() }, "-raft-bootstrap-expect=3"),
            (Raw { bind: text("10.0.0.1"), ..dev() }, "-bind=10.0.0.1:7946"),
            (Raw { rpc_addr: text("0.0.0.0:7373"), ..dev() }, "-rpc-addr=0.0.0.0:7373"),
            (Raw { raft_addr: text("10.0.0.1:1"), ..dev() }, "-raft-addr=10.0.0.1:1"),
        ] {
            let said = refused(raw).await;
            assert!(said.starts_with("-dev cannot go with ") && said.contains(part), "{said}");
        }
    }

    #[test]
    fn certificates_come_in_threes() {
        let some = Raw { raft_tls_cert: text("/c.pem"), ..Raw::default() };
        let said = tls(&some).unwrap_err().0;
        assert_eq!(said, "-raft-tls-cert=/c.pem needs -raft-tls-ca and -raft-tls-key too: set all three, or none");
        assert_eq!(tls(&Raw::default()), Ok(None));
        let all = Raw { raft_tls_ca: text("a"), raft_tls_key: text("k"), ..some };
        assert_eq!(tls(&all).unwrap().unwrap().ca, "a");
    }
}
