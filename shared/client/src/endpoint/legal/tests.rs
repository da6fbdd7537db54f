//! Streams of frames, whole and at every split.

use tokio::io::AsyncReadExt;

use super::*;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream][..], payload].concat()
}

/// Reads what comes of bytes that arrive in two pieces.
async fn read(bytes: &[u8], split: usize) -> Vec<u8> {
    let arriving = in_two(bytes, split);
    let mut read = Vec::new();
    LegalFields::new(arriving)
        .read_to_end(&mut read)
        .await
        .unwrap();
    read
}

fn in_two(bytes: &[u8], split: usize) -> impl AsyncRead + Unpin {
    let (first, second) = bytes.split_at(split);
    let [first, second] = [first, second].map(|piece| io::Cursor::new(piece.to_vec()));
    AsyncReadExt::chain(first, second)
}

/// `:status 200`, and literals with indexing.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x88];
    for (name, value) in fields {
        block.push(0x40);
        for string in [name, value] {
            block.push(u8::try_from(string.len()).unwrap());
            block.extend(string.as_bytes());
        }
    }
    block
}

fn is_malformed(block: &[u8]) -> bool {
    block.ends_with(b"\x00\x02te\x01x")
}

#[tokio::test]
async fn legal_frames_pass_as_they_are_wherever_they_are_cut() {
    let head = block(&[("content-type", "application/grpc")]);
    let bytes = [
        frame(4, 0, 0, &[]),
        frame(HEADERS, END_HEADERS, 1, &head),
        frame(0, 0, 1, b"\0\0\0\0\x01a"),
        frame(HEADERS, PADDED, 3, &[&[2], &head[..5], &[0, 0]].concat()),
        frame(CONTINUATION, END_HEADERS, 3, &head[5..]),
        // Both, by the dynamic table.
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xbe, 0xbf]),
        b"\0\0\x09".to_vec(),
    ]
    .concat();
    for split in 0..=bytes.len() {
        assert_eq!(read(&bytes, split).await, bytes, "split at {split}");
    }
}

#[tokio::test]
async fn an_illegal_field_is_replaced_and_the_stream_marked_wherever_it_is_cut() {
    let good = frame(0, 0, 5, b"data");
    let bad = block(&[("x", "a\x11b"), ("X-A", "b")]);
    let flags = END_HEADERS | END_STREAM;
    let bytes = [&good[..], &frame(HEADERS, flags, 1, &bad), &good].concat();
    // Each illegal byte has a substitute.
    let legal = [
        &block(&[("x", "a?b"), ("x-x", "b")])[..],
        b"\x00\x02te\x01x",
    ]
    .concat();
    let expected = [&good[..], &frame(HEADERS, flags, 1, &legal), &good].concat();
    for split in 0..=bytes.len() {
        assert_eq!(read(&bytes, split).await, expected, "split at {split}");
    }
}

#[test]
fn an_illegal_entry_of_the_dynamic_table_stays_illegal_until_it_is_evicted() {
    let mut table = Table::default();
    let mut check = |block: &[u8]| table.check(block).unwrap();
    assert!(check(&block(&[("x", "a\nb")])).is_some_and(|block| is_malformed(&block)));
    assert!(check(&[0xbe]).is_some_and(|block| is_malformed(&block)));
    // Its name is legal, and may be used with another value.
    assert!(check(b"\x7e\x01a").is_none());
    assert!(check(&[0xbe]).is_none());
    assert!(check(&[0xbf]).is_some());
    // The table is emptied, and grows again.
    assert!(check(b"\x20\x3f\xe1\x1f\x88").is_none());
    assert!(table.check(&[0xbe]).is_err());
}

#[test]
fn every_kind_of_illegal_field_is_found() {
    let empty_name = b"\x00\x00\x01a".to_vec();
    // `:method: GET`, and literals of `:path` and `:status`.
    let request = [b"\x82".to_vec(), b"\x04\x01/".to_vec()];
    let statuses = ["", "20", "2000", "abc", "099"].map(|value| {
        [
            &[0x08, u8::try_from(value.len()).unwrap()],
            value.as_bytes(),
        ]
        .concat()
    });
    let named = [":status", ":path", ":", "x a", "x:a", "x\u{1}", "x\u{e9}"]
        .map(|name| block(&[(name, "b")]));
    let valued = ["a\x11", "\x7f", "\0", "a\r\ny: z"].map(|value| block(&[("x", value)]));
    let all = [
        vec![empty_name],
        request.to_vec(),
        statuses.to_vec(),
        named.to_vec(),
    ];
    for illegal in all.into_iter().flatten().chain(valued) {
        let legal = Table::default().check(&illegal).unwrap();
        let legal = legal.unwrap_or_else(|| panic!("{illegal:?} passed"));
        assert!(is_malformed(&legal));
        // The rest of what is written is legal, pseudo-header fields that h2 takes aside.
        if illegal != b"\x82" {
            assert!(
                Table::default().check(&legal).unwrap().is_none(),
                "{illegal:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_cannot_be_understood_passes() {
    for bytes in [
        frame(HEADERS, END_HEADERS, 1, &[0xff]),
        frame(HEADERS, PADDED, 1, &[9]),
        [frame(HEADERS, 0, 1, &[0x88]), frame(0, 0, 1, b"a")].concat(),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
    ] {
        assert_eq!(read(&bytes, 1).await, bytes);
    }
}
