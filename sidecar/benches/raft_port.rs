//! What protection costs on the Raft port: bytes per second one way, and the round trip of a small message, over loopback,
//! with gossip keys (Noise), with certificates (TLS) and without: `cargo bench -p folkmoot --bench raft_port`.
//!
//! Both ends run in this process and share its processors: read the ratios.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measurement that cannot be made has to stop"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use folkmoot::net::raft::{Certificates, RaftPort, RaftTransport, Security, TlsFiles};
use folkmoot::shutdown::shutdown_pair;
use folkmoot::telemetry::Telemetry;
use folkmoot_serf::memberlist::Keyring;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

/// How long each is measured.
const WINDOW: Duration = Duration::from_secs(3);
/// Bytes of one write of the stream, and of a small message.
const LARGE: usize = 64 * 1024;
const SMALL: usize = 128;

fn main() {
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    println!("{}", model.lines().find(|line| line.starts_with("model name")).unwrap_or("processor unknown"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        println!("{:<28} {:>12} {:>18}", "", "MiB/s", "round trip, µs");
        for (name, make) in
            [("open", open as fn() -> Security), ("gossip keys (Noise)", keys), ("certificates (TLS)", tls)]
        {
            let (rate, round_trip) = measure(make).await;
            println!("{name:<28} {rate:>12.0} {round_trip:>18.1}");
        }
    });
    println!("Load at the end: {}", std::fs::read_to_string("/proc/loadavg").unwrap().trim());
}

fn open() -> Security {
    Security::Open
}

fn keys() -> Security {
    Security::Keys(watch::channel(Keyring::new(&[], &[7; 32]).unwrap()).1)
}

/// Both ends show the same certificate: nothing is measured that depends on it.
fn tls() -> Security {
    let folder = std::env::temp_dir().join(format!("folkmoot-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(params, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let node = rcgen::CertificateParams::new(vec!["node".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let files = TlsFiles {
        ca: write("ca.pem", authority.pem()),
        cert: write("node.pem", node.pem()),
        key: write("key.pem", key.serialize_pem()),
    };
    let certificates = Certificates::load(&files).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    Security::Tls(Arc::new(certificates))
}

/// MiB per second one way, and the median round trip in microseconds.
async fn measure(make: fn() -> Security) -> (f64, f64) {
    let security = make();
    let transport = Arc::new(RaftTransport::new(security, Telemetry::in_memory()));
    let port = RaftPort::bind(SocketAddr::from(([127, 0, 34, 200], 0))).unwrap();
    let (address, taken) = (port.address(), Arc::new(AtomicU64::new(0)));
    let (stop, stopped) = shutdown_pair();
    let counter = Arc::clone(&taken);
    // A stream begins with a byte that says whether it is to be echoed or taken.
    tokio::spawn(port.serve(Arc::clone(&transport), stopped, move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            let mut buffer = vec![0; LARGE];
            let echo = stream.read_u8().await.unwrap() == 1;
            while let Ok(length) = stream.read(&mut buffer).await {
                if length == 0 {
                    return;
                }
                counter.fetch_add(length as u64, Ordering::Relaxed);
                if echo {
                    stream.write_all(&buffer[..length]).await.unwrap();
                    stream.flush().await.unwrap();
                }
            }
        }
    }));
    let rate = stream(&transport, address, &taken).await;
    let round_trip = ping(&transport, address).await;
    stop.trigger();
    (rate, round_trip)
}

async fn stream(transport: &RaftTransport, address: SocketAddr, taken: &AtomicU64) -> f64 {
    let mut stream = transport.call(address).await.unwrap();
    stream.write_u8(0).await.unwrap();
    let piece = Bytes::from(vec![3; LARGE]);
    let begin = Instant::now();
    while begin.elapsed() < WINDOW {
        stream.write_all(&piece).await.unwrap();
    }
    taken.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64() / 1_048_576.0
}

async fn ping(transport: &RaftTransport, address: SocketAddr) -> f64 {
    let mut stream = transport.call(address).await.unwrap();
    stream.write_u8(1).await.unwrap();
    let mut message = [5; SMALL];
    let mut times = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < WINDOW {
        let sent = Instant::now();
        stream.write_all(&message).await.unwrap();
        stream.flush().await.unwrap();
        stream.read_exact(&mut message).await.unwrap();
        times.push(sent.elapsed());
    }
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}
