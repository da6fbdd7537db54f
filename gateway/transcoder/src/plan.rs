//! Compiled message plans: everything the readers and writers ask about a type, in tables that refer to each other by index.

mod build;

use std::collections::HashMap;

use crate::{
    json::{Key, Literal},
    names::NameTable,
    options::Options,
    validate::Rules,
    wire::{self, Tag, WireType},
};

pub(crate) use build::build;

/// Index of a message in [`Types::messages`]: an index and not a reference, because messages contain themselves.
pub(crate) type MessageId = usize;
pub(crate) type EnumId = usize;

/// All types of one schema.
#[derive(Debug)]
pub(crate) struct Types {
    pub(crate) messages: Vec<MessagePlan>,
    pub(crate) enums: Vec<EnumPlan>,
    pub(crate) by_name: HashMap<Box<str>, MessageId>,
    pub(crate) options: Options,
    /// By message id.
    pub(crate) rules: Rules,
}

#[derive(Debug)]
pub(crate) struct MessagePlan {
    pub(crate) name: Box<str>,
    /// Sorted by number; extensions are among them under their name in brackets.
    pub(crate) fields: Vec<FieldPlan>,
    pub(crate) shape: Shape,
    /// It has a required field, or a message with one may be in it.
    pub(crate) has_required_below: bool,
    /// Extensions are items of a group on the wire (`message_set_wire_format`).
    pub(crate) is_message_set: bool,
    names: NameTable,
    /// Index plus one by field number, for the small numbers that nearly all fields have.
    dense: Vec<u16>,
}

/// How a message looks in JSON: its own way for the well-known types (ProtoJSON).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    Empty,
    Any,
    Timestamp,
    Duration,
    FieldMask,
    Struct,
    Value,
    ListValue,
    Wrapper,
}

#[derive(Debug)]
pub(crate) struct FieldPlan {
    pub(crate) number: u32,
    pub(crate) name: Box<str>,
    pub(crate) json_name: Box<str>,
    /// The key in responses, and what is tried first on those of requests.
    pub(crate) key: Key,
    pub(crate) kind: Kind,
    pub(crate) label: Label,
    pub(crate) oneof: Option<u16>,
    pub(crate) is_extension: bool,
    /// proto2 `required`, or the feature `LEGACY_REQUIRED`.
    pub(crate) is_required: bool,
    /// A string that the wire format refuses unless it is UTF-8. JSON never takes another.
    pub(crate) is_utf8_checked: bool,
    /// Tag of one value; of the whole run where the field is packed.
    pub(crate) tag: Tag,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    /// Singular; the default value means absent.
    Implicit,
    /// Singular; presence is tracked.
    Explicit,
    Repeated,
    /// Repeated, and written as one run. Both forms are read.
    Packed,
    Map,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Enum(EnumId),
    Message(MessageId),
    Group(MessageId),
}

#[derive(Debug)]
pub(crate) struct EnumPlan {
    /// `google.protobuf.NullValue`, which is JSON `null`.
    pub(crate) is_null: bool,
    /// Numbers without a name are unknown fields on the wire, not values.
    pub(crate) is_closed: bool,
    names: NameTable,
    numbers: Vec<i32>,
    /// Sorted by number; the name is quoted. Of aliases, the one declared first.
    quoted: Vec<(i32, Literal)>,
}

// === impl Types ===

impl Types {
    pub(crate) fn message(&self, id: MessageId) -> &MessagePlan {
        &self.messages[id]
    }

    /// Where the options say so, leaves one name to each field, or lets the proto names go first: what responses show is always
    /// what requests mean by it.
    fn choose_names(&mut self) {
        let options = &self.options.json;
        let (is_strict, shows_proto_names) =
            (options.strict_names, options.preserve_proto_field_names);
        if !is_strict && !shows_proto_names {
            return;
        }
        for message in &mut self.messages {
            let names = (0..).zip(&message.fields).map(|(index, field)| {
                let names = [&*field.json_name, &*field.name];
                (names, index)
            });
            let shown = usize::from(shows_proto_names);
            let first = names.clone().map(|(names, index)| (names[shown], index));
            message.names = match is_strict {
                true => NameTable::new(first),
                false => {
                    let second = names.map(|(names, index)| (names[1 - shown], index));
                    NameTable::new(first.chain(second))
                }
            };
        }
    }

    /// Tells every message of the required fields below it: from those that have some, upwards.
    fn mark_required(&mut self) {
        let mut holders: Vec<Vec<MessageId>> = vec![Vec::new(); self.messages.len()];
        for (id, message) in self.messages.iter().enumerate() {
            for inner in message.fields.iter().filter_map(FieldPlan::message) {
                holders[inner].push(id);
            }
        }
        let ids = 0..self.messages.len();
        let mut pending: Vec<MessageId> = ids
            .filter(|id| self.messages[*id].has_required_below)
            .collect();
        while let Some(id) = pending.pop() {
            for holder in std::mem::take(&mut holders[id]) {
                if !std::mem::replace(&mut self.messages[holder].has_required_below, true) {
                    pending.push(holder);
                }
            }
        }
    }

