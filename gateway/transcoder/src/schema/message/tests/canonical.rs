use std::sync::LazyLock;

use proptest::prelude::*;
use wire::{MAX_DEPTH, WireError};

use crate::{Schema, testing};

const PROTO3: &str = "
    message M {
        int32 number = 1;
        optional int32 present = 2;
        string text = 3;
        M child = 4;
        repeated int32 packed = 5;
        repeated int32 loose = 6 [packed = false];
        map<int32, string> map = 7;
        map<string, M> children = 8;
        oneof choice { int32 left = 9; M right = 10; }
        uint32 narrow = 11;
        sint32 signed = 12;
        bool flag = 13;
        double real = 14;
        map<sfixed32, bool> signed_keys = 15;
        repeated M list = 16;
    }
";

const PROTO2: &str = r#"
    syntax = "proto2";
    package p;
    enum E { A = 0; B = 1; }
    enum FromOne { ONE = 1; TWO = 2; }
    message M {
        optional E one = 1;
        repeated E many = 2;
        repeated E packed = 3 [packed = true];
        map<int32, E> map = 4;
        optional string text = 5;
        optional group Inner = 6 { optional int32 a = 1; optional int32 b = 2; }
        optional Set set = 7;
        oneof choice { int32 number = 8; E value = 9; }
        map<sint32, FromOne> from_one = 10;
    }
    message Set {
        option message_set_wire_format = true;
        extensions 4 to max;
    }
    message Member {
        extend Set { optional Member member = 1000; }
        optional int32 a = 1;
        optional int32 b = 2;
    }
"#;

fn proto3() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| testing::compile(PROTO3).unwrap());
    &SCHEMA
}

fn proto2() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        Schema::compile(&testing::descriptor_set(&[("p.proto", PROTO2)])).unwrap()
    });
    &SCHEMA
}

fn canonical(schema: &Schema, name: &str, wire: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::new();
    let message = schema.message(name).unwrap();
    message.canonical(wire, &mut out).map(|()| out)
}

#[track_caller]
fn check(schema: &Schema, name: &str, wire: &[u8], expected: &[u8]) {
    let found = canonical(schema, name, wire).unwrap();
    assert_eq!(found, expected);
    let again = canonical(schema, name, &found).unwrap();
    assert_eq!(again, expected, "a canonical message changes no more");
}

#[test]
fn fields_stand_in_the_order_of_their_numbers_and_the_last_of_one_counts() {
    let wire = [0x1a, 1, b'x', 0x08, 1, 0x1a, 1, b'y', 0x08, 2];
    check(proto3(), "t.M", &wire, &[0x08, 2, 0x1a, 1, b'y']);
}

#[test]
fn messages_that_come_more_than_once_are_merged() {
    let wire = [0x22, 4, 0x08, 1, 0x2a, 0, 0x22, 5, 0x08, 2, 0x2a, 1, 7];
    check(proto3(), "t.M", &wire, &[0x22, 5, 0x08, 2, 0x2a, 1, 7]);
}

#[test]
fn defaults_without_presence_go_and_others_stay() {
    let zeros = [0x08, 0, 0x10, 0, 0x1a, 0, 0x68, 0, 0x22, 0];
    check(proto3(), "t.M", &zeros, &[0x10, 0, 0x22, 0]);
    // Minus zero is not the default.
    let minus_zero = [0x71, 0, 0, 0, 0, 0, 0, 0, 0x80];
    check(proto3(), "t.M", &minus_zero, &minus_zero);
}

#[test]
fn lists_are_packed_as_declared_whatever_their_form() {
    let wire = [0x28, 1, 0x2a, 2, 2, 3, 0x32, 2, 4, 5, 0x30, 6, 0x2a, 0];
    let expected = [0x2a, 3, 1, 2, 3, 0x30, 4, 0x30, 5, 0x30, 6];
    check(proto3(), "t.M", &wire, &expected);
    check(proto3(), "t.M", &[0x2a, 0], &[]);
}

