//! Raw bytes into and out of messages.

use http::Method;
use wire::{Reader, WireType};

use crate::{Schema, testing};

fn schema() -> Schema {
    testing::compile(
        "message In { string name = 1; google.api.HttpBody file = 300; string tag = 3; }
         message Out { google.api.HttpBody file = 1; string note = 2; }
         service S {
           rpc Field(stream In) returns (In) { option (google.api.http) = { post: \"/field/{name}\" body: \"file\" }; }
           rpc Whole(google.api.HttpBody) returns (google.api.HttpBody) {
             option (google.api.http) = { post: \"/whole\" body: \"*\" }; }
           rpc Get(In) returns (Out) { option (google.api.http) = { get: \"/out\" response_body: \"file\" }; }
           rpc Typed(In) returns (In) {
             option (google.api.http) = { post: \"/typed/{file.content_type=*/*}\" body: \"file\" }; }
           rpc Json(In) returns (Out) { option (google.api.http) = { get: \"/json\" }; }
         }",
    )
    .unwrap()
}

#[test]
fn content_type_of_the_path_wins_over_the_header() {
    let schema = schema();
    let found = schema.route(&Method::POST, "/typed/text/csv").unwrap();
    let mut head = Vec::new();
    found
        .encode_upload_head(Some("tag=t"), "image/png", &mut head)
        .unwrap();
    assert_eq!(head, b"\xe2\x12\x0a\x0a\x08text/csv\x1a\x01t");
}

#[test]
fn query_never_reaches_into_the_raw_body() {
    let schema = schema();
    let found = schema.route(&Method::POST, "/field/n").unwrap();
    for query in ["file=x", "file.data=eA==", "file.content_type=a/b"] {
        let mut head = b"before".to_vec();
        let error = found.encode_upload_head(Some(query), "text/csv", &mut head);
        assert_eq!(
            error.unwrap_err().rule,
            crate::Rule::UnknownField,
            "{query}"
        );
        assert_eq!(head, b"before");
    }
    let whole = schema.route(&Method::POST, "/whole").unwrap();
    let error = whole.encode_upload_head(Some("data=eA=="), "text/csv", &mut Vec::new());
    assert_eq!(error.unwrap_err().path, "data");
}

#[test]
fn head_carries_the_fields_and_chunks_the_bytes() {
    let schema = schema();
    let found = schema.route(&Method::POST, "/field/n").unwrap();
    assert!(found.route().is_upload() && !found.route().is_download());
    let mut head = Vec::new();
    found
        .encode_upload_head(Some("tag=t"), "text/csv", &mut head)
        .unwrap();
    assert_eq!(head, b"\x0a\x01n\x1a\x01t\xe2\x12\x0a\x0a\x08text/csv");
    let mut chunk = Vec::new();
    found.route().encode_upload_chunk(b"\0\xff", &mut chunk);
    assert_eq!(chunk, b"\xe2\x12\x04\x12\x02\0\xff");
    for length in [0, 1, 123, 124, 125, 126, 127, 128, 20_000] {
        let mut chunk = Vec::new();
        found
            .route()
            .encode_upload_chunk(&vec![7; length], &mut chunk);
        let mut message = Reader::new(&chunk);
        if message.tag().unwrap().is_some() {
            let mut body = Reader::new(message.delimited().unwrap());
            assert!(message.rest.is_empty());
            assert_eq!(body.tag(), Ok(Some((2, WireType::Delimited))));
            assert_eq!(body.delimited().unwrap(), vec![7; length]);
        } else {
            assert_eq!(length, 0);
        }
    }
}

#[test]
fn unary_upload_is_head_and_chunk_in_one_message() {
    let schema = schema();
    let found = schema.route(&Method::POST, "/whole").unwrap();
    let mut wire = Vec::new();
    found.encode_upload_head(None, "a/b", &mut wire).unwrap();
    found.route().encode_upload_chunk(b"xyz", &mut wire);
    assert_eq!(wire, b"\x0a\x03a/b\x12\x03xyz");
    let (content_type, data) = found.route().http_body_response(&wire).unwrap();
    assert_eq!((content_type, &wire[data]), ("a/b", &b"xyz"[..]));
    assert!(found.encode_request(None, b"{}", &mut Vec::new()).is_err());
}

#[test]
fn response_field_is_found_where_it_lies() {
    let schema = schema();
    let found = schema.route(&Method::GET, "/out").unwrap();
    assert!(found.route().is_download());
    let wire = b"\x12\x01n\x0a\x05\x0a\x03a/b\x0a\x05\x12\x03xyz\x12\x01m";
    let (content_type, data) = found.route().http_body_response(wire).unwrap();
    assert_eq!((content_type, &wire[data]), ("a/b", &b"xyz"[..]));
    assert_eq!(found.route().http_body_response(b""), Ok(("", 0..0)));
    assert!(found.route().http_body_response(b"\x0a\x05\x12").is_err());
}

#[test]
fn json_routes_are_neither() {
    let schema = schema();
    let found = schema.route(&Method::GET, "/json").unwrap();
    assert!(!found.route().is_upload() && !found.route().is_download());
    assert!(
        found
            .encode_upload_head(None, "a/b", &mut Vec::new())
            .is_err()
    );
    assert!(found.route().http_body_response(b"").is_err());
}
