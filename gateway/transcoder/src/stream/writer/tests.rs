//! The bytes of each framing.

use std::convert::Infallible;

use super::*;

const ALL: [Framing; 4] = [
    Framing::Ndjson,
    Framing::JsonArray,
    Framing::Sse,
    Framing::Delimited,
];

/// Appends one message that is what it is.
fn put(text: &str) -> impl FnOnce(&mut Vec<u8>) -> Result<(), Infallible> {
    move |out| {
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Returns a stream of messages, and the error or the end behind them.
fn stream(framing: Framing, messages: &[&str], error: Option<&str>) -> String {
    let mut out = Vec::new();
    let mut writer = Writer::new(framing);
    for message in messages {
        writer.message(&mut out, put(message)).unwrap();
    }
    match error {
        Some(status) => assert_eq!(writer.error(status.as_bytes(), &mut out), Close::Clean),
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
        let _ = writer.error(b"{}", &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains("{\"error\":{}}") && !text.contains('x'),
            "{text}"
        );
        assert!(!text.contains(','), "{text}");
    }
}

#[test]
fn an_envelope_tells_messages_from_errors() {
    let cases = [
        (Framing::Ndjson, "{\"result\":1}\n{\"error\":{}}\n"),
        (Framing::JsonArray, "[{\"result\":1},{\"error\":{}}]"),
        (
            Framing::Sse,
            "id: 1\ndata: 1\n\nevent: error\ndata: {\"error\":{}}\n\n",
        ),
    ];
    for (framing, expected) in cases {
        let mut out = Vec::new();
        let mut writer = Writer::new(framing).with_envelope();
        writer.message(&mut out, put("1")).unwrap();
        assert_eq!(writer.error(b"{}", &mut out), Close::Clean);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn an_event_says_what_its_caller_wants_said() {
    let retry = Some(Duration::from_millis(1500));
    let event = Some("order");
    let cases = [
        (EventId::Counted, None, None, "id: 1\ndata: 7\n\n"),
        (EventId::Unsaid, None, None, "data: 7\n\n"),
        (EventId::Text(""), None, None, "id: \ndata: 7\n\n"),
        (
            EventId::Text("a b"),
            event,
            retry,
            "id: a b\nevent: order\nretry: 1500\ndata: 7\n\n",
        ),
        // None of these may begin a line of its own.
        (
            EventId::Text("a\ndata: b"),
            Some("x\ry"),
            None,
            "data: 7\n\n",
        ),
        (EventId::Text("a\0"), Some("x\n"), None, "data: 7\n\n"),
    ];
    for (id, event, retry, expected) in cases {
        let mut out = Vec::new();
        let event = Event { id, event, retry };
        Writer::new(Framing::Sse)
            .event(&event, &mut out, put("7"))
            .unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{event:?}");
    }
}

#[test]
fn ids_count_messages_whatever_ids_others_have() {
    let mut out = Vec::new();
    let mut writer = Writer::new(Framing::Sse);
    let own = Event {
        id: EventId::Text("x"),
        ..Event::default()
    };
    writer.event(&own, &mut out, put("1")).unwrap();
    writer.message(&mut out, put("2")).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text, "id: x\ndata: 1\n\nid: 2\ndata: 2\n\n");
}

#[test]
fn json_over_several_lines_is_put_on_one() {
    let pretty = "{\r\n  \"a\\n\": [\n1\n]\r}";
    for framing in [Framing::Ndjson, Framing::Sse] {
        let mut out = b"kept\n".to_vec();
        let mut writer = Writer::new(framing);
        writer.message(&mut out, put(pretty)).unwrap();
        let one_line = "{    \"a\\n\": [ 1 ] }\n";
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("kept\n") && text.contains(one_line),
            "{text}"
        );

        let mut out = Vec::new();
        assert_eq!(writer.error(b"{\n}", &mut out), Close::Clean);
        assert!(
            String::from_utf8(out)
                .unwrap()
                .contains("{\"error\":{ }}\n")
        );
    }
}

#[test]
fn a_length_stands_before_each_protobuf_message() {
    let mut out = Vec::new();
    let mut writer = Writer::new(Framing::Delimited).with_envelope();
    let long = "x".repeat(300);
    for message in ["", "ab", &long, "\n"] {
        writer.message(&mut out, put(message)).unwrap();
    }
    let end = [&[0xac, 0x02], long.as_bytes(), b"\x01\n"].concat();
    assert_eq!(out, [b"\0\x02ab", &end[..]].concat());

    let length = out.len();
    writer.keep_alive(&mut out);
    assert_eq!(writer.error(b"{}", &mut out), Close::Abort);
    Writer::new(Framing::Delimited).end(&mut out);
    assert_eq!(out.len(), length);
}

#[test]
fn events_and_arrays_are_kept_alive() {
    for framing in ALL {
        let mut out = Vec::new();
        Writer::new(framing).keep_alive(&mut out);
        let expected: &[u8] = match framing {
            Framing::Sse => b": keep-alive\n\n",
            Framing::JsonArray => b"\n",
            Framing::Ndjson | Framing::Delimited => b"",
        };
        assert_eq!(out, expected);
    }
}
