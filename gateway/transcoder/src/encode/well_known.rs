//! The well-known types that JSON writes in their own way.

use std::borrow::Cow;

use descriptors::{FirstKeys, Kind, MessageId, MessagePlan, Shape, has_duplicate_key};
use wire::{close, open, put_varint};

use super::{Done, Encoder, Written, invalid};
use crate::error::Rule;
use crate::json::Token;
use crate::limits::{MAX_LOOKAHEAD, MAX_SHOWN_CHARS};
use crate::tables::missing_type;
use crate::{scalar, wkt};

/// Tags of `google.protobuf.Any`.
const ANY_TYPE_URL: u8 = 0x0a;
const ANY_VALUE: u8 = 0x12;
/// Tags of `google.protobuf.Struct` (its map, and the entries) and `google.protobuf.ListValue`.
const STRUCT_FIELDS: u8 = 0x0a;
const ENTRY_KEY: u8 = 0x0a;
const ENTRY_VALUE: u8 = 0x12;
const LIST_VALUES: u8 = 0x0a;
/// Tags of the members of `google.protobuf.Value`.
const NULL_VALUE: u8 = 0x08;
const NUMBER_VALUE: u8 = 0x11;
const STRING_VALUE: u8 = 0x1a;
const BOOL_VALUE: u8 = 0x20;
const STRUCT_VALUE: u8 = 0x2a;
const LIST_VALUE: u8 = 0x32;

impl<'a> Encoder<'a> {
    pub(super) fn well_known(&mut self, plan: &'a MessagePlan) -> Done {
        match plan.shape {
            Shape::Timestamp => self.text(wkt::put_timestamp),
            Shape::Duration => self.text(wkt::put_duration),
            Shape::FieldMask => self.text(wkt::put_field_mask),
            Shape::Wrapper => self.wrapper(plan),
            Shape::Struct => self.structure(),
            Shape::Value => self.any_value(),
            Shape::ListValue => self.list_value(),
            Shape::Any => self.any(),
            Shape::Object | Shape::Empty => self.members(plan, &[], false),
        }
    }

    #[inline]
    fn text(&mut self, put: fn(&str, &mut Vec<u8>) -> Result<(), &'static str>) -> Done {
        if !self.cursor.is_next(b'"') {
            self.require(Token::String)?;
        }
        let at = self.cursor.position();
        let text = self.cursor.string()?;
        match put(&text, self.out) {
            Ok(()) => Ok(()),
            Err(reason) => Err(invalid(reason, at)),
        }
    }

    fn wrapper(&mut self, plan: &'a MessagePlan) -> Done {
        let field = &plan.fields[0];
        let start = self.out.len();
        field.tag.put(self.out);
        if self.value(field, &[])? == Written::Default {
            self.out.truncate(start);
        }
        Ok(())
    }

    fn structure(&mut self) -> Done {
        self.begin_object()?;
        let start = self.out.len();
        let mut keys = FirstKeys::new();
        let mut count = 0;
        while let Some(key) = self.cursor.next_key(count == 0)? {
            count += 1;
            if let Cow::Borrowed(key) = key
                && !keys.insert(key.as_bytes())
            {
                return Err(self.duplicate_key());
            }
            self.out.push(STRUCT_FIELDS);
            let entry = open(self.out);
            self.out.push(ENTRY_KEY);
            put_varint(self.out, key.len() as u64);
            self.out.extend_from_slice(key.as_bytes());
            self.out.push(ENTRY_VALUE);
            let value = open(self.out);
            self.any_value().map_err(|failure| failure.in_field(&key))?;
            close(self.out, value);
            close(self.out, entry);
        }
        if keys.compared_all(count) {
            return Ok(());
        }
        match has_duplicate_key(self.out.get(start..).unwrap_or_default(), Kind::String) {
            Ok(false) => Ok(()),
            _ => Err(self.duplicate_key()),
        }
    }

    fn list_value(&mut self) -> Done {
        self.begin_array()?;
        let mut index = 0;
        while self.cursor.next_element(index == 0)? {
            self.out.push(LIST_VALUES);
            let value = open(self.out);
            self.any_value()
                .map_err(|failure| failure.at_index(index))?;
            close(self.out, value);
            index += 1;
        }
        Ok(())
    }

