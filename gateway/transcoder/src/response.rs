//! Protobuf wire bytes to JSON text, in one pass over the bytes.
//!
//! Encoders write fields in the order of their numbers, each singular field once. That is the path taken first, without an
//! allocation; a message that is legal but not so (fields out of order, to be merged, or of one oneof) is gathered and sorted.

mod gather;
mod map;
mod scalars;
mod well_known;

use crate::{
    error::ResponseError,
    fields::Select,
    limits::MAX_DEPTH,
    options::EmitDefaults,
    plan::{FieldPlan, Kind, Label, MessageId, MessagePlan, Shape, Types},
    seen::Seen,
    wire::{self, Read, Reader, WireType},
};

pub(crate) use well_known::read_any;

/// Appends the JSON of a message.
pub(crate) fn write_message(
    types: &Types,
    id: MessageId,
    select: impl Select,
    wire: &[u8],
    out: &mut Vec<u8>,
) -> Read<()> {
    checked(types, out, |decoder| decoder.message(id, wire, 0, select))
}

/// Appends the JSON of one field of a message; of its default where it is absent, and `null` for an absent message.
pub(crate) fn write_field(
    types: &Types,
    id: MessageId,
    index: usize,
    select: impl Select,
    wire: &[u8],
    out: &mut Vec<u8>,
) -> Read<()> {
    let plan = types.message(id);
    let field = &plan.fields[index];
    checked(types, out, |decoder| {
        decoder
            .only(plan, index, wire, 0, select)
            .map_err(|error| error.in_field(&field.json_name))
    })
}

/// Appends the JSON of an Any.
pub(crate) fn write_any(types: &Types, url: &str, value: &[u8], out: &mut Vec<u8>) -> Read<()> {
    checked(types, out, |decoder| decoder.any(url, value, 0))
}

/// Writes, and sees to it that all text is UTF-8. Looking at the whole output once is several times as fast as at each string,
/// and finds the same: what surrounds a string is ASCII, and so is whatever it has escaped, so that no sequence of bytes goes on
/// from one to the next.
///
/// What fails is written again, gathered from the top and with a look at each string: later bytes may overwrite or mend what the
/// first look refuses, and the field at fault is to be named. Once in all, so that only errors take twice the time.
fn checked(
    types: &Types,
    out: &mut Vec<u8>,
    write: impl Fn(&mut Decoder<'_>) -> Read<()>,
) -> Read<()> {
    let start = out.len();
    let mut decoder = Decoder::new(types, out);
    let written = write(&mut decoder);
    let is_unchecked = decoder.texts == Texts::Unchecked;
    let refusal = match written {
        Ok(()) if is_unchecked && utf8(out.get(start..).unwrap_or_default()).is_err() => not_utf8(),
        Ok(()) => return Ok(()),
        Err(refusal) => refusal,
    };
    out.truncate(start);
    let mut decoder = Decoder::new(types, out);
    decoder.is_gathering = true;
    decoder.texts = Texts::Each;
    // The first look knows more about the place, unless it was a look at the whole.
    write(&mut decoder).map_err(|again| {
        if refusal.path.is_empty() {
            again
        } else {
            refusal
        }
    })
}

struct Decoder<'t> {
    types: &'t Types,
    out: &'t mut Vec<u8>,
    /// Set once a message was not in order. From then on messages are gathered at once: trying twice on every level of a
    /// nested message would take exponential time.
    is_gathering: bool,
    /// Set by a number that is no value of its closed enum: it is an unknown field, so that the message is gathered too.
    has_stray: bool,
    texts: Texts,
}

/// What is known of the strings that were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Texts {
    Ascii,
    /// Some are not ASCII. Whether they are UTF-8 is seen at the end.
    Unchecked,
    /// Each is checked at once.
    Each,
}

/// What comes next in a message.
enum Next {
    /// A field by its index, and whether its value is a packed run.
    Field(usize, bool),
    Unknown,
    End,
}

impl<'t> Decoder<'t> {
    fn new(types: &'t Types, out: &'t mut Vec<u8>) -> Self {
        Decoder {
            types,
            out,
            is_gathering: false,
            has_stray: false,
            texts: Texts::Ascii,
        }
    }

