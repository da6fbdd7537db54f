//! Bodies that are no JSON, and messages behind the first one of a stream.

use wire::MAX_DEPTH;

use super::{encode_as, outcome, schema};
use crate::limits::MAX_BODY_VALUES;
use crate::{BindingConflict, Content, HttpOptions, Options, Rule, Schema, testing};

/// Request, form, and the message as JSON or the fault.
const FORMS: [(&str, &str, &str); 14] = [
    (
        "POST /post/n",
        "ids=1&ids=2&book.name=a+b%26",
        r#"{"name":"n","book":{"name":"a b&"},"ids":[1,2]}"#,
    ),
    ("POST /post/n", "", r#"{"name":"n"}"#),
    (
        "POST /post/n",
        "&flag=true&&alt=x",
        r#"{"name":"n","flag":true}"#,
    ),
    (
        "POST /post/n",
        "name=n",
        "name: PATH_CONFLICT: the path sets this field",
    ),
    (
        "POST /post/n",
        "flag=1",
        "flag: INVALID_VALUE: expected true or false",
    ),
    (
        "POST /post/n",
        "nope=1",
        "nope: UNKNOWN_FIELD: no field has this name",
    ),
    (
        "POST /post/n",
        "flag=true&flag=true",
        "flag: DUPLICATE_FIELD: the parameter is repeated",
    ),
    (
        "POST /post-one/n",
        "by_line.sku=a",
        "byLine.sku: PATH_CONFLICT: another field of the same oneof is set",
    ),
    (
        "PUT /sole/a?flag=true",
        "quantity=2",
        r#"{"flag":true,"sole":{"sku":"a","quantity":2}}"#,
    ),
    (
        "PUT /sole/a",
        "sku=b",
        "sole.sku: PATH_CONFLICT: the path sets this field",
    ),
    (
        "PUT /sole/a",
        "flag=true",
        "flag: UNKNOWN_FIELD: no field has this name",
    ),
    (
        "PUT /lines",
        "sku=a",
        "lines: INVALID_VALUE: a form can only be a message",
    ),
    (
        "PUT /name",
        "name=a",
        "name: INVALID_VALUE: a form can only be a message",
    ),
    (
        "GET /list",
        "flag=true",
        ": UNEXPECTED_BODY: the method accepts no body",
    ),
];

#[test]
fn forms_follow_the_rules_of_queries() {
    let schema = schema();
    for (request, form, expected) in FORMS {
        let actual = outcome(&schema, Content::Form, request, form.as_bytes());
        assert_eq!(actual, expected, "{request} {form}");
    }
    let error = encode_as(&schema, Content::Form, "POST /post/n", b"ids=1&ids=x").unwrap_err();
    assert_eq!(error.offset, Some(6), "{error}");
    let error = encode_as(&schema, Content::Form, "POST /post/n", b"ids=1&\xff").unwrap_err();
    assert_eq!((error.rule, error.offset), (Rule::InvalidValue, Some(6)));
}

/// Request, wire bytes, and the message as JSON or the fault.
const WIRE: [(&str, &[u8], &str); 21] = [
    ("POST /post/n", b"", r#"{"name":"n"}"#),
    (
        "POST /post/n",
        b"\x30\x01\x22\x02\x01\x02",
        r#"{"name":"n","ids":[1,2],"flag":true}"#,
    ),
    // The path's value may be repeated, in whatever length the varint is.
    (
        "POST /post/n",
        b"\x0a\x01n\x30\x01",
        r#"{"name":"n","flag":true}"#,
    ),
    (
        "POST /deep/3",
        b"\x12\x08\x0a\x01a\x3a\x03\x10\x83\x00",
        r#"{"book":{"name":"a","line":{"quantity":3}}}"#,
    ),
    (
        "POST /deep/0",
        b"\x12\x04\x3a\x02\x10\x00",
        r#"{"book":{"line":{}}}"#,
    ),
    (
        "POST /post/n",
        b"\x0a\x01m",
        "name: PATH_CONFLICT: the path has another value",
    ),
    (
        "POST /deep/3",
        b"\x12\x04\x3a\x02\x10\x04",
        "book.line.quantity: PATH_CONFLICT: the path has another value",
    ),
    (
        "POST /post-one/n",
        b"\x72\x00",
        "byLine: DUPLICATE_FIELD: another field of the same oneof is set",
    ),
    (
        "POST /time/1970-01-01T00:00:05Z",
        b"\x42\x02\x08\x05",
        r#"{"time":"1970-01-01T00:00:05Z"}"#,
    ),
    (
        "POST /time/1970-01-01T00:00:05Z",
        b"\x42\x02\x08\x06",
        "time: PATH_CONFLICT: the path has another value",
    ),
    // Fields that the schema doesn't know stay.
    (
        "POST /post/n",
        b"\xf8\x06\x01\x30\x01",
        r#"{"name":"n","flag":true}"#,
    ),
    (
        "PUT /sole/a?flag=true",
        b"\x10\x02",
        r#"{"flag":true,"sole":{"sku":"a","quantity":2}}"#,
    ),
    (
        "PUT /sole/a",
        b"\x0a\x01b",
        "sole.sku: PATH_CONFLICT: the path has another value",
    ),
    (
        "PUT /lines",
        b"\x10\x02",
        "lines: INVALID_VALUE: a protobuf body can only be a message",
    ),
    (
        "GET /list",
        b"\x30\x01",
        ": UNEXPECTED_BODY: the method accepts no body",
    ),
    (
        "POST /post/n",
        b"\x12",
        ": INVALID_PROTOBUF: varint is truncated or longer than ten bytes",
    ),
    (
        "POST /post/n",
        b"\x12\x03\x0a\x05a",
        "book: INVALID_PROTOBUF: message ends in the middle of a field",
    ),
    (
        "POST /post/n",
        b"\x12\x03\x0a\x01\xff",
        "book.name: INVALID_PROTOBUF: a string is not UTF-8",
    ),
    (
        "POST /post/n",
        b"\x07",
        ": INVALID_PROTOBUF: unknown wire type",
    ),
    (
        "POST /post/n",
        b"\x0c",
        ": INVALID_PROTOBUF: group ends without a start",
    ),
    (
        "POST /post/n?flag=true",
        b"",
        "flag: UNKNOWN_FIELD: all fields that the path doesn't bind belong to the body",
    ),
];

#[test]
fn protobuf_bodies_are_checked_and_keep_to_the_path() {
    let schema = schema();
    for (request, wire, expected) in WIRE {
        let actual = outcome(&schema, Content::Protobuf, request, wire);
        assert_eq!(actual, expected, "{request} {wire:?}");
    }
    let error = encode_as(
        &schema,
        Content::Protobuf,
        "POST /post/n",
        b"\x30\x01\x12\x03\x0a\x01\xff",
    );
    assert_eq!(error.unwrap_err().offset, Some(4));
}

#[test]
fn protobuf_bodies_are_bounded() {
    let schema = schema();
    let many = b"\x20\x01".repeat(MAX_BODY_VALUES + 1);
    let error = encode_as(&schema, Content::Protobuf, "POST /post/n", &many).unwrap_err();
    assert_eq!(error.rule, Rule::LimitExceeded, "{error}");
    let nested = |depth: usize| {
        let wrap = |inner: Vec<u8>, tag| {
            let length = inner.len();
            let prefix = [tag, length as u8 & 0x7f | 0x80, (length >> 7) as u8];
            [&prefix[..], &inner].concat()
        };
        wrap(
            (0..depth).fold(Vec::new(), |inner, _| wrap(inner, 0x1a)),
            0x12,
        )
    };
    let error = encode_as(
        &schema,
        Content::Protobuf,
        "POST /post/n",
        &nested(MAX_DEPTH),
    );
    assert_eq!(error.unwrap_err().rule, Rule::LimitExceeded);
    let deep = nested(MAX_DEPTH - 10);
    assert!(encode_as(&schema, Content::Protobuf, "POST /post/n", &deep).is_ok());
}

#[test]
fn protobuf_bodies_yield_or_win_as_json_does() {
    let with = |binding_conflict| {
        let http = HttpOptions {
            binding_conflict,
            query_beside_body: true,
            ..HttpOptions::default()
        };
        let options = Options {
            http,
            ..Options::default()
        };
        testing::compile_with(super::PROTO, options)
    };
    let cases: [(&str, &[u8], &str, &str); 4] = [
        (
            "POST /post/n",
            b"\x0a\x01m\x30\x01",
            r#"{"name":"n","flag":true}"#,
            r#"{"name":"m","flag":true}"#,
        ),
        (
            "POST /time/1970-01-01T00:00:05Z",
            b"\x42\x02\x10\x07",
            r#"{"time":"1970-01-01T00:00:05Z"}"#,
            r#"{"time":"1970-01-01T00:00:00.000000007Z"}"#,
        ),
        (
            "POST /post-one/n",
            b"\x72\x00",
            r#"{"byName":"n"}"#,
            r#"{"byLine":{}}"#,
        ),
        (
            "POST /post/n?book.tags=a&ids=1",
            b"\x12\x03\x22\x01b",
            r#"{"name":"n","book":{"tags":["b"]},"ids":[1]}"#,
            r#"{"name":"n","book":{"tags":["b"]},"ids":[1]}"#,
        ),
    ];
    for (request, wire, path_wins, body_wins) in cases {
        let conflict = with(BindingConflict::PathWins);
        assert_eq!(
            outcome(&conflict, Content::Protobuf, request, wire),
            path_wins,
            "{request}"
        );
        let conflict = with(BindingConflict::BodyWins);
        assert_eq!(
            outcome(&conflict, Content::Protobuf, request, wire),
            body_wins,
            "{request}"
        );
    }
}

#[test]
fn path_and_query_bind_to_the_first_message_of_a_stream() {
    let schema = schema();
    let cases = [
        (
            "/stream/n",
            r#"{"flag":true}"#,
            r#"{"flag":true,"name":"other"}"#,
            r#"{"name":"other","flag":true}"#,
        ),
        (
            "/chat",
            r#"{"name":"a"}"#,
            r#"{"name":"b"}"#,
            r#"{"book":{"name":"b"}}"#,
        ),
    ];
    for (path, first, next, expected) in cases {
        let found = schema.route(&http::Method::POST, path).unwrap();
        let mut wire = Vec::new();
        found
            .encode_request(None, first.as_bytes(), &mut wire)
            .unwrap();
        let has_name = wire.windows(3).any(|window| window == b"\x0a\x01n");
        assert_eq!(has_name, path == "/stream/n");
        wire.clear();
        found
            .route()
            .encode_stream_message(next.as_bytes(), &mut wire)
            .unwrap();
        let mut json = Vec::new();
        found.route().write_response(&wire, &mut json).unwrap();
        assert_eq!(json, expected.as_bytes());

        let error = found
            .route()
            .encode_stream_message(b"{\"name\":7}", &mut wire);
        assert!(error.unwrap_err().path.ends_with("name"));
    }
    let mute = schema.route(&http::Method::GET, "/mute").unwrap();
    let error = mute.route().encode_stream_message(b"{}", &mut Vec::new());
    assert_eq!(error.unwrap_err().rule, Rule::UnexpectedBody);
    assert!(!mute.route().takes_body());
}

#[test]
fn messages_of_a_stream_may_be_protobuf() {
    let schema = schema();
    for (path, next, expected) in [
        ("/stream/n", &b"\x0a\x01m"[..], r#"{"name":"m"}"#),
        ("/chat", b"\x0a\x01m", r#"{"book":{"name":"m"}}"#),
    ] {
        let found = schema.route(&http::Method::POST, path).unwrap();
        let route = found.route();
        assert!(route.takes_body());
        let (mut wire, mut json) = (Vec::new(), Vec::new());
        route
            .encode_stream_message_as(Content::Protobuf, next, &mut wire)
            .unwrap();
        route.write_response(&wire, &mut json).unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), expected);
        let torn = route.encode_stream_message_as(Content::Protobuf, b"\x0a", &mut wire);
        assert_eq!(torn.unwrap_err().rule, Rule::Protobuf);
    }
}

#[test]
fn every_message_and_every_content_type_is_validated() {
    let proto = testing::ruled(
        "message In { string name = 1 [(buf.validate.field).string.min_len = 2]; }
         service S { rpc Put(stream In) returns (In) {
           option (google.api.http) = { post: \"/put\" body: \"*\" }; } }",
    );
    let schema = Schema::compile(&testing::descriptor_set(&[("t.proto", proto)])).unwrap();
    for (content, body) in [
        (Content::Json, &br#"{"name":"a"}"#[..]),
        (Content::Form, b"name=a"),
        (Content::Protobuf, b"\x0a\x01a"),
    ] {
        let error = encode_as(&schema, content, "POST /put", body).unwrap_err();
        assert_eq!(error.path, "name", "{content:?}");
    }
    let found = schema.route(&http::Method::POST, "/put").unwrap();
    let mut out = b"before".to_vec();
    let error = found
        .route()
        .encode_stream_message(br#"{"name":"a"}"#, &mut out);
    assert_eq!(error.unwrap_err().path, "name");
    assert_eq!(out, b"before");
    let next = found
        .route()
        .encode_stream_message(br#"{"name":"ab"}"#, &mut out);
    assert_eq!(next, Ok(()));
}
