//! `cache` and `idempotency_key` by selector.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::{Cache, IdempotencyKey, Invalidation, Scope, StoreAway};
use serde::Deserialize;
use transcoder::{Idempotency, MethodKind, MethodPlan, Schema};

use super::{MethodOptions, SelectedOption, selected};
use crate::api::catalog::Refusal;

/// `mesh.v1.Cache`; times in seconds, with or without a fraction.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheTable {
    /// How long an answer is served as it is.
    pub ttl_seconds: f64,
    /// Whether all callers may share an answer.
    pub shared: bool,
    /// Metadata that the answer also depends on.
    pub vary: Vec<String>,
    /// How long an older answer is served while a new one is fetched.
    pub stale_while_revalidate_seconds: f64,
    /// How long an older answer is served instead of an error.
    pub stale_if_error_seconds: f64,
    /// The events after which answers are out of date.
    pub invalidated_by: Vec<InvalidationTable>,
}

/// `mesh.v1.Cache.Invalidation`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InvalidationTable {
    /// Full name of the event's message.
    pub event: String,
    /// The field of the request that equals the event's key.
    pub field: String,
}

/// `mesh.v1.IdempotencyKey`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdempotencyKeyTable {
    /// The field of the request with the key; empty for the header.
    pub field: String,
    /// Whether a call without a key is refused.
    pub required: bool,
    /// How long an answer is replayed, in seconds.
    pub ttl_seconds: f64,
    /// Whether calls are answered as without a key while the store is away.
    pub open_without_store: bool,
}

/// The options about answers that selectors give, by the paths of methods.
#[derive(Debug, Default)]
pub(crate) struct SelectedAnswers {
    caches: BTreeMap<String, Cache>,
    keys: BTreeMap<String, IdempotencyKey>,
}

const CACHE: SelectedOption<CacheTable> = SelectedOption {
    name: "cache",
    of: |item| item.cache.as_ref(),
    is_declared: |method| method.cache().is_some(),
};

const KEY: SelectedOption<IdempotencyKeyTable> = SelectedOption {
    name: "idempotency_key",
    of: |item| item.idempotency_key.as_ref(),
    is_declared: |method| method.idempotency_key().is_some(),
};

/// Reads the options of a schema's methods.
///
/// # Errors
/// A method has the option in its contract too, or is not one that may have it.
pub(crate) fn answers(
    schema: &Schema,
    items: &[MethodOptions],
) -> Result<SelectedAnswers, Refusal> {
    let mut answers = SelectedAnswers::default();
    for (path, table) in selected(schema, items, CACHE)? {
        let Some(method) = schema.method(path) else {
            continue;
        };
        let cache = table.cache();
        let fields = cache.invalidated_by.iter();
        let fields = fields.filter_map(|wait| wait.field.as_deref());
        fits(schema, method, CACHE.name, true, fields)?;
        answers.caches.insert(path.to_owned(), cache);
    }
    for (path, table) in selected(schema, items, KEY)? {
        let Some(method) = schema.method(path) else {
            continue;
        };
        let key = table.key();
        fits(
            schema,
            method,
            KEY.name,
            false,
            key.field.as_deref().into_iter(),
        )?;
        answers.keys.insert(path.to_owned(), key);
    }
    Ok(answers)
}

/// Checks that a method may have the option, and has its fields.
fn fits<'f>(
    schema: &Schema,
    method: &MethodPlan,
    option: &'static str,
    is_read: bool,
    mut fields: impl Iterator<Item = &'f str>,
) -> Result<(), Refusal> {
    let reads = method.idempotency() == Idempotency::NoSideEffects;
    let input = schema.message(method.input());
    let has_text = |field: &str| input.is_some_and(|input| input.has_text(field));
    let problem = match method.kind() {
        MethodKind::Unary if reads != is_read && is_read => {
            "it is not declared free of side effects".to_owned()
        }
        MethodKind::Unary if reads != is_read => "it is free of side effects".to_owned(),
        MethodKind::Unary => match fields.find(|field| !has_text(field)) {
            None => return Ok(()),
            Some(field) => format!("{} has no string field `{field}`", method.input()),
        },
        kind => format!("it is a {}", kind.name()),
    };
    Err(Refusal::Unfit {
        option,
        method: method.path().to_owned(),
        problem,
    })
}

// === impl SelectedAnswers ===

impl SelectedAnswers {
    /// Returns the cache of a method, by its contract or by selector.
    pub(crate) fn cache<'a>(&'a self, method: &'a MethodPlan) -> Option<&'a Cache> {
        method.cache().or_else(|| self.caches.get(method.path()))
    }

    /// Returns the idempotency key of a method, by its contract or by selector.
    pub(crate) fn key<'a>(&'a self, method: &'a MethodPlan) -> Option<&'a IdempotencyKey> {
        let declared = method.idempotency_key();
        declared.or_else(|| self.keys.get(method.path()))
    }
}

// === impl CacheTable ===

impl CacheTable {
    /// Returns the first key with a mistake, and the mistake.
    pub(super) fn mistake(&self) -> Option<(&'static str, &'static str)> {
        let stale = [
            self.stale_while_revalidate_seconds,
            self.stale_if_error_seconds,
        ];
        if !is_time(self.ttl_seconds) || self.ttl_seconds == 0.0 {
            return Some(("ttl_seconds", "expected seconds above 0, at most a year"));
        }
        if !stale.into_iter().all(is_time) {
            return Some(("stale_…_seconds", "expected seconds from 0, at most a year"));
        }
        if self.invalidated_by.iter().any(|wait| wait.event.is_empty()) {
            return Some(("invalidated_by", "expected the full name of an `event`"));
        }
        let is_fit = |name: &String| transcoder::is_vary(name);
        let is_vary = self.vary.iter().all(is_fit);
        (!is_vary).then_some((
            "vary",
            "expected names of metadata in lower case, or `identity.tenant`, `.roles`, `.scopes`, `.issuer`",
        ))
    }

    fn cache(&self) -> Cache {
        let waits = self.invalidated_by.iter().map(|wait| Invalidation {
            event: wait.event.clone(),
            field: Some(wait.field.clone()).filter(|field| !field.is_empty()),
        });
        Cache {
            ttl: time(self.ttl_seconds),
            scope: match self.shared {
                true => Scope::Shared,
                false => Scope::Private,
            },
            vary: self.vary.clone(),
            stale_while_revalidate: time(self.stale_while_revalidate_seconds),
            stale_if_error: time(self.stale_if_error_seconds),
            invalidated_by: waits.collect(),
        }
    }
}

// === impl IdempotencyKeyTable ===

impl IdempotencyKeyTable {
    /// Returns the key with a mistake, and the mistake.
    pub(super) fn mistake(&self) -> Option<(&'static str, &'static str)> {
        let is_fit = is_time(self.ttl_seconds) && self.ttl_seconds > 0.0;
        (!is_fit).then_some(("ttl_seconds", "expected seconds above 0, at most a year"))
    }

    fn key(&self) -> IdempotencyKey {
        IdempotencyKey {
            field: Some(self.field.clone()).filter(|field| !field.is_empty()),
            is_required: self.required,
            ttl: time(self.ttl_seconds),
            store_away: match self.open_without_store {
                true => StoreAway::Open,
                false => StoreAway::Closed,
            },
        }
    }
}

fn is_time(seconds: f64) -> bool {
    (0.0..=366.0 * 86_400.0).contains(&seconds)
}

fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
