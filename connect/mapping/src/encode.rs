//! Values of expressions to wire bytes.

mod json;

use cel::Presence;
use cel::engine::common::types::{
    CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelList, CelMap, CelMapKey, CelNull,
    CelString, CelTimestamp,
};
use cel::engine::common::value::Val;
use descriptors::{FieldPlan, Kind, Label, MessageId, Shape, Types, did_you_mean};
use wire::{Tag, WireType, put_delimited, put_varint, zigzag};

use crate::decimal::exact;
use crate::error::{cut, rules};
use crate::functions::shown;

/// The rule that a value breaks as the value of a field.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Path below the field, such as `[2].sku`.
    pub(crate) path: String,
    pub(crate) rule: &'static str,
    pub(crate) value: String,
}

/// Writes fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoder<'a> {
    pub(crate) types: &'a Types,
}

type Written = Result<(), Fault>;

/// The first and the last second of a timestamp.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

fn fault(rule: &'static str, value: &dyn Val) -> Fault {
    Fault {
        path: String::new(),
        rule,
        value: cut(&shown(value)),
    }
}

pub(crate) fn is_null(value: &dyn Val) -> bool {
    value.downcast_ref::<CelNull>().is_some()
}

// === impl Encoder ===

impl Encoder<'_> {
    /// Appends a field; null leaves it out.
    pub(crate) fn field(self, field: &FieldPlan, value: &dyn Val, out: &mut Vec<u8>) -> Written {
        if is_null(value) && !self.is_value(field.kind) {
            return Ok(());
        }
        match field.label {
            Label::Repeated => self.repeated(field, value, out),
            Label::Packed => {
                let items = value.downcast_ref::<CelList<'_>>();
                let items = items.ok_or_else(|| fault(rules::TYPE, value))?.inner();
                if items.is_empty() {
                    return Ok(());
                }
                let mut run = Vec::new();
                for (at, item) in items.iter().enumerate() {
                    let written = self.scalar(field.kind, &**item, &mut run);
                    written.map_err(|fault| fault.at(&format!("[{at}]")))?;
                }
                put_delimited(out, Tag::new(field.number, WireType::Delimited), &run);
                Ok(())
            }
            Label::Map => self.map(field, value, out),
            Label::Implicit => {
                let start = out.len();
                self.single(field, value, out)?;
                // The default means absent, and is not written.
                if self.is_default(field, value) {
                    out.truncate(start);
                }
                Ok(())
            }
            Label::Explicit => self.single(field, value, out),
        }
    }

    fn is_value(self, kind: Kind) -> bool {
        matches!(kind, Kind::Message(id) if self.types.message(id).shape == Shape::Value)
    }

    fn repeated(self, field: &FieldPlan, value: &dyn Val, out: &mut Vec<u8>) -> Written {
        let items = value.downcast_ref::<CelList<'_>>();
        let items = items.ok_or_else(|| fault(rules::TYPE, value))?.inner();
        for (at, item) in items.iter().enumerate() {
            let written = match is_null(&**item) && !self.is_value(field.kind) {
                true => Err(fault(rules::TYPE, &**item)),
                false => self.single(field, &**item, out),
            };
            written.map_err(|fault| fault.at(&format!("[{at}]")))?;
        }
        Ok(())
    }

    fn map(self, field: &FieldPlan, value: &dyn Val, out: &mut Vec<u8>) -> Written {
        let entry = field.message().map(|id| self.types.message(id));
        let entries = value.downcast_ref::<CelMap<'_>>();
        let (Some(entry), Some(entries)) = (entry, entries) else {
            return Err(fault(rules::TYPE, value));
        };
        let [key_field, value_field, ..] = entry.fields.as_slice() else {
            return Err(fault(rules::TYPE, value));
        };
        let mut sorted: Vec<_> = entries.inner().iter().collect();
        sorted.sort_by_cached_key(|(key, _)| name_of(key));
        for (key, value) in sorted {
            let mut content = Vec::new();
            let name = name_of(key);
            let at = |fault: Fault| fault.at(&format!("[\"{name}\"]"));
            self.single(key_field, key.inner(), &mut content).map_err(at)?;
            if is_null(&**value) {
                return Err(at(fault(rules::TYPE, &**value)));
            }
            self.single(value_field, &**value, &mut content).map_err(at)?;
            put_delimited(out, Tag::new(field.number, WireType::Delimited), &content);
        }
        Ok(())
    }

    /// Appends one value with its tag.
    fn single(self, field: &FieldPlan, value: &dyn Val, out: &mut Vec<u8>) -> Written {
        let tag = Tag::new(field.number, field.kind.wire_type());
        if let Kind::Message(id) = field.kind {
            let mut content = Vec::new();
            self.message(id, value, &mut content)?;
            put_delimited(out, tag, &content);
            return Ok(());
        }
        let mut content = Vec::new();
        self.scalar(field.kind, value, &mut content)?;
        tag.put(out);
        out.extend_from_slice(&content);
        Ok(())
    }

    /// Appends a scalar without its tag; texts and bytes with their length.
    fn scalar(self, kind: Kind, value: &dyn Val, out: &mut Vec<u8>) -> Written {
        let wrong = || fault(rules::TYPE, value);
        let bytes = |content: &[u8], out: &mut Vec<u8>| {
            put_varint(out, content.len() as u64);
            out.extend_from_slice(content);
        };
        match kind {
            Kind::Bool => {
                let own = value.downcast_ref::<CelBool>().ok_or_else(wrong)?;
                out.push(u8::from(*own.inner()));
            }
            Kind::String => {
                let own = value.downcast_ref::<CelString<'_>>().ok_or_else(wrong)?;
                bytes(own.inner().as_bytes(), out);
            }
            Kind::Bytes => {
                let own = value.downcast_ref::<CelBytes<'_>>().ok_or_else(wrong)?;
                bytes(own.inner(), out);
            }
            Kind::Enum(id) => {
                let number = self.enum_number(id, value)?;
                put_varint(out, i64::from(number) as u64);
            }
            Kind::Double => out.extend(self.double(value)?.to_le_bytes()),
            Kind::Float => {
                let double = self.double(value)?;
                let float = double as f32;
                if !float.is_finite() {
                    return Err(fault(rules::OUT_OF_RANGE, value));
                }
                out.extend(float.to_le_bytes());
            }
            _ => integer(kind, value, out)?,
        }
        Ok(())
    }

    fn double(self, value: &dyn Val) -> Result<f64, Fault> {
        let number = match value.downcast_ref::<CelDouble>() {
            Some(own) => *own.inner(),
            None => exact(value).ok_or_else(|| fault(rules::TYPE, value))?.to_double(),
        };
        match number.is_finite() {
            true => Ok(number),
            false => Err(fault(rules::OUT_OF_RANGE, value)),
        }
    }

    fn enum_number(self, id: usize, value: &dyn Val) -> Result<i32, Fault> {
        let plan = &self.types.enums[id];
        if let Some(name) = value.downcast_ref::<CelString<'_>>() {
            let number = plan.number(name.inner());
            return number.ok_or_else(|| fault(rules::ENUM, value));
        }
        let number = value.downcast_ref::<CelInt>();
        let number = number.ok_or_else(|| fault(rules::TYPE, value))?;
        let number = i32::try_from(*number.inner()).map_err(|_| fault(rules::ENUM, value))?;
        match plan.quoted_name(number) {
            Some(_) => Ok(number),
            None => Err(fault(rules::ENUM, value)),
        }
    }

    /// Appends the content of a message.
    fn message(self, id: MessageId, value: &dyn Val, out: &mut Vec<u8>) -> Written {
        let plan = self.types.message(id);
        match plan.shape {
            Shape::Timestamp => {
                let own = value.downcast_ref::<CelTimestamp>();
                let time = own.ok_or_else(|| fault(rules::TYPE, value))?.inner().to_utc();
                let seconds = time.timestamp();
                if !SECONDS.contains(&seconds) {
                    return Err(fault(rules::OUT_OF_RANGE, value));
                }
                // A leap second is the last moment before the next second.
                let nanos = time.timestamp_subsec_nanos().min(999_999_999);
                put_seconds(seconds, nanos as i32, out);
            }
            Shape::Duration => {
                let own = value.downcast_ref::<CelDuration>();
                let span = own.ok_or_else(|| fault(rules::TYPE, value))?.inner();
                put_seconds(span.num_seconds(), span.subsec_nanos(), out);
            }
            Shape::Wrapper => {
                if let Some(field) = plan.fields.first() {
                    self.field(field, value, out)?;
                }
            }
            Shape::Value | Shape::Struct | Shape::ListValue => {
                json::put(plan.shape, value, out, 0)?;
            }
            Shape::Object | Shape::Any | Shape::FieldMask | Shape::Empty => {
                self.object(id, value, out)?;
            }
        }
        Ok(())
    }

    /// Appends the fields of a map that is written out, or of an object of the record.
    fn object(self, id: MessageId, value: &dyn Val, out: &mut Vec<u8>) -> Written {
        let plan = self.types.message(id);
        if let Some(entries) = value.downcast_ref::<CelMap<'_>>() {
            let mut found = Vec::with_capacity(entries.inner().len());
            for (key, value) in entries.inner() {
                let name = name_of(key);
                let index = plan.by_name(&name).ok_or_else(|| {
                    let meant = did_you_mean(&name, plan.fields.iter().map(|field| &*field.name));
                    Fault {
                        path: String::new(),
                        rule: rules::UNKNOWN_FIELD,
                        value: format!("`{}` has no field `{name}`{meant}", plan.name),
                    }
                })?;
                found.push((index, value));
            }
            found.sort_by_key(|(index, _)| *index);
            for (index, value) in found {
                let field = &plan.fields[index];
                let written = self.field(field, &**value, out);
                written.map_err(|fault| fault.at(&field.name))?;
            }
            return Ok(());
        }
        let Some(fields) = value.as_indexer() else {
            return Err(fault(rules::TYPE, value));
        };
        for field in &plan.fields {
            let wrong = |_| fault(rules::TYPE, value).at(&field.name);
            let is_set = fields.get(&Presence(field.name.to_string())).map_err(wrong)?;
            if is_set.downcast_ref::<CelBool>().is_some_and(|own| *own.inner()) {
                let own = fields.get(&CelString::from(&*field.name)).map_err(wrong)?;
                let written = self.field(field, &*own, out);
                written.map_err(|fault| fault.at(&field.name))?;
            }
        }
        Ok(())
    }

    fn is_default(self, field: &FieldPlan, value: &dyn Val) -> bool {
        match field.kind {
            Kind::Bool => value.downcast_ref::<CelBool>().is_some_and(|own| !*own.inner()),
            Kind::String => {
                let own = value.downcast_ref::<CelString<'_>>();
                own.is_some_and(|own| own.inner().is_empty())
            }
            Kind::Bytes => {
                let own = value.downcast_ref::<CelBytes<'_>>();
                own.is_some_and(|own| own.inner().is_empty())
            }
            Kind::Enum(id) => self.enum_number(id, value).is_ok_and(|number| number == 0),
            Kind::Double | Kind::Float => {
                self.double(value).is_ok_and(|number| number.to_bits() == 0)
            }
            Kind::Message(_) | Kind::Group(_) => false,
            _ => exact(value).and_then(|own| own.to_whole().ok()) == Some(0),
        }
    }
}

