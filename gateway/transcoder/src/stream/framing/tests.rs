//! The negotiation of framings.

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
        (Some("application/x-protobuf"), None, Ok(Framing::Delimited)),
        (
            Some("application/x-protobuf; delimited=true, */*;q=0.5"),
            None,
            Ok(Framing::Delimited),
        ),
        (Some("application/*"), None, Ok(Framing::Ndjson)),
        (Some("application/json"), Some(""), Ok(Framing::JsonArray)),
        (Some("text/html"), Some("json"), Ok(Framing::JsonArray)),
        (None, Some("ndjson"), Ok(Framing::Ndjson)),
        (None, Some("proto"), Ok(Framing::Delimited)),
        (None, Some("xml"), Err(StatusCode::NOT_ACCEPTABLE)),
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

#[test]
fn a_dialect_chooses_for_those_who_take_anything() {
    for (accept, expected) in [
        (None, Framing::JsonArray),
        (Some("*/*"), Framing::JsonArray),
        (Some("application/*"), Framing::JsonArray),
        (Some("application/x-ndjson"), Framing::Ndjson),
        (Some("text/event-stream, */*;q=0.1"), Framing::Sse),
        (Some("application/json;q=0, */*"), Framing::Ndjson),
    ] {
        let framing = Framing::negotiate_or(Framing::JsonArray, accept, None);
        assert_eq!(framing, Ok(expected), "{accept:?}");
    }
}

#[test]
fn every_content_type_asks_for_its_own_framing() {
    for framing in [
        Framing::Ndjson,
        Framing::JsonArray,
        Framing::Sse,
        Framing::Delimited,
    ] {
        let asked = Framing::negotiate(Some(framing.content_type()), None);
        assert_eq!(asked, Ok(framing));
    }
}
