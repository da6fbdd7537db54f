//! Scalars.

use descriptors::{EnumId, FieldPlan, Kind, Label};
use wire::{close, open, put_any_varint};

use super::{Done, Encoder, Written, invalid};
use crate::error::{Failure, Rule};
use crate::json::Token;
use crate::scalar;

impl Encoder<'_> {
    /// Appends a value that is short and simple, as most are: tag and value in one step. False,
    /// with nothing read, for all that takes more.
    #[inline]
    pub(super) fn short(&mut self, field: &FieldPlan) -> bool {
        // Behind white space as well.
        self.cursor.skip_space();
        if field.kind == Kind::String {
            return self.short_string(field).is_some();
        }
        self.short_number(field)
    }

    fn short_number(&mut self, field: &FieldPlan) -> bool {
        let written = match field.kind {
            Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Sint32
            | Kind::Sint64 => self.short_integer(field),
            Kind::Double => self.short_double(field),
            _ => None,
        };
        written.is_some()
    }

    #[inline]
    fn short_string(&mut self, field: &FieldPlan) -> Option<()> {
        let (text, length) = self.cursor.short_string()?;
        if length > 0 || field.label != Label::Implicit {
            field.tag.put_text(text, length, self.out);
        }
        Some(())
    }

    #[inline]
    fn short_integer(&mut self, field: &FieldPlan) -> Option<()> {
        let mut ahead = self.cursor;
        let (is_negative, magnitude) = ahead.short_integer()?;
        let value = scalar::short_varint(field.kind, is_negative, magnitude)?;
        self.cursor = ahead;
        if value != 0 || field.label != Label::Implicit {
            field.tag.put_varint(value, self.out);
        }
        Some(())
    }

    #[inline]
    fn short_double(&mut self, field: &FieldPlan) -> Option<()> {
        let mut ahead = self.cursor;
        let value = scalar::short_double(ahead.short_number()?)?;
        self.cursor = ahead;
        if value.to_bits() != 0 || field.label != Label::Implicit {
            field.tag.put_fixed(value.to_le_bytes(), self.out);
        }
        Some(())
    }

    /// Appends an element of a packed run that is short and simple. False, with nothing read, for
    /// all that takes more.
    #[inline]
    pub(super) fn short_element(&mut self, kind: Kind) -> bool {
        let mut ahead = self.cursor;
        if kind == Kind::Double {
            let value = ahead.short_number().and_then(scalar::short_double);
            let Some(value) = value else {
                return false;
            };
            self.out.extend_from_slice(&value.to_le_bytes());
        } else {
            let value = ahead.short_integer();
            let value = value.and_then(|(sign, value)| scalar::short_varint(kind, sign, value));
            let Some(value) = value else {
                return false;
            };
            put_any_varint(self.out, value);
        }
        self.cursor = ahead;
        true
    }

    #[inline]
    pub(super) fn scalar(&mut self, kind: Kind) -> Done<Written> {
        match kind {
            Kind::String if self.cursor.is_next(b'"') => self.string().map(Written::from),
            Kind::Enum(id) => self.enumeration(id),
            Kind::String | Kind::Bytes | Kind::Bool => self.other(kind),
            _ => self.number(kind),
        }
    }

    #[inline]
    fn number(&mut self, kind: Kind) -> Done<Written> {
        let is_quoted = self.cursor.is_next(b'"');
        let at = self.cursor.position();
        let put = if is_quoted {
            match self.cursor.quoted_number() {
                Some(number) => scalar::put_number(kind, number, self.out),
                None => scalar::put_number_text(kind, &self.cursor.string()?, self.out),
            }
        } else {
            match self.cursor.peek()? {
                Token::Number => scalar::put_number(kind, self.cursor.number()?, self.out),
                token => return Err(self.mismatch(kind, token)),
            }
        };
        match put {
            Ok(is_default) => Ok(is_default.into()),
            Err(reason) => Err(invalid(reason, at)),
        }
    }

    fn other(&mut self, kind: Kind) -> Done<Written> {
        let token = self.cursor.peek()?;
        let at = self.cursor.position();
        match (kind, token) {
            (Kind::Bytes, Token::String) => {
                match scalar::put_base64(&self.cursor.string()?, self.out) {
                    Ok(is_default) => Ok(is_default.into()),
                    Err(reason) => Err(invalid(reason, at)),
                }
            }
            (Kind::Bool, Token::True | Token::False) => {
                let value = token == Token::True;
                self.cursor.literal(if value { "true" } else { "false" })?;
                Ok(scalar::put_bool(value, self.out).into())
            }
            _ => Err(self.mismatch(kind, token)),
        }
    }

    /// Returns whether the string is empty.
    #[inline]
    fn string(&mut self) -> Done<bool> {
        if let Some(length) = self.cursor.put_plain_string(self.out)? {
            return Ok(length == 0);
        }
        let at = open(self.out);
        self.cursor.string_into(self.out)?;
        close(self.out, at);
        Ok(false)
    }

    #[inline]
    fn enumeration(&mut self, id: EnumId) -> Done<Written> {
        let token = self.cursor.peek()?;
        let at = self.cursor.position();
        let put = match token {
            Token::String => {
                let name = self.cursor.string()?;
                match scalar::put_enum_name(self.types, id, &name, self.out) {
                    Err(_) if self.types.json.ignore_unknown_fields => {
                        return Ok(Written::Nothing);
                    }
                    put => put,
                }
            }
            Token::Number => {
                let number = self.cursor.number()?;
                match scalar::put_enum_number(self.types, id, number, self.out) {
                    Err(scalar::NO_SUCH_NUMBER) if self.types.json.ignore_unknown_fields => {
                        return Ok(Written::Nothing);
                    }
                    put => put,
                }
            }
            Token::Null if self.types.enums[id].is_null => {
                self.cursor.literal("null")?;
                self.out.push(0);
                Ok(true)
            }
            _ => return Err(self.mismatch(Kind::Enum(id), token)),
        };
        match put {
            Ok(is_default) => Ok(is_default.into()),
            Err(reason) => Err(invalid(reason, at)),
        }
    }

    #[cold]
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
}