#[test]
fn numbers_are_at_their_shortest_and_within_their_type() {
    let wire = [
        0x58, 0xff, 0xff, 0xff, 0xff, 0x1f, // More than 32 bits.
        0x60, 0x81, 0x80, 0x80, 0x80, 0x10, // So too.
        0x68, 0x82, 0x80, 0x00, // A bool of two, too long.
        0x08, 0xff, 0xff, 0xff, 0xff, 0x0f, // Minus one in 32 bits.
    ];
    let mut expected = vec![0x08];
    expected.extend([0xff; 9]);
    expected.push(1);
    expected.extend([0x58, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x60, 1, 0x68, 1]);
    check(proto3(), "t.M", &wire, &expected);
}

#[test]
fn map_entries_are_sorted_and_the_last_of_a_key_counts() {
    let wire = [
        0x3a, 5, 0x08, 2, 0x12, 1, b'a', // 2: a
        0x3a, 3, 0x12, 1, b'b', // 0: b
        0x3a, 5, 0x12, 1, b'c', 0x08, 2, // 2: c, the value first
        0x3a, 2, 0x08, 1, // 1, without a value
    ];
    let expected = [
        0x3a, 5, 0x08, 0, 0x12, 1, b'b', //
        0x3a, 4, 0x08, 1, 0x12, 0, //
        0x3a, 5, 0x08, 2, 0x12, 1, b'c',
    ];
    check(proto3(), "t.M", &wire, &expected);
    let minus_one = [0x7a, 7, 0x0d, 0xff, 0xff, 0xff, 0xff, 0x10, 1];
    let plus_one = [0x7a, 7, 0x0d, 1, 0, 0, 0, 0x10, 0];
    let wire = [plus_one, minus_one].concat();
    check(proto3(), "t.M", &wire, &[minus_one, plus_one].concat());
}

#[test]
fn zigzag_keys_are_sorted_by_value_and_an_absent_enum_is_its_first_value() {
    let entry = |key: u8, value: u8| [0x52, 4, 0x08, key, 0x10, value];
    let wire = [&[0x52, 2, 0x08, 2], &entry(1, 2)[..]].concat();
    check(proto2(), "p.M", &wire, &[entry(1, 2), entry(2, 1)].concat());
}

#[test]
fn a_message_in_a_map_is_never_merged_with_that_of_another_entry() {
    let first = [0x42, 7, 0x0a, 1, b'k', 0x12, 2, 0x08, 1];
    let second = [0x42, 7, 0x0a, 1, b'k', 0x12, 2, 0x58, 2];
    check(proto3(), "t.M", &[first, second].concat(), &second);
    let within = [0x42, 11, 0x0a, 1, b'k', 0x12, 2, 0x08, 1, 0x12, 2, 0x58, 2];
    let merged = [0x42, 9, 0x0a, 1, b'k', 0x12, 4, 0x08, 1, 0x58, 2];
    check(proto3(), "t.M", &within, &merged);
    let empty = [0x42, 5, 0x0a, 1, b'k', 0x12, 0];
    check(proto3(), "t.M", &[0x42, 3, 0x0a, 1, b'k'], &empty);
}

#[test]
fn the_last_member_of_a_oneof_counts_and_forgets_what_it_had_before_another() {
    check(proto3(), "t.M", &[0x48, 1, 0x52, 0], &[0x52, 0]);
    let wire = [0x52, 2, 0x08, 1, 0x48, 1, 0x52, 2, 0x58, 2];
    check(proto3(), "t.M", &wire, &[0x52, 2, 0x58, 2]);
    let wire = [0x52, 2, 0x08, 1, 0x52, 2, 0x58, 2];
    check(proto3(), "t.M", &wire, &[0x52, 4, 0x08, 1, 0x58, 2]);
}

