//! Each rule against values on both sides of it, and frames in chunks.

use http_body_util::BodyExt;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MapKey, Value};
use tonic::Code;

use rpc::error::Violation;

use super::*;
use crate::testing::{METHODS, descriptor_set};

static INPUTS: &[Method] = &[Method {
    path: "/t/T",
    input: "shop.v1.Rules",
    output: "shop.v1.Rules",
    kind: contract::MethodKind::Unary,
    idempotency: contract::Idempotency::Unknown,
    criticality: contract::Criticality::Normal,
}];

static NUMBERS: &[Method] = &[Method {
    input: "shop.v1.Numbers",
    ..INPUTS[0]
}];

fn rules() -> Rules {
    Rules::compile(descriptor_set(), INPUTS, 1024).unwrap()
}

fn line(sku: &str, quantity: i64) -> Value {
    let pool = DescriptorPool::decode(descriptor_set()).unwrap();
    let mut line = DynamicMessage::new(pool.get_message_by_name("shop.v1.Line").unwrap());
    line.set_field_by_name("sku", Value::String(sku.to_owned()));
    line.set_field_by_name("quantity", Value::I64(quantity));
    Value::Message(line)
}

fn valid() -> DynamicMessage {
    let pool = DescriptorPool::decode(descriptor_set()).unwrap();
    let mut message = DynamicMessage::new(pool.get_message_by_name("shop.v1.Rules").unwrap());
    message.set_field_by_name("line", line("A1", 1));
    message.set_field_by_name("color", Value::EnumNumber(1));
    message.set_field_by_name("outside", Value::F64(6.0));
    message.set_field_by_name("digest", Value::Bytes(Bytes::from_static(b"ab")));
    message.set_field_by_name("agreed", Value::Bool(true));
    message.set_field_by_name("card", Value::String("1".to_owned()));
    message
}

// `field rule` of each violation of an otherwise valid message.
fn found(field: &str, value: Value) -> Vec<String> {
    let rules = rules();
    let mut message = valid();
    message.set_field_by_name(field, value);
    violations(&rules, &message)
        .into_iter()
        .map(|violation| format!("{} {}", violation.field, violation.rule))
        .collect()
}

