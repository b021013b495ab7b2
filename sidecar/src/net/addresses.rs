//! Addresses as users write them: bind and advertise addresses, join addresses, and how the latter are looked up.
//!
//! `docs/spec/memberlist.md` 5.1, `docs/spec/agent-cli.md` 3.1. Answers to Go's `net.SplitHostPort`, `Config.AddrParts`
//! in Serf's agent and `resolveAddr` in memberlist. Names are looked up with the system's resolver only: Go's TCP query
//! of type ANY is refused by many servers and finds nothing this one does not.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use folkmoot_serf::{JoinTarget, NodeName};

use crate::go_text;
use crate::limits::{JOIN_TARGETS, RESOLVE_LIMIT};

/// Gossip port of an address that names none. Go: `DefaultBindPort`.
pub const DEFAULT_PORT: u16 = 7946;

/// Why an address cannot be used. The texts are Go's; the user is at fault, except for [`AddressError::Lookup`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not of the form `host:port` or `[v6]:port`.
    #[error("address {address}: {fault}")]
    Form {
        /// As given.
        address: String,
        /// `missing port in address` and its like.
        fault: &'static str,
    },
    /// A port above 65535.
    #[error("address {0}: invalid port")]
    InvalidPort(String),
    /// A port that is not a number.
    #[error("lookup tcp/{0}: unknown port")]
    UnknownPort(String),
    /// A join address whose port is not a number, or too big a one.
    #[error("strconv.ParseUint: parsing {}: {fault}", go_text::quote(.port.as_bytes()))]
    ParsePort {
        /// As given.
        port: String,
        /// `invalid syntax` or `value out of range`.
        fault: &'static str,
    },
    /// Nothing in front of the slash.
    #[error("empty node name provided")]
    EmptyName,
    /// The resolver does not know the name, or did not answer.
    #[error("lookup {host}: {cause}")]
    Lookup {
        /// The name.
        host: String,
        /// In Go's words where it has them.
        cause: String,
    },
}

/// Takes `host:port`, `[v6]:port` apart, as Go's `net.SplitHostPort` does.
///
/// # Errors
/// [`AddressError::Form`].
pub fn split_host_port(address: &str) -> Result<(&str, &str), AddressError> {
    let fault = |fault| Err(AddressError::Form { address: address.to_owned(), fault });
    let Some((before, port)) = address.rsplit_once(':') else { return fault("missing port in address") };
    let host = if let Some(inside) = address.strip_prefix('[') {
        let Some((host, rest)) = inside.split_once(']') else { return fault("missing ']' in address") };
        match rest.strip_prefix(':') {
            Some(after) if after.contains(':') => return fault("too many colons in address"),
            Some(_) => host,
            None if rest.contains(':') => return fault("too many colons in address"),
            None => return fault("missing port in address"),
        }
    } else if before.contains(':') {
        return fault("too many colons in address");
    } else {
        before
    };
    if host.contains('[') || port.contains('[') {
        return fault("unexpected '[' in address");
    }
    if host.contains(']') || port.contains(']') {
        return fault("unexpected ']' in address");
    }
    Ok((host, port))
}

/// Reads a bind or advertise address: a missing port is 7946, a host name is looked up once (IPv4 first).
///
/// # Errors
/// Any but [`AddressError::ParsePort`] and [`AddressError::EmptyName`].
pub async fn address_parts(address: &str) -> Result<SocketAddr, AddressError> {
    address_with_port(address, DEFAULT_PORT).await
}

/// As [`address_parts`], where another port is missing.
///
/// # Errors
/// As there.
pub async fn address_with_port(address: &str, default_port: u16) -> Result<SocketAddr, AddressError> {
    let found = candidates(address, default_port).await?;
    let first = found.iter().find(|address| address.is_ipv4()).or_else(|| found.first());
    first.copied().ok_or_else(|| AddressError::Lookup { host: address.to_owned(), cause: NO_SUCH_HOST.to_owned() })
}

/// As [`address_parts`], all that a host name stands for.
///
/// # Errors
/// As there.
pub async fn address_candidates(address: &str) -> Result<Vec<SocketAddr>, AddressError> {
    candidates(address, DEFAULT_PORT).await
}

