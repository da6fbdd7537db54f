//! Rules in CEL: of messages, fields and elements, predefined ones, and those that have no result.

use prost_reflect::{DescriptorPool, DynamicMessage};

use super::{World, listed, options, set};
use crate::{Validation, Violation};

fn found(world: &World, json: &str) -> Vec<Violation> {
    world.check(&world.wire(json)).listed
}

fn rules(world: &World, json: &str) -> Vec<String> {
    let list = found(world, json);
    list.iter()
        .map(|own| format!("{} {}: {}", own.path, own.rule, own.message))
        .collect()
}

#[test]
fn rules_of_messages_fields_and_elements_are_enforced() {
    let world = World::new(
        r#"message M {
            option (buf.validate.message).cel = { id: 'm.order' message: 'a is before b' expression: 'this.a < this.b' };
            option (buf.validate.message).cel_expression = 'this.tags.size() < 3';
            int32 a = 1; int32 b = 2;
            repeated string tags = 3 [(buf.validate.field).cel = { id: 'm.tags' message: 'tags differ' expression: 'this.unique()' },
              (buf.validate.field).repeated.items.cel_expression = 'this != "x"'];
            map<string, Line> lines = 4 [(buf.validate.field).map.keys.cel_expression = 'this.size() == 1',
              (buf.validate.field).map.values.cel_expression = 'this.quantity > 0'];
            string mail = 5 [(buf.validate.field).cel = { id: 'm.mail' expression: "this == '' || this.isEmail() ? '' : 'no mail: ' + this" }];
            Line line = 6 [(buf.validate.field).cel_expression = 'this.sku != "gone"'];
        }"#,
    );
    assert_eq!(
        rules(
            &world,
            r#"{"a": 1, "b": 2, "tags": ["p", "q"], "mail": "a@b.c"}"#
        ),
        [""; 0]
    );
    let json = r#"{"a": 2, "b": 2, "tags": ["x", "x", "y"], "mail": "m", "lines": {"kk": {"sku": "s"}}, "line": {"sku": "gone"}}"#;
    assert_eq!(
        rules(&world, json),
        [
            " this.tags.size() < 3: \"this.tags.size() < 3\" returned false",
            " m.order: a is before b",
            "tags m.tags: tags differ",
            "tags[0] this != \"x\": \"this != \\\"x\\\"\" returned false",
            "tags[1] this != \"x\": \"this != \\\"x\\\"\" returned false",
            "lines[\"kk\"] this.size() == 1: \"this.size() == 1\" returned false",
            "lines[\"kk\"] this.quantity > 0: \"this.quantity > 0\" returned false",
            "mail m.mail: no mail: m",
            "line this.sku != \"gone\": \"this.sku != \\\"gone\\\"\" returned false",
        ]
    );
}

const PREDEFINED: &str = r#"syntax = "proto2"; package t; import "buf/validate/validate.proto";
    extend buf.validate.Int32Rules {
      optional int32 multiple_of = 1161 [(buf.validate.predefined).cel = {
        id: "int32.multiple_of" expression: "this % rule == 0 ? '' : 'must be a multiple of %d'.format([rule])" }];
    }
    extend buf.validate.RepeatedRules {
      optional bool sorted = 1161 [(buf.validate.predefined).cel = {
        id: "repeated.sorted" message: "must be sorted"
        expression: "!rule || this.size() < 2 || this[0] <= this[1] || rules.min_items > 5u" }];
    }
    message M {
      optional int32 v = 1 [(buf.validate.field).int32.(t.multiple_of) = 3, (buf.validate.field).int32.lt = 100];
      repeated int32 list = 2 [(buf.validate.field).repeated.(t.sorted) = true,
        (buf.validate.field).repeated.items.int32.(t.multiple_of) = 2];
    }"#;

