//! Masks, and what is left of a response.

use http::Method;

use crate::{EmitDefaults, JsonOptions, Options, Rule, Schema, testing};

const PROTO: &str = "
    message Money { string currency_code = 1; int64 units = 2; Money tax = 3; }
    message Line { string sku = 1; string display_title = 2; Money price = 3; }
    message Order { string id = 1; int32 count = 2; repeated Line lines = 3; map<string, Money> fees = 4;
      map<string, string> labels = 5; google.protobuf.Timestamp placed_at = 6; google.protobuf.Struct extra = 7;
      oneof by { string name = 8; Money money = 9; } repeated int32 numbers = 10; }
    service S {
      rpc Get(Order) returns (Order) { option (google.api.http) = {
        post: \"/order\" body: \"*\"
        additional_bindings { post: \"/lines\" body: \"*\" response_body: \"lines\" }
        additional_bindings { post: \"/fees\" body: \"*\" response_body: \"fees\" }
        additional_bindings { post: \"/id\" body: \"*\" response_body: \"id\" }
      }; }
    }
";

const ORDER: &str = r#"{"id":"o1","count":2,"lines":[{"sku":"a","displayTitle":"A","price":{"currencyCode":"EUR","units":"1"}},
    {"sku":"b","price":{"units":"2","tax":{"units":"3"}}}],"fees":{"x":{"currencyCode":"USD","units":"4"},"y":{}},
    "labels":{"k":"v"},"placedAt":"2026-01-02T03:04:05Z","extra":{"a":{"b":1.5}},"name":"n","numbers":[1,2]}"#;

fn masked(schema: &Schema, path: &str, mask: &str) -> String {
    let found = schema.route(&Method::POST, path).unwrap();
    let mut wire = Vec::new();
    found
        .encode_request(None, ORDER.as_bytes(), &mut wire)
        .unwrap();
    show(schema, path, mask, &wire)
}

fn show(schema: &Schema, path: &str, mask: &str, wire: &[u8]) -> String {
    let route = schema.route(&Method::POST, path).unwrap().route();
    match route.fields(mask) {
        Err(error) => format!("{}: {error}", error.rule.as_str()),
        Ok(fields) => {
            let mut json = Vec::new();
            route
                .write_response_fields(&fields, wire, &mut json)
                .unwrap();
            String::from_utf8(json).unwrap()
        }
    }
}

/// Path, mask, and what is left.
const MASKS: [(&str, &str, &str); 18] = [
    ("/order", "id", r#"{"id":"o1"}"#),
    ("/id", "*", r#""o1""#),
    ("/order", "count,id", r#"{"id":"o1","count":2}"#),
    (
        "/order",
        "lines.sku",
        r#"{"lines":[{"sku":"a"},{"sku":"b"}]}"#,
    ),
    (
        "/order",
        "lines/sku",
        r#"{"lines":[{"sku":"a"},{"sku":"b"}]}"#,
    ),
    (
        "/order",
        " id , lines( sku , price.units ) ",
        r#"{"id":"o1","lines":[{"sku":"a","price":{"units":"1"}},{"sku":"b","price":{"units":"2"}}]}"#,
    ),
    (
        "/order",
        "lines(display_title,price(tax(units)))",
        r#"{"lines":[{"displayTitle":"A","price":{}},{"price":{"tax":{"units":"3"}}}]}"#,
    ),
    (
        "/order",
        "fees.units",
        r#"{"fees":{"x":{"units":"4"},"y":{}}}"#,
    ),
    (
        "/order",
        "labels,placed_at",
        r#"{"labels":{"k":"v"},"placedAt":"2026-01-02T03:04:05Z"}"#,
    ),
    (
        "/order",
        "extra,numbers",
        r#"{"extra":{"a":{"b":1.5}},"numbers":[1,2]}"#,
    ),
    ("/order", "name,money", r#"{"name":"n"}"#),
    (
        "/order",
        "lines.price.tax.*,id",
        r#"{"id":"o1","lines":[{"price":{}},{"price":{"tax":{"units":"3"}}}]}"#,
    ),
    (
        "/order",
        "lines.sku,lines.price.tax,lines(sku)",
        r#"{"lines":[{"sku":"a","price":{}},{"sku":"b","price":{"tax":{"units":"3"}}}]}"#,
    ),
    (
        "/order",
        "fees(units),fees",
        r#"{"fees":{"x":{"currencyCode":"USD","units":"4"},"y":{}}}"#,
    ),
    (
        "/order",
        "fees,fees.units",
        r#"{"fees":{"x":{"currencyCode":"USD","units":"4"},"y":{}}}"#,
    ),
    ("/lines", "sku", r#"[{"sku":"a"},{"sku":"b"}]"#),
    (
        "/fees",
        "currencyCode",
        r#"{"x":{"currencyCode":"USD"},"y":{}}"#,
    ),
    ("/id", "", r#""o1""#),
];

#[test]
fn only_chosen_fields_are_written() {
    let schema = testing::compile(PROTO).unwrap();
    for (path, mask, expected) in MASKS {
        assert_eq!(masked(&schema, path, mask), expected, "{mask}");
    }
}

#[test]
fn masks_that_choose_everything_change_nothing() {
    let schema = testing::compile(PROTO).unwrap();
    let whole = masked(&schema, "/order", "");
    assert!(whole.len() > 200);
    for mask in [
        " ",
        "*",
        "id,*",
        "id,count,lines,fees,labels,placedAt,extra,name,money,numbers",
    ] {
        assert_eq!(masked(&schema, "/order", mask), whole, "{mask}");
    }
}

/// Path, mask, and the error.
const BAD_MASKS: [(&str, &str, &str); 14] = [
    (
        "/order",
        "nope",
        "UNKNOWN_FIELD: nope: the response has no such field",
    ),
    (
        "/order",
        "id,lines(sku,nope)",
        "UNKNOWN_FIELD: lines.nope: the response has no such field",
    ),
    (
        "/order",
        "lines.price.nope.x",
        "UNKNOWN_FIELD: lines.price.nope: the response has no such field",
    ),
    (
        "/order",
        "id.x",
        "UNKNOWN_FIELD: id.x: the response has no such field",
    ),
    (
        "/order",
        "labels.k",
        "UNKNOWN_FIELD: labels.k: the response has no such field",
    ),
    (
        "/order",
        "placedAt.seconds",
        "UNKNOWN_FIELD: placedAt.seconds: the response has no such field",
    ),
    (
        "/order",
        "extra.a",
        "UNKNOWN_FIELD: extra.a: the response has no such field",
    ),
    (
        "/order",
        "lines,lines.nope",
        "UNKNOWN_FIELD: lines.nope: the response has no such field",
    ),
    (
        "/order",
        "id,",
        "UNKNOWN_FIELD: the response has no such field",
    ),
    (
        "/order",
        "lines()",
        "UNKNOWN_FIELD: lines.: the response has no such field",
    ),
    (
        "/order",
        "lines(sku",
        "INVALID_VALUE: lines: expected ',' or ')' in a response mask",
    ),
    (
        "/order",
        "id)",
        "INVALID_VALUE: expected ',' in a response mask",
    ),
    (
        "/order",
        "*.id",
        "INVALID_VALUE: expected ',' in a response mask",
    ),
    (
        "/id",
        "id",
        "UNKNOWN_FIELD: id: the response has no such field",
    ),
];

#[test]
fn bad_masks_name_the_path() {
    let schema = testing::compile(PROTO).unwrap();
    for (path, mask, expected) in BAD_MASKS {
        assert_eq!(masked(&schema, path, mask), expected, "{mask}");
    }
}

#[test]
fn masks_are_bounded() {
    let schema = testing::compile(PROTO).unwrap();
    let found = schema.route(&Method::POST, "/order").unwrap();
    let deep = format!("money({}", "tax(".repeat(1000));
    for mask in ["id,".repeat(10_000), deep] {
        let error = found.route().fields(&mask).unwrap_err();
        assert_eq!(error.rule, Rule::LimitExceeded);
    }
}

#[test]
fn defaults_are_shown_of_chosen_fields_alone() {
    let options = Options {
        json: JsonOptions {
            emit_defaults: EmitDefaults::All,
            ..JsonOptions::default()
        },
        ..Options::default()
    };
    let schema = testing::compile_with(PROTO, options);
    assert_eq!(
        show(&schema, "/order", "count,lines,money", b""),
        r#"{"count":0,"lines":[]}"#
    );
}

/// Out of order, with a oneof whose last member is not chosen.
#[test]
fn disorder_and_overwritten_members_are_seen_through() {
    let schema = testing::compile(PROTO).unwrap();
    let wire = b"\x42\x01n\x10\x02\x0a\x01o\x4a\x02\x10\x01";
    assert_eq!(show(&schema, "/order", "id,name", wire), r#"{"id":"o"}"#);
    assert_eq!(
        show(&schema, "/order", "id,money", wire),
        r#"{"id":"o","money":{"units":"1"}}"#
    );
}
