//! Frames in chunks of any size.

use super::*;

const MESSAGES: [&[u8]; 4] = [b"", b"abc", b"0123456789", b"x"];

fn frames() -> Bytes {
    let mut buffer = Vec::new();
    for message in MESSAGES {
        let start = begin(&mut buffer);
        buffer.extend_from_slice(message);
        end(&mut buffer, start, 0).unwrap();
    }
    buffer.into()
}

fn read(reader: &mut FrameReader, found: &mut Vec<Bytes>) -> Result<(), FrameError> {
    while let Some(frame) = reader.next_frame()? {
        found.push(frame.into_message());
    }
    Ok(())
}

#[test]
fn frames_are_found_in_chunks_of_any_size() {
    let bytes = frames();
    for size in 1..=bytes.len() {
        let (mut reader, mut meter) = (FrameReader::new(10), FrameMeter::new(10));
        let (mut found, mut begun) = (Vec::new(), 0);
        for chunk in bytes.chunks(size) {
            reader.push(bytes.slice_ref(chunk));
            read(&mut reader, &mut found).unwrap();
            begun += meter.pass(chunk).unwrap();
        }
        assert_eq!(found, MESSAGES, "{size}");
        assert_eq!(begun, MESSAGES.len() as u64, "{size}");
        assert!(meter.is_between_frames() && reader.finish().is_ok());
    }
}

#[test]
fn chunks_that_come_early_are_joined() {
    let bytes = frames();
    let mut reader = FrameReader::new(10);
    bytes
        .chunks(4)
        .for_each(|chunk| reader.push(bytes.slice_ref(chunk)));
    let mut found = Vec::new();
    read(&mut reader, &mut found).unwrap();
    assert_eq!(found, MESSAGES);
}

#[test]
fn a_frame_within_one_chunk_is_not_copied() {
    let bytes = encode(COMPRESSED, b"abc").unwrap();
    let mut reader = FrameReader::new(3);
    reader.push(bytes.clone());
    let frame = reader.next_frame().unwrap().unwrap();
    assert!(frame.is_compressed());
    assert_eq!(frame.message(), b"abc");
    assert_eq!(frame.into_bytes().as_ptr(), bytes.as_ptr());
}

#[test]
fn messages_above_the_limit_are_rejected_by_their_header() {
    let bytes = frames();
    let too_large = FrameError::TooLarge {
        length: 10,
        limit: 9,
    };
    for size in 1..=bytes.len() {
        let (mut reader, mut meter) = (FrameReader::new(9), FrameMeter::new(9));
        let mut found = Vec::new();
        let outcome = bytes.chunks(size).try_for_each(|chunk| {
            reader.push(bytes.slice_ref(chunk));
            read(&mut reader, &mut found)
        });
        assert_eq!((outcome, found.len()), (Err(too_large), 2), "{size}");
        let outcome = bytes
            .chunks(size)
            .try_for_each(|chunk| meter.pass(chunk).map(|_| ()));
        assert_eq!(outcome, Err(too_large), "{size}");
    }
}

#[test]
fn flags_that_are_not_accepted_are_rejected() {
    for (accepted, flags, outcome) in [
        (0, COMPRESSED, Err(FrameError::Flags(COMPRESSED))),
        (COMPRESSED, COMPRESSED, Ok(())),
        (COMPRESSED, TRAILERS, Err(FrameError::Flags(TRAILERS))),
        (END_STREAM | TRAILERS, END_STREAM, Ok(())),
    ] {
        let mut reader = FrameReader::new(9).accept_flags(accepted);
        reader.push(encode(flags, b"x").unwrap());
        assert_eq!(
            reader.next_frame().map(|_| ()),
            outcome,
            "{accepted} {flags}"
        );
    }
}

#[test]
fn an_end_within_a_frame_is_an_error() {
    let bytes = encode(0, b"abc").unwrap();
    for length in 1..bytes.len() {
        let mut reader = FrameReader::new(9);
        reader.push(bytes.slice(..length));
        assert_eq!(reader.next_frame(), Ok(None));
        assert_eq!(reader.finish(), Err(FrameError::Truncated));
        assert_eq!(reader.take_rest(), bytes.slice(..length));
        assert_eq!(reader.finish(), Ok(()));
    }
}
