//! The content of documents, piece by piece.

use descriptors::{Kind, Problem};
use samples::{descriptor_set_with_lines, source};
use serde_json::{Value, json};
use transcoder::{Options, Schema};

use super::*;

mod constraints;
mod examples;

fn built(set: &[u8]) -> (Value, Vec<String>) {
    let info = Info {
        title: "T".to_owned(),
        version: "1".to_owned(),
        ..Info::default()
    };
    let schema = Schema::compile(set).unwrap();
    let document = crate::document(&schema, set, &info).unwrap();
    let notes = document.notes.iter().map(Problem::to_string).collect();
    (serde_json::from_str(&document.json).unwrap(), notes)
}

/// Returns a document without its examples, which have tests of their own.
fn document(body: &str) -> Value {
    let (document, notes) = built(&descriptor_set_with_lines(&[("t.proto", source(body))]));
    assert_eq!(notes, Vec::<String>::new());
    without_examples(document)
}

fn without_examples(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter();
            let others = members.filter(|(name, _)| name != "example" && name != "examples");
            others
                .map(|(name, value)| (name, without_examples(value)))
                .collect()
        }
        Value::Array(items) => items.into_iter().map(without_examples).collect(),
        other => other,
    }
}

const BASE64: &str = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}={0,2}|[A-Za-z0-9+/]{3}=?)?$";

/// Returns the pattern of all numbers of a type.
fn digits(kind: Kind) -> String {
    crate::digits::pattern(crate::digits::range(kind).unwrap())
}

/// Returns a document of one method `S.M` from `In` to `Out` with this rule.
fn of_rule(rule: &str, messages: &str) -> Value {
    document(&format!(
        "service S {{ rpc M(In) returns (Out) {{ option (google.api.http) = {{ {rule} }}; }} }} {messages}"
    ))
}

/// Returns the schema of field `v`, declared as this.
fn field(declared: &str, more: &str) -> Value {
    let messages = format!("message In {{}} message Out {{ {declared} }} {more}");
    let document = of_rule("post: '/v1' body: '*'", &messages);
    document["components"]["schemas"]["t.Out"]["properties"]["v"].clone()
}

#[test]
fn streams_are_lines_with_envelopes_where_the_dialect_has_them() {
    let body = "service S { rpc M(In) returns (stream Out) { option (google.api.http) = { get: '/v1' }; } }
        message In {} message Out { string a = 1; }";
    let set = descriptor_set_with_lines(&[("t.proto", source(body))]);
    let schema = Schema::compile(&set).unwrap();
    for has_envelope in [false, true] {
        let info = Info {
            has_envelope,
            ..Info::default()
        };
        let document = crate::document(&schema, &set, &info).unwrap();
        let document: Value = serde_json::from_str(&document.json).unwrap();
        let responses = &document["paths"]["/v1"]["get"]["responses"];
        let message = json!({"$ref": "#/components/schemas/t.Out"});
        let error = json!({"$ref": "#/components/schemas/StreamError"});
        let event = json!({"anyOf": [message, error]});
        let line = json!({"anyOf": [
            {"type": "object", "properties": {"result": message}, "required": ["result"]},
            error,
        ]});
        let content = &responses["200"]["content"];
        let found = [
            "application/x-ndjson",
            "application/json",
            "text/event-stream",
        ]
        .map(|media| content[media]["schema"].clone());
        let array = json!({"type": "array", "items": event});
        let expected = match has_envelope {
            true => [line.clone(), line, event],
            false => [event.clone(), array, event],
        };
        assert_eq!(found, expected);
        let failed = &responses["default"]["content"]["application/json"]["schema"]["anyOf"];
        assert_eq!(failed.is_array(), has_envelope, "{responses}");
    }
}

