//! The options `mesh.v1.cache` and `mesh.v1.idempotency_key`: read, and checked against the method.

use std::time::Duration;

use contract::{Cache, Idempotency, IdempotencyKey, Invalidation, MethodKind, Scope, StoreAway};
use prost::Message;

use super::MethodOptions;
use super::access::AccessOption;
use crate::error::{Problem, did_you_mean};
use crate::kind::{Kind, Label};
use crate::pool::{FieldDef, MessageDef, MethodDef, Pool};

/// Full name and number of the option about caching.
const CACHE: (&str, i32) = ("mesh.v1.cache", 50_104);
/// Full name and number of the option about repeated calls.
const KEY: (&str, i32) = ("mesh.v1.idempotency_key", 50_105);

/// The aspects of an identity that an answer may depend on.
const ASPECTS: [&str; 4] = [
    "identity.tenant",
    "identity.roles",
    "identity.scopes",
    "identity.issuer",
];

/// Longest life of a stored answer: a year.
const MAX_LIFE: Duration = Duration::from_secs(366 * 24 * 3600);

/// The answers of one method that serve more than one call.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) cache: Option<Box<Cache>>,
    pub(super) idempotency_key: Option<Box<IdempotencyKey>>,
    /// The number of the option, and its mistake.
    mistakes: Vec<(i32, String)>,
}

#[derive(Clone, PartialEq, Message)]
struct Options {
    #[prost(message, optional, tag = "50104")]
    cache: Option<CacheOption>,
    #[prost(message, optional, tag = "50105")]
    idempotency_key: Option<KeyOption>,
}

#[derive(Clone, PartialEq, Message)]
struct CacheOption {
    #[prost(message, optional, tag = "1")]
    ttl: Option<Span>,
    #[prost(int32, tag = "2")]
    scope: i32,
    #[prost(string, repeated, tag = "3")]
    vary: Vec<String>,
    #[prost(message, optional, tag = "4")]
    stale_while_revalidate: Option<Span>,
    #[prost(message, optional, tag = "5")]
    stale_if_error: Option<Span>,
    #[prost(message, repeated, tag = "6")]
    invalidated_by: Vec<InvalidationOption>,
}

#[derive(Clone, PartialEq, Message)]
struct InvalidationOption {
    #[prost(string, tag = "1")]
    event: String,
    #[prost(string, tag = "2")]
    field: String,
}

#[derive(Clone, PartialEq, Message)]
struct KeyOption {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(bool, tag = "2")]
    required: bool,
    #[prost(message, optional, tag = "3")]
    ttl: Option<Span>,
    #[prost(int32, tag = "4")]
    store_away: i32,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Span {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// Adds every mistake in the options about answers to `problems`. The events that they name are
/// not looked up: a set need not hold them.
pub fn check_answers(pool: &Pool, problems: &mut Vec<Problem>) {
    for method in pool.services.iter().flat_map(|service| &service.methods) {
        for (number, reason) in Answers::of(pool, method).mistakes {
            let place = pool.place_of_option(&method.source, method.name.to_string(), number);
            problems.push(place.problem(reason));
        }
    }
}

// === impl Answers ===

impl Answers {
    /// Reads the options of a method; one with a mistake counts as left out. Their numbers are ones
    /// that anybody may use, so that only a set with their definitions has them.
    pub(super) fn of(pool: &Pool, method: &MethodDef) -> Self {
        let Ok(options) = method.options.decode::<Options>() else {
            return Self::default();
        };
        let is_declared = |name: &str| pool.extensions.iter().any(|own| *own.field.name == *name);
        let mut answers = Self::default();
        let facts = Facts::of(pool, method);
        if let Some(option) = options.cache.filter(|_| is_declared(CACHE.0)) {
            let found = facts.cache(&option);
            answers.cache = answers.take(CACHE.1, found).map(Box::new);
        }
        if let Some(option) = options.idempotency_key.filter(|_| is_declared(KEY.0)) {
            let found = facts.idempotency_key(&option);
            answers.idempotency_key = answers.take(KEY.1, found).map(Box::new);
        }
        answers
    }

    fn take<T>(&mut self, number: i32, found: Result<T, Vec<String>>) -> Option<T> {
        found
            .map_err(|mistakes| {
                let mistakes = mistakes.into_iter().map(|mistake| (number, mistake));
                self.mistakes.extend(mistakes);
            })
            .ok()
    }
}

/// The facts that the options of a method are checked against.
struct Facts<'p> {
    kind: MethodKind,
    idempotency: Idempotency,
    /// Whether everyone may call it.
    is_public: bool,
    input: &'p MessageDef,
}

impl<'p> Facts<'p> {
    fn of(pool: &'p Pool, method: &MethodDef) -> Self {
        let options: MethodOptions = method.options.decode().unwrap_or_default();
        Self {
            kind: MethodKind::new(method.is_client_streaming, method.is_server_streaming),
            idempotency: Idempotency::from_level(options.idempotency_level),
            is_public: AccessOption::of(pool, method).is_some_and(|access| access.public),
            input: pool.message(method.input),
        }
    }

