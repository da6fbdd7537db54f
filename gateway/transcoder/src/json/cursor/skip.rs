//! Values that are checked and not kept.

use super::{Cursor, Token};
use crate::error::Failure;

impl Cursor<'_> {
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
}
