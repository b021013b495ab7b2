//! Operating system errors in Go's words: Serf's users, and tools that read logs, know those.

use std::io;
use std::net::SocketAddr;

/// `connection refused`, `no route to host`, ... as Go's `syscall.Errno` prints them.
pub fn cause(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() {
        return "i/o timeout".to_owned();
    }
    let text = error.to_string();
    // The system's own text begins with a capital letter and Rust appends the number.
    let text = text.split(" (os error").next().unwrap_or_default();
    if error.raw_os_error().is_none() {
        return text.to_owned();
    }
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// `dial tcp 127.0.0.1:7946: connect: connection refused`.
pub fn dial(to: SocketAddr, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => format!("dial tcp {to}: connect: {}", cause(error)),
        None => format!("dial tcp {to}: {}", cause(error)),
    }
}

/// `read tcp 127.0.0.1:40000->127.0.0.1:7946: read: connection reset by peer`; `verb` is `read` or `write`.
pub fn transfer(verb: &str, local: Option<SocketAddr>, peer: SocketAddr, error: &io::Error) -> String {
    let local = local.map(|local| local.to_string()).unwrap_or_default();
    format!("{verb} tcp {local}->{peer}: {verb}: {}", cause(error))
}

/// `listen tcp 127.0.0.1:7373: bind: address already in use`; `network` is `tcp` or `udp`.
pub fn listen(network: &str, address: SocketAddr, error: &io::Error) -> String {
    format!("listen {network} {address}: bind: {}", cause(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_read_as_gos() {
        let refused = io::Error::from_raw_os_error(111);
        let to = SocketAddr::from(([127, 0, 13, 99], 7946));
        assert_eq!(dial(to, &refused), "dial tcp 127.0.13.99:7946: connect: connection refused");
        assert_eq!(cause(&io::Error::from_raw_os_error(113)), "no route to host");
        assert_eq!(cause(&io::Error::from_raw_os_error(98)), "address already in use");
        assert_eq!(dial(to, &io::ErrorKind::TimedOut.into()), "dial tcp 127.0.13.99:7946: i/o timeout");
    }
}
