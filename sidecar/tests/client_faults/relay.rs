//! A relay between client and agent, which cuts a connection or says nothing more when it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Cheap to clone; ends with its runtime.
#[derive(Clone)]
pub struct Relay {
    address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    /// Bytes of answers after which the next connection is cut; none if there is no end.
    cut: AtomicUsize,
    silent: watch::Sender<bool>,
}

impl Relay {
    pub async fn to(agent: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.49.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner { cut: AtomicUsize::new(usize::MAX), silent: watch::Sender::new(false) });
        let relay = Self { address, inner };
        let accepting = relay.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let cut = accepting.inner.cut.swap(usize::MAX, Ordering::Relaxed);
                tokio::spawn(accepting.clone().pass(client, agent, cut));
            }
        });
        relay
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The next connection ends after so many bytes of answers; those after it do not.
    pub fn cut_next_after(&self, bytes: usize) {
        self.inner.cut.store(bytes, Ordering::Relaxed);
    }

    /// From here on nothing is passed on, and nothing is closed.
    pub fn fall_silent(&self) {
        self.inner.silent.send_replace(true);
    }

    async fn pass(self, client: TcpStream, agent: SocketAddr, cut: usize) {
        let Ok(agent) = TcpStream::connect(agent).await else { return };
        let (from_client, to_client) = client.into_split();
        let (from_agent, to_agent) = agent.into_split();
        // Whichever way ends first, both do: as a connection that is cut.
        tokio::select! {
            () = self.copy(from_client, to_agent, usize::MAX) => {}
            () = self.copy(from_agent, to_client, cut) => {}
        }
    }

    async fn copy(&self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut left: usize) {
        let mut silent = self.inner.silent.subscribe();
        let mut buffer = vec![0; 16 << 10];
        while left > 0 {
            let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
            if silent.wait_for(|silent| !silent).await.is_err() {
                return;
            }
            let passed = read.min(left);
            if to.write_all(&buffer[..passed]).await.is_err() {
                return;
            }
            left -= passed;
        }
    }
}
