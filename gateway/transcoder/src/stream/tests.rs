//! The bytes of each framing, and who gets which.

use super::*;

#[test]
fn framing_follows_accept_and_alt() {
    let cases = [
        (None, None, Ok(Framing::Ndjson)),
        (Some(""), None, Ok(Framing::Ndjson)),
        (Some("*/*"), None, Ok(Framing::Ndjson)),
        (Some("application/json"), None, Ok(Framing::JsonArray)),
        (
            Some("application/json; charset=utf-8"),
            None,
            Ok(Framing::JsonArray),
        ),
        (Some("application/x-ndjson"), None, Ok(Framing::Ndjson)),
        (Some("application/jsonl"), None, Ok(Framing::Ndjson)),
        (Some("Text/Event-Stream"), None, Ok(Framing::Sse)),
        (Some("application/json"), Some("sse"), Ok(Framing::Sse)),
        (
            Some("text/html, application/json;q=0.5, text/event-stream;q=0.8"),
            None,
            Ok(Framing::Sse),
        ),
        (Some("application/json, */*"), None, Ok(Framing::JsonArray)),
        (
            Some("application/json;q=0, */*;q=0.1"),
            None,
            Ok(Framing::Ndjson),
        ),
        (
            Some("application/x-ndjson;q=0, */*"),
            None,
            Ok(Framing::JsonArray),
        ),
        (Some("text/*"), None, Ok(Framing::Sse)),
        (
            Some("application/json;q=0"),
            None,
            Err(StatusCode::NOT_ACCEPTABLE),
        ),
        (Some("text/html"), None, Err(StatusCode::NOT_ACCEPTABLE)),
        (
            Some("application/json;q=x"),
            None,
            Err(StatusCode::NOT_ACCEPTABLE),
        ),
    ];
    for (accept, alt, expected) in cases {
        assert_eq!(
            Framing::negotiate(accept, alt),
            expected,
            "{accept:?} {alt:?}"
        );
    }
}

/// A stream of messages, and the error or the end behind them.
fn stream(framing: Framing, messages: &[&str], error: Option<&str>) -> String {
    let mut out = Vec::new();
    let mut writer = Writer::new(framing);
    for message in messages {
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(message.as_bytes());
            Ok::<(), ()>(())
        };
        writer.message(&mut out, write).unwrap();
    }
    match error {
        Some(status) => writer.error(status.as_bytes(), &mut out),
        None => writer.end(&mut out),
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn each_framing_writes_its_stream() {
    let two = ["{\"a\":1}", "2"];
    let error = Some("{\"code\":5}");
    let cases = [
        (Framing::Ndjson, &two[..], None, "{\"a\":1}\n2\n"),
        (
            Framing::Ndjson,
            &two[..],
            error,
            "{\"a\":1}\n2\n{\"error\":{\"code\":5}}\n",
        ),
        (Framing::Ndjson, &[], None, ""),
        (Framing::JsonArray, &two[..], None, "[{\"a\":1},2]"),
        (
            Framing::JsonArray,
            &two[..],
            error,
            "[{\"a\":1},2,{\"error\":{\"code\":5}}]",
        ),
        (Framing::JsonArray, &[], None, "[]"),
        (Framing::JsonArray, &[], error, "[{\"error\":{\"code\":5}}]"),
        (
            Framing::Sse,
            &two[..],
            None,
            "id: 1\ndata: {\"a\":1}\n\nid: 2\ndata: 2\n\nevent: end\ndata: {}\n\n",
        ),
        (
            Framing::Sse,
            &two[..1],
            error,
            "id: 1\ndata: {\"a\":1}\n\nevent: error\ndata: {\"error\":{\"code\":5}}\n\n",
        ),
    ];
    for (framing, messages, error, expected) in cases {
        assert_eq!(stream(framing, messages, error), expected);
    }
}

#[test]
fn failed_message_leaves_no_trace() {
    for framing in [Framing::Ndjson, Framing::JsonArray, Framing::Sse] {
        let mut writer = Writer::new(framing);
        let mut out = Vec::new();
        let write = |out: &mut Vec<u8>| {
            out.push(b'x');
            Err(())
        };
        assert_eq!(writer.message(&mut out, write), Err(()));
        writer.error(b"{}", &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains("{\"error\":{}}") && !text.contains('x'),
            "{text}"
        );
        assert!(!text.contains(','), "{text}");
    }
}
