//! Codes and the JSON of errors.

use contract::status_code_name;

use super::*;
use crate::testing;

#[test]
fn codes_have_their_http_status_and_name() {
    let cases = [
        (0, 200, "OK"),
        (1, 499, "CANCELLED"),
        (2, 500, "UNKNOWN"),
        (3, 400, "INVALID_ARGUMENT"),
        (4, 504, "DEADLINE_EXCEEDED"),
        (5, 404, "NOT_FOUND"),
        (6, 409, "ALREADY_EXISTS"),
        (7, 403, "PERMISSION_DENIED"),
        (8, 429, "RESOURCE_EXHAUSTED"),
        (9, 400, "FAILED_PRECONDITION"),
        (10, 409, "ABORTED"),
        (11, 400, "OUT_OF_RANGE"),
        (12, 501, "UNIMPLEMENTED"),
        (13, 500, "INTERNAL"),
        (14, 503, "UNAVAILABLE"),
        (15, 500, "DATA_LOSS"),
        (16, 401, "UNAUTHENTICATED"),
        (17, 500, "UNKNOWN"),
        (-1, 500, "UNKNOWN"),
    ];
    for (code, status, name) in cases {
        assert_eq!(
            (http_status(code).as_u16(), status_code_name(code)),
            (status, name)
        );
    }
}

/// Returns a Status with the given details: type name and encoded value.
fn details(details: &[(&str, &[u8])]) -> Vec<u8> {
    use wire::{Tag, put_delimited};
    let tag = |number| Tag::new(number, WireType::Delimited);
    let mut status = vec![0x08, 3];
    for (name, value) in details {
        let mut any = Vec::new();
        put_delimited(
            &mut any,
            tag(1),
            format!("type.googleapis.com/{name}").as_bytes(),
        );
        put_delimited(&mut any, tag(2), value);
        put_delimited(&mut status, tag(3), &any);
    }
    status
}

fn json(details_bin: Option<&[u8]>) -> String {
    let schema = testing::compile("message M { string a = 1; }").unwrap();
    let mut out = Vec::new();
    schema.write_status(3, "no \"x\"", details_bin, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn details_are_shown_by_type() {
    let bin = details(&[
        (
            "google.rpc.ErrorInfo",
            b"\x0a\x01r\x12\x01d\x1a\x06\x0a\x01k\x12\x01v",
        ),
        ("google.rpc.DebugInfo", b"\x0a\x05stack"),
        ("google.rpc.BadRequest", b"\x0a\x06\x0a\x01f\x12\x01d"),
        ("google.rpc.RetryInfo", b"\x0a\x02\x08\x05"),
        ("t.M", b"\x0a\x01x"),
        ("google.protobuf.Duration", b"\x08\x01"),
    ]);
    assert_eq!(
        json(Some(&bin)),
        concat!(
            r#"{"code":3,"message":"no \"x\"","details":["#,
            r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"r","domain":"d","metadata":{"k":"v"}},"#,
            r#"{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"f","description":"d"}]},"#,
            r#"{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"5s"},"#,
            r#"{"@type":"type.googleapis.com/t.M","a":"x"},"#,
            r#"{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}]}"#,
        )
    );
}

#[test]
fn details_that_cannot_be_shown_keep_type_and_bytes() {
    let bin = details(&[("other.Type", b"\xff\xfe"), ("t.M", b"\x0a\x05x")]);
    assert_eq!(
        json(Some(&bin)),
        concat!(
            r#"{"code":3,"message":"no \"x\"","details":["#,
            r#"{"@type":"type.googleapis.com/other.Type","value":"//4="},"#,
            r#"{"@type":"type.googleapis.com/t.M","value":"CgV4"}]}"#,
        )
    );
}

#[test]
fn broken_details_never_cost_the_error() {
    let bare = r#"{"code":3,"message":"no \"x\"","details":[]}"#;
    assert_eq!(json(None), bare);
    assert_eq!(json(Some(b"\x1a\x7f")), bare);
}
