//! The language of mappings: what it accepts, what each mistake names, before the first record and
//! at each one.

use std::sync::Arc;

use formats::{Kind, Place, Record, Settings as Format, Value};
use mapping::{Batch, CompileError, Mapping, Origin, Scope, Settings, Unmapped};
use validation::{Validation, ValidationOptions};

const PROTO: &str = r#"
enum Color { COLOR_UNSPECIFIED = 0; COLOR_RED = 1; }
message Money { string currency = 1; int64 units = 2; }
message Line { string sku = 1; int32 quantity = 2; Money price = 3; }
message Row {
  string text = 1;
  int32 small = 2;
  uint64 big = 3;
  sint64 signed = 4;
  double double = 5;
  bool flag = 6;
  bytes bytes = 7;
  Color color = 8;
  google.protobuf.Timestamp time = 9;
  google.protobuf.Duration span = 10;
  google.protobuf.StringValue maybe = 11;
  Money money = 12;
  repeated Line lines = 13;
  repeated int32 numbers = 14;
  map<string, string> labels = 15;
  oneof way { string post = 16; string mail = 17; }
  google.protobuf.Value any = 18;
  google.protobuf.Any packed = 19;
  string code = 20 [(buf.validate.field).string.max_len = 3];
  repeated string words = 21;
  fixed32 fixed = 22;
  float float = 23;
}
message Batches { string unit = 1; int64 first = 2; int64 last = 3; bool complete = 4; string source = 5; repeated Row rows = 6; }
"#;

fn validation() -> Validation {
    let set = samples::descriptor_set(&[("t.proto", samples::ruled(PROTO))]);
    Validation::compile(&set, &ValidationOptions::default()).unwrap()
}

fn settings(text: &str) -> Settings {
    toml::from_str(text).unwrap()
}

fn compile(format: Kind, field: &str, expression: &str) -> Result<Mapping, CompileError> {
    let mut own = settings("[tables.colors]\nvalues = { rot = 'COLOR_RED', n = '1' }");
    own.map.insert(
        field.to_owned(),
        mapping::Entry::Expression(expression.to_owned()),
    );
    Mapping::compile(
        &own,
        Scope::Record,
        &Format::new(format),
        &validation(),
        "t.Row",
    )
}

fn map(mapping: &Mapping, value: Value) -> Result<Vec<u8>, Unmapped> {
    let record = Record {
        number: 3,
        place: Place::default(),
        value,
        raw: Vec::new(),
    };
    mapping.map(
        &record,
        &Origin {
            source: "s",
            unit: "u",
            id: "u/3",
        },
    )
}

fn json(text: &str) -> Value {
    let text = format!("{text}\n").into_bytes();
    let mut reader = Format::new(Kind::Ndjson)
        .read(std::io::Cursor::new(text))
        .unwrap();
    reader.next().unwrap().unwrap().unwrap().value
}

/// The wire bytes in hexadecimal digits, or the unmapped record.
#[track_caller]
fn result(row: &str, field: &str, expression: &str) -> String {
    let mapping = compile(Kind::Ndjson, field, expression).unwrap();
    match map(&mapping, json(row)) {
        Ok(wire) => wire.iter().map(|byte| format!("{byte:02x}")).collect(),
        Err(unmapped) => unmapped.to_string(),
    }
}

/// The text that an expression makes.
#[track_caller]
fn text(row: &str, expression: &str) -> String {
    let mapping = compile(Kind::Ndjson, "text", expression).unwrap();
    match map(&mapping, json(row)) {
        Ok(wire) => String::from_utf8(wire.get(2..).unwrap_or_default().to_vec()).unwrap(),
        Err(unmapped) => unmapped.to_string(),
    }
}

