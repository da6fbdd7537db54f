//! Each rule against values on both sides of it.

mod cel;
mod fast;
mod scalars;
mod shapes;
mod wire;

use std::time::{Duration, SystemTime};

use descriptors::CompileError;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

use crate::{Clock, Validation, ValidationOptions, Validator, Violations};

const NOW: u64 = 1_800_000_000;

fn options() -> ValidationOptions {
    ValidationOptions {
        clock: Some(Clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(NOW))),
        ..ValidationOptions::default()
    }
}

/// A contract: prost-reflect turns JSON into bytes, and its rules judge them.
struct World {
    judge: Validation,
    scribe: DescriptorPool,
    /// The message under test.
    subject: String,
    refuses_nul: bool,
}

const TYPES: &str = "
    enum Size { NONE = 0; SMALL = 1; LARGE = 5; }
    message Line { string sku = 1 [(buf.validate.field).string.min_len = 1]; int64 quantity = 2; }
    message Plain { string text = 1; }
";

fn set(body: &str) -> Vec<u8> {
    samples::descriptor_set(&[("t.proto", samples::ruled(&format!("{TYPES} {body}")))])
}

fn compile(body: &str) -> Result<Validation, CompileError> {
    Validation::compile(&set(body), &options())
}

impl World {
    fn new(body: &str) -> World {
        let set = set(body);
        World {
            judge: Validation::compile(&set, &options()).unwrap(),
            scribe: DescriptorPool::decode(&*set).unwrap(),
            subject: "t.M".to_owned(),
            refuses_nul: false,
        }
    }

    fn wire(&self, json: &str) -> Vec<u8> {
        let message = self.scribe.get_message_by_name(&self.subject).unwrap();
        let mut text = serde_json::Deserializer::from_str(json);
        let message = DynamicMessage::deserialize(message, &mut text)
            .unwrap_or_else(|error| panic!("{json}: {error}"));
        message.encode_to_vec()
    }

    /// `path rule` of each violation.
    fn found(&self, json: &str) -> Vec<String> {
        let wire = self.wire(json);
        let violations = self.check(&wire);
        // What an encoder writes is never left to the walk unless something is wrong with it.
        assert_eq!(fast::passes(self, &wire), violations.is_empty(), "{json}");
        listed(&violations)
    }

    fn validator(&self) -> Validator {
        self.judge.validator(&self.subject).unwrap()
    }

    fn check(&self, wire: &[u8]) -> Violations {
        self.validator().check(wire).unwrap()
    }
}

fn listed(violations: &Violations) -> Vec<String> {
    let list = violations.listed.iter();
    list.map(|violation| format!("{} {}", violation.path, violation.rule))
        .collect()
}

/// Fields named `v`, each in a message of its own, with values that pass and values that break a
/// rule.
#[derive(Default)]
struct Rows {
    rows: Vec<Row>,
}

struct Row {
    field: String,
    passes: Vec<String>,
    fails: Vec<(String, String)>,
}

impl Rows {
    fn add(&mut self, field: &str, passes: &[&str], fails: &[(&str, &str)]) {
        let body = |value: &str| match value {
            "" => "{}".to_owned(),
            value => format!("{{\"v\": {value}}}"),
        };
        let id = |rule: &str| match rule.contains(' ') {
            true => rule.to_owned(),
            false => format!("v {rule}"),
        };
        self.rows.push(Row {
            field: field.to_owned(),
            passes: passes.iter().map(|value| body(value)).collect(),
            fails: fails
                .iter()
                .map(|(value, rule)| (body(value), id(rule)))
                .collect(),
        });
    }

    fn check(self) {
        let mut body = "message M {} ".to_owned();
        for (index, row) in self.rows.iter().enumerate() {
            body += &format!("message M{index} {{ {} }}", row.field);
        }
        let mut world = World::new(&body);
        for (index, row) in self.rows.iter().enumerate() {
            world.subject = format!("t.M{index}");
            for json in &row.passes {
                assert_eq!(world.found(json), [""; 0], "{}: {json}", row.field);
            }
            for (json, expected) in &row.fails {
                assert_eq!(
                    world.found(json).join(", "),
                    *expected,
                    "{}: {json}",
                    row.field
                );
            }
        }
    }
}

fn rule(kind: &str, rules: &str) -> String {
    format!("{kind} v = 1 [(buf.validate.field).{rules}];")
}

