//! The faults, and what each of them ends in.

use std::time::Duration;

use h2::Reason;

use super::raw::{MESSAGE, OK, Script, Step};
use super::raw::{answer, data, go_away, grpc, headers, last_data, last_headers, reset};
use Method::{Read, Watch, Write};

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Method {
    /// Has no side effects.
    Read,
    /// Promises nothing.
    Write,
    /// A server stream without side effects.
    Watch,
}

/// The kind of upstream.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Server {
    Plain,
    /// The gateway speaks TLS, the server does not.
    PlainForTls,
    /// Both do, but nobody vouches for the certificate.
    Untrusted,
    Hangs,
    Nobody,
}

pub(super) struct Row {
    pub(super) fault: &'static str,
    pub(super) method: Method,
    pub(super) server: Server,
    pub(super) script: Script,
    /// Milliseconds that the caller gives.
    pub(super) deadline: u64,
    pub(super) answer: &'static str,
    /// Requests that arrive at the upstream.
    pub(super) arrivals: usize,
}

const fn row(
    fault: &'static str,
    method: Method,
    answer: &'static str,
    arrivals: usize,
    script: Script,
) -> Row {
    Row {
        fault,
        method,
        server: Server::Plain,
        script,
        deadline: 5000,
        answer,
        arrivals,
    }
}

const fn hang(fault: &'static str, method: Method, script: Script) -> Row {
    Row {
        deadline: 2000,
        ..row(fault, method, LATE, 1, script)
    }
}

const fn connection(
    fault: &'static str,
    server: Server,
    deadline: u64,
    answer: &'static str,
) -> Row {
    Row {
        server,
        deadline,
        ..row(fault, Method::Write, answer, 0, |_, _| Vec::new())
    }
}

const LATE: &str = "504 DEADLINE_EXCEEDED DEADLINE_EXCEEDED";
const UNREACHABLE: &str = "503 UNAVAILABLE UPSTREAM_UNREACHABLE";
const DISCONNECTED: &str = "503 UNAVAILABLE UPSTREAM_DISCONNECTED";
const RESET: &str = "500 INTERNAL UPSTREAM_RESET";