    /// Whether a number on the wire has a name in the enum.
    pub(crate) fn is_named(&self, id: EnumId, value: u64) -> bool {
        self.enums[id].quoted_name(value as i32).is_some()
    }

    /// Puts the proto names into responses, where the options say so.
    fn choose_keys(&mut self) {
        if !self.options.json.preserve_proto_field_names {
            return;
        }
        let fields = self.messages.iter_mut().flat_map(|m| &mut m.fields);
        for field in fields.filter(|field| !field.is_extension) {
            field.key = Key::new(&field.name);
        }
    }

    /// The type that an Any's URL names: what follows the last slash.
    pub(crate) fn by_url(&self, url: &str) -> Option<MessageId> {
        let (_, name) = url.rsplit_once('/')?;
        self.by_name.get(name).copied()
    }
}

// === impl MessagePlan ===

impl MessagePlan {
    /// The field with this JSON name or proto name, of which the options may leave only one.
    pub(crate) fn by_name(&self, name: &str) -> Option<usize> {
        self.names.get(name)
    }

    #[inline]
    pub(crate) fn by_number(&self, number: u32) -> Option<usize> {
        match self.dense.get(number as usize) {
            Some(0) => None,
            Some(index) => Some(usize::from(*index) - 1),
            None => self
                .fields
                .binary_search_by_key(&number, |field| field.number)
                .ok(),
        }
    }
}

// === impl FieldPlan ===

impl FieldPlan {
    pub(crate) fn is_singular(&self) -> bool {
        matches!(self.label, Label::Implicit | Label::Explicit)
    }

    /// Of one occurrence, which is one value or a packed run.
    pub(crate) fn wire_type(&self, is_run: bool) -> WireType {
        if is_run {
            WireType::Delimited
        } else {
            self.kind.wire_type()
        }
    }

    /// Begins a value that is a message or a group, and returns where, for [`FieldPlan::close`].
    pub(crate) fn open(&self, out: &mut Vec<u8>) -> usize {
        self.tag.put(out);
        match self.kind {
            Kind::Group(_) => out.len(),
            _ => wire::open(out),
        }
    }

    /// Ends a value that [`FieldPlan::open`] has begun.
    pub(crate) fn close(&self, at: usize, out: &mut Vec<u8>) {
        match self.kind {
            Kind::Group(_) => Tag::new(self.number, WireType::EndGroup).put(out),
            _ => wire::close(out, at),
        }
    }

    /// The message or group type of the field's values.
    pub(crate) fn message(&self) -> Option<MessageId> {
        match self.kind {
            Kind::Message(id) | Kind::Group(id) => Some(id),
            _ => None,
        }
    }
}

// === impl Kind ===

impl Kind {
    pub(crate) fn wire_type(self) -> WireType {
        match self {
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => WireType::Fixed64,
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => WireType::Fixed32,
            Kind::String | Kind::Bytes | Kind::Message(_) => WireType::Delimited,
            Kind::Group(_) => WireType::StartGroup,
            _ => WireType::Varint,
        }
    }

    pub(crate) fn is_packable(self) -> bool {
        !matches!(
            self.wire_type(),
            WireType::Delimited | WireType::StartGroup | WireType::EndGroup
        )
    }
}

// === impl EnumPlan ===

impl EnumPlan {
    pub(crate) fn number(&self, name: &str) -> Option<i32> {
        self.names.get(name).map(|index| self.numbers[index])
    }

    /// What an unset field of this enum holds: the value declared first, which is zero unless the enum is closed.
    pub(crate) fn default_number(&self) -> i32 {
        self.numbers.first().copied().unwrap_or(0)
    }

    /// The value with this name in any case; the first one by number, where several differ by case alone.
    pub(crate) fn number_ignoring_case(&self, name: &str) -> Option<i32> {
        let quoted = |(_, own): &&(i32, Literal)| own.is_quoted(name);
        self.number(name)
            .or_else(|| self.number(&name.to_ascii_uppercase()))
            .or_else(|| self.quoted.iter().find(quoted).map(|(number, _)| *number))
    }

    #[inline]
    pub(crate) fn quoted_name(&self, number: i32) -> Option<&Literal> {
        let matches = |index: usize| {
            let (candidate, name) = self.quoted.get(index)?;
            (*candidate == number).then_some(name)
        };
        // Values mostly count up from zero, so that the number is the index.
        usize::try_from(number)
            .ok()
            .and_then(matches)
            .or_else(|| matches(self.quoted.binary_search_by_key(&number, |v| v.0).ok()?))
    }
}