#[test]
fn texts_are_cleansed() {
    let row = r#"{"a":"  Crème \t  brûlée ","b":"","n":null,"c":"17850.0","f":2.50,"i":7}"#;
    let cases = [
        ("trim(row.a)", "Crème \t  brûlée"),
        ("upper(squeeze(row.a))", "CRÈME BRÛLÉE"),
        ("lower(squeeze(row.a))", "crème brûlée"),
        ("or(row.b, row.n, row.absent, 'else')", "else"),
        ("or(row.absent, row.c)", "17850.0"),
        ("has(row.b) ? row.b : 'none'", "none"),
        ("has(row.absent) ? row.absent : 'none'", "none"),
        ("extract(row.c, '^([0-9]+)[.]0+$')", "17850"),
        ("or(extract(row.a, '[0-9]'), row.c)", "17850.0"),
        ("substitute(row.c, '([0-9])[.]0', '$1!')", "17850!"),
        ("text(row.f)", "2.5"),
        ("fixed(row.f, 2)", "2.50"),
        (
            "text(row.i) + '/' + id + '/' + source + '/' + text(number)",
            "7/u/3/s/3",
        ),
        ("row.c.matches('^[0-9]') ? 'yes' : 'no'", "yes"),
        ("lookup('colors', 'rot')", "COLOR_RED"),
        ("lookup('colors', 'blau', 'none')", "none"),
        (
            "text(decimal(row.f) * decimal('0.45359237') + 1)",
            "2.133980925",
        ),
        (
            "text(round(decimal(row.f) * decimal('0.45359237'), 2))",
            "1.13",
        ),
        (
            "text(decimal(row.f) < decimal('2.6') && decimal(row.c) > 3)",
            "true",
        ),
        ("row['c']", "17850.0"),
    ];
    for (expression, expected) in cases {
        assert_eq!(text(row, expression), expected, "{expression}");
    }
}

#[test]
fn records_that_can_not_be_mapped_name_field_column_rule_and_value() {
    let row = r#"{"p":"2.555","q":"x","big":1e400,"f":2.5,"d":"2011-02-30","n":null,"e":"COLOR_BLUE","t":"30000000000"}"#;
    let cases = [
        ("small", "decimal(row.p, 2)", "small from `p`: SCALE: 2.555"),
        ("small", "whole(row.p)", "small from `p`: NOT_WHOLE: 2.555"),
        ("small", "whole(row.q)", "small from `q`: NOT_A_NUMBER: x"),
        (
            "small",
            "whole(row.t)",
            "small from `t`: OUT_OF_RANGE: 30000000000",
        ),
        ("small", "row.f", "small from `f`: NOT_WHOLE: 2.5"),
        (
            "double",
            "row.big",
            "double from `big`: OUT_OF_RANGE: 1e400",
        ),
        (
            "double",
            "number(row.q)",
            "double from `q`: NOT_A_NUMBER: x",
        ),
        ("text", "row.absent", "text from `absent`: MISSING: absent"),
        ("text", "trim(row.n)", "text from `n`: TYPE: null"),
        ("text", "row.f", "text from `f`: TYPE: 2.5"),
        (
            "text",
            "lookup('colors', row.q)",
            "text from `q`: LOOKUP: x",
        ),
        ("color", "row.e", "color from `e`: ENUM: COLOR_BLUE"),
        (
            "time",
            "time(row.d, '%Y-%m-%d', 'UTC')",
            "time from `d`: TIME: 2011-02-30",
        ),
        (
            "numbers",
            "[1, whole(row.p)]",
            "numbers from `p`: NOT_WHOLE: 2.555",
        ),
        (
            "numbers",
            "[1, row.f]",
            "numbers[1] from `f`: NOT_WHOLE: 2.5",
        ),
        ("big", "-1", "big: OUT_OF_RANGE: -1"),
        (
            "lines",
            "[{'sku': 'a', 'quantty': 1}]",
            "lines[0]: UNKNOWN_FIELD: `t.Line` has no field `quantty`; did you mean 'quantity'?",
        ),
        (
            "small",
            "1 / (whole(row.t) - 30000000000)",
            "small from `t`: OUT_OF_RANGE: ",
        ),
        (
            "code",
            "row.q + 'yzw'",
            "code from `q`: string.max_len: x: must be at most 3 characters",
        ),
        (
            "small",
            "decimal(row.p, 2) + decimal(row.q, 2)",
            "small from `p`: SCALE: 2.555",
        ),
    ];
    for (field, expression, expected) in cases {
        let found = result(row, field, expression);
        assert!(found.starts_with(expected), "{expression}: {found}");
    }
}

