//! The order in which services start.

use super::manifest::Service;

/// Sorts services so that each follows the ones that it calls; services that call each other keep
/// the order of their names.
pub(super) fn by_calls(services: Vec<Service>) -> Vec<Service> {
    let mut waiting = services;
    let mut sorted: Vec<Service> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let is_free = |service: &Service| {
            let mut callees = service.calls.iter();
            callees.all(|callee| !waiting.iter().any(|other| other.name == *callee))
        };
        let next = waiting.iter().position(is_free).unwrap_or(0);
        sorted.push(waiting.remove(next));
    }
    sorted
}