#[test]
fn paths_use_json_names_at_any_depth() {
    let world = World::new(
        "message M { repeated Item order_items = 1; M inner_one = 2; }
         message Item { map<string, Price> price_list = 1; }
         message Price { int64 unit_count = 1 [(buf.validate.field).int64.gt = 0]; }",
    );
    let json = r#"{"innerOne": {"innerOne": {"orderItems": [{}, {"priceList": {"k": {}}}]}}}"#;
    assert_eq!(
        world.found(json),
        [r#"innerOne.innerOne.orderItems[1].priceList["k"].unitCount int64.gt"#]
    );
}

#[test]
fn violations_are_listed_up_to_a_bound_and_counted_beyond() {
    let world = World::new(
        "message M { repeated int32 v = 1 [(buf.validate.field).repeated.items.int32.lt = 0]; }",
    );
    let many = vec!["1"; 200].join(",");
    let violations = world.check(&world.wire(&format!("{{\"v\": [{many}]}}")));
    assert_eq!((violations.listed.len(), violations.more), (64, 136));
    assert_eq!(
        violations.to_string(),
        "v[0]: must be less than 0 (and 199 more)"
    );
}

#[test]
fn rules_that_contradict_their_field_are_problems() {
    let cases = [
        (
            rule("string", "int64.gt = 1"),
            "v",
            "rules `int64` do not fit a field of type string",
        ),
        (
            rule("Line", "string.min_len = 1"),
            "v",
            "do not fit a field of type another message",
        ),
        (
            rule("repeated string", "string.min_len = 1"),
            "v",
            "do not fit a field of type repeated",
        ),
        (
            rule("string", "string.pattern = '('"),
            "v",
            "pattern `(` is malformed",
        ),
        (
            rule("bytes", "bytes.pattern = '(a{1000}){1000}'"),
            "v",
            "needs more than",
        ),
        (
            rule("repeated Line", "repeated.unique = true"),
            "v",
            "does not fit messages",
        ),
        (
            rule("map<string, int32>", "map.keys.int32.gt = 1"),
            "v",
            "keys: rules `int32`",
        ),
        (
            "option (buf.validate.message).oneof = { fields: ['nope'] };".to_owned(),
            "",
            "no field is named `nope`",
        ),
    ];
    for (field, name, reason) in cases {
        let error = compile(&format!("message M {{ {field} }}")).unwrap_err();
        let [problem] = error.problems.as_slice() else {
            panic!("{error}")
        };
        let element = if name.is_empty() {
            "t.M".to_owned()
        } else {
            format!("t.M.{name}")
        };
        assert_eq!((&*problem.file, &problem.element), ("t.proto", &element));
        assert!(problem.reason.contains(reason), "{field}: {problem}");
    }
}

#[test]
fn what_is_not_enforced_is_noted() {
    let body = "message M {
            option (buf.validate.message).cel = { id: 'm.whole' expression: 'now > this.other.at' };
            string a = 1 [(buf.validate.field).cel = { id: 'm.a' expression: 'string(now) != this' }];
            Other other = 3; }
        message Other { google.protobuf.Timestamp at = 1 [(buf.validate.field).timestamp.lt_now = true]; }
        message Apart { string c = 1 [(buf.validate.field).cel_expression = 'now == now']; }";
    let expected = [
        "t.proto: t.M: cel rule `m.whole` is not enforced here: the options have no clock",
        "t.proto: t.M.a: cel rule `m.a` is not enforced here: the options have no clock",
        "t.proto: t.Other.at: rule `timestamp.lt_now` is not enforced here: the options have no clock",
        "t.proto: t.Apart.c: cel rule `now == now` is not enforced here: the options have no clock",
    ];
    let validation = Validation::compile(&set(body), &ValidationOptions::default()).unwrap();
    let notes: Vec<String> = validation.unenforced().map(ToString::to_string).collect();
    assert_eq!(notes, expected);
    let validator = validation.validator("t.M").unwrap();
    let notes: Vec<String> = validator
        .unenforced()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(notes, expected[..3]);
    assert!(!validator.has_rules());
}

#[test]
fn text_with_a_nul_is_refused_on_request() {
    let body = "message M { string a = 1; repeated string tags = 2; map<string, string> labels = 3; Plain plain = 4;
        Plain ignored = 5 [(buf.validate.field).ignore = IGNORE_ALWAYS]; bytes data = 6; }";
    let mut world = World::new(body);
    let json = r#"{"a": "x\u0000", "tags": ["", "\u0000"], "labels": {"k\u0000": "v", "l": "\u0000"},
        "plain": {"text": "\u0000"}, "ignored": {"text": "\u0000"}, "data": "AAA="}"#;
    assert_eq!(world.found(json), [""; 0]);
    let mut strict = options();
    strict.refuse_nul = true;
    world.judge = Validation::compile(&set(body), &strict).unwrap();
    world.refuses_nul = true;
    let mut found = world.found(json);
    // Entries of a map come in any order.
    found.sort();
    assert_eq!(
        found,
        [
            "a string.no_nul",
            "ignored.text string.no_nul",
            r#"labels["k\0"] string.no_nul"#,
            r#"labels["l"] string.no_nul"#,
            "plain.text string.no_nul",
            "tags[1] string.no_nul",
        ]
    );
    assert_eq!(world.found(r#"{"a": "x", "data": "AAA="}"#), [""; 0]);
}
