//! Features: every edition's defaults, and every level that can change them.

use prost::bytes::Bytes;

use super::*;
use crate::pool::features::{
    EnumType, FieldPresence, JsonFormat, MessageEncoding, RepeatedFieldEncoding, Utf8Validation,
};

const PROTO2: (&str, i32) = ("proto2", 0);
const PROTO3: (&str, i32) = ("proto3", 0);
const EDITION_2023: (&str, i32) = ("editions", 1000);
const EDITION_2024: (&str, i32) = ("editions", 1001);
const EDITIONS: [(&str, i32); 4] = [PROTO2, PROTO3, EDITION_2023, EDITION_2024];

/// Number in `FeatureSet`, value, and what it does.
type Setting = (u8, u8, fn(&mut Features));

const SETTINGS: [Setting; 13] = [
    (1, 1, |f| f.field_presence = FieldPresence::Explicit),
    (1, 2, |f| f.field_presence = FieldPresence::Implicit),
    (1, 3, |f| f.field_presence = FieldPresence::LegacyRequired),
    (2, 1, |f| f.enum_type = EnumType::Open),
    (2, 2, |f| f.enum_type = EnumType::Closed),
    (3, 1, |f| {
        f.repeated_field_encoding = RepeatedFieldEncoding::Packed
    }),
    (3, 2, |f| {
        f.repeated_field_encoding = RepeatedFieldEncoding::Expanded
    }),
    (4, 2, |f| f.utf8_validation = Utf8Validation::Verify),
    (4, 3, |f| f.utf8_validation = Utf8Validation::None),
    (5, 1, |f| {
        f.message_encoding = MessageEncoding::LengthPrefixed
    }),
    (5, 2, |f| f.message_encoding = MessageEncoding::Delimited),
    (6, 1, |f| f.json_format = JsonFormat::Allow),
    (6, 2, |f| f.json_format = JsonFormat::LegacyBestEffort),
];

fn defaults(edition: (&str, i32)) -> Features {
    let mut features = Features {
        field_presence: FieldPresence::Explicit,
        enum_type: EnumType::Open,
        repeated_field_encoding: RepeatedFieldEncoding::Packed,
        utf8_validation: Utf8Validation::Verify,
        message_encoding: MessageEncoding::LengthPrefixed,
        json_format: JsonFormat::Allow,
    };
    if edition == PROTO3 {
        features.field_presence = FieldPresence::Implicit;
    }
    if edition == PROTO2 {
        features.enum_type = EnumType::Closed;
        features.repeated_field_encoding = RepeatedFieldEncoding::Expanded;
        features.utf8_validation = Utf8Validation::None;
        features.json_format = JsonFormat::LegacyBestEffort;
    }
    features
}

/// Options whose field `tag` is a set with one feature.
fn options(tag: u32, (number, value, _): Setting) -> Vec<Bytes> {
    let mut bytes = Vec::new();
    prost::encoding::encode_key(tag, prost::encoding::WireType::LengthDelimited, &mut bytes);
    bytes.extend([2, number << 3, value]);
    vec![bytes.into()]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    File,
    Message,
    Nested,
    Oneof,
    Field,
}

const LEVELS: [Level; 5] = [
    Level::File,
    Level::Message,
    Level::Nested,
    Level::Oneof,
    Level::Field,
];

/// Returns a string field in a oneof of a nested message, with settings on the way down to it.
fn file(edition: (&str, i32), settings: &[(Level, Setting)]) -> proto::File {
    let at = |level: Level, tag: u32| -> Vec<Bytes> {
        let mine = settings.iter().filter(|(own, _)| *own == level);
        mine.flat_map(|(_, setting)| options(tag, *setting))
            .collect()
    };
    let mut nested = message(
        "Nested",
        vec![proto::Field {
            kind: 9,
            oneof_index: Some(0),
            options: at(Level::Field, 21),
            ..reference("text", 1, "")
        }],
    );
    nested.options = at(Level::Nested, 12);
    nested.oneofs = vec![proto::Oneof {
        name: "choice".into(),
        options: at(Level::Oneof, 1),
    }];
    nested.enums = vec![proto::EnumType {
        name: "Inside".into(),
        ..proto::EnumType::default()
    }];
    let mut outer = message("Outer", Vec::new());
    outer.options = at(Level::Message, 12);
    outer.messages = vec![nested];
    proto::File {
        syntax: edition.0.into(),
        edition: edition.1,
        options: at(Level::File, 50),
        messages: vec![outer],
        ..proto3("f.proto", "f")
    }
}

fn resolved(file: proto::File) -> (Features, Features) {
    let (pool, _) = load_files(&[file]).unwrap();
    (pool.messages[1].fields[0].features, pool.enums[0].features)
}

#[test]
fn every_edition_has_its_defaults() {
    for edition in EDITIONS {
        let expected = defaults(edition);
        assert_eq!(
            resolved(file(edition, &[])),
            (expected, expected),
            "{edition:?}"
        );
    }
}