    fn cache(&self, option: &CacheOption) -> Result<Cache, Vec<String>> {
        let name = CACHE.0;
        let mut mistakes = Vec::new();
        if self.kind != MethodKind::Unary {
            mistakes.push(format!(
                "({name}) is for unary methods, and this is a {}",
                self.kind.name()
            ));
        }
        if self.idempotency != Idempotency::NoSideEffects {
            mistakes.push(format!(
                "({name}) is for methods without side effects: an answer from a cache has none; write \
                 `option idempotency_level = NO_SIDE_EFFECTS`, or remove the cache"
            ));
        }
        for entry in &option.vary {
            mistakes.extend(vary_mistake(entry));
        }
        let mut invalidated_by = Vec::new();
        for entry in &option.invalidated_by {
            if entry.event.is_empty() {
                mistakes.push(format!(
                    "({name}).invalidated_by.event is missing; write the full name of an event, as \
                     `orders.v1.OrderPaid`"
                ));
            }
            mistakes.extend(self.field_mistake(name, "invalidated_by.field", &entry.field));
            invalidated_by.push(Invalidation {
                event: entry.event.clone(),
                field: named(&entry.field),
            });
        }
        let ttl = ttl(name, option.ttl, &mut mistakes);
        let mut stale = |key: &str, span: Option<Span>| match span.unwrap_or_default().length() {
            Some(length) if length <= MAX_LIFE => length,
            _ => {
                mistakes.push(format!("({name}).{key} must be from 0 to a year"));
                Duration::ZERO
            }
        };
        let cache = Cache {
            ttl,
            scope: match option.scope {
                0 if self.is_public => Scope::Shared,
                number => Scope::from_number(number),
            },
            vary: option.vary.clone(),
            stale_while_revalidate: stale("stale_while_revalidate", option.stale_while_revalidate),
            stale_if_error: stale("stale_if_error", option.stale_if_error),
            invalidated_by,
        };
        match mistakes.is_empty() {
            true => Ok(cache),
            false => Err(mistakes),
        }
    }

    fn idempotency_key(&self, option: &KeyOption) -> Result<IdempotencyKey, Vec<String>> {
        let name = KEY.0;
        let mut mistakes = Vec::new();
        if self.kind != MethodKind::Unary {
            mistakes.push(format!(
                "({name}) is for unary methods, and this is a {}: a stream has no one answer to replay",
                self.kind.name()
            ));
        }
        if self.idempotency == Idempotency::NoSideEffects {
            mistakes.push(format!(
                "({name}) is for methods with side effects, and NO_SIDE_EFFECTS says that nothing \
                 changes; remove one of the two"
            ));
        }
        mistakes.extend(self.field_mistake(name, "field", &option.field));
        let key = IdempotencyKey {
            field: named(&option.field),
            is_required: option.required,
            ttl: ttl(name, option.ttl, &mut mistakes),
            store_away: StoreAway::from_number(option.store_away),
        };
        match mistakes.is_empty() {
            true => Ok(key),
            false => Err(mistakes),
        }
    }

    /// Returns why a field of the request can't be meant.
    fn field_mistake(&self, option: &str, key: &str, name: &str) -> Option<String> {
        if name.is_empty() {
            return None;
        }
        let mut fields = self.input.fields.iter();
        let Some(field) = fields.find(|field| *field.name == *name) else {
            let meant = did_you_mean(name, self.input.fields.iter().map(|field| &*field.name));
            return Some(format!(
                "({option}).{key} must name a field of {}, and there is no `{name}`{meant}",
                self.input.name
            ));
        };
        (!is_plain_string(field)).then(|| {
            format!(
                "({option}).{key} must name a string field that is not repeated, and `{name}` is not one"
            )
        })
    }
}

fn is_plain_string(field: &FieldDef) -> bool {
    let is_one = !matches!(field.label, Label::Repeated | Label::Packed | Label::Map);
    is_one && matches!(field.kind, Kind::String)
}

fn named(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| name.to_owned())
}

fn ttl(option: &str, span: Option<Span>, mistakes: &mut Vec<String>) -> Duration {
    let length = span.unwrap_or_default().length();
    match length.filter(|length| (Duration::from_millis(1)..=MAX_LIFE).contains(length)) {
        Some(length) => length,
        None => {
            mistakes.push(format!(
                "({option}).ttl must be from a millisecond to a year, as `ttl: {{seconds: 60}}`"
            ));
            Duration::ZERO
        }
    }
}

/// Returns whether a text may be an entry of [`Cache::vary`].
pub fn is_vary(entry: &str) -> bool {
    vary_mistake(entry).is_none()
}

/// Returns why an entry of `vary` is not one.
fn vary_mistake(entry: &str) -> Option<String> {
    if entry.starts_with("identity.") {
        let meant = did_you_mean(entry, ASPECTS);
        return (!ASPECTS.contains(&entry))
            .then(|| format!("(mesh.v1.cache).vary: an identity has no aspect `{entry}`{meant}"));
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    let is_name = !entry.is_empty() && entry.chars().all(allowed);
    let is_reserved = entry.starts_with("grpc-") || entry.ends_with("-bin");
    (!is_name || is_reserved).then(|| {
        format!(
            "(mesh.v1.cache).vary: `{entry}` is not the name of request metadata in lower case; \
             names that begin with `grpc-` or end in `-bin` can't be used"
        )
    })
}

// === impl Span ===

impl Span {
    /// Returns the length; `None` if it is negative or malformed.
    fn length(self) -> Option<Duration> {
        let nanos = u32::try_from(self.nanos)
            .ok()
            .filter(|nanos| *nanos < 1_000_000_000)?;
        Some(Duration::new(u64::try_from(self.seconds).ok()?, nanos))
    }
}
