//! What the server listens on: a TCP port or a unix socket, and the connections it accepts, which are alike from here on.
//!
//! A unix socket is a file whose permissions say who may connect: `unix:///run/folkmoot.sock` is for the agent's own
//! user, `unix:///run/folkmoot.sock?mode=0660&group=adm` for a group too. Not in Go, whose agent knows TCP only.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tracing::debug;

use super::limits::{KEEP_ALIVE, UNIX_BACKLOG};
use crate::net::{addresses, go_errors, sockets};

/// Where clients come in.
pub enum RpcListener {
    /// A port.
    Tcp(TcpListener),
    /// A file, removed when this is dropped.
    Unix(UnixListener, SocketFile),
}

/// One accepted connection.
pub(super) struct Accepted {
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
    pub peer: Peer,
}

/// Who is at the other end, as the log names it: `127.0.0.1:40000`, or for a unix socket
/// `unix:/run/folkmoot.sock (pid 71, uid 1000)`. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Peer(Arc<str>);

impl RpcListener {
    /// Listens on `address`: `host:port`, or `unix://PATH` with `mode` and `group` after a question mark.
    ///
    /// # Errors
    /// The text for the operator, in Go's words where Go has some. Nothing is open then, and no file was changed.
    pub async fn open(address: &str) -> Result<Self, String> {
        if let Some(unix) = UnixAddress::parse(address)? {
            let opened = SocketFile::open(&unix);
            let (listener, file) = opened
                .map_err(|(step, error)| format!("listen unix {}: {step}: {}", unix.path, go_errors::cause(&error)))?;
            return Ok(Self::Unix(listener, file));
        }
        addresses::split_host_port(address).map_err(|error| format!("listen tcp: {error}"))?;
        let address = addresses::address_parts(address).await.map_err(|error| format!("listen tcp: {error}"))?;
        sockets::listen(address).map(Self::Tcp).map_err(|error| go_errors::listen("tcp", address, &error))
    }

    /// `configured` for people: with the port in use where it was left to the system.
    pub fn shown(&self, configured: &str) -> String {
        match self {
            Self::Tcp(listener) if configured.ends_with(":0") => {
                listener.local_addr().map_or_else(|_| configured.to_owned(), |address| address.to_string())
            }
            Self::Tcp(_) | Self::Unix(..) => configured.to_owned(),
        }
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(socket, from)| Accepted::from_tcp(socket, from)),
            Self::Unix(listener, file) => listener.accept().await.map(|(socket, _)| Accepted::from_unix(socket, file)),
        }
    }
}

impl Accepted {
    fn from_tcp(socket: TcpStream, from: SocketAddr) -> Self {
        prepare(&socket);
        let (reader, writer) = socket.into_split();
        Self { reader: Box::new(reader), writer: Box::new(writer), peer: Peer(from.to_string().into()) }
    }

    fn from_unix(socket: UnixStream, file: &SocketFile) -> Self {
        let who = socket.peer_cred().map_or_else(
            |_| String::new(),
            |who| match who.pid() {
                Some(pid) => format!(" (pid {pid}, uid {})", who.uid()),
                None => format!(" (uid {})", who.uid()),
            },
        );
        let peer = Peer(format!("unix:{}{who}", file.path.display()).into());
        let (reader, writer) = socket.into_split();
        Self { reader: Box::new(reader), writer: Box::new(writer), peer }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
impl From<&str> for Peer {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

/// As Go sets its connections up. A connection without these options still works.
fn prepare(socket: &TcpStream) {
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE);
    let set: io::Result<()> =
        socket.set_nodelay(true).and_then(|()| SockRef::from(socket).set_tcp_keepalive(&keep_alive));
    if let Err(failure) = set {
        debug!(target: "agent.ipc", "Cannot set socket options: {failure}");
    }
}

/// A unix socket's address, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct UnixAddress {
    path: String,
    /// Permission bits.
    mode: u32,
    /// Number of the group the file is given to.
    group: Option<u32>,
}

/// Who may connect where nothing is said: the agent's user.
const DEFAULT_MODE: u32 = 0o600;

impl UnixAddress {
    /// `None`: it is not one.
    fn parse(address: &str) -> Result<Option<Self>, String> {
        let Some(rest) = address.strip_prefix("unix://") else { return Ok(None) };
        let fault = |reason: String| format!("listen unix: address {address}: {reason}");
        let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
        if path.is_empty() {
            return Err(fault("missing path".to_owned()));
        }
        let mut unix = Self { path: path.to_owned(), mode: DEFAULT_MODE, group: None };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("mode", mode)) => {
                    let bits = u32::from_str_radix(mode, 8).ok().filter(|bits| *bits <= 0o777);
                    unix.mode = bits.ok_or_else(|| fault(format!("mode '{mode}' is not octal, at most 0777")))?;
                }
                Some(("group", group)) => {
                    unix.group = Some(group_number(group).ok_or_else(|| fault(format!("unknown group '{group}'")))?);
                }
                Some(_) | None => return Err(fault(format!("unknown option '{option}', known are mode and group"))),
            }
        }
        Ok(Some(unix))
    }
}

