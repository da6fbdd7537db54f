//! Messages that lie about themselves, messages cut at every byte, and frames in the wrong order.

use hostile::{On, Script, Step, code, flag, grpc, kind};

use super::{BROKEN, BROKEN_OR_GONE, OK, Row, UNAVAILABLE, message};
use crate::support::{BAD, response};

/// The head of a response, these bytes in one DATA frame, and good trailers.
fn with_body(body: &[u8]) -> Script {
    vec![
        grpc::headers(grpc::HEAD),
        grpc::data(body),
        grpc::last_headers(grpc::TRAILERS),
    ]
}

/// Messages whose header or content is wrong.
pub(super) fn messages() -> Vec<Row> {
    let text = response(BAD);
    let garbage = [0xff; 9];
    let mut rows = Vec::new();
    let bodies: [(&str, Vec<u8>); 9] = [
        ("longer than its length", grpc::framed(0, 3, &text)),
        ("shorter than its length", grpc::framed(0, 50, &text)),
        ("of 2^31 bytes", grpc::framed(0, 1 << 31, &text)),
        ("of 2^32 - 1 bytes", grpc::framed(0, u32::MAX, &text)),
        ("and one byte", [message(), vec![0]].concat()),
        ("and half a header", [message(), vec![0, 0, 0]].concat()),
        ("and a header", [message(), vec![0, 0, 0, 0, 9]].concat()),
        ("that is no protobuf", grpc::message(&garbage)),
        (
            "with a text that is not UTF-8",
            grpc::message(b"\x0a\x02\xff\xfe"),
        ),
    ];
    for (name, body) in bodies {
        rows.push(Row::new(format!("message {name}"), with_body(&body), BROKEN).may_abort());
    }
    for flags in [1, 2, 3, 0x7f, 0x80, 0x81, 0xff] {
        let length = u32::try_from(text.len()).unwrap();
        let body = grpc::framed(flags, length, &text);
        rows.push(
            Row::new(
                format!("message with flags {flags:#x}"),
                with_body(&body),
                BROKEN,
            )
            .may_abort(),
        );
        let after = [message(), body].concat();
        rows.push(
            Row::new(
                format!("second message with flags {flags:#x}"),
                with_body(&after),
                BROKEN,
            )
            .may_abort(),
        );
    }
    // An empty message with these flags is the end of a stream in gRPC-Web and Connect.
    for (name, body) in [
        (
            "trailers of gRPC-Web",
            grpc::framed(0x80, 16, b"grpc-status: 0\r\n"),
        ),
        ("an end of Connect", grpc::framed(2, 2, b"{}")),
    ] {
        rows.push(Row::new(format!("{name} as a message"), with_body(&body), BROKEN).may_abort());
    }
    for encoding in [
        "gzip", "deflate", "br", "zstd", "snappy", "identity", "", "x, y",
    ] {
        let length = u32::try_from(garbage.len()).unwrap();
        let mut script = with_body(&grpc::framed(1, length, &garbage));
        script[0] =
            grpc::headers(&[grpc::HEAD, &[("grpc-encoding", encoding.as_bytes())]].concat());
        rows.push(
            Row::new(
                format!("garbage in '{encoding}'"),
                script,
                BROKEN_OR_UNIMPLEMENTED,
            )
            .may_abort(),
        );
        let mut script = with_body(&message());
        script[0] =
            grpc::headers(&[grpc::HEAD, &[("grpc-encoding", encoding.as_bytes())]].concat());
        rows.push(Row::new(
            format!("a plain message under '{encoding}'"),
            script,
            &[0, 2, 12, 13],
        ));
    }
    rows.push(
        Row::new(
            "two messages",
            with_body(&[message(), message()].concat()),
            BROKEN,
        )
        .streams(OK),
    );
    rows.push(Row::new("no message", with_body(&[]), BROKEN).streams(OK));
    rows
}

const BROKEN_OR_UNIMPLEMENTED: &[i32] = &[2, 12, 13];

/// A message cut at every byte, and each end that may follow.
pub(super) fn cuts() -> Vec<Row> {
    let mut rows = Vec::new();
    let whole = message();
    for at in 0..=whole.len() {
        let (is_none, is_whole) = (at == 0, at == whole.len());
        let begin = |end: Script| {
            let body = [
                grpc::headers(grpc::HEAD),
                grpc::data(&whole[..at]),
                Step::Sync,
            ];
            [body.to_vec(), end].concat()
        };
        let row = |name: &str, end: Script, codes: &'static [i32]| {
            let name = format!("cut at {at}, {name}");
            let row = Row::new(name, begin(end), codes);
            if is_none || is_whole {
                row
            } else {
                row.may_abort()
            }
        };
        let ends_well = grpc::last_headers(grpc::TRAILERS);
        rows.push(match (is_none, is_whole) {
            (_, true) => row("trailers", vec![ends_well], OK),
            (true, _) => row("trailers", vec![ends_well], BROKEN).streams(OK),
            _ => row("trailers", vec![ends_well], BROKEN),
        });
        let not_found = grpc::last_headers(&[("grpc-status", b"5")]);
        rows.push(row("an error", vec![not_found], &[5]));
        rows.push(row("no trailers", vec![grpc::last_data(&[])], BROKEN));
        rows.push(row(
            "a reset",
            vec![grpc::reset(code::INTERNAL_ERROR)],
            BROKEN,
        ));
        rows.push(row("a close", vec![Step::Close], UNAVAILABLE));
    }
    // The same bytes, one in each frame, are a right answer.
    let single = whole.iter().map(|byte| grpc::data(&[*byte]));
    let mut script = vec![grpc::headers(grpc::HEAD)];
    script.extend(single);
    script.push(grpc::last_headers(grpc::TRAILERS));
    rows.push(Row::new("one byte in each frame", script, OK));
    rows
}

