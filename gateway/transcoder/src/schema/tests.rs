//! Schemas that compile, and the reasons for rejecting others.

use contract::{Idempotency, MethodKind};
use descriptors::CompileError;
use routes::{DefaultBindings, HttpRule, PathDecoding, RouteOptions};

use crate::{Options, Schema, testing};

const MESSAGES: &str = "
    message In { string name = 1; Book book = 2; repeated string tags = 3; map<string, string> labels = 4;
      google.protobuf.Timestamp time = 5; google.api.HttpBody raw = 6; Book other = 7; int32 number = 8;
      oneof one { string one_a = 9; string one_b = 10; } }
    message Book { string name = 1; Book sequel = 2; }
";

fn rules(rules: &[&str]) -> String {
    let mut methods = String::new();
    for (index, rule) in rules.iter().enumerate() {
        methods += &format!(
            "rpc M{index}(In) returns (In) {{ option (google.api.http) = {{ {rule} }}; }}\n"
        );
    }
    format!("{MESSAGES} service S {{ {methods} }}")
}

#[test]
fn every_bad_rule_is_reported_with_its_place() {
    let cases = [
        ("get: \"v1\"", "starts with '/'"),
        ("get: \"/a/{nope}\"", "t.In has no field 'nope'"),
        ("get: \"/b/{book.nope}\"", "t.Book has no field 'nope'"),
        ("get: \"/c/{name.x}\"", "only messages have fields"),
        ("get: \"/d/{tags}\"", "'tags' is repeated"),
        ("get: \"/e/{labels}\"", "'labels' is repeated"),
        ("get: \"/f/{book}\"", "is a message"),
        ("get: \"/g/{name}/{name}\"", "is repeated"),
        (
            "post: \"/h\" body: \"nope\"",
            "body: t.In has no field 'nope'",
        ),
        ("post: \"/i\" body: \"book.name\"", "at its top level"),
        (
            "get: \"/j\" response_body: \"nope\"",
            "response_body: t.In has no field 'nope'",
        ),
        ("post: \"/k/{name}\" body: \"name\"", "'name' is the body"),
        ("body: \"*\"", "names no method and path"),
        ("custom: { kind: \"\" path: \"/l\" }", "not an HTTP method"),
        (
            "get: \"/m\" additional_bindings { get: \"/n\" additional_bindings { get: \"/o\" } }",
            "can't be nested",
        ),
        (
            "custom: { kind: \"A B\" path: \"/p\" }",
            "not an HTTP method",
        ),
        ("get: \"\"", "starts with '/'"),
        ("get: \"/q/{time}/{time.seconds}\"", "lie inside each other"),
        ("get: \"/r/{one_a}/{one_b}\"", "are of the same oneof"),
        (
            "post: \"/s/{one_a}\" body: \"one_b\"",
            "same oneof as the body",
        ),
        ("get: \"/t/{name=/a}\"", "empty segment"),
    ];
    let all: Vec<&str> = cases.iter().map(|(rule, _)| *rule).collect();
    let error = testing::compile(&rules(&all)).unwrap_err();
    assert_eq!(error.problems.len(), cases.len(), "{error}");
    for (index, (problem, (rule, reason))) in error.problems.iter().zip(cases).enumerate() {
        assert_eq!(problem.file, "t.proto");
        assert_eq!(problem.element, format!("t.S.M{index}"));
        assert!(problem.reason.contains(reason), "{rule}: {problem}");
    }
}

#[test]
fn ambiguous_rules_name_both_places() {
    let proto = rules(&[
        "get: \"/v1/{name=books/*}\"",
        "get: \"/v1/books/{book.name}\"",
        "get: \"/v1/books/*:verb\"",
        "post: \"/v1/books/*\"",
    ]);
    let source = testing::source(&proto);
    let set = testing::descriptor_set_with_lines(&[("t.proto", source)]);
    let error = Schema::compile(&set).unwrap_err();
    let [problem] = error.problems.as_slice() else {
        panic!("{error}")
    };
    let line = |text: &str| source.lines().position(|line| line.contains(text)).unwrap() + 1;
    assert_eq!(problem.line, Some(line("rpc M1(") as u32));
    let other = format!("t.S.M0 in t.proto:{}", line("rpc M0("));
    assert_eq!(problem.element, "t.S.M1");
    assert!(problem.reason.contains(&other), "{problem}");
}

