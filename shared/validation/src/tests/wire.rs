//! Cases that only bytes have: order, repetition, pieces, packed runs, and malformed messages.

use proptest::prelude::*;

use super::{World, listed};

use ::wire::{MAX_DEPTH, Reader, Tag, WireType, put_delimited, put_varint};

pub(super) const MESSAGE: &str = "
    message M {
        int32 number = 1 [(buf.validate.field).int32.gt = 5];
        string text = 2 [(buf.validate.field).string.min_len = 2];
        Part part = 3 [(buf.validate.field).required = true];
        repeated sint32 list = 4 [(buf.validate.field).repeated = {unique: true max_items: 3 items: {sint32: {gt: 0}}}];
        map<string, Part> parts = 5 [(buf.validate.field).map.max_pairs = 2];
        oneof choice { option (buf.validate.oneof).required = true;
            string a = 6 [(buf.validate.field).string.min_len = 1]; Part b = 7; }
        google.protobuf.Duration wait = 8 [(buf.validate.field).duration.gt = {seconds: 1 nanos: 1}];
    }
    message Part { int32 x = 1 [(buf.validate.field).int32.gt = 0]; int32 y = 2 [(buf.validate.field).int32.gt = 0]; }
";

thread_local!(static WORLD: World = World::new(MESSAGE));

fn found(bytes: &[u8]) -> Vec<String> {
    WORLD.with(|world| listed(&world.check(bytes)))
}

/// A message that breaks nothing, to be spoilt by what follows it.
const GOOD: &[u8] = b"\x08\x06\x12\x02ab\x1a\x04\x08\x01\x10\x01\x32\x01c";

#[track_caller]
fn check(more: &[u8], expected: &[&str]) {
    assert_eq!(found(&[GOOD, more].concat()), expected, "{more:02x?}");
}

#[test]
fn the_last_scalar_counts() {
    check(b"", &[]);
    check(b"\x08\x01", &["number int32.gt"]);
    check(b"\x08\x01\x08\x07", &[]);
    check(b"\x12\x00", &["text string.min_len"]);
}

#[test]
fn pieces_of_a_message_merge() {
    check(b"\x1a\x02\x08\x00", &["part.x int32.gt"]);
    assert_eq!(
        found(b"\x32\x01c\x1a\x02\x08\x01\x12\x02ab\x1a\x02\x10\x01\x08\x06"),
        [""; 0]
    );
    check(b"\x42\x02\x08\x01", &["wait duration.gt"]);
    check(b"\x42\x02\x08\x01\x42\x02\x10\x02", &[]);
}

#[test]
fn packed_and_single_elements_make_one_list() {
    check(b"\x22\x02\x02\x04\x20\x06", &[]);
    check(b"\x20\x02\x22\x02\x04\x02", &["list repeated.unique"]);
    check(
        b"\x22\x03\x02\x04\x06\x20\x07",
        &["list repeated.max_items", "list[3] sint32.gt"],
    );
    check(b"\x22\x00", &[]);
}

#[test]
fn the_last_member_of_a_oneof_counts() {
    check(b"\x32\x00", &["a string.min_len"]);
    check(b"\x32\x00\x3a\x04\x08\x01\x10\x01", &[]);
    check(b"\x3a\x02\x08\x01", &["b.y int32.gt"]);
    // What the first piece of `b` had is lost when `a` comes between.
    check(
        b"\x3a\x02\x08\x01\x32\x01c\x3a\x02\x10\x01",
        &["b.x int32.gt"],
    );
    check(b"\x3a\x02\x08\x01\x3a\x02\x10\x01", &[]);
}