fn integer(kind: Kind, value: &dyn Val, out: &mut Vec<u8>) -> Written {
    let number = exact(value).ok_or_else(|| fault(rules::TYPE, value))?;
    let number = number.to_whole().map_err(|rule| fault(rule, value))?;
    let wide = || fault(rules::OUT_OF_RANGE, value);
    match kind {
        Kind::Int32 => {
            let number = i32::try_from(number).map_err(|_| wide())?;
            put_varint(out, i64::from(number) as u64);
        }
        Kind::Int64 => put_varint(out, i64::try_from(number).map_err(|_| wide())? as u64),
        Kind::Uint32 => put_varint(out, u32::try_from(number).map_err(|_| wide())?.into()),
        Kind::Uint64 => put_varint(out, u64::try_from(number).map_err(|_| wide())?),
        Kind::Sint32 => {
            let number = i32::try_from(number).map_err(|_| wide())?;
            put_varint(out, zigzag(number.into()) & u64::from(u32::MAX));
        }
        Kind::Sint64 => put_varint(out, zigzag(i64::try_from(number).map_err(|_| wide())?)),
        Kind::Fixed32 => out.extend(u32::try_from(number).map_err(|_| wide())?.to_le_bytes()),
        Kind::Sfixed32 => out.extend(i32::try_from(number).map_err(|_| wide())?.to_le_bytes()),
        Kind::Fixed64 => out.extend(u64::try_from(number).map_err(|_| wide())?.to_le_bytes()),
        Kind::Sfixed64 => out.extend(i64::try_from(number).map_err(|_| wide())?.to_le_bytes()),
        _ => return Err(fault(rules::TYPE, value)),
    }
    Ok(())
}

fn put_seconds(seconds: i64, nanos: i32, out: &mut Vec<u8>) {
    if seconds != 0 {
        Tag::new(1, WireType::Varint).put_varint(seconds as u64, out);
    }
    if nanos != 0 {
        Tag::new(2, WireType::Varint).put_varint(i64::from(nanos) as u64, out);
    }
}

pub(super) fn name_of(key: &CelMapKey<'_>) -> String {
    shown(key.inner())
}

// === impl Fault ===

impl Fault {
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
