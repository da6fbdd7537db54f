//! JSON text to protobuf wire bytes, in one pass over the text.

mod around;
mod pins;
mod repeated;
mod required;
mod scalars;
mod well_known;
mod whole;

use descriptors::{FieldPlan, Kind, Label, MessageId, MessagePlan, Seen, Shape, put_canonical};
use wire::{Tag, WireType, close, open};

use crate::error::{Failure, RequestError, Rule};
use crate::json::{Cursor, Token};
use crate::tables::Tables;
use pins::{is_outdone, pins_of};

pub(crate) use around::{copy_around, fields, strip};
pub(crate) use pins::Pin;
pub(crate) use required::check_written;
pub(crate) use whole::read_whole;

/// Writes the message that a JSON text denotes. Length prefixes are filled in when the value's end
/// is reached.
pub(crate) struct Encoder<'a> {
    pub(crate) types: &'a Tables,
    /// The tables of the schema, which know all types that Anys hold.
    root: &'a Tables,
    pub(crate) cursor: Cursor<'a>,
    pub(crate) out: &'a mut Vec<u8>,
    /// Bytes read ahead to find an `@type`.
    ahead: usize,
}

type Done<T = ()> = Result<T, Failure>;

/// The outcome of writing a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Value,
    /// Its type's default, written all the same.
    Default,
    /// An unknown name of an enum value, where the unknown is ignored.
    Nothing,
}

/// The next member of an object.
enum Next {
    /// A field by its index.
    Field(usize),
    Unknown,
    End,
}

impl From<bool> for Written {
    #[inline]
    fn from(is_default: bool) -> Self {
        if is_default {
            Written::Default
        } else {
            Written::Value
        }
    }
}

impl<'a> Encoder<'a> {
    pub(crate) fn new(types: &'a Tables, cursor: Cursor<'a>, out: &'a mut Vec<u8>) -> Self {
        Encoder {
            types,
            root: types,
            cursor,
            out,
            ahead: 0,
        }
    }

    /// Appends the content of a message of type `id`.
    pub(crate) fn message(&mut self, id: MessageId, pins: &[Pin<'_>]) -> Done {
        let plan = self.types.message(id);
        match plan.shape {
            Shape::Object | Shape::Empty => {
                self.begin_object()?;
                self.members(plan, pins, false)
            }
            _ => self.well_known(plan),
        }
    }

    /// Appends one field: tag and value, or nothing for `null`.
    #[inline(always)]
    pub(crate) fn field(&mut self, field: &FieldPlan, pins: &[Pin<'_>]) -> Done {
        if pins.is_empty() && field.is_singular() && self.short(field) {
            return Ok(());
        }
        self.long_field(field, pins)
    }

    /// Stays a function, so that the stack frames of other paths stay small.
    #[inline(never)]
    fn long_field(&mut self, field: &FieldPlan, pins: &[Pin<'_>]) -> Done {
        let is_null = self.cursor.is_next(b'n');
        if is_null && !(field.is_singular() && self.takes_null(field.kind)) {
            return self.cursor.literal("null");
        }
        match field.label {
            Label::Implicit | Label::Explicit => self.singular(field, pins),
            Label::Repeated | Label::Packed => self.list(field),
            Label::Map => self.map(field),
        }
    }

    /// Reads the members of an object whose brace has been read. `is_any`: the object may name its
    /// type under `@type`.
    fn members(&mut self, plan: &'a MessagePlan, pins: &[Pin<'_>], is_any: bool) -> Done {
        let start = self.out.len();
        let mut fields = Seen::default();
        let mut oneofs = Seen::default();
        for pin in pins {
            if let Some(oneof) = plan.fields[pin.fields[0]].oneof {
                oneofs.insert(usize::from(oneof));
            }
        }
        let mut has_type = is_any.then_some(false);
        let mut guess = 0;
        let mut is_first = true;
        loop {
            let index = match self.expected_field(plan, guess, is_first) {
                Some(index) => index,
                None => match self.next_field(plan, guess, is_first, &mut has_type)? {
                    Next::Field(index) => index,
                    Next::Unknown => {
                        is_first = false;
                        continue;
                    }
                    Next::End => break,
                },
            };
            is_first = false;
            guess = index + 1;
            let field = &plan.fields[index];
            let own = pins_of(pins, index);
            let member = if own.is_empty() && is_outdone(plan, field, pins) {
                self.outdone(field, index, &mut fields)
            } else {
                self.member(field, index, own, &mut fields, &mut oneofs)
            };
            if let Err(failure) = member {
                return Err(failure.in_field(&field.shown_name));
            }
        }
        if plan.is_message_set {
            return self.write_items(plan, start);
        }
        Ok(())
    }

    /// Gives the fields of a message set, written since `start`, their own form on the wire.
    #[cold]
    fn write_items(&mut self, plan: &MessagePlan, start: usize) -> Done {
        let fields = self.out.split_off(start);
        put_canonical(self.types, plan, &fields, self.out)
            .map_err(|error| self.fail(Rule::InvalidValue, error.description))
    }

    /// Reads the next key, if it is one of two. Callers mostly send fields in the order of the
    /// schema, and without white space.
    #[inline]
    fn expected_field<'p>(
        &mut self,
        plan: &'p MessagePlan,
        guess: usize,
        is_first: bool,
    ) -> Option<usize> {
        if !is_first && self.cursor.byte() != Some(b',') {
            return None;
        }
        let [one, two] = match plan.fields.get(guess..) {
            Some([one, two, ..]) => [one, two],
            Some([one]) => [one, one],
            _ => return None,
        };
        let text = |field: &'p FieldPlan| match is_first {
            true => field.key.first(),
            false => field.key.member(),
        };
        if self.cursor.take(text(one)) {
            Some(guess)
        } else if self.cursor.take(text(two)) {
            Some(guess + 1)
        } else {
            None
        }
    }

