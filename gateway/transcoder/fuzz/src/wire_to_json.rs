//! Arbitrary bytes as the wire form of a message.

use http::Method;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::Value;

use crate::json_to_wire::levels;
use crate::message::{Datum, Raw, Record, TOO_DEEP, is_of, occurrences, write};
use crate::text::show;
use crate::world::{Choice, Root, Type, World};

/// Levels from which on the transcoder may say that a message is nested too deeply: an Any and its
/// message are one level of JSON but two of the wire.
const DEEP: usize = transcoder::MAX_DEPTH / 2;

/// A message and its options (see [`Choice`]) and wire bytes: written as the oracle writes them or
/// rejected as it rejects them; what is written reads back as the same message.
pub fn wire_to_json(data: &[u8]) {
    let (Choice { root, style }, wire) = Choice::split(data);
    let world = &World::of(style);
    let kind = world.message(root.message);
    let record = Record::decode(world, kind, wire);
    let expected = record
        .clone()
        .and_then(|record| write::message(world, kind, &record));
    let mut json = b"before".to_vec();
    let found = world.route(&Method::POST, root);
    let written = found.route().write_response(wire, &mut json);
    assert!(json.starts_with(b"before"), "what was there is gone");
    let json = &json[b"before".len()..];
    match (written, expected, record) {
        (Ok(()), Ok(expected), Ok(record)) => {
            let got: Value = serde_json::from_slice(json)
                .unwrap_or_else(|error| panic!("{error}: {}", show(json)));
            assert!(
                is_same(&got, &expected),
                "{}: {got}, but expected {expected}",
                show(wire)
            );
            check_one_line(json);
            check_back(world, root, json, &record);
            check_canonical(world, root, wire, &record, &got);
            if style.is_plain() && !root.is_beyond_others(wire) {
                check_reference(world, root, wire, &got);
            }
        }
        (Err(error), Ok(_), Ok(record)) => {
            // Later bytes may mend what earlier ones break; not to look at it so closely is right
            // as well.
            let is_deep = error.description.contains("deep") && levels(&record) >= DEEP;
            let is_broken = !write::is_whole(world, kind, wire);
            assert!(is_deep || is_broken, "{} is refused: {error}", show(wire));
        }
        (Ok(()), Err(reason), _) => {
            assert!(
                reason == TOO_DEEP,
                "{} is written, but: {reason}",
                show(wire)
            );
        }
        (Err(_), ..) => assert!(json.is_empty(), "a failure leaves {}", show(json)),
        (Ok(()), Ok(_), Err(reason)) => panic!("the oracle writes what it can't read: {reason}"),
    }
}

