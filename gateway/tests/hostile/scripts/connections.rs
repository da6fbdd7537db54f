//! Resets, GOAWAYs and closed connections at every stage of a response, changed settings, floods,
//! and windows that stay closed.

use hostile::{Credit, Last, On, Options, Script, Step, code, grpc, setting};

use super::{BROKEN, OK, Row, UNAVAILABLE, message};
use crate::protocol::Extra;
use crate::support::answer;

/// How far a response has come when something happens to it.
const STAGES: [&str; 5] = [
    "before the head",
    "after the head",
    "within a message",
    "before the trailers",
    "after the trailers",
];

/// The stage at which a call has its whole answer.
const WHOLE: usize = 4;
/// The stage at which a message is incomplete.
const WITHIN: usize = 2;

/// A good response up to a stage, all of it read by the gateway, and its rest.
fn split(stage: usize) -> (Script, Script) {
    let whole = message();
    let (first, second) = whole.split_at(7);
    let mut script = vec![
        grpc::headers(grpc::HEAD),
        grpc::data(first),
        grpc::data(second),
        grpc::last_headers(grpc::TRAILERS),
    ];
    let rest = script.split_off(stage);
    if stage > 0 {
        script.push(Step::Sync);
    }
    (script, rest)
}

fn row(name: String, stage: usize, script: Script, codes: &'static [i32]) -> Row {
    let row = Row::new(name, script, if stage == WHOLE { OK } else { codes });
    if stage == WITHIN {
        row.may_abort()
    } else {
        row
    }
}

