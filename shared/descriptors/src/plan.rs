//! Compiled message plans: everything the readers and writers ask about a type, in tables that
//! refer to each other by index.

mod build;

use std::collections::HashMap;

use wire::{Tag, WireType};

use crate::kind::{EnumId, Kind, Label, MessageId};
use crate::names::NameTable;
use crate::text::{Key, Literal};

/// All types of one descriptor set.
#[derive(Debug)]
pub struct Types {
    /// By [`MessageId`]; nested ones and map entries are among them.
    pub messages: Vec<MessagePlan>,
    /// By [`EnumId`].
    pub enums: Vec<EnumPlan>,
    /// Messages by their full names.
    pub by_name: HashMap<Box<str>, MessageId>,
}

/// The names by which JSON texts know the fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NameOptions {
    /// Texts show the names of the proto file instead of the JSON names.
    pub shows_proto_names: bool,
    /// Readers accept only the names that are shown. ProtoJSON has them accept both.
    pub is_strict: bool,
}

/// One message type.
#[derive(Debug)]
pub struct MessagePlan {
    /// Full name, without a dot at its start.
    pub name: Box<str>,
    /// Sorted by number; extensions are among them under their name in brackets.
    pub fields: Vec<FieldPlan>,
    /// How the message looks in JSON.
    pub shape: Shape,
    /// It has a required field, or a message with one may be in it.
    pub has_required_below: bool,
    /// Extensions are items of a group on the wire (`message_set_wire_format`).
    pub is_message_set: bool,
    names: NameTable,
    /// Index plus one by field number, for the small numbers that nearly all fields have.
    dense: Vec<u16>,
}

/// How a message looks in JSON: its own way for the well-known types (ProtoJSON).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// An object of its fields.
    Object,
    /// `google.protobuf.Empty`: `{}`.
    Empty,
    /// `google.protobuf.Any`: an object with `@type`.
    Any,
    /// `google.protobuf.Timestamp`: a string as in RFC 3339.
    Timestamp,
    /// `google.protobuf.Duration`: a string of seconds, such as `"1.5s"`.
    Duration,
    /// `google.protobuf.FieldMask`: a string of paths.
    FieldMask,
    /// `google.protobuf.Struct`: any object.
    Struct,
    /// `google.protobuf.Value`: any value.
    Value,
    /// `google.protobuf.ListValue`: any array.
    ListValue,
    /// A wrapper of a scalar: the scalar.
    Wrapper,
}

/// One field of a message, or an extension of it.
#[derive(Debug)]
pub struct FieldPlan {
    /// Number on the wire.
    pub number: u32,
    /// Name in the proto file; of an extension the full name in brackets.
    pub name: Box<str>,
    /// Name in JSON.
    pub json_name: Box<str>,
    /// Name in responses and in the paths of errors: the JSON name, or the proto name where the
    /// options say so.
    pub shown_name: Box<str>,
    /// The key in responses, and the first guess for keys of requests.
    pub key: Key,
    /// Type of the values.
    pub kind: Kind,
    /// Cardinality.
    pub label: Label,
    /// Number of the oneof within the message, if the field is in one that is more than an
    /// `optional`.
    pub oneof: Option<u16>,
    /// The field is a proto3 `optional`.
    pub is_optional: bool,
    /// The field is an extension.
    pub is_extension: bool,
    /// proto2 `required`, or the feature `LEGACY_REQUIRED`.
    pub is_required: bool,
    /// A string that the wire format rejects unless it is UTF-8. JSON never takes another.
    pub is_utf8_checked: bool,
    /// Tag of one value; of the whole run where the field is packed.
    pub tag: Tag,
}

/// One enum.
#[derive(Debug)]
pub struct EnumPlan {
    /// `google.protobuf.NullValue`, which is JSON `null`.
    pub is_null: bool,
    /// Numbers without a name are unknown fields on the wire, not values.
    pub is_closed: bool,
    names: NameTable,
    numbers: Vec<i32>,
    /// Sorted by number; the name is quoted. The first of several aliases.
    quoted: Vec<(i32, Literal)>,
}

