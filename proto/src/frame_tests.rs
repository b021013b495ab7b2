use super::*;

/// Every family of MessagePack, and the containers that hold them.
fn samples() -> Vec<Vec<u8>> {
    vec![
        b"\x82\xa7Command\xa9handshake\xa3Seq\x00".to_vec(),
        b"\x81\xa7Version\x01".to_vec(),
        vec![0xc0],
        vec![0x7f],
        vec![0xe0],
        vec![0x80],
        vec![0x90],
        vec![0xa0],
        [&[0xd9, 40][..], &[b'z'; 40]].concat(),
        [&[0xda, 1, 0][..], &[b'z'; 256]].concat(),
        [&[0xc5, 1, 0][..], &[0xc1; 256]].concat(),
        vec![0xdc, 0, 2, 0xcf, 1, 2, 3, 4, 5, 6, 7, 8, 0xd1, 0, 1],
        vec![0xde, 0, 1, 0xc4, 1, 0xc1, 0x92, 0xca, 1, 2, 3, 4, 0xc3],
        vec![0xd6, 1, 0xc1, 0xc1, 0xc1, 0xc1],
        vec![0xc7, 2, 5, 0xc1, 0xc1],
    ]
}

fn objects(frames: &mut FrameReader) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| frames.next().unwrap()).map(|object| object.to_vec()).collect()
}

#[test]
fn objects_come_out_whole_wherever_the_stream_is_split() {
    let stream = samples().concat();
    for split in 0..=stream.len() {
        let mut frames = FrameReader::for_requests();
        frames.push(&stream[..split]);
        let mut found = objects(&mut frames);
        frames.push(&stream[split..]);
        found.extend(objects(&mut frames));
        assert_eq!(found, samples(), "split at {split}");
        assert!(frames.is_at_boundary());
    }
}

#[test]
fn objects_come_out_whole_byte_by_byte() {
    let mut frames = FrameReader::for_requests();
    let mut found = Vec::new();
    for byte in samples().concat() {
        frames.push(&[byte]);
        found.extend(objects(&mut frames));
    }
    assert_eq!(found, samples());
}

#[test]
fn bytes_read_into_the_space_are_taken() {
    let mut frames = FrameReader::for_requests();
    assert!(frames.space().remaining_mut() >= READ_CHUNK);
    frames.space().put_slice(&[0xa1, b'x', 0xa2]);
    assert_eq!(objects(&mut frames), vec![vec![0xa1, b'x']]);
    assert!(!frames.is_at_boundary());
}

#[test]
fn an_announced_length_above_the_limit_is_refused_before_it_has_come() {
    for start in [&[0xdb, 0, 0x40, 0, 0][..], &[0xdd, 0xff, 0xff, 0xff, 0xff], &[0xdf, 0xff, 0xff, 0xff, 0xff]] {
        let mut frames = FrameReader::for_requests();
        frames.push(start);
        assert!(frames.next().is_err(), "{start:02x?}");
        frames.push(&[0]);
        assert!(frames.next().is_err(), "{start:02x?} again");
    }
}

#[test]
fn an_object_of_exactly_the_limit_is_taken_and_a_longer_one_is_not() {
    let object =
        |length: usize| [&[0xc5][..], &u16::try_from(length - 3).unwrap().to_be_bytes(), &vec![7; length - 3]].concat();
    let mut frames = FrameReader::with_limit(1000);
    frames.push(&object(1000));
    assert_eq!(objects(&mut frames), vec![object(1000)]);
    frames.push(&object(1001));
    assert!(frames.next().is_err());
}

#[test]
fn a_changed_limit_counts_for_the_object_that_is_arriving() {
    let mut frames = FrameReader::with_limit(10);
    frames.push(&[0x92, 0xc4]);
    assert_eq!(frames.next(), Ok(None));
    frames.set_limit(100);
    frames.push(&[20]);
    frames.push(&[0; 21]);
    assert_eq!(frames.next().unwrap().unwrap().len(), 24);
}

#[test]
fn nesting_is_taken_up_to_the_limit() {
    let nested = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
    let mut frames = FrameReader::for_requests();
    frames.push(&nested(MAX_DEPTH));
    assert_eq!(objects(&mut frames).len(), 1);
    frames.push(&nested(MAX_DEPTH + 1));
    assert!(frames.next().is_err());
}

#[test]
fn the_reserved_byte_is_refused_as_a_value_and_taken_as_data() {
    let mut frames = FrameReader::for_requests();
    frames.push(&[0xc4, 1, 0xc1]);
    assert_eq!(objects(&mut frames).len(), 1);
    frames.push(&[0x91, 0xc1]);
    assert!(frames.next().is_err());
}
