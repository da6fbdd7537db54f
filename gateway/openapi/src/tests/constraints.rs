//! Validation rules and oneofs as keywords of JSON Schema.

use samples::{descriptor_set_with_lines, ruled};
use serde_json::{Value, json};

use super::{BASE64, built, without_examples};
use crate::digits;

/// Returns the schema of message `In` with this content, as requests have it; its fields without
/// the `null` that requests may have instead.
fn message(content: &str) -> Value {
    let document = document(content);
    let schemas = &document["components"]["schemas"];
    let mut schema = schemas["t.In-Input"].clone();
    schema["properties"] = schemas["t.In"]["properties"].clone();
    schema
}

fn document(content: &str) -> Value {
    let body = format!(
        "service S {{ rpc M(In) returns (In) {{ option (google.api.http) = {{ post: '/v1' body: '*' }}; }} }}
        enum E {{ Z = 0; A = 1; B = 2; }} message P {{}} message In {{ {content} }}"
    );
    let set = descriptor_set_with_lines(&[("t.proto", ruled(&body))]);
    let (document, notes) = built(&set);
    assert_eq!(notes, Vec::<String>::new());
    without_examples(document)
}

fn field(kind: &str, rules: &str) -> Value {
    message(&format!("{kind} v = 1 [(buf.validate.field).{rules}];"))["properties"]["v"].clone()
}

fn check<const N: usize>(cases: [(&str, &str, Value); N]) {
    for (kind, rules, expected) in cases {
        assert_eq!(field(kind, rules), expected, "{kind} {rules}");
    }
}

#[test]
fn rules_for_text_and_bytes_become_keywords() {
    check([
        (
            "string",
            "string = {min_len: 2, max_len: 5}",
            json!({"type": "string", "minLength": 2, "maxLength": 5}),
        ),
        (
            "string",
            "string.len = 3",
            json!({"type": "string", "minLength": 3, "maxLength": 3}),
        ),
        (
            "string",
            r#"string.pattern = "^a.\\d$""#,
            json!({"type": "string", "pattern": "^a[^\\n]\\d$"}),
        ),
        (
            "string",
            "string.const = 'x'",
            json!({"type": "string", "enum": ["x"]}),
        ),
        (
            "string",
            "string.in = 'x'",
            json!({"type": "string", "enum": ["x"]}),
        ),
        (
            "string",
            "string.not_in = 'x'",
            json!({"type": "string", "allOf": [{"not": {"enum": ["x"]}}]}),
        ),
        (
            "string",
            "string.prefix = 'a.'",
            json!({"type": "string", "pattern": "^a\\."}),
        ),
        (
            "string",
            "string.uri_ref = true",
            json!({"type": "string", "format": "uri-reference"}),
        ),
        (
            "string",
            "string.uuid = true",
            json!({"type": "string", "format": "uuid", "minLength": 1}),
        ),
        (
            "bytes",
            "bytes = {min_len: 1, max_len: 3}",
            json!({"type": "string", "contentEncoding": "base64", "pattern": BASE64, "minLength": 2, "maxLength": 4}),
        ),
    ]);
}