// === impl Types ===

impl Types {
    /// Returns a message by its index.
    #[inline]
    pub fn message(&self, id: MessageId) -> &MessagePlan {
        &self.messages[id]
    }

    /// Where the options say so, leaves one name to each field, or lets the proto names go first:
    /// what responses show is always what requests mean by it.
    fn choose_names(&mut self, options: NameOptions) {
        let NameOptions {
            is_strict,
            shows_proto_names,
        } = options;
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

    /// Returns whether a number on the wire has a name in the enum.
    #[inline]
    pub fn is_named(&self, id: EnumId, value: u64) -> bool {
        self.enums[id].quoted_name(value as i32).is_some()
    }

    /// Puts the proto names into responses and errors, where the options say so.
    fn choose_keys(&mut self, options: NameOptions) {
        if !options.shows_proto_names {
            return;
        }
        let fields = self.messages.iter_mut().flat_map(|m| &mut m.fields);
        for field in fields.filter(|field| !field.is_extension) {
            field.key = Key::new(&field.name);
            field.shown_name = field.name.clone();
        }
    }
}

// === impl MessagePlan ===

impl MessagePlan {
    /// Returns the field with this JSON name or proto name, of which the options may leave only
    /// one.
    #[inline]
    pub fn by_name(&self, name: &str) -> Option<usize> {
        self.names.get(name)
    }

    /// Returns the index of the field with this number.
    #[inline]
    pub fn by_number(&self, number: u32) -> Option<usize> {
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
    /// Returns whether the field has one value at most.
    #[inline]
    pub fn is_singular(&self) -> bool {
        matches!(self.label, Label::Implicit | Label::Explicit)
    }

    /// Returns the wire type of one occurrence, which is one value or a packed run.
    #[inline]
    pub fn wire_type(&self, is_run: bool) -> WireType {
        if is_run {
            WireType::Delimited
        } else {
            self.kind.wire_type()
        }
    }

    /// Begins a value that is a message or a group, and returns where, for [`FieldPlan::close`].
    #[inline]
    pub fn open(&self, out: &mut Vec<u8>) -> usize {
        self.tag.put(out);
        match self.kind {
            Kind::Group(_) => out.len(),
            _ => wire::open(out),
        }
    }

    /// Ends a value that [`FieldPlan::open`] has begun.
    #[inline]
    pub fn close(&self, at: usize, out: &mut Vec<u8>) {
        match self.kind {
            Kind::Group(_) => Tag::new(self.number, WireType::EndGroup).put(out),
            _ => wire::close(out, at),
        }
    }

    /// Returns the message or group type of the field's values.
    #[inline]
    pub fn message(&self) -> Option<MessageId> {
        match self.kind {
            Kind::Message(id) | Kind::Group(id) => Some(id),
            _ => None,
        }
    }
}

// === impl EnumPlan ===

impl EnumPlan {
    /// Returns the number of the value with this name.
    #[inline]
    pub fn number(&self, name: &str) -> Option<i32> {
        self.names.get(name).map(|index| self.numbers[index])
    }

    /// Returns the value of an unset field: the first one declared, which is zero unless the enum
    /// is closed.
    #[inline]
    pub fn default_number(&self) -> i32 {
        self.numbers.first().copied().unwrap_or(0)
    }

    /// Returns the value with this name in any case; the first one by number, where several differ
    /// by case alone.
    pub fn number_ignoring_case(&self, name: &str) -> Option<i32> {
        let quoted = |(_, own): &&(i32, Literal)| own.is_quoted(name);
        self.number(name)
            .or_else(|| self.number(&name.to_ascii_uppercase()))
            .or_else(|| self.quoted.iter().find(quoted).map(|(number, _)| *number))
    }

    /// Returns the name of a number as a JSON string.
    #[inline]
    pub fn quoted_name(&self, number: i32) -> Option<&Literal> {
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
