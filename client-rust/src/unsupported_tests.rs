//! What is seen of an agent that does not know a command: it answers so, reads nothing more and closes the connection, while
//! other requests may be under way.

use std::time::Duration;

use bytes::Bytes;
use folkmoot_proto::{FrameReader, Header, ResponseHeader, texts};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::client::Client;
use crate::error::Error;
use crate::fake_agent::{Act, FakeAgent, next};
use crate::options::ConnectOptions;
use crate::subscriptions::Coalesce;

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn closes() -> Act {
    Act::RefuseAndClose(texts::UNSUPPORTED_COMMAND)
}

fn resets() -> Act {
    Act::RefuseAndReset(texts::UNSUPPORTED_COMMAND)
}

fn is_unsupported<T: std::fmt::Debug>(answer: Result<T, Error>) {
    assert!(matches!(answer, Err(Error::Unsupported { .. })), "{answer:?}");
}

async fn event(client: &Client) -> Result<(), Error> {
    client.event("deploy", None, Coalesce::Every).await
}

#[tokio::test]
async fn what_is_asked_next_is_answered_however_the_connection_ends() {
    for act in [closes, resets] {
        let agent = FakeAgent::start([act(), act(), act(), act()]).await;
        let client = agent.client().await;
        let told = async {
            is_unsupported(client.kv().get("a").await);
            is_unsupported(client.group().status().await);
            is_unsupported(client.group().add("n1").await);
            event(&client).await.unwrap();
            is_unsupported(client.group().remove("n1").await);
            event(&client).await.unwrap();
        };
        timeout(PATIENCE, told).await.unwrap();
        assert_eq!(agent.seen().len(), 4, "each was sent once");
    }
}

#[tokio::test]
async fn what_is_under_way_behind_it_is_sent_again() {
    for act in [closes, resets] {
        let agent = FakeAgent::start([act(), act(), act(), act()]).await;
        let client = agent.client().await;
        let (kv, group) = (client.kv(), client.group());
        let told = async {
            tokio::join!(
                async { is_unsupported(kv.get("a").await) },
                async { is_unsupported(group.add("n1").await) },
                async { is_unsupported(group.status().await) },
                async { event(&client).await.unwrap() },
                async { is_unsupported(group.remove("n1").await) },
            )
        };
        timeout(PATIENCE, told).await.unwrap();
        assert_eq!(agent.seen().len(), 4, "each was read once");
    }
}

#[tokio::test]
async fn the_answer_is_read_though_the_request_was_not_taken_whole() {
    let listener = TcpListener::bind("127.0.36.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut frames, mut header) = (FrameReader::for_requests(), Header::default());
        for object in ["header of the handshake", "its body", "header of the event"] {
            let read = next(&mut frames, &mut stream).await.expect(object);
            if object == "its body" {
                stream.write_all(&ResponseHeader::ok(header.seq).to_bytes()).await.unwrap();
            } else {
                header.update(&read).unwrap();
            }
        }
        // The rest is in the way of a close in good order: the other end is told of a reset.
        stream.write_all(&ResponseHeader::refused(header.seq, texts::UNSUPPORTED_COMMAND).to_bytes()).await.unwrap();
    });
    let client = Client::connect(&ConnectOptions::new(address)).await.unwrap();
    let payload = Bytes::from(vec![0; 32 << 20]);
    let refused = timeout(PATIENCE, client.event("large", Some(payload), Coalesce::Every)).await.unwrap();
    assert!(matches!(&refused, Err(Error::Remote { text, .. }) if text == texts::UNSUPPORTED_COMMAND), "{refused:?}");
}
