//! Options of answers that serve more than one call: the header with an idempotency key, and
//! `x-cache`.

use contract::{Cache, IdempotencyKey, Scope};

use crate::value::{Json, Object};

/// Returns the header parameter of an idempotency key; `None` if a field of the request holds it.
pub(super) fn key_parameter(key: &IdempotencyKey) -> Option<Json> {
    if key.field.is_some() {
        return None;
    }
    let schema = Object::new()
        .with("type", "string")
        .with("minLength", 1)
        .with("maxLength", 255);
    let description = format!(
        "Calls with one key have one effect and one answer, which is replayed for {:?}.",
        key.ttl
    );
    let parameter = Object::new()
        .with("name", "Idempotency-Key")
        .with("in", "header")
        .with("description", description)
        .with("required", key.is_required)
        .with("schema", schema);
    Some(parameter.into())
}

/// Returns `x-cache`: how long an answer may be served again.
pub(super) fn cache(policy: &Cache) -> Object {
    let scope = match policy.scope {
        Scope::Private => "private",
        Scope::Shared => "shared",
    };
    let mut cache = Object::new()
        .with("ttl", format!("{:?}", policy.ttl))
        .with("scope", scope);
    if !policy.vary.is_empty() {
        let names = policy.vary.iter().map(String::as_str);
        cache.set("vary", Json::list(names));
    }
    for (name, length) in [
        ("staleWhileRevalidate", policy.stale_while_revalidate),
        ("staleIfError", policy.stale_if_error),
    ] {
        if !length.is_zero() {
            cache.set(name, format!("{length:?}"));
        }
    }
    cache
}