#[test]
fn unknown_fields_follow_as_they_came() {
    let unknown = [
        0xa3, 0x06, 0x08, 1, 0xa4, 0x06, // A group with number 100.
        0xa2, 0x06, 1, b'x', // The number again, as text.
        0x0a, 1, b'y', // Field 1 with a wire type that is not its own.
    ];
    let wire = [&unknown[..6], &[0x08, 1], &unknown[6..]].concat();
    let expected = [&[0x08, 1], &unknown[..]].concat();
    check(proto3(), "t.M", &wire, &expected);
}

#[test]
fn numbers_that_a_closed_enum_does_not_name_are_unknown_fields() {
    let schema = proto2();
    check(schema, "p.M", &[0x08, 1, 0x08, 5], &[0x08, 1, 0x08, 5]);
    check(
        schema,
        "p.M",
        &[0x10, 5, 0x10, 1, 0x10, 6, 0x10, 0],
        &[0x10, 1, 0x10, 0, 0x10, 5, 0x10, 6],
    );
    check(
        schema,
        "p.M",
        &[0x1a, 3, 5, 1, 6],
        &[0x1a, 1, 1, 0x18, 5, 0x18, 6],
    );
    check(
        schema,
        "p.M",
        &[0x22, 4, 0x08, 1, 0x10, 5, 0x22, 4, 0x08, 1, 0x10, 1],
        &[0x22, 4, 0x08, 1, 0x10, 1, 0x22, 4, 0x08, 1, 0x10, 5],
    );
    // Such a number settles no oneof.
    check(schema, "p.M", &[0x40, 7, 0x48, 5], &[0x40, 7, 0x48, 5]);
    check(schema, "p.M", &[0x40, 7, 0x48, 1], &[0x48, 1]);
}

#[test]
fn text_is_utf8_where_the_schema_says_so() {
    let nested = [0x22, 3, 0x1a, 1, 0xff];
    let error = canonical(proto3(), "t.M", &nested).unwrap_err();
    assert_eq!(error.to_string(), "child.text: string is not UTF-8");
    let key = [0x42, 3, 0x0a, 1, 0xff];
    assert!(canonical(proto3(), "t.M", &key).is_err());
    check(proto2(), "p.M", &[0x2a, 1, 0xff], &[0x2a, 1, 0xff]);
}

#[test]
fn what_was_replaced_is_checked_as_well() {
    let text = [0x1a, 1, 0xff, 0x1a, 0];
    assert!(canonical(proto3(), "t.M", &text).is_err());
    let member = [0x52, 3, 0x1a, 1, 0xff, 0x48, 1];
    let error = canonical(proto3(), "t.M", &member).unwrap_err();
    assert_eq!(error.to_string(), "right.text: string is not UTF-8");
    let entry = [0x42, 5, 0x12, 3, 0x1a, 1, 0xff, 0x42, 0];
    assert!(canonical(proto3(), "t.M", &entry).is_err());
}

#[test]
fn groups_are_merged_as_messages_are() {
    let wire = [0x33, 0x10, 2, 0x34, 0x33, 0x08, 1, 0x34];
    check(proto2(), "p.M", &wire, &[0x33, 0x08, 1, 0x10, 2, 0x34]);
}

#[test]
fn members_of_message_sets_are_merged_and_unknown_ones_kept() {
    let schema = proto2();
    let item = |content: &[u8]| [&[0x0b], content, &[0x0c]].concat();
    let number = [0x10, 0xe8, 0x07];
    let a = item(&[&number[..], &[0x1a, 2, 0x08, 1]].concat());
    let b_number_last = item(&[&[0x1a, 2, 0x10, 2], &number[..]].concat());
    let plain = [0xc2, 0x3e, 2, 0x08, 3];
    let stranger = item(&[0x10, 9, 0x1a, 1, b'x']);
    let merged = item(&[&number[..], &[0x1a, 4, 0x08, 1, 0x10, 2]].concat());
    check(
        schema,
        "p.Set",
        &[&stranger[..], &a, &b_number_last].concat(),
        &[&merged[..], &stranger].concat(),
    );
    let plain_alone = item(&[&number[..], &[0x1a, 2, 0x08, 3]].concat());
    check(schema, "p.Set", &plain, &plain_alone);
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize, innermost: &[u8]| {
        (1..levels).fold(innermost.to_vec(), |inner: Vec<u8>, _| {
            let mut outer = vec![0x22];
            wire::put_varint(&mut outer, inner.len() as u64);
            outer.extend(inner);
            outer
        })
    };
    // An entry without its value, which is written all the same.
    let entry = [0x42, 0];
    for (levels, innermost) in [(MAX_DEPTH, &[][..]), (MAX_DEPTH - 1, &entry)] {
        assert!(canonical(proto3(), "t.M", &nested(levels, innermost)).is_ok());
        let error = canonical(proto3(), "t.M", &nested(levels + 1, innermost)).unwrap_err();
        assert_eq!(error.description, "message is nested too deeply");
    }
}

