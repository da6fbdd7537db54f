//! Protobuf wire bytes to JSON text, in one pass over the bytes.
//!
//! Encoders write fields in the order of their numbers, each singular field once. That is the path
//! taken first, without an allocation; a message that is legal but not so (fields out of order, to
//! be merged, or of one oneof) is gathered and sorted.

mod defaults;
mod gather;
mod list;
mod map;
mod scalars;
mod well_known;

use descriptors::{
    FieldPlan, Kind, Label, MessageId, MessagePlan, NextTag, Seen, Shape, find, follows, next_field,
};
use wire::{MAX_DEPTH, Read, Reader, WireError};

use crate::error::RequestError;
use crate::fields::{All, Fields, Select};
use crate::route::Route;
use crate::tables::Tables;
use defaults::zero;

pub(crate) use well_known::read_any;

impl Route {
    /// Appends the JSON of one response message; of its `response_body` field where the rule names
    /// one.
    ///
    /// # Errors
    /// The bytes are not a message of the method's output type, or hold what ProtoJSON can't say.
    /// `out` is as before then.
    pub fn write_response(&self, wire: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        self.write(All, wire, out)
    }

    /// Compiles a response mask (the system parameter `$fields`), to be used by
    /// [`Route::write_response_fields`] for as long as the route lives: names of fields, by JSON
    /// names or proto names, as in `id,lines(sku,price.units)`. A name stands for all that is below
    /// it and leads through lists and the values of maps; `*` is every field, `/` the same as `.`,
    /// and an empty mask shows everything. Where the rule has a `response_body`, names are those of
    /// its fields.
    ///
    /// # Errors
    /// A name that no field has, or one below something that has no fields; a malformed or overlong
    /// mask.
    pub fn fields(&self, mask: &str) -> Result<Fields, RequestError> {
        Fields::compile(self, mask).map_err(|failure| *failure)
    }

    /// As [`Route::write_response`], with nothing but the chosen fields. `fields` is of this route:
    /// another's chooses other fields.
    ///
    /// # Errors
    /// As [`Route::write_response`]. Fields that are not chosen are not checked.
    pub fn write_response_fields(
        &self,
        fields: &Fields,
        wire: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        match fields.root() {
            Some(chosen) => self.write(chosen, wire, out),
            None => self.write(All, wire, out),
        }
    }

    fn write(&self, select: impl Select, wire: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        let start = out.len();
        let (types, output) = (&self.types, self.method.output);
        let written = match self.response {
            None => write_message(types, output, select, wire, out),
            Some(field) => write_field(types, output, field, select, wire, out),
        };
        written.map_err(|error| {
            out.truncate(start);
            *error
        })
    }
}

/// Appends the JSON of a message.
pub(crate) fn write_message(
    types: &Tables,
    id: MessageId,
    select: impl Select,
    wire: &[u8],
    out: &mut Vec<u8>,
) -> Read<()> {
    checked(types, wire, out, |decoder| {
        decoder.message(id, wire, 0, select)
    })
}

/// Appends the JSON of one field of a message; of its default where it is absent, and `null` for an
/// absent message.
pub(crate) fn write_field(
    types: &Tables,
    id: MessageId,
    index: usize,
    select: impl Select,
    wire: &[u8],
    out: &mut Vec<u8>,
) -> Read<()> {
    let plan = types.message(id);
    let field = &plan.fields[index];
    checked(types, wire, out, |decoder| {
        decoder
            .only(plan, index, wire, 0, select)
            .map_err(|error| error.in_field(&field.shown_name))
    })
}

/// Appends the JSON of a message of the type with this full name, which Anys alone may hold.
pub(crate) fn write_named(types: &Tables, name: &str, wire: &[u8], out: &mut Vec<u8>) -> Read<()> {
    checked(types, wire, out, |decoder| decoder.named(name, wire))
}

/// Appends the JSON of an Any.
pub(crate) fn write_any(types: &Tables, url: &str, value: &[u8], out: &mut Vec<u8>) -> Read<()> {
    checked(types, value, out, |decoder| decoder.any(url, value, 0))
}

/// Writes, and sees to it that all text is UTF-8. Looking at the whole output once is several times
/// as fast as at each string, and finds the same: what surrounds a string is ASCII, and so is
/// whatever it has escaped, so that no sequence of bytes goes on from one to the next.
///
/// On failure the message is written again, gathered and with a check of each string: later bytes
/// may overwrite or mend what the first look rejects, and the field at fault is to be named. Once
/// in all, so that only errors take twice the time.
fn checked(
    types: &Tables,
    wire: &[u8],
    out: &mut Vec<u8>,
    write: impl Fn(&mut Decoder<'_>) -> Read<()>,
) -> Read<()> {
    let start = out.len();
    let mut decoder = Decoder::new(types, wire, out);
    let written = write(&mut decoder);
    let is_unchecked = decoder.texts == Texts::Unchecked;
    let refusal = match written {
        Ok(()) if is_unchecked && utf8(out.get(start..).unwrap_or_default()).is_err() => not_utf8(),
        Ok(()) => return Ok(()),
        Err(refusal) => refusal,
    };
    out.truncate(start);
    let mut decoder = Decoder::new(types, wire, out);
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
    types: &'t Tables,
    /// The tables of the schema, which know all types that Anys hold.
    root: &'t Tables,
    /// All that is read: see [`onward`].
    wire: &'t [u8],
    out: &'t mut Vec<u8>,
    /// Set once a message was not in order. From then on messages are gathered at once: trying
    /// twice on every level of a nested message would take exponential time.
    is_gathering: bool,
    /// A number without a name in its closed enum is an unknown field, so that the message is
    /// gathered, too.
    has_stray: bool,
    texts: Texts,
}

/// Knowledge about the strings written so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Texts {
    Ascii,
    /// Some are not ASCII. Whether they are UTF-8 is seen at the end.
    Unchecked,
    /// Each is checked at once.
    Each,
}

impl<'t> Decoder<'t> {
    fn new(types: &'t Tables, wire: &'t [u8], out: &'t mut Vec<u8>) -> Self {
        Decoder {
            types,
            root: types,
            wire,
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
            return Err(WireError::new(wire::TOO_DEEP));
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

    /// Puts brackets around the items written since `start`: the first comma becomes the bracket.
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
            // The part that the first check left is checked again.
            self.has_stray = false;
        }
        self.gathered(plan, wire, depth, select)
    }

    /// Writes the members in the order in which they come; returns false where that is not the
    /// order to write.
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
                NextTag::Field(index, is_run) => (index, is_run),
                NextTag::Unknown => continue,
                NextTag::End => break,
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
                Err(error) => return Err(error.in_field(&field.shown_name)),
            }
        }
        self.defaults(plan, next..plan.fields.len(), select)?;
        Ok(true)
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
}

/// Returns the same bytes with those after them in `whole`, if they are part of it. Texts are
/// copied in steps of fixed size, which mostly fit into `whole`, but seldom
/// within the message that they are in.
#[inline]
fn onward<'a>(whole: &'a [u8], bytes: &'a [u8]) -> &'a [u8] {
    let start = bytes.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    match whole.get(start..) {
        Some(rest) if rest.len() >= bytes.len() => rest,
        _ => bytes,
    }
}

fn utf8(bytes: &[u8]) -> Read<&str> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| not_utf8())
}

#[cold]
fn not_utf8() -> Box<WireError> {
    WireError::new("string is not UTF-8")
}

#[cfg(test)]
mod tests;