/// RST_STREAM with every code (gRPC over HTTP/2, "Errors").
pub(super) fn resets() -> Vec<Row> {
    let codes: [(u32, &'static [i32]); 16] = [
        (code::NO_ERROR, BROKEN),
        (code::PROTOCOL_ERROR, BROKEN),
        (code::INTERNAL_ERROR, BROKEN),
        (code::FLOW_CONTROL_ERROR, BROKEN),
        (code::SETTINGS_TIMEOUT, BROKEN),
        (code::STREAM_CLOSED, BROKEN),
        (code::FRAME_SIZE_ERROR, BROKEN),
        (code::REFUSED_STREAM, UNAVAILABLE),
        (code::CANCEL, &[1]),
        (code::COMPRESSION_ERROR, BROKEN),
        (code::CONNECT_ERROR, BROKEN),
        (code::ENHANCE_YOUR_CALM, &[8]),
        (code::INADEQUATE_SECURITY, &[7]),
        (code::HTTP_1_1_REQUIRED, BROKEN),
        (14, BROKEN),
        (u32::MAX, BROKEN),
    ];
    let mut rows = Vec::new();
    for (reset, codes) in codes {
        for (stage, shown) in STAGES.iter().enumerate() {
            let (mut script, _) = split(stage);
            script.push(grpc::reset(reset));
            rows.push(row(format!("reset {reset}, {shown}"), stage, script, codes));
        }
    }
    rows
}

/// GOAWAY with every last stream, then the rest of the response or the end of the connection.
pub(super) fn departures() -> Vec<Row> {
    let lasts = [
        ("0", Last::Is(0)),
        ("the one before", Last::Beside(-2)),
        ("the call", Last::Beside(0)),
        ("the one after", Last::Beside(2)),
        ("an even one", Last::Beside(1)),
        ("the highest", Last::Is(0x7fff_ffff)),
    ];
    let codes = [
        code::NO_ERROR,
        code::INTERNAL_ERROR,
        code::ENHANCE_YOUR_CALM,
    ];
    let mut rows = Vec::new();
    for (named, last) in lasts {
        let is_included = !matches!(named, "0" | "the one before");
        for reason in codes {
            // One of each kind is enough for errors.
            if reason != code::NO_ERROR && !matches!(named, "0" | "the call") {
                continue;
            }
            for (stage, shown) in STAGES.iter().enumerate() {
                let (begun, rest) = split(stage);
                let go_away = Step::GoAway { last, code: reason };
                let going = [begun, vec![go_away]].concat();
                let name = format!("GOAWAY {reason} with {named}, {shown}");
                // The response that follows may still count; without it the call is gone.
                let codes = match (is_included, reason) {
                    (true, code::NO_ERROR) => OK,
                    _ => &[0, 2, 8, 13, 14],
                };
                let answered = [going.clone(), rest].concat();
                rows.push(row(format!("{name}, answered"), stage, answered, codes));
                let closed = [going, vec![Step::Close]].concat();
                rows.push(row(
                    format!("{name}, closed"),
                    stage,
                    closed,
                    &[2, 8, 13, 14],
                ));
            }
        }
    }
    let higher = |last| Step::GoAway {
        last: Last::Is(last),
        code: 0,
    };
    let twice = [vec![higher(0), higher(100)], answer("bad")].concat();
    rows.push(Row::new("GOAWAY twice, rising", twice, &[0, 2, 13, 14]));
    rows
}

/// Connections that end, in order and not.
pub(super) fn closes() -> Vec<Row> {
    let mut rows = Vec::new();
    for (stage, shown) in STAGES.iter().enumerate() {
        for (how, end) in [("closed", Step::Close), ("aborted", Step::Abort)] {
            let (begun, _) = split(stage);
            let script = [begun, vec![end]].concat();
            rows.push(row(
                format!("connection {how}, {shown}"),
                stage,
                script,
                UNAVAILABLE,
            ));
        }
    }
    rows
}

/// SETTINGS in the middle of a response that is good otherwise.
pub(super) fn settings() -> Vec<Row> {
    let changes: [(&str, &[(u16, u32)]); 9] = [
        ("no window", &[(setting::INITIAL_WINDOW_SIZE, 0)]),
        (
            "the largest window",
            &[(setting::INITIAL_WINDOW_SIZE, 0x7fff_ffff)],
        ),
        ("no header table", &[(setting::HEADER_TABLE_SIZE, 0)]),
        (
            "a large header table",
            &[(setting::HEADER_TABLE_SIZE, u32::MAX)],
        ),
        ("large frames", &[(setting::MAX_FRAME_SIZE, 0x00ff_ffff)]),
        ("small header lists", &[(setting::MAX_HEADER_LIST_SIZE, 1)]),
        ("no streams", &[(setting::MAX_CONCURRENT_STREAMS, 0)]),
        ("one stream", &[(setting::MAX_CONCURRENT_STREAMS, 1)]),
        ("an unknown one", &[(0xfafa, 7)]),
    ];
    let mut rows = Vec::new();
    for (name, change) in changes {
        for (stage, shown) in STAGES.iter().enumerate().take(WHOLE) {
            let (begun, rest) = split(stage);
            // Other calls of the connection go on after that.
            let restored = grpc::settings(&[
                (setting::INITIAL_WINDOW_SIZE, 65_535),
                (setting::MAX_CONCURRENT_STREAMS, 1000),
            ]);
            let changed = vec![grpc::settings(change)];
            let script = [begun, changed, rest, vec![restored]].concat();
            rows.push(Row::new(
                format!("SETTINGS with {name}, {shown}"),
                script,
                OK,
            ));
        }
    }
    rows
}

/// Many frames that cost their sender little.
pub(super) fn floods() -> Vec<Row> {
    let floods = [
        ("PING", grpc::ping()),
        ("SETTINGS", grpc::settings(&[])),
        (
            "SETTINGS with a window that changes",
            grpc::settings(&[(setting::INITIAL_WINDOW_SIZE, 70_000)]),
        ),
        (
            "PRIORITY",
            grpc::on_call(hostile::kind::PRIORITY, 0, vec![0, 0, 0, 0, 1]),
        ),
        ("WINDOW_UPDATE", grpc::window(On::Call, 1)),
        ("an unknown frame", grpc::on_call(0xfb, 0, vec![0; 8])),
    ];
    let floods = floods.into_iter().map(|(name, frame)| {
        let mut script = answer("bad");
        script.insert(1, Step::Repeat(2000, vec![frame]));
        Row::new(format!("2,000 times {name}"), script, &[0, 2, 8, 13, 14])
    });
    floods.collect()
}

/// Windows that stay closed, and servers that do not speak HTTP/2 at all.
pub(super) fn windows() -> Vec<Row> {
    let mut never = Row::new("a window that is never opened", answer("bad"), &[4]);
    never.options.credit = Credit::ConnectionOnly;
    never.script.insert(0, Step::AwaitEnd);
    never.extra = Extra {
        deadline_ms: Some(400),
        padding: 100_000,
    };
    let greets = |name: &str, greeting: Script| {
        // The first connection is bad, and all further ones are good.
        let mut row = Row::new(name, answer("bad"), &[0, 2, 13, 14]);
        row.options = Options {
            greetings: vec![greeting, vec![grpc::settings(&[])]],
            credit: Credit::All,
        };
        row
    };
    let text = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_vec();
    vec![
        never,
        Row::new(
            "a body that goes on after the answer",
            [vec![Step::AwaitEnd], answer("bad")].concat(),
            OK,
        ),
        greets("first connection: closed", vec![Step::Close]),
        greets("first connection: aborted", vec![Step::Abort]),
        greets(
            "first connection: HTTP/1",
            vec![Step::Bytes(text), Step::Close],
        ),
        greets(
            "first connection: GOAWAY",
            vec![
                grpc::settings(&[]),
                Step::GoAway {
                    last: Last::Is(0),
                    code: 0,
                },
            ],
        ),
        greets(
            "first connection: no SETTINGS first",
            vec![grpc::ping(), grpc::settings(&[])],
        ),
        greets(
            "first connection: PING of 7 bytes",
            vec![
                grpc::settings(&[]),
                grpc::on_connection(hostile::kind::PING, 0, vec![0; 7]),
            ],
        ),
    ]
}
