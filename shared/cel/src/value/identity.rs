//! The caller as a record.

use auth::{Credential, Identity};
use cel_engine::ExecutionError;
use cel_engine::common::traits::Indexer;
use cel_engine::common::types::{CelBool, CelList, CelString, Type};
use cel_engine::common::value::{CowVal, Val};

use super::{Boxed, Presence, RECORD, failed, no_such_field};

/// The caller; `None` for an anonymous one, whose texts and lists are empty.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'v>(pub(crate) Option<&'v Identity>);

// === impl Caller ===

impl<'v> Caller<'v> {
    fn text(&self, name: &str) -> Option<&'v str> {
        let identity = self.0?;
        match name {
            "issuer" => Some(&identity.issuer),
            "subject" => Some(&identity.subject),
            "tenant" => identity.tenant.as_deref(),
            "credential" => Some(match identity.credential {
                Credential::Token => "token",
                Credential::Key => "key",
                Credential::Certificate => "certificate",
                Credential::Process => "process",
            }),
            _ => None,
        }
    }

    fn list(&self, name: &str) -> Vec<Boxed<'v>> {
        let set = self.0.map(|identity| match name {
            "roles" => &identity.roles,
            _ => &identity.scopes,
        });
        let texts = set.into_iter().flatten();
        texts
            .map(|text| -> Boxed<'v> { Box::new(CelString::from(text.as_str())) })
            .collect()
    }
}

impl Val for Caller<'_> {
    fn get_type(&self) -> &Type {
        &RECORD
    }

    fn cel_type() -> &'static Type {
        &RECORD
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

impl Indexer for Caller<'_> {
    fn get<'b, 'w>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        if let Some(Presence(name)) = key.downcast_ref::<Presence>() {
            let is_set = match name.as_str() {
                "roles" | "scopes" => !self.list(name).is_empty(),
                name => self.text(name).is_some(),
            };
            return Ok(CowVal::owned(CelBool::from(is_set)));
        }
        let Some(name) = key.downcast_ref::<CelString>() else {
            return Err(failed("not a name"));
        };
        match name.inner() {
            list @ ("roles" | "scopes") => Ok(CowVal::owned(CelList::from(self.list(list)))),
            text @ ("issuer" | "subject" | "tenant" | "credential") => Ok(CowVal::owned(
                CelString::from(self.text(text).unwrap_or_default()),
            )),
            _ => Err(no_such_field()),
        }
    }

    fn steal<'w>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.get(key).map(CowVal::into_owned)
    }
}