    /// Reads a key, wherever its field stands in the schema. If no field has it, its value is
    /// passed over.
    fn next_field(
        &mut self,
        plan: &MessagePlan,
        guess: usize,
        is_first: bool,
        has_type: &mut Option<bool>,
    ) -> Done<Next> {
        if !self.cursor.next_member(is_first)? {
            return Ok(Next::End);
        }
        // Behind white space the expected one is still to be tried.
        if let Some(field) = plan.fields.get(guess)
            && self.cursor.take(field.key.first())
        {
            return Ok(Next::Field(guess));
        }
        let key = self.cursor.key()?;
        match plan.by_name(&key) {
            Some(index) => Ok(Next::Field(index)),
            None => self.unknown(&key, has_type).map(|()| Next::Unknown),
        }
    }

    #[inline]
    fn member(
        &mut self,
        field: &FieldPlan,
        index: usize,
        pins: &[Pin<'_>],
        fields: &mut Seen,
        oneofs: &mut Seen,
    ) -> Done {
        if !fields.insert(index) {
            return Err(self.fail(Rule::Duplicate, "the field is set twice"));
        }
        if let Some(oneof) = field.oneof
            && (!self.cursor.is_next(b'n') || self.takes_null(field.kind))
            && !oneofs.insert(usize::from(oneof))
            && pins.is_empty()
        {
            return Err(self.fail(Rule::Duplicate, "another field of the same oneof is set"));
        }
        self.field(field, pins)
    }

    /// `has_type`: in an Any, whether its `@type` was there before.
    #[cold]
    fn unknown(&mut self, key: &str, has_type: &mut Option<bool>) -> Done {
        let (rule, reason) = match has_type {
            Some(has_type) if key == "@type" => {
                if !std::mem::replace(has_type, true) {
                    return self.cursor.skip_value();
                }
                (Rule::Duplicate, "the type is given twice")
            }
            _ if self.types.json.ignore_unknown_fields => return self.cursor.skip_value(),
            _ => (Rule::UnknownField, "no field has this name"),
        };
        Err(self.fail(rule, reason).in_field(key))
    }

    #[inline]
    fn singular(&mut self, field: &FieldPlan, pins: &[Pin<'_>]) -> Done {
        if !pins.is_empty() {
            return self.pinned(field, pins);
        }
        let start = self.out.len();
        field.tag.put(self.out);
        match self.value(field, &[])? {
            Written::Value => {}
            Written::Default if field.label == Label::Explicit => {}
            _ => self.out.truncate(start),
        }
        Ok(())
    }

    /// Returns the value of a singular field or of one element, without tag.
    #[inline]
    fn value(&mut self, field: &FieldPlan, pins: &[Pin<'_>]) -> Done<Written> {
        match field.kind {
            Kind::Message(id) => {
                let at = open(self.out);
                self.inner(id, pins)?;
                close(self.out, at);
                Ok(Written::Value)
            }
            Kind::Group(id) => {
                self.inner(id, pins)?;
                Tag::new(field.number, WireType::EndGroup).put(self.out);
                Ok(Written::Value)
            }
            kind => self.scalar(kind),
        }
    }

    /// Returns whether `null` is a value of the type, and not the absence of one.
    fn takes_null(&self, kind: Kind) -> bool {
        match kind {
            Kind::Enum(id) => self.types.enums[id].is_null,
            Kind::Message(id) | Kind::Group(id) => self.types.message(id).shape == Shape::Value,
            _ => false,
        }
    }

    #[inline]
    fn begin_object(&mut self) -> Done {
        if !self.cursor.is_next(b'{') {
            self.require(Token::Object)?;
        }
        self.cursor.begin_object()
    }

    #[inline]
    fn begin_array(&mut self) -> Done {
        if !self.cursor.is_next(b'[') {
            self.require(Token::Array)?;
        }
        self.cursor.begin_array()
    }

    #[cold]
    fn require(&mut self, token: Token) -> Done {
        match self.cursor.peek()? {
            found if found == token => Ok(()),
            found => {
                let text = format!("expected {}, found {}", token.name(), found.name());
                Err(self.fail(Rule::InvalidValue, text))
            }
        }
    }

    /// Returns a failure at the reader's position: before the value, unless some of it has been
    /// read.
    #[cold]
    fn fail(&self, rule: Rule, description: impl Into<String>) -> Failure {
        RequestError::new(rule, description).offset(self.cursor.position())
    }
}

#[cold]
fn invalid(reason: &'static str, at: usize) -> Failure {
    RequestError::new(Rule::InvalidValue, reason).offset(at)
}