#[test]
fn mistakes_are_found_before_the_first_record() {
    let cases = [
        (
            "txt",
            "''",
            None,
            "message `t.Row` has no field `txt`; did you mean 'text'?",
        ),
        (
            "money.unit",
            "1",
            None,
            "message `t.Money` has no field `unit`; did you mean 'units'?",
        ),
        (
            "lines.sku",
            "''",
            None,
            "`lines` is not a single message with fields",
        ),
        (
            "small",
            "row.Quantity",
            None,
            "the field `small` needs int, and its result is of type string; `whole(…)` or `decimal(…, scale)` makes one",
        ),
        (
            "double",
            "row.Quantity",
            None,
            "the field `double` needs double, and its result is of type string; `number(…)` makes one",
        ),
        (
            "time",
            "row.Date",
            None,
            "the field `time` needs timestamp, and its result is of type string; `time(…, format, zone)` makes one",
        ),
        (
            "text",
            "whole(row.a)",
            None,
            "the field `text` needs string, and its result is of type int; `text(…)` makes one",
        ),
        (
            "numbers",
            "1",
            None,
            "the field `numbers` needs list of int, and its result is of type int",
        ),
        (
            "numbers",
            "['a']",
            None,
            "the field `numbers` needs list of int, and its result is of type list of string",
        ),
        (
            "packed",
            "''",
            None,
            "a field of type `google.protobuf.Any` can't be mapped",
        ),
        ("text", "null", None, "its result is always null"),
        (
            "text",
            "uper(row.a)",
            Some(1),
            "no function is named `uper`; did you mean 'upper'?",
        ),
        (
            "text",
            "trim(rwo.a)",
            Some(6),
            "no variable is named `rwo`; did you mean 'row'?",
        ),
        (
            "text",
            "trim(row.a",
            Some(12),
            "mismatched input <EOF> expecting ')'",
        ),
        (
            "text",
            "trim(1)",
            Some(1),
            "`trim(int)`: the function does not accept these types",
        ),
        (
            "text",
            "extract(row.a, row.b)",
            Some(1),
            "argument 2 of `extract` must be a text that is written out",
        ),
        (
            "text",
            "extract(row.a, '(')",
            Some(17),
            "`(` in `extract` is no pattern: ",
        ),
        (
            "time",
            "time(row.a, '%Y-%Q', 'UTC')",
            Some(14),
            "`%Y-%Q` in `time` has a format that strftime doesn't know",
        ),
        (
            "time",
            "time(row.a, '%H:%M', 'UTC')",
            Some(14),
            "`%H:%M` in `time` has a format without a date",
        ),
        (
            "time",
            "time(row.a, '%Y-%m-%d', 'Europe/Londn')",
            Some(26),
            "`Europe/Londn` in `time` is no time zone; did you mean 'Europe/London'?",
        ),
        (
            "time",
            "time(row.a, '%Y-%m-%d', 'UTC', 'first')",
            Some(33),
            "`first` in `time` is neither",
        ),
        (
            "text",
            "lookup('colrs', row.a)",
            Some(9),
            "`colrs` in `lookup` is no table of the mapping; did you mean 'colors'?",
        ),
        (
            "signed",
            "or(row.a, '7')",
            None,
            "the field `signed` needs int, and its result is of type string",
        ),
        (
            "text",
            "decimal(row.a) / decimal('2')",
            None,
            "`/` does not accept decimal and decimal",
        ),
    ];
    for (field, expression, column, expected) in cases {
        let error = compile(Kind::Csv, field, expression).unwrap_err();
        assert_eq!(error.key, format!("map.{field}"), "{expression}");
        assert_eq!(error.field, field, "{expression}");
        assert!(
            error.reason.starts_with(expected),
            "{expression}: {}",
            error.reason
        );
        if column.is_some() {
            assert_eq!(error.column, column, "{expression}: {}", error.reason);
        }
    }
}