#[test]
fn scalars_look_as_protojson_has_them() {
    let not_finite = json!({"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]});
    let float = json!({"type": "number", "format": "float", "minimum": -3.402_823_5e38, "maximum": 3.402_823_5e38});
    let cases = [
        (
            "int32 v = 1;",
            json!({"type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX}),
        ),
        (
            "fixed32 v = 1;",
            json!({"type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX}),
        ),
        (
            "sint64 v = 1;",
            json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}),
        ),
        (
            "uint64 v = 1;",
            json!({"type": "string", "format": "uint64", "pattern": "^[0-9]+$"}),
        ),
        ("bool v = 1;", json!({"type": "boolean"})),
        (
            "bytes v = 1;",
            json!({"type": "string", "contentEncoding": "base64", "pattern": BASE64}),
        ),
        ("float v = 1;", json!({"anyOf": [float, not_finite]})),
        (
            "repeated string v = 1;",
            json!({"type": "array", "items": {"type": "string"}}),
        ),
        (
            "map<int32, bool> v = 1;",
            json!({"type": "object", "additionalProperties": {"type": "boolean"}, "propertyNames": {"pattern": digits(Kind::Int32)}}),
        ),
        (
            "map<string, In> v = 1;",
            json!({"type": "object", "additionalProperties": {"$ref": "#/components/schemas/t.In"}}),
        ),
    ];
    for (declared, expected) in cases {
        assert_eq!(field(declared, ""), expected, "{declared}");
    }
}

#[test]
fn well_known_types_look_as_protojson_has_them() {
    let seconds = "0|[1-9][0-9]{0,10}|[1-2][0-9]{11}|30[0-9]{10}|31[0-4][0-9]{9}|315[0-4][0-9]{8}\
                   |3155[0-6][0-9]{7}|31557[0-5][0-9]{6}|315576000000";
    let duration =
        json!({"type": "string", "pattern": format!("^-?(?:{seconds})(?:\\.[0-9]{{1,9}})?s$")});
    let cases = [
        (
            "Timestamp",
            json!({"type": "string", "format": "date-time"}),
        ),
        ("Duration", duration),
        (
            "FieldMask",
            json!({"type": "string", "format": "field-mask", "pattern": "^(?:[A-Za-z0-9.*]+(?:,[A-Za-z0-9.*]+)*)?$"}),
        ),
        ("Struct", json!({"type": "object"})),
        ("Empty", json!({"type": "object"})),
        ("Value", json!({})),
        ("ListValue", json!({"type": "array", "items": {}})),
        ("NullValue", json!({"type": "null"})),
        (
            "Any",
            json!({"$ref": "#/components/schemas/google.protobuf.Any"}),
        ),
        (
            "UInt32Value",
            json!({"type": ["integer", "null"], "format": "uint32", "minimum": 0, "maximum": u32::MAX}),
        ),
        ("StringValue", json!({"type": ["string", "null"]})),
    ];
    for (name, expected) in cases {
        let found = field(&format!("google.protobuf.{name} v = 1;"), "");
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn open_enums_are_names_or_numbers_and_their_values_are_described() {
    let messages = "message In { E v = 1; } message Out {}\n// Kinds.\nenum E {\n Z = 0;\n // The\n // first.\n A = 1; }";
    let document = of_rule("get: '/v1'", messages);
    let number =
        json!({"type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX});
    assert_eq!(
        document["components"]["schemas"]["t.E"],
        json!({
            "anyOf": [{"type": "string", "enum": ["Z", "A"]}, number],
            "description": "Kinds.\n\n- `A`: The first.",
        })
    );
}

#[test]
fn a_template_of_several_segments_becomes_a_path_with_a_parameter_per_wildcard() {
    let messages = "message In { string name = 1; In in = 2; } message Out {}";
    let cases = [
        ("/v1/{name}", "/v1/{name}"),
        (
            "/v1/{name=shelves/*/books/*}:lend",
            "/v1/shelves/{shelf}/books/{book}:lend",
        ),
        ("/v1/{in.name=*}", "/v1/{in.name}"),
        ("/v1/{name=x/*/x/*}", "/v1/x/{x}/x/{x_2}"),
        ("/v1/{name=files/**}", "/v1/files/{file}"),
        ("/v1/{name=100}", "/v1/100"),
        ("/v1/*", "/v1/{v1}"),
    ];
    for (template, path) in cases {
        let document = of_rule(&format!("get: '{template}'"), messages);
        let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
        assert_eq!(paths, [path], "{template}");
    }
    let document = of_rule("get: '/v1/{name=files/**}'", messages);
    let parameter = &document["paths"]["/v1/files/{file}"]["get"]["parameters"][0];
    assert_eq!(parameter["x-multi-segment"], true);
    let description = parameter["description"].as_str().unwrap();
    assert!(
        description.starts_with("Part of `name`, which is `files/{file}`."),
        "{description}"
    );
}

#[test]
fn routes_under_one_path_share_its_parameter_names() {
    let document = document(
        "service S {
            rpc A(X) returns (X) { option (google.api.http) = { get: '/v1/{a}' }; }
            rpc B(X) returns (X) { option (google.api.http) = { delete: '/v1/{b}' }; }
        } message X { string a = 1; string b = 2; }",
    );
    let item = &document["paths"]["/v1/{a}"];
    assert_eq!(item["get"]["parameters"][0]["name"], "a");
    assert_eq!(item["delete"]["parameters"][0]["name"], "a");
    assert_eq!(item["delete"]["parameters"][1]["name"], "a");
    assert_eq!(item["delete"]["parameters"][1]["in"], "query");
}

#[test]
fn what_openapi_cannot_tell_apart_is_noted() {
    let body = "service S {
        rpc A(X) returns (X) { option (google.api.http) = { get: '/v1/{a}' }; }
        rpc B(X) returns (X) { option (google.api.http) = { get: '/v1/{b=**}' }; }
    } message X { string a = 1; string b = 2; }";
    let (document, notes) = built(&descriptor_set_with_lines(&[("t.proto", source(body))]));
    assert_eq!(document["paths"]["/v1/{a}"]["get"]["operationId"], "S_A");
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].contains("GET \"/v1/{b=**}\" is left out"),
        "{notes:?}"
    );
}

#[test]
fn additional_bindings_and_other_methods_have_operations_of_their_own() {
    let rule = "post: '/a' additional_bindings { custom { kind: 'PROPFIND' path: '/a' } } additional_bindings { custom { kind: '*' path: '/b' } }
        additional_bindings { custom { kind: 'OPTIONS' path: '/a' } }";
    let document = of_rule(rule, "message In {} message Out {}");
    let item = &document["paths"]["/a"];
    assert_eq!(item["post"]["operationId"], "S_M");
    assert_eq!(item["x-methods"]["PROPFIND"]["operationId"], "S_M_2");
    assert_eq!(
        document["paths"]["/b"]["x-methods"]["*"]["operationId"],
        "S_M_3"
    );
    assert_eq!(item["options"]["operationId"], "S_M_4");
}

#[test]
fn equal_names_of_services_are_told_apart_by_package() {
    let file = |package: &str| -> &'static str {
        format!(
            "syntax = \"proto3\"; package {package}; import \"google/api/annotations.proto\";
            service S {{ rpc M(X) returns (X) {{ option (google.api.http) = {{ get: '/{package}' }}; }} }} message X {{}}"
        )
        .leak()
    };
    let set = descriptor_set_with_lines(&[("a.proto", file("a")), ("b.proto", file("b"))]);
    let (document, _) = built(&set);
    assert_eq!(document["paths"]["/a"]["get"]["operationId"], "S_M");
    assert_eq!(document["paths"]["/b"]["get"]["operationId"], "b_S_M");
    assert_eq!(document["tags"], json!([{"name": "a.S"}, {"name": "b.S"}]));
}

#[test]
fn every_leaf_that_path_and_body_leave_is_a_query_parameter() {
    let messages = "message In { string id = 1; In again = 2; Part part = 3; Body body = 4; repeated int32 many = 5;
        repeated Part parts = 6; map<string, string> map = 7; google.protobuf.Timestamp at = 8; google.protobuf.Value value = 9; }
        message Part { string some_text = 1; Part deeper = 2; Other other = 3; } message Other { bool yes = 1; }
        message Body { string x = 1; } message Out {}";
    let names = |rule: &str| -> Vec<String> {
        let document = of_rule(rule, messages);
        let operation = &document["paths"]["/v1/{id}"]["post"];
        let parameters = operation["parameters"].as_array().unwrap().iter();
        let query = parameters.filter(|parameter| parameter["in"] == "query");
        query
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names("post: '/v1/{id}' body: 'body'"),
        ["part.someText", "part.other.yes", "many", "at", "value"]
    );
    assert_eq!(names("post: '/v1/{id}' body: '*'"), [""; 0]);
}

#[test]
fn a_schema_of_messages_in_messages_gives_a_bounded_list_of_parameters_and_a_note() {
    let mut body = String::from(
        "service S { rpc M(M0) returns (M0) { option (google.api.http) = { get: '/v1' }; } }",
    );
    for level in 0..40 {
        let next = level + 1;
        body += &format!("message M{level} {{ M{next} a = 1; M{next} b = 2; string leaf = 3; }}");
    }
    body += "message M40 {}";
    let (document, notes) = built(&descriptor_set_with_lines(&[("t.proto", source(&body))]));
    let parameters = document["paths"]["/v1"]["get"]["parameters"]
        .as_array()
        .unwrap();
    assert_eq!(parameters.len(), MAX_PARAMETERS);
    assert!(
        notes[0].contains("more query parameters than are listed"),
        "{notes:?}"
    );
}

const MAX_PARAMETERS: usize = transcoder::MAX_QUERY_PAIRS;

#[test]
fn bodies_are_the_request_without_the_path_or_one_field_or_raw_bytes() {
    let messages = "message In { string id = 1; Part part = 2; google.api.HttpBody raw = 3; int32 n = 4; } message Part {} message Out {}";
    let body = |rule: &str| {
        let document = of_rule(rule, messages);
        document["paths"]["/v1/{id}"]["post"]["requestBody"]["content"].clone()
    };
    let whole = &body("post: '/v1/{id}' body: '*'")["application/json"]["schema"];
    let properties: Vec<&String> = whole["properties"].as_object().unwrap().keys().collect();
    assert_eq!(properties, ["n", "part", "raw"]);
    let field = body("post: '/v1/{id}' body: 'part'");
    let reference = json!({"application/json": {"schema": {"anyOf": [{"$ref": "#/components/schemas/t.Part"}, {"type": "null"}]}}});
    assert_eq!(field, reference);
    let bytes = json!({"application/octet-stream": {}});
    assert_eq!(body("post: '/v1/{id}' body: 'raw'"), bytes);
    assert_eq!(body("post: '/v1/{id}'"), Value::Null);
}

#[test]
fn responses_are_the_message_or_one_field_or_raw_bytes() {
    let response = |messages: &str, rule: &str| {
        let document = of_rule(rule, messages);
        document["paths"]["/v1"]["get"]["responses"]["200"]["content"].clone()
    };
    let messages = "message In {} message Out { repeated string list = 1; }";
    let list =
        json!({"application/json": {"schema": {"type": "array", "items": {"type": "string"}}}});
    assert_eq!(response(messages, "get: '/v1' response_body: 'list'"), list);
    let whole = json!({"application/json": {"schema": {"$ref": "#/components/schemas/t.Out"}}});
    assert_eq!(response(messages, "get: '/v1'"), whole);
    let raw = "message In {} message Out { google.api.HttpBody raw = 1; }";
    assert_eq!(
        response(raw, "get: '/v1' response_body: 'raw'"),
        json!({"*/*": {}})
    );
}

#[test]
fn a_server_stream_has_a_schema_for_each_framing() {
    let document = document(
        "service S { rpc M(X) returns (stream X) { option (google.api.http) = { get: '/v1' }; } } message X {}",
    );
    let content = &document["paths"]["/v1"]["get"]["responses"]["200"]["content"];
    let item = json!({"anyOf": [{"$ref": "#/components/schemas/t.X"}, {"$ref": "#/components/schemas/StreamError"}]});
    assert_eq!(content["application/x-ndjson"]["schema"], item);
    assert_eq!(content["text/event-stream"]["schema"], item);
    let list = json!({"type": "array", "items": item});
    assert_eq!(content["application/json"]["schema"], list);
    let error = &document["components"]["schemas"]["StreamError"]["properties"]["error"];
    assert_eq!(
        *error,
        json!({"$ref": "#/components/schemas/google.rpc.Status"})
    );
}

#[test]
fn a_limited_method_has_a_429_and_tells_what_is_left() {
    let options = include_str!("../../../shared/compiler/proto/mesh/v1/options.proto");
    let method = |limit: &str| {
        let body = format!(
            "import \"mesh/v1/options.proto\";
            service S {{ rpc M(X) returns (X) {{
                option (google.api.http) = {{ get: '/v1' }};
                {limit}
            }} }} message X {{}}"
        );
        let files = [
            ("mesh/v1/options.proto", options),
            ("t.proto", source(&body)),
        ];
        let (document, _) = built(&descriptor_set_with_lines(&files));
        document["paths"]["/v1"]["get"]["responses"].clone()
    };
    let limited = method("option (mesh.v1.rate_limit) = { requests: 1 per: '1s' };");
    for header in ["RateLimit", "RateLimit-Policy", "Retry-After"] {
        assert!(limited["429"]["headers"][header].is_object(), "{limited}");
    }
    assert!(limited["200"]["headers"]["RateLimit"].is_object());
    let free = method("");
    assert!(free.get("429").is_none(), "{free}");
    assert!(free["200"].get("headers").is_none(), "{free}");
}

#[test]
fn errors_that_a_comment_tells_of_are_responses() {
    let document = document(
        "service S {
            // Does it.
            //
            // NOT_FOUND: no such thing.
            // - ALREADY_EXISTS: there is one.
            // - ABORTED: somebody was faster.
            rpc M(X) returns (X) { option (google.api.http) = { get: '/v1' }; }
        } message X {}",
    );
    let responses = &document["paths"]["/v1"]["get"]["responses"];
    let statuses: Vec<&String> = responses.as_object().unwrap().keys().collect();
    assert_eq!(
        statuses,
        ["200", "204", "205", "2XX", "3XX", "404", "409", "default"]
    );
    assert_eq!(
        responses["404"]["description"],
        "`NOT_FOUND`: no such thing."
    );
    let schema = &responses["409"]["content"]["application/json"]["schema"];
    assert_eq!(schema["properties"]["code"], json!({"enum": [6, 10]}));
    assert_eq!(schema["$ref"], "#/components/schemas/google.rpc.Status");
    assert_eq!(responses["default"]["$ref"], "#/components/responses/Error");
}

#[test]
fn examples_are_shown_in_their_canonical_form_or_noted() {
    let body = "service S {
        // Example: {\"a_b\": 1, \"c\": \"AQ\"}
        rpc M(X) returns (X) { option (google.api.http) = { post: '/v1' body: '*' }; }
    }
    // ```json
    // {\"aB\": 7}
    // ```
    message X {
        // Example: 5
        // Example: five
        int64 a_b = 1;
        bytes c = 2;
    }";
    let (document, notes) = built(&descriptor_set_with_lines(&[("t.proto", source(body))]));
    let schema = &document["components"]["schemas"]["t.X"];
    assert_eq!(schema["examples"], json!([{"aB": "7"}]));
    assert_eq!(schema["properties"]["aB"]["examples"], json!(["5"]));
    let media = &document["paths"]["/v1"]["post"]["requestBody"]["content"]["application/json"];
    assert_eq!(
        media["examples"],
        json!({"example1": {"value": {"aB": "1", "c": "AQ=="}}})
    );
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].contains("t.X.a_b: the example is left out"),
        "{notes:?}"
    );
}

