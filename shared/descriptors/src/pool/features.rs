//! Editions and their features: what each edition means by default, and what a file, message, field
//! or enum makes of it.
//!
//! Source: `FeatureSet` and its `edition_defaults` in `google/protobuf/descriptor.proto`; proto2
//! and proto3 are editions too.

use prost::Message;

use super::proto::File;

/// `google.protobuf.Edition`, as far as this crate knows what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edition {
    Proto2,
    Proto3,
    /// 2023 and later: the features of this crate have kept their defaults since.
    From2023,
}

/// `google.protobuf.FeatureSet` with every feature decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Features {
    pub(crate) field_presence: FieldPresence,
    pub(crate) enum_type: EnumType,
    pub(crate) repeated_field_encoding: RepeatedFieldEncoding,
    pub(crate) utf8_validation: Utf8Validation,
    pub(crate) message_encoding: MessageEncoding,
    pub(crate) json_format: JsonFormat,
}

/// `google.protobuf.FeatureSet` as one element writes it: what it leaves out, it inherits.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct FeatureSet {
    #[prost(int32, tag = "1")]
    field_presence: i32,
    #[prost(int32, tag = "2")]
    enum_type: i32,
    #[prost(int32, tag = "3")]
    repeated_field_encoding: i32,
    #[prost(int32, tag = "4")]
    utf8_validation: i32,
    #[prost(int32, tag = "5")]
    message_encoding: i32,
    #[prost(int32, tag = "6")]
    json_format: i32,
}

/// A feature: an enum with the numbers of `descriptor.proto`.
macro_rules! feature {
    ($(#[$doc:meta])* $name:ident { $($value:ident = $number:literal),+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name {
            $($value,)+
        }

        impl $name {
            /// Zero, which stands for "unknown" in every feature, leaves the inherited value.
            fn read(self, number: i32) -> Result<Self, String> {
                match number {
                    0 => Ok(self),
                    $($number => Ok($name::$value),)+
                    _ => Err(format!("features: {number} is not a known {}", stringify!($name))),
                }
            }
        }
    };
}

feature!(
    /// How a singular field tells "absent" from "default".
    FieldPresence { Explicit = 1, Implicit = 2, LegacyRequired = 3 }
);
feature!(
    /// Whether an enum field can hold numbers that the enum does not name.
    EnumType { Open = 1, Closed = 2 }
);
feature!(
    /// How repeated numbers are written.
    RepeatedFieldEncoding { Packed = 1, Expanded = 2 }
);
feature!(
    /// Whether a string that is not UTF-8 is rejected on the wire.
    Utf8Validation { Verify = 2, None = 3 }
);
feature!(
    /// Whether a message field is written as a length and bytes, or as a group.
    MessageEncoding { LengthPrefixed = 1, Delimited = 2 }
);
feature!(
    /// Whether the compiler has made sure that the type has a JSON form.
    JsonFormat { Allow = 1, LegacyBestEffort = 2 }
);

// === impl Edition ===

impl Edition {
    /// Returns the edition or syntax of a file.
    ///
    /// # Errors
    /// A syntax or an edition that this crate does not know, named.
    pub(super) fn of(file: &File) -> Result<Self, String> {
        match (file.syntax.as_str(), file.edition) {
            // Files of proto2 leave the syntax out.
            ("" | "proto2", 0 | 998) => Ok(Edition::Proto2),
            ("proto3", 0 | 999) => Ok(Edition::Proto3),
            // 2023, 2024, 2026, and the experimental edition.
            ("" | "editions", 1000..=1002 | 9999) => Ok(Edition::From2023),
            ("editions", 0) => Err("the file names no edition".into()),
            ("" | "editions", edition) => Err(match edition {
                1003..9999 => format!(
                    "edition number {edition} is newer than edition 2026, the last one known here"
                ),
                _ => format!("edition number {edition} is not a released edition"),
            }),
            (syntax, 0) => Err(format!("syntax \"{}\" is unknown", syntax.escape_debug())),
            (syntax, edition) => Err(format!(
                "syntax \"{}\" contradicts edition number {edition}",
                syntax.escape_debug()
            )),
        }
    }

    /// Returns the defaults.
    pub(super) fn defaults(self) -> Features {
        let proto3 = Features {
            field_presence: FieldPresence::Implicit,
            enum_type: EnumType::Open,
            repeated_field_encoding: RepeatedFieldEncoding::Packed,
            utf8_validation: Utf8Validation::Verify,
            message_encoding: MessageEncoding::LengthPrefixed,
            json_format: JsonFormat::Allow,
        };
        match self {
            Edition::Proto2 => Features {
                field_presence: FieldPresence::Explicit,
                enum_type: EnumType::Closed,
                repeated_field_encoding: RepeatedFieldEncoding::Expanded,
                utf8_validation: Utf8Validation::None,
                message_encoding: MessageEncoding::LengthPrefixed,
                json_format: JsonFormat::LegacyBestEffort,
            },
            Edition::Proto3 => proto3,
            Edition::From2023 => Features {
                field_presence: FieldPresence::Explicit,
                ..proto3
            },
        }
    }
}

// === impl Features ===

impl Features {
    /// These, with what an inner element says about itself.
    ///
    /// # Errors
    /// A value that this crate does not know.
    pub(super) fn with(self, own: Option<FeatureSet>) -> Result<Features, String> {
        let Some(own) = own else { return Ok(self) };
        Ok(Features {
            field_presence: self.field_presence.read(own.field_presence)?,
            enum_type: self.enum_type.read(own.enum_type)?,
            repeated_field_encoding: self
                .repeated_field_encoding
                .read(own.repeated_field_encoding)?,
            utf8_validation: self.utf8_validation.read(own.utf8_validation)?,
            message_encoding: self.message_encoding.read(own.message_encoding)?,
            json_format: self.json_format.read(own.json_format)?,
        })
    }
}

/// `FileOptions`, as far as the loader reads it. So for the others.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct FileOptions {
    #[prost(message, optional, tag = "50")]
    pub(super) features: Option<FeatureSet>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct MessageOptions {
    #[prost(bool, tag = "1")]
    pub(super) message_set_wire_format: bool,
    #[prost(bool, tag = "7")]
    pub(super) map_entry: bool,
    #[prost(bool, tag = "11")]
    pub(super) deprecated_legacy_json_field_conflicts: bool,
    #[prost(message, optional, tag = "12")]
    pub(super) features: Option<FeatureSet>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct FieldOptions {
    #[prost(bool, optional, tag = "2")]
    pub(super) packed: Option<bool>,
    #[prost(message, optional, tag = "21")]
    pub(super) features: Option<FeatureSet>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct OneofOptions {
    #[prost(message, optional, tag = "1")]
    pub(super) features: Option<FeatureSet>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct EnumOptions {
    #[prost(message, optional, tag = "7")]
    pub(super) features: Option<FeatureSet>,
}
