//! Rules of lists, maps, well-known types and oneofs, and what presence means to them.

use super::{NOW, Rows, World, rule};

#[test]
fn lists() {
    let mut rows = Rows::default();
    rows.add(
        &rule("repeated int32", "repeated = {min_items: 2 max_items: 3}"),
        &["[1, 2]", "[1, 1, 1]"],
        &[
            ("[]", "repeated.min_items"),
            ("", "repeated.min_items"),
            ("[1]", "repeated.min_items"),
            ("[1, 2, 3, 4]", "repeated.max_items"),
        ],
    );
    for kind in ["int32", "sint64", "fixed32", "Size"] {
        rows.add(
            &rule(&format!("repeated {kind}"), "repeated.unique = true"),
            &["[1, 2, 3]", "[]"],
            &[("[1, 2, 1]", "repeated.unique")],
        );
    }
    rows.add(
        &rule("repeated double", "repeated.unique = true"),
        &["[\"NaN\", \"NaN\"]"],
        &[("[0, -0.0]", "repeated.unique")],
    );
    rows.add(
        &rule(
            "repeated string",
            "repeated = {unique: true items: {string: {max_len: 1}}}",
        ),
        &["[\"a\", \"b\"]"],
        &[(
            "[\"aa\", \"b\", \"aa\"]",
            "v repeated.unique, v[0] string.max_len, v[2] string.max_len",
        )],
    );
    rows.add(
        &rule(
            "repeated int32",
            "repeated.items = {ignore: IGNORE_IF_ZERO_VALUE int32: {gt: 5}}",
        ),
        &["[6, 0]"],
        &[("[0, 1]", "v[1] int32.gt")],
    );
    rows.add(
        &rule("repeated Line", "repeated.max_items = 1"),
        &["[{\"sku\": \"a\"}]"],
        &[(
            "[{\"sku\": \"a\"}, {}]",
            "v repeated.max_items, v[1].sku string.min_len",
        )],
    );
    rows.add(
        &rule(
            "repeated google.protobuf.Duration",
            "repeated.items.duration.gt = {seconds: 1}",
        ),
        &["[\"1.5s\"]"],
        &[("[\"2s\", \"1s\"]", "v[1] duration.gt")],
    );
    rows.add(
        &rule("repeated Line", "repeated.items.ignore = IGNORE_ALWAYS"),
        &["[{}]"],
        &[],
    );
    rows.check();
}

#[test]
fn maps() {
    let mut rows = Rows::default();
    rows.add(
        &rule("map<string, int32>", "map = {min_pairs: 1 max_pairs: 2}"),
        &["{\"a\": 1}"],
        &[
            ("", "map.min_pairs"),
            ("{\"a\": 1, \"b\": 1, \"c\": 1}", "map.max_pairs"),
        ],
    );
    rows.add(
        &rule(
            "map<string, string>",
            "map = {keys: {string: {max_len: 1}} values: {string: {min_len: 1}}}",
        ),
        &["{\"a\": \"b\"}"],
        &[(
            "{\"k\\\"\": \"\"}",
            r#"v["k\""] string.max_len, v["k\""] string.min_len"#,
        )],
    );
    rows.add(
        &rule("map<int32, Line>", "map.keys.int32.gt = 0"),
        &["{\"1\": {\"sku\": \"a\"}}"],
        &[("{\"-1\": {}}", "v[-1] int32.gt, v[-1].sku string.min_len")],
    );
    rows.add(
        &rule("map<bool, Size>", "map.values.enum.defined_only = true"),
        &["{\"true\": 1}"],
        &[("{\"true\": 3}", "v[true] enum.defined_only")],
    );
    rows.check();
}

