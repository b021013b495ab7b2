use super::certificates::{Authority, Folder};
use super::*;
use crate::shutdown::{ShutdownTrigger, shutdown_pair};

const LIMIT: Duration = Duration::from_secs(10);

/// A port that sends back what it gets.
struct Echo {
    address: SocketAddr,
    transport: Arc<RaftTransport>,
    _stop: ShutdownTrigger,
}

impl Echo {
    fn start(transport: RaftTransport, address: &str) -> Self {
        let port = RaftPort::bind(address.parse().unwrap()).unwrap();
        let (stop, stopped) = shutdown_pair();
        let (address, transport) = (port.address(), Arc::new(transport));
        tokio::spawn(port.serve(Arc::clone(&transport), stopped, |stream| async {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        }));
        Self { address, transport, _stop: stop }
    }

    async fn counted(&self, name: &str) {
        counted(&self.transport, name).await;
    }

    /// Connects, sends `bytes` and returns what comes back until the end.
    async fn tell(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut all = Vec::new();
        let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut all)).await.unwrap();
        all
    }
}

/// Waits until the counter has moved: the other end may go on before it does.
async fn counted(transport: &RaftTransport, name: &str) {
    let moved = async {
        while transport.telemetry.total(name) == 0.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, moved).await.unwrap_or_else(|_| panic!("{name} does not move"));
}

fn ring(keys: &[&[u8]]) -> Keyring {
    let keys: Vec<_> = keys.iter().map(|key| bytes::Bytes::copy_from_slice(key)).collect();
    keys.first().map_or_else(Keyring::default, |first| Keyring::new(&keys, first).unwrap())
}

fn with_keys(keys: &[&[u8]]) -> (RaftTransport, watch::Sender<Keyring>) {
    let (sender, receiver) = watch::channel(ring(keys));
    (RaftTransport::new(Security::choose(None, receiver), Telemetry::in_memory()), sender)
}

fn with_tls(files: &TlsFiles) -> RaftTransport {
    let (_, receiver) = watch::channel(Keyring::default());
    RaftTransport::new(Security::choose(Some(Certificates::load(files).unwrap()), receiver), Telemetry::in_memory())
}

async fn echoes(stream: &mut RaftStream) -> io::Result<()> {
    stream.write_all(b"said").await?;
    stream.flush().await?;
    let mut heard = [0; 4];
    stream.read_exact(&mut heard).await?;
    assert_eq!(&heard, b"said");
    Ok(())
}

const A: &[u8] = &[1; 32];
const B: &[u8] = &[2; 32];

#[tokio::test]
async fn each_protection_carries_bytes() {
    let folder = Folder::new("carries");
    let authority = Authority::new("ours");
    let files = |name| folder.files(name, &authority, &authority);
    let pairs = [
        (with_keys(&[]).0, with_keys(&[]).0),
        (with_keys(&[A]).0, with_keys(&[A]).0),
        (with_tls(&files("one")), with_tls(&files("two"))),
    ];
    for (caller, called) in pairs {
        let echo = Echo::start(called, "127.0.34.11:0");
        let mut stream = caller.call(echo.address).await.unwrap();
        echoes(&mut stream).await.unwrap();
        assert_eq!(echo.transport.connections().0, 1);
        echo.counted("folkmoot.raft.answered").await;
        counted(&caller, "folkmoot.raft.called").await;
    }
}

#[tokio::test]
async fn unequal_protection_is_told_on_both_ends() {
    let folder = Folder::new("unequal");
    let authority = Authority::new("ours");
    let make = |kind| match kind {
        0 => with_keys(&[]).0,
        1 => with_keys(&[A]).0,
        _ => with_tls(&folder.files("node", &authority, &authority)),
    };
    for (calling, called) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
        let echo = Echo::start(make(called), "127.0.34.12:0");
        let error = make(calling).call(echo.address).await.unwrap_err().to_string();
        assert!(error.contains("it uses ") && error.contains("this node uses "), "{error}");
        echo.counted("folkmoot.raft.refused.mode").await;
    }
}

