//! Each choice, there and back.

use http::Method;

use crate::{EmitDefaults, JsonOptions, Options, Rule, Schema, testing};

const PROTO: &str = "
    enum Size { SIZE_UNKNOWN = 0; SIZE_LARGE = 2; }
    message Inner { int32 deep_number = 1; }
    message Out { int32 a_number = 1; string text = 2; Size the_size = 3; optional Size maybe_size = 4; repeated Size sizes = 5;
      map<string, Size> by_name = 6; Inner the_inner = 7; oneof pick { Size picked = 8; string other = 9; }
      google.protobuf.NullValue nothing = 10; string renamed = 11 [json_name = \"@id\"]; repeated string list = 12; }
    service S { rpc Echo(Out) returns (Out) { option (google.api.http) = { post: \"/echo\" body: \"*\" }; } }
";

fn schema(json: JsonOptions) -> Schema {
    let options = Options {
        json,
        ..Options::default()
    };
    testing::compile_with(PROTO, options)
}

fn echo(schema: &Schema, body: &str) -> String {
    let found = schema.route(&Method::POST, "/echo").unwrap();
    let (mut wire, mut json) = (Vec::new(), Vec::new());
    match found.encode_request(None, body.as_bytes(), &mut wire) {
        Err(error) => format!("{}: {error}", error.rule.as_str()),
        Ok(()) => {
            found.route().write_response(&wire, &mut json).unwrap();
            String::from_utf8(json).unwrap()
        }
    }
}

#[test]
fn proto_names_stand_in_responses_and_both_in_requests() {
    let schema = schema(JsonOptions {
        preserve_proto_field_names: true,
        ..JsonOptions::default()
    });
    let proto = r#"{"a_number":1,"the_inner":{"deep_number":2},"renamed":"x"}"#;
    let json = r#"{"aNumber":1,"theInner":{"deepNumber":2},"@id":"x"}"#;
    assert_eq!(echo(&schema, proto), proto);
    assert_eq!(echo(&schema, json), proto);
}

#[test]
fn enums_may_be_numbers() {
    let schema = schema(JsonOptions {
        enums_as_numbers: true,
        ..JsonOptions::default()
    });
    assert_eq!(
        echo(
            &schema,
            r#"{"theSize":"SIZE_LARGE","maybeSize":"SIZE_UNKNOWN","sizes":["SIZE_LARGE",7],"byName":{"a":2}}"#
        ),
        r#"{"theSize":2,"maybeSize":0,"sizes":[2,7],"byName":{"a":2}}"#
    );
    assert_eq!(echo(&schema, r#"{"nothing":null}"#), "{}");
}

#[test]
fn defaults_are_shown_as_far_as_asked_for() {
    let cases = [
        (EmitDefaults::Never, "{}"),
        (
            EmitDefaults::Scalars,
            r#"{"aNumber":0,"text":"","theSize":"SIZE_UNKNOWN","nothing":null,"@id":""}"#,
        ),
        (
            EmitDefaults::Nulls,
            r#"{"aNumber":0,"text":"","theSize":"SIZE_UNKNOWN","sizes":[],"byName":{},"theInner":null,"nothing":null,"@id":"","list":[]}"#,
        ),
        (
            EmitDefaults::All,
            r#"{"aNumber":0,"text":"","theSize":"SIZE_UNKNOWN","sizes":[],"byName":{},"nothing":null,"@id":"","list":[]}"#,
        ),
    ];
    for (emit_defaults, expected) in cases {
        let schema = schema(JsonOptions {
            emit_defaults,
            ..JsonOptions::default()
        });
        assert_eq!(echo(&schema, "{}"), expected);
    }
}

#[test]
fn defaults_take_their_place_among_what_is_set() {
    let schema = schema(JsonOptions {
        emit_defaults: EmitDefaults::Scalars,
        ..JsonOptions::default()
    });
    let set = r#"{"theInner":{},"text":"t","list":["x"],"other":""}"#;
    let expected = r#"{"aNumber":0,"text":"t","theSize":"SIZE_UNKNOWN","theInner":{"deepNumber":0},"other":"","nothing":null,"@id":"","list":["x"]}"#;
    assert_eq!(echo(&schema, set), expected);
}

#[test]
fn what_is_unknown_may_be_ignored() {
    let lenient = schema(JsonOptions {
        ignore_unknown_fields: true,
        ..JsonOptions::default()
    });
    let strict = schema(JsonOptions::default());
    let cases = [
        (
            r#"{"nope":{"x":[1,"\n"]},"aNumber":1}"#,
            r#"{"aNumber":1}"#,
            Rule::UnknownField,
        ),
        (
            r#"{"theSize":"NOPE","aNumber":1}"#,
            r#"{"aNumber":1}"#,
            Rule::InvalidValue,
        ),
        (r#"{"maybeSize":"NOPE"}"#, "{}", Rule::InvalidValue),
        (r#"{"picked":"NOPE"}"#, "{}", Rule::InvalidValue),
        (r#"{"sizes":["NOPE"]}"#, "{}", Rule::InvalidValue),
        (
            r#"{"sizes":["NOPE","SIZE_LARGE","NO",0]}"#,
            r#"{"sizes":["SIZE_LARGE","SIZE_UNKNOWN"]}"#,
            Rule::InvalidValue,
        ),
        (
            r#"{"byName":{"a":"NOPE","b":"SIZE_LARGE"}}"#,
            r#"{"byName":{"b":"SIZE_LARGE"}}"#,
            Rule::InvalidValue,
        ),
    ];
    for (body, expected, rule) in cases {
        assert_eq!(echo(&lenient, body), expected, "{body}");
        assert!(echo(&strict, body).starts_with(rule.as_str()), "{body}");
    }
    // Ignoring is not overlooking: what is malformed or set twice stays rejected.
    for body in [
        r#"{"nope":[1,}"#,
        r#"{"nope":01}"#,
        r#"{"text":"a","text":"b"}"#,
        r#"{"theSize":true}"#,
    ] {
        assert!(!echo(&lenient, body).starts_with('{'), "{body}");
    }
}

#[test]
fn errors_name_fields_as_responses_show_them() {
    let proto =
        "message In { repeated Inner the_inner = 1; } message Inner { int32 the_size = 1; }";
    for (preserve_proto_field_names, path) in [
        (false, "theInner[0].theSize"),
        (true, "the_inner[0].the_size"),
    ] {
        let json = JsonOptions {
            preserve_proto_field_names,
            ..JsonOptions::default()
        };
        let options = Options {
            json,
            ..Options::default()
        };
        let schema = testing::compile_with(proto, options);
        let message = schema.message("t.In").unwrap();
        let body = br#"{"the_inner":[{"the_size":"x"}]}"#;
        let error = message.read_json(body, &mut Vec::new()).unwrap_err();
        assert_eq!(error.path, path);
    }
}

#[test]
fn a_name_means_to_requests_what_responses_show_by_it() {
    let proto = "message In { string foo = 1 [json_name = \"bar\"]; int32 x = 2; int32 y = 3; string bar = 4 [json_name = \"baz\"]; }";
    for (preserve_proto_field_names, first, last) in [(false, "bar", "baz"), (true, "foo", "bar")] {
        let json = JsonOptions {
            preserve_proto_field_names,
            ..JsonOptions::default()
        };
        let options = Options {
            json,
            ..Options::default()
        };
        let schema = testing::compile_with(proto, options);
        let message = schema.message("t.In").unwrap();
        for (name, tag) in [(first, 0x0a), (last, 0x22)] {
            let mut wire = Vec::new();
            let json = format!("{{\"x\":0,\"{name}\":\"v\"}}");
            message.read_json(json.as_bytes(), &mut wire).unwrap();
            assert_eq!(wire, [tag, 1, b'v']);
            let mut json = Vec::new();
            message.write_json(&wire, &mut json).unwrap();
            assert_eq!(json, format!("{{\"{name}\":\"v\"}}").into_bytes());
        }
    }
}