#[test]
fn map_entries_may_lack_key_or_value_and_repeat() {
    check(
        b"\x2a\x00",
        &[r#"parts[""].x int32.gt"#, r#"parts[""].y int32.gt"#],
    );
    let k = b"\x2a\x09\x0a\x01k\x12\x04\x08\x01\x10\x01";
    check(k, &[]);
    check(&[&b"\x2a\x03\x0a\x01k"[..], k, k, k].concat(), &[]);
    check(
        &[&k[..], b"\x2a\x03\x0a\x01k"].concat(),
        &[r#"parts["k"].x int32.gt"#, r#"parts["k"].y int32.gt"#],
    );
    // Two pieces of the value within one entry merge, and the last key counts.
    check(
        b"\x2a\x0e\x12\x02\x08\x01\x0a\x01j\x12\x02\x10\x01\x0a\x01k",
        &[],
    );
    check(
        b"\x2a\x06\x0a\x00\x12\x02\x08\x01",
        &[r#"parts[""].y int32.gt"#],
    );
}

#[test]
fn long_lists_and_maps_are_compared_in_linear_time() {
    let count = 200_000_u32;
    let fixed = |number: u32| number.to_le_bytes();
    let world = World::new(
        "message M { repeated fixed32 list = 1 [(buf.validate.field).repeated.unique = true];
            map<fixed32, bool> map = 2 [(buf.validate.field).map.max_pairs = 200000]; }",
    );
    let run: Vec<u8> = (0..count).flat_map(fixed).collect();
    let mut list = Vec::new();
    put_delimited(&mut list, Tag::new(1, WireType::Delimited), &run);
    let entry = |key: u32| [&[0x12, 5, 0x0d][..], &fixed(key)].concat();
    let map: Vec<u8> = (0..count).flat_map(entry).collect();
    let all = [list, map].concat();
    assert_eq!(listed(&world.check(&all)), [""; 0]);
    let twice = [&all[..], b"\x0d\x07\0\0\0", &entry(7)].concat();
    assert_eq!(listed(&world.check(&twice)), ["list repeated.unique"]);
    let more = [&all[..], &entry(count)].concat();
    assert_eq!(listed(&world.check(&more)), ["map map.max_pairs"]);
}

#[test]
fn a_small_message_is_checked_without_allocating() {
    let world = World::new(MESSAGE);
    let validator = world.validator();
    let lists = b"\x22\x03\x02\x04\x06\x2a\x09\x0a\x01k\x12\x04\x08\x01\x10\x01";
    let wire = [GOOD, lists, b"\x42\x02\x08\x02"].concat();
    let mut outcome = None;
    let info = allocation_counter::measure(|| outcome = Some(validator.check(&wire)));
    assert_eq!(outcome, Some(Ok(crate::Violations::default())));
    assert_eq!(info.count_total, 0);
}

#[test]
fn groups_are_messages() {
    let source = "syntax = \"proto2\"; package t; import \"buf/validate/validate.proto\";
        message M { repeated group Line = 1 { optional int32 x = 1 [(buf.validate.field).int32.gt = 0]; } }";
    let set = samples::descriptor_set(&[("t.proto", source)]);
    let options = crate::ValidationOptions::default();
    let validation = crate::Validation::compile(&set, &options).unwrap();
    let validator = validation.validator("t.M").unwrap();
    let found = validator.check(b"\x0b\x08\x01\x0c\x0b\x08\x00\x0c\x0b\x0c");
    assert_eq!(listed(&found.unwrap()), ["line[1].x int32.gt"]);
}

#[test]
fn bytes_that_are_no_message_are_errors_with_a_path() {
    let world = World::new(MESSAGE);
    let validator = world.validator();
    for (bytes, path) in [
        (&b"\xff\xff"[..], ""),
        (b"\x12\x05a", "text"),
        (b"\x12\x01\xff", "text"),
        (b"\x1a\x01\x08", "part.x"),
        (b"\x0a\x01a", "number"),
        (b"\x2a\x03\x0a\x01\xff", "parts.key"),
        (b"\x22\x01\x80", "list"),
        (b"\x0c", "number"),
    ] {
        let error = validator.check(bytes).unwrap_err();
        assert_eq!(error.path, path, "{bytes:02x?}: {error}");
    }
    // Fields that nobody knows are left alone.
    assert!(validator.check(b"\xa2\x06\x01\xff").is_ok());
}

#[test]
fn nesting_is_bounded() {
    let world =
        World::new("message M { M m = 1; int32 x = 2 [(buf.validate.field).int32.gte = 0]; }");
    let nested = |depth: usize| {
        (0..depth).fold(Vec::new(), |inner, _| {
            let mut outer = Vec::new();
            put_delimited(&mut outer, Tag::new(1, WireType::Delimited), &inner);
            outer
        })
    };
    let validator = world.validator();
    let deepest = nested(MAX_DEPTH - 1);
    assert!(validator.check(&deepest).is_ok());
    let deeper = nested(MAX_DEPTH);
    let error = validator.check(&deeper).unwrap_err();
    assert_eq!(error.description, ::wire::TOO_DEEP);
    assert!(validator.check(&nested(20_000)).is_err());
}

/// Returns the fields of [`MESSAGE`], one at a time.
pub(super) fn field() -> impl Strategy<Value = Vec<u8>> {
    let delimited = |number: u32, content: Vec<u8>| {
        let mut out = Vec::new();
        put_delimited(&mut out, Tag::new(number, WireType::Delimited), &content);
        out
    };
    let part = prop::collection::vec((1..3u32, 0..2u64), 0..3).prop_map(|fields| {
        let mut out = Vec::new();
        for (number, value) in fields {
            Tag::new(number, WireType::Varint).put(&mut out);
            put_varint(&mut out, value);
        }
        out
    });
    prop_oneof![
        (4..8u8).prop_map(|number| vec![8, number]),
        "[a-c]{0,3}".prop_map(move |text| delimited(2, text.into_bytes())),
        (prop::sample::select(vec![3, 7]), part.clone())
            .prop_map(move |(number, part)| delimited(number, part)),
        prop::collection::vec(0..8u8, 0..3).prop_map(move |run| delimited(4, run)),
        (0..8u8).prop_map(|element| vec![0x20, element]),
        ("[ab]?", part).prop_map(move |(key, part)| {
            let entry = [delimited(1, key.into_bytes()), delimited(2, part)].concat();
            delimited(5, entry)
        }),
        "[a-c]{0,1}".prop_map(move |text| delimited(6, text.into_bytes())),
        (1..3u8, 0..3u8).prop_map(move |(number, value)| delimited(8, vec![number * 8, value])),
    ]
}

fn number_of(field: &[u8]) -> u32 {
    Reader::new(field).tag().unwrap().unwrap().0
}

/// Splits a submessage into pieces of one field each.
pub(super) fn split(field: &[u8]) -> Vec<u8> {
    let number = number_of(field);
    if ![3, 7, 8].contains(&number) {
        return field.to_vec();
    }
    let mut reader = Reader::new(field);
    reader.tag().unwrap();
    let mut content = Reader::new(reader.delimited().unwrap());
    let tag = Tag::new(number, WireType::Delimited);
    let mut out = Vec::new();
    put_delimited(&mut out, tag, &[]);
    loop {
        let before = content.rest;
        let Some((inner, wire_type)) = content.tag().unwrap() else {
            return out;
        };
        content.skip(inner, wire_type).unwrap();
        let piece = &before[..before.len() - content.rest.len()];
        put_delimited(&mut out, tag, piece);
    }
}

proptest! {
    #[test]
    fn order_and_pieces_do_not_change_the_answer(
        mut fields in prop::collection::vec(field(), 0..12),
        keys in prop::collection::vec(any::<u32>(), 8),
    ) {
        let found = |fields: &[Vec<u8>]| WORLD.with(|world| world.check(&fields.concat()));
        let expected = found(&fields);
        let pieces: Vec<Vec<u8>> = fields.iter().map(|field| split(field)).collect();
        prop_assert_eq!(&found(&pieces), &expected);
        // Whole fields change places; what is said of one field, or of one oneof, keeps its order.
        let class = |field: &Vec<u8>| match number_of(field) { 7 => 6, number => number };
        fields.sort_by_key(|field| keys[class(field) as usize % keys.len()]);
        prop_assert_eq!(&found(&fields), &expected);
    }
}
