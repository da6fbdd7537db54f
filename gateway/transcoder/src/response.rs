//! Protobuf wire bytes to JSON text, in one pass over the bytes.
//!
//! Encoders write fields in the order of their numbers, each singular field once. That is the path taken first, without an
//! allocation; a message that is legal but not so (fields out of order, to be merged, or of one oneof) is gathered and sorted.

mod gather;
mod well_known;

use crate::{
    encode::Seen,
    error::ResponseError,
    json,
    limits::MAX_DEPTH,
    plan::{FieldPlan, Kind, Label, MessageId, MessagePlan, Shape, Types},
    wire::{self, Read, Reader, WireType},
};

pub(crate) use well_known::read_any;

/// Appends the JSON of a message.
pub(crate) fn write_message(
    types: &Types,
    id: MessageId,
    wire: &[u8],
    out: &mut Vec<u8>,
) -> Read<()> {
    Decoder::new(types, out).message(id, wire, 0)
}

/// Appends the JSON of one field of a message; of its default where it is absent, and `null` for an absent message.
pub(crate) fn write_field(
    types: &Types,
    id: MessageId,
    index: usize,
    wire: &[u8],
    out: &mut Vec<u8>,
) -> Read<()> {
    let plan = types.message(id);
    let field = &plan.fields[index];
    Decoder::new(types, out)
        .only(plan, index, wire, 0)
        .map_err(|error| error.in_field(&field.json_name))
}

/// Appends the JSON of an Any.
pub(crate) fn write_any(types: &Types, url: &str, value: &[u8], out: &mut Vec<u8>) -> Read<()> {
    Decoder::new(types, out).any(url, value, 0)
}

struct Decoder<'t> {
    types: &'t Types,
    out: &'t mut Vec<u8>,
    /// Set once a message was not in order. From then on messages are gathered at once: trying twice on every level of a
    /// nested message would take exponential time.
    is_gathering: bool,
}

impl<'t> Decoder<'t> {
    fn new(types: &'t Types, out: &'t mut Vec<u8>) -> Self {
        Decoder {
            types,
            out,
            is_gathering: false,
        }
    }

    fn message(&mut self, id: MessageId, wire: &[u8], depth: usize) -> Read<()> {
        if depth == MAX_DEPTH {
            return Err(ResponseError::new(wire::TOO_DEEP));
        }
        let plan = self.types.message(id);
        match plan.shape {
            Shape::Object | Shape::Empty => {
                self.out.push(b'{');
                self.members(plan, wire, true, depth)?;
                self.out.push(b'}');
                Ok(())
            }
            _ => self.well_known(plan, wire, depth),
        }
    }

    fn members(
        &mut self,
        plan: &MessagePlan,
        wire: &[u8],
        is_first: bool,
        depth: usize,
    ) -> Read<()> {
        if !self.is_gathering {
            let start = self.out.len();
            if self.ordered(plan, wire, is_first, depth)? {
                return Ok(());
            }
            self.out.truncate(start);
            self.is_gathering = true;
        }
        self.gathered(plan, wire, is_first, depth)
    }

    /// Writes the members in the order in which they come; returns false where that is not the order to write.
    fn ordered(
        &mut self,
        plan: &MessagePlan,
        wire: &[u8],
        mut is_first: bool,
        depth: usize,
    ) -> Read<bool> {
        let mut oneofs = Seen::default();
        let mut next = 0;
        let mut reader = Reader::new(wire);
        loop {
            let run = reader.rest;
            let Some((number, wire_type)) = reader.tag()? else {
                break;
            };
            let Some(index) = find(plan, number, wire_type, next) else {
                reader.skip(number, wire_type)?;
                continue;
            };
            let field = &plan.fields[index];
            let is_second_member = field.oneof.is_some_and(|o| !oneofs.insert(usize::from(o)));
            if index < next || is_second_member {
                return Ok(false);
            }
            self.defaults(&plan.fields[next..index], &mut is_first)?;
            let start = self.out.len();
            self.key(field, is_first);
            let is_absent = match field.label {
                Label::Explicit | Label::Implicit => self
                    .singular(field, &mut reader, depth)
                    .map(|is_default| is_default && field.label == Label::Implicit),
                Label::Repeated | Label::Packed => self.list(field, wire_type, &mut reader, depth),
                Label::Map => {
                    let is_unique = self.map(field, run, &mut reader, depth);
                    if is_unique == Ok(false) {
                        return Ok(false);
                    }
                    is_unique.map(|_| false)
                }
            };
            if is_absent.map_err(|error| error.in_field(&field.json_name))? {
                self.out.truncate(start);
                self.defaults(&plan.fields[index..=index], &mut is_first)?;
            } else {
                is_first = false;
            }
            next = index + 1;
        }
        self.defaults(&plan.fields[next..], &mut is_first)?;
        Ok(true)
    }

