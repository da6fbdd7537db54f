//! The pull reader: it hands out one token at a time and never builds a tree.

use std::borrow::Cow;

use crate::{
    error::{Failure, RequestError, Rule},
    limits::MAX_DEPTH,
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
        let text = std::str::from_utf8(bytes).map_err(|error| {
            RequestError::new(Rule::Syntax, "the body is not UTF-8").offset(error.valid_up_to())
        })?;
        Ok(Cursor {
            text,
            position: 0,
            depth: 0,
        })
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    fn error(&self, description: &str) -> Failure {
        RequestError::new(Rule::Syntax, description).offset(self.position)
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.position += 1;
        }
    }

    fn expect(&mut self, byte: u8, what: &str) -> Result<(), Failure> {
        self.skip_space();
        if self.byte() == Some(byte) {
            self.position += 1;
            Ok(())
        } else {
            Err(self.error(&format!("expected {what}")))
        }
    }

    /// The kind of the next value, which stays unread.
    pub(crate) fn peek(&mut self) -> Result<Token, Failure> {
        self.skip_space();
        match self.byte() {
            Some(b'{') => Ok(Token::Object),
            Some(b'[') => Ok(Token::Array),
            Some(b'"') => Ok(Token::String),
            Some(b'-' | b'0'..=b'9') => Ok(Token::Number),
            Some(b't') => Ok(Token::True),
            Some(b'f') => Ok(Token::False),
            Some(b'n') => Ok(Token::Null),
            Some(_) => Err(self.error("expected a JSON value")),
            None => Err(self.error("the body ends where a JSON value was expected")),
        }
    }

    pub(crate) fn begin_object(&mut self) -> Result<(), Failure> {
        self.expect(b'{', "an object")?;
        self.enter()
    }

    pub(crate) fn begin_array(&mut self) -> Result<(), Failure> {
        self.expect(b'[', "an array")?;
        self.enter()
    }

    fn enter(&mut self) -> Result<(), Failure> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let description = format!("nested more than {MAX_DEPTH} levels deep");
            return Err(RequestError::new(Rule::LimitExceeded, description).offset(self.position));
        }
        Ok(())
    }

    /// The next key of the object, its colon read too; `None` at the end of the object.
    pub(crate) fn next_key(&mut self, is_first: bool) -> Result<Option<Cow<'a, str>>, Failure> {
        if !self.next_item(is_first, b'}')? {
            return Ok(None);
        }
        self.skip_space();
        if self.byte() != Some(b'"') {
            return Err(self.error("expected a key in quotes"));
        }
        let key = self.string()?;
        self.expect(b':', "':'")?;
        Ok(Some(key))
    }

    /// Whether the array goes on.
    pub(crate) fn next_element(&mut self, is_first: bool) -> Result<bool, Failure> {
        self.next_item(is_first, b']')
    }

    fn next_item(&mut self, is_first: bool, close: u8) -> Result<bool, Failure> {
        self.skip_space();
        match self.byte() {
            Some(byte) if byte == close => {
                self.position += 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(b',') if !is_first => {
                self.position += 1;
                Ok(true)
            }
            Some(_) if is_first => Ok(true),
            _ => Err(self.error(&format!("expected ',' or '{}'", char::from(close)))),
        }
    }

    /// Reads `true`, `false` or `null`, whichever [`Cursor::peek`] has announced.
    pub(crate) fn literal(&mut self, word: &'static str) -> Result<(), Failure> {
        self.skip_space();
        let end = self.position + word.len();
        if self.slice(self.position, end) != word {
            return Err(self.error(&format!("expected {word}")));
        }
        self.position = end;
        Ok(())
    }

    /// The exact text of a number, checked against the grammar.
    pub(crate) fn number(&mut self) -> Result<&'a str, Failure> {
        self.skip_space();
        let start = self.position;
        let bytes = self.text.as_bytes();
        let length = bytes[start..]
            .iter()
            .position(|b| !matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(bytes.len() - start);
        let number = self.slice(start, start + length);
        if !is_number(number) {
            return Err(self.error("malformed number"));
        }
        self.position += length;
        Ok(number)
    }

    /// A string; borrowed from the text unless it has escapes.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Failure> {
        match self.plain_string()? {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => {
                let mut decoded = Vec::new();
                self.string_into(&mut decoded)?;
                let text = String::from_utf8(decoded);
                text.map(Cow::Owned)
                    .map_err(|_| self.error("malformed string"))
            }
        }
    }

    /// A string without escapes; `None`, with nothing read, if there are some.
    pub(crate) fn plain_string(&mut self) -> Result<Option<&'a str>, Failure> {
        self.skip_space();
        if self.byte() != Some(b'"') {
            return Err(self.error("expected a string"));
        }
        let start = self.position + 1;
        let length = self.plain_length(start)?;
        if self.text.as_bytes().get(start + length) != Some(&b'"') {
            return Ok(None);
        }
        self.position = start + length + 1;
        Ok(Some(self.slice(start, start + length)))
    }

    /// Appends the decoded content of a string.
    pub(crate) fn string_into(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        self.expect(b'"', "a string")?;
        loop {
            let start = self.position;
            let length = self.plain_length(start)?;
            out.extend_from_slice(self.slice(start, start + length).as_bytes());
            self.position = start + length + 1;
            if self.text.as_bytes().get(start + length) == Some(&b'"') {
                return Ok(());
            }
            let mut buffer = [0; 4];
            out.extend_from_slice(self.escape()?.encode_utf8(&mut buffer).as_bytes());
        }
    }

    /// How many bytes from `start` on stand for themselves; the next one is a quote or a backslash.
    fn plain_length(&mut self, start: usize) -> Result<usize, Failure> {
        let bytes = &self.text.as_bytes()[start..];
        let stop = memchr::memchr2(b'"', b'\\', bytes);
        let plain = &bytes[..stop.unwrap_or(bytes.len())];
        if let Some(at) = plain.iter().position(|byte| *byte < 0x20) {
            self.position = start + at;
            return Err(self.error("control character in a string"));
        }
        stop.ok_or_else(|| {
            self.position = self.text.len();
            self.error("the body ends inside a string")
        })
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
                while self.next_key(is_first)?.is_some() {
                    is_first = false;
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
            Token::String => self.string().map(drop),
            Token::Number => self.number().map(drop),
            Token::True => self.literal("true"),
            Token::False => self.literal("false"),
            Token::Null => self.literal("null"),
        }
    }

    /// Refuses anything but white space behind the value.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        self.skip_space();
        match self.byte() {
            None => Ok(()),
            Some(_) => Err(self.error("unexpected text behind the JSON value")),
        }
    }
}

/// `number = [ "-" ] int [ frac ] [ exp ]` (RFC 8259 section 6).
pub(crate) fn is_number(text: &str) -> bool {
    let digits = |text: &mut &[u8]| {
        let count = text.iter().take_while(|b| b.is_ascii_digit()).count();
        *text = &text[count..];
        count
    };
    let mut rest = text.as_bytes();
    rest = rest.strip_prefix(b"-").unwrap_or(rest);
    let has_leading_zero = rest.first() == Some(&b'0');
    let integer = digits(&mut rest);
    if integer == 0 || (has_leading_zero && integer > 1) {
        return false;
    }
    if let [b'.', tail @ ..] = rest {
        rest = tail;
        if digits(&mut rest) == 0 {
            return false;
        }
    }
    if let [b'e' | b'E', tail @ ..] = rest {
        rest = tail;
        if let [b'+' | b'-', tail @ ..] = rest {
            rest = tail;
        }
        if digits(&mut rest) == 0 {
            return false;
        }
    }
    rest.is_empty()
}
