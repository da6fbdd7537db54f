//! Faults that the gateway has today: scripts whose right answer it does not give yet. The tests
//! fail when one of them is mended, until it is removed from here.

mod spills;

pub(crate) use self::spills::{SPILL_RACES, SPILLS};

/// Scripts with the same fault.
pub(crate) struct Fault {
    pub(crate) scripts: &'static [&'static str],
    /// The calls that get a wrong answer: protocol and method.
    pub(crate) checks: &'static [&'static str],
    /// The wrong answers.
    #[allow(dead_code, reason = "it is for readers")]
    pub(crate) found: &'static str,
}

/// Calls that get a wrong answer themselves.
pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        scripts: &[
            "head: status '204'",
            "head: status '301'",
            "head: status '400'",
            "head: status '401'",
            "head: status '403'",
            "head: status '404'",
            "head: status '429'",
            "head: status '500'",
            "head: status '503'",
            "head: status '600'",
            "head: status '999'",
        ],
        checks: &[
            "Grpc Put",
            "Grpc Watch",
            "GrpcWeb Put",
            "GrpcWeb Watch",
            "Connect Watch",
        ],
        found: "malformed (HTTP status)",
    },
    Fault {
        scripts: &["head: a path", "101 first"],
        checks: &[
            "Grpc Put",
            "Grpc Watch",
            "GrpcWeb Put",
            "GrpcWeb Watch",
            "Connect Put",
            "Connect Watch",
            "Rest Put",
            "Rest Watch",
            "WebSocket Put",
            "WebSocket Watch",
        ],
        found: "0 after 1",
    },
    Fault {
        scripts: &["head: content-type in capitals"],
        checks: &[
            "Grpc Put",
            "Grpc Watch",
            "GrpcWeb Put",
            "GrpcWeb Watch",
            "Connect Put",
            "Connect Watch",
            "Rest Put",
            "Rest Watch",
            "WebSocket Put",
            "WebSocket Watch",
        ],
        found: "2",
    },
    Fault {
        scripts: &[
            "trailers: grpc-status ''",
            "trailers: grpc-status '-1'",
            "trailers: grpc-status 'x'",
            "trailers: grpc-status '0x5'",
            "trailers: grpc-status '+5'",
            "trailers: grpc-status '5, 5'",
            "trailers: grpc-status '0.0'",
            "trailers: grpc-status '2147483648'",
            "trailers: grpc-status '99999999999999999999'",
            "trailers: grpc-status '\\xff'",
        ],
        checks: &["Grpc Put", "Grpc Watch", "GrpcWeb Put", "GrpcWeb Watch"],
        found: "malformed (grpc-status is not a number) after 1",
    },
    Fault {
        scripts: &[
            "trailers only: grpc-status ''",
            "trailers only: grpc-status '-1'",
            "trailers only: grpc-status 'x'",
            "trailers only: grpc-status '0x5'",
            "trailers only: grpc-status '+5'",
            "trailers only: grpc-status '5, 5'",
            "trailers only: grpc-status '0.0'",
            "trailers only: grpc-status '2147483648'",
            "trailers only: grpc-status '99999999999999999999'",
            "trailers only: grpc-status '\\xff'",
        ],
        checks: &["Grpc Put", "Grpc Watch", "GrpcWeb Put", "GrpcWeb Watch"],
        found: "malformed (grpc-status is not a number)",
    },
    Fault {
        scripts: &["trailers: grpc-status ' 5'", "trailers: grpc-status '5 '"],
        checks: &["Grpc Put", "Grpc Watch"],
        found: "malformed (grpc-status is not a number) after 1",
    },
    Fault {
        scripts: &[
            "trailers only: grpc-status ' 5'",
            "trailers only: grpc-status '5 '",
        ],
        checks: &["Grpc Put", "Grpc Watch"],
        found: "malformed (grpc-status is not a number)",
    },
    Fault {
        scripts: &["trailers: OK, then NOT_FOUND"],
        checks: &[
            "Grpc Put",
            "Grpc Watch",
            "GrpcWeb Put",
            "GrpcWeb Watch",
            "Connect Put",
            "Connect Watch",
            "Rest Put",
            "Rest Watch",
            "WebSocket Put",
            "WebSocket Watch",
        ],
        found: "0 after 1; malformed (not one grpc-status) after 1",
    },
    Fault {
        scripts: &["trailers: NOT_FOUND, then OK"],
        checks: &["Grpc Put", "Grpc Watch", "GrpcWeb Put", "GrpcWeb Watch"],
        found: "malformed (not one grpc-status) after 1",
    },
    Fault {
        scripts: &["trailers only: OK", "no message", "cut at 0, trailers"],
        checks: &["WebSocket Put"],
        found: "0",
    },
    Fault {
        scripts: &["head and trailers: OK in the head, NOT_FOUND in trailers"],
        checks: &["Grpc Put", "Grpc Watch", "GrpcWeb Watch", "Connect Watch"],
        found: "0; malformed (a status in the head, and messages) after 1",
    },
    Fault {
        scripts: &["head and trailers: NOT_FOUND in the head, OK in trailers"],
        checks: &["Grpc Put", "Grpc Watch", "Connect Put"],
        found: "0 after 1; malformed (a status in the head, and messages) after 1",
    },
    Fault {
        scripts: &["head and trailers: OK twice"],
        checks: &["Grpc Put", "Grpc Watch"],
        found: "malformed (a status in the head, and messages) after 1",
    },
    Fault {
        scripts: &[
            "trailers: grpc-message 'a %ff b'",
            "trailers: grpc-message '\\xff\\xfe'",
            "trailers: grpc-message '%e4%bd'",
        ],
        checks: &[
            "Connect Put",
            "Connect Watch",
            "Rest Put",
            "Rest Watch",
            "WebSocket Put",
            "WebSocket Watch",
        ],
        found: "2; 2 after 1",
    },
    Fault {
        scripts: &[
            "trailers only: grpc-message 'a %ff b'",
            "trailers only: grpc-message '\\xff\\xfe'",
            "trailers only: grpc-message '%e4%bd'",
        ],
        checks: &[
            "Connect Put",
            "Connect Watch",
            "Rest Put",
            "Rest Watch",
            "WebSocket Put",
            "WebSocket Watch",
        ],
        found: "2",
    },
    Fault {
        scripts: &[
            "message longer than its length",
            "message shorter than its length",
            "message and one byte",
            "message and half a header",
            "cut at 1, trailers",
            "cut at 1, an error",
            "cut at 1, no trailers",
            "cut at 1, a reset",
            "cut at 1, a close",
            "cut at 2, trailers",
            "cut at 2, an error",
            "cut at 2, no trailers",
            "cut at 2, a reset",
            "cut at 2, a close",
            "cut at 3, trailers",
            "cut at 3, an error",
            "cut at 3, no trailers",
            "cut at 3, a reset",
            "cut at 3, a close",
            "cut at 4, trailers",
            "cut at 4, an error",
            "cut at 4, no trailers",
            "cut at 4, a reset",
            "cut at 4, a close",
            "cut at 5, trailers",
            "cut at 5, an error",
            "cut at 5, no trailers",
            "cut at 5, a reset",
            "cut at 5, a close",
            "cut at 6, trailers",
            "cut at 6, an error",
            "cut at 6, no trailers",
            "cut at 6, a reset",
            "cut at 6, a close",
            "cut at 7, trailers",
            "cut at 7, an error",
            "cut at 7, no trailers",
            "cut at 7, a reset",
            "cut at 7, a close",
            "cut at 8, trailers",
            "cut at 8, an error",
            "cut at 8, no trailers",
            "cut at 8, a reset",
            "cut at 8, a close",
            "cut at 9, trailers",
            "cut at 9, an error",
            "cut at 9, no trailers",
            "cut at 9, a reset",
            "cut at 9, a close",
            "reset 0, within a message",
            "reset 1, within a message",
            "reset 2, within a message",
            "reset 3, within a message",
            "reset 4, within a message",
            "reset 5, within a message",
            "reset 6, within a message",
            "reset 7, within a message",
            "reset 8, within a message",
            "reset 9, within a message",
            "reset 10, within a message",
            "reset 11, within a message",
            "reset 12, within a message",
            "reset 13, within a message",
            "reset 14, within a message",
            "reset 4294967295, within a message",
            "GOAWAY 0 with 0, within a message, answered",
            "GOAWAY 0 with 0, within a message, closed",
            "GOAWAY 2 with 0, within a message, answered",
            "GOAWAY 2 with 0, within a message, closed",
            "GOAWAY 11 with 0, within a message, answered",
            "GOAWAY 11 with 0, within a message, closed",
            "GOAWAY 0 with the one before, within a message, answered",
            "GOAWAY 0 with the one before, within a message, closed",
            "GOAWAY 0 with the call, within a message, closed",
            "GOAWAY 2 with the call, within a message, closed",
            "GOAWAY 11 with the call, within a message, closed",
            "GOAWAY 0 with the one after, within a message, closed",
            "GOAWAY 0 with an even one, within a message, closed",
            "GOAWAY 0 with the highest, within a message, closed",
            "connection closed, within a message",
            "connection aborted, within a message",
        ],
        checks: &["GrpcWeb Put", "GrpcWeb Watch", "Connect Watch"],
        found: "malformed (ends within a frame)",
    },
    Fault {
        scripts: &["message of 2^31 bytes", "message of 2^32 - 1 bytes"],
        checks: &[
            "Grpc Put",
            "Grpc Watch",
            "GrpcWeb Put",
            "GrpcWeb Watch",
            "Connect Put",
            "Connect Watch",
        ],
        found: "8",
    },
    Fault {
        scripts: &["message and a header"],
        checks: &["GrpcWeb Put", "GrpcWeb Watch", "Connect Watch"],
        found: "malformed (ends within a frame); malformed (ends within a frame) after 1",
    },
    Fault {
        scripts: &["message with flags 0x1"],
        checks: &["Connect Put"],
        found: "0 after 1",
    },
    Fault {
        scripts: &[
            "message with flags 0x2",
            "message with flags 0x3",
            "message with flags 0x7f",
        ],
        checks: &["Connect Put", "Connect Watch"],
        found: "0 after 1; malformed (an end before the end)",
    },
    Fault {
        scripts: &[
            "second message with flags 0x2",
            "second message with flags 0x3",
            "second message with flags 0x7f",
        ],
        checks: &["Connect Watch"],
        found: "malformed (an end before the end) after 1",
    },
    Fault {
        scripts: &["message with flags 0x80", "message with flags 0x81"],
        checks: &["GrpcWeb Put", "GrpcWeb Watch", "Connect Put"],
        found: "0 after 1; malformed (trailers before the end)",
    },
    Fault {
        scripts: &[
            "second message with flags 0x80",
            "second message with flags 0x81",
        ],
        checks: &["GrpcWeb Put", "GrpcWeb Watch"],
        found: "malformed (trailers before the end) after 1",
    },
    Fault {
        scripts: &["message with flags 0xff"],
        checks: &[
            "GrpcWeb Put",
            "GrpcWeb Watch",
            "Connect Put",
            "Connect Watch",
        ],
        found: "0 after 1; malformed (an end before the end); malformed (trailers before the end)",
    },
    Fault {
        scripts: &["second message with flags 0xff"],
        checks: &["GrpcWeb Put", "GrpcWeb Watch", "Connect Watch"],
        found: "malformed (an end before the end) after 1; malformed (trailers before the end) after 1",
    },
    Fault {
        scripts: &["trailers of gRPC-Web as a message"],
        checks: &["GrpcWeb Put", "GrpcWeb Watch"],
        found: "malformed (trailers before the end)",
    },
    Fault {
        scripts: &["an end of Connect as a message"],
        checks: &["Connect Watch"],
        found: "malformed (an end before the end)",
    },
    Fault {
        scripts: &["two messages"],
        checks: &["WebSocket Put"],
        found: "0 after 2",
    },
];

/// Forms of an empty stream of requests that go out without a DATA frame.
pub(crate) const EMPTY_STREAM_FAULTS: &[&str] = &[
    "Grpc",
    "GrpcWeb",
    "Connect",
    "Rest",
    "WebSocket",
    "JSON, no body",
    "no type, no body",
    "gRPC, DATA in the same write",
];

/// Forms that do so when the end of the body arrives with its beginning.
pub(crate) const EMPTY_STREAM_RACES: &[&str] = &["JSON array"];

/// Bad calls that cost good ones beside them when the retry budget is spent.
pub(crate) const CROWD_RACES: &[&str] = &["closed"];

/// Bad calls that cost good ones beside them.
pub(crate) const CROWD_FAULTS: &[&str] = &["illegal value in the head", "capital in a name"];