    fn message<S: Select>(
        &mut self,
        id: MessageId,
        wire: &[u8],
        depth: usize,
        select: S,
    ) -> Read<()> {
        if depth == MAX_DEPTH {
            return Err(ResponseError::new(wire::TOO_DEEP));
        }
        let plan = self.types.message(id);
        match plan.shape {
            Shape::Object | Shape::Empty => {
                let start = self.out.len();
                self.members(plan, wire, depth, select)?;
                self.enclose(start, b'{', b'}');
                Ok(())
            }
            _ => self.well_known(plan, wire, depth),
        }
    }

    /// Puts brackets around what was written since `start`, where every item begins with a comma: the first comma makes room.
    #[inline]
    fn enclose(&mut self, start: usize, open: u8, close: u8) {
        match self.out.get_mut(start) {
            Some(first) => *first = open,
            None => self.out.push(open),
        }
        self.out.push(close);
    }

    /// Writes the members of an object, each with a comma in front.
    fn members<S: Select>(
        &mut self,
        plan: &MessagePlan,
        wire: &[u8],
        depth: usize,
        select: S,
    ) -> Read<()> {
        if !self.is_gathering {
            let start = self.out.len();
            if self.ordered(plan, wire, depth, select)? {
                return Ok(());
            }
            self.out.truncate(start);
            self.is_gathering = true;
            // Whatever the first look left behind is looked at again.
            self.has_stray = false;
        }
        self.gathered(plan, wire, depth, select)
    }

    /// Writes the members in the order in which they come; returns false where that is not the order to write.
    fn ordered<S: Select>(
        &mut self,
        plan: &MessagePlan,
        wire: &[u8],
        depth: usize,
        select: S,
    ) -> Read<bool> {
        if plan.is_message_set {
            return Ok(false);
        }
        let mut oneofs = Seen::default();
        let mut next = 0;
        let mut reader = Reader::new(wire);
        loop {
            let run = reader.rest;
            let (index, is_run) = match next_field(plan, next, &mut reader)? {
                Next::Field(index, is_run) => (index, is_run),
                Next::Unknown => continue,
                Next::End => break,
            };
            let field = &plan.fields[index];
            if field.oneof.is_some_and(|o| !oneofs.insert(usize::from(o))) {
                return Ok(false);
            }
            let Some(inner) = select.field(index) else {
                reader.skip(field.number, field.wire_type(is_run))?;
                continue;
            };
            if index < next {
                return Ok(false);
            }
            self.defaults(plan, next..index, select)?;
            next = index + 1;
            let start = self.out.len();
            field.key.put(self.out);
            let is_absent = match field.label {
                Label::Explicit => self
                    .singular(field, &mut reader, depth, inner)
                    .map(|_| false),
                Label::Implicit => self.singular(field, &mut reader, depth, inner),
                Label::Repeated | Label::Packed => {
                    self.list(field, is_run, &mut reader, depth, inner)
                }
                Label::Map => match self.map(field, run, &mut reader, depth, inner) {
                    Ok(false) => return Ok(false),
                    is_unique => is_unique.map(|_| false),
                },
            };
            if std::mem::take(&mut self.has_stray) {
                return Ok(false);
            }
            match is_absent {
                Ok(false) => {}
                Ok(true) => {
                    self.out.truncate(start);
                    self.defaults(plan, index..next, select)?;
                }
                Err(error) => return Err(error.in_field(&field.json_name)),
            }
        }
        self.defaults(plan, next..plan.fields.len(), select)?;
        Ok(true)
    }

    /// Writes absent fields that have no presence, where that is asked for.
    #[inline]
    fn defaults<S: Select>(
        &mut self,
        plan: &MessagePlan,
        absent: std::ops::Range<usize>,
        select: S,
    ) -> Read<()> {
        match self.types.options.json.emit_defaults {
            EmitDefaults::Never => Ok(()),
            mode => self.emit_defaults(plan, absent, select, mode),
        }
    }

