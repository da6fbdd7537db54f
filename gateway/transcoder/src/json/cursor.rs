//! The pull reader: it hands out one token at a time and never builds a tree.

use std::borrow::Cow;

use super::{Key, Number, scan};
use crate::{
    error::{Failure, RequestError, Rule},
    limits::MAX_DEPTH,
    wire::put_prefix,
};

/// A position in a JSON text. Copying it is how a reader looks ahead and comes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    position: usize,
    depth: usize,
}

/// What the next value is, told by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

impl Token {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Token::Object => "an object",
            Token::Array => "an array",
            Token::String => "a string",
            Token::Number => "a number",
            Token::True | Token::False => "a boolean",
            Token::Null => "null",
        }
    }
}

impl<'a> Cursor<'a> {
    /// Refuses what is not UTF-8 at once, so that no later step has to look at it again.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, Failure> {
        let text = simdutf8::compat::from_utf8(bytes).map_err(|error| {
            RequestError::new(Rule::Syntax, "the body is not UTF-8").offset(error.valid_up_to())
        })?;
        Ok(Cursor {
            text,
            position: 0,
            depth: 0,
        })
    }

    /// All of it, read or not.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    #[cold]
    fn error(&self, description: &str) -> Failure {
        RequestError::new(Rule::Syntax, description).offset(self.position)
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    /// What is unread.
    #[inline]
    fn rest(&self) -> &'a [u8] {
        let bytes = self.text.as_bytes();
        bytes.get(self.position..).unwrap_or_default()
    }

    fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// The next byte that is no white space.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        match self.byte() {
            Some(byte) if byte <= b' ' => self.next_behind_space(),
            byte => byte,
        }
    }

    fn next_behind_space(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.position += 1;
        }
        self.byte()
    }

    #[inline]
    fn expect(&mut self, byte: u8, what: &str) -> Result<(), Failure> {
        if self.next() == Some(byte) {
            self.position += 1;
            Ok(())
        } else {
            Err(self.expected(what))
        }
    }

    #[cold]
    fn expected(&self, what: &str) -> Failure {
        self.error(&format!("expected {what}"))
    }

    /// The kind of the next value, which stays unread.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<Token, Failure> {
        match self.next() {
            Some(b'"') => Ok(Token::String),
            Some(b'-' | b'0'..=b'9') => Ok(Token::Number),
            Some(b'{') => Ok(Token::Object),
            Some(b'[') => Ok(Token::Array),
            Some(b't') => Ok(Token::True),
            Some(b'f') => Ok(Token::False),
            Some(b'n') => Ok(Token::Null),
            found => Err(self.no_value(found)),
        }
    }

    #[cold]
    fn no_value(&self, found: Option<u8>) -> Failure {
        self.error(match found {
            Some(_) => "expected a JSON value",
            None => "the body ends where a JSON value was expected",
        })
    }

    /// Whether the next value begins with this byte.
    #[inline]
    pub(crate) fn is_next(&mut self, byte: u8) -> bool {
        self.next() == Some(byte)
    }

    #[inline]
    pub(crate) fn begin_object(&mut self) -> Result<(), Failure> {
        self.expect(b'{', "an object")?;
        self.enter()
    }

    #[inline]
    pub(crate) fn begin_array(&mut self) -> Result<(), Failure> {
        self.expect(b'[', "an array")?;
        self.enter()
    }

    #[inline]
    fn enter(&mut self) -> Result<(), Failure> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        Ok(())
    }

    #[cold]
    fn too_deep(&self) -> Failure {
        let description = format!("nested more than {MAX_DEPTH} levels deep");
        RequestError::new(Rule::LimitExceeded, description).offset(self.position)
    }

    /// The next key of the object, its colon read too; `None` at the end of the object.
    pub(crate) fn next_key(&mut self, is_first: bool) -> Result<Option<Cow<'a, str>>, Failure> {
        if self.next_member(is_first)? {
            self.key().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Whether the object goes on; then [`Cursor::take_key`] or [`Cursor::key`] is next.
    #[inline]
    pub(crate) fn next_member(&mut self, is_first: bool) -> Result<bool, Failure> {
        let goes_on = self.next_item(is_first, b'}')?;
        if goes_on {
            self.next();
        }
        Ok(goes_on)
    }

    /// Reads the key and its colon, if it is this one, written as the schema writes it.
    #[inline]
    pub(crate) fn take_key(&mut self, key: &Key) -> bool {
        let rest = self.rest();
        match key.strip(rest) {
            Some(length) if rest.get(length) == Some(&b':') => {
                self.position += length + 1;
                true
            }
            Some(length) => {
                let mut ahead = *self;
                ahead.position += length;
                let has_colon = ahead.expect(b':', "':'").is_ok();
                if has_colon {
                    *self = ahead;
                }
                has_colon
            }
            None => false,
        }
    }

    /// Reads a key and its colon.
    pub(crate) fn key(&mut self) -> Result<Cow<'a, str>, Failure> {
        if self.byte() != Some(b'"') {
            return Err(self.expected("a key in quotes"));
        }
        let key = self.string()?;
        self.expect(b':', "':'")?;
        Ok(key)
    }

    /// Whether the array goes on.
    #[inline]
    pub(crate) fn next_element(&mut self, is_first: bool) -> Result<bool, Failure> {
        self.next_item(is_first, b']')
    }

    #[inline]
    fn next_item(&mut self, is_first: bool, close: u8) -> Result<bool, Failure> {
        match self.next() {
            Some(b',') if !is_first => {
                self.position += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.position += 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(_) if is_first => Ok(true),
            _ if close == b'}' => Err(self.expected("',' or '}'")),
            _ => Err(self.expected("',' or ']'")),
        }
    }

    /// Reads `true`, `false` or `null`, whichever [`Cursor::peek`] has announced.
    #[inline]
    pub(crate) fn literal(&mut self, word: &'static str) -> Result<(), Failure> {
        self.next();
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.expected(word));
        }
        self.position += word.len();
        Ok(())
    }

    /// A number, checked against the grammar.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<Number<'a>, Failure> {
        self.next();
        let rest = self.text.get(self.position..).unwrap_or_default();
        match Number::read(rest) {
            Some(number) => {
                self.position += number.text.len();
                Ok(number)
            }
            None => Err(self.error("malformed number")),
        }
    }

    /// A number in quotes; `None`, with nothing read, if the string is something else.
    #[inline]
    pub(crate) fn quoted_number(&mut self) -> Option<Number<'a>> {
        let number = Number::read(self.text.get(self.position + 1..)?)?;
        let end = self.position + 1 + number.text.len();
        if self.text.as_bytes().get(end) != Some(&b'"') {
            return None;
        }
        self.position = end + 1;
        Some(number)
    }

    /// A string; borrowed from the text unless it has escapes.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Failure> {
        match self.plain_string()? {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => self.escaped_string().map(Cow::Owned),
        }
    }

    #[cold]
    fn escaped_string(&mut self) -> Result<String, Failure> {
        let mut decoded = Vec::new();
        self.string_into(&mut decoded)?;
        String::from_utf8(decoded).map_err(|_| self.error("malformed string"))
    }

    /// A string without escapes; `None`, with nothing read, if there are some.
    #[inline]
    pub(crate) fn plain_string(&mut self) -> Result<Option<&'a str>, Failure> {
        let start = self.position + 1;
        let length = self.plain_extent()?;
        if let Some(length) = length {
            self.position = start + length + 1;
            Ok(Some(self.slice(start, start + length)))
        } else {
            Ok(None)
        }
    }

    /// Appends the length and the content of a string without escapes, and returns the length; `None`, with nothing read, if
    /// there are some.
    #[inline]
    pub(crate) fn put_plain_string(&mut self, out: &mut Vec<u8>) -> Result<Option<usize>, Failure> {
        let Some(length) = self.plain_extent()? else {
            return Ok(None);
        };
        crate::wire::put_varint(out, length as u64);
        self.position += 1;
        put_prefix(out, self.rest(), length);
        self.position += length + 1;
        Ok(Some(length))
    }

    /// The length of the next string, if it has no escapes.
    #[inline]
    fn plain_extent(&mut self) -> Result<Option<usize>, Failure> {
        let Some((b'"', rest)) = self.rest().split_first() else {
            return self.far_plain_extent();
        };
        let length = scan::plain_length(rest);
        match rest.get(length) {
            Some(b'"') => Ok(Some(length)),
            Some(b'\\') => Ok(None),
            _ => Err(self.bad_string(self.position + 1 + length)),
        }
    }

    #[cold]
    fn far_plain_extent(&mut self) -> Result<Option<usize>, Failure> {
        match self.next_behind_space() {
            Some(b'"') => self.plain_extent(),
            _ => Err(self.expected("a string")),
        }
    }

    #[cold]
    fn bad_string(&mut self, at: usize) -> Failure {
        self.position = at;
        self.error(match self.byte() {
            Some(_) => "control character in a string",
            None => "the body ends inside a string",
        })
    }

    /// Appends the decoded content of a string.
    pub(crate) fn string_into(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        self.expect(b'"', "a string")?;
        loop {
            let rest = self.rest();
            let length = scan::plain_length(rest);
            put_prefix(out, rest, length);
            match rest.get(length) {
                Some(b'"') => {
                    self.position += length + 1;
                    return Ok(());
                }
                Some(b'\\') => self.position += length + 1,
                _ => return Err(self.bad_string(self.position + length)),
            }
            let mut buffer = [0; 4];
            out.extend_from_slice(self.escape()?.encode_utf8(&mut buffer).as_bytes());
        }
    }

    fn escape(&mut self) -> Result<char, Failure> {
        let byte = self.byte();
        self.position += 1;
        match byte {
            Some(plain @ (b'"' | b'\\' | b'/')) => Ok(char::from(plain)),
            Some(b'b') => Ok('\u{8}'),
            Some(b'f') => Ok('\u{c}'),
            Some(b'n') => Ok('\n'),
            Some(b'r') => Ok('\r'),
            Some(b't') => Ok('\t'),
            Some(b'u') => self.unicode(),
            _ => {
                self.position -= 1;
                Err(self.error("unknown escape in a string"))
            }
        }
    }

    fn unicode(&mut self) -> Result<char, Failure> {
        let high = self.hex4()?;
        let is_pair = (0xd800..0xdc00).contains(&high)
            && self.slice(self.position, self.position + 2) == "\\u";
        let code = if is_pair {
            self.position += 2;
            match self.hex4()? {
                low @ 0xdc00..=0xdfff => 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00),
                _ => high,
            }
        } else {
            high
        };
        char::from_u32(code).ok_or_else(|| self.error("lone surrogate in a string"))
    }

    fn hex4(&mut self) -> Result<u32, Failure> {
        let digits = self.slice(self.position, self.position + 4);
        // The parser alone would take a sign.
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let code = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex);
        let code = code.ok_or_else(|| self.error("malformed \\u escape"))?;
        self.position += 4;
        Ok(code)
    }

    /// Passes over a value, checking all of it.
    pub(crate) fn skip_value(&mut self) -> Result<(), Failure> {
        match self.peek()? {
            Token::Object => {
                self.begin_object()?;
                let mut is_first = true;
                while self.next_member(is_first)? {
                    is_first = false;
                    self.skip_key()?;
                    self.skip_value()?;
                }
                Ok(())
            }
            Token::Array => {
                self.begin_array()?;
                let mut is_first = true;
                while self.next_element(is_first)? {
                    is_first = false;
                    self.skip_value()?;
                }
                Ok(())
            }
            Token::String => self.skip_string(),
            Token::Number => self.number().map(drop),
            Token::True => self.literal("true"),
            Token::False => self.literal("false"),
            Token::Null => self.literal("null"),
        }
    }

    fn skip_key(&mut self) -> Result<(), Failure> {
        if self.byte() != Some(b'"') {
            return Err(self.expected("a key in quotes"));
        }
        self.skip_string()?;
        self.expect(b':', "':'")
    }

    fn skip_string(&mut self) -> Result<(), Failure> {
        self.expect(b'"', "a string")?;
        loop {
            let rest = self.rest();
            let length = scan::plain_length(rest);
            match rest.get(length) {
                Some(b'"') => {
                    self.position += length + 1;
                    return Ok(());
                }
                Some(b'\\') => self.position += length + 1,
                _ => return Err(self.bad_string(self.position + length)),
            }
            self.escape()?;
        }
    }

    /// Refuses anything but white space behind the value.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        match self.next() {
            None => Ok(()),
            Some(_) => Err(self.error("unexpected text behind the JSON value")),
        }
    }
}
