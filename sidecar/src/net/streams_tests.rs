use std::time::Duration;

use super::*;
use crate::shutdown::{ShutdownTrigger, shutdown_pair};

const LIMIT: Duration = Duration::from_secs(10);

async fn streams(address: &str) -> (Streams, SocketAddr, ShutdownTrigger) {
    let listener = TcpListener::bind(address).await.unwrap();
    let local = listener.local_addr().unwrap();
    let (trigger, token) = shutdown_pair();
    (Streams::start(listener, token), local, trigger)
}

async fn next(streams: &mut Streams) -> StreamEvent {
    tokio::time::timeout(LIMIT, streams.next()).await.unwrap()
}

async fn next_input(streams: &mut Streams) -> Input {
    match next(streams).await {
        StreamEvent::Input(_, input) => input,
        StreamEvent::Accepted(_) => panic!("expected an input"),
    }
}

async fn accept(streams: &mut Streams, id: u64) {
    match next(streams).await {
        StreamEvent::Accepted(accepted) => streams.adopt(StreamId(id), accepted),
        StreamEvent::Input(..) => panic!("expected a connection"),
    }
}

/// Everything that arrives until the peer's end of stream.
async fn read_to_end(streams: &mut Streams) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        match next_input(streams).await {
            Input::Bytes(bytes) => all.extend_from_slice(&bytes),
            Input::Finished => return all,
            other @ (Input::Connected | Input::Failed(_)) => panic!("unexpected {other:?}"),
        }
    }
}

#[tokio::test]
async fn bytes_flow_both_ways_and_closing_delivers_what_was_queued() {
    let (mut left, _, _left_stop) = streams("127.0.26.16:0").await;
    let (mut right, to, _right_stop) = streams("127.0.26.17:0").await;
    left.connect(StreamId(1), to).unwrap();
    assert!(matches!(next_input(&mut left).await, Input::Connected));
    accept(&mut right, 7).await;
    let large = Bytes::from(vec![5; 3_000_000]);
    left.write(StreamId(1), large.clone()).unwrap();
    left.close(StreamId(1));
    assert_eq!(read_to_end(&mut right).await, large);
}

#[tokio::test]
async fn the_peers_end_of_stream_leaves_our_side_open() {
    let (mut streams, to, _stop) = streams("127.0.26.16:0").await;
    let mut peer = TcpStream::connect(to).await.unwrap();
    accept(&mut streams, 7).await;
    peer.write_all(b"question").await.unwrap();
    peer.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut streams).await, b"question");
    streams.write(StreamId(7), Bytes::from_static(b"answer")).unwrap();
    streams.close(StreamId(7));
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
}

#[tokio::test]
async fn a_refused_dial_fails_in_gos_words() {
    let (mut streams, _, _stop) = streams("127.0.26.16:0").await;
    let to: SocketAddr = "127.0.26.18:1".parse().unwrap();
    streams.connect(StreamId(1), to).unwrap();
    match next_input(&mut streams).await {
        Input::Failed(reason) => assert_eq!(reason, "dial tcp 127.0.26.18:1: connect: connection refused"),
        other @ (Input::Connected | Input::Bytes(_) | Input::Finished) => panic!("unexpected {other:?}"),
    }
}

#[tokio::test]
async fn a_stream_whose_peer_does_not_read_fails_instead_of_piling_up() {
    let (mut streams, to, _stop) = streams("127.0.26.16:0").await;
    let _peer = TcpStream::connect(to).await.unwrap();
    accept(&mut streams, 7).await;
    let piece = Bytes::from(vec![0; 1 << 20]);
    let refused = (0..10_000).find_map(|_| streams.write(StreamId(7), piece.clone()).err());
    assert_eq!(refused.as_deref(), Some("write tcp: the peer does not read"));
    assert_eq!(streams.write(StreamId(7), piece), Ok(()));
}