fn violations(rules: &Rules, message: &DynamicMessage) -> Vec<Violation> {
    let checked = rules.inputs["/t/T"].check(&message.encode_to_vec());
    checked.err().map_or(Vec::new(), |fault| fault.violations)
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

#[test]
fn a_valid_message_passes() {
    assert_eq!(violations(&rules(), &valid()), []);
}

#[test]
fn text_rules() {
    assert_eq!(found("uuid", text("")), [""; 0]);
    assert_eq!(
        found("uuid", text("0190163d-8694-739b-aea5-966c26f8ad91")),
        [""; 0]
    );
    assert_eq!(found("uuid", text("0190163d")), ["uuid string.uuid"]);
    assert_eq!(found("nick", text("@me")), [""; 0]);
    assert_eq!(
        found("nick", text("m e")),
        ["nick string.prefix", "nick string.not_contains"]
    );
    assert_eq!(found("nick", text("")), ["nick string.prefix"]);
    assert_eq!(found("invoice", text("a@b.example")), [""; 0]);
    assert_eq!(found("invoice", text("a@")), ["invoice string.email"]);
    assert_eq!(
        found("digest", Value::Bytes(Bytes::new())),
        ["digest bytes.len"]
    );
}

#[test]
fn number_rules() {
    assert_eq!(found("line", line("A", 1000)), [""; 0]);
    assert_eq!(found("line", line("A", 0)), ["line.quantity int64.gt_lte"]);
    assert_eq!(
        found("line", line("A", 1001)),
        ["line.quantity int64.gt_lte"]
    );
    assert_eq!(found("outside", Value::F64(0.5)), [""; 0]);
    for inside in [1.0, 3.0, 5.0, f64::NAN] {
        assert_eq!(
            found("outside", Value::F64(inside)),
            ["outside double.gt_lt_exclusive"]
        );
    }
    assert_eq!(
        found("color", Value::EnumNumber(7)),
        ["color enum.defined_only"]
    );
    assert_eq!(found("color", Value::EnumNumber(0)), ["color enum.not_in"]);
    assert_eq!(found("agreed", Value::Bool(false)), ["agreed bool.const"]);
}

#[test]
fn lists_and_maps() {
    let codes = |codes: &[i32]| Value::List(codes.iter().copied().map(Value::I32).collect());
    assert_eq!(found("codes", codes(&[1, 2])), [""; 0]);
    assert_eq!(
        found("codes", codes(&[2, 2, 9])),
        ["codes repeated.unique", "codes[2] int32.in"]
    );
    let stock = |keys: &[&str], quantity| {
        let key = |key: &&str| MapKey::String((*key).to_owned());
        Value::Map(
            keys.iter()
                .map(|name| (key(name), line("A", quantity)))
                .collect(),
        )
    };
    assert_eq!(found("stock", stock(&["a", "b"], 1)), [""; 0]);
    assert_eq!(
        found("stock", stock(&["a", "b", "c"], 1)),
        ["stock map.max_pairs"]
    );
    assert_eq!(
        found("stock", stock(&["long\"key"], 0)),
        [
            r#"stock["long\"key"] string.max_bytes"#,
            r#"stock["long\"key"].quantity int64.gt_lte"#
        ]
    );
}

#[test]
fn presence() {
    let mut message = valid();
    message.clear_field_by_name("line");
    message.clear_field_by_name("card");
    let found = violations(&rules(), &message);
    let rules: Vec<_> = found
        .iter()
        .map(|found| (&*found.field, &*found.rule))
        .collect();
    assert_eq!(rules, [("payment", "required"), ("line", "required")]);
    assert_eq!(super::tests::found("unchecked", line("?", 0)), [""; 0]);
}

#[test]
fn violations_are_found_at_any_depth_and_bounded() {
    let mut child = valid();
    child.set_field_by_name("agreed", Value::Bool(false));
    assert_eq!(
        found("child", Value::Message(child)),
        ["child.agreed bool.const"]
    );
    let codes = Value::List((10..200).map(Value::I32).collect());
    assert_eq!(found("codes", codes).len(), 64);
}

#[test]
fn no_text_holds_a_nul() {
    let one = |value: Value| Value::List(vec![text("a"), value]);
    let pair = |key: &str| Value::Map([(MapKey::String(key.to_owned()), line("A", 1))].into());
    assert_eq!(found("card", text("1\0")), ["card string.no_nul"]);
    assert_eq!(found("tags", one(text("\0"))), ["tags[1] string.no_nul"]);
    assert_eq!(found("stock", pair("\0")), [r#"stock["\0"] string.no_nul"#]);
    assert_eq!(
        found("unchecked", line("A\0", 0)),
        ["unchecked.sku string.no_nul"]
    );
    let mut child = valid();
    child.set_field_by_name("card", text("\0"));
    assert_eq!(
        found("child", Value::Message(child)),
        ["child.card string.no_nul"]
    );
    // Zero bytes outside of text are allowed.
    assert_eq!(
        found("digest", Value::Bytes(Bytes::from_static(b"\0\0"))),
        [""; 0]
    );
    let many = Value::List(vec![text("\0"); 200]);
    assert_eq!(found("tags", many).len(), 64);
}

#[test]
fn a_message_without_rules_is_refused_for_a_nul() {
    let rules = Rules::compile(descriptor_set(), METHODS, 1024).unwrap();
    let input = &rules.inputs[crate::testing::GET];
    assert_eq!(input.check(b"\x0a\x01a"), Ok(()));
    let fault = input.check(b"\x0a\x02a\0").unwrap_err();
    assert_eq!(
        (fault.code, fault.reason),
        (Code::InvalidArgument, "INVALID_FIELD")
    );
    assert_eq!(fault.message, "id: must not contain U+0000");
    assert_eq!(
        (&*fault.violations[0].field, &*fault.violations[0].rule),
        ("id", "string.no_nul")
    );
}

fn compile_source(field: &str) -> String {
    let source = format!(
        "syntax = \"proto3\"; package shop.v1; import \"buf/validate/validate.proto\";\n\
         message Rules {{ {field} }}"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.proto"), source).unwrap();
    let shared = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../compiler/third_party");
    let mut compiler = protox::Compiler::new([folder.path(), &shared]).unwrap();
    compiler
        .include_imports(true)
        .open_file("bad.proto")
        .unwrap();
    let set = compiler.encode_file_descriptor_set();
    let error = Rules::compile(&set, INPUTS, 1024).err();
    format!("{:#}", error.unwrap_or_else(|| panic!("compiles: {field}")))
}

#[test]
fn a_rule_that_nothing_checks_stops_the_start() {
    let bad = [
        (
            "cel",
            "repeated string a = 1 [(buf.validate.field).repeated.items.cel_expression = \"no\"];",
        ),
        (
            "cel",
            "string a = 1 [(buf.validate.field).cel = {expression: \"no\"}];",
        ),
        ("int64", "string a = 1 [(buf.validate.field).int64.gt = 1];"),
        (
            "string.pattern",
            "string a = 1 [(buf.validate.field).string.pattern = \"(\"];",
        ),
    ];
    for (rule, field) in bad {
        let text = compile_source(field);
        assert!(text.contains("shop.v1.Rules.a"), "field is missing: {text}");
        assert!(text.contains(rule), "{rule} is missing: {text}");
    }
    let message = "option (buf.validate.message).cel = {expression: \"no\"};";
    assert!(compile_source(message).contains("shop.v1.Rules"));
}

fn body(rules: Rules, chunks: Vec<Vec<u8>>) -> Body {
    let input = rules.inputs["/t/T"].clone();
    let frames = chunks
        .into_iter()
        .map(|chunk| Ok::<_, Status>(Frame::data(chunk.into())));
    let source = http_body_util::StreamBody::new(futures::stream::iter(frames));
    ValidatedBody::wrap(Body::new(source), input, rules.max_message_bytes)
}

fn framed(flags: u8, message: &[u8]) -> Vec<u8> {
    rpc::frame::encode(flags, message).unwrap().into()
}

#[tokio::test]
async fn frames_may_be_cut_anywhere() {
    let message = framed(0, &valid().encode_to_vec());
    let both = [message.clone(), message].concat();
    let bytes = both.iter().map(|byte| vec![*byte]).collect();
    let passed = body(rules(), bytes).collect().await.unwrap().to_bytes();
    assert_eq!(passed, both);
}

#[tokio::test]
async fn a_bad_frame_ends_the_body_with_a_status() {
    for (frame, code) in [
        (framed(0, b""), Code::InvalidArgument),
        (framed(0, b"\xff\xff"), Code::InvalidArgument),
        (framed(1, b""), Code::Unimplemented),
        (framed(0, &[0; 1025])[..5].to_vec(), Code::ResourceExhausted),
    ] {
        let good = framed(0, &valid().encode_to_vec());
        let mut body = body(rules(), vec![good, frame]);
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(body.frame().await.unwrap().unwrap_err().code(), code);
        assert!(body.frame().await.is_none());
    }
}

#[test]
fn methods_without_rules_and_text_are_left_alone() {
    let rules = Rules::compile(descriptor_set(), METHODS, 1024).unwrap();
    assert!(rules.inputs.contains_key(crate::testing::GET));
    assert!(rules.inputs.contains_key(crate::testing::PUT));
    let rules = Rules::compile(descriptor_set(), NUMBERS, 1024).unwrap();
    assert!(rules.inputs.is_empty());
}
