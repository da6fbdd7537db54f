//! Random messages of any type, from a seed.

use prost_reflect::prost::Message;
use prost_reflect::{
    Cardinality, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage,
    Value,
};

/// Messages inside messages go this deep.
const MAX_LEVEL: u32 = 4;

/// A small generator of its own, so that a failing seed stays reproducible.
struct Random(u64);

impl Random {
    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize].clone()
    }

    /// Interesting values and plain ones.
    fn number(&mut self) -> u64 {
        let shift = self.below(64);
        let plain = self.next() >> shift;
        self.pick(&[
            0,
            1,
            u64::MAX,
            i64::MAX as u64,
            i64::MIN as u64,
            1 << 31,
            plain,
            plain,
            plain,
        ])
    }

    fn double(&mut self) -> f64 {
        let plain = f64::from_bits(self.next());
        let small = self.below(1000) as f64 / 8.0;
        self.pick(&[
            0.0,
            -0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            f64::MAX,
            5e-324,
            plain,
            small,
        ])
    }

    fn text(&mut self) -> String {
        let parts = [
            "",
            "a",
            "Zwölf",
            "\"\\\u{8}\n\u{1f}/",
            "😀",
            "long ",
            "\u{0}\u{7f}\u{2028}",
        ];
        (0..self.below(5))
            .map(|_| self.pick(&parts))
            .collect::<String>()
            .repeat(self.pick(&[1, 1, 1, 40]))
    }
}

pub(crate) fn message(descriptor: &MessageDescriptor, seed: u64) -> DynamicMessage {
    fill(descriptor, &mut Random(seed), 0)
}

fn fill(descriptor: &MessageDescriptor, random: &mut Random, level: u32) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    match descriptor.full_name() {
        "google.protobuf.Timestamp" => {
            let seconds = -62_135_596_800 + random.below(315_537_897_600) as i64;
            set_time(&mut message, seconds, nanos(random));
        }
        "google.protobuf.Duration" => {
            let seconds = random.below(315_576_000_000) as i64;
            let sign = random.pick(&[1, -1]);
            set_time(&mut message, sign * seconds, sign as i32 * nanos(random));
        }
        "google.protobuf.FieldMask" => {
            let paths =
                (0..random.below(4)).map(|_| random.pick(&["a", "b_c.d", "owner.display_name"]));
            let paths = paths.map(|path| Value::String(path.into())).collect();
            message.set_field_by_name("paths", Value::List(paths));
        }
        "google.protobuf.Any" => fill_any(&mut message, random, level),
        // prost-reflect shows infinite ones as null.
        "google.protobuf.DoubleValue" => {
            message.set_field_by_name("value", Value::F64(finite(random)));
        }
        "google.protobuf.Value" => fill_value(&mut message, random, level),
        _ => {
            for field in descriptor.fields() {
                fill_field(&mut message, &field, random, level);
            }
            for extension in descriptor.extensions() {
                if random.below(3) == 0 {
                    let value = scalar(&extension.kind(), random);
                    let value = if extension.is_list() {
                        Value::List(vec![value])
                    } else {
                        value
                    };
                    message.set_extension(&extension, value);
                }
            }
        }
    }
    message
}

fn finite(random: &mut Random) -> f64 {
    Some(random.double())
        .filter(|n| n.is_finite())
        .unwrap_or(0.5)
}

fn nanos(random: &mut Random) -> i32 {
    let plain = random.below(1_000_000_000) as i32;
    random.pick(&[0, 1, 500_000_000, 1_000, 999_999_999, plain])
}

fn set_time(message: &mut DynamicMessage, seconds: i64, nanos: i32) {
    message.set_field_by_name("seconds", Value::I64(seconds));
    message.set_field_by_name("nanos", Value::I32(nanos));
}

fn fill_any(message: &mut DynamicMessage, random: &mut Random, level: u32) {
    let name = random.pick(&[
        "kitchen.Sink",
        "google.protobuf.Duration",
        "google.protobuf.Empty",
        "google.protobuf.Struct",
        "google.protobuf.StringValue",
    ]);
    let descriptor = message
        .descriptor()
        .parent_pool()
        .get_message_by_name(name)
        .unwrap();
    let inner = fill(&descriptor, random, level + 1);
    let url = Value::String(format!("type.googleapis.com/{name}"));
    message.set_field_by_name("type_url", url);
    message.set_field_by_name("value", Value::Bytes(inner.encode_to_vec().into()));
}