    fn key(&mut self, field: &FieldPlan, is_first: bool) {
        if !is_first {
            self.out.push(b',');
        }
        self.out.extend_from_slice(field.key.as_bytes());
    }

    /// Writes absent fields that have no presence, where that is asked for.
    fn defaults(&mut self, fields: &[FieldPlan], is_first: &mut bool) -> Read<()> {
        if !self.types.options.json.emit_defaults {
            return Ok(());
        }
        for field in fields {
            if field.label != Label::Explicit && !field.is_extension {
                self.key(field, *is_first);
                *is_first = false;
                self.default(field)?;
            }
        }
        Ok(())
    }

    fn default(&mut self, field: &FieldPlan) -> Read<()> {
        match (field.label, field.message()) {
            (Label::Repeated | Label::Packed, _) => self.out.extend_from_slice(b"[]"),
            (Label::Map, _) => self.out.extend_from_slice(b"{}"),
            (_, Some(_)) => self.out.extend_from_slice(b"null"),
            (_, None) => drop(self.scalar(field.kind, &mut zero())?),
        }
        Ok(())
    }

    /// Writes one value; returns whether it is its type's default.
    fn singular(&mut self, field: &FieldPlan, reader: &mut Reader<'_>, depth: usize) -> Read<bool> {
        match field.kind {
            Kind::Message(id) => self
                .message(id, reader.delimited()?, depth + 1)
                .map(|()| false),
            Kind::Group(id) => {
                let content = reader.group(field.number)?;
                self.message(id, content, depth + 1).map(|()| false)
            }
            kind => self.scalar(kind, reader),
        }
    }

    /// Writes the run of elements whose first tag is read; returns whether there were none.
    fn list(
        &mut self,
        field: &FieldPlan,
        wire_type: WireType,
        reader: &mut Reader<'_>,
        depth: usize,
    ) -> Read<bool> {
        self.out.push(b'[');
        let start = self.out.len();
        self.elements(field, wire_type, reader, start, depth)?;
        while let Some((wire_type, after)) = follows(field, *reader)? {
            *reader = after;
            self.elements(field, wire_type, reader, start, depth)?;
        }
        let is_empty = self.out.len() == start;
        self.out.push(b']');
        Ok(is_empty)
    }

    /// Writes one element or a packed run of them; the list's inside began at `start`.
    fn elements(
        &mut self,
        field: &FieldPlan,
        wire_type: WireType,
        reader: &mut Reader<'_>,
        start: usize,
        depth: usize,
    ) -> Read<()> {
        if wire_type == field.kind.wire_type() {
            if self.out.len() > start {
                self.out.push(b',');
            }
            return self.singular(field, reader, depth).map(drop);
        }
        let mut run = Reader::new(reader.delimited()?);
        while !run.rest.is_empty() {
            if self.out.len() > start {
                self.out.push(b',');
            }
            self.scalar(field.kind, &mut run)?;
        }
        Ok(())
    }

