//! The pull reader: it hands out one token at a time and never builds a tree.

mod strings;

use std::borrow::Cow;

use descriptors::Literal;
use wire::{CHUNK, MAX_DEPTH};

use super::{Number, scan};
use crate::error::{Failure, RequestError, Rule};

/// A position in a JSON text. Copying it is how a reader looks ahead and comes back.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    text: &'a str,
    position: usize,
    depth: usize,
}

/// The type of a JSON value, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// An object.
    Object,
    /// An array.
    Array,
    /// A string.
    String,
    /// A number.
    Number,
    /// `true`.
    True,
    /// `false`.
    False,
    /// `null`.
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
    /// Checks all of the text for UTF-8, so that no later step has to.
    ///
    /// # Errors
    /// The text is not UTF-8.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Failure> {
        let text = simdutf8::compat::from_utf8(bytes).map_err(|error| {
            RequestError::new(Rule::Syntax, "the body is not UTF-8").offset(error.valid_up_to())
        })?;
        Ok(Cursor {
            text,
            position: 0,
            depth: 0,
        })
    }

    /// Returns all of it, read or not.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Goes on after a value that a copy of this cursor has read.
    pub(crate) fn move_to(&mut self, position: usize) {
        self.position = position;
    }

    #[cold]
    fn error(&self, description: &str) -> Failure {
        RequestError::new(Rule::Syntax, description).offset(self.position)
    }

    #[inline]
    pub(crate) fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    /// Returns the unread text.
    #[inline]
    fn rest(&self) -> &'a [u8] {
        let bytes = self.text.as_bytes();
        bytes.get(self.position..).unwrap_or_default()
    }

    fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// Returns the next byte that is not white space.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        match self.byte() {
            Some(byte) if byte <= b' ' => self.next_behind_space(),
            byte => byte,
        }
    }

    /// Passes over white space.
    #[inline]
    pub(crate) fn skip_space(&mut self) {
        self.next();
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

    /// Returns the kind of the next value, which stays unread.
    ///
    /// # Errors
    /// The text ends, or none begins here.
    #[inline]
    pub fn peek(&mut self) -> Result<Token, Failure> {
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

    /// Returns whether the next value begins with this byte.
    #[inline]
    pub(crate) fn is_next(&mut self, byte: u8) -> bool {
        self.next() == Some(byte)
    }

    /// Begins an object: its keys are next.
    ///
    /// # Errors
    /// There is no object, or it is nested too deeply.
    #[inline]
    pub fn begin_object(&mut self) -> Result<(), Failure> {
        self.expect(b'{', "an object")?;
        self.enter()
    }

    /// Begins an array: its elements are next.
    ///
    /// # Errors
    /// There is no array, or it is nested too deeply.
    #[inline]
    pub fn begin_array(&mut self) -> Result<(), Failure> {
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

    /// Returns the next key of the object, its colon read too; `None` at the end of the object.
    ///
    /// # Errors
    /// Neither a key nor the end is next.
    pub fn next_key(&mut self, is_first: bool) -> Result<Option<Cow<'a, str>>, Failure> {
        if self.next_member(is_first)? {
            self.key().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Returns whether the object goes on; then [`Cursor::key`] is next.
    #[inline]
    pub(crate) fn next_member(&mut self, is_first: bool) -> Result<bool, Failure> {
        let goes_on = self.next_item(is_first, b'}')?;
        if goes_on {
            self.next();
        }
        Ok(goes_on)
    }

    /// Passes over this text, if it comes at once.
    #[inline]
    pub(crate) fn take(&mut self, text: &Literal) -> bool {
        let is_next = text.starts(self.rest());
        if is_next {
            self.position += text.len;
        }
        is_next
    }

    /// Returns a string that is short, has no escapes, and comes at once; `None`, with nothing
    /// read, for every other value. The chunk also holds the text after the string.
    #[inline]
    pub(crate) fn short_string(&mut self) -> Option<(&'a [u8; CHUNK], usize)> {
        let (b'"', rest) = self.rest().split_first()? else {
            return None;
        };
        let chunk = rest.first_chunk()?;
        let length = scan::stops(chunk).trailing_zeros() as usize;
        if chunk.get(length) != Some(&b'"') {
            return None;
        }
        self.position += length + 2;
        Some((chunk, length))
    }

    /// Returns an integer of at most 16 digits, in quotes or not, and its sign; `None`, with
    /// nothing read, for everything else. Inlined, as that result is too wide to come back in
    /// registers.
    #[inline(always)]
    pub(crate) fn short_integer(&mut self) -> Option<(bool, u64)> {
        let rest = self.rest();
        let (first, behind) = rest.split_first()?;
        let is_quoted = *first == b'"';
        let unquoted = if is_quoted { behind } else { rest };
        let (is_negative, magnitude, tail) = Number::short_integer(unquoted)?;
        let is_end = match tail.first()? {
            b'"' => is_quoted,
            b',' | b'}' | b']' => !is_quoted,
            _ => false,
        };
        if !is_end {
            return None;
        }
        self.position += rest.len() - tail.len() + usize::from(is_quoted);
        Some((is_negative, magnitude))
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

    /// Returns whether the array goes on.
    ///
    /// # Errors
    /// Neither an element nor the end is next.
    #[inline]
    pub fn next_element(&mut self, is_first: bool) -> Result<bool, Failure> {
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
    ///
    /// # Errors
    /// It is another word.
    #[inline]
    pub fn literal(&mut self, word: &'static str) -> Result<(), Failure> {
        self.next();
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.expected(word));
        }
        self.position += word.len();
        Ok(())
    }

    /// Returns a number that comes at once; `None`, with nothing read, for everything else.
    #[inline]
    pub(crate) fn short_number(&mut self) -> Option<Number<'a>> {
        let number = Number::read(self.text.get(self.position..)?)?;
        self.position += number.len;
        Some(number)
    }

    /// Returns a number, checked against the grammar.
    ///
    /// # Errors
    /// The number is malformed.
    #[inline]
    pub fn number(&mut self) -> Result<Number<'a>, Failure> {
        self.next();
        let rest = self.text.get(self.position..).unwrap_or_default();
        match Number::read(rest) {
            Some(number) => {
                self.position += number.len;
                Ok(number)
            }
            None => Err(self.error("malformed number")),
        }
    }

    /// Returns a number in quotes; `None`, with nothing read, if the string is something else.
    #[inline]
    pub(crate) fn quoted_number(&mut self) -> Option<Number<'a>> {
        let number = Number::read(self.text.get(self.position + 1..)?)?;
        let end = self.position + 1 + number.len;
        if self.text.as_bytes().get(end) != Some(&b'"') {
            return None;
        }
        self.position = end + 1;
        Some(number)
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

    /// Rejects anything but white space after the value.
    ///
    /// # Errors
    /// There is more.
    pub fn finish(&mut self) -> Result<(), Failure> {
        match self.next() {
            None => Ok(()),
            Some(_) => Err(self.error("unexpected text after the JSON value")),
        }
    }
}
