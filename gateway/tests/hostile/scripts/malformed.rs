//! Frames that are malformed by themselves.

use hostile::{On, Step, flag, grpc, kind, setting};

use super::frames::OK_OR_BROKEN_OR_GONE;
use super::{BROKEN_OR_GONE, Row, message};

/// Frames that are malformed by themselves, after the head of a response.
pub(super) fn all() -> Vec<Row> {
    let on_call = grpc::on_call;
    let on_connection = grpc::on_connection;
    let window = grpc::window;
    let frames: [(&str, Step); 24] = [
        ("DATA on stream 0", on_connection(kind::DATA, 0, vec![0])),
        (
            "DATA with too much padding",
            on_call(kind::DATA, flag::PADDED, vec![200, 1, 2]),
        ),
        (
            "DATA above the size that is allowed",
            grpc::data(&[0; 17_000]),
        ),
        (
            "HEADERS on stream 0",
            on_connection(kind::HEADERS, flag::END_HEADERS, vec![0x88]),
        ),
        (
            "RST_STREAM on stream 0",
            on_connection(kind::RST_STREAM, 0, vec![0; 4]),
        ),
        (
            "RST_STREAM of 3 bytes",
            on_call(kind::RST_STREAM, 0, vec![0; 3]),
        ),
        (
            "RST_STREAM of an idle stream",
            Step::Frame {
                kind: kind::RST_STREAM,
                flags: 0,
                on: On::Beside(1000),
                payload: vec![0; 4],
            },
        ),
        ("SETTINGS on a stream", on_call(kind::SETTINGS, 0, vec![])),
        (
            "SETTINGS of 5 bytes",
            on_connection(kind::SETTINGS, 0, vec![0; 5]),
        ),
        (
            "SETTINGS, acknowledged with content",
            on_connection(kind::SETTINGS, flag::ACK, vec![0; 6]),
        ),
        (
            "SETTINGS, acknowledged once too often",
            on_connection(kind::SETTINGS, flag::ACK, vec![]),
        ),
        (
            "SETTINGS with push",
            grpc::settings(&[(setting::ENABLE_PUSH, 1)]),
        ),
        (
            "SETTINGS with push 2",
            grpc::settings(&[(setting::ENABLE_PUSH, 2)]),
        ),
        (
            "SETTINGS with a window of 2^31",
            grpc::settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 31)]),
        ),
        (
            "SETTINGS with frames of 1 byte",
            grpc::settings(&[(setting::MAX_FRAME_SIZE, 1)]),
        ),
        ("PING of 7 bytes", on_connection(kind::PING, 0, vec![0; 7])),
        ("PING on a stream", on_call(kind::PING, 0, vec![0; 8])),
        (
            "GOAWAY of 7 bytes",
            on_connection(kind::GOAWAY, 0, vec![0; 7]),
        ),
        ("GOAWAY on a stream", on_call(kind::GOAWAY, 0, vec![0; 8])),
        (
            "WINDOW_UPDATE of 3 bytes",
            on_call(kind::WINDOW_UPDATE, 0, vec![0; 3]),
        ),
        ("WINDOW_UPDATE of 0 on the stream", window(On::Call, 0)),
        (
            "WINDOW_UPDATE of 0 on the connection",
            window(On::Connection, 0),
        ),
        (
            "WINDOW_UPDATE above 2^31 on the stream",
            window(On::Call, 0x7fff_ffff),
        ),
        (
            "WINDOW_UPDATE above 2^31 on the connection",
            window(On::Connection, 0x7fff_ffff),
        ),
    ];
    let rows = frames.into_iter().flat_map(|(name, frame)| {
        // A call may have been answered before its frame is read; one that was not says so.
        let early = vec![grpc::headers(grpc::HEAD), frame.clone(), Step::Sync];
        let early = [
            early,
            vec![grpc::data(&message()), grpc::last_headers(grpc::TRAILERS)],
        ]
        .concat();
        let late = vec![
            grpc::headers(grpc::HEAD),
            grpc::data(&message()),
            frame,
            grpc::last_headers(grpc::TRAILERS),
        ];
        [
            Row::new(
                format!("{name}, after the head"),
                early,
                OK_OR_BROKEN_OR_GONE,
            ),
            Row::new(
                format!("{name}, after a message"),
                late,
                OK_OR_BROKEN_OR_GONE,
            ),
        ]
    });
    let raw = [
        (
            "a frame of 2^24 - 1 bytes",
            vec![0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1],
        ),
        (
            "HTTP/1 in the middle",
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec(),
        ),
        ("noise", (0..=255).cycle().take(2000).collect()),
    ];
    let raw = raw.map(|(name, bytes)| {
        let script = vec![grpc::headers(grpc::HEAD), Step::Bytes(bytes)];
        Row::new(name, script, BROKEN_OR_GONE)
    });
    rows.chain(raw).collect()
}