    fn any_value(&mut self) -> Done {
        match self.cursor.peek()? {
            Token::Null => {
                self.cursor.literal("null")?;
                self.out.extend([NULL_VALUE, 0]);
            }
            token @ (Token::True | Token::False) => {
                self.out.push(BOOL_VALUE);
                scalar::put_bool(token == Token::True, self.out);
                self.cursor.literal(if token == Token::True {
                    "true"
                } else {
                    "false"
                })?;
            }
            Token::Number => {
                self.out.push(NUMBER_VALUE);
                self.scalar(Kind::Double)?;
            }
            Token::String => {
                self.out.push(STRING_VALUE);
                self.scalar(Kind::String)?;
            }
            Token::Object => {
                self.out.push(STRUCT_VALUE);
                let at = open(self.out);
                self.structure()?;
                close(self.out, at);
            }
            Token::Array => {
                self.out.push(LIST_VALUE);
                let at = open(self.out);
                self.list_value()?;
                close(self.out, at);
            }
        }
        Ok(())
    }

    /// Reads an Any. The type may come after the members that need it, so it is looked up first.
    fn any(&mut self) -> Done {
        self.require(Token::Object)?;
        let Some(url) = self.type_url()? else {
            return self.empty_any();
        };
        let Some((added, id)) = self.root.any_type(&url) else {
            let shown: String = url.chars().take(MAX_SHOWN_CHARS).collect();
            let mut failure = self.fail(Rule::InvalidValue, format!("unknown type {shown:?}"));
            failure.missing_type = missing_type(&url);
            return Err(failure.in_field("@type"));
        };
        self.out.push(ANY_TYPE_URL);
        put_varint(self.out, url.len() as u64);
        self.out.extend_from_slice(url.as_bytes());

        let start = self.out.len();
        self.out.push(ANY_VALUE);
        let at = open(self.out);
        let mut inner = Encoder {
            types: added.as_deref().unwrap_or(self.root),
            root: self.root,
            cursor: self.cursor,
            out: &mut *self.out,
            ahead: self.ahead,
        };
        inner.any_content(id)?;
        self.ahead = inner.ahead;
        let end = inner.cursor.position();
        self.cursor.move_to(end);
        match self.out.len() - at {
            1 => self.out.truncate(start),
            _ => close(self.out, at),
        }
        Ok(())
    }

    fn any_content(&mut self, id: MessageId) -> Done {
        let plan = self.types.message(id);
        self.cursor.begin_object()?;
        match plan.shape {
            Shape::Object => self.members(plan, &[], true),
            _ => self.any_special(plan),
        }
    }

    /// `{}` is an Any without type and value.
    fn empty_any(&mut self) -> Done {
        self.cursor.begin_object()?;
        match self.cursor.next_key(true)? {
            None => Ok(()),
            Some(_) => Err(self.fail(Rule::InvalidValue, "an Any names its type under '@type'")),
        }
    }

    /// Returns the value of `@type`, wherever in the object it stands; the reader stays where it
    /// is. That it comes only once is seen when the members are read.
    fn type_url(&mut self) -> Done<Option<Cow<'a, str>>> {
        let mut ahead = self.cursor;
        ahead.begin_object()?;
        let mut is_first = true;
        while let Some(key) = ahead.next_key(is_first)? {
            is_first = false;
            if key != "@type" {
                ahead.skip_value()?;
                continue;
            }
            if ahead.peek()? != Token::String {
                let failure = self.fail(Rule::InvalidValue, "expected one string");
                return Err(failure.in_field("@type"));
            }
            self.ahead += ahead.position() - self.cursor.position();
            if self.ahead > MAX_LOOKAHEAD * ahead.text().len() {
                let reason = "'@type' comes too late in nested Anys";
                return Err(self.fail(Rule::LimitExceeded, reason));
            }
            return ahead.string().map(Some);
        }
        Ok(None)
    }

    /// Reads an Any whose type has no object of fields as JSON: it stands under `value`.
    fn any_special(&mut self, plan: &'a MessagePlan) -> Done {
        let mut has_value = false;
        let mut has_type = Some(false);
        let mut is_first = true;
        while let Some(key) = self.cursor.next_key(is_first)? {
            is_first = false;
            if key != "value" {
                self.unknown(&key, &mut has_type)?;
                continue;
            }
            if has_value {
                return Err(self
                    .fail(Rule::Duplicate, "the field is set twice")
                    .in_field("value"));
            }
            has_value = true;
            self.special_value(plan)
                .map_err(|failure| failure.in_field("value"))?;
        }
        match has_value || plan.shape == Shape::Empty {
            true => Ok(()),
            false => Err(self.fail(Rule::InvalidValue, "this type stands under 'value'")),
        }
    }

    fn special_value(&mut self, plan: &'a MessagePlan) -> Done {
        if plan.shape != Shape::Empty {
            return self.well_known(plan);
        }
        self.begin_object()?;
        self.members(plan, &[], false)
    }
}