async fn candidates(address: &str, default_port: u16) -> Result<Vec<SocketAddr>, AddressError> {
    let missing = AddressError::Form { address: address.to_owned(), fault: "missing port in address" };
    let with_port = match split_host_port(address) {
        Err(error) if error == missing => format!("{address}:{default_port}"),
        Ok(_) | Err(_) => address.to_owned(),
    };
    let (host, port) = split_host_port(&with_port)?;
    let port = match port.parse::<u32>().ok().map(u16::try_from) {
        Some(Ok(port)) => port,
        Some(Err(_)) => return Err(AddressError::InvalidPort(port.to_owned())),
        None if port.is_empty() => 0,
        None => return Err(AddressError::UnknownPort(port.to_owned())),
    };
    if host.is_empty() {
        return Ok(vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))]);
    }
    let addresses = look_up(host).await?;
    Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

/// Reads and looks up one join address, `[name/]host[:port]`; every address found is a target.
///
/// # Errors
/// [`AddressError::Form`], [`AddressError::ParsePort`], [`AddressError::EmptyName`], [`AddressError::Lookup`].
pub async fn resolve_join(address: &str, own_port: u16) -> Result<Vec<JoinTarget>, AddressError> {
    let join = JoinAddress::parse(address, own_port)?;
    let addresses = look_up(&join.host).await?;
    let target = |ip| JoinTarget { name: join.name.clone(), address: SocketAddr::new(ip, join.port) };
    Ok(addresses.into_iter().take(JOIN_TARGETS).map(target).collect())
}

/// A join address, read but not looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
struct JoinAddress {
    name: Option<NodeName>,
    host: String,
    port: u16,
}

impl JoinAddress {
    fn parse(address: &str, own_port: u16) -> Result<Self, AddressError> {
        let (name, rest) = match address.split_once('/') {
            Some(("", _)) => return Err(AddressError::EmptyName),
            Some((name, rest)) => (Some(NodeName(name.into())), rest),
            None => (None, address),
        };
        let with_port = ensure_port(rest, own_port);
        let (host, port) = split_host_port(&with_port)?;
        let port = port.parse::<u16>().map_err(|_| {
            let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            let fault = if digits { "value out of range" } else { "invalid syntax" };
            AddressError::ParsePort { port: port.to_owned(), fault }
        })?;
        Ok(Self { name, host: host.to_owned(), port })
    }
}

/// Whether a port is written: after the bracket, or after the only colon. Two colons without brackets are IPv6.
fn has_port(address: &str) -> bool {
    if address.starts_with('[') {
        return address.rfind(':') > address.rfind(']');
    }
    address.matches(':').count() == 1
}

fn ensure_port(address: &str, port: u16) -> String {
    if has_port(address) {
        return address.to_owned();
    }
    let host = address.trim_matches(|letter| letter == '[' || letter == ']');
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

const NO_SUCH_HOST: &str = "no such host";

/// All addresses of `host`, which may be one itself; without repetitions, in the resolver's order.
async fn look_up(host: &str) -> Result<Vec<IpAddr>, AddressError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![ip.to_canonical()]);
    }
    let failed = |cause: &str| AddressError::Lookup { host: host.to_owned(), cause: cause.to_owned() };
    if host.is_empty() {
        return Err(failed(NO_SUCH_HOST));
    }
    let found = match tokio::time::timeout(RESOLVE_LIMIT, tokio::net::lookup_host((host, 0))).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(failed(&resolver_cause(&error))),
        Err(_) => return Err(failed("i/o timeout")),
    };
    let mut addresses = Vec::new();
    for ip in found.take(JOIN_TARGETS).map(|address| address.ip().to_canonical()) {
        if !addresses.contains(&ip) {
            addresses.push(ip);
        }
    }
    if addresses.is_empty() { Err(failed(NO_SUCH_HOST)) } else { Ok(addresses) }
}

/// glibc's texts for the two answers that mean "there is no such name".
fn resolver_cause(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    match text {
        "Name or service not known" | "No address associated with hostname" => NO_SUCH_HOST.to_owned(),
        _ => text.to_owned(),
    }
}

/// Errors in the frame Serf's users see: `1 error occurred:`, a bullet per error, a blank line.
pub fn errors_text(errors: &[String]) -> String {
    let head = if errors.len() == 1 { "1 error".to_owned() } else { format!("{} errors", errors.len()) };
    let bullets: String = errors.iter().map(|error| format!("\t* {error}\n")).collect();
    format!("{head} occurred:\n{bullets}\n")
}

#[cfg(test)]
#[path = "addresses_tests.rs"]
mod tests;