#[tokio::test]
async fn certificates_are_replaced_while_connections_go_on() {
    let folder = Folder::new("replaced");
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let files = folder.files("called", &old, &old);
    let echo = Echo::start(with_tls(&files), "127.0.34.22:0");
    let before = with_tls(&folder.files("before", &old, &old));
    let mut stream = before.call(echo.address).await.unwrap();
    folder.write("called.pem", "torn");
    let Security::Tls(certificates) = echo.transport.security() else { panic!("no certificates") };
    assert!(certificates.reload().is_err());
    echoes(&mut before.call(echo.address).await.unwrap()).await.unwrap();
    folder.files("called", &new, &new);
    certificates.reload().unwrap();
    echoes(&mut stream).await.unwrap();
    assert!(before.call(echo.address).await.is_err());
    let after = with_tls(&folder.files("after", &new, &new));
    echoes(&mut after.call(echo.address).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_told_on_both_ends() {
    let echo = Echo::start(with_keys(&[A]).0, "127.0.34.13:0");
    let caller = with_keys(&[B]).0;
    let error = caller.call(echo.address).await.unwrap_err().to_string();
    assert!(error.contains("no gossip key in common"), "{error}");
    echo.counted("folkmoot.raft.refused.key").await;
    counted(&caller, "folkmoot.raft.failed.key").await;
}

#[tokio::test]
async fn strangers_are_refused_and_counted_and_hold_no_place() {
    let echo = Echo::start(with_keys(&[A]).0, "127.0.34.14:0");
    for said in
        [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01", &[0xff; 5000], b"FMN\x01\xff\xff"]
    {
        let answer = echo.tell(said).await;
        assert!(answer.is_empty(), "{answer:?}");
    }
    echo.counted("folkmoot.raft.refused.protocol").await;
    assert_eq!(echo.tell(&[b"FMN\x01\x00\x30".as_slice(), &[7; 48]].concat()).await, b"FM!K");
    let given_back = async {
        while echo.transport.connections().0 > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, given_back).await.unwrap();
    echoes(&mut with_keys(&[A]).0.call(echo.address).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn callers_that_say_nothing_or_a_byte_at_a_time_are_cut_off() {
    let (mut transport, _keys) = with_keys(&[A]);
    transport.handshake_limit = Duration::from_millis(200);
    let echo = Echo::start(transport, "127.0.34.15:0");
    assert!(echo.tell(b"").await.is_empty());
    let mut slow = TcpStream::connect(echo.address).await.unwrap();
    let drip = async {
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        for byte in b"FMN\x01\x00\x30".iter().cycle() {
            pace.tick().await;
            if slow.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, drip).await.unwrap();
    echo.counted("folkmoot.raft.refused.slow").await;
}

#[tokio::test]
async fn an_end_that_takes_calls_and_never_answers_is_given_up() {
    let silent = TcpListener::bind("127.0.34.16:0").await.unwrap();
    let (mut caller, _keys) = with_keys(&[A]);
    caller.handshake_limit = Duration::from_millis(200);
    let error = caller.call(silent.local_addr().unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("did not finish its handshake"), "{error}");
}

#[tokio::test]
async fn handshakes_and_connections_are_limited_and_the_caller_is_told() {
    let (mut transport, _keys) = with_keys(&[A]);
    transport.connections = Places::new(1, 1);
    let echo = Echo::start(transport, "127.0.34.17:0");
    let caller = with_keys(&[A]).0;
    let first = caller.call(echo.address).await.unwrap();
    let error = caller.call(echo.address).await.unwrap_err().to_string();
    assert!(error.contains("too many connections"), "{error}");
    drop(first);
    let again = async {
        while caller.call(echo.address).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, again).await.unwrap();

    let (mut transport, _keys) = with_keys(&[A]);
    transport.handshakes = Places::new(2, 1);
    let echo = Echo::start(transport, "127.0.34.18:0");
    let _silent = TcpStream::connect(echo.address).await.unwrap();
    assert!(echo.tell(b"").await.is_empty(), "closed at once: the place of its address is taken");
    echo.counted("folkmoot.raft.refused.busy").await;
}

#[tokio::test]
async fn a_rotation_keeps_connections_until_their_key_is_removed() {
    let (called, called_keys) = with_keys(&[A]);
    let (caller, caller_keys) = with_keys(&[A]);
    let echo = Echo::start(called, "127.0.34.19:0");
    let mut stream = caller.call(echo.address).await.unwrap();
    // Installed and used here, and not yet known there: the older key does.
    caller_keys.send_replace(ring(&[B, A]));
    echoes(&mut caller.call(echo.address).await.unwrap()).await.unwrap();
    called_keys.send_replace(ring(&[A, B]));
    echoes(&mut caller.call(echo.address).await.unwrap()).await.unwrap();
    echoes(&mut stream).await.unwrap();
    called_keys.send_replace(ring(&[B]));
    let ended = async { while echoes(&mut stream).await.is_ok() {} };
    tokio::time::timeout(LIMIT, ended).await.unwrap();
    let mut fresh = caller.call(echo.address).await.unwrap();
    echoes(&mut fresh).await.unwrap();
    // And on this end, where it waits for something to read.
    let mut last = caller.call(echo.address).await.unwrap();
    caller_keys.send_replace(ring(&[A]));
    let error = tokio::time::timeout(LIMIT, last.read_u8()).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("was removed"), "{error}");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let port = RaftPort::bind("127.0.34.20:0".parse().unwrap()).unwrap();
    let error = RaftPort::bind(port.address()).unwrap_err();
    assert_eq!(error, format!("listen tcp {}: bind: address already in use", port.address()));
}

#[tokio::test]
async fn nobody_there_is_the_networks_error() {
    let port = RaftPort::bind("127.0.34.21:0".parse().unwrap()).unwrap();
    let address = port.address();
    drop(port);
    let error = with_keys(&[A]).0.call(address).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}