    /// Writes the run of map entries that began at `run`, whose first tag is read; false where two keys are equal.
    fn map(
        &mut self,
        field: &FieldPlan,
        run: &[u8],
        reader: &mut Reader<'_>,
        depth: usize,
    ) -> Read<bool> {
        self.out.push(b'{');
        self.entry(field, reader.delimited()?, true, depth)?;
        let mut count = 1;
        while let Some((_, after)) = follows(field, *reader)? {
            *reader = after;
            self.entry(field, reader.delimited()?, false, depth)?;
            count += 1;
        }
        self.out.push(b'}');
        let run = &run[..run.len() - reader.rest.len()];
        let key = field
            .message()
            .map(|id| self.types.message(id).fields[0].kind);
        match key {
            Some(kind) if count > 1 => Ok(!crate::encode::has_duplicate_key(run, kind)?),
            _ => Ok(true),
        }
    }

    /// Writes a scalar; returns whether it is its type's default.
    fn scalar(&mut self, kind: Kind, reader: &mut Reader<'_>) -> Read<bool> {
        let value = match kind {
            Kind::String => return self.string(reader.delimited()?),
            Kind::Bytes => {
                let bytes = reader.delimited()?;
                json::put_base64(bytes, self.out);
                return Ok(bytes.is_empty());
            }
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => reader.fixed64()?,
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => u64::from(reader.fixed32()?),
            _ => reader.varint()?,
        };
        // Narrow types keep their low bits, as all implementations do with values that are too large.
        match kind {
            Kind::Double => json::put_double(f64::from_bits(value), self.out),
            Kind::Float => json::put_float(f32::from_bits(value as u32), self.out),
            Kind::Int32 | Kind::Sfixed32 => json::put_signed(i64::from(value as i32), self.out),
            Kind::Uint32 | Kind::Fixed32 => json::put_unsigned(u64::from(value as u32), self.out),
            Kind::Sint32 => json::put_signed(unzigzag(u64::from(value as u32)), self.out),
            Kind::Bool => self
                .out
                .extend_from_slice(if value == 0 { b"false" } else { b"true" }),
            Kind::Enum(id) => self.enumeration(id, value as i32),
            _ => {
                self.out.push(b'"');
                match kind {
                    Kind::Int64 | Kind::Sfixed64 => json::put_signed(value as i64, self.out),
                    Kind::Sint64 => json::put_signed(unzigzag(value), self.out),
                    _ => json::put_unsigned(value, self.out),
                }
                self.out.push(b'"');
            }
        }
        Ok(value == 0)
    }

    fn string(&mut self, bytes: &[u8]) -> Read<bool> {
        let text = utf8(bytes)?;
        json::put_string(text, self.out);
        Ok(text.is_empty())
    }

    fn enumeration(&mut self, id: usize, number: i32) {
        let plan = &self.types.enums[id];
        match plan.quoted_name(number) {
            _ if plan.is_null => self.out.extend_from_slice(b"null"),
            Some(name) => self.out.extend_from_slice(name.as_bytes()),
            None => json::put_signed(i64::from(number), self.out),
        }
    }
}

/// The known field of a tag; `None` where the number or the wire type is not the schema's, which makes a field unknown.
fn find(plan: &MessagePlan, number: u32, wire_type: WireType, guess: usize) -> Option<usize> {
    let index = match plan.fields.get(guess) {
        Some(field) if field.number == number => guess,
        _ => plan.by_number(number)?,
    };
    accepts(&plan.fields[index], wire_type).then_some(index)
}

fn accepts(field: &FieldPlan, wire_type: WireType) -> bool {
    let is_run = matches!(field.label, Label::Repeated | Label::Packed)
        && wire_type == WireType::Delimited
        && field.kind.is_packable();
    wire_type == field.kind.wire_type() || is_run
}

/// The reader behind the next tag, if that tag is one more of `field`.
fn follows<'w>(field: &FieldPlan, mut reader: Reader<'w>) -> Read<Option<(WireType, Reader<'w>)>> {
    match reader.tag()? {
        Some((number, wire_type)) if number == field.number && accepts(field, wire_type) => {
            Ok(Some((wire_type, reader)))
        }
        _ => Ok(None),
    }
}

/// Reads as the default of any scalar.
fn zero() -> Reader<'static> {
    Reader::new(&[0; 8])
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn utf8(bytes: &[u8]) -> Read<&str> {
    std::str::from_utf8(bytes).map_err(|_| ResponseError::new("string is not UTF-8"))
}

#[cfg(test)]
mod tests;
