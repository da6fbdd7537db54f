//! Examples that are made: each is accepted by the rules that it was made for.

use samples::{descriptor_set_with_lines, ruled};
use serde_json::{Value, json};
use transcoder::Schema;

use super::built;

/// Returns the example body of `POST /v1` with a message of these fields, and the notes.
fn body(fields: &str, more: &str) -> (Value, Vec<String>) {
    let source = format!(
        "service S {{ rpc M(In) returns (Out) {{ option (google.api.http) = {{ post: '/v1' body: '*' }}; }} }}
        enum E {{ Z = 0; A = 1; B = 2; }} message Out {{}} message In {{ {fields} }} {more}"
    );
    let set = descriptor_set_with_lines(&[("t.proto", ruled(&source))]);
    let (document, notes) = built(&set);
    let content = &document["paths"]["/v1"]["post"]["requestBody"]["content"];
    let example = content["application/json"]["examples"]["example1"]["value"].clone();
    if !example.is_null() {
        let schema = Schema::compile(&set).unwrap();
        let route = schema.route(&http::Method::POST, "/v1").unwrap();
        let text = example.to_string();
        let encoded = route.encode_request(None, text.as_bytes(), &mut Vec::new());
        assert!(encoded.is_ok(), "{text}: {encoded:?}");
    }
    (example, notes)
}

/// Returns the example of field `v`.
fn of_field(kind: &str, rules: &str) -> Value {
    let rules = match rules {
        "" => String::new(),
        rules => format!("[(buf.validate.field).{rules}]"),
    };
    let (example, notes) = body(
        &format!("{kind} v = 1 {rules};"),
        "message P { string a = 1; }",
    );
    assert_eq!(notes, Vec::<String>::new(), "{kind} {rules}");
    example["v"].clone()
}

#[test]
fn every_type_has_an_example_in_the_form_of_protojson() {
    for (kind, expected) in [
        ("int32", json!(42)),
        ("int64", json!("42")),
        ("fixed64", json!("42")),
        ("double", json!(1.5)),
        ("bool", json!(true)),
        ("string", json!("v")),
        ("bytes", json!("aGVsbG8=")),
        ("E", json!("A")),
        ("repeated E", json!(["A"])),
        ("map<string, int64>", json!({"key": "42"})),
        ("map<int32, P>", json!({"42": {"a": "a"}})),
        ("P", json!({"a": "a"})),
        ("google.protobuf.Timestamp", json!("2026-01-31T09:30:00Z")),
        ("google.protobuf.Duration", json!("1.500s")),
        ("google.protobuf.FieldMask", json!("*")),
        ("google.protobuf.Struct", json!({"key": "value"})),
        ("google.protobuf.Int64Value", json!("42")),
    ] {
        assert_eq!(of_field(kind, ""), expected, "{kind}");
    }
}

#[test]
fn an_example_keeps_the_rules_of_its_field() {
    for (kind, rules) in [
        ("string", "string.email = true"),
        ("string", "string.uuid = true"),
        ("string", "string.tuuid = true"),
        ("string", "string.ulid = true"),
        ("string", "string.hostname = true"),
        ("string", "string.ip = true"),
        ("string", "string.ipv6 = true"),
        ("string", "string.ipv4_with_prefixlen = true"),
        ("string", "string.ipv6_prefix = true"),
        ("string", "string.uri = true"),
        ("string", "string.host_and_port = true"),
        (
            "string",
            "string.well_known_regex = KNOWN_REGEX_HTTP_HEADER_NAME",
        ),
        ("string", "string = {min_len: 30, max_len: 31}"),
        (
            "string",
            "string = {pattern: '^[a-z0-9-]+$', min_len: 12, max_len: 20}",
        ),
        ("string", "string = {pattern: '^(?:INV|RET)-[0-9]{6}$'}"),
        (
            "string",
            "string = {prefix: 'a/', suffix: '.z', contains: '-', max_bytes: 9}",
        ),
        ("string", "string = {in: ['x', 'y']}"),
        ("string", "string.const = 'c'"),
        ("bytes", "bytes = {len: 7}"),
        ("bytes", "bytes.ipv6 = true"),
        ("int32", "int32 = {gt: 42, lt: 44}"),
        ("uint64", "uint64 = {gte: 9007199254740993}"),
        ("int64", "int64 = {in: [7, 9]}"),
        ("double", "double = {gt: 2.0, lt: 2.5}"),
        ("E", "enum = {not_in: [0, 1]}"),
        ("E", "enum.const = 2"),
        (
            "google.protobuf.Duration",
            "duration = {gte: {seconds: 7}, lte: {seconds: 8}}",
        ),
        ("google.protobuf.Timestamp", "timestamp.gt_now = true"),
        ("google.protobuf.Timestamp", "timestamp.lt_now = true"),
        ("google.protobuf.StringValue", "string.min_len = 9"),
        (
            "repeated string",
            "repeated = {min_items: 3, unique: true, items: {string: {min_len: 6}}}",
        ),
        ("repeated int64", "repeated = {min_items: 4, unique: true}"),
        ("repeated P", "repeated.min_items = 2"),
        (
            "map<string, string>",
            "map = {min_pairs: 2, keys: {string: {pattern: '^[a-z]{3,40}$'}}, values: {string: {min_len: 1}}}",
        ),
        ("P", "required = true"),
    ] {
        let example = of_field(kind, rules);
        assert!(!example.is_null(), "{kind} {rules}");
    }
}

