//! The properties of a field, by its descriptor, its edition and the type that it refers to.

use super::FieldDef;
use super::declare::{Scope, is_identifier};
use super::features::{
    Features, FieldOptions, FieldPresence, MessageEncoding, RepeatedFieldEncoding,
};
use super::proto::{self, RawOptions, kind, label, path};
use super::report::At;
use super::resolve::Resolver;
use super::source::Source;
use super::symbols::{Symbol, join};
use crate::kind::{Kind, Label};

/// The largest field number: a tag has 32 bits, three of which say the wire type.
const MAX_NUMBER: i32 = (1 << 29) - 1;

/// The place of a field in its file.
pub(super) struct Context<'c> {
    /// The scope of relative type names.
    pub(super) scope: &'c Scope,
    /// The features of the oneof, for its members.
    pub(super) features: Features,
    pub(super) path: Vec<i32>,
    pub(super) home: Home,
}

/// The declaration that a field belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    Message,
    MapEntry,
    Extension,
    /// An extension of a message in the message set format, whose numbers stand in values and not
    /// in tags.
    MessageSetExtension,
}

// === impl Home ===

impl Home {
    fn is_extension(self) -> bool {
        matches!(self, Home::Extension | Home::MessageSetExtension)
    }
}

// === impl Resolver ===

impl Resolver<'_, '_> {
    /// Returns the field, unless its number or type make none.
    pub(super) fn field(
        &mut self,
        proto: &proto::Field,
        context: &Context<'_>,
    ) -> Option<FieldDef> {
        let Context { scope, home, .. } = *context;
        let source = self.source(scope.file, &context.path, Some(path::FIELD_OPTIONS));
        let full_name = join(&scope.name, &proto.name);
        let at = At {
            file: scope.file,
            line: source.line,
            element: &full_name,
        };
        if !is_identifier(&proto.name) {
            self.report
                .problem(at, format!("{:?} is not a valid name", proto.name));
        }
        let raw = RawOptions::merged(&proto.options);
        let features = self.features(proto, context.features, &raw, at);
        let number = self.number(proto.number, home, at);
        let kind = self.kind(proto, scope, home, features, at);
        let (number, kind) = (number?, kind?);
        Some(FieldDef {
            json_name: self.json_name(proto, &full_name, home, at),
            name: match home.is_extension() {
                true => full_name.as_str().into(),
                false => proto.name.as_str().into(),
            },
            number,
            kind,
            label: self.label(proto, kind, home, features),
            is_required: features.field_presence == FieldPresence::LegacyRequired
                && proto.label != label::REPEATED
                && proto.oneof_index.is_none()
                && !home.is_extension(),
            oneof: oneof(proto, home),
            features,
            source,
            options: raw,
        })
    }

    fn features(
        &mut self,
        proto: &proto::Field,
        inherited: Features,
        raw: &RawOptions,
        at: At<'_>,
    ) -> Features {
        let options: FieldOptions = raw.decode().unwrap_or_else(|error| {
            self.report
                .problem(at, format!("malformed options: {error}"));
            FieldOptions::default()
        });
        let mut features = inherited.with(options.features).unwrap_or_else(|reason| {
            self.report.problem(at, reason);
            inherited
        });
        // The rules of proto2 and proto3, as features.
        if proto.label == label::REQUIRED {
            features.field_presence = FieldPresence::LegacyRequired;
        } else if proto.proto3_optional {
            features.field_presence = FieldPresence::Explicit;
        }
        if proto.kind == kind::GROUP {
            features.message_encoding = MessageEncoding::Delimited;
        }
        match options.packed {
            Some(true) => features.repeated_field_encoding = RepeatedFieldEncoding::Packed,
            Some(false) => features.repeated_field_encoding = RepeatedFieldEncoding::Expanded,
            None => {}
        }
        features
    }

    fn number(&mut self, number: i32, home: Home, at: At<'_>) -> Option<u32> {
        let max = match home {
            Home::MessageSetExtension => i32::MAX,
            _ => MAX_NUMBER,
        };
        if (1..=max).contains(&number) {
            return u32::try_from(number).ok();
        }
        let reason = format!("number {number} is not between 1 and {max}");
        self.report.problem(at, reason);
        None
    }