#[test]
fn timestamps() {
    let mut rows = Rows::default();
    let at = |seconds: i64| format!("\"{}\"", rfc3339(NOW as i64 + seconds));
    let (past, now, future) = (at(-1), at(0), at(1));
    let moment = |rules: &str| {
        rule(
            "google.protobuf.Timestamp",
            &format!("timestamp = {{{rules}}}"),
        )
    };
    rows.add(
        &moment("lt_now: true"),
        &[&past, ""],
        &[(&now, "timestamp.lt_now")],
    );
    rows.add(
        &moment("gt_now: true"),
        &[&future],
        &[(&now, "timestamp.gt_now")],
    );
    rows.add(
        &moment("within: {seconds: 60}"),
        &[&at(60), &at(-60)],
        &[
            (&at(61), "timestamp.within"),
            (&at(-61), "timestamp.within"),
        ],
    );
    let epoch = "\"1970-01-01T00:00:00Z\"";
    rows.add(&moment("const: {}"), &[epoch], &[(&now, "timestamp.const")]);
    rows.add(
        &moment("gte: {} lt: {seconds: 5}"),
        &[epoch],
        &[(&now, "timestamp.gte_lt")],
    );
    rows.check();
}

fn rfc3339(seconds: i64) -> String {
    prost_types::Timestamp { seconds, nanos: 0 }.to_string()
}

#[test]
fn durations() {
    let mut rows = Rows::default();
    let span = |rules: &str| {
        rule(
            "google.protobuf.Duration",
            &format!("duration = {{{rules}}}"),
        )
    };
    rows.add(
        &span("const: {nanos: 5}"),
        &["\"0.000000005s\"", ""],
        &[("\"0s\"", "duration.const")],
    );
    rows.add(
        &span("gt: {seconds: 5} lt: {seconds: 1}"),
        &["\"-7s\"", "\"6s\""],
        &[("\"1s\"", "duration.gt_lt_exclusive")],
    );
    rows.add(
        &span("in: [{seconds: 1}, {}]"),
        &["\"0s\""],
        &[("\"2s\"", "duration.in")],
    );
    rows.add(
        &span("not_in: [{seconds: 1}]"),
        &["\"0s\""],
        &[("\"1s\"", "duration.not_in")],
    );
    rows.check();
}

#[test]
fn field_masks_wrappers_and_any() {
    let mut rows = Rows::default();
    let mask = |rules: &str| {
        rule(
            "google.protobuf.FieldMask",
            &format!("field_mask = {{{rules}}}"),
        )
    };
    rows.add(
        &mask("const: {paths: ['a']}"),
        &["\"a\""],
        &[("\"a,b\"", "field_mask.const")],
    );
    rows.add(
        &mask("in: ['a', 'b.c']"),
        &["\"a.x,b.c\""],
        &[("\"b\"", "field_mask.in")],
    );
    rows.add(
        &mask("not_in: ['a']"),
        &["\"ab\""],
        &[("\"b,a.x\"", "field_mask.not_in")],
    );
    let any = |rules: &str| rule("google.protobuf.Any", &format!("any = {{{rules}}}"));
    let plain = "{\"@type\": \"x.example/t.Plain\"}";
    let other = "{\"@type\": \"x.example/t.Line\"}";
    rows.add(
        &any("in: ['x.example/t.Plain']"),
        &[plain, ""],
        &[(other, "any.in")],
    );
    rows.add(
        &any("not_in: ['x.example/t.Plain']"),
        &[other],
        &[(plain, "any.not_in")],
    );
    rows.add(
        &rule("google.protobuf.Int32Value", "int32.gt = 1"),
        &["2", ""],
        &[("0", "int32.gt"), ("1", "int32.gt")],
    );
    rows.add(
        &rule("google.protobuf.StringValue", "string.min_len = 1"),
        &["\"a\""],
        &[("\"\"", "string.min_len")],
    );
    rows.check();
}