#[test]
fn examples_of_rules_and_comments_go_first() {
    let (example, notes) = body(
        "string a = 1 [(buf.validate.field).string = {min_len: 2, example: ['x', 'DE-7']}];
        // A place.
        // Example: \"Nairobi\"
        string b = 2;",
        "",
    );
    assert_eq!(example, json!({"a": "DE-7", "b": "Nairobi"}));
    assert_eq!(notes, Vec::<String>::new());
}

#[test]
fn one_member_of_a_choice_is_set_and_the_services_own_fields_are_not() {
    let (example, _) = body(
        "oneof choice { option (buf.validate.oneof).required = true; string a = 1; int32 b = 2; }
        string page_token = 3; string old = 4 [deprecated = true]; string etag = 5; string c = 6;",
        "",
    );
    assert_eq!(example, json!({"a": "a", "c": "c"}));
}

#[test]
fn a_message_within_itself_ends() {
    let (example, notes) = body(
        "Tree tree = 1;",
        "message Tree { string a = 1; repeated Tree more = 2; Tree left = 3; }",
    );
    assert_eq!(example, json!({"tree": {"a": "a"}}));
    assert_eq!(notes, Vec::<String>::new());
}

#[test]
fn wide_and_deep_messages_have_small_examples() {
    let levels = (0..30).map(|level| {
        let next = level + 1;
        format!("message L{level} {{ L{next} a = 1; L{next} b = 2; L{next} c = 3; string d = 4; }}")
    });
    let more = levels.collect::<String>() + "message L30 { string a = 1; }";
    let (example, notes) = body("L0 v = 1;", &more);
    assert!(example.to_string().len() < 20_000, "{example}");
    assert_eq!(notes, Vec::<String>::new());
}

#[test]
fn a_rule_that_nothing_fits_is_noted_and_has_no_example() {
    let (example, notes) = body(
        "string a = 1 [(buf.validate.field).string = {pattern: '^a$', min_len: 2}];",
        "",
    );
    assert_eq!(example, Value::Null);
    assert!(
        notes[0].contains("no example request of \"/v1\""),
        "{notes:?}"
    );
}

#[test]
fn path_and_query_have_the_examples_that_make_a_request() {
    let source = "service S { rpc M(In) returns (In) { option (google.api.http) = { get: '/v1/{name=shelves/*/books/*}/{id}' }; } }
        message In {
          string name = 1 [(buf.validate.field).string.pattern = '^shelves/[0-9]+/books/[a-z]+$'];
          int64 id = 2;
          string must = 3 [(buf.validate.field).string.min_len = 1];
          string may = 4;
        }";
    let (document, notes) = built(&descriptor_set_with_lines(&[("t.proto", ruled(source))]));
    assert_eq!(notes, Vec::<String>::new());
    let operation = &document["paths"]["/v1/shelves/{shelf}/books/{book}/{id}"]["get"];
    let parameters = operation["parameters"].as_array().unwrap();
    let example = |name: &str| {
        let found = parameters.iter().find(|own| own["name"] == name);
        found.unwrap()["example"].clone()
    };
    assert!(example("shelf").as_str().unwrap().parse::<u32>().is_ok());
    assert!(example("book").is_string());
    assert_eq!(example("id"), json!("42"));
    assert_eq!(example("must"), json!("must"));
    // Not to be sent unless the caller wants it.
    assert_eq!(example("may"), Value::Null);
}

#[test]
fn streams_of_requests_are_lines_and_arrays() {
    let source = "service S { rpc M(stream In) returns (In) { option (google.api.http) = { post: '/v1' body: '*' }; } }
        message In { string a = 1; }";
    let (document, _) = built(&descriptor_set_with_lines(&[("t.proto", ruled(source))]));
    let content = &document["paths"]["/v1"]["post"]["requestBody"]["content"];
    let value = |media: &str| content[media]["examples"]["example1"]["value"].clone();
    assert_eq!(value("application/x-ndjson"), json!("{\"a\":\"a\"}\n"));
    assert_eq!(value("application/json"), json!([{"a": "a"}]));
}

#[test]
fn methods_without_a_rule_stand_under_their_own_path() {
    let source = "service S { rpc M(In) returns (Out); rpc N(In) returns (stream Out); }
        message In { string a = 1; } message Out {}";
    let (document, notes) = built(&descriptor_set_with_lines(&[("t.proto", ruled(source))]));
    assert_eq!(notes, Vec::<String>::new());
    let unary = &document["paths"]["/t.S/M"]["post"];
    let media = &unary["requestBody"]["content"]["application/json"];
    assert_eq!(media["examples"]["example1"]["value"], json!({"a": "a"}));
    assert_eq!(
        unary["responses"]["default"]["$ref"],
        "#/components/responses/RpcError"
    );
    let stream = &document["paths"]["/t.S/N"]["post"];
    let framings = stream["responses"]["200"]["content"].as_object().unwrap();
    assert!(framings.contains_key("text/event-stream"), "{stream}");
    assert_eq!(
        stream["responses"]["default"]["$ref"],
        "#/components/responses/Error"
    );
}
