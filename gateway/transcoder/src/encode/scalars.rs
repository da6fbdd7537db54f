//! Scalars.

use super::{Done, Encoder, Written, invalid};
use crate::{
    error::{Failure, Rule},
    json::Token,
    plan::{EnumId, Kind},
    scalar,
    wire::{close, open},
};

impl Encoder<'_> {
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

    /// Whether the string is empty.
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
                    Err(_) if self.types.options.json.ignore_unknown_fields => {
                        return Ok(Written::Nothing);
                    }
                    put => put,
                }
            }
            Token::Number => {
                let number = self.cursor.number()?;
                match scalar::put_enum_number(self.types, id, number, self.out) {
                    Err(scalar::NO_SUCH_NUMBER)
                        if self.types.options.json.ignore_unknown_fields =>
                    {
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