/// Equal, but for floats of 32 bits: of two texts that are equally short and equally near, either
/// will do.
fn is_same(got: &Value, expected: &Value) -> bool {
    match (got, expected) {
        (Value::Array(got), Value::Array(expected)) => {
            got.len() == expected.len() && got.iter().zip(expected).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(got), Value::Object(expected)) => {
            let is_member = |(key, value)| got.get(key).is_some_and(|own| is_same(own, value));
            got.len() == expected.len() && expected.iter().all(is_member)
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() && a != b => {
            let narrow = |number: &serde_json::Number| number.as_f64().map(|value| value as f32);
            narrow(a) == narrow(b) && a.to_string().len() == b.to_string().len()
        }
        (got, expected) => got == expected,
    }
}

/// The framings of streams rely on it.
fn check_one_line(json: &[u8]) {
    assert!(
        !json.contains(&b'\n') && !json.contains(&b'\r'),
        "{}",
        show(json)
    );
}

/// The written text reads back as the same message.
fn check_back(world: &World, root: Root, json: &[u8], record: &Record) {
    let kind = world.message(root.message);
    let expected = world.complete(kind, settled(world, kind, record));
    let wire = match world.encode(root, json) {
        Ok(wire) => wire,
        // Requests are held to what is required, responses are not.
        Err(_) if expected.is_err() => return,
        // An array is a level of JSON, but not of messages.
        Err(error) if error.rule == transcoder::Rule::LimitExceeded => {
            assert!(levels(record) >= DEEP / 2, "{}: {error}", show(json));
            return;
        }
        Err(error) => panic!("{} does not read back: {error}", show(json)),
    };
    let again = Record::decode(world, kind, &wire);
    assert_eq!(again, expected, "{}", show(json));
}

/// The canonical form is the same message, and its own canonical form.
fn check_canonical(world: &World, root: Root, wire: &[u8], record: &Record, json: &Value) {
    let message = world.schema.message(root.message);
    let message = message.expect("the schema has it");
    let mut canonical = Vec::new();
    if let Err(error) = message.canonical(wire, &mut canonical) {
        // It counts levels of the wire, of which a Struct takes three for one of JSON.
        let is_deep = error.description.contains("deep") && levels(record) >= DEEP;
        let kind = world.message(root.message);
        let is_broken = !write::is_whole(world, kind, wire);
        assert!(
            is_deep || is_broken,
            "{} has JSON, but: {error}",
            show(wire)
        );
        return;
    }
    let (mut again, mut text) = (Vec::new(), Vec::new());
    let kind = world.message(root.message);
    let decoded = Record::decode(world, kind, &canonical);
    assert_eq!(decoded.as_ref(), Ok(record), "{}", show(wire));
    assert_eq!(message.canonical(&canonical, &mut again), Ok(()));
    assert_eq!(again, canonical, "{} settles twice", show(wire));
    assert_eq!(message.write_json(&canonical, &mut text), Ok(()));
    let text: Value = serde_json::from_slice(&text).expect("it is JSON");
    assert_eq!(text, *json, "{}", show(wire));
}

/// Returns the message that reads back: a Value without a member is `null`, as is every NullValue.
fn settled(world: &World, kind: &Type, record: &Record) -> Record {
    if kind.name == "google.protobuf.Value" && record.0.is_empty() {
        return Record([(1, Datum::Signed(0))].into());
    }
    let mut settled = Record::default();
    for (number, datum) in &record.0 {
        let Some(field) = kind.by_number(*number) else {
            continue;
        };
        let inner = match kind.name.as_str() {
            "google.protobuf.Any" => world
                .by_url(record.text(1))
                .ok()
                .map(|kind| kind.name.clone()),
            _ if field.shape == crate::world::Shape::Map => field.entry(world).1.message(),
            _ => field.message(),
        };
        let inner = inner.map(|name| world.message(&name));
        let is_null = field.message().is_none() && field.takes_null();
        settled
            .0
            .insert(*number, settled_datum(world, inner, is_null, datum));
    }
    settled
}

fn settled_datum(world: &World, kind: Option<&Type>, is_null: bool, datum: &Datum) -> Datum {
    match (datum, kind) {
        (Datum::Signed(_), _) if is_null => Datum::Signed(0),
        (Datum::Message(record), Some(kind)) => Datum::Message(settled(world, kind, record)),
        (Datum::List(elements), _) => {
            let elements = elements
                .iter()
                .map(|e| settled_datum(world, kind, is_null, e));
            Datum::List(elements.collect())
        }
        (Datum::Map(entries), _) => {
            let entries = entries
                .iter()
                .map(|(key, value)| (key.clone(), settled_datum(world, kind, is_null, value)));
            Datum::Map(entries.collect())
        }
        (datum, _) => datum.clone(),
    }
}

/// prost-reflect must write the same, where it reads and writes the message at all. Known to be
/// different: a wrong wire type is an error for it, or not even looked at (in maps); it counts 100
/// levels of the wire, writes infinite wrapped floats as `null` and no `-0.0` that looks like a
/// default, and decodes an Any only with what its own pool holds.
fn check_reference(world: &World, root: Root, wire: &[u8], got: &Value) {
    let descriptor = world
        .pool
        .get_message_by_name(root.message)
        .expect("it is in the pool");
    if has_wrong_wire_type(world, world.message(root.message), wire) {
        return;
    }
    let Ok(message) = DynamicMessage::decode(descriptor, wire) else {
        return;
    };
    let options = SerializeOptions::new();
    let Ok(value) = message.serialize_with_options(serde_json::value::Serializer, &options) else {
        return;
    };
    let (value, got) = (blurred(&without_value(value)), blurred(got));
    assert_eq!(value, got, "prost-reflect writes {} otherwise", show(wire));
}

/// prost-reflect writes a `value` also for an Empty in an Any.
fn without_value(value: Value) -> Value {
    match value {
        Value::Array(elements) => elements.into_iter().map(without_value).collect(),
        Value::Object(mut members) => {
            let url = members.get("@type").and_then(Value::as_str);
            if url.is_some_and(|url| url.ends_with("/google.protobuf.Empty")) {
                members.remove("value");
            }
            let members = members.into_iter();
            members
                .map(|(key, value)| (key, without_value(value)))
                .collect()
        }
        value => value,
    }
}

/// Returns whether a field has a wire type that its values never have, at any level.
fn has_wrong_wire_type(world: &World, kind: &Type, wire: &[u8]) -> bool {
    let found = occurrences(wire).unwrap_or_default().into_iter();
    found.into_iter().any(|(number, raw)| {
        let Some(field) = kind.by_number(number) else {
            return false;
        };
        let inner = field.message().map(|name| world.message(&name));
        let is_wrong_inside = match (inner, raw) {
            (Some(inner), Raw::Delimited(content) | Raw::Group(content)) => {
                has_wrong_wire_type(world, inner, content)
            }
            _ => false,
        };
        !is_of(field, raw) || is_wrong_inside
    })
}

/// Returns the tree without its floats and nulls, and so without what the two are known to write
/// differently.
fn blurred(value: &Value) -> Value {
    let is_kept = |value: &&Value| match value {
        Value::Number(number) => !number.is_f64(),
        Value::String(text) => !matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity"),
        value => !value.is_null(),
    };
    match value {
        Value::Array(elements) => elements.iter().filter(is_kept).map(blurred).collect(),
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, value)| is_kept(value));
            Value::Object(
                kept.map(|(key, value)| (key.clone(), blurred(value)))
                    .collect(),
            )
        }
        value => value.clone(),
    }
}