#[test]
fn a_message_that_is_cut_off_is_refused() {
    let wire = [
        0x22, 12, 0x3a, 7, 0x08, 2, 0x12, 3, b'a', b'b', b'c', 0x52, 1, 0x08,
    ];
    assert!(canonical(proto3(), "t.M", &wire).is_err(), "inner content");
    let whole = [0x22, 4, 0x1a, 2, b'a', b'b', 0x42, 3, 0x0a, 1, b'k'];
    let boundaries = [0, 6, whole.len()];
    for end in 0..=whole.len() {
        let is_whole = canonical(proto3(), "t.M", &whole[..end]).is_ok();
        assert_eq!(is_whole, boundaries.contains(&end), "{end}");
    }
}

fn wire() -> impl Strategy<Value = Vec<u8>> {
    let content = prop::collection::vec(any::<u8>(), 0..6);
    let leaf = (1u8..=17, prop::sample::select(vec![0u8, 1, 2, 5]), content)
        .prop_map(|(number, wire_type, content)| field(number, wire_type, &content));
    let leaves = prop::collection::vec(leaf, 0..6).prop_map(|fields| fields.concat());
    leaves.prop_recursive(4, 64, 4, |inner| {
        prop::collection::vec((1u8..=17, inner), 0..4).prop_map(|fields| {
            let fields = fields
                .iter()
                .map(|(number, inner)| field(*number, 2, inner));
            fields.collect::<Vec<_>>().concat()
        })
    })
}

/// Returns a field of this wire type, whose value is made of `content`.
fn field(number: u8, wire_type: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_varint(&mut out, u64::from(number) << 3 | u64::from(wire_type));
    let mut fixed = content.to_vec();
    fixed.resize(8, 0);
    match wire_type {
        0 => wire::put_varint(&mut out, content.iter().map(|b| u64::from(*b)).sum()),
        1 => out.extend(&fixed),
        5 => out.extend(&fixed[..4]),
        _ => {
            wire::put_varint(&mut out, content.len() as u64);
            out.extend(content);
        }
    }
    out
}

fn json(schema: &Schema, wire: &[u8]) -> Result<serde_json::Value, WireError> {
    let mut out = Vec::new();
    let message = schema.message("t.M").unwrap();
    message.write_json(wire, &mut out)?;
    Ok(serde_json::from_slice(&out).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig {
        // A failing case is printed; it belongs into a test of its own, not into a file.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_canonical_form_means_the_same_and_is_its_own(wire in wire()) {
        let schema = proto3();
        if let Ok(found) = canonical(schema, "t.M", &wire) {
            prop_assert_eq!(canonical(schema, "t.M", &found), Ok(found.clone()));
            prop_assert_eq!(json(schema, &wire), json(schema, &found));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(wire in prop::collection::vec(any::<u8>(), 0..64)) {
        for (schema, name) in [(proto3(), "t.M"), (proto2(), "p.M"), (proto2(), "p.Set")] {
            if let Ok(found) = canonical(schema, name, &wire) {
                prop_assert_eq!(canonical(schema, name, &found), Ok(found.clone()));
            }
        }
    }
}