/// By number, or by name in `/etc/group`.
fn group_number(group: &str) -> Option<u32> {
    if let Ok(number) = group.parse() {
        return Some(number);
    }
    let groups = fs::read_to_string("/etc/group").ok()?;
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let line = groups.lines().map(fields).find(|fields| fields.first().is_some_and(|name| name == group))?;
    line.get(2)?.parse().ok()
}

/// The file of a unix socket that listens. Dropping it removes the file, if it is still the same one.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
    /// Held while we listen: two agents that find the same left-over file must not both replace it.
    _lock: File,
}

impl SocketFile {
    /// Nobody can connect before the permissions are set: the socket does not listen until then. An error comes with
    /// the step that failed.
    fn open(address: &UnixAddress) -> Result<(UnixListener, Self), (&'static str, io::Error)> {
        let path = PathBuf::from(&address.path);
        let lock = lock(&path).map_err(|error| ("bind", error))?;
        remove_stale(&path).map_err(|error| ("bind", error))?;
        let bind = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.bind(&SockAddr::unix(&path)?)?;
            let found = fs::symlink_metadata(&path)?;
            Ok((socket, (found.dev(), found.ino())))
        };
        let (socket, device_and_inode) = bind().map_err(|error| ("bind", error))?;
        let file = Self { path, device_and_inode, _lock: lock };
        if let Some(group) = address.group {
            std::os::unix::fs::chown(&file.path, None, Some(group)).map_err(|error| ("chown", error))?;
        }
        let mode = fs::Permissions::from_mode(address.mode);
        fs::set_permissions(&file.path, mode).map_err(|error| ("chmod", error))?;
        let listen = || {
            socket.listen(UNIX_BACKLOG)?;
            socket.set_nonblocking(true)?;
            UnixListener::from_std(socket.into())
        };
        Ok((listen().map_err(|error| ("listen", error))?, file))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path).map(|found| (found.dev(), found.ino()));
        if found.is_ok_and(|found| found == self.device_and_inode) {
            // What cannot be removed is replaced by the next agent.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The lock of whoever listens at `path`: a file beside it that stays.
fn lock(path: &Path) -> io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(name)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(in_use()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes the socket of an agent that is dead. Whatever else is there stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(in_use());
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(_) | Err(_) => Err(in_use()),
    }
}

/// EADDRINUSE, on Linux.
fn in_use() -> io::Error {
    io::Error::from_raw_os_error(98)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_addresses_have_a_path_a_mode_and_a_group() {
        let unix = |path: &str, mode, group| Ok(Some(UnixAddress { path: path.to_owned(), mode, group }));
        assert_eq!(UnixAddress::parse("127.0.0.1:7373"), Ok(None));
        assert_eq!(UnixAddress::parse("unix:///run/f.sock"), unix("/run/f.sock", 0o600, None));
        assert_eq!(UnixAddress::parse("unix:///f?mode=0660&group=7"), unix("/f", 0o660, Some(7)));
        assert_eq!(UnixAddress::parse("unix:///f?group=root"), unix("/f", 0o600, Some(0)));
    }

    #[test]
    fn unix_addresses_that_mean_nothing_are_refused_with_the_reason() {
        for (address, reason) in [
            ("unix://", "missing path"),
            ("unix:///f?mode=999", "mode '999' is not octal, at most 0777"),
            ("unix:///f?mode=1777", "mode '1777' is not octal, at most 0777"),
            ("unix:///f?group=no-such-group", "unknown group 'no-such-group'"),
            ("unix:///f?owner=me", "unknown option 'owner=me', known are mode and group"),
        ] {
            assert_eq!(UnixAddress::parse(address), Err(format!("listen unix: address {address}: {reason}")));
        }
    }
}