    fn kind(
        &mut self,
        proto: &proto::Field,
        scope: &Scope,
        home: Home,
        features: Features,
        at: At<'_>,
    ) -> Option<Kind> {
        if let Some(scalar) = scalar(proto.kind) {
            return Some(scalar);
        }
        if !matches!(proto.kind, 0 | kind::GROUP | kind::MESSAGE | kind::ENUM) {
            self.report
                .problem(at, format!("type {} is unknown", proto.kind));
            return None;
        }
        match self.declared.symbols.resolve(&proto.type_name, &scope.name) {
            Some(Symbol::Enum(id)) if matches!(proto.kind, 0 | kind::ENUM) => Some(Kind::Enum(id)),
            Some(Symbol::Message(id)) if proto.kind != kind::ENUM => {
                // Maps and their values are length-prefixed, whatever the feature says.
                let is_map = home == Home::MapEntry || self.is_map_entry(id);
                let is_delimited = features.message_encoding == MessageEncoding::Delimited;
                Some(match is_delimited && !is_map {
                    true => Kind::Group(id),
                    false => Kind::Message(id),
                })
            }
            Some(_) => {
                let reason = format!("\"{}\" is of another kind than the field", proto.type_name);
                self.report.problem(at, reason);
                None
            }
            None => {
                self.report.problem(at, unknown_type(&proto.type_name));
                None
            }
        }
    }

    fn label(&self, proto: &proto::Field, kind: Kind, home: Home, features: Features) -> Label {
        let is_message = matches!(kind, Kind::Message(_) | Kind::Group(_));
        let is_packed = features.repeated_field_encoding == RepeatedFieldEncoding::Packed;
        match kind {
            Kind::Message(id)
                if proto.label == label::REPEATED
                    && self.is_map_entry(id)
                    && !home.is_extension() =>
            {
                Label::Map
            }
            _ if proto.label != label::REPEATED => {
                let is_explicit = is_message
                    || home.is_extension()
                    || proto.oneof_index.is_some()
                    || features.field_presence != FieldPresence::Implicit;
                match is_explicit {
                    true => Label::Explicit,
                    false => Label::Implicit,
                }
            }
            _ if is_packed && kind.is_packable() => Label::Packed,
            _ => Label::Repeated,
        }
    }

    fn json_name(
        &mut self,
        proto: &proto::Field,
        full_name: &str,
        home: Home,
        at: At<'_>,
    ) -> Box<str> {
        if home.is_extension() {
            return format!("[{full_name}]").into();
        }
        match proto.json_name.as_deref() {
            Some(name) if name.starts_with('[') => {
                let reason = format!("the JSON name {name:?} looks like an extension's");
                self.report.problem(at, reason);
                name.into()
            }
            Some(name) if !name.is_empty() => name.into(),
            _ => lower_camel(&proto.name).into(),
        }
    }

    pub(super) fn source(&self, file: usize, path: &[i32], options: Option<i32>) -> Source {
        self.locations
            .get(file)
            .map(|locations| locations.source(file, path, options))
            .unwrap_or_default()
    }

    fn is_map_entry(&self, id: usize) -> bool {
        let message = self.declared.messages.get(id);
        message.is_some_and(|message| message.options.map_entry)
    }
}

fn oneof(proto: &proto::Field, home: Home) -> Option<usize> {
    match home.is_extension() {
        true => None,
        false => usize::try_from(proto.oneof_index?).ok(),
    }
}

pub(super) fn unknown_type(name: &str) -> String {
    format!("type \"{}\" is not in the set", name.escape_debug())
}

/// `FieldDescriptorProto.Type` without the types that have a name.
fn scalar(number: i32) -> Option<Kind> {
    Some(match number {
        1 => Kind::Double,
        2 => Kind::Float,
        3 => Kind::Int64,
        4 => Kind::Uint64,
        5 => Kind::Int32,
        6 => Kind::Fixed64,
        7 => Kind::Fixed32,
        8 => Kind::Bool,
        9 => Kind::String,
        12 => Kind::Bytes,
        13 => Kind::Uint32,
        15 => Kind::Sfixed32,
        16 => Kind::Sfixed64,
        17 => Kind::Sint32,
        18 => Kind::Sint64,
        _ => return None,
    })
}

/// Returns the JSON name of a field that is given none: as protoc makes it, which changes nothing
/// but the letters after underscores.
fn lower_camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut is_after_underscore = false;
    for letter in name.chars() {
        match letter {
            '_' => is_after_underscore = true,
            _ if is_after_underscore => {
                camel.push(letter.to_ascii_uppercase());
                is_after_underscore = false;
            }
            _ => camel.push(letter),
        }
    }
    camel
}
