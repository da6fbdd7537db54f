//! Values of records as values of expressions.

use cel::engine::ExecutionError;
use cel::engine::common::traits::{Container, Indexer};
use cel::engine::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelNull, CelString, CelTimestamp, Type,
};
use cel::engine::common::value::{CowVal, Val};
use cel::{Boxed, Presence, RECORD};
use formats::Value;

use crate::decimal::{Decimal, failure};
use crate::error::rules;

/// The fields of a record, or of an object in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'v>(pub(crate) &'v Value);

// === impl Fields ===

impl<'v> Fields<'v> {
    fn find(&self, key: &dyn Val) -> Result<Option<&'v Value>, ExecutionError> {
        match key.downcast_ref::<CelString<'_>>() {
            Some(name) => Ok(self.0.get(name.inner())),
            None => Err(failure("row", rules::TYPE, "a name is needed")),
        }
    }
}

impl Val for Fields<'_> {
    fn get_type(&self) -> &Type {
        &RECORD
    }

    fn cel_type() -> &'static Type {
        &RECORD
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(*self)
    }
}

impl Container for Fields<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.find(key)?.is_some())
    }
}

impl Indexer for Fields<'_> {
    fn get<'b, 'w>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        if let Some(Presence(name)) = key.downcast_ref::<Presence>() {
            let is_set = self.0.get(name).is_some_and(|value| !value.is_absent());
            return Ok(CowVal::owned(CelBool::from(is_set)));
        }
        match self.find(key)? {
            Some(value) => value_of(value).map(CowVal::Owned),
            None => {
                let name = key.downcast_ref::<CelString<'_>>().map(|name| name.inner());
                Err(failure("row", rules::MISSING, name.unwrap_or_default()))
            }
        }
    }

    fn steal<'w>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.get(key).map(CowVal::into_owned)
    }
}

/// Returns a value of a record for expressions. Local times and dates are text.
pub(crate) fn value_of(value: &Value) -> Result<Boxed<'_>, ExecutionError> {
    Ok(match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(own) => Box::new(CelBool::from(*own)),
        Value::Int(own) => Box::new(CelInt::from(*own)),
        Value::Decimal(text) => {
            let wrong = |rule| failure("row", rule, text);
            Box::new(Decimal::parse(text).map_err(wrong)?)
        }
        Value::Float(own) => Box::new(CelDouble::from(*own)),
        Value::Text(text) => Box::new(CelString::from(text.as_str())),
        Value::Bytes(bytes) => Box::new(CelBytes::from(bytes.as_slice())),
        Value::Time(time) => Box::new(CelTimestamp::from(time.fixed_offset())),
        Value::Local(_) | Value::Date(_) => Box::new(CelString::from(value.shown())),
        Value::List(items) => {
            let items = items.iter().map(value_of).collect::<Result<Vec<_>, _>>()?;
            Box::new(CelList::from(items))
        }
        Value::Map(_) => Box::new(Fields(value)),
    })
}