/// Always one member, and never an infinite number: other Values have no JSON form.
fn fill_value(message: &mut DynamicMessage, random: &mut Random, level: u32) {
    let fields: Vec<FieldDescriptor> = message.descriptor().fields().collect();
    let count = if level < MAX_LEVEL { 6 } else { 4 };
    let field = &fields[random.below(count) as usize];
    let value = match field.kind() {
        Kind::Double => Value::F64(finite(random)),
        Kind::Enum(_) => Value::EnumNumber(0),
        Kind::Message(inner) => Value::Message(fill(&inner, random, level + 1)),
        kind => scalar(&kind, random),
    };
    message.set_field(field, value);
}

fn fill_field(
    message: &mut DynamicMessage,
    field: &FieldDescriptor,
    random: &mut Random,
    level: u32,
) {
    let is_required = field.cardinality() == Cardinality::Required;
    // Large messages stay finite because deeper ones get sparse.
    if !is_required && random.below(3 + u64::from(level) * 12) > 0 {
        return;
    }
    if level >= MAX_LEVEL && matches!(field.kind(), Kind::Message(_)) {
        return;
    }
    let value = if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            panic!("a map has entries")
        };
        let pairs = (0..random.below(12)).map(|_| {
            let key = key(&entry.map_entry_key_field().kind(), random);
            (
                key,
                single(&entry.map_entry_value_field().kind(), random, level),
            )
        });
        Value::Map(pairs.collect())
    } else if field.is_list() {
        let count = random.below(4);
        Value::List(
            (0..count)
                .map(|_| single(&field.kind(), random, level))
                .collect(),
        )
    } else {
        single(&field.kind(), random, level)
    };
    message.set_field(field, value);
}

fn single(kind: &Kind, random: &mut Random, level: u32) -> Value {
    match kind {
        Kind::Message(descriptor) => Value::Message(fill(descriptor, random, level + 1)),
        kind => scalar(kind, random),
    }
}

fn scalar(kind: &Kind, random: &mut Random) -> Value {
    let number = random.number();
    match kind {
        Kind::Double => Value::F64(random.double()),
        Kind::Float => Value::F32(random.double() as f32),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number as i64),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(number),
        Kind::Bool => Value::Bool(number.is_multiple_of(2)),
        Kind::String => Value::String(random.text()),
        Kind::Bytes => Value::Bytes(random.text().into_bytes().into()),
        Kind::Enum(descriptor) if descriptor.full_name() == "google.protobuf.NullValue" => {
            Value::EnumNumber(0)
        }
        Kind::Enum(_) => Value::EnumNumber(random.pick(&[0, 1, 2, -3, 1000, 77])),
        Kind::Message(_) => panic!("not a scalar"),
    }
}

fn key(kind: &Kind, random: &mut Random) -> MapKey {
    let number = random.number();
    match kind {
        Kind::String => MapKey::String(random.text()),
        Kind::Int32 | Kind::Sfixed32 => MapKey::I32(number as i32),
        Kind::Uint64 => MapKey::U64(number),
        Kind::Bool => MapKey::Bool(number.is_multiple_of(2)),
        other => panic!("no keys of {other:?} in the test schema"),
    }
}

/// Returns the top-level fields of an encoded message: number, and tag with value.
pub(crate) fn split(mut wire: &[u8]) -> Vec<(u64, &[u8])> {
    let mut fields = Vec::new();
    while !wire.is_empty() {
        let start = wire;
        let tag = varint(&mut wire);
        skip(&mut wire, tag);
        fields.push((tag >> 3, &start[..start.len() - wire.len()]));
    }
    fields
}

fn varint(wire: &mut &[u8]) -> u64 {
    prost_reflect::prost::encoding::decode_varint(wire).unwrap()
}

fn skip(wire: &mut &[u8], tag: u64) {
    let length = match tag & 7 {
        0 => {
            varint(wire);
            0
        }
        1 => 8,
        2 => varint(wire) as usize,
        3 => loop {
            let inner = varint(wire);
            if inner & 7 == 4 {
                break 0;
            }
            skip(wire, inner);
        },
        5 => 4,
        other => panic!("wire type {other}"),
    };
    *wire = &wire[length..];
}