pub(super) const ROWS: &[Row] = &[
    connection("connection refused", Server::Nobody, 5000, UNREACHABLE),
    connection(
        "TLS expected, plain text spoken",
        Server::PlainForTls,
        5000,
        UNREACHABLE,
    ),
    connection(
        "certificate of an unknown authority",
        Server::Untrusted,
        5000,
        UNREACHABLE,
    ),
    connection(
        "connection accepted, then silence",
        Server::Hangs,
        300,
        LATE,
    ),
    connection(
        "connection accepted, then silence, for longer than `connect_timeout_ms`",
        Server::Hangs,
        5000,
        UNREACHABLE,
    ),
    row("reset before headers", Write, RESET, 1, |_, id| {
        vec![Step::Write(reset(id, Reason::INTERNAL_ERROR))]
    }),
    row("reset after headers", Read, RESET, 1, |_, id| {
        vec![
            Step::Write(grpc(id)),
            Step::Write(reset(id, Reason::INTERNAL_ERROR)),
        ]
    }),
    row("reset within a message", Read, RESET, 1, |_, id| {
        let half = data(id, &MESSAGE[..7]);
        vec![
            Step::Write(grpc(id)),
            Step::Write(half),
            Step::Write(reset(id, Reason::INTERNAL_ERROR)),
        ]
    }),
    row("reset before trailers", Read, RESET, 1, |_, id| {
        let whole = data(id, MESSAGE);
        vec![
            Step::Write(grpc(id)),
            Step::Write(whole),
            Step::Write(reset(id, Reason::INTERNAL_ERROR)),
        ]
    }),
    row("REFUSED_STREAM once", Write, "200", 2, |number, id| {
        let refused = reset(id, Reason::REFUSED_STREAM);
        vec![Step::Write(if number == 0 { refused } else { answer(id) })]
    }),
    row(
        "REFUSED_STREAM always",
        Write,
        "503 UNAVAILABLE UPSTREAM_REFUSED",
        4,
        |_, id| vec![Step::Write(reset(id, Reason::REFUSED_STREAM))],
    ),
    row(
        "connection closed before headers, safe method",
        Read,
        DISCONNECTED,
        3,
        |_, _| vec![Step::Close],
    ),
    row(
        "connection closed before headers",
        Write,
        DISCONNECTED,
        1,
        |_, _| vec![Step::Close],
    ),
    row(
        "connection closed within a message",
        Read,
        DISCONNECTED,
        1,
        |_, id| {
            vec![
                Step::Write(grpc(id)),
                Step::Write(data(id, &MESSAGE[..7])),
                Step::Close,
            ]
        },
    ),
    hang("hangs before headers", Write, |_, _| Vec::new()),
    hang("hangs after headers", Read, |_, id| {
        vec![Step::Write(grpc(id))]
    }),
    hang("hangs within a message", Read, |_, id| {
        vec![Step::Write(grpc(id)), Step::Write(data(id, &MESSAGE[..7]))]
    }),
    hang("hangs before trailers", Read, |_, id| {
        vec![Step::Write(grpc(id)), Step::Write(data(id, MESSAGE))]
    }),
    hang("response one byte at a time", Read, |_, id| {
        vec![Step::Drip(answer(id), Duration::from_millis(100))]
    }),
    row(
        "GOAWAY before processing, once",
        Write,
        "200",
        2,
        |number, id| {
            let gone = [go_away(0), Vec::new()].concat();
            vec![Step::Write(if number == 0 { gone } else { answer(id) })]
        },
    ),
    row(
        "GOAWAY after processing, then the response",
        Write,
        "200",
        1,
        |_, id| vec![Step::Write(go_away(id)), Step::Write(answer(id))],
    ),
    row(
        "GOAWAY after processing, then closed",
        Write,
        DISCONNECTED,
        1,
        |_, id| vec![Step::Write(go_away(id)), Step::Close],
    ),
    row(
        "response that is not gRPC",
        Read,
        "500 UNKNOWN NOT_GRPC",
        1,
        |_, id| {
            let head = headers(id, OK, &[("content-type", "text/html")]);
            vec![Step::Write(head), Step::Write(last_data(id, b"<html>"))]
        },
    ),
    row("no trailers", Read, "500 UNKNOWN NO_STATUS", 1, |_, id| {
        vec![Step::Write(grpc(id)), Step::Write(last_data(id, MESSAGE))]
    }),
    row(
        "HTTP/2 frame above the allowed size",
        Write,
        DISCONNECTED,
        1,
        |_, id| vec![Step::Write(grpc(id)), Step::Write(data(id, &[0; 17_000]))],
    ),
    row(
        "message above `max_message_bytes`",
        Read,
        "500 INTERNAL BAD_UPSTREAM_MESSAGE",
        1,
        |_, id| {
            vec![
                Step::Write(grpc(id)),
                Step::Write(data(id, b"\0\x7f\0\0\0")),
            ]
        },
    ),
    row(
        "grpc-status that is not a number",
        Read,
        "500 UNKNOWN",
        1,
        |_, id| {
            let trailers = last_headers(id, None, &[("grpc-status", "fine")]);
            vec![
                Step::Write(grpc(id)),
                Step::Write(data(id, MESSAGE)),
                Step::Write(trailers),
            ]
        },
    ),
    row(
        "UNAVAILABLE, safe method",
        Read,
        "503 UNAVAILABLE",
        3,
        |_, id| vec![Step::Write(unavailable(id))],
    ),
    row("UNAVAILABLE", Write, "503 UNAVAILABLE", 1, |_, id| {
        vec![Step::Write(unavailable(id))]
    }),
    row(
        "UNAVAILABLE once, safe method",
        Read,
        "200",
        2,
        |number, id| {
            vec![Step::Write(if number == 0 {
                unavailable(id)
            } else {
                answer(id)
            })]
        },
    ),
    row(
        "stream reset after a message",
        Watch,
        "200, then INTERNAL UPSTREAM_RESET in band",
        1,
        |_, id| {
            let whole = data(id, MESSAGE);
            vec![
                Step::Write(grpc(id)),
                Step::Write(whole),
                Step::Wait(Duration::from_millis(50)),
                Step::Write(reset(id, Reason::INTERNAL_ERROR)),
            ]
        },
    ),
];

fn unavailable(id: u32) -> Vec<u8> {
    let fields = [("content-type", "application/grpc"), ("grpc-status", "14")];
    last_headers(id, OK, &fields)
}