#[test]
fn every_feature_can_be_set_at_every_level() {
    for edition in EDITIONS {
        for setting in SETTINGS {
            for level in LEVELS {
                let mut expected = defaults(edition);
                let outside = expected;
                (setting.2)(&mut expected);
                let (field, inside) = resolved(file(edition, &[(level, setting)]));
                assert_eq!(field, expected, "{edition:?} {level:?} {setting:?}");
                let reaches_enum = !matches!(level, Level::Oneof | Level::Field);
                let expected = if reaches_enum { expected } else { outside };
                assert_eq!(inside, expected, "{edition:?} {level:?} {setting:?}");
            }
        }
    }
}

#[test]
fn innermost_setting_wins() {
    for outer in SETTINGS {
        for inner in SETTINGS.iter().filter(|inner| inner.0 == outer.0) {
            for pair in LEVELS.windows(2) {
                let settings = [(pair[0], outer), (pair[1], *inner)];
                let mut expected = defaults(EDITION_2023);
                (inner.2)(&mut expected);
                let (field, _) = resolved(file(EDITION_2023, &settings));
                assert_eq!(field, expected, "{settings:?}");
            }
        }
    }
}

fn plan_of(edition: (&str, i32), file_settings: &[Setting], field: proto::Field) -> FieldDef {
    let settings: Vec<_> = file_settings.iter().map(|s| (Level::File, *s)).collect();
    let mut file = file(edition, &settings);
    file.messages = vec![message("M", vec![field]), message("Other", Vec::new())];
    let (mut pool, _) = load_files(&[file]).unwrap();
    pool.messages[0].fields.remove(0)
}

#[test]
fn features_decide_how_a_field_is_written() {
    let number = proto::Field {
        kind: 5,
        ..reference("n", 1, "")
    };
    let numbers = proto::Field {
        label: proto::label::REPEATED,
        ..number.clone()
    };
    let other = reference("o", 1, ".f.Other");
    let implicit = SETTINGS[1];
    let required = SETTINGS[2];
    let expanded = SETTINGS[6];
    let delimited = SETTINGS[10];

    let label = |edition, settings: &[Setting], field: &proto::Field| {
        plan_of(edition, settings, field.clone()).label
    };
    assert_eq!(label(PROTO2, &[], &number), Label::Explicit);
    assert_eq!(label(PROTO3, &[], &number), Label::Implicit);
    assert_eq!(label(EDITION_2023, &[], &number), Label::Explicit);
    assert_eq!(label(EDITION_2024, &[implicit], &number), Label::Implicit);
    assert_eq!(label(EDITION_2024, &[implicit], &other), Label::Explicit);
    assert_eq!(label(PROTO2, &[], &numbers), Label::Repeated);
    assert_eq!(label(PROTO3, &[], &numbers), Label::Packed);
    assert_eq!(label(EDITION_2023, &[], &numbers), Label::Packed);
    assert_eq!(label(EDITION_2023, &[expanded], &numbers), Label::Repeated);

    assert!(plan_of(EDITION_2023, &[required], number.clone()).is_required);
    assert!(!plan_of(EDITION_2023, &[required], numbers).is_required);
    assert_eq!(
        plan_of(EDITION_2023, &[], other.clone()).kind,
        Kind::Message(1)
    );
    assert_eq!(
        plan_of(EDITION_2023, &[delimited], other).kind,
        Kind::Group(1)
    );
}

#[test]
fn maps_are_never_delimited() {
    let mut owner = message("M", Vec::new());
    owner.fields = vec![proto::Field {
        label: proto::label::REPEATED,
        ..reference("map", 1, ".f.M.MapEntry")
    }];
    let key = proto::Field {
        kind: 9,
        ..reference("key", 1, "")
    };
    let mut entry = message("MapEntry", vec![key, reference("value", 2, ".f.M")]);
    entry.options = vec![Bytes::from_static(&[0x38, 1])];
    owner.messages = vec![entry];
    let mut file = file(EDITION_2024, &[(Level::File, SETTINGS[10])]);
    file.messages = vec![owner];
    let (pool, _) = load_files(&[file]).unwrap();
    let map = &pool.messages[0].fields[0];
    assert_eq!((map.kind, map.label), (Kind::Message(1), Label::Map));
    assert_eq!(pool.messages[1].fields[1].kind, Kind::Message(0));
}

#[test]
fn unknown_editions_are_named() {
    let cases = [
        (
            ("editions", 1003),
            "edition number 1003 is newer than edition 2026",
        ),
        (
            ("editions", 5),
            "edition number 5 is not a released edition",
        ),
        (
            ("editions", i32::MAX),
            "edition number 2147483647 is not a released edition",
        ),
        (("editions", 0), "the file names no edition"),
        (
            ("proto3", 1000),
            "syntax \"proto3\" contradicts edition number 1000",
        ),
        (("proto1", 0), "syntax \"proto1\" is unknown"),
    ];
    for (edition, reason) in cases {
        let error = load_files(&[file(edition, &[])]).unwrap_err();
        assert!(error.problems[0].reason.starts_with(reason), "{error}");
    }
}
