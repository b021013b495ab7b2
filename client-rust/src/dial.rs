//! Reaching the agent: addresses as Go's `net.Dial` takes them, with its error texts (`docs/spec/agent-cli.md` 1.3).

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

use crate::error::{AddressFault, ConnectError};
use crate::limits::{KEEPALIVE_AFTER, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, UNCONFIRMED};

/// What is read from an agent.
pub(crate) type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// What is written to it.
pub(crate) type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Connects to `address` within `limit`: `host:port`, or `unix://PATH`. What stands behind a question mark in the latter
/// is for the agent, so that one text serves both.
pub(crate) async fn dial(address: &str, limit: Duration) -> Result<(Reader, Writer), ConnectError> {
    if let Some(unix) = address.strip_prefix("unix://") {
        let path = unix.split('?').next().unwrap_or_default();
        let connected = UnixStream::connect(path).await;
        let stream = connected.map_err(|error| ConnectError::Unix { path: path.to_owned(), reason: reason(&error) })?;
        let (reading, writing) = stream.into_split();
        return Ok((Box::new(reading), Box::new(writing)));
    }
    let (host, port) = split(address)?;
    let dialled = timeout(limit, connect(host, port)).await;
    let stream = dialled.unwrap_or_else(|_| Err(ConnectError::TimedOut { address: address.to_owned() }))?;
    // These fail only on a socket that is broken already; the handshake will tell.
    let _ = stream.set_nodelay(true);
    let _ = notice_dead_ends(&stream);
    let (reading, writing) = stream.into_split();
    Ok((Box::new(reading), Box::new(writing)))
}

/// Has the kernel end a connection whose other end does not even confirm what it is sent: a machine without power, a network
/// that is gone. An agent that takes its time is none of them.
fn notice_dead_ends(stream: &TcpStream) -> std::io::Result<()> {
    let socket = SockRef::from(stream);
    let asked = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&asked.with_retries(KEEPALIVE_PROBES))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNCONFIRMED))?;
    Ok(())
}

/// Tries all addresses of `host`; the first failure is the one reported, as in Go. No host is this machine.
async fn connect(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let name = if host.is_empty() { "127.0.0.1" } else { host };
    let no_such_host = || ConnectError::Lookup { host: host.to_owned() };
    let addresses = lookup_host((name, port)).await.map_err(|_| no_such_host())?;
    let mut first_failure = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                let address = if host.is_empty() { format!(":{port}") } else { shown(address) };
                first_failure.get_or_insert(ConnectError::Refused { address, reason: reason(&error) });
            }
        }
    }
    Err(first_failure.unwrap_or_else(no_such_host))
}

fn shown(address: SocketAddr) -> String {
    address.to_string()
}

/// The system's text as Go has it: without the number, in lower case.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

/// Takes `host:port` apart.
fn split(address: &str) -> Result<(&str, u16), ConnectError> {
    if address.is_empty() {
        return Err(ConnectError::MissingAddress);
    }
    let fault = |fault| ConnectError::Address { address: address.to_owned(), fault };
    let (before, port) = address.rsplit_once(':').ok_or_else(|| match address.strip_prefix('[') {
        Some(rest) if !rest.contains(']') => fault(AddressFault::MissingBracket),
        _ => fault(AddressFault::MissingPort),
    })?;
    let host = match address.strip_prefix('[') {
        Some(rest) => {
            let (inside, after) = rest.split_once(']').ok_or_else(|| fault(AddressFault::MissingBracket))?;
            match after.strip_prefix(':') {
                Some(after_colon) if after_colon.contains(':') => return Err(fault(AddressFault::TooManyColons)),
                Some(_) => inside,
                None => return Err(fault(AddressFault::MissingPort)),
            }
        }
        None if before.contains(':') => return Err(fault(AddressFault::TooManyColons)),
        None => before,
    };
    if [host, port].iter().any(|part| part.contains('[')) {
        return Err(fault(AddressFault::UnexpectedOpening));
    }
    if [host, port].iter().any(|part| part.contains(']')) {
        return Err(fault(AddressFault::UnexpectedClosing));
    }
    Ok((host, parse_port(port)?))
}

/// No digits are port 0, as in Go. Names of services are not looked up.
fn parse_port(port: &str) -> Result<u16, ConnectError> {
    let digits = port.strip_prefix(['-', '+']).unwrap_or(port);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ConnectError::UnknownPort { port: port.to_owned() });
    }
    if digits.is_empty() {
        return Ok(0);
    }
    let number = digits.parse().ok().filter(|number| *number == 0 || !port.starts_with('-'));
    number.ok_or_else(|| ConnectError::InvalidPort { port: port.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses_are_split() {
        for (address, expected) in [
            ("127.0.0.1:7373", ("127.0.0.1", 7373)),
            ("[::1]:7373", ("::1", 7373)),
            ("host:1", ("host", 1)),
            (":7", ("", 7)),
            ("host:", ("host", 0)),
            ("[127.0.0.1]:+80", ("127.0.0.1", 80)),
        ] {
            assert_eq!(split(address), Ok(expected), "{address}");
        }
    }

    #[test]
    fn bad_addresses_have_the_texts_of_go() {
        for (address, text) in [
            ("", "dial tcp: missing address"),
            ("garbage", "dial tcp: address garbage: missing port in address"),
            ("::1", "dial tcp: address ::1: too many colons in address"),
            ("[::1", "dial tcp: address [::1: missing ']' in address"),
            ("[::1]", "dial tcp: address [::1]: missing port in address"),
            ("[::1]x", "dial tcp: address [::1]x: missing port in address"),
            ("[x", "dial tcp: address [x: missing ']' in address"),
            ("[::1]:7:8", "dial tcp: address [::1]:7:8: too many colons in address"),
            ("a]b:1", "dial tcp: address a]b:1: unexpected ']' in address"),
            ("a[b:1", "dial tcp: address a[b:1: unexpected '[' in address"),
            ("127.0.0.1:abc", "dial tcp: address tcp/abc: unknown port"),
            ("127.0.0.1:7373 ", "dial tcp: address tcp/7373 : unknown port"),
            ("127.0.0.1:99999", "dial tcp: address 99999: invalid port"),
            ("127.0.0.1:-1", "dial tcp: address -1: invalid port"),
        ] {
            assert_eq!(split(address).map_err(|error| error.to_string()), Err(text.to_owned()), "{address}");
        }
    }

    #[test]
    fn system_errors_are_in_lower_case_and_without_number() {
        assert_eq!(reason(&std::io::Error::from_raw_os_error(111)), "connection refused");
    }

    #[tokio::test]
    async fn a_unix_socket_that_is_not_there_is_named_with_the_reason() {
        let dialled = dial("unix:///nowhere/x.sock?mode=0660", Duration::from_secs(1)).await;
        let error = dialled.err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("dial unix /nowhere/x.sock: connect: no such file or directory"));
    }

    #[tokio::test]
    async fn the_kernel_is_told_to_notice_dead_ends() {
        let listener = tokio::net::TcpListener::bind("127.0.36.3:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(!SockRef::from(&stream).keepalive().unwrap());
        notice_dead_ends(&stream).unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNCONFIRMED));
    }
}
