//! One JSON value, read strictly: numbers keep their text.

use std::collections::HashSet;
use std::sync::Arc;

use transcoder::json::{Cursor, Token};
use transcoder::{RequestError, Rule};

use crate::error::rules;
use crate::limits::MAX_RECORD_VALUES;
use crate::value::Value;

/// Why a value can't be read.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) rule: &'static str,
    /// Names from the record to the place.
    pub(super) path: String,
    pub(super) value: String,
}

/// Members of an object that are compared one by one.
const FEW_MEMBERS: usize = 16;

struct Parser<'a> {
    cursor: Cursor<'a>,
    text: &'a str,
    values: usize,
}

/// Reads a text that is one value.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Mistake> {
    let Ok(text) = simdutf8::basic::from_utf8(bytes) else {
        return Err(Mistake {
            rule: rules::NOT_TEXT,
            path: String::new(),
            value: String::from_utf8_lossy(bytes).into_owned(),
        });
    };
    let cursor = Cursor::new(bytes).map_err(|error| syntax(text, &error))?;
    let mut parser = Parser {
        cursor,
        text,
        values: 0,
    };
    let value = parser.value()?;
    parser.cursor.finish().map_err(|error| syntax(text, &error))?;
    Ok(value)
}

/// Describes an error of the grammar, with the text around it.
fn syntax(text: &str, error: &RequestError) -> Mistake {
    const AROUND: usize = 24;
    let at = error.offset.unwrap_or(0).min(text.len());
    let start = text.floor_char_boundary(at.saturating_sub(AROUND));
    let end = text.ceil_char_boundary((at + AROUND).min(text.len()));
    let around = text.get(start..end).unwrap_or_default();
    Mistake {
        rule: match error.rule {
            Rule::LimitExceeded => rules::TOO_DEEP,
            _ => rules::SYNTAX,
        },
        path: String::new(),
        value: format!("{} at byte {at} of the record: {around}", error.description),
    }
}

// === impl Parser ===

impl Parser<'_> {
    fn value(&mut self) -> Result<Value, Mistake> {
        self.values += 1;
        if self.values > MAX_RECORD_VALUES {
            return Err(Mistake {
                rule: rules::RECORD_TOO_LARGE,
                path: String::new(),
                value: format!("more than {MAX_RECORD_VALUES} values"),
            });
        }
        let text = self.text;
        let fail = |error: Box<RequestError>| syntax(text, &error);
        let cursor = &mut self.cursor;
        Ok(match cursor.peek().map_err(fail)? {
            Token::Null => cursor.literal("null").map(|()| Value::Null).map_err(fail)?,
            Token::True => {
                let read = cursor.literal("true").map(|()| Value::Bool(true));
                read.map_err(fail)?
            }
            Token::False => {
                let read = cursor.literal("false").map(|()| Value::Bool(false));
                read.map_err(fail)?
            }
            Token::Number => {
                let number = cursor.number().map_err(fail)?.text();
                match number.parse() {
                    // `-0` is a float's zero, which an integer can't keep.
                    Ok(value) if number != "-0" => Value::Int(value),
                    _ => Value::Decimal(number.into()),
                }
            }
            Token::String => {
                let string = cursor.string().map_err(fail)?.into_owned();
                if string.contains('\0') {
                    return Err(Mistake {
                        rule: rules::NUL,
                        path: String::new(),
                        value: string,
                    });
                }
                Value::Text(string)
            }
            Token::Array => {
                cursor.begin_array().map_err(fail)?;
                let mut items = Vec::new();
                while self.cursor.next_element(items.is_empty()).map_err(fail)? {
                    let item = self.value();
                    items.push(item.map_err(|mistake| mistake.at(&format!("[{}]", items.len())))?);
                }
                Value::List(items)
            }
            Token::Object => {
                cursor.begin_object().map_err(fail)?;
                self.object()?
            }
        })
    }

    fn object(&mut self) -> Result<Value, Mistake> {
        let text = self.text;
        let fail = |error: Box<RequestError>| syntax(text, &error);
        let mut fields: Vec<(Arc<str>, Value)> = Vec::new();
        let mut seen: HashSet<Arc<str>> = HashSet::new();
        while let Some(name) = self.cursor.next_key(fields.is_empty()).map_err(fail)? {
            let name: Arc<str> = Arc::from(name);
            let is_repeated = match fields.len() {
                0..FEW_MEMBERS => fields.iter().any(|(own, _)| *own == name),
                FEW_MEMBERS => {
                    seen.extend(fields.iter().map(|(own, _)| own.clone()));
                    seen.contains(&name)
                }
                _ => seen.contains(&name),
            };
            if is_repeated || name.contains('\0') {
                let rule = match is_repeated {
                    true => rules::DUPLICATE_NAME,
                    false => rules::NUL,
                };
                return Err(Mistake {
                    rule,
                    path: String::new(),
                    value: name.to_string(),
                });
            }
            if fields.len() >= FEW_MEMBERS {
                seen.insert(name.clone());
            }
            let value = self.value().map_err(|mistake| mistake.at(&name))?;
            fields.push((name, value));
        }
        Ok(Value::Map(fields))
    }
}

// === impl Mistake ===

impl Mistake {
    /// Puts a name before the path.
    fn at(mut self, name: &str) -> Self {
        let separator = match self.path.is_empty() || self.path.starts_with('[') {
            true => "",
            false => ".",
        };
        self.path = format!("{name}{separator}{}", self.path);
        self
    }
}
