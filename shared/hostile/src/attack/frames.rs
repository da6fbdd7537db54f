//! Attacks by HTTP/2 frames: floods, streams without an end, unread responses, broken rules.

use super::{Attack, FRAME_BYTES, Kind, Target, UNFINISHED, acknowledge, head};
use crate::frame::{code, flag, kind, setting};
use crate::grpc;
use crate::script::{On, Script, Step};

/// Frames of a flood.
const FLOOD: usize = 5000;

/// Streams of one connection.
const STREAMS: u32 = 200;

pub(super) fn all(target: &Target) -> Vec<Attack> {
    let mut all = unfinished(target);
    all.extend(unread(target));
    all.extend(floods(target));
    all.extend(broken(target));
    all
}

/// Requests that never end.
fn unfinished(target: &Target) -> Vec<Attack> {
    let json = head(target.json, "application/json", &[]);
    let call = head(target.unary, "application/grpc", &[]);
    let filled = |begin: &[u8]| {
        let mut data = begin.to_vec();
        data.resize(UNFINISHED, b'a');
        let pieces = data.chunks(FRAME_BYTES).map(grpc::data);
        pieces.collect::<Script>()
    };
    let begun = grpc::framed(0, 4_000_000, b"");
    let large = ["x-large", "y-large", "z-large"].map(|name| (name, [b'a'; 15_000]));
    let large = large.each_ref().map(|(name, value)| (*name, &value[..]));
    let on_streams = |name, first: &Step, rest: Script| {
        let each = [vec![first.clone()], rest].concat();
        Attack::http2(name, acknowledge(), each, STREAMS)
    };
    vec![
        on_streams("requests without a body", &json, vec![]),
        on_streams("calls without a message", &call, vec![]),
        on_streams("bodies without an end", &json, filled(b"{\"x\":\"")),
        on_streams("messages without an end", &call, filled(&begun)),
        on_streams(
            "large heads",
            &head(target.unary, "application/grpc", &large),
            vec![],
        ),
        on_streams(
            "bodies of single bytes",
            &json,
            vec![Step::Repeat(300, vec![grpc::data(b"1")])],
        ),
    ]
}

/// Responses that nobody reads.
fn unread(target: &Target) -> Vec<Attack> {
    let message = grpc::message(&target.message);
    let watch = vec![
        head(target.stream, "application/grpc", &[]),
        grpc::last_data(&message),
    ];
    let window = |bytes| Kind::Http2(vec![(setting::INITIAL_WINDOW_SIZE, bytes)]);
    let reset = [watch.clone(), vec![grpc::reset(code::CANCEL)]].concat();
    vec![
        Attack::http2("no window", vec![], watch.clone(), STREAMS).with(window(0)),
        Attack::http2("a window of one byte", vec![], watch.clone(), STREAMS).with(window(1)),
        Attack::http2("a full window of the connection", vec![], watch, STREAMS),
        Attack::http2("rapid resets", vec![], reset, 1000),
    ]
}

/// Frames that cost their sender nothing.
fn floods(target: &Target) -> Vec<Attack> {
    let flood =
        |name, step: Step| Attack::http2(name, vec![Step::Repeat(FLOOD, vec![step])], vec![], 0);
    let call = head(target.unary, "application/grpc", &[]);
    let on_call = |name, step: Step| {
        let open = vec![call.clone(), Step::Repeat(FLOOD, vec![step])];
        Attack::http2(name, open, vec![], 0)
    };
    let unended = |payload: Vec<u8>| grpc::on_call(kind::HEADERS, 0, payload);
    let continued = |payload: Vec<u8>| grpc::on_call(kind::CONTINUATION, 0, payload);
    let continuation = |name, payload: Vec<u8>| {
        let more = Step::Repeat(FLOOD, vec![continued(payload)]);
        Attack::http2(name, vec![unended(Vec::new()), more], vec![], 0)
    };
    vec![
        flood("PING", grpc::ping()),
        flood(
            "SETTINGS",
            grpc::settings(&[(setting::INITIAL_WINDOW_SIZE, 1)]),
        ),
        flood("empty SETTINGS", grpc::settings(&[])),
        flood("WINDOW_UPDATE", grpc::window(On::Connection, 1)),
        flood("unknown frames", grpc::on_connection(0xbb, 0, vec![0; 64])),
        flood(
            "PRIORITY",
            grpc::on_call(kind::PRIORITY, 0, vec![0, 0, 0, 3, 1]),
        ),
        on_call("empty DATA", grpc::data(b"")),
        on_call(
            "padded DATA",
            grpc::on_call(kind::DATA, flag::PADDED, vec![9; 10]),
        ),
        on_call("WINDOW_UPDATE of a stream", grpc::window(On::Call, 1)),
        continuation("CONTINUATION", crate::block(&[("x", &[b'a'; 1000])])),
        continuation("empty CONTINUATION", Vec::new()),
    ]
}

/// Frames that break a rule, before, in and after a request.
fn broken(target: &Target) -> Vec<Attack> {
    let call = head(target.unary, "application/grpc", &[]);
    let end = grpc::last_data(&grpc::message(b""));
    let rules: [(&str, Step); 10] = [
        (
            "DATA on stream 0",
            grpc::on_connection(kind::DATA, 0, vec![1]),
        ),
        ("DATA on an idle stream", beside(kind::DATA, 40)),
        ("HEADERS on an even stream", beside(kind::HEADERS, 1)),
        ("RST_STREAM of an idle stream", beside(kind::RST_STREAM, 40)),
        (
            "a frame that is too long",
            grpc::data(&[0; FRAME_BYTES + 1]),
        ),
        ("a window of nothing", grpc::window(On::Connection, 0)),
        (
            "a window too large",
            grpc::window(On::Connection, 0x7fff_ffff),
        ),
        (
            "SETTINGS of a wrong length",
            grpc::on_connection(kind::SETTINGS, 0, vec![0]),
        ),
        (
            "headers that are no HPACK",
            grpc::on_call(kind::HEADERS, flag::END_HEADERS, vec![0xff; 9]),
        ),
        (
            "PUSH_PROMISE",
            grpc::on_call(kind::PUSH_PROMISE, flag::END_HEADERS, vec![0, 0, 0, 2]),
        ),
    ];
    let at = |name, script: Script| Attack::http2(name, script, vec![], 0);
    let mut all = vec![
        at(
            "CONTINUATION of nothing",
            vec![grpc::on_call(kind::CONTINUATION, 4, vec![])],
        ),
        at("trailers twice", {
            let trailers = grpc::last_headers(&[("x", b"a")]);
            vec![call.clone(), trailers.clone(), trailers]
        }),
        at("GOAWAY, and more calls", {
            let last = crate::script::Last::Is(0);
            let away = Step::GoAway {
                last,
                code: code::NO_ERROR,
            };
            vec![call.clone(), away, call.clone()]
        }),
    ];
    for (name, step) in rules {
        // Before, in and after a request, one after the other on three connections.
        all.push(at(name, vec![step.clone()]));
        all.push(at(name, vec![call.clone(), step.clone()]));
        all.push(at(name, vec![call.clone(), end.clone(), step]));
    }
    all
}

/// A frame of four bytes on a stream that is so far from the call's.
fn beside(kind: u8, distance: i32) -> Step {
    Step::Frame {
        kind,
        flags: 4,
        on: On::Beside(distance),
        payload: vec![0x88, 0x88, 0x88, 0x88],
    }
}
