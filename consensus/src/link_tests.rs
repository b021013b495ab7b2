use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::limits::{OUTBOX_BYTES, PART_BYTES};
use crate::types::Tokio;

const PATIENCE: Duration = Duration::from_secs(2);

/// A link, and the stream's other end.
fn linked() -> (Link, Frames<tokio::io::ReadHalf<DuplexStream>>, tokio::io::WriteHalf<DuplexStream>) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let link = Link::start::<Tokio, _>(ours, StreamKind::Calls, PATIENCE);
    let (reader, writer) = tokio::io::split(theirs);
    (link, Frames::new(reader), writer)
}

fn answer(id: u64, body: &[u8]) -> Bytes {
    frames::written(Kind::Answer, id, |out| out.extend_from_slice(body)).unwrap()
}

async fn next(frames: &mut Frames<tokio::io::ReadHalf<DuplexStream>>) -> Frame {
    frames.next(&Moved::default()).await.unwrap().expect("a frame")
}

#[tokio::test]
async fn answers_may_overtake_one_another() {
    let (link, mut frames, mut writer) = linked();
    let first = link.ask(Kind::Query, |out| out.push(1)).await.unwrap();
    let second = link.ask(Kind::Query, |out| out.push(2)).await.unwrap();
    let (one, two) = (next(&mut frames).await, next(&mut frames).await);
    assert_eq!((&one.body[..], &two.body[..]), (&[1][..], &[2][..]));
    writer.write_all(&answer(two.id, b"two")).await.unwrap();
    writer.write_all(&answer(77, b"nobody asked")).await.unwrap();
    writer.write_all(&answer(one.id, b"one")).await.unwrap();
    assert_eq!(second.await.unwrap(), "two");
    assert_eq!(first.await.unwrap(), "one");
}

#[tokio::test]
async fn a_stream_cut_within_a_frame_ends_every_request() {
    let (link, mut frames, mut writer) = linked();
    let pending = link.ask(Kind::Query, |_| ()).await.unwrap();
    let asked = next(&mut frames).await;
    let whole = answer(asked.id, b"never whole");
    writer.write_all(&whole[..whole.len() - 1]).await.unwrap();
    drop((frames, writer));
    let error = pending.await.unwrap_err();
    assert_eq!(error.to_string(), "the stream has ended: unexpected end of file");
    assert!(link.ended());
    assert_eq!(link.ask(Kind::Query, |_| ()).await.unwrap_err(), error);
}

#[tokio::test]
async fn what_is_no_frame_or_no_answer_ends_the_stream_and_says_why() {
    for (bytes, reason) in [
        (&[0xff, 0xff, 0xff, 0xff][..], "a frame of 4294967295 bytes, at most 12582912 are allowed"),
        (&[0, 0, 0, 9, 200], "a frame of the unknown kind 200"),
        (&[0, 0, 0, 9, 17, 0, 0, 0, 0, 0, 0, 0, 1], "asked by the side that is to answer"),
    ] {
        let (link, _frames, mut writer) = linked();
        let pending = link.ask(Kind::Query, |_| ()).await.unwrap();
        writer.write_all(bytes).await.unwrap();
        assert_eq!(pending.await.unwrap_err().to_string(), format!("the stream has ended: {reason}"));
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_stream_only_while_answers_are_due() {
    let (link, mut frames, _writer) = linked();
    tokio::time::advance(PATIENCE * 10).await;
    assert!(!link.ended(), "nothing was due");
    let pending = link.ask(Kind::Query, |_| ()).await.unwrap();
    assert_eq!(next(&mut frames).await.kind, Kind::Query);
    let error = pending.await.unwrap_err();
    assert_eq!(error.to_string(), "the stream has ended: nothing moves on it");
    assert_eq!(next(&mut frames).await.kind, Kind::Ping);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_long_is_waited_for_while_the_other_side_says_that_it_is_there() {
    let (link, mut frames, mut writer) = linked();
    let pending = link.ask(Kind::Propose, |_| ()).await.unwrap();
    let asked = next(&mut frames).await;
    for _ in 0..20 {
        assert_eq!(next(&mut frames).await.kind, Kind::Ping);
        let pong = frames::written(Kind::Pong, 0, |_| ()).unwrap();
        writer.write_all(&pong).await.unwrap();
    }
    writer.write_all(&answer(asked.id, b"at last")).await.unwrap();
    assert_eq!(pending.await.unwrap(), "at last");
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_forgotten_there_too() {
    let (link, mut frames, _writer) = linked();
    let pending = link.call(Kind::Propose, &Bytes::from_static(b"lock"), 0).await.unwrap();
    let asked = next(&mut frames).await;
    drop(pending);
    let told = next(&mut frames).await;
    assert_eq!((told.kind, told.id), (Kind::Forget, asked.id));
    assert!(link.waiting.lock().waiting.is_empty());
}

#[tokio::test]
async fn long_bodies_go_and_come_in_parts_and_no_longer_than_asked_for() {
    let (link, mut frames, mut writer) = linked();
    let long: Bytes = (0..PART_BYTES * 2 + 5).map(|place| place as u8).collect();
    let echo = async {
        let mut together = Vec::new();
        loop {
            let frame = next(&mut frames).await;
            together.extend_from_slice(&frame.body);
            if frame.kind == Kind::Admin {
                for piece in frames::pieces(Kind::Answer, frame.id, &Bytes::from(std::mem::take(&mut together))) {
                    writer.write_all(&piece).await.unwrap();
                }
                break;
            }
        }
    };
    let call = async { link.call(Kind::Admin, &long, long.len()).await.unwrap().await };
    let (answer, ()) = tokio::join!(call, echo);
    assert_eq!(answer.unwrap(), long);

    let pending = link.call(Kind::Admin, &Bytes::new(), PART_BYTES - 1).await.unwrap();
    let asked = next(&mut frames).await;
    let part = frames::pieces(Kind::Answer, asked.id, &long).next().unwrap();
    writer.write_all(&part).await.unwrap();
    let error = pending.await.unwrap_err();
    assert_eq!(error.to_string(), "the stream has ended: an answer longer than was asked for");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_reader_that_does_not_read_is_bounded() {
    let (link, frames, _writer) = linked();
    let body = vec![7; 1024 * 1024];
    let mut pending = Vec::new();
    let full = loop {
        let asking = link.ask(Kind::Append, |out| out.extend_from_slice(&body));
        match tokio::time::timeout(Duration::from_millis(100), asking).await {
            Ok(sent) => pending.push(sent.unwrap()),
            Err(_) => break pending.len(),
        }
    };
    assert!((15..=OUTBOX_BYTES / body.len() + 1).contains(&full), "{full} MiB");
    drop(frames);
}

#[tokio::test]
async fn the_stream_ends_when_nobody_can_ask_any_more() {
    let (ours, mut theirs) = tokio::io::duplex(64);
    drop(Link::start::<Tokio, _>(ours, StreamKind::Calls, PATIENCE));
    assert_eq!(theirs.read(&mut [0; 8]).await.unwrap(), 0);
}
