//! Header fields that HTTP/2 does not allow, too many of them, and blocks that cannot be decoded.

use hostile::{Script, Step, grpc};

use super::fields::{Fields, OK_OR_BROKEN, trailers_only, with_head, with_trailers};
use super::{BROKEN, BROKEN_OR_GONE, Row, message};

/// Fields that HTTP/2 does not allow (RFC 9113 §8.2), which make the response malformed: an error
/// of its stream (§8.1.1).
pub(super) fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    let fields: [(&str, (&str, &[u8])); 19] = [
        ("a value with a control character", ("x", b"a\x11b")),
        ("a value with DEL", ("x", b"a\x7fb")),
        ("a value with NUL", ("x", b"a\0b")),
        ("a value with LF", ("x", b"a\nb")),
        ("a value with CRLF", ("x", b"a\r\ny: z")),
        ("a value with a space around", ("x", b" a ")),
        ("a name in capitals", ("X-A", b"b")),
        ("a name with a space", ("x a", b"b")),
        ("a name with a colon", ("x:a", b"b")),
        ("a name with a control character", ("x\x01", b"b")),
        ("a name beyond ASCII", ("x\u{e9}", b"b")),
        ("an empty name", ("", b"b")),
        ("a pseudo-header at the end", (":status", b"200")),
        ("connection", ("connection", b"close")),
        ("keep-alive", ("keep-alive", b"1")),
        ("transfer-encoding", ("transfer-encoding", b"chunked")),
        ("upgrade", ("upgrade", b"h2c")),
        ("te", ("te", b"gzip")),
        ("proxy-connection", ("proxy-connection", b"close")),
    ];
    for (name, field) in fields {
        // Many stacks accept these, or drop them.
        let is_harmless = ["a value with a space around", "te"].contains(&name);
        let codes = if is_harmless { OK_OR_BROKEN } else { BROKEN };
        let head = [grpc::HEAD, &[field]].concat();
        rows.push(Row::new(
            format!("illegal in head: {name}"),
            with_head(&head),
            codes,
        ));
        let trailers = [grpc::TRAILERS, &[field]].concat();
        rows.push(
            Row::new(
                format!("illegal in trailers: {name}"),
                with_trailers(&trailers),
                codes,
            )
            .may_abort(),
        );
        let only = [("grpc-status", b"0".as_slice()), field];
        rows.push(
            Row::new(
                format!("illegal in trailers only: {name}"),
                trailers_only(&only),
                codes,
            )
            .streams(if is_harmless { OK_OR_BROKEN } else { BROKEN }),
        );
    }
    let large = vec![b'x'; 100_000];
    let many: Vec<(String, Vec<u8>)> = (0..3000)
        .map(|n| (format!("x-{n}"), b"y".to_vec()))
        .collect();
    let many: Vec<(&str, &[u8])> = many
        .iter()
        .map(|(name, value)| (&name[..], &value[..]))
        .collect();
    for (name, extra) in [
        ("one of 100 kB", [("x", &large[..])].as_slice()),
        ("3,000", &many[..]),
    ] {
        let head = [grpc::HEAD, extra].concat();
        rows.push(Row::new(
            format!("many fields in head: {name}"),
            continued(&head, false),
            OK_OR_RESOURCES,
        ));
        let trailers = [grpc::TRAILERS, extra].concat();
        let mut script = with_trailers(&[]);
        script.truncate(2);
        script.extend(continued(&trailers, true));
        rows.push(
            Row::new(
                format!("many fields in trailers: {name}"),
                script,
                OK_OR_RESOURCES,
            )
            .may_abort(),
        );
    }
    rows.push(Row::new(
        "an invalid block",
        vec![Step::Frame {
            kind: 1,
            flags: 4,
            on: hostile::On::Call,
            payload: vec![0x80],
        }],
        BROKEN_OR_GONE,
    ));
    rows.push(Row::new(
        "a block that is cut",
        vec![Step::Frame {
            kind: 1,
            flags: 4,
            on: hostile::On::Call,
            payload: vec![0, 5, b'x'],
        }],
        BROKEN_OR_GONE,
    ));
    rows
}

/// A response is too large to be read: RESOURCE_EXHAUSTED where clients of gRPC say so.
const OK_OR_RESOURCES: &[i32] = &[0, 2, 8, 13];

/// A block in as many frames as it takes, and what follows a head.
fn continued(fields: Fields<'_>, is_last: bool) -> Script {
    let block = hostile::block(fields);
    let mut pieces = block.chunks(16_384).peekable();
    let mut script = Vec::new();
    let mut kind = hostile::kind::HEADERS;
    while let Some(piece) = pieces.next() {
        let end = if pieces.peek().is_none() {
            hostile::flag::END_HEADERS
        } else {
            0
        };
        let last = u8::from(is_last && kind == hostile::kind::HEADERS);
        script.push(grpc::on_call(kind, end | last, piece.to_vec()));
        kind = hostile::kind::CONTINUATION;
    }
    if !is_last {
        script.push(grpc::data(&message()));
        script.push(grpc::last_headers(grpc::TRAILERS));
    }
    script
}
