use bytes::BufMut;
use proptest::prelude::*;

use super::*;

fn frame(kind: Kind, id: u64, body: &[u8]) -> Bytes {
    written(kind, id, |out| out.extend_from_slice(body)).unwrap()
}

fn raw(length: u32, rest: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::new();
    bytes.put_u32(length);
    bytes.extend_from_slice(rest);
    bytes
}

#[test]
fn a_frame_that_is_not_whole_is_waited_for() {
    let whole = frame(Kind::Vote, 3, b"body");
    for length in 0..whole.len() {
        let mut buffer = BytesMut::from(&whole[..length]);
        assert_eq!(take(&mut buffer), Ok(None), "{length} bytes");
        assert_eq!(buffer.len(), length, "nothing is lost");
    }
}

#[test]
fn a_length_beyond_the_limit_is_refused_before_its_bytes_come() {
    let most = (FRAME_BYTES_MAX + HEADER) as u32;
    assert_eq!(take(&mut raw(most + 1, &[])), Err(FrameError::TooLong(most as usize + 1)));
    assert_eq!(take(&mut raw(u32::MAX, &[1])), Err(FrameError::TooLong(u32::MAX as usize)));
    let mut honest = raw(most, &[1]);
    assert_eq!(take(&mut honest), Ok(None));
    assert!(honest.capacity() < 4096, "a declared length is not believed");
}

#[test]
fn lengths_without_a_header_and_unknown_kinds_are_refused() {
    for length in 0..HEADER {
        assert_eq!(take(&mut raw(length as u32, &[1; 9])), Err(FrameError::TooShort(length)));
    }
    for kind in 0..=u8::MAX {
        let known = KINDS.iter().any(|one| *one as u8 == kind);
        let taken = take(&mut raw(HEADER as u32, &[kind]));
        assert_eq!(taken, if known { Ok(None) } else { Err(FrameError::UnknownKind(kind)) });
    }
}

#[test]
fn a_body_beyond_the_limit_is_not_written() {
    let body = vec![0; FRAME_BYTES_MAX + 1];
    assert_eq!(written(Kind::Propose, 1, |out| out.extend_from_slice(&body)), None);
    assert!(written(Kind::Propose, 1, |out| out.extend_from_slice(&body[1..])).is_some());
}

#[test]
fn a_long_body_comes_in_parts_and_its_end() {
    for (length, parts) in [(0, 0), (1, 0), (PART_BYTES, 0), (PART_BYTES + 1, 1), (3 * PART_BYTES, 2)] {
        let body: Bytes = (0..length).map(|place| place as u8).collect();
        let mut together = Vec::new();
        let mut kinds = Vec::new();
        for piece in pieces(Kind::Answer, 9, &body) {
            let frame = take(&mut BytesMut::from(&piece[..])).unwrap().unwrap();
            assert_eq!(frame.id, 9);
            kinds.push(frame.kind);
            together.extend_from_slice(&frame.body);
        }
        assert_eq!(kinds.pop(), Some(Kind::Answer));
        assert_eq!(kinds, vec![Kind::Part; parts]);
        assert_eq!(together, body);
    }
}

proptest! {
    #[test]
    fn frames_survive_any_cut_of_the_stream(
        bodies in prop::collection::vec((0..KINDS.len(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..200)), 1..8),
        cuts in prop::collection::vec(1..64usize, 1..40),
    ) {
        let frames: Vec<Frame> = bodies
            .into_iter()
            .map(|(kind, id, body)| Frame { kind: KINDS[kind], id, body: body.into() })
            .collect();
        let stream: Vec<u8> = frames.iter().flat_map(|one| frame(one.kind, one.id, &one.body)).collect();
        let (mut buffer, mut taken, mut at) = (BytesMut::new(), Vec::new(), 0);
        for cut in cuts.into_iter().cycle() {
            let end = stream.len().min(at + cut);
            buffer.extend_from_slice(&stream[at..end]);
            at = end;
            while let Some(frame) = take(&mut buffer).unwrap() {
                taken.push(frame);
            }
            if at == stream.len() {
                break;
            }
        }
        prop_assert_eq!(taken, frames);
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn any_bytes_are_frames_or_an_error(bytes in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..300)) {
        let mut buffer = BytesMut::from(&bytes[..]);
        let mut left = buffer.len();
        while let Ok(Some(frame)) = take(&mut buffer) {
            prop_assert_eq!(buffer.len() + LENGTH + HEADER + frame.body.len(), left);
            left = buffer.len();
        }
    }
}
