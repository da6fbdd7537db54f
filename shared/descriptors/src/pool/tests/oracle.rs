//! prost-reflect, which knows proto2 and proto3, and random files: both must see the same plans.

use std::collections::BTreeMap;

use proptest::prelude::*;
use prost_reflect::{Cardinality, DescriptorPool, Kind as ReflectKind};

use super::*;
use crate::plan::{FieldPlan, NameOptions, Types};

/// One line for each field of each message, and each value of each enum.
type View = BTreeMap<String, Vec<String>>;

fn ours(types: &Types, pool: &Pool) -> View {
    let kind = |field: &FieldPlan| match field.kind {
        Kind::Message(id) => format!("Message {}", types.messages[id].name),
        Kind::Group(id) => format!("Group {}", types.messages[id].name),
        Kind::Enum(id) => format!("Enum {}", pool.enums[id].name),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    let mut view = View::new();
    for (message, definition) in types.messages.iter().zip(&pool.messages) {
        let oneof_of = |field: &FieldPlan| {
            let index = field.oneof?;
            let mut real = definition.oneofs.iter().filter(|oneof| !oneof.is_synthetic);
            Some(real.nth(usize::from(index))?.name.to_string())
        };
        let fields = message.fields.iter().map(|f| {
            format!(
                "{} {} {} {} {:?} {:?} {}",
                f.number,
                f.name,
                f.json_name,
                kind(f),
                f.label,
                oneof_of(f),
                f.is_required
            )
        });
        view.insert(message.name.to_string(), fields.collect());
    }
    for definition in &pool.enums {
        let values = definition.values.iter();
        let values = values.map(|value| format!("{} {}", value.name, value.number));
        view.insert(definition.name.to_string(), sorted(values));
    }
    view
}

fn reflected(pool: &DescriptorPool) -> View {
    let kind = |kind: ReflectKind, is_group: bool| match kind {
        ReflectKind::Message(message) if is_group => format!("Group {}", message.full_name()),
        ReflectKind::Message(message) => format!("Message {}", message.full_name()),
        ReflectKind::Enum(descriptor) => format!("Enum {}", descriptor.full_name()),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    let mut view = View::new();
    for message in pool.all_messages() {
        let mut fields: Vec<(u32, String)> = Vec::new();
        for field in message.fields() {
            let label = match field.cardinality() {
                _ if field.is_map() => Label::Map,
                Cardinality::Repeated if field.is_packed() => Label::Packed,
                Cardinality::Repeated => Label::Repeated,
                _ if field.supports_presence() => Label::Explicit,
                _ => Label::Implicit,
            };
            let oneof = field
                .containing_oneof()
                .filter(|oneof| !oneof.is_synthetic());
            let line = format!(
                "{} {} {} {} {label:?} {:?} {}",
                field.number(),
                field.name(),
                field.json_name(),
                kind(field.kind(), field.is_group()),
                oneof.map(|oneof| oneof.name().to_owned()),
                field.cardinality() == Cardinality::Required,
            );
            fields.push((field.number(), line));
        }
        for extension in message.extensions() {
            let label = match extension.cardinality() {
                Cardinality::Repeated if extension.is_packed() => Label::Packed,
                Cardinality::Repeated => Label::Repeated,
                _ => Label::Explicit,
            };
            let name = format!("[{}]", extension.full_name());
            let line = format!(
                "{} {name} {name} {} {label:?} None false",
                extension.number(),
                kind(extension.kind(), extension.is_group()),
            );
            fields.push((extension.number(), line));
        }
        fields.sort();
        let lines = fields.into_iter().map(|(_, line)| line).collect();
        view.insert(message.full_name().to_owned(), lines);
    }
    for descriptor in pool.all_enums() {
        let values = descriptor.values();
        let values = values.map(|value| format!("{} {}", value.name(), value.number()));
        view.insert(descriptor.full_name().to_owned(), sorted(values));
    }
    view
}

/// prost-reflect has its own order of enum values.
fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

fn agree(set: &[u8]) {
    let (pool, _) = load(set, |_| Vec::new()).unwrap();
    let types = Types::new(&pool, NameOptions::default());
    let expected = reflected(&DescriptorPool::decode(set).unwrap());
    let found = ours(&types, &pool);
    assert!(found.values().map(Vec::len).sum::<usize>() > 0);
    for (name, lines) in &found {
        assert_eq!(Some(lines), expected.get(name), "{name}");
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn agrees_on_compiled_files() {
    let importing = r#"syntax = "proto3"; package x;
        import "kitchen.proto"; import "legacy.proto"; import "echo.proto";
        import "google/protobuf/descriptor.proto"; import "google/protobuf/type.proto";
        import "google/protobuf/api.proto"; import "google/protobuf/struct.proto";
        message M { optional string odd__Name_1 = 1; optional M m = 2; google.protobuf.NullValue n = 3; }"#;
    agree(&samples::descriptor_set(&[("x.proto", importing)]));
}

#[test]
fn well_known_types_are_as_the_language_defines_them() {
    let (pool, _) = load(b"", crate::builtin::files).unwrap();
    let types = Types::new(&pool, NameOptions::default());
    let expected = reflected(&DescriptorPool::global());
    let found = ours(&types, &pool);
    let well_known = found
        .iter()
        .filter(|(name, _)| name.starts_with("google.protobuf."));
    assert_eq!(well_known.clone().count(), 19);
    for (name, lines) in well_known {
        assert_eq!(Some(lines), expected.get(name), "{name}");
    }
}

/// The parts of a random field.
#[derive(Debug, Clone)]
struct Draft {
    kind: i32,
    label: i32,
    packed: Option<bool>,
    is_optional: bool,
    in_oneof: bool,
    json_name: Option<String>,
    name: String,
}

fn draft() -> impl Strategy<Value = Draft> {
    (
        1..=18_i32,
        1..=3_i32,
        any::<Option<bool>>(),
        any::<bool>(),
        any::<bool>(),
        proptest::option::of("[a-zA-Z][a-zA-Z0-9 é\"]{0,5}"),
        "[a-zA-Z_][a-zA-Z0-9_]{0,8}",
    )
        .prop_map(
            |(kind, label, packed, is_optional, in_oneof, json_name, name)| Draft {
                kind,
                label,
                packed,
                is_optional,
                in_oneof,
                json_name,
                name,
            },
        )
}

/// Makes of a draft what its syntax allows.
fn realized(draft: Draft, index: usize, is_proto3: bool, message: &mut proto::MessageType) {
    let Draft {
        mut kind,
        mut label,
        ..
    } = draft;
    if is_proto3 && kind == proto::kind::GROUP {
        kind = proto::kind::MESSAGE;
    }
    if is_proto3 && label == proto::label::REQUIRED {
        label = proto::label::OPTIONAL;
    }
    let in_oneof = draft.in_oneof && label == proto::label::OPTIONAL;
    let is_optional =
        is_proto3 && draft.is_optional && !in_oneof && label == proto::label::OPTIONAL;
    // The letter keeps `a1` + `0` and `A` + `10` apart, whose JSON names would be one but for their
    // case.
    let name = format!("{}x{index}", draft.name);
    if is_optional {
        message.oneofs.push(proto::Oneof {
            name: format!("_synthetic{index}"),
            ..proto::Oneof::default()
        });
    }
    let is_packable = !matches!(kind, 9..=12);
    let packed = draft
        .packed
        .filter(|_| is_packable && label == proto::label::REPEATED);
    message.fields.push(proto::Field {
        number: i32::try_from(index * 7 + 1).unwrap(),
        label,
        kind,
        type_name: match kind {
            proto::kind::ENUM => ".r.E".into(),
            proto::kind::GROUP | proto::kind::MESSAGE => ".r.M".into(),
            _ => String::new(),
        },
        options: packed
            .map(|packed| Bytes::from(vec![0x10, packed.into()]))
            .into_iter()
            .collect(),
        oneof_index: match (in_oneof, is_optional) {
            (true, _) => Some(0),
            (_, true) => Some(i32::try_from(message.oneofs.len()).unwrap() - 1),
            _ => None,
        },
        // Unique, as the real ones are.
        json_name: draft
            .json_name
            .map(|json_name| format!("{json_name}!{index}")),
        proto3_optional: is_optional,
        name,
        ..proto::Field::default()
    });
}

fn random_set(drafts: Vec<Draft>, is_proto3: bool) -> Vec<u8> {
    let mut random = message("M", Vec::new());
    random.oneofs.push(proto::Oneof {
        name: "choice".into(),
        ..proto::Oneof::default()
    });
    for (index, draft) in drafts.into_iter().enumerate() {
        realized(draft, index, is_proto3, &mut random);
    }
    let has_choice = random
        .fields
        .iter()
        .any(|field| field.oneof_index == Some(0));
    if !has_choice {
        let member = proto::Field {
            kind: 8,
            oneof_index: Some(0),
            ..reference("only_choice", 10_000, "")
        };
        random.fields.push(member);
    }
    let file = proto::File {
        syntax: if is_proto3 { "proto3" } else { "proto2" }.into(),
        messages: vec![random],
        enums: vec![proto::EnumType {
            name: "E".into(),
            values: vec![proto::EnumValue {
                name: "ZERO".into(),
                ..proto::EnumValue::default()
            }],
            ..proto::EnumType::default()
        }],
        ..proto3("r.proto", "r")
    };
    let files = vec![file.encode_to_vec().into()];
    proto::FileSet { files }.encode_to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn agrees_on_random_files(drafts in proptest::collection::vec(draft(), 0..30), is_proto3 in any::<bool>()) {
        agree(&random_set(drafts, is_proto3));
    }

    #[test]
    fn damaged_sets_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        static SET: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
            samples::descriptor_set_with_lines(&[("x.proto", "syntax = \"proto3\"; import \"kitchen.proto\"; import \"legacy.proto\";")])
        });
        let mut set = SET.clone();
        let at = at.index(set.len());
        set[at] = byte;
        if cut {
            set.truncate(at);
        }
        if let Ok(loaded) = crate::load(&set) {
            Types::new(&loaded.pool, NameOptions::default());
        }
    }
}