#[test]
fn mistakes_of_the_settings_name_their_key() {
    let csv = Format::new(Kind::Csv);
    let error = |text: &str, format: &Format| {
        let error = Mapping::compile(
            &settings(text),
            Scope::Record,
            format,
            &validation(),
            "t.Row",
        );
        error.unwrap_err().to_string()
    };
    let twice = "[map]\nmoney.units = '1'\nmoney = '{}'";
    assert!(toml::from_str::<Settings>(twice).is_err());
    let twice = "[map]\n'money.units' = '1'\nmoney = '{}'";
    assert!(
        error(twice, &csv).contains("`money` is set as a whole")
            || error(twice, &csv).contains("set twice")
    );
    let neither = "[tables.a]\nkey = 'x'";
    assert_eq!(
        error(neither, &csv),
        "tables.a: expected `values`, or `file` with `key` and `value`"
    );
    let absent = "[tables.a]\nfile = '/nowhere/a.csv'\nkey = 'x'\nvalue = 'y'";
    assert!(error(absent, &csv).starts_with("tables.a.file: /nowhere/a.csv: "));
    let mut declared = Format::new(Kind::Csv);
    declared.header = Some(false);
    declared.columns = Some(vec!["Price".to_owned()]);
    let wrong = error("[map]\ntext = 'row.Prise'", &declared);
    assert_eq!(
        wrong,
        "map.text (column 5): `format.columns` has no column `Prise`; did you mean 'Price'?"
    );
    let mapping = Mapping::compile(&settings(""), Scope::Record, &csv, &validation(), "t.Rwo");
    assert_eq!(
        mapping.unwrap_err().to_string(),
        "into: the contract has no message `t.Rwo`"
    );
    declared.columns = None;
    assert!(error("", &declared).starts_with("format.columns: "));
}

#[test]
fn values_are_encoded_as_their_fields_are() {
    let row = r#"{"l":[{"sku":"A","quantity":2,"price":{"currency":"GBP","units":5},"x":1}],"one":"w","s":["a","b"],"f":0.5,"o":{"k":[1,true,null]}}"#;
    let cases = [
        ("text", "''", ""),
        ("small", "-1", "10ffffffffffffffffff01"),
        ("big", "7u", "1807"),
        ("signed", "-2", "2003"),
        ("double", "row.f", "29000000000000e03f"),
        ("float", "decimal('0.5')", "bd010000003f"),
        ("fixed", "1", "b50101000000"),
        ("flag", "true", "3001"),
        ("bytes", "b'ab'", "3a026162"),
        ("color", "'COLOR_RED'", "4001"),
        ("color", "lookup('colors', 'rot')", "4001"),
        (
            "time",
            "time('1970-01-01 00:00:01.5', '%Y-%m-%d %H:%M:%S%.f', 'UTC')",
            "4a0808011080cab5ee01",
        ),
        (
            "time",
            "time('1970-01-01T02:00:00+02:00', '%Y-%m-%dT%H:%M:%S%z')",
            "4a00",
        ),
        ("span", "duration('90s')", "5202085a"),
        ("maybe", "row.one", "5a030a0177"),
        ("maybe", "null == null ? null : 'x'", ""),
        ("money.units", "5", "62021005"),
        ("money.units", "0", ""),
        (
            "money",
            "{'units': 5, 'currency': 'GBP'}",
            "62070a034742501005",
        ),
        ("lines", "row.l", "6a0e0a014110021a070a034742501005"),
        (
            "lines",
            "row.l.map(l, {'sku': lower(l.sku), 'quantity': l.quantity * 2})",
            "6a050a01611004",
        ),
        ("numbers", "[1, 300]", "720301ac02"),
        ("numbers", "[]", ""),
        ("labels", "{'a': 'b'}", "7a060a0161120162"),
        ("words", "list(row.one)", "aa010177"),
        ("words", "row.s", "aa010161aa010162"),
        ("post", "'p'", "82010170"),
        (
            "any",
            "[1, true, null]",
            "92011532130a0911000000000000f03f0a0220010a020800",
        ),
    ];
    for (field, expression, expected) in cases {
        assert_eq!(
            result(row, field, expression),
            expected,
            "{field} = {expression}"
        );
    }
}

