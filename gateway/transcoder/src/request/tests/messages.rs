//! Fields inside of well-known types, and messages that are groups on the wire: the same rules hold
//! for them.

use super::outcome;
use crate::{BindingConflict, Content, HttpOptions, JsonOptions, Options, Rule, Schema, testing};

const PROTO: &str = "
    enum State { STATE_UNSPECIFIED = 0; STATE_OPEN = 1; }
    message Sub { string name = 1; string title = 2; State state = 3; google.protobuf.Value extra = 4; repeated State states = 5; }
    message In { google.protobuf.StringValue id = 1; google.protobuf.Value value = 2; google.protobuf.Any any = 3;
      google.protobuf.Timestamp at = 4; oneof by { string a = 5; string b = 6; } Sub sub = 7;
      google.protobuf.FieldMask update_mask = 8; google.api.HttpBody raw = 9; string key = 10; }
    service S {
      rpc Id(In) returns (In) { option (google.api.http) = { post: \"/id/{id.value}\" body: \"*\" }; }
      rpc At(In) returns (In) { option (google.api.http) = { post: \"/at/{at.seconds}\" body: \"*\" }; }
      rpc Value(In) returns (In) { option (google.api.http) = { post: \"/value/{value.string_value}\" body: \"*\" }; }
      rpc Any(In) returns (In) { option (google.api.http) = { post: \"/any/{any.type_url=**}\" body: \"*\" }; }
      rpc One(In) returns (In) { option (google.api.http) = { post: \"/one/{a}\" body: \"*\" }; }
      rpc Patch(In) returns (In) { option (google.api.http) = { patch: \"/{sub.name=subs/*}\" body: \"sub\" }; }
      rpc Get(In) returns (In) { option (google.api.http) = { get: \"/get/{at}\" }; }
      rpc Put(stream In) returns (In) { option (google.api.http) = { put: \"/put\" body: \"sub\" }; }
      rpc Form(In) returns (In) { option (google.api.http) = { post: \"/form\" body: \"*\" }; }
      rpc Raw(In) returns (In) { option (google.api.http) = { post: \"/raw/{id}\" body: \"raw\" response_body: \"raw\" }; }
    }
";

/// Returns the same schema with both ways to write a message.
fn both(options: &Options) -> [Schema; 2] {
    [
        testing::compile_with(PROTO, options.clone()),
        testing::compile_delimited(PROTO, options.clone()),
    ]
}

fn with(binding_conflict: BindingConflict) -> Options {
    Options {
        http: HttpOptions {
            binding_conflict,
            ..HttpOptions::default()
        },
        ..Options::default()
    }
}

fn check(schema: &Schema, cases: &[(&str, &str, &str)]) {
    for (request, body, expected) in cases {
        let actual = outcome(schema, Content::Json, request, body.as_bytes());
        assert_eq!(actual, *expected, "{request} {body}");
    }
}

#[test]
fn body_does_not_change_what_the_path_sets_inside_of_a_well_known_type() {
    let otherwise = |field: &str| format!("{field}: PATH_CONFLICT: the path has another value");
    for schema in both(&Options::default()) {
        check(
            &schema,
            &[
                ("POST /id/x", r#"{"id":"x"}"#, r#"{"id":"x"}"#),
                ("POST /id/x", r#"{"id":null}"#, r#"{"id":"x"}"#),
                ("POST /id/x", r#"{"id":"y"}"#, &otherwise("id.value")),
                ("POST /id/x", r#"{"id":""}"#, &otherwise("id.value")),
                (
                    "POST /at/5",
                    r#"{"at":"1970-01-01T00:00:05.5Z"}"#,
                    r#"{"at":"1970-01-01T00:00:05.500Z"}"#,
                ),
                (
                    "POST /at/5",
                    r#"{"at":"2020-01-01T00:00:00Z"}"#,
                    &otherwise("at.seconds"),
                ),
                ("POST /value/x", r#"{"value":"x"}"#, r#"{"value":"x"}"#),
                (
                    "POST /value/x",
                    r#"{"value":5}"#,
                    "value.numberValue: DUPLICATE_FIELD: another field of the same oneof is set",
                ),
                (
                    "POST /any/a/t.Sub",
                    r#"{"any":{"@type":"a/t.In"}}"#,
                    &otherwise("any.typeUrl"),
                ),
            ],
        );
    }
}

#[test]
fn path_wins_inside_of_well_known_types_and_over_other_members_of_a_oneof() {
    for schema in both(&with(BindingConflict::PathWins)) {
        check(
            &schema,
            &[
                ("POST /id/x", r#"{"id":"y"}"#, r#"{"id":"x"}"#),
                (
                    "POST /at/5",
                    r#"{"at":"2020-01-01T00:00:00.5Z"}"#,
                    r#"{"at":"1970-01-01T00:00:05.500Z"}"#,
                ),
                ("POST /value/x", r#"{"value":[5]}"#, r#"{"value":"x"}"#),
                (
                    "POST /one/x",
                    r#"{"b":"y","key":"k"}"#,
                    r#"{"a":"x","key":"k"}"#,
                ),
                ("POST /one/x", r#"{"a":"z","b":"y"}"#, r#"{"a":"x"}"#),
                (
                    "POST /one/x",
                    r#"{"b":"y","b":"z"}"#,
                    "b: DUPLICATE_FIELD: the field is set twice",
                ),
                (
                    "POST /one/x",
                    r#"{"b":5}"#,
                    "b: INVALID_VALUE: expected a string, found a number",
                ),
            ],
        );
    }
}

#[test]
fn body_wins_inside_of_well_known_types() {
    for schema in both(&with(BindingConflict::BodyWins)) {
        check(
            &schema,
            &[
                ("POST /id/x", r#"{"id":"y"}"#, r#"{"id":"y"}"#),
                ("POST /id/x", r#"{"id":""}"#, r#"{"id":""}"#),
                ("POST /one/x", r#"{"b":"y"}"#, r#"{"b":"y"}"#),
            ],
        );
    }
}

#[test]
fn groups_bind_mask_and_upload_like_other_messages() {
    for schema in both(&Options::default()) {
        check(
            &schema,
            &[
                (
                    "GET /get/2020-01-01T00:00:00Z?sub.name=n&value=[1]&id=i",
                    "",
                    r#"{"id":"i","value":[1.0],"at":"2020-01-01T00:00:00Z","sub":{"name":"n"}}"#,
                ),
                (
                    "PATCH /subs/s",
                    r#"{"title":"t","extra":null}"#,
                    r#"{"sub":{"name":"subs/s","title":"t","extra":null},"updateMask":"title,extra"}"#,
                ),
            ],
        );
        let protobuf = outcome(&schema, Content::Protobuf, "PATCH /subs/s", b"\x12\x01t");
        assert_eq!(protobuf, r#"{"sub":{"name":"subs/s","title":"t"}}"#);

        let found = schema.route(&http::Method::POST, "/raw/i").unwrap();
        assert!(found.route().is_upload() && found.route().is_download());
        let mut wire = Vec::new();
        found
            .encode_upload_head(None, "text/plain", &mut wire)
            .unwrap();
        found.route().encode_upload_chunk(&[7; 200], &mut wire);
        let (content_type, data) = found.route().http_body_response(&wire).unwrap();
        assert_eq!((content_type, &wire[data]), ("text/plain", &[7; 200][..]));
        let mut json = Vec::new();
        schema
            .message("t.In")
            .unwrap()
            .write_json(&wire, &mut json)
            .unwrap();
        assert!(json.starts_with(br#"{"id":"i","raw":{"contentType":"text/plain","data":"BwcH"#));
    }
}

#[test]
fn enum_names_that_are_ignored_are_not_in_the_mask() {
    let options = Options {
        json: JsonOptions {
            ignore_unknown_fields: true,
            ..JsonOptions::default()
        },
        ..Options::default()
    };
    let body = r#"{"title":"t","state":"STATE_NEW","states":["STATE_NEW"]}"#;
    let expected = r#"{"sub":{"name":"subs/s","title":"t"},"updateMask":"title,states"}"#;
    check(
        &testing::compile_with(PROTO, options),
        &[("PATCH /subs/s", body, expected)],
    );
}

#[test]
fn messages_of_a_stream_may_be_protobuf() {
    for schema in both(&Options::default()) {
        let found = schema.route(&http::Method::PUT, "/put").unwrap();
        let encode = |content, message: &[u8]| {
            let mut wire = Vec::new();
            let encoded = found
                .route()
                .encode_stream_message_as(content, message, &mut wire);
            encoded
                .map(|()| wire)
                .map_err(|error| (error.rule, error.path))
        };
        assert_eq!(
            encode(Content::Protobuf, b"\x12\x01t"),
            encode(Content::Json, br#"{"title":"t"}"#)
        );
        let broken = encode(Content::Protobuf, b"\x12\x01\xff");
        assert_eq!(broken, Err((Rule::Protobuf, "sub.title".into())));
        let form = encode(Content::Form, b"title=t");
        assert_eq!(form, Err((Rule::UnexpectedBody, String::new())));
    }
}

#[test]
fn fields_may_be_called_like_system_parameters() {
    let schema = testing::compile(PROTO).unwrap();
    let form = outcome(
        &schema,
        Content::Form,
        "POST /form",
        b"key=k&a=b&alt=json&prettyPrint",
    );
    assert_eq!(form, r#"{"a":"b","key":"k"}"#);
    check(
        &schema,
        &[(
            "GET /get/2020-01-01T00:00:00Z?key=k",
            "",
            r#"{"at":"2020-01-01T00:00:00Z","key":"k"}"#,
        )],
    );
}