#[test]
fn an_any_without_a_type_is_of_no_listed_type() {
    let any = |rules: &str| rule("google.protobuf.Any", &format!("any = {{{rules}}}"));
    for (rules, expected) in [("in", &["v any.in"][..]), ("not_in", &[])] {
        let field = any(&format!("{rules}: ['x.example/t.Plain']"));
        let world = World::new(&format!("message M {{ {field} }}"));
        assert_eq!(super::listed(&world.check(&[0x0a, 0])), expected);
    }
}

#[test]
fn presence() {
    let mut rows = Rows::default();
    let rules = |kind: &str| rule(kind, "required = true");
    rows.add(
        &rules("int32"),
        &["1"],
        &[("0", "required"), ("", "required")],
    );
    rows.add(&rules("optional int32"), &["0"], &[("", "required")]);
    rows.add(&rules("Line"), &["{\"sku\": \"a\"}"], &[("", "required")]);
    rows.add(&rules("repeated int32"), &["[0]"], &[("[]", "required")]);
    rows.add(
        &rules("map<string, int32>"),
        &["{\"\": 0}"],
        &[("{}", "required")],
    );
    // A field with presence is judged when it is set, also where it is set to zero; one without is
    // always judged.
    rows.add(
        &rule("optional int32", "int32.gt = 0"),
        &[""],
        &[("0", "int32.gt")],
    );
    rows.add(&rule("int32", "int32.gt = 0"), &["1"], &[("", "int32.gt")]);
    let if_zero = "(buf.validate.field).ignore = IGNORE_IF_ZERO_VALUE, (buf.validate.field)";
    rows.add(
        &format!("int32 v = 1 [{if_zero}.int32.gt = 5];"),
        &["", "0"],
        &[("1", "int32.gt")],
    );
    rows.add(
        &format!("optional int32 v = 1 [{if_zero}.int32.gt = 5];"),
        &[""],
        &[("0", "int32.gt")],
    );
    rows.add(
        &format!("repeated int32 v = 1 [{if_zero}.repeated.min_items = 2];"),
        &["", "[]"],
        &[("[1]", "repeated.min_items")],
    );
    let always = "(buf.validate.field).ignore = IGNORE_ALWAYS, (buf.validate.field)";
    rows.add(
        &format!("int32 v = 1 [{always}.required = true];"),
        &[""],
        &[],
    );
    rows.add(&rule("Line", "ignore = IGNORE_ALWAYS"), &["{}"], &[]);
    rows.add("Line v = 1;", &[""], &[("{}", "v.sku string.min_len")]);
    rows.check();
}

#[test]
fn oneofs() {
    let world = World::new(
        "message M {
            option (buf.validate.message).oneof = { fields: ['a', 'b'] };
            option (buf.validate.message).oneof = { fields: ['list', 'b'], required: true };
            int32 a = 1 [(buf.validate.field).int32.gt = 5];
            string b = 2;
            repeated int32 list = 3;
            oneof pay_by { option (buf.validate.oneof).required = true;
                string card = 4 [(buf.validate.field).string.min_len = 1]; Line line = 5; }
            oneof other { int32 x = 6; int32 y = 7 [(buf.validate.field).int32.gt = 1]; }
        }",
    );
    for (json, expected) in [
        (r#"{"b": "x", "card": "c"}"#, ""),
        (r#"{"a": 6, "list": [0], "line": {"sku": "s"}}"#, ""),
        (r#"{"list": [0]}"#, "pay_by required"),
        (r#"{"card": "c"}"#, " message.oneof"),
        (r#"{"a": 6, "b": "x", "card": "c"}"#, " message.oneof"),
        (
            r#"{"a": 1, "list": [1], "card": ""}"#,
            "a int32.gt, card string.min_len",
        ),
        (r#"{"b": "x", "line": {}}"#, "line.sku string.min_len"),
        (r#"{"b": "x", "card": "c", "y": 1}"#, "y int32.gt"),
    ] {
        assert_eq!(world.found(json).join(", "), expected, "{json}");
    }
}