#[test]
fn fields_of_one_oneof_exclude_each_other() {
    let own =
        settings("[map]\npost = 'has(row.a) ? row.a : null'\nmail = 'has(row.b) ? row.b : null'");
    let json_format = Format::new(Kind::Ndjson);
    let mapping =
        Mapping::compile(&own, Scope::Record, &json_format, &validation(), "t.Row").unwrap();
    assert!(map(&mapping, json(r#"{"a":"x"}"#)).is_ok());
    assert!(map(&mapping, json(r#"{"b":"x"}"#)).is_ok());
    let both = map(&mapping, json(r#"{"a":"x","b":"y"}"#)).unwrap_err();
    assert_eq!(
        both.to_string(),
        "mail: ONEOF: another field of its oneof is set"
    );
    assert_eq!(mapping.columns().count(), 0, "both are optional");
}

#[test]
fn local_times_are_those_of_their_zone() {
    let seconds = |text: &str, choice: &str| {
        let row = format!(r#"{{"t":"{text}"}}"#);
        let expression =
            format!("text(time(row.t, '%Y-%m-%d %H:%M|%d/%m/%Y %H:%M', 'Europe/London'{choice}))");
        self::text(&row, &expression)
    };
    assert_eq!(seconds("2011-03-01 08:10", ""), "2011-03-01T08:10:00Z");
    assert_eq!(seconds("01/07/2011 08:10", ""), "2011-07-01T07:10:00Z");
    assert_eq!(
        seconds("2011-03-27 01:30", ""),
        "text from `t`: TIME_SKIPPED: 2011-03-27 01:30"
    );
    assert_eq!(seconds("2011-10-30 01:30", ""), "2011-10-30T00:30:00Z");
    assert_eq!(
        seconds("2011-10-30 01:30", ", 'later'"),
        "2011-10-30T01:30:00Z"
    );
    let twice = "text from `t`: TIME_TWICE: 2011-10-30 01:30";
    assert_eq!(seconds("2011-10-30 01:30", ", 'refuse'"), twice);
    for wrong in [
        "2011-13-01 00:00",
        "2011-02-29 00:00",
        "2011-01-01 24:00",
        "11-01-01",
        "",
        "0",
        "2011-01-01 00:00 x",
    ] {
        assert_eq!(seconds(wrong, ""), format!("text from `t`: TIME: {wrong}"));
    }
}

#[test]
fn requests_have_the_variables_of_a_batch() {
    let own = settings(
        "[map]\nunit = 'unit'\nfirst = 'first'\nlast = 'last'\ncomplete = 'complete'\nsource = \"'online-' + source\"",
    );
    let csv = Format::new(Kind::Csv);
    let mapping = Mapping::compile(&own, Scope::Batch, &csv, &validation(), "t.Batches").unwrap();
    let batch = Batch {
        source: "retail",
        unit: "ab",
        first: 1,
        last: 500,
        complete: true,
    };
    let wire = mapping.request(&batch).unwrap();
    assert_eq!(
        wire,
        b"\x0a\x02ab\x10\x01\x18\xf4\x03\x20\x01\x2a\x0donline-retail"
    );
    let row = settings("[map]\nunit = 'row.a'");
    let error = Mapping::compile(&row, Scope::Batch, &csv, &validation(), "t.Batches").unwrap_err();
    assert_eq!(error.reason, "no variable is named `row`");
}

#[test]
fn the_version_is_that_of_the_settings() {
    let version = |text: &str, kind| {
        let mapping = Mapping::compile(
            &settings(text),
            Scope::Record,
            &Format::new(kind),
            &validation(),
            "t.Row",
        );
        mapping.unwrap().version().to_owned()
    };
    let one = version("[map]\ntext = 'row.a'", Kind::Csv);
    assert_eq!(one.len(), 16);
    assert_eq!(one, version("[map]\n'text'   = \"row.a\"", Kind::Csv));
    assert_ne!(one, version("[map]\ntext = 'row.b'", Kind::Csv));
    assert_ne!(one, version("[map]\ntext = 'row.a'", Kind::Xlsx));
}

#[test]
fn expressions_are_metered() {
    let many: Vec<Value> = (0..30_000).map(Value::Int).collect();
    let mapping = compile(Kind::Ndjson, "numbers", "row.l.map(n, n + 1)").unwrap();
    let row = Value::Map(vec![(Arc::from("l"), Value::List(many))]);
    assert_eq!(map(&mapping, row).unwrap_err().rule, "TOO_EXPENSIVE");
}
