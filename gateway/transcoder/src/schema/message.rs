//! One message type by its name: JSON text to wire bytes and back without a route, and wire bytes
//! in their canonical form.

use descriptors::{Kind, Label, MessageId};
use wire::{Reader, WireError, WireType};

use crate::encode::{check_written, read_whole};
use crate::error::RequestError;
use crate::fields::All;
use crate::response;
use crate::schema::Schema;
use crate::tables::Tables;

/// A message type of a [`Schema`], for callers that have no route: files, queues, tools.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let schema = transcoder::Schema::compile(&[])?;
/// let duration = schema.message("google.protobuf.Duration").ok_or("unknown type")?;
/// let (mut wire, mut json) = (Vec::new(), Vec::new());
/// duration.read_json(br#""90.5s""#, &mut wire)?;
/// duration.write_json(&wire, &mut json)?;
/// assert_eq!(json, br#""90.500s""#);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct MessageType<'s> {
    types: &'s Tables,
    id: MessageId,
}

// === impl Schema ===

impl Schema {
    /// Returns the message type with this full name, as `package.Type`; the well-known types and
    /// the details of `google.rpc.Status` are always there.
    pub fn message(&self, name: &str) -> Option<MessageType<'_>> {
        let id = self.types.by_name.get(name).copied()?;
        Some(MessageType {
            types: &self.types,
            id,
        })
    }
}

impl Schema {
    /// Appends the JSON text of a message of the type with this full name, as
    /// [`MessageType::write_json`] does; the type may be one of [`Schema::any_types`] too.
    ///
    /// # Errors
    /// The type is not known, or as [`MessageType::write_json`].
    pub fn write_json(&self, name: &str, wire: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        let start = out.len();
        let written = response::write_named(&self.types, name, wire, out);
        written.map_err(|error| {
            out.truncate(start);
            *error
        })
    }

    /// Returns a message type by its index in [`Schema::types`].
    pub fn message_type(&self, id: MessageId) -> MessageType<'_> {
        MessageType {
            types: &self.types,
            id,
        }
    }
}

// === impl MessageType ===

impl<'s> MessageType<'s> {
    /// Full name of the type.
    pub fn name(&self) -> &'s str {
        &self.types.message(self.id).name
    }

    /// Appends the wire bytes of the message that a JSON text denotes (ProtoJSON).
    ///
    /// # Errors
    /// The text is not the JSON of such a message; `out` is left as it was.
    pub fn read_json(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), RequestError> {
        let start = out.len();
        let read = read_whole(self.types, json, out, |encoder| {
            encoder.message(self.id, &[])
        });
        let read = read.and_then(|()| {
            let written = out.get(start..).unwrap_or_default();
            check_written(self.types, self.id, written)
        });
        read.map_err(|failure| {
            out.truncate(start);
            *failure
        })
    }

    /// Appends the JSON text of a message (ProtoJSON). Unknown fields are left out.
    ///
    /// # Errors
    /// The bytes are no such message, or it has no JSON form; `out` is left as it was.
    pub fn write_json(&self, wire: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        let start = out.len();
        let written = response::write_message(self.types, self.id, All, wire, out);
        written.map_err(|error| {
            out.truncate(start);
            *error
        })
    }

    /// Appends the wire bytes that a JSON text denotes as a part of the message: all of it, or one
    /// field by its index. Required fields may be absent.
    ///
    /// # Errors
    /// The text is not the JSON of such a message or field; `out` is left as it was.
    pub fn read_part(
        &self,
        field: Option<usize>,
        json: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        let start = out.len();
        let read = read_whole(self.types, json.as_bytes(), out, |encoder| match field {
            None => encoder.message(self.id, &[]),
            Some(index) => encoder.field(&self.types.message(self.id).fields[index], &[]),
        });
        read.map_err(|failure| {
            out.truncate(start);
            *failure
        })
    }

    /// Appends the JSON text of a part of the message: all of it, or one field by its index.
    ///
    /// # Errors
    /// As [`MessageType::write_json`].
    pub fn write_part(
        &self,
        field: Option<usize>,
        wire: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        let start = out.len();
        let written = match field {
            None => response::write_message(self.types, self.id, All, wire, out),
            Some(index) => response::write_field(self.types, self.id, index, All, wire, out),
        };
        written.map_err(|error| {
            out.truncate(start);
            *error
        })
    }

    /// Appends the message in canonical form: two encodings of equal messages become the same
    /// bytes.
    ///
    /// Fields stand in the order of their numbers, once each and at their shortest; later
    /// occurrences have replaced earlier ones or been merged into them, oneofs are settled,
    /// repeated scalars are packed where the schema says so, map entries are sorted by key, and
    /// fields without presence are left out at their default. Unknown fields follow as they came,
    /// among them values of closed enums that the schema does not name; what an `Any` holds stays
    /// as it is.
    ///
    /// A hash of these bytes is a strong ETag (RFC 9110 §8.8.1) of whatever form the message is
    /// shown in, and two messages can be compared by them.
    ///
    /// # Errors
    /// The bytes are no such message: cut off or malformed, nested deeper than
    /// [`MAX_DEPTH`](wire::MAX_DEPTH), or with a string that is not UTF-8 where the schema demands
    /// it; `out` is left as it was.
    pub fn canonical(&self, wire: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        let start = out.len();
        let written =
            descriptors::put_canonical(self.types, self.types.message(self.id), wire, out);
        written.map_err(|error| {
            out.truncate(start);
            *error
        })
    }

    /// Returns whether the type has a string field of this name that is not repeated.
    pub fn has_text(&self, name: &str) -> bool {
        let mut fields = self.types.message(self.id).fields.iter();
        fields.any(|field| {
            let is_one = matches!(field.label, Label::Implicit | Label::Explicit);
            *field.name == *name && is_one && field.kind == Kind::String
        })
    }

    /// Returns the value of the string field with this name in the proto file, of a message in its
    /// canonical form; `None` if it is left out.
    pub fn text<'m>(&self, name: &str, canonical: &'m [u8]) -> Option<&'m str> {
        let fields = &self.types.message(self.id).fields;
        let number = fields.iter().find(|field| *field.name == *name)?.number;
        let mut reader = Reader::new(canonical);
        while let Ok(Some((found, wire_type))) = reader.tag() {
            let value = reader.value(found, wire_type).ok()?;
            if found == number && wire_type == WireType::Delimited {
                return std::str::from_utf8(value).ok();
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
