//! JSON text to protobuf wire bytes, in one pass over the text.

mod seen;
mod well_known;

use crate::{
    error::{Failure, RequestError, Rule},
    json::{Cursor, Token},
    plan::{EnumId, FieldPlan, Kind, Label, MessageId, MessagePlan, Shape, Types},
    scalar,
    wire::{WireType, close, open, put_varint},
};

pub(crate) use seen::{Seen, has_duplicate_key, key_of};

/// Writes the message that a JSON text denotes. Length prefixes are filled in when the value's end is reached.
pub(crate) struct Encoder<'a> {
    pub(crate) types: &'a Types,
    pub(crate) cursor: Cursor<'a>,
    pub(crate) out: &'a mut Vec<u8>,
}

/// A field that the path has set: the body may repeat the value, not change it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pin<'a> {
    /// Field indices from the message at hand down to the scalar.
    pub(crate) fields: &'a [usize],
    /// Tag and value of the scalar; empty for the default of a field without presence.
    pub(crate) wire: &'a [u8],
}

type Done<T = ()> = Result<T, Failure>;

impl<'a> Encoder<'a> {
    /// Appends the content of a message of type `id`.
    pub(crate) fn message(&mut self, id: MessageId, pins: &[Pin<'_>]) -> Done {
        let plan = self.types.message(id);
        match plan.shape {
            Shape::Object | Shape::Empty => {
                self.require(Token::Object)?;
                self.cursor.begin_object()?;
                self.members(plan, pins, false)
            }
            _ => self.well_known(plan),
        }
    }

    /// Appends one field: tag and value, or nothing for `null`.
    pub(crate) fn field(&mut self, field: &FieldPlan, pins: &[Pin<'_>]) -> Done {
        if self.cursor.peek()? == Token::Null
            && !(field.is_singular() && self.takes_null(field.kind))
        {
            return self.cursor.literal("null");
        }
        match field.label {
            Label::Implicit | Label::Explicit if self.ignores(field.kind)? => Ok(()),
            Label::Implicit | Label::Explicit => self.singular(field, pins),
            Label::Repeated | Label::Packed => self.list(field),
            Label::Map => self.map(field),
        }
    }

    /// The members of an object whose brace is read. `is_any`: the object may name its type under `@type`.
    fn members(&mut self, plan: &'a MessagePlan, pins: &[Pin<'_>], is_any: bool) -> Done {
        let mut fields = Seen::default();
        let mut oneofs = Seen::default();
        for pin in pins {
            if let Some(oneof) = plan.fields[pin.fields[0]].oneof {
                oneofs.insert(usize::from(oneof));
            }
        }
        let mut guess = 0;
        let mut is_first = true;
        while let Some(key) = self.cursor.next_key(is_first)? {
            is_first = false;
            let Some(index) = plan.by_name(&key, guess) else {
                self.unknown(&key, is_any)?;
                continue;
            };
            guess = index + 1;
            let field = &plan.fields[index];
            let pins = pins_of(pins, index);
            self.member(field, index, pins, &mut fields, &mut oneofs)
                .map_err(|failure| failure.in_field(&field.json_name))?;
        }
        Ok(())
    }

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
        let is_null = self.cursor.peek()? == Token::Null && !self.takes_null(field.kind);
        if let Some(oneof) = field.oneof
            && !is_null
            && !oneofs.insert(usize::from(oneof))
            && pins.is_empty()
        {
            return Err(self.fail(Rule::Duplicate, "another field of the same oneof is set"));
        }
        self.field(field, pins)
    }

    fn unknown(&mut self, key: &str, is_any: bool) -> Done {
        if (is_any && key == "@type") || self.types.options.json.ignore_unknown_fields {
            return self.cursor.skip_value();
        }
        let failure = self.fail(Rule::UnknownField, "no field has this name");
        Err(failure.in_field(key))
    }