/// Returns the schema of three methods, two of them annotated, with these options.
fn configured(routes: RouteOptions) -> Result<Schema, CompileError> {
    let proto = format!(
        "{MESSAGES}
        service S {{
            rpc Get(In) returns (In) {{ option (google.api.http) = {{ get: \"/get/{{name}}\" }}; }}
            rpc Put(In) returns (In) {{ option (google.api.http) = {{ put: \"/put\" body: \"*\" }}; }}
            rpc Bare(In) returns (In);
        }}
        service Other {{ rpc Bare(In) returns (In); }}"
    );
    let set = testing::descriptor_set(&[("t.proto", testing::source(&proto))]);
    let options = Options {
        routes,
        ..Options::default()
    };
    Schema::compile_with(&set, options)
}

fn rule(selector: &str, http_method: &str, path: &str) -> HttpRule {
    HttpRule {
        selector: selector.into(),
        http_method: http_method.into(),
        path: path.into(),
        ..HttpRule::default()
    }
}

/// Returns the path of the method that accepts the request.
fn takes(schema: &Schema, method: http::Method, path: &str) -> Option<String> {
    let found = schema.route(&method, path).ok()?;
    Some(found.method().path().to_owned())
}

#[test]
fn configured_rules_replace_annotations_and_the_last_one_counts() {
    let mut last = rule("t.S.Get", "GET", "/new/{name}");
    last.additional_bindings = vec![rule("", "*", "/any")];
    let schema = configured(RouteOptions {
        rules: vec![
            rule("t.S.Get", "GET", "not even a template"),
            rule("t.S.Bare", "PURGE", "/bare"),
            last,
        ],
        ..RouteOptions::default()
    })
    .unwrap();
    let (get, purge) = (
        http::Method::GET,
        http::Method::from_bytes(b"PURGE").unwrap(),
    );
    assert_eq!(takes(&schema, get.clone(), "/new/x").unwrap(), "/t.S/Get");
    assert_eq!(takes(&schema, purge.clone(), "/any").unwrap(), "/t.S/Get");
    assert_eq!(takes(&schema, purge, "/bare").unwrap(), "/t.S/Bare");
    assert_eq!(
        takes(&schema, http::Method::PUT, "/put").unwrap(),
        "/t.S/Put"
    );
    assert_eq!(takes(&schema, get, "/get/x"), None);
}

#[test]
fn faults_of_the_configuration_name_their_rule() {
    let mut nested = rule("t.S.Put", "PUT", "/a");
    nested.additional_bindings = vec![rule("", "PUT", "/b")];
    nested.additional_bindings[0].additional_bindings = vec![rule("", "PUT", "/c")];
    let error = configured(RouteOptions {
        rules: vec![
            rule("t.S.Nope", "GET", "/a"),
            nested,
            rule("t.S.Bare", "GET", "/get/{name}"),
        ],
        default_bindings: DefaultBindings::Services(vec!["t.S".into(), "t.Nope".into()]),
        ..RouteOptions::default()
    })
    .unwrap_err();
    let faults: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
    let expected = [
        ["http.rules[1]: t.S.Put", "can't be nested"],
        [
            "t.proto",
            "t.S.Get: GET \"/get/{name}\" is ambiguous with \"/get/{name}\" of t.S.Bare in http.rules[2]",
        ],
        ["http.rules[0]: t.S.Nope", "no method of this name"],
        [
            "http.default_bindings[1]: t.Nope",
            "no service of this name",
        ],
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, [place, reason]) in faults.iter().zip(expected) {
        assert!(
            fault.starts_with(place) && fault.contains(reason),
            "{fault}"
        );
    }
}

#[test]
fn default_bindings_are_switched_on_by_service() {
    let post = |schema: &Schema, path| takes(schema, http::Method::POST, path).is_some();
    let paths = ["/t.S/Bare", "/t.Other/Bare", "/t.S/Put"];
    let cases = [
        (DefaultBindings::None, false, [false, false, false]),
        (DefaultBindings::All, false, [true, true, false]),
        (
            DefaultBindings::Services(vec!["t.Other".into()]),
            false,
            [false, true, false],
        ),
        (DefaultBindings::All, true, [true, true, true]),
    ];
    for (default_bindings, default_bindings_beside_rules, expected) in cases {
        let schema = configured(RouteOptions {
            default_bindings: default_bindings.clone(),
            default_bindings_beside_rules,
            ..RouteOptions::default()
        })
        .unwrap();
        assert_eq!(
            paths.map(|path| post(&schema, path)),
            expected,
            "{default_bindings:?}"
        );
        if expected[0] {
            let found = schema.route(&http::Method::POST, "/t.S/Bare").unwrap();
            let mut wire = Vec::new();
            found
                .encode_request(None, br#"{"name":"n"}"#, &mut wire)
                .unwrap();
            assert_eq!(wire, b"\x0a\x01n");
        }
    }
    // A rule that has the path already keeps it.
    let schema = configured(RouteOptions {
        rules: vec![rule("t.S.Get", "POST", "/t.S/Bare")],
        default_bindings: DefaultBindings::All,
        ..RouteOptions::default()
    })
    .unwrap();
    assert_eq!(
        takes(&schema, http::Method::POST, "/t.S/Bare").unwrap(),
        "/t.S/Get"
    );
    assert!(
        schema
            .notes()
            .iter()
            .any(|note| note.reason.contains("ambiguous"))
    );
}

/// `google.api.Http` with one rule, as bytes: selector, pattern, body, one additional binding.
#[test]
fn service_configuration_is_read_from_its_message() {
    let delimited = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
    let custom = [delimited(0x0a, b"HEAD"), delimited(0x12, b"/head")].concat();
    let additional = delimited(0x42, &custom);
    let parts = [
        delimited(0x0a, b"t.S.Bare"),
        delimited(0x32, b"/bare/{name}"),
        delimited(0x3a, b"book"),
        delimited(0x5a, &additional),
    ];
    let config = [delimited(0x0a, &parts.concat()), vec![0x10, 1]].concat();
    let mut http = RouteOptions {
        path_decoding: PathDecoding::ExceptReserved,
        ..RouteOptions::default()
    };
    http.add_service_config(&config).unwrap();
    assert_eq!(http.path_decoding, PathDecoding::ExceptSlash);
    let expected = HttpRule {
        body: "book".into(),
        additional_bindings: vec![rule("", "HEAD", "/head")],
        ..rule("t.S.Bare", "PATCH", "/bare/{name}")
    };
    assert_eq!(http.rules, [expected]);
    assert!(http.add_service_config(b"\x0a").is_err());
    let schema = configured(http).unwrap();
    assert_eq!(
        takes(&schema, http::Method::PATCH, "/bare/x").unwrap(),
        "/t.S/Bare"
    );
}

#[test]
fn path_variables_may_lie_inside_the_body() {
    let rule = "patch: \"/v1/{book.name=books/*}\" body: \"book\"";
    assert!(testing::compile(&rules(&[rule])).is_ok());
    assert!(testing::compile(&rules(&["get: \"/v1/{time}/{number}\""])).is_ok());
}

#[test]
fn streams_have_routes_as_other_methods_have() {
    let schema = testing::compile(&format!(
        "{MESSAGES} service S {{
            rpc Up(stream In) returns (In) {{ option (google.api.http) = {{ post: \"/up\" body: \"raw\" }}; }}
            rpc Client(stream In) returns (In) {{ option (google.api.http) = {{ post: \"/c\" body: \"*\" }}; }}
            rpc Both(stream In) returns (stream In) {{ option (google.api.http) = {{ post: \"/b\" body: \"*\" }}; }}
            rpc Down(In) returns (stream In) {{ option (google.api.http) = {{ post: \"/d\" body: \"*\" }}; }}
        }}"
    ))
    .unwrap();
    assert_eq!(schema.notes(), []);
    for (path, kind, is_upload) in [
        ("/up", MethodKind::ClientStreaming, true),
        ("/c", MethodKind::ClientStreaming, false),
        ("/b", MethodKind::BidiStreaming, false),
        ("/d", MethodKind::ServerStreaming, false),
    ] {
        let found = schema.route(&http::Method::POST, path).unwrap();
        assert_eq!(found.method().kind(), kind, "{path}");
        assert_eq!(found.route().is_upload(), is_upload, "{path}");
    }
}

#[test]
fn surprises_are_notes() {
    let cases = [
        (
            "delete: \"/a\" body: \"*\"",
            "many clients and proxies drop",
        ),
        (
            "custom: { kind: \"HEAD\" path: \"/b\" } body: \"book\"",
            "many clients",
        ),
        ("get: \"/c/{name=**}/d\"", "continues after '**'"),
        ("custom: { kind: \"get\" path: \"/d\" }", "is not GET"),
    ];
    let all: Vec<&str> = cases.iter().map(|(rule, _)| *rule).collect();
    let schema = testing::compile(&rules(&all)).unwrap();
    assert_eq!(schema.notes().len(), cases.len(), "{:?}", schema.notes());
    for (index, (note, (rule, reason))) in schema.notes().iter().zip(cases).enumerate() {
        assert_eq!(note.element, format!("t.S.M{index}"));
        assert!(note.reason.contains(reason), "{rule}: {note}");
    }
    let schema = testing::compile(
        "message K { string key = 1; string alt = 2; repeated string fields = 3; string quota_user = 4; K access_token = 5; }
        service S {
            rpc A(K) returns (K) { option (google.api.http) = { get: \"/a/{alt}\" }; }
            rpc B(K) returns (K) { option (google.api.http) = { post: \"/b\" body: \"*\" }; }
        }",
    )
    .unwrap();
    let notes: Vec<String> = schema.notes().iter().map(ToString::to_string).collect();
    assert_eq!(notes.len(), 3, "{notes:?}");
    for (note, name) in notes.iter().zip(["'key'", "'fields'", "'quotaUser'"]) {
        assert!(note.contains(name) && note.contains("t.S.A"), "{note}");
    }
}

#[test]
fn methods_tell_their_kind_and_promise() {
    let schema = testing::compile(
        "message M {} service S {
            rpc Read(M) returns (M) { option idempotency_level = NO_SIDE_EFFECTS; }
            rpc Put(stream M) returns (M) { option idempotency_level = IDEMPOTENT; }
            rpc Watch(M) returns (stream google.protobuf.Empty);
            rpc Chat(stream M) returns (stream M);
        }",
    )
    .unwrap();
    assert_eq!(schema.services().collect::<Vec<_>>(), ["t.S"]);
    let cases = [
        ("/t.S/Chat", MethodKind::BidiStreaming, Idempotency::Unknown),
        (
            "/t.S/Put",
            MethodKind::ClientStreaming,
            Idempotency::Idempotent,
        ),
        ("/t.S/Read", MethodKind::Unary, Idempotency::NoSideEffects),
        (
            "/t.S/Watch",
            MethodKind::ServerStreaming,
            Idempotency::Unknown,
        ),
    ];
    for (method, (path, kind, idempotency)) in schema.methods().zip(cases) {
        assert_eq!(
            (method.path(), method.kind(), method.idempotency()),
            (path, kind, idempotency)
        );
    }
    assert_eq!(schema.methods().count(), 4);
    let watch = schema.method("/t.S/Watch").unwrap();
    assert_eq!(
        (watch.input(), watch.output()),
        ("t.M", "google.protobuf.Empty")
    );
    assert!(schema.method("/t.S/Nope").is_none());
}

#[test]
fn bytes_that_are_no_descriptor_set_are_one_problem() {
    let error = Schema::compile(b"\xff\xff").unwrap_err();
    assert_eq!(error.problems.len(), 1);
}

#[test]
fn empty_set_still_knows_the_standard_details() {
    let schema = Schema::compile(b"").unwrap();
    let knows = |name: &str| schema.types.by_name.contains_key(name);
    assert!(knows("google.rpc.BadRequest.FieldViolation"));
    assert!(knows("google.rpc.QuotaFailure"));
    assert!(knows("google.protobuf.Timestamp"));
}

#[test]
fn bad_rules_are_reported_with_the_line_of_the_rule() {
    let source = testing::source(
        "message M {}
        service S {
            rpc Good(M) returns (M);
            rpc Bad(M) returns (M) {
                option idempotency_level = IDEMPOTENT;
                option (google.api.http) = { get: \"v1\" };
            }
        }",
    );
    let line = source
        .lines()
        .position(|line| line.contains("google.api.http)"))
        .unwrap()
        + 1;
    let set = testing::descriptor_set_with_lines(&[("t.proto", source)]);
    let error = Schema::compile(&set).unwrap_err();
    let place = format!("t.proto:{line}:17: t.S.Bad: ");
    assert!(error.problems[0].to_string().starts_with(&place), "{error}");
}

/// Returns a set whose own file defines `google.protobuf.StringValue` with one field.
fn own_wrapper(field: &str) -> Result<Schema, descriptors::CompileError> {
    let source =
        format!("syntax = \"proto3\"; package google.protobuf; message StringValue {{ {field} }}");
    Schema::compile(&testing::descriptor_set(&[("own.proto", source.leak())]))
}

#[test]
fn own_definition_of_a_well_known_type_wins_if_it_has_the_standard_fields() {
    assert!(own_wrapper("string value = 1; string more = 2;").is_ok());
    for field in [
        "",
        "string value = 2;",
        "string text = 1;",
        "bytes value = 1;",
        "repeated string value = 1;",
    ] {
        let error = own_wrapper(field).unwrap_err();
        let expected =
            "own.proto: google.protobuf.StringValue: field 1 is not the standard 'value'";
        assert_eq!(error.problems[0].to_string(), expected, "{field}");
    }
}

#[test]
fn malformed_method_options_are_a_problem_of_the_method() {
    use descriptors::proto::{File, FileSet};
    use prost::Message;
    let set = testing::descriptor_set(&[(
        "t.proto",
        testing::source("message M {} service S { rpc Get(M) returns (M); }"),
    )]);
    let mut set = FileSet::decode(&*set).unwrap();
    let last = set.files.last_mut().unwrap();
    let mut file = File::decode(last.clone()).unwrap();
    file.services[0].methods[0].options = vec![b"\x82\xd3\xe4\x93\x02\x09".as_slice().into()];
    *last = file.encode_to_vec().into();
    let error = Schema::compile(&set.encode_to_vec()).unwrap_err();
    assert_eq!(error.problems[0].element, "t.S.Get");
    assert!(error.to_string().contains("malformed options"), "{error}");
}

/// Edition 2023: `message M { M child = 1 [features.message_encoding = DELIMITED]; int32 set = 2;
/// int32 plain = 3 [features.field_presence = IMPLICIT]; repeated int32 many = 4; }`, and a method
/// that takes and gives it.
fn edition_set() -> Vec<u8> {
    use descriptors::proto::{Field, File, FileSet, MessageType, Method, Service};
    use prost::Message;
    let field = |number: i32, name: &str, label: i32, kind: i32, options: &'static [u8]| Field {
        name: name.into(),
        number,
        label,
        kind,
        options: vec![options.into()],
        ..Field::default()
    };
    let child = Field {
        type_name: ".e.M".into(),
        ..field(1, "child", 1, 11, &[0xaa, 1, 2, 0x28, 2])
    };
    let message = MessageType {
        name: "M".into(),
        fields: vec![
            child,
            field(2, "set", 1, 5, &[]),
            field(3, "plain", 1, 5, &[0xaa, 1, 2, 8, 2]),
            field(4, "many", 3, 5, &[]),
        ],
        ..MessageType::default()
    };
    let method = Method {
        name: "Put".into(),
        input_type: ".e.M".into(),
        output_type: ".e.M".into(),
        options: vec![
            b"\x82\xd3\xe4\x93\x02\x07\x22\x02/m\x3a\x01*"
                .as_slice()
                .into(),
        ],
        ..Method::default()
    };
    let file = File {
        name: "e.proto".into(),
        package: "e".into(),
        syntax: "editions".into(),
        edition: 1000,
        messages: vec![message],
        services: vec![Service {
            name: "S".into(),
            methods: vec![method],
            ..Service::default()
        }],
        ..File::default()
    };
    let files = vec![file.encode_to_vec().into()];
    FileSet { files }.encode_to_vec()
}

#[test]
fn messages_of_editions_are_written_as_their_features_say() {
    let schema = Schema::compile(&edition_set()).unwrap();
    let found = schema.route(&http::Method::POST, "/m").unwrap();
    let json = br#"{"child":{"plain":1},"set":0,"plain":0,"many":[1,2]}"#;
    let mut wire = Vec::new();
    found.encode_request(None, json, &mut wire).unwrap();
    // A group; a zero that was sent; no zero without presence; a packed run.
    assert_eq!(wire, [0x0b, 0x18, 1, 0x0c, 0x10, 0, 0x22, 2, 1, 2]);
    let mut back = Vec::new();
    found.route().write_response(&wire, &mut back).unwrap();
    let expected = r#"{"child":{"plain":1},"set":0,"many":[1,2]}"#;
    assert_eq!(String::from_utf8(back).unwrap(), expected);
}
