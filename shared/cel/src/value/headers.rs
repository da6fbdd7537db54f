//! Headers as a map of texts.

use cel_engine::ExecutionError;
use cel_engine::common::traits::{Container, Indexer};
use cel_engine::common::types::{CelBool, CelString, Type};
use cel_engine::common::value::{CowVal, Val};
use http::HeaderMap;

use super::{Presence, RECORD, failed, no_such_field};

/// Headers by lower-case name; several of one name are joined by `, ` (RFC 9110 §5.3).
#[derive(Clone, Copy)]
pub(crate) struct Headers<'v>(pub(crate) &'v HeaderMap);

// === impl Headers ===

impl Headers<'_> {
    fn get_text(&self, name: &str) -> Option<String> {
        let mut values = self.0.get_all(name).iter().map(|value| value.to_str());
        let mut text = values.next()?.ok()?.to_owned();
        for value in values {
            text.push_str(", ");
            text.push_str(value.ok()?);
        }
        Some(text)
    }
}

/// Nothing of them: credentials stay out of logs.
impl std::fmt::Debug for Headers<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("metadata")
    }
}

impl Val for Headers<'_> {
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

impl Container for Headers<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        match key.downcast_ref::<CelString>() {
            Some(name) => Ok(self.get_text(name.inner()).is_some()),
            None => Err(failed("not a name")),
        }
    }
}

impl Indexer for Headers<'_> {
    fn get<'b, 'w>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        if let Some(Presence(name)) = key.downcast_ref::<Presence>() {
            return Ok(CowVal::owned(CelBool::from(self.get_text(name).is_some())));
        }
        let name = key.downcast_ref::<CelString>();
        let text = name.and_then(|name| self.get_text(name.inner()));
        text.map(|text| CowVal::owned(CelString::from(text)))
            .ok_or_else(no_such_field)
    }

    fn steal<'w>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.get(key).map(CowVal::into_owned)
    }
}