    fn singular(&mut self, field: &FieldPlan, pins: &[Pin<'_>]) -> Done {
        let start = self.out.len();
        let at = self.cursor.position();
        field.tag.put(self.out);
        let (leaf, inner) = match pins {
            [pin] if pin.fields.len() == 1 => (Some(pin), &pins[..0]),
            _ => (None, pins),
        };
        let is_default = self.value(field, inner)?;
        if is_default && field.label == Label::Implicit {
            self.out.truncate(start);
        }
        if let Some(pin) = leaf {
            if self.out[start..] != *pin.wire {
                let failure = RequestError::new(Rule::PathConflict, "the path says otherwise");
                return Err(failure.offset(at));
            }
            self.out.truncate(start);
        }
        Ok(())
    }

    /// The value of a singular field or of one element, without tag; returns whether it is the default.
    fn value(&mut self, field: &FieldPlan, pins: &[Pin<'_>]) -> Done<bool> {
        match field.kind {
            Kind::Message(id) => {
                let at = open(self.out);
                self.inner(id, pins)?;
                close(self.out, at);
                Ok(false)
            }
            Kind::Group(id) => {
                self.inner(id, pins)?;
                let end = field.number << 3 | WireType::EndGroup as u32;
                put_varint(self.out, u64::from(end));
                Ok(false)
            }
            kind => self.scalar(kind),
        }
    }

    fn inner(&mut self, id: MessageId, pins: &[Pin<'_>]) -> Done {
        if pins.is_empty() {
            return self.message(id, &[]);
        }
        let inner: Vec<Pin<'_>> = pins
            .iter()
            .map(|pin| Pin {
                fields: &pin.fields[1..],
                wire: pin.wire,
            })
            .collect();
        self.message(id, &inner)
    }

    fn list(&mut self, field: &FieldPlan) -> Done {
        self.require(Token::Array)?;
        self.cursor.begin_array()?;
        let start = self.out.len();
        let run = (field.label == Label::Packed).then(|| {
            field.tag.put(self.out);
            open(self.out)
        });
        let mut index = 0;
        while self.cursor.next_element(index == 0)? {
            index += 1;
            if self.ignores(field.kind)? {
                continue;
            }
            if run.is_none() {
                field.tag.put(self.out);
            }
            self.element(field)
                .map_err(|failure| failure.at_index(index - 1))?;
        }
        match run {
            Some(at) if self.out.len() == at + 1 => self.out.truncate(start),
            Some(at) => close(self.out, at),
            None => {}
        }
        Ok(())
    }

    fn element(&mut self, field: &FieldPlan) -> Done {
        if self.cursor.peek()? == Token::Null && !self.takes_null(field.kind) {
            return Err(self.fail(Rule::InvalidValue, "null is no element"));
        }
        self.value(field, &[]).map(drop)
    }

    fn map(&mut self, field: &FieldPlan) -> Done {
        self.require(Token::Object)?;
        self.cursor.begin_object()?;
        let start = self.out.len();
        let entry = field.message().map(|id| &self.types.message(id).fields);
        let Some([key_field, value_field]) = entry.map(Vec::as_slice) else {
            return Err(self.fail(Rule::InvalidValue, "the map's entry type is malformed"));
        };
        let mut is_first = true;
        while let Some(key) = self.cursor.next_key(is_first)? {
            is_first = false;
            let entry = self.out.len();
            field.tag.put(self.out);
            let at = open(self.out);
            key_field.tag.put(self.out);
            scalar::put_text(self.types, key_field.kind, &key, self.out)
                .map_err(|reason| self.fail(Rule::InvalidValue, reason).at_key(&key))?;
            if self.ignores(value_field.kind)? {
                self.out.truncate(entry);
                continue;
            }
            value_field.tag.put(self.out);
            self.element(value_field)
                .map_err(|failure| failure.at_key(&key))?;
            close(self.out, at);
        }
        self.refuse_duplicate_keys(start, key_field)
    }

    /// Looks through the map entries written since `start`.
    fn refuse_duplicate_keys(&self, start: usize, key: &FieldPlan) -> Done {
        match has_duplicate_key(&self.out[start..], key.kind) {
            Ok(false) => Ok(()),
            _ => Err(self.fail(Rule::Duplicate, "a key of the map comes twice")),
        }
    }

    fn scalar(&mut self, kind: Kind) -> Done<bool> {
        let token = self.cursor.peek()?;
        let at = self.cursor.position();
        let put = match (kind, token) {
            (Kind::String, Token::String) => return self.string(),
            (Kind::Bytes, Token::String) => scalar::put_base64(&self.cursor.string()?, self.out),
            (Kind::Bool, Token::True | Token::False) => {
                let value = token == Token::True;
                self.cursor.literal(if value { "true" } else { "false" })?;
                Ok(scalar::put_bool(value, self.out))
            }
            (Kind::Enum(id), _) => self.enumeration(id, token)?,
            (Kind::String | Kind::Bytes | Kind::Bool, _) => return Err(self.mismatch(kind, token)),
            (_, Token::Number) => scalar::put_number(kind, self.cursor.number()?, self.out),
            (_, Token::String) => scalar::put_number_text(kind, &self.cursor.string()?, self.out),
            _ => return Err(self.mismatch(kind, token)),
        };
        put.map_err(|reason| RequestError::new(Rule::InvalidValue, reason).offset(at))
    }

    fn string(&mut self) -> Done<bool> {
        if let Some(text) = self.cursor.plain_string()? {
            put_varint(self.out, text.len() as u64);
            self.out.extend_from_slice(text.as_bytes());
            return Ok(text.is_empty());
        }
        let at = open(self.out);
        self.cursor.string_into(self.out)?;
        close(self.out, at);
        Ok(false)
    }

    fn enumeration(&mut self, id: EnumId, token: Token) -> Done<scalar::Put> {
        match token {
            Token::String => {
                let name = self.cursor.string()?;
                Ok(scalar::put_enum_name(self.types, id, &name, self.out))
            }
            Token::Number => Ok(scalar::put_enum_number(self.cursor.number()?, self.out)),
            Token::Null if self.types.enums[id].is_null => {
                self.cursor.literal("null")?;
                self.out.push(0);
                Ok(Ok(true))
            }
            _ => Err(self.mismatch(Kind::Enum(id), token)),
        }
    }

    /// Whether `null` is a value of the type, and not the absence of one.
    fn takes_null(&self, kind: Kind) -> bool {
        match kind {
            Kind::Enum(id) => self.types.enums[id].is_null,
            Kind::Message(id) => self.types.message(id).shape == Shape::Value,
            _ => false,
        }
    }

    /// Passes over the name of an enum value that the schema lacks, where unknown things are ignored: a field stays unset,
    /// and a list or map goes without the element.
    fn ignores(&mut self, kind: Kind) -> Done<bool> {
        let Kind::Enum(id) = kind else {
            return Ok(false);
        };
        let is_lenient = self.types.options.json.ignore_unknown_fields;
        if !is_lenient || self.cursor.peek()? != Token::String {
            return Ok(false);
        }
        let mut ahead = self.cursor;
        let is_known = self.types.enums[id].number(&ahead.string()?).is_some();
        if !is_known {
            self.cursor = ahead;
        }
        Ok(!is_known)
    }

    fn require(&mut self, token: Token) -> Done {
        match self.cursor.peek()? {
            found if found == token => Ok(()),
            found => {
                let text = format!("expected {}, found {}", token.name(), found.name());
                Err(self.fail(Rule::InvalidValue, text))
            }
        }
    }

    fn mismatch(&self, kind: Kind, found: Token) -> Failure {
        let expected = match kind {
            Kind::Bool => "a boolean",
            Kind::String => "a string",
            Kind::Bytes => "base64 in a string",
            Kind::Enum(_) => "the name or number of an enum value",
            _ => "a number",
        };
        self.fail(
            Rule::InvalidValue,
            format!("expected {expected}, found {}", found.name()),
        )
    }

    /// A failure at the reader's position: in front of the value, unless some of it is read already.
    fn fail(&self, rule: Rule, description: impl Into<String>) -> Failure {
        RequestError::new(rule, description).offset(self.cursor.position())
    }
}

/// The pins below field `index`. Pins are sorted, so that they stand together.
fn pins_of<'p, 'a>(pins: &'p [Pin<'a>], index: usize) -> &'p [Pin<'a>] {
    let start = pins.partition_point(|pin| pin.fields[0] < index);
    let length = pins[start..].partition_point(|pin| pin.fields[0] == index);
    &pins[start..start + length]
}
