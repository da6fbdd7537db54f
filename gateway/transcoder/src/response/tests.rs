//! Wire bytes that no well-behaved encoder writes, `response_body`, and the choices of [`Options`].

use http::Method;
use wire::MAX_DEPTH;

use crate::{EmitDefaults, JsonOptions, Options, Schema, testing};

const PROTO: &str = "
    enum Size { option allow_alias = true; SMALL = 0; LARGE = 2; BIG = 2; }
    message Out { int32 number = 1; string text = 2; repeated int32 list = 3; map<string, int32> counts = 4; Out child = 5;
      oneof pick { string a = 6; Out b = 7; } optional bool flag = 8; Size size = 9; google.protobuf.Value value = 10;
      google.protobuf.Timestamp time = 11; google.protobuf.Any any = 12; repeated Size sizes = 13;
      google.protobuf.Int32Value wrapped = 14; google.protobuf.FieldMask mask = 15; }
    service S {
      rpc Out(Out) returns (Out) { option (google.api.http) = {
        get: \"/out\"
        additional_bindings { get: \"/number\" response_body: \"number\" }
        additional_bindings { get: \"/list\" response_body: \"list\" }
        additional_bindings { get: \"/counts\" response_body: \"counts\" }
        additional_bindings { get: \"/child\" response_body: \"child\" }
      }; }
    }
";

fn json(schema: &Schema, path: &str, wire: &[u8]) -> String {
    let mut out = b"before ".to_vec();
    let found = schema.route(&Method::GET, path).unwrap();
    match found.route().write_response(wire, &mut out) {
        Ok(()) => String::from_utf8(out[7..].to_vec()).unwrap(),
        Err(error) => {
            assert_eq!(out, b"before ");
            format!("error: {error}")
        }
    }
}

#[test]
fn unusual_encodings_mean_what_protobuf_says() {
    let cases: [(&[u8], &str); 25] = [
        (b"", "{}"),
        (b"\x08\x00\x12\x00", "{}"),
        (b"\x08\x01\x08\x02", r#"{"number":2}"#),
        (b"\x12\x01x\x08\x01", r#"{"number":1,"text":"x"}"#),
        (b"\x08\x81\x80\x80\x80\x10", r#"{"number":1}"#),
        (
            b"\x1a\x02\x01\x02\x18\x03\x1a\x00\x1a\x01\x04",
            r#"{"list":[1,2,3,4]}"#,
        ),
        (
            b"\x18\x01\x08\x07\x1a\x01\x02",
            r#"{"number":7,"list":[1,2]}"#,
        ),
        (b"\x1a\x00", "{}"),
        (
            b"\x22\x05\x0a\x01k\x10\x01\x22\x05\x0a\x01k\x10\x02",
            r#"{"counts":{"k":2}}"#,
        ),
        (
            b"\x22\x05\x10\x01\x0a\x01k\x22\x00",
            r#"{"counts":{"k":1,"":0}}"#,
        ),
        (
            b"\x22\x07\x0a\x01k\x10\x01\x10\x02",
            r#"{"counts":{"k":2}}"#,
        ),
        (
            b"\x2a\x02\x08\x01\x2a\x03\x12\x01x",
            r#"{"child":{"number":1,"text":"x"}}"#,
        ),
        (b"\x32\x01x\x3a\x02\x08\x01", r#"{"b":{"number":1}}"#),
        (b"\x3a\x02\x08\x01\x32\x01x", r#"{"a":"x"}"#),
        (
            b"\x3a\x02\x08\x01\x32\x01x\x3a\x03\x12\x01y",
            r#"{"b":{"text":"y"}}"#,
        ),
        (
            b"\x3a\x02\x08\x01\x3a\x03\x12\x01y",
            r#"{"b":{"number":1,"text":"y"}}"#,
        ),
        (b"\x40\x00", r#"{"flag":false}"#),
        (b"\x48\x02", r#"{"size":"LARGE"}"#),
        (
            b"\x48\x07\x6a\x02\x00\x09",
            r#"{"size":7,"sizes":["SMALL",9]}"#,
        ),
        (b"\x52\x00", r#"{"value":null}"#),
        (
            b"\x52\x0b\x11\0\0\0\0\0\0\xf8\x7f\x20\x01",
            r#"{"value":true}"#,
        ),
        (b"\x72\x00", r#"{"wrapped":0}"#),
        (b"\x62\x00", r#"{"any":{}}"#),
        (
            b"\xa0\x06\x01\x0d\x01\x02\x03\x04\x08\x05\xa3\x06\x08\x01\xa4\x06",
            r#"{"number":5}"#,
        ),
        (b"\x7a\x08\x0a\x03a_b\x0a\x01c", r#"{"mask":"aB,c"}"#),
    ];
    let schema = testing::compile(PROTO).unwrap();
    for (wire, expected) in cases {
        assert_eq!(json(&schema, "/out", wire), expected, "{wire:?}");
    }
}

#[test]
fn what_later_bytes_mend_is_written_whatever_stands_in_front() {
    let schema = testing::compile(PROTO).unwrap();
    let mended = b"\x5a\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x5a\x02\x10\x05";
    let time = "\"time\":\"1970-01-01T00:00:00.000000005Z\"";
    assert_eq!(json(&schema, "/out", mended), format!("{{{time}}}"));
    // Out of order, so that the search for what is to be gathered has begun.
    let child = b"\x2a\x05\x12\x01x\x08\x01";
    assert_eq!(
        json(&schema, "/out", &[&child[..], mended].concat()),
        format!("{{\"child\":{{\"number\":1,\"text\":\"x\"}},{time}}}")
    );
}

#[test]
fn what_json_cannot_say_is_an_error_with_its_path() {
    let cases: [(&[u8], &str); 9] = [
        (
            b"\x08",
            "error: number: varint is truncated or longer than ten bytes",
        ),
        (
            b"\x2a\x03\x12\x01\xff",
            "error: child.text: string is not UTF-8",
        ),
        (
            b"\x12\x05x",
            "error: text: message ends in the middle of a field",
        ),
        (
            b"\x5a\x02\x10\xff",
            "error: time: varint is truncated or longer than ten bytes",
        ),
        (
            b"\x5a\x03\x10\xff\x0f\x5a\x06\x10\xff\xff\xff\xff\x0f",
            "error: time: timestamp is not within the years 1 to 9999",
        ),
        (
            b"\x62\x04\x0a\x02/x",
            "error: any.(/x): the Any's type is not in the schema",
        ),
        (
            b"\x7a\x03\x0a\x01A",
            "error: mask: field mask path has no lowerCamelCase form",
        ),
        (b"\x0c", "error: group ends without a start"),
        (
            b"\x52\x09\x11\0\0\0\0\0\0\xf8\x7f",
            "error: value: a google.protobuf.Value can't be NaN or infinite",
        ),
    ];
    let schema = testing::compile(PROTO).unwrap();
    for (wire, expected) in cases {
        assert_eq!(json(&schema, "/out", wire), expected, "{wire:?}");
    }
}

#[test]
fn response_body_is_the_field_alone() {
    let cases: [(&str, &[u8], &str); 9] = [
        ("/number", b"", "0"),
        ("/number", b"\x08\x01\x12\x01x\x08\x02", "2"),
        ("/list", b"", "[]"),
        ("/list", b"\x18\x01\x08\x01\x18\x02", "[1,2]"),
        ("/counts", b"", "{}"),
        ("/counts", b"\x22\x05\x0a\x01k\x10\x01", r#"{"k":1}"#),
        ("/child", b"", "null"),
        ("/child", b"\x2a\x00", "{}"),
        (
            "/child",
            b"\x2a\x02\x08\x01\x2a\x03\x12\x01x",
            r#"{"number":1,"text":"x"}"#,
        ),
    ];
    let schema = testing::compile(PROTO).unwrap();
    for (path, wire, expected) in cases {
        assert_eq!(json(&schema, path, wire), expected, "{path} {wire:?}");
    }
}

#[test]
fn defaults_are_shown_on_request() {
    let options = Options {
        json: JsonOptions {
            emit_defaults: EmitDefaults::All,
            ..JsonOptions::default()
        },
        ..Options::default()
    };
    let schema = testing::compile_with(PROTO, options);
    assert_eq!(
        json(&schema, "/out", b"\x08\x00\x1a\x00"),
        r#"{"number":0,"text":"","list":[],"counts":{},"size":"SMALL","sizes":[]}"#
    );
    assert_eq!(
        json(&schema, "/out", b"\x12\x01x\x08\x01"),
        r#"{"number":1,"text":"x","list":[],"counts":{},"size":"SMALL","sizes":[]}"#
    );
}

#[test]
fn unknown_keys_are_ignored_on_request() {
    let options = Options {
        json: JsonOptions {
            ignore_unknown_fields: true,
            ..JsonOptions::default()
        },
        ..Options::default()
    };
    let proto = "message In { string a = 1; }
        service S { rpc Do(In) returns (In) { option (google.api.http) = { post: \"/do\" body: \"*\" }; } }";
    let body = br#"{"nope":{"x":[1]},"a":"b"}"#;
    for (schema, expected) in [
        (
            testing::compile_with(proto, options),
            Some(&b"\x0a\x01b"[..]),
        ),
        (testing::compile(proto).unwrap(), None),
    ] {
        let found = schema.route(&Method::POST, "/do").unwrap();
        let mut out = Vec::new();
        let encoded = found.encode_request(None, body, &mut out).ok();
        assert_eq!(encoded.map(|()| &*out), expected);
    }
}

/// `depth` messages inside each other; `is_reversed` puts each child in front of a lower field.
fn nested(depth: usize, is_reversed: bool) -> Vec<u8> {
    let mut wire = Vec::new();
    for _ in 0..depth {
        let mut outer = Vec::new();
        let tag = wire::Tag::new(5, wire::WireType::Delimited);
        wire::put_delimited(&mut outer, tag, &wire);
        if is_reversed {
            outer.extend(b"\x08\x01");
        }
        wire = outer;
    }
    wire
}

#[test]
fn depth_is_bounded() {
    let schema = testing::compile(PROTO).unwrap();
    let deepest = json(&schema, "/out", &nested(MAX_DEPTH - 1, false));
    assert!(deepest.starts_with("{\"child\":{"), "{deepest}");
    let error = json(&schema, "/out", &nested(MAX_DEPTH, false));
    assert!(error.ends_with("message is nested too deeply"), "{error}");
}

/// With a second try on every level this would take 2^99 steps.
#[test]
fn disorder_on_every_level_takes_linear_time() {
    let schema = testing::compile(PROTO).unwrap();
    let text = json(&schema, "/out", &nested(MAX_DEPTH - 1, true));
    assert!(
        text.starts_with(r#"{"number":1,"child":{"number":1,"#),
        "{text}"
    );
}

#[test]
fn deep_values_count_json_levels() {
    let schema = testing::compile(PROTO).unwrap();
    let proto = "message In { google.protobuf.Value v = 1; }
        service S { rpc Do(In) returns (In) { option (google.api.http) = { post: \"/do\" body: \"v\" response_body: \"v\" }; } }";
    let echo = testing::compile(proto).unwrap();
    let text = "[".repeat(MAX_DEPTH - 2) + &"]".repeat(MAX_DEPTH - 2);
    let found = echo.route(&Method::POST, "/do").unwrap();
    let mut wire = Vec::new();
    found
        .encode_request(None, text.as_bytes(), &mut wire)
        .unwrap();
    let mut json = Vec::new();
    found.route().write_response(&wire, &mut json).unwrap();
    assert_eq!(String::from_utf8(json).unwrap(), text);
    assert!(schema.route(&Method::GET, "/do").is_err());
}
