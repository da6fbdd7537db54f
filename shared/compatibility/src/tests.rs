//! One change each, and what it breaks.

use std::sync::Arc;

use descriptors::{NameOptions, Types};
use routes::{RouteOptions, Routes};
use samples::{descriptor_set, ruled, source};
use validation::{Validation, ValidationOptions};

use super::*;

const SERVICE: &str = "
service S {
  rpc Get(In) returns (Out) {
    option (google.api.http) = {get: \"/v1/{id}\" additional_bindings {post: \"/v1\" body: \"*\"}};
  }
}
";

/// The compiled parts of a contract.
struct Compiled {
    set: Vec<u8>,
    types: Arc<Types>,
    routes: Routes,
    validation: Validation,
}

impl Compiled {
    fn new(set: Vec<u8>) -> Self {
        let loaded = descriptors::load(&set).unwrap();
        let types = Arc::new(Types::new(&loaded.pool, NameOptions::default()));
        let mut problems = loaded.problems;
        let options = ValidationOptions::default();
        let validation = Validation::new(&loaded.pool, types.clone(), &options, &mut problems);
        let options = RouteOptions::default();
        let routes = Routes::compile(&loaded.pool, &types, &options, &mut problems);
        assert_eq!(problems, []);
        Compiled {
            set,
            types,
            routes,
            validation,
        }
    }

    fn contract<'a>(&'a self, is_served: &'a dyn Fn(&str) -> bool) -> Contract<'a> {
        Contract {
            descriptor_set: &self.set,
            types: &self.types,
            routes: &self.routes,
            validation: &self.validation,
            is_served,
        }
    }
}

/// Returns the changes from one body of a file to the other, as `RULE element: before → after`.
fn broken(before: &str, after: &str) -> Vec<String> {
    let compiled = [before, after].map(|body| {
        let has_rules = body.contains("buf.validate");
        let file = if has_rules { ruled(body) } else { source(body) };
        Compiled::new(descriptor_set(&[("t.proto", file)]))
    });
    let served = |service: &str| service != "t.Idle";
    let [before, after] = compiled
        .each_ref()
        .map(|compiled| compiled.contract(&served));
    let changes = breaking_changes(before, after).unwrap();
    let shown = changes.iter().map(|change| {
        assert!(
            change.file.is_empty() || change.file == "t.proto",
            "{change}"
        );
        let (rule, element) = (change.rule.as_str(), &change.element);
        format!("{rule} {element}: {} → {}", change.before, change.after)
    });
    shown.collect()
}

/// [`broken`] between two bodies of the request message.
fn in_request(before: &str, after: &str) -> Vec<String> {
    let [before, after] = [before, after].map(|fields| {
        format!("{SERVICE} message In {{ string id = 1; {fields} }} message Out {{}} {MORE}")
    });
    broken(&before, &after)
}

fn in_response(before: &str, after: &str) -> Vec<String> {
    let [before, after] = [before, after].map(|fields| {
        format!("{SERVICE} message In {{ string id = 1; }} message Out {{ {fields} }} {MORE}")
    });
    broken(&before, &after)
}

const MORE: &str =
    "message M { string a = 1; } message N { string a = 1; } enum E { E_NONE = 0; E_ONE = 1; }";

#[track_caller]
fn same(found: Vec<String>, expected: &[&str]) {
    assert_eq!(found, expected);
}

#[test]
fn what_is_added_breaks_nothing() {
    let before = format!(
        "{SERVICE} message In {{ string id = 1; }} message Out {{ E e = 1; }} enum E {{ A = 0; }}"
    );
    let after = format!(
        "{SERVICE} message In {{ string id = 1; int32 n = 2; repeated M m = 3; }} message M {{ M m = 1; }}
         message Out {{ E e = 1; string more = 2; }} enum E {{ A = 0; B = 1; }}
         service T {{ rpc Put(In) returns (Out) {{ option (google.api.http) = {{put: \"/v1/{{id}}\"}}; }} }}"
    );
    same(broken(&before, &after), &[]);
    same(broken(&before, &before), &[]);
}

#[test]
fn a_method_that_is_gone_or_another() {
    let types = "message In { string id = 1; } message Out {} message Other { string id = 1; }";
    let service = |methods: &str| format!("service S {{ {methods} }} {types}");
    let get = service("rpc Get(In) returns (Out);");
    same(
        broken(&get, &service("rpc Find(In) returns (Out);")),
        &["METHOD_REMOVED t.S.Get: served → not served"],
    );
    same(
        broken(&get, &service("rpc Get(In) returns (stream Out);")),
        &["METHOD_KIND t.S.Get: unary → server streaming"],
    );
    same(
        broken(&get, &service("rpc Get(Other) returns (Out);")),
        &["REQUEST_TYPE t.S.Get: t.In → t.Other"],
    );
    same(
        broken(&get, &service("rpc Get(In) returns (Other);")),
        &["RESPONSE_TYPE t.S.Get: t.Out → t.Other"],
    );
    let reads =
        service("rpc Get(In) returns (Out) { option idempotency_level = NO_SIDE_EFFECTS; }");
    same(
        broken(&reads, &get),
        &["IDEMPOTENCY t.S.Get: NoSideEffects → Unknown"],
    );
    same(broken(&get, &reads), &[]);
}

#[test]
fn a_service_that_is_not_served_is_nobodys_loss() {
    let before = "service Idle { rpc Get(In) returns (In); } message In { string id = 1; }";
    same(broken(before, "message In { int32 id = 2; }"), &[]);
}

#[test]
fn a_route_that_is_gone_or_another() {
    let api = |rule: &str| {
        format!(
            "service S {{ rpc Get(In) returns (Out) {{ option (google.api.http) = {{ {rule} }}; }} }}
             message In {{ string id = 1; M m = 2; string other = 3; }} message Out {{ M m = 1; }} message M {{ string id = 1; }}"
        )
    };
    let before = api("post: \"/v1/{id}\" body: \"m\" response_body: \"m\"");
    same(broken(&before, &before), &[]);
    same(
        broken(
            &before,
            &api("post: \"/v2/{id}\" body: \"m\" response_body: \"m\""),
        ),
        &["ROUTE_REMOVED t.S.Get: POST /v1/{id} → POST /v2/{id}"],
    );
    same(
        broken(
            &before,
            &api("put: \"/v1/{id}\" body: \"m\" response_body: \"m\""),
        ),
        &["ROUTE_REMOVED t.S.Get: POST /v1/{id} → PUT /v1/{id}"],
    );
    same(
        broken(
            &before,
            &api("custom: { kind: \"*\" path: \"/v1/{id}\" } body: \"m\" response_body: \"m\""),
        ),
        &[],
    );
    same(
        broken(
            &before,
            &api("post: \"/v1/{id}\" body: \"*\" response_body: \"m\""),
        ),
        &["ROUTE_BODY t.S.Get: POST /v1/{id}: body m → body *"],
    );
    same(
        broken(&before, &api("post: \"/v1/{id}\" body: \"m\"")),
        &["ROUTE_RESPONSE_BODY t.S.Get: POST /v1/{id}: response body m → the whole response"],
    );
    same(
        broken(
            &before,
            &api("post: \"/v1/{other}\" body: \"m\" response_body: \"m\""),
        ),
        &[
            "ROUTE_VARIABLES t.S.Get: POST /v1/{id}: id from segments 1..2 → other from segments 1..2",
        ],
    );
}

#[test]
fn a_field_that_is_gone_counts_unless_it_is_reserved() {
    same(
        in_response("string a = 7;", ""),
        &["FIELD_REMOVED t.Out.a: a = 7 → neither present nor reserved"],
    );
    same(
        in_response("string a = 7;", "reserved 7;"),
        &["FIELD_REMOVED t.Out.a: a = 7 → neither present nor reserved"],
    );
    same(
        in_response("string a = 7;", "reserved 5 to 7; reserved \"a\";"),
        &[],
    );
}

#[test]
fn a_field_that_is_another() {
    same(
        in_request("string a = 7;", "string a = 8;"),
        &["FIELD_NUMBER t.In.a: 7 → 8"],
    );
    same(
        in_request("string a_b = 7;", "string a_b = 7 [json_name = \"x\"];"),
        &["FIELD_NAME t.In.a_b: a_b (JSON aB) → a_b (JSON x)"],
    );
    same(
        in_request("string a = 7;", "string b = 7;"),
        &["FIELD_NAME t.In.a: a (JSON a) → b (JSON b)"],
    );
    same(
        in_request("int32 a = 7;", "int64 a = 7;"),
        &["FIELD_TYPE t.In.a: int32 → int64"],
    );
    same(
        in_request("M a = 7;", "N a = 7;"),
        &["FIELD_TYPE t.In.a: t.M → t.N"],
    );
    same(
        in_request("int32 a = 7;", "repeated int32 a = 7;"),
        &["FIELD_CARDINALITY t.In.a: singular → repeated"],
    );
    same(in_request("int32 a = 7;", "optional int32 a = 7;"), &[]);
    same(
        in_request(
            "repeated int32 a = 7;",
            "repeated int32 a = 7 [packed = false];",
        ),
        &[],
    );
    same(
        in_request("map<string, int32> a = 7;", "map<string, int64> a = 7;"),
        &["FIELD_TYPE t.In.AEntry.value: int32 → int64"],
    );
}

#[test]
fn a_oneof_that_is_joined_or_left() {
    same(
        in_request(
            "string a = 7; string b = 8;",
            "oneof o { string a = 7; string b = 8; }",
        ),
        &[
            "FIELD_ONEOF t.In.a: independent → one of it and b",
            "FIELD_ONEOF t.In.b: independent → one of it and a",
        ],
    );
    same(
        in_request(
            "oneof o { string a = 7; }",
            "oneof p { string a = 7; string b = 8; }",
        ),
        &[],
    );
}

#[test]
fn values_of_an_enum() {
    let values = |before: &str, after: &str| {
        let [before, after] = [before, after].map(|values| {
            format!("{SERVICE} message In {{ string id = 1; repeated E e = 2; }} message Out {{}} enum E {{ NONE = 0; {values} }}")
        });
        broken(&before, &after)
    };
    same(
        values("ONE = 1;", ""),
        &["ENUM_VALUE_REMOVED t.E.ONE: ONE = 1 → neither present nor reserved"],
    );
    same(values("ONE = 1;", "reserved 1; reserved \"ONE\";"), &[]);
    same(
        values("ONE = 1;", "ONE = 2;"),
        &["ENUM_VALUE_NUMBER t.E.ONE: 1 → 2"],
    );
    same(
        values("ONE = 1;", "UNO = 1;"),
        &["ENUM_VALUE_NAME t.E.ONE: ONE → UNO"],
    );
}

#[test]
fn what_is_required_of_callers_and_what_they_rely_on() {
    let compiled = |fields: &str| {
        let body = format!(
            "syntax = \"proto2\"; package t; message In {{ {fields} }}
             service S {{ rpc Put(In) returns (stream Empty); rpc Get(Empty) returns (In); }} message Empty {{}}"
        );
        Compiled::new(descriptor_set(&[("t.proto", body.leak())]))
    };
    let broken = |before: &str, after: &str| {
        let (before, after) = (compiled(before), compiled(after));
        let before = before.contract(&|_| true);
        let after = after.contract(&|_| true);
        let changes = breaking_changes(before, after).unwrap();
        changes.iter().map(BreakingChange::to_string).collect()
    };
    same(
        broken("optional int32 a = 1;", "required int32 a = 1;"),
        &["t.proto: t.In.a: FIELD_REQUIRED: optional → required"],
    );
    same(
        broken("", "required int32 a = 1;"),
        &["t.proto: t.In.a: FIELD_REQUIRED: absent → required"],
    );
    same(
        broken("required int32 a = 1;", "optional int32 a = 1;"),
        &["t.proto: t.In.a: FIELD_REQUIRED: required → optional"],
    );
}

#[test]
fn rules_that_refuse_what_was_valid() {
    let rules = |before: &str, after: &str| {
        let field = |rules: &str| match rules {
            "" => "string a = 7; repeated int32 n = 8; int32 i = 9;".to_owned(),
            rules => rules.to_owned(),
        };
        in_request(&field(before), &field(after)).len()
    };
    let string = |rule: &str| format!("string a = 7 [(buf.validate.field).string.{rule}];");
    let int = |rule: &str| format!("int32 i = 9 [(buf.validate.field).int32 = {{{rule}}}];");
    for (looser, tighter) in [
        (
            "string a = 7;".to_owned(),
            "string a = 7 [(buf.validate.field).required = true];".to_owned(),
        ),
        ("string a = 7;".to_owned(), string("min_len = 2")),
        (string("min_len = 2"), string("min_len = 3")),
        (string("max_len = 9"), string("max_len = 8")),
        (string("prefix = \"a\""), string("prefix = \"ab\"")),
        ("int32 i = 9;".to_owned(), int("lte: 3")),
        (int("lte: 3"), int("lt: 3")),
        (int("lte: 3"), int("gte: 0 lte: 3")),
        (int("in: [0, 1, 2]"), int("in: [0, 1]")),
        (int("not_in: [1]"), int("not_in: [1, 2]")),
        (
            "repeated int32 n = 8;".to_owned(),
            "repeated int32 n = 8 [(buf.validate.field).repeated.max_items = 1];".to_owned(),
        ),
        (
            "repeated int32 n = 8;".to_owned(),
            "repeated int32 n = 8 [(buf.validate.field).repeated.items.int32.lt = 1];".to_owned(),
        ),
        (
            "repeated int32 n = 8;".to_owned(),
            "repeated int32 n = 8 [(buf.validate.field).repeated.unique = true];".to_owned(),
        ),
        (
            "oneof o { string a = 7; }".to_owned(),
            "oneof o { option (buf.validate.oneof).required = true; string a = 7; }".to_owned(),
        ),
        (
            String::from("string a = 7;"),
            format!(
                "string a = 7; {}",
                "string b = 10 [(buf.validate.field).required = true];"
            ),
        ),
    ] {
        assert_eq!(rules(&looser, &tighter), 1, "{looser} to {tighter}");
        if !tighter.contains(" b = 10") {
            assert_eq!(rules(&tighter, &looser), 0, "{tighter} to {looser}");
        }
    }
    assert_eq!(
        rules(&string("pattern = \"a\""), &string("pattern = \"b\"")),
        1
    );
    // What only the upstream sends is not checked.
    let tighter = string("min_len = 2");
    same(in_response("string a = 7;", &tighter), &[]);
}

#[test]
fn a_set_of_another_schema_is_refused() {
    let set = descriptor_set(&[("t.proto", source("message M {}"))]);
    let compiled = Compiled::new(set);
    let own = compiled.contract(&|_| true);
    let other = Contract {
        descriptor_set: &[],
        ..own
    };
    assert!(breaking_changes(own, own).unwrap().is_empty());
    assert!(breaking_changes(own, other).is_err());
}

/// Returns [`breaking_facts`] between two bodies of a file with the event option.
fn broken_facts(before: &str, after: &str) -> Vec<String> {
    let compiled = [before, after].map(|body| {
        let options = include_str!("../../compiler/proto/mesh/v1/options.proto");
        let file =
            format!("syntax = \"proto3\"; package t.v1; import \"mesh/v1/options.proto\"; {body}");
        let files = [
            ("mesh/v1/options.proto", options),
            ("t.proto", &*file.leak()),
        ];
        Compiled::new(descriptor_set(&files))
    });
    let served = |_: &str| true;
    let [before, after] = compiled.each_ref().map(|own| own.contract(&served));
    let changes = breaking_facts(before, after).unwrap();
    let shown = changes.iter().map(ToString::to_string);
    shown.collect()
}

const PAID: &str = "message Paid { option (mesh.v1.event) = {aggregate: \"order\" key: \"order_id\"}; \
     string order_id = 1; string customer_id = 2; int64 cents = 3; Address to = 4; } \
     message Address { string street = 1; } message Idle { string a = 1; }";

#[test]
fn events_that_are_stored_must_stay_readable_under_their_type_subject_and_key() {
    let cases: [(&str, &str, &[&str]); 9] = [
        ("int64 cents = 3", "int64 cents = 3; string note = 5", &[]),
        (
            "int64 cents = 3",
            "string cents = 3",
            &["t.proto: t.v1.Paid.cents: FIELD_TYPE: int64 → string"],
        ),
        (
            "int64 cents = 3;",
            "",
            &["t.proto: t.v1.Paid.cents: FIELD_REMOVED: cents = 3 → neither present nor reserved"],
        ),
        ("int64 cents = 3;", "reserved 3; reserved \"cents\";", &[]),
        (
            "int64 cents = 3",
            "int64 points = 3",
            &["t.proto: t.v1.Paid.cents: FIELD_NAME: cents (JSON cents) → points (JSON points)"],
        ),
        (
            "string street = 1",
            "bytes street = 1",
            &["t.proto: t.v1.Address.street: FIELD_TYPE: string → bytes"],
        ),
        (
            "\"order\"",
            "\"sale\"",
            &["t.proto: t.v1.Paid: EVENT_AGGREGATE: order → sale"],
        ),
        (
            "key: \"order_id\"",
            "key: \"customer_id\"",
            &["t.proto: t.v1.Paid: EVENT_KEY: order_id → customer_id"],
        ),
        (
            "message Paid",
            "message OrderPaid",
            &["t.proto: t.v1.Paid: EVENT_REMOVED: an event → gone"],
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(
            broken_facts(PAID, &PAID.replace(from, to)),
            expected,
            "{to}"
        );
    }
    assert_eq!(
        broken_facts(PAID, &PAID.replace("string a", "int64 a")),
        [""; 0]
    );
}

/// Returns the changes of access from one rule of a method to the other.
fn access(before: &str, after: &str) -> Vec<String> {
    let compiled = [before, after].map(|rule| {
        let option = match rule {
            "" => String::new(),
            rule => format!("option (mesh.v1.access) = {{{rule}}};"),
        };
        let body = format!(
            "syntax = \"proto3\"; package t; import \"mesh/v1/options.proto\"; message M {{}} \
             service S {{ rpc Get(M) returns (M) {{ {option} }} }}"
        );
        Compiled::new(descriptor_set(&[("t.proto", body.leak())]))
    });
    let all = |_: &str| true;
    let [before, after] = compiled.each_ref().map(|compiled| compiled.contract(&all));
    let changes = access_changes(before, after).unwrap();
    let breaking = breaking_changes(before, after).unwrap();
    assert_eq!(breaking, [], "they wait for nobody");
    changes.iter().map(ToString::to_string).collect()
}

#[test]
fn who_may_call_is_compared_both_ways() {
    let (narrowed, widened) = ("ACCESS_NARROWED", "ACCESS_WIDENED");
    let cases: [(&str, &str, &[&str]); 15] = [
        ("public: true", "public: true", &[]),
        ("roles: [\"a\", \"b\"]", "roles: [\"b\", \"a\"]", &[]),
        ("roles: \"a\"", "public: true", &[widened]),
        ("roles: \"a\"", "authenticated: true", &[widened]),
        ("authenticated: true", "public: true", &[widened]),
        ("public: true", "authenticated: true", &[narrowed]),
        ("authenticated: true", "scopes: \"s\"", &[narrowed]),
        ("roles: [\"a\", \"b\"]", "roles: \"a\"", &[narrowed]),
        ("roles: \"a\"", "roles: \"b\"", &[narrowed, widened]),
        ("roles: \"a\"", "roles: \"a\" scopes: \"s\"", &[narrowed]),
        ("roles: \"a\" scopes: \"s\"", "scopes: \"s\"", &[widened]),
        (
            "roles: \"a\"",
            "roles: \"a\" condition: \"request == request\"",
            &[narrowed],
        ),
        ("", "roles: \"a\"", &[]),
        ("", "public: true", &[widened]),
        ("roles: \"a\"", "", &[narrowed]),
    ];
    for (before, after, expected) in cases {
        let found = access(before, after);
        let rules: Vec<&str> = found
            .iter()
            .map(|change| change.split(": ").nth(2).unwrap())
            .collect();
        assert_eq!(rules, expected, "{before} → {after}: {found:?}");
    }
    assert_eq!(
        access("roles: \"a\" scopes: \"s\"", "public: true"),
        ["t.proto: t.S.Get: ACCESS_WIDENED: roles a and scopes s → everyone"]
    );
}
