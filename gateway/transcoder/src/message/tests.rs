use crate::{Options, Schema, testing};

const SOURCE: &str = "
    enum E { ZERO = 0; ONE = 1; }
    message M {
        E one = 1;
        repeated E many = 2;
        map<string, E> map = 3;
        google.protobuf.Any any = 4;
        google.protobuf.Duration duration = 5;
        int32 number = 6;
    }
";

fn strict() -> Schema {
    testing::compile(SOURCE).unwrap()
}

fn lenient() -> Schema {
    let mut options = Options::default();
    options.json.ignore_unknown_fields = true;
    testing::compile_with(SOURCE, options)
}

/// The JSON text once to the wire and back.
fn round(schema: &Schema, json: &str) -> Result<String, String> {
    let message = schema.message("t.M").ok_or("no such message")?;
    let (mut wire, mut out) = (Vec::new(), Vec::new());
    message
        .read_json(json.as_bytes(), &mut wire)
        .map_err(|error| error.to_string())?;
    message
        .write_json(&wire, &mut out)
        .map_err(|error| error.to_string())?;
    String::from_utf8(out).map_err(|error| error.to_string())
}

#[test]
fn a_message_is_known_by_its_full_name_alone() {
    let schema = strict();
    assert_eq!(schema.message("t.M").map(|m| m.name()), Some("t.M"));
    assert!(schema.message("google.protobuf.Timestamp").is_some());
    assert!(schema.message("google.rpc.BadRequest").is_some());
    for name in ["M", ".t.M", "t.E", "t.N", ""] {
        assert!(schema.message(name).is_none(), "{name:?}");
    }
}

#[test]
fn a_text_is_read_to_its_end() {
    assert_eq!(
        round(&strict(), r#"{"number": 1} "#).unwrap(),
        r#"{"number":1}"#
    );
    for text in ["", " ", "{}{}", "{} x", "[]", "null"] {
        assert!(round(&strict(), text).is_err(), "{text:?}");
    }
}

#[test]
fn unknown_enum_names_are_refused_or_ignored_as_unknown_fields_are() {
    let cases = [
        (r#"{"one": "TWO", "number": 1}"#, r#"{"number":1}"#, "one"),
        (
            r#"{"many": ["ONE", "TWO", "ZERO"]}"#,
            r#"{"many":["ONE","ZERO"]}"#,
            "many[1]",
        ),
        (r#"{"many": ["TWO"]}"#, "{}", "many[0]"),
        (
            r#"{"map": {"a": "TWO", "b": "ONE"}}"#,
            r#"{"map":{"b":"ONE"}}"#,
            r#"map["a"]"#,
        ),
    ];
    for (text, expected, path) in cases {
        assert_eq!(round(&lenient(), text).as_deref(), Ok(expected));
        let error = round(&strict(), text).unwrap_err();
        assert!(error.starts_with(&format!("{path}: ")), "{error}");
    }
    // Only names: a value of another type is a mistake all the same.
    assert!(round(&lenient(), r#"{"one": true}"#).is_err());
}

#[test]
fn an_empty_message_in_an_any_needs_no_value() {
    let expected = r#"{"any":{"@type":"type.googleapis.com/google.protobuf.Empty"}}"#;
    let with_value = expected.replace("\"}}", "\",\"value\":{}}}");
    for text in [expected, &with_value] {
        assert_eq!(round(&strict(), text).as_deref(), Ok(expected));
    }
}

#[test]
fn a_duration_may_end_within_the_last_second_of_its_range() {
    for text in [
        r#"{"duration":"315576000000.999999999s"}"#,
        r#"{"duration":"-315576000000.999999999s"}"#,
    ] {
        assert_eq!(round(&strict(), text).as_deref(), Ok(text));
    }
    assert!(round(&strict(), r#"{"duration":"315576000001s"}"#).is_err());
}

#[test]
fn fields_have_two_names_unless_one_is_asked_for() {
    const NAMES: &str = "message M { int32 some_number = 1; map<string, int32> a_map = 2; }";
    let lenient = testing::compile(NAMES).unwrap();
    let mut options = Options::default();
    options.json.strict_names = true;
    let strict = testing::compile_with(NAMES, options);
    let shown = r#"{"someNumber":1,"aMap":{"a_key":1}}"#;
    let original = r#"{"some_number":1,"a_map":{"a_key":1}}"#;
    assert_eq!(round(&lenient, shown).as_deref(), Ok(shown));
    assert_eq!(round(&lenient, original).as_deref(), Ok(shown));
    assert_eq!(round(&strict, shown).as_deref(), Ok(shown));
    let error = round(&strict, original).unwrap_err();
    assert!(
        error.starts_with("some_number: no field has this name"),
        "{error}"
    );
}
