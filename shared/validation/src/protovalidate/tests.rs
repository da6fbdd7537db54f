//! The encoding read back by prost-reflect, from the definitions of `buf/validate/validate.proto`.

use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};

use crate::{Validation, ValidationOptions, Violation, Violations};

/// The messages of protovalidate 1.0, which our copy of its options leaves out.
const WIRE: &str = "syntax = \"proto3\"; package buf.validate;
    message Violations { repeated Violation violations = 1; }
    message Violation { optional FieldPath field = 5; optional FieldPath rule = 6; optional string rule_id = 2;
      optional string message = 3; optional bool for_key = 4; }
    message FieldPath { repeated FieldPathElement elements = 1; }
    message FieldPathElement { optional int32 field_number = 1; optional string field_name = 2;
      optional int32 field_type = 3; optional int32 key_type = 4; optional int32 value_type = 5;
      oneof subscript { uint64 index = 6; bool bool_key = 7; int64 int_key = 8; uint64 uint_key = 9;
        string string_key = 10; } }";

const CONTRACT: &str = "
    message Line { string the_sku = 1; }
    message M { repeated Line all_lines = 3; map<string, Line> by_name = 4; map<int32, bool> by_number = 5;
      string odd = 6 [json_name = \"a.b\"]; }";

fn read_back(path: &str) -> Value {
    let set = samples::descriptor_set(&[("t.proto", samples::ruled(CONTRACT))]);
    let validation = Validation::compile(&set, &ValidationOptions::default()).unwrap();
    let found = Violations {
        listed: vec![Violation {
            path: path.to_owned(),
            rule: "string.min_len".to_owned(),
            message: "must not be empty".to_owned(),
            ..Violation::default()
        }],
        more: 0,
    };
    let (url, bytes) = validation.validator("t.M").unwrap().protovalidate(&found);
    assert_eq!(url, "type.googleapis.com/buf.validate.Violations");
    let set = samples::descriptor_set(&[("v.proto", WIRE)]);
    let pool = DescriptorPool::decode(&*set).unwrap();
    let message = pool.get_message_by_name("buf.validate.Violations").unwrap();
    let decoded = DynamicMessage::decode(message, &*bytes).unwrap();
    let json = serde_json::to_value(decoded).unwrap();
    let violation = &json["violations"][0];
    assert_eq!(violation["ruleId"], "string.min_len");
    assert_eq!(violation["message"], "must not be empty");
    violation["field"]["elements"].clone()
}

#[test]
fn paths_have_the_names_numbers_and_types_of_their_fields() {
    let sku = json!({"fieldNumber": 1, "fieldName": "the_sku", "fieldType": 9});
    let lines = json!({"fieldNumber": 3, "fieldName": "all_lines", "fieldType": 11, "index": "2"});
    assert_eq!(read_back("allLines[2].theSku"), json!([lines, sku]));

    let named = |key: &str| {
        json!({"fieldNumber": 4, "fieldName": "by_name", "fieldType": 11, "keyType": 9, "valueType": 11,
            "stringKey": key})
    };
    assert_eq!(read_back(r#"byName["k"].theSku"#), json!([named("k"), sku]));
    assert_eq!(
        read_back(r#"byName["]\"\u{1}\\."]"#),
        json!([named("]\"\u{1}\\.")])
    );

    let numbered = json!({"fieldNumber": 5, "fieldName": "by_number", "fieldType": 11, "keyType": 5, "valueType": 8,
        "intKey": "-7"});
    assert_eq!(read_back("byNumber[-7]"), json!([numbered]));
    let odd = json!({"fieldNumber": 6, "fieldName": "odd", "fieldType": 9});
    assert_eq!(read_back("a.b"), json!([odd]));
    // A oneof, and the message as a whole.
    assert_eq!(read_back("choice"), json!([{"fieldName": "choice"}]));
    assert_eq!(read_back(""), Value::Null);
}
