//! Values of messages, read from wire bytes when an expression asks for them.

mod decode;
mod headers;
mod identity;
mod json;
mod message;

use cel_engine::ExecutionError;
use cel_engine::common::types::{CelList, CelMap, CelMapKey, CelString, Type};
use cel_engine::common::value::{StaticVal, Val};
use descriptors::{FieldPlan, Kind, Label, MessageId, Types};
use smallvec::SmallVec;
use wire::{Reader, WireError, WireType};

pub(crate) use headers::Headers;
pub(crate) use identity::Caller;
pub use message::Message;

use crate::meter::Meter;

/// A value that borrows the bytes it was read from.
pub type Boxed<'v> = Box<dyn Val + 'v>;

/// The content of a message: the concatenation of all pieces.
pub(crate) type Content<'v> = SmallVec<[&'v [u8]; 1]>;

/// Levels of messages inside of `google.protobuf.Value` and `Any` that are read.
pub(crate) const MAX_JSON_DEPTH: usize = 32;

/// The type of records: messages, the caller, headers.
pub static RECORD: Type = Type::new_unspecified_type("record");

/// Reads values, counts what it reads.
#[derive(Debug, Clone, Copy)]
pub struct View<'v> {
    pub(crate) types: &'v Types,
    pub(crate) meter: &'v Meter,
}

/// One occurrence of a field on the wire: its bytes without tag and length, and whether they are a
/// packed run.
pub type Occurrence<'v> = (&'v [u8], bool);

/// Asks a record whether a field is set.
#[derive(Debug, Clone)]
pub struct Presence(pub String);

/// Asks a message for its canonical form, so that two can be compared.
#[derive(Debug, Clone)]
pub(crate) struct Canonical;

macro_rules! key {
    ($name:ident, $type:ident, $text:literal) => {
        static $type: Type = Type::new_unspecified_type($text);

        impl Val for $name {
            fn get_type(&self) -> &Type {
                &$type
            }

            fn cel_type() -> &'static Type {
                &$type
            }

            fn clone_as_boxed<'v>(&self) -> Boxed<'v> {
                Box::new(self.clone())
            }

            fn as_any(&self) -> Option<&dyn std::any::Any> {
                Some(self)
            }
        }

        impl StaticVal for $name {}
    };
}

key!(Presence, PRESENCE, "presence");
key!(Canonical, CANONICAL, "canonical");

pub(crate) fn failed(reason: &'static str) -> ExecutionError {
    ExecutionError::function_error("", reason)
}

pub(crate) fn malformed(_: Box<WireError>) -> ExecutionError {
    failed("malformed bytes")
}

pub(crate) fn no_such_field() -> ExecutionError {
    ExecutionError::no_such_key("")
}

// === impl View ===

impl<'v> View<'v> {
    /// Returns a reader that counts on `meter`.
    pub fn new(types: &'v Types, meter: &'v Meter) -> Self {
        View { types, meter }
    }

