//! Arbitrary bytes as the JSON body of a message.

use prost_reflect::prost::Message;
use prost_reflect::{DeserializeOptions, DynamicMessage};
use transcoder::Rule;

use crate::message::json::{Json, MAX_LEVELS};
use crate::message::read::{self, *};
use crate::message::{Datum, Record, TOO_DEEP};
use crate::text::{brackets, show};
use crate::world::{Choice, REQUIRED, Root, World};

/// Texts that prost-reflect accepts although ProtoJSON forbids them.
const LENIENT: &[&str] = &[
    DOTTED_NAME,
    DUPLICATE_FIELD,
    DUPLICATE_KEY,
    NOT_INTEGER,
    NULL_ELEMENT,
    NUMBER_TEXT,
    NOT_TIMESTAMP,
    NOT_DURATION,
    NOT_MASK,
    OUT_OF_RANGE,
    REQUIRED,
];

/// A message and its options (see [`Choice`]) and a JSON text: taken or rejected as the oracle
/// takes or rejects it, with the same message as the outcome, and by prost-reflect where that is
/// right.
pub fn json_to_wire(data: &[u8]) {
    let (Choice { root, style }, body) = Choice::split(data);
    let world = &World::of(style);
    let kind = world.message(root.message);
    let is_blank = body.iter().all(u8::is_ascii_whitespace);
    let tree = Json::parse(if is_blank { b"{}" } else { body });
    let expected = tree
        .and_then(|tree| read::message(world, kind, &tree))
        .and_then(|record| world.complete(kind, record));
    let is_comparable = style.is_plain() && !root.is_beyond_others(body);
    match (world.encode(root, body), expected) {
        (Ok(wire), Ok(expected)) => {
            let got = Record::decode(world, kind, &wire);
            assert_eq!(got.as_ref(), Ok(&expected), "{}", show(body));
            check_decodes(world, root, &wire, &expected);
            if is_comparable && let Ok(other) = reference(world, root, body) {
                check_agrees(&other, &expected, body);
            }
        }
        (Err(error), Err(reason)) => {
            if reason != REQUIRED {
                check_error(&error, body);
            }
            // Faults after the place that is too deep are never seen.
            let is_deep = reason == TOO_DEEP || brackets(body) > MAX_LEVELS;
            assert!(
                is_deep || error.rule != Rule::LimitExceeded,
                "{}: {error}, but {reason}",
                show(body)
            );
            if is_comparable && reference(world, root, body).is_ok() {
                let is_known = is_deep || LENIENT.contains(&reason);
                assert!(
                    is_known,
                    "{}: prost-reflect takes it, but {reason}",
                    show(body)
                );
            }
        }
        (Err(error), Ok(_)) => panic!("{} is refused: {error}", show(body)),
        (Ok(_), Err(reason)) => panic!("{} is taken, but: {reason}", show(body)),
    }
}

/// An error says where in the text and in the message.
fn check_error(error: &transcoder::RequestError, body: &[u8]) {
    assert!(!error.description.is_empty(), "{error:?}");
    let offset = error
        .offset
        .unwrap_or_else(|| panic!("{}: {error:?} has no offset", show(body)));
    assert!(offset <= body.len().max(2), "{error:?} is beyond the text");
}

/// Another decoder must read what was written. prost stops at 100 levels, of which a Struct takes
/// three for one of JSON.
fn check_decodes(world: &World, root: Root, wire: &[u8], expected: &Record) {
    let descriptor = world.pool.get_message_by_name(root.message);
    let decoded = DynamicMessage::decode(descriptor.expect("it is in the pool"), wire);
    match decoded {
        Ok(_) => {}
        Err(error) if error.to_string().contains("recursion limit") => {
            assert!(levels(expected) > 90, "{error}");
        }
        Err(error) => panic!("prost-reflect can't read the wire bytes: {error}"),
    }
}

/// Levels of messages on the wire, of which each entry of a map is one.
pub(crate) fn levels(record: &Record) -> usize {
    record.0.values().map(datum_levels).max().unwrap_or(0)
}

fn datum_levels(datum: &Datum) -> usize {
    match datum {
        Datum::Message(record) => 1 + levels(record),
        Datum::List(elements) => elements.iter().map(datum_levels).max().unwrap_or(0),
        Datum::Map(entries) => 1 + entries.values().map(datum_levels).max().unwrap_or(0),
        _ => 0,
    }
}

/// Returns the message that prost-reflect reads from the text.
fn reference(world: &World, root: Root, body: &[u8]) -> Result<Record, String> {
    let descriptor = world.pool.get_message_by_name(root.message);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let message = DynamicMessage::deserialize_with_options(
        descriptor.expect("it is in the pool"),
        &mut deserializer,
        &DeserializeOptions::new(),
    );
    let message = message.map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    let wire = message.encode_to_vec();
    Record::decode(world, world.message(root.message), &wire).map_err(str::to_owned)
}

/// The two may differ where prost-reflect is known to be inexact: it drops `-0.0` where that looks
/// like a default, and reads floats and integers with a fraction or an exponent by way of `f64`.
fn check_agrees(other: &Record, expected: &Record, body: &[u8]) {
    let (other, expected) = (blurred(other), blurred(expected));
    let has_exotic_integer = body
        .windows(2)
        .any(|pair| pair[0].is_ascii_digit() && matches!(pair[1], b'.' | b'e' | b'E'));
    assert!(
        other == expected || (has_exotic_integer && has_wide_integer(&expected)),
        "{}: prost-reflect reads {other:?}, and we {expected:?}",
        show(body)
    );
}

fn has_wide_integer(record: &Record) -> bool {
    record.0.values().any(is_wide)
}

/// Returns whether an integer is in it that `f64` may not hold.
fn is_wide(datum: &Datum) -> bool {
    const EXACT: u64 = 1 << 53;
    match datum {
        Datum::Signed(value) => value.unsigned_abs() > EXACT,
        Datum::Unsigned(value) => *value > EXACT,
        Datum::Message(record) => has_wide_integer(record),
        Datum::List(elements) => elements.iter().any(is_wide),
        Datum::Map(entries) => entries.values().any(is_wide),
        _ => false,
    }
}

fn blurred(record: &Record) -> Record {
    let fields = record
        .0
        .iter()
        .map(|(number, datum)| (*number, blur(datum)));
    // A zero of either sign may be left out.
    let present = fields.filter(|(_, datum)| !matches!(datum, Datum::Double(0) | Datum::Float(0)));
    Record(present.collect())
}

fn blur(datum: &Datum) -> Datum {
    match datum {
        Datum::Double(bits) if f64::from_bits(*bits) == 0.0 => Datum::Double(0),
        // One unit in the last place is what two roundings instead of one can cost.
        Datum::Float(bits) if !f32::from_bits(*bits).is_nan() => match bits & 0x7fff_ffff {
            0 | 1 => Datum::Float(0),
            _ => Datum::Float(0x3f80_0000),
        },
        Datum::Message(record) => Datum::Message(blurred(record)),
        Datum::List(elements) => Datum::List(elements.iter().map(blur).collect()),
        Datum::Map(entries) => {
            let entries = entries
                .iter()
                .map(|(key, value)| (key.clone(), blur(value)));
            Datum::Map(entries.collect())
        }
        datum => datum.clone(),
    }
}