#[test]
fn predefined_rules_are_enforced_with_the_path_of_their_extension() {
    let set = samples::descriptor_set(&[("t.proto", PREDEFINED)]);
    let judge = Validation::compile(&set, &options()).unwrap();
    assert_eq!(judge.unenforced().count(), 0);
    let world = World {
        judge,
        scribe: DescriptorPool::decode(&*set).unwrap(),
        subject: "t.M".to_owned(),
        refuses_nul: false,
    };
    assert_eq!(rules(&world, r#"{"v": 6, "list": [2, 4]}"#), [""; 0]);
    assert_eq!(
        rules(&world, r#"{"v": 100, "list": [4, 3]}"#),
        [
            "v int32.lt: must be less than 100",
            "v int32.multiple_of: must be a multiple of 3",
            "list repeated.sorted: must be sorted",
            "list[1] int32.multiple_of: must be a multiple of 2",
        ]
    );
    let rule = found(&world, r#"{"list": [1]}"#).remove(0).origin.rule;
    let path = world.scribe.get_message_by_name("buf.validate.FieldRules");
    assert!(
        path.is_some() && rule.windows(16).any(|part| part == b"[t.multiple_of]\x18"),
        "{rule:?}"
    );
}

#[test]
fn a_rule_without_a_result_is_a_violation_that_quotes_nothing() {
    let world = World::new(
        r#"message M { map<string, int32> m = 1 [(buf.validate.field).cel_expression = 'this["secret"] > 0'];
            repeated int32 n = 2 [(buf.validate.field).cel_expression = 'this.all(a, this.all(b, a + b > 0))']; }"#,
    );
    let long: Vec<String> = (0..400).map(|_| "1".to_owned()).collect();
    let found = found(
        &world,
        &format!(r#"{{"m": {{"canary": 1}}, "n": [{}]}}"#, long.join(",")),
    );
    let texts: Vec<&str> = found.iter().map(|own| own.message.as_str()).collect();
    assert_eq!(
        texts,
        [
            "the rule has no result: it reads a key that is not there",
            "the rule has no result: it takes more than 20000 steps",
        ]
    );
    assert!(found.iter().all(|own| own.origin.has_no_result));
}

#[test]
fn a_message_without_rules_in_cel_stays_on_the_fast_path() {
    let world = World::new(
        r#"message M { Line line = 1; Held held = 2; }
        message Held { option (buf.validate.message).cel_expression = 'this.a > 0'; int32 a = 1; }"#,
    );
    // `found` asserts that the fast path tells good from bad.
    assert_eq!(
        world.found(r#"{"line": {"sku": "a"}, "held": {"a": 1}}"#),
        [""; 0]
    );
    assert_eq!(world.found(r#"{"held": {}}"#), ["held this.a > 0"]);
}

#[test]
fn values_of_confidential_fields_are_in_no_violation() {
    let source = r#"syntax = "proto3"; package t; import "buf/validate/validate.proto"; import "mesh/v1/options.proto";
        message M {
          option (buf.validate.message).cel = { id: 'm.whole' expression: "'no ' + this.card" };
          string card = 1 [(mesh.v1.data_class) = DATA_CLASS_SECRET, (buf.validate.field).string = { max_len: 3 pattern: '^x' },
            (buf.validate.field).cel = { id: 'm.card' expression: "'not ' + this" }];
          map<string, string> names = 2 [(mesh.v1.data_class) = DATA_CLASS_PERSONAL, (buf.validate.field).map.values.string.max_len = 1];
          Inner inner = 3 [(buf.validate.field).cel = { id: 'm.inner' expression: "this.name + ' is wrong'" }];
          string open = 4 [(buf.validate.field).cel = { id: 'm.open' expression: "'not ' + this" }];
        }
        message Inner { string name = 1 [(mesh.v1.data_class) = DATA_CLASS_PERSONAL]; }"#;
    let set = samples::descriptor_set(&[("t.proto", source)]);
    let judge = Validation::compile(&set, &options()).unwrap();
    let scribe = DescriptorPool::decode(&*set).unwrap();
    let message = scribe.get_message_by_name("t.M").unwrap();
    let json = r#"{"card": "canary", "names": {"canary": "canary"}, "inner": {"name": "canary"}, "open": "seen"}"#;
    let mut text = serde_json::Deserializer::from_str(json);
    let wire =
        prost::Message::encode_to_vec(&DynamicMessage::deserialize(message, &mut text).unwrap());
    let validator = judge.validator("t.M").unwrap();
    let found = validator.check(&wire).unwrap();
    assert_eq!(
        listed(&found),
        [
            " m.whole",
            "card string.max_len",
            "card string.pattern",
            "card m.card",
            "names[*] string.max_len",
            "inner m.inner",
            "open m.open",
        ]
    );
    let (_, encoded) = validator.protovalidate(&found);
    for left in [
        format!("{found:?}"),
        String::from_utf8_lossy(&encoded).into_owned(),
    ] {
        assert!(!left.contains("canary"), "{left}");
        assert!(left.contains("not seen"), "{left}");
    }
}

#[test]
fn mistakes_in_expressions_are_told_when_the_rules_are_compiled() {
    let body =
        "message M { int32 a = 1 [(buf.validate.field).cel_expression = 'this.size() > 0']; }";
    let error = Validation::compile(&set(body), &options())
        .unwrap_err()
        .to_string();
    let expected =
        "cel rule `this.size() > 0`: `size()` on int: the function does not accept these types";
    assert!(error.contains(expected), "{error}");
}
