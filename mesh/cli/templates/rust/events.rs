//! The events that the service acts on.

use protomesh::events::Consumer;

use crate::protos::{{name}}::v1::ItemCreated;
use crate::store;

/// Counts every created item once. A consumer of another service's events looks the same.
pub fn consumer() -> Consumer {
    Consumer::new("{{kebab}}.totals", "{{name}}", "item").on::<ItemCreated>(|tx, fact| {
        Box::pin(async move { Ok(store::count(tx, fact.quantity).await?) })
    })
}