/// Frames that are valid by themselves, and not where they stand.
pub(super) fn order() -> Vec<Row> {
    let head = || grpc::headers(grpc::HEAD);
    let body = || grpc::data(&message());
    let last = || grpc::last_headers(grpc::TRAILERS);
    let early = |status: &'static [u8]| grpc::headers(&[(":status", status)]);
    let good = || vec![head(), body(), last()];
    let mut many = vec![early(b"103"); 200];
    many.extend(good());
    vec![
        Row::new("100 first", [vec![early(b"100")], good()].concat(), OK),
        Row::new("103 first", [vec![early(b"103")], good()].concat(), OK),
        Row::new("103 first, 200 times", many, OK_OR_BROKEN),
        Row::new("101 first", [vec![early(b"101")], good()].concat(), BROKEN),
        Row::new(
            "100 that ends the stream",
            vec![grpc::last_headers(&[(":status", b"100")])],
            BROKEN,
        ),
        Row::new(
            "100 after the head",
            vec![head(), early(b"100"), body(), last()],
            BROKEN,
        ),
        Row::new(
            "100, then DATA",
            vec![early(b"100"), body(), last()],
            BROKEN_OR_GONE,
        ),
        Row::new(
            "DATA before the head",
            vec![body(), head(), last()],
            BROKEN_OR_GONE,
        ),
        Row::new(
            "trailers that do not end the stream",
            vec![
                head(),
                body(),
                grpc::headers(grpc::TRAILERS),
                grpc::last_data(&[]),
            ],
            BROKEN,
        )
        .may_abort(),
        Row::new(
            "trailers twice, the first open",
            vec![head(), body(), grpc::headers(grpc::TRAILERS), last()],
            BROKEN,
        )
        .may_abort(),
        Row::new(
            "DATA after open trailers",
            vec![
                head(),
                body(),
                grpc::headers(grpc::TRAILERS),
                body(),
                last(),
            ],
            BROKEN,
        )
        .may_abort(),
        Row::new(
            "trailers twice",
            vec![head(), body(), last(), last()],
            OK_OR_BROKEN_OR_GONE,
        ),
        Row::new(
            "DATA after trailers",
            vec![head(), body(), last(), body()],
            OK_OR_BROKEN_OR_GONE,
        ),
        Row::new("a head twice", vec![head(), head(), body(), last()], BROKEN),
        Row::new(
            "an empty DATA frame 1,000 times",
            [
                vec![head()],
                vec![grpc::data(&[]); 1000],
                vec![body(), last()],
            ]
            .concat(),
            OK_OR_BROKEN_OR_GONE,
        ),
        Row::new(
            "DATA on another stream",
            vec![
                head(),
                Step::Frame {
                    kind: kind::DATA,
                    flags: 0,
                    on: On::Beside(1000),
                    payload: vec![0],
                },
                body(),
                last(),
            ],
            OK_OR_BROKEN_OR_GONE,
        ),
        Row::new(
            "HEADERS on an even stream",
            vec![Step::Frame {
                kind: kind::HEADERS,
                flags: flag::END_HEADERS,
                on: On::Beside(1),
                payload: vec![0x88],
            }],
            BROKEN_OR_GONE,
        ),
        Row::new(
            "a head in frames of one byte",
            one_byte_head(),
            OK_OR_BROKEN_OR_GONE,
        ),
        Row::new(
            "DATA within a head",
            vec![grpc::on_call(kind::HEADERS, 0, vec![0x88]), body()],
            BROKEN_OR_GONE,
        ),
        Row::new(
            "CONTINUATION without a head",
            vec![grpc::on_call(
                kind::CONTINUATION,
                flag::END_HEADERS,
                vec![0x88],
            )],
            BROKEN_OR_GONE,
        ),
        Row::new(
            "PUSH_PROMISE",
            vec![grpc::on_call(
                kind::PUSH_PROMISE,
                flag::END_HEADERS,
                vec![0, 0, 0, 2, 0x82],
            )],
            BROKEN_OR_GONE,
        ),
        Row::new(
            "an unknown frame",
            [
                vec![head(), grpc::on_call(0xfa, 0xff, vec![1; 100])],
                vec![body(), last()],
            ]
            .concat(),
            OK,
        ),
        Row::new(
            "PRIORITY",
            vec![
                head(),
                grpc::on_call(kind::PRIORITY, 0, vec![0, 0, 0, 0, 1]),
                body(),
                last(),
            ],
            OK,
        ),
        Row::new(
            "padding",
            vec![
                head(),
                grpc::on_call(
                    kind::DATA,
                    flag::PADDED,
                    [vec![9], message(), vec![0; 9]].concat(),
                ),
                last(),
            ],
            OK,
        ),
    ]
}

const OK_OR_BROKEN: &[i32] = &[0, 2, 13];
pub(super) const OK_OR_BROKEN_OR_GONE: &[i32] = &[0, 2, 13, 14];

fn one_byte_head() -> Script {
    let block = hostile::block(grpc::HEAD);
    let count = block.len();
    let mut script = Vec::new();
    for (at, byte) in block.into_iter().enumerate() {
        let kind = if at == 0 {
            kind::HEADERS
        } else {
            kind::CONTINUATION
        };
        let flags = if at + 1 == count {
            flag::END_HEADERS
        } else {
            0
        };
        script.push(grpc::on_call(kind, flags, vec![byte]));
    }
    script.extend([grpc::data(&message()), grpc::last_headers(grpc::TRAILERS)]);
    script
}