    /// Returns a message whose content is the concatenation of all pieces.
    pub fn message(self, id: MessageId, pieces: impl IntoIterator<Item = &'v [u8]>) -> Message<'v> {
        Message::new(self, id, pieces.into_iter().collect())
    }

    /// Returns the value of a field with these occurrences, in the order of the wire.
    ///
    /// # Errors
    /// The bytes are malformed, or the evaluation is too expensive.
    pub fn field(
        self,
        field: &FieldPlan,
        occurrences: &[Occurrence<'v>],
    ) -> Result<Boxed<'v>, ExecutionError> {
        match field.label {
            Label::Repeated | Label::Packed => self.list(field.kind, occurrences),
            Label::Map => self.map(field, occurrences),
            _ => self.value(field.kind, occurrences),
        }
    }

    /// Returns the value of a singular field; without occurrences its default.
    ///
    /// # Errors
    /// As [`View::field`].
    pub fn value(
        self,
        kind: Kind,
        occurrences: &[Occurrence<'v>],
    ) -> Result<Boxed<'v>, ExecutionError> {
        if let Kind::Message(id) | Kind::Group(id) = kind {
            let content = occurrences.iter().map(|(raw, _)| *raw).collect();
            return json::special(self, id, content, !occurrences.is_empty(), 0);
        }
        match occurrences.last() {
            Some((raw, _)) => self.scalar(kind, raw),
            None => Ok(decode::default(self.types, kind)),
        }
    }

    fn scalar(self, kind: Kind, raw: &'v [u8]) -> Result<Boxed<'v>, ExecutionError> {
        self.meter.bytes(raw.len())?;
        decode::scalar(kind, raw)
    }

    fn list(self, kind: Kind, occurrences: &[Occurrence<'v>]) -> Result<Boxed<'v>, ExecutionError> {
        let mut items = Vec::new();
        for (raw, is_packed) in occurrences {
            if !is_packed {
                self.meter.spend(1)?;
                items.push(self.value(kind, &[(raw, false)])?);
                continue;
            }
            let mut run = Reader::new(raw);
            while !run.rest.is_empty() {
                self.meter.spend(1)?;
                let one = run.value(0, kind.wire_type()).map_err(malformed)?;
                items.push(decode::scalar(kind, one)?);
            }
        }
        Ok(Box::new(CelList::from(items)))
    }

    fn map(
        self,
        field: &FieldPlan,
        occurrences: &[Occurrence<'v>],
    ) -> Result<Boxed<'v>, ExecutionError> {
        let entry = field
            .message()
            .map(|id| self.types.message(id).fields.as_slice());
        let Some([key_field, value_field, ..]) = entry else {
            return Err(failed("not a map"));
        };
        let mut entries = std::collections::HashMap::with_capacity(occurrences.len());
        for (raw, _) in occurrences {
            self.meter.spend(1)?;
            let (key, values) = split(raw, key_field.kind, value_field.kind)?;
            let key = match key {
                Some(raw) => self.scalar(key_field.kind, raw)?,
                None => decode::default(self.types, key_field.kind),
            };
            // The value of an entry is always set, if only to its default.
            let values = match (values.is_empty(), value_field.message()) {
                (true, Some(_)) => SmallVec::from_elem((&raw[..0], false), 1),
                _ => values,
            };
            entries.insert(key_of(&*key)?, self.value(value_field.kind, &values)?);
        }
        Ok(Box::new(CelMap::from(entries)))
    }
}

/// The key, and all pieces of the value.
type Entry<'v> = (Option<&'v [u8]>, SmallVec<[Occurrence<'v>; 1]>);

fn split<'v>(entry: &'v [u8], key: Kind, value: Kind) -> Result<Entry<'v>, ExecutionError> {
    let (mut found_key, mut values) = (None, SmallVec::new());
    let mut reader = Reader::new(entry);
    while let Some((number, wire_type)) = reader.tag().map_err(malformed)? {
        let raw = reader.value(number, wire_type).map_err(malformed)?;
        match number {
            1 if wire_type == key.wire_type() => found_key = Some(raw),
            2 if wire_type == value.wire_type() => values.push((raw, false)),
            _ => {}
        }
    }
    Ok((found_key, values))
}

fn key_of<'v>(key: &(dyn Val + 'v)) -> Result<CelMapKey<'v>, ExecutionError> {
    use cel_engine::common::types::{CelBool, CelInt, CelUInt};
    if let Some(text) = key.downcast_ref::<CelString<'v>>() {
        return Ok(CelMapKey::String(text.clone()));
    }
    if let Some(number) = key.downcast_ref::<CelInt>() {
        return Ok(CelMapKey::Int(*number));
    }
    if let Some(number) = key.downcast_ref::<CelUInt>() {
        return Ok(CelMapKey::UInt(*number));
    }
    if let Some(value) = key.downcast_ref::<CelBool>() {
        return Ok(CelMapKey::Bool(*value));
    }
    Err(failed("not a key"))
}

/// Returns whether one occurrence of the field may have this wire type, and whether it is a packed
/// run then.
pub(crate) fn fit(field: &FieldPlan, wire_type: WireType) -> Option<bool> {
    if wire_type == field.kind.wire_type() {
        return Some(false);
    }
    let is_list = matches!(field.label, Label::Repeated | Label::Packed);
    (is_list && field.kind.is_packable() && wire_type == WireType::Delimited).then_some(true)
}