#[test]
fn rules_for_numbers_become_keywords() {
    check([
        (
            "int32",
            "int32 = {gt: 0, lte: 9}",
            json!({"type": "integer", "format": "int32", "minimum": i32::MIN, "exclusiveMinimum": 0, "maximum": 9}),
        ),
        (
            "uint32",
            "uint32.in = 7",
            json!({"type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX, "enum": [7]}),
        ),
        (
            "double",
            "double = {finite: true, lt: 1.5}",
            json!({"type": "number", "format": "double", "exclusiveMaximum": 1.5}),
        ),
        (
            "int64",
            "int64.gte = 0",
            json!({"type": "string", "format": "int64", "pattern": digits::pattern((0, i64::MAX.into()))}),
        ),
        (
            "int64",
            "int64.in = -5",
            json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]+$", "enum": ["-5"]}),
        ),
    ]);
}

#[test]
fn rules_for_enums_lists_maps_and_wrappers_become_keywords() {
    check([
        (
            "bool",
            "bool.const = true",
            json!({"type": "boolean", "enum": [true]}),
        ),
        (
            "E",
            "enum.defined_only = true",
            json!({"$ref": "#/components/schemas/t.E", "type": "string"}),
        ),
        (
            "E",
            "enum.in = 2",
            json!({"$ref": "#/components/schemas/t.E", "enum": ["B"]}),
        ),
        (
            "repeated string",
            "repeated = {min_items: 1, max_items: 2, unique: true, items: {string: {min_len: 3}}}",
            json!({"type": "array", "items": {"type": "string", "minLength": 3}, "minItems": 1, "maxItems": 2, "uniqueItems": true}),
        ),
        (
            "map<string, int32>",
            "map = {min_pairs: 1, keys: {string: {max_len: 3}}, values: {int32: {lt: 4}}}",
            json!({"type": "object", "additionalProperties": {"type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX, "exclusiveMaximum": 4},
                "propertyNames": {"maxLength": 3}, "minProperties": 1}),
        ),
        (
            "google.protobuf.Int32Value",
            "int32.lt = 4",
            json!({"type": ["integer", "null"], "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX, "exclusiveMaximum": 4}),
        ),
    ]);
}

#[test]
fn rules_without_a_keyword_become_sentences() {
    let cases = [
        ("int64", "int64.lt = 9", ""),
        (
            "int32",
            "int32 = {lt: 1, gt: 5}",
            "Must be greater than 5 or less than 1.",
        ),
        (
            "string",
            "string.pattern = '(?i)a'",
            "Does not match regex pattern `(?i)a`.",
        ),
        ("string", "string.hostname = true", ""),
        ("string", "string.ulid = true", "Must be a valid ULID."),
        (
            "google.protobuf.Duration",
            "duration.lt = {seconds: 1}",
            "Must be less than 1s.",
        ),
    ];
    for (kind, rules, expected) in cases {
        let found = field(kind, rules);
        let description = found["description"].as_str().unwrap_or_default();
        assert_eq!(description, expected, "{kind} {rules}");
    }
}

#[test]
fn a_rule_that_refuses_what_is_absent_makes_the_field_required() {
    let is_required = |kind: &str, rules: &str| {
        message(&format!("{kind} v = 1 [(buf.validate.field).{rules}];"))["required"]
            == json!(["v"])
    };
    for (kind, rules) in [
        ("P", "required = true"),
        ("string", "string.min_len = 1"),
        ("string", "string.pattern = '^a'"),
        ("string", "string.email = true"),
        ("int64", "int64.gt = 0"),
        ("E", "enum.not_in = 0"),
        ("repeated string", "repeated.min_items = 1"),
    ] {
        assert!(is_required(kind, rules), "{kind} {rules}");
    }
    for (kind, rules) in [
        ("string", "string.max_len = 1"),
        ("string", "string.pattern = '^a*$'"),
        ("int64", "int64.gte = 0"),
        ("optional string", "string.min_len = 1"),
        ("repeated string", "repeated.items.string.min_len = 1"),
    ] {
        assert!(!is_required(kind, rules), "{kind} {rules}");
    }
}

#[test]
fn what_is_passed_over_for_zero_may_be_zero() {
    let schema = message(
        "string v = 1 [(buf.validate.field).string.min_len = 3, (buf.validate.field).ignore = IGNORE_IF_ZERO_VALUE];",
    );
    let expected =
        json!({"type": "string", "allOf": [{"anyOf": [{"const": ""}, {"minLength": 3}]}]});
    assert_eq!(schema["properties"]["v"], expected);
    assert_eq!(schema["required"], Value::Null);
    let schema = message(
        "string v = 1 [(buf.validate.field).string.min_len = 3, (buf.validate.field).ignore = IGNORE_ALWAYS];",
    );
    assert_eq!(schema["properties"]["v"], json!({"type": "string"}));
}

#[test]
fn at_most_one_member_of_a_oneof_is_set_and_one_if_it_is_required() {
    let has = |name: &str| {
        let value = json!({"not": {"enum": [null]}});
        json!({"required": [name], "properties": {name: value}})
    };
    let none = json!({"not": {"anyOf": [has("a"), has("b")]}});
    let schema = message("oneof c { string a = 1; string b = 2; } optional string d = 3;");
    assert_eq!(
        schema["not"],
        json!({"not": {"oneOf": [has("a"), has("b"), none]}})
    );
    let schema = message(
        "oneof c { option (buf.validate.oneof).required = true; string a = 1; string b = 2; }",
    );
    assert_eq!(
        schema["not"],
        json!({"not": {"oneOf": [has("a"), has("b")]}})
    );
    let schema = message(
        "option (buf.validate.message).oneof = { fields: ['a', 'b'] }; string a = 1; string b = 2;
        oneof c { string d = 3; string e = 4; }",
    );
    assert_eq!(schema["allOf"].as_array().map(Vec::len), Some(2));
    // Without presence, a zero is not set.
    let choice = &schema["allOf"][1]["not"]["not"]["oneOf"][0];
    assert_eq!(
        choice["properties"]["a"],
        json!({"not": {"enum": [null, ""]}})
    );
}

#[test]
fn the_zero_of_a_required_field_without_presence_is_its_absence() {
    let sent = |kind: &str| {
        let content = format!("{kind} v = 1 [(buf.validate.field).required = true];");
        document(&content)["components"]["schemas"]["t.In-Input"]["properties"]["v"].clone()
    };
    assert_eq!(sent("string")["minLength"], 1);
    assert_eq!(sent("repeated string")["minItems"], 1);
    assert_eq!(sent("map<string, string>")["minProperties"], 1);
    assert_eq!(sent("int32")["not"], json!({"enum": [0]}));
    assert_eq!(sent("uint64")["not"], json!({"enum": ["0", 0]}));
    assert_eq!(sent("bool")["not"], json!({"enum": [false]}));
    assert_eq!(sent("E")["not"], json!({"enum": ["Z", 0]}));
    assert_eq!(sent("optional int32")["not"], Value::Null);
}

#[test]
fn broken_rules_are_a_response_of_their_own() {
    let body = "service S { rpc M(In) returns (In) { option (google.api.http) = { post: '/v1' body: '*' }; } }
        message In { string v = 1 [(buf.validate.field).string.min_len = 1]; }";
    let set = descriptor_set_with_lines(&[("t.proto", ruled(body))]);
    let (document, _) = built(&set);
    let response = &document["paths"]["/v1"]["post"]["responses"]["400"];
    assert_eq!(
        *response,
        json!({"$ref": "#/components/responses/InvalidRequest"})
    );
    let shared = &document["components"]["responses"]["InvalidRequest"];
    let schema = &shared["content"]["application/json"]["schema"];
    assert_eq!(schema["properties"]["code"], json!({"enum": [3, 9, 11]}));
    let details = &schema["properties"]["details"]["items"]["anyOf"][0];
    assert_eq!(
        *details,
        json!({"$ref": "#/components/schemas/google.rpc.BadRequest"})
    );
    assert!(document["components"]["schemas"]["google.rpc.BadRequest"].is_object());
}
