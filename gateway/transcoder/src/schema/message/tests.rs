mod canonical;

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

/// Returns the JSON text once to the wire and back.
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
    // A field without a name has a place all the same.
    let error = round(&strict, r#"{"":1}"#).unwrap_err();
    assert!(
        error.starts_with(r#"[""]: no field has this name"#),
        "{error}"
    );
    let mut options = Options::default();
    options.json.strict_names = true;
    options.json.preserve_proto_field_names = true;
    let proto = testing::compile_with(NAMES, options);
    assert_eq!(round(&proto, original).as_deref(), Ok(original));
    assert!(round(&proto, shown).is_err());
}

const PROTO2: &str = r#"
    syntax = "proto2";
    package p;
    enum E { ZERO = 0; ONE = 1; }
    enum FromOne { FIRST = 1; SECOND = 2; }
    message M {
        optional E one = 1;
        repeated E many = 2;
        repeated E packed = 3 [packed = true];
        map<string, E> map = 4;
        oneof choice { int32 number = 5; E value = 6; }
        optional M child = 7;
        optional Set set = 8;
        map<string, FromOne> from_one = 9;
    }
    message Set {
        option message_set_wire_format = true;
        extensions 4 to max;
    }
    message Member {
        extend Set { optional Member member = 1000; }
        optional int32 a = 1;
    }
"#;

fn proto2() -> Schema {
    Schema::compile(&testing::descriptor_set(&[("p.proto", PROTO2)])).unwrap()
}

fn json(wire: &[u8]) -> String {
    let mut out = Vec::new();
    let schema = proto2();
    let message = schema.message("p.M").unwrap();
    message.write_json(wire, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn numbers_that_a_closed_enum_does_not_name_are_no_values_in_json() {
    let cases: [(&[u8], &str); 8] = [
        (&[0x08, 5], "{}"),
        (&[0x08, 1, 0x08, 5], r#"{"one":"ONE"}"#),
        (&[0x10, 5, 0x10, 1, 0x10, 6], r#"{"many":["ONE"]}"#),
        (&[0x1a, 3, 5, 1, 6], r#"{"packed":["ONE"]}"#),
        (&[0x1a, 1, 5], "{}"),
        (
            &[
                0x22, 5, 0x0a, 1, b'a', 0x10, 5, 0x22, 5, 0x0a, 1, b'b', 0x10, 1,
            ],
            r#"{"map":{"b":"ONE"}}"#,
        ),
        (&[0x28, 7, 0x30, 5], r#"{"number":7}"#),
        (&[0x3a, 4, 0x08, 5, 0x28, 1], r#"{"child":{"number":1}}"#),
    ];
    for (wire, expected) in cases {
        assert_eq!(json(wire), expected, "{wire:?}");
    }
    // An absent value is the first one of the enum.
    assert_eq!(
        json(&[0x4a, 3, 0x0a, 1, b'k']),
        r#"{"fromOne":{"k":"FIRST"}}"#
    );
}

#[test]
fn members_of_a_message_set_are_extensions_in_json() {
    let schema = proto2();
    let message = schema.message("p.M").unwrap();
    let text = r#"{"set":{"[p.Member.member]":{"a":5}}}"#;
    let item = [0x42, 9, 0x0b, 0x10, 0xe8, 0x07, 0x1a, 2, 0x08, 5, 0x0c];
    let mut wire = Vec::new();
    message.read_json(text.as_bytes(), &mut wire).unwrap();
    assert_eq!(wire, item);
    assert_eq!(json(&item), text);
}

const CLOSED: &str = r#"
    syntax = "proto2";
    package t;
    enum E { ONE = 1; TWO = 2; }
    message M {
        optional E one = 1;
        repeated E many = 2;
        repeated E run = 3 [packed = true];
        map<string, E> map = 4;
    }
"#;

fn closed(options: Options) -> Schema {
    let set = testing::descriptor_set(&[("t.proto", CLOSED)]);
    Schema::compile_with(&set, options).unwrap()
}

#[test]
fn a_closed_enum_takes_no_number_without_a_name() {
    let strict = closed(Options::default());
    let mut options = Options::default();
    options.json.ignore_unknown_fields = true;
    let lenient = closed(options);
    let cases = [
        (r#"{"one":3}"#, "{}", "one"),
        (r#"{"one":"3"}"#, "{}", "one"),
        (r#"{"many":[3,1]}"#, r#"{"many":["ONE"]}"#, "many[0]"),
        (
            r#"{"run":[2,3,"NO",1]}"#,
            r#"{"run":["TWO","ONE"]}"#,
            "run[1]",
        ),
        (
            r#"{"map":{"a":3,"b":2}}"#,
            r#"{"map":{"b":"TWO"}}"#,
            r#"map["a"]"#,
        ),
    ];
    for (text, kept, path) in cases {
        assert_eq!(round(&lenient, text).as_deref(), Ok(kept));
        let error = round(&strict, text).unwrap_err();
        assert!(error.starts_with(path), "{error}");
    }
    for text in [r#"{"one":1.5}"#, r#"{"one":3000000000}"#] {
        assert!(round(&lenient, text).is_err(), "{text}");
    }
}

#[test]
fn of_values_in_one_map_entry_the_last_decides_whether_a_closed_enum_has_it() {
    let schema = closed(Options::default());
    let message = schema.message("t.M").unwrap();
    let cases: [(&[u8], &str); 5] = [
        (
            &[0x22, 7, 0x0a, 1, b'a', 0x10, 3, 0x10, 1],
            r#"{"map":{"a":"ONE"}}"#,
        ),
        (&[0x22, 7, 0x0a, 1, b'a', 0x10, 1, 0x10, 3], "{}"),
        // An entry that has no value of the enum stays out, whatever follows.
        (
            &[0x22, 5, 0x0a, 1, b'a', 0x10, 3, 0x22, 3, 0x0a, 1, b'b'],
            r#"{"map":{"b":"ONE"}}"#,
        ),
        // Nor does it take from a list what another entry with its key makes be read again.
        (
            &[0x22, 5, 0x0a, 1, b'a', 0x10, 3, 0x22, 0, 0x22, 0, 0x10, 2],
            r#"{"many":["TWO"],"map":{"":"ONE"}}"#,
        ),
        // Behind such an entry nothing is lost.
        (
            &[0x22, 7, 0x0a, 1, b'a', 0x10, 3, 0x10, 1, 0x1a, 2, 1, 2],
            r#"{"run":["ONE","TWO"],"map":{"a":"ONE"}}"#,
        ),
    ];
    for (wire, expected) in cases {
        let mut json = Vec::new();
        message.write_json(wire, &mut json).unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), expected);
    }
}

#[test]
fn a_list_leaves_out_what_its_closed_enum_has_not_however_it_is_written() {
    let schema = closed(Options::default());
    let message = schema.message("t.M").unwrap();
    let cases: [(&[u8], &str); 3] = [
        (&[0x10, 3, 0x12, 2, 1, 2], r#"{"many":["ONE","TWO"]}"#),
        (
            &[0x12, 3, 1, 3, 2, 0x10, 3, 0x10, 1],
            r#"{"many":["ONE","TWO","ONE"]}"#,
        ),
        (&[0x10, 3, 0x1a, 1, 3], "{}"),
    ];
    for (wire, expected) in cases {
        let mut json = Vec::new();
        message.write_json(wire, &mut json).unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), expected);
    }
}