#[test]
fn options_of_the_contract_are_shown() {
    let more = "import \"google/protobuf/descriptor.proto\"; extend google.protobuf.FieldOptions { repeated int32 behavior = 1052; }";
    let messages = "message In { string out = 1 [(behavior) = 3]; string in = 2 [(behavior) = 4]; string must = 3 [(behavior) = 2];
        string old = 4 [deprecated = true]; } message Out { option deprecated = true; }";
    let document = document(&format!(
        "{more} service S {{ rpc M(In) returns (Out) {{ option deprecated = true; option (google.api.http) = {{ post: '/v1' body: '*' }}; }} }} {messages}"
    ));
    let schema = &document["components"]["schemas"]["t.In"];
    assert_eq!(schema["properties"]["out"]["readOnly"], true);
    assert_eq!(schema["properties"]["in"]["writeOnly"], true);
    assert_eq!(schema["properties"]["old"]["deprecated"], true);
    assert_eq!(schema["required"], json!(["must"]));
    assert_eq!(
        document["components"]["schemas"]["t.Out"]["deprecated"],
        true
    );
    assert_eq!(document["paths"]["/v1"]["post"]["deprecated"], true);
}

#[test]
fn proto2_has_required_fields_groups_and_extensions() {
    let body = "import \"legacy.proto\"; service S { rpc M(legacy.Old) returns (legacy.Old) { option (google.api.http) = { post: '/v1' body: '*' }; } }";
    let document = document(body);
    let old = &document["components"]["schemas"]["legacy.Old"];
    assert_eq!(old["required"], json!(["name"]));
    assert_eq!(
        old["properties"]["inner"],
        json!({"$ref": "#/components/schemas/legacy.Old.Inner"})
    );
    assert_eq!(
        old["properties"]["[legacy.note]"],
        json!({"type": "string"})
    );
}