    fn emit_defaults<S: Select>(
        &mut self,
        plan: &MessagePlan,
        absent: std::ops::Range<usize>,
        select: S,
        mode: EmitDefaults,
    ) -> Read<()> {
        for index in absent {
            let field = &plan.fields[index];
            let is_shown = match field.label {
                Label::Explicit => false,
                Label::Implicit => true,
                Label::Repeated | Label::Packed | Label::Map => mode == EmitDefaults::All,
            };
            if is_shown && !field.is_extension && select.field(index).is_some() {
                field.key.put(self.out);
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
            (_, None) => self.default_scalar(field.kind)?,
        }
        Ok(())
    }

    fn default_scalar(&mut self, kind: Kind) -> Read<()> {
        match kind {
            Kind::Enum(id) => self.enumeration(id, self.types.enums[id].default_number()),
            kind => drop(self.scalar(kind, &mut zero())?),
        }
        Ok(())
    }

    /// Writes one value; returns whether it is its type's default.
    #[inline(always)]
    fn singular<S: Select>(
        &mut self,
        field: &FieldPlan,
        reader: &mut Reader<'_>,
        depth: usize,
        select: S,
    ) -> Read<bool> {
        match field.kind {
            Kind::Message(id) => self
                .message(id, reader.delimited()?, depth + 1, select)
                .map(|()| false),
            Kind::Group(id) => {
                let content = reader.group(field.number)?;
                self.message(id, content, depth + 1, select).map(|()| false)
            }
            Kind::String => self.string(reader),
            kind => self.scalar(kind, reader),
        }
    }

    /// Writes the elements whose first tag is read; returns whether there were none.
    fn list<S: Select>(
        &mut self,
        field: &FieldPlan,
        mut is_run: bool,
        reader: &mut Reader<'_>,
        depth: usize,
        select: S,
    ) -> Read<bool> {
        let start = self.out.len();
        loop {
            self.elements(field, is_run, reader, depth, select)?;
            match follows(field, reader) {
                Some(next) => is_run = next,
                None => break,
            }
        }
        let is_empty = self.out.len() == start;
        self.enclose(start, b'[', b']');
        Ok(is_empty)
    }

    /// Writes one element or a packed run of them, each with a comma in front.
    #[inline]
    fn elements<S: Select>(
        &mut self,
        field: &FieldPlan,
        is_run: bool,
        reader: &mut Reader<'_>,
        depth: usize,
        select: S,
    ) -> Read<()> {
        if !is_run {
            let start = self.out.len();
            self.out.push(b',');
            self.singular(field, reader, depth, select)?;
            if std::mem::take(&mut self.has_stray) {
                self.out.truncate(start);
            }
            return Ok(());
        }
        let mut run = Reader::new(reader.delimited()?);
        while !run.rest.is_empty() {
            let start = self.out.len();
            self.out.push(b',');
            self.scalar(field.kind, &mut run)?;
            if std::mem::take(&mut self.has_stray) {
                self.out.truncate(start);
            }
        }
        Ok(())
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

/// Reads a tag, and passes over the value of an unknown one. The field at `guess` is tried first.
#[inline]
fn next_field(plan: &MessagePlan, guess: usize, reader: &mut Reader<'_>) -> Read<Next> {
    if let Some(field) = plan.fields.get(guess)
        && let Some(rest) = field.tag.strip(reader.rest)
    {
        reader.rest = rest;
        return Ok(Next::Field(guess, field.label == Label::Packed));
    }
    let Some((number, wire_type)) = reader.tag()? else {
        return Ok(Next::End);
    };
    match find(plan, number, wire_type, usize::MAX) {
        Some(index) => {
            let is_run = wire_type != plan.fields[index].kind.wire_type();
            Ok(Next::Field(index, is_run))
        }
        None => reader.skip(number, wire_type).map(|()| Next::Unknown),
    }
}

/// Reads the next tag if it is one more of `field`; returns whether its value is a packed run.
#[inline]
pub(crate) fn follows(field: &FieldPlan, reader: &mut Reader<'_>) -> Option<bool> {
    if let Some(rest) = field.tag.strip(reader.rest) {
        reader.rest = rest;
        return Some(field.label == Label::Packed);
    }
    if !field.tag.resembles(reader.rest) {
        return None;
    }
    let mut ahead = *reader;
    // A malformed tag is left to who reads it next.
    let (number, wire_type) = ahead.tag().ok()??;
    if number != field.number || !accepts(field, wire_type) {
        return None;
    }
    *reader = ahead;
    Some(wire_type != field.kind.wire_type())
}

/// Reads as the default of any scalar.
fn zero() -> Reader<'static> {
    Reader::new(&[0; 8])
}

fn utf8(bytes: &[u8]) -> Read<&str> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| not_utf8())
}

#[cold]
fn not_utf8() -> Box<ResponseError> {
    ResponseError::new("string is not UTF-8")
}

#[cfg(test)]
mod tests;
