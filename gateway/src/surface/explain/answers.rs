//! Sentences about the options of answers that serve more than one call.

use contract::{Cache, IdempotencyKey, Scope, StoreAway};

/// Describes a cache; `is_on`: whether the gateway has one.
pub(super) fn cache(policy: &Cache, is_on: bool) -> String {
    let scope = match policy.scope {
        Scope::Private => "private to the caller",
        Scope::Shared => "shared by all callers",
    };
    let mut text = format!("{scope} for {:?}", policy.ttl);
    if !policy.vary.is_empty() {
        text.push_str(&format!(", by {}", policy.vary.join(", ")));
    }
    for (name, length) in [
        ("while it is renewed", policy.stale_while_revalidate),
        ("on errors", policy.stale_if_error),
    ] {
        if !length.is_zero() {
            text.push_str(&format!(", {length:?} longer {name}"));
        }
    }
    for wait in &policy.invalidated_by {
        text.push_str(&format!(", until {}", wait.event));
    }
    if !is_on {
        text.push_str("; the gateway has no cache (`cache.max_bytes`)");
    }
    text
}

/// Describes where the key of a call is; `is_on`: whether the gateway has a store.
pub(super) fn idempotency_key(policy: &IdempotencyKey, is_on: bool) -> String {
    let place = match &policy.field {
        Some(field) => format!("the field `{field}`"),
        None => "the header `idempotency-key`".to_owned(),
    };
    let need = if policy.is_required {
        "required"
    } else {
        "optional"
    };
    let away = match policy.store_away {
        StoreAway::Closed => "refused",
        StoreAway::Open => "answered as without a key",
    };
    let mut text = format!(
        "{place}, {need}, replayed for {:?}; {away} while the store is away",
        policy.ttl
    );
    if !is_on {
        text.push_str("; the gateway has no store (`valkey.url`)");
    }
    text
}