#[test]
fn a_document_is_the_same_each_time_and_of_its_own_set_alone() {
    let body = "service S { rpc M(X) returns (X) { option (google.api.http) = { get: '/v1' }; } } message X { Y y = 1; } message Y { X x = 1; }";
    let set = descriptor_set_with_lines(&[("t.proto", source(body))]);
    let documents = [(), ()].map(|()| {
        let schema = Schema::compile_with(&set, Options::default()).unwrap();
        crate::document(&schema, &set, &Info::default())
            .unwrap()
            .json
    });
    assert_eq!(documents[0], documents[1]);
    let other = descriptor_set_with_lines(&[("t.proto", source("message X {}"))]);
    let schema = Schema::compile(&set).unwrap();
    let error = crate::document(&schema, &other, &Info::default()).unwrap_err();
    assert!(error.to_string().contains("another descriptor set"));
}

#[test]
fn names_and_enums_follow_the_options_for_json() {
    let body = "service S { rpc M(X) returns (X) { option (google.api.http) = { get: '/v1/{an_id}' response_body: 'a_place' }; } }
        message X { string an_id = 1; Place a_place = 2; Part a_part = 3; }
        message Part { Place place = 1; int32 some_number = 2; }
        enum Place { NOWHERE = 0; SHELF = 1; }";
    let set = descriptor_set_with_lines(&[("t.proto", source(body))]);
    let mut options = Options::default();
    options.json.preserve_proto_field_names = true;
    options.json.enums_as_numbers = true;
    let schema = Schema::compile_with(&set, options).unwrap();
    let document = crate::document(&schema, &set, &Info::default()).unwrap();
    let document: Value = serde_json::from_str(&document.json).unwrap();
    let document = without_examples(document);
    let parameters = &document["paths"]["/v1/{an_id}"]["get"]["parameters"];
    let parameters = parameters.as_array().unwrap().iter();
    let names: Vec<&str> = parameters.map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["an_id", "a_place", "a_part.place", "a_part.some_number"]
    );
    assert_eq!(
        document["components"]["schemas"]["t.Place"],
        json!({"type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX, "x-enum-numbers": [0, 1], "x-enum-varnames": ["NOWHERE", "SHELF"]})
    );
}

#[test]
fn requests_are_strict_and_responses_promise_nothing() {
    let more = "import \"google/protobuf/descriptor.proto\"; extend google.protobuf.FieldOptions { repeated int32 behavior = 1052; }";
    let document = document(&format!(
        "{more} service S {{ rpc M(X) returns (X) {{ option (google.api.http) = {{ post: '/v1' body: '*' }}; }} }}
         message X {{ string must = 1 [(behavior) = 2]; string may = 2; X inner = 3; int64 big = 4; }}"
    ));
    let schemas = &document["components"]["schemas"];
    let (sent, answered) = (&schemas["t.X-Input"], &schemas["t.X"]);
    assert_eq!(sent["required"], json!(["must"]));
    assert_eq!(sent["additionalProperties"], false);
    assert_eq!(sent["properties"]["must"], json!({"type": "string"}));
    assert_eq!(
        sent["properties"]["may"],
        json!({"type": ["string", "null"]})
    );
    let inner = json!({"anyOf": [{"$ref": "#/components/schemas/t.X-Input"}, {"type": "null"}]});
    assert_eq!(sent["properties"]["inner"], inner);
    // Generators of code refuse `"type": ["string", "integer"]`.
    let big = json!({"anyOf": [
        {"type": "string", "format": "int64", "pattern": digits(Kind::Int64)},
        {"type": "integer", "format": "int64", "minimum": i64::MIN, "maximum": i64::MAX},
        {"type": "null"},
    ]});
    assert_eq!(sent["properties"]["big"], big);
    assert_eq!(answered["required"], Value::Null);
    assert_eq!(answered["additionalProperties"], Value::Null);
    assert_eq!(answered["properties"]["may"], json!({"type": "string"}));
}

#[test]
fn a_body_leaves_out_what_the_path_sets_within_it() {
    let messages = "message In { Part part = 1; } message Part { string id = 1; string rest = 2; } message Out {}";
    let document = of_rule("post: '/v1/{part.id}' body: 'part'", messages);
    let body = &document["paths"]["/v1/{part.id}"]["post"]["requestBody"];
    let schema = &body["content"]["application/json"]["schema"];
    let rest = json!({"rest": {"type": ["string", "null"]}});
    assert_eq!(schema["properties"], rest);
}

#[test]
fn an_unset_message_that_is_the_body_of_a_response_is_null() {
    let messages = "message In {} message Out { In part = 1; }";
    let document = of_rule("get: '/v1' response_body: 'part'", messages);
    let responses = &document["paths"]["/v1"]["get"]["responses"];
    let schema = &responses["200"]["content"]["application/json"]["schema"];
    let part = json!({"anyOf": [{"$ref": "#/components/schemas/t.In"}, {"type": "null"}]});
    assert_eq!(*schema, part);
    // Whatever `x-http-code` says.
    assert_eq!(responses["2XX"], responses["200"]);
    assert_eq!(responses["204"]["$ref"], "#/components/responses/Empty");
}

#[test]
fn a_field_tells_its_readers_and_its_class() {
    let source = "syntax = \"proto3\"; package t; import \"mesh/v1/options.proto\";
        service Users { rpc Get(User) returns (User); }
        message User { string name = 1 [(mesh.v1.data_class) = DATA_CLASS_PERSONAL];
          string mail = 2 [(mesh.v1.visible).roles = \"support\"]; string open = 3; }";
    let (document, _) = built(&descriptor_set_with_lines(&[("t.proto", source)]));
    let text = document.to_string();
    let user = &document["components"]["schemas"]["t.User"]["properties"];
    assert_eq!(user["name"]["x-data-class"], "personal", "{text}");
    assert_eq!(user["mail"]["x-visible-to"], json!(["support"]), "{text}");
    assert_eq!(user["open"].get("x-data-class"), None, "{text}");
}
