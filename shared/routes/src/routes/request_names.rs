//! The fields by which a request names itself and its resource, where the contract says so, and the
//! paths that hold what is confidential.

use std::collections::{HashMap, HashSet};

use descriptors::{FieldDef, Kind, MethodPlan, Pool, Types};
use wire::{Reader, WireType};

use super::Routes;
use crate::binding::{Binding, RouteVariable};

/// The field of a request's own ID (AIP-155).
const REQUEST_ID: &str = "request_id";

/// The names of the requests of all methods.
#[derive(Debug, Default)]
pub struct RequestNames {
    methods: HashMap<Box<str>, NameFields>,
    /// Templates with a variable of a confidential field.
    hidden: HashSet<Box<str>>,
}

/// The names that a request gives itself; empty where it has none, or only a confidential one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OwnNames {
    /// Its key.
    pub request_id: String,
    /// Value of the first variable of the method's first path.
    pub resource: String,
}

/// Numbers of text fields that are not confidential.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct NameFields {
    request_id: Option<u32>,
    resource: Option<u32>,
}

// === impl RequestNames ===

impl RequestNames {
    /// Collects the names of all methods; `types` and `pool` are those of the routes, and `key`
    /// returns the field of a method's idempotency key. Without one it is `request_id` (AIP-155).
    pub fn new<'m>(
        routes: &'m Routes,
        types: &Types,
        pool: &Pool,
        key: impl Fn(&'m MethodPlan) -> Option<&'m str>,
    ) -> Self {
        let bindings = || routes.router().bindings().iter();
        let first = bindings().filter(|binding| binding.number == 0);
        let resources: HashMap<&str, &Binding> = first
            .map(|binding| (binding.method.path(), &**binding))
            .collect();
        let methods = routes.methods().filter_map(|method| {
            let fields = &pool.message(method.input).fields;
            let number = |name: &str| {
                let field = fields.iter().find(|field| *field.name == *name);
                field
                    .filter(|field| is_text(field))
                    .map(|field| field.number)
            };
            let resource = resources.get(method.path()).and_then(|binding| {
                let [index] = *binding.variables.first()?.fields else {
                    return None;
                };
                number(&types.message(method.input).fields.get(index)?.name)
            });
            let fields = NameFields {
                request_id: number(key(method).unwrap_or(REQUEST_ID)),
                resource,
            };
            (fields != NameFields::default()).then(|| (method.path().into(), fields))
        });
        let hiding = bindings().filter(|binding| {
            let mut variables = binding.variables.iter();
            variables.any(|variable| is_confidential(types, pool, binding, variable))
        });
        Self {
            methods: methods.collect(),
            hidden: hiding.map(|binding| binding.text.clone()).collect(),
        }
    }

    /// Returns whether the paths of a template hold confidential values.
    pub fn hides(&self, template: &str) -> bool {
        !self.hidden.is_empty() && self.hidden.contains(template)
    }

    /// Returns the names in a request of the method at `/package.Service/Method`, on its wire
    /// bytes.
    pub fn of(&self, method: &str, request: &[u8]) -> OwnNames {
        let fields = self.methods.get(method).copied().unwrap_or_default();
        let text = |number: Option<u32>| number.and_then(|number| text(request, number));
        OwnNames {
            request_id: text(fields.request_id).unwrap_or_default().to_owned(),
            resource: text(fields.resource).unwrap_or_default().to_owned(),
        }
    }
}

fn is_text(field: &FieldDef) -> bool {
    field.kind == Kind::String && !field.policy().0.is_confidential()
}

/// Returns whether a variable is a confidential field, or in one.
fn is_confidential(
    types: &Types,
    pool: &Pool,
    binding: &Binding,
    variable: &RouteVariable,
) -> bool {
    let mut message = Some(binding.method.input);
    variable.fields.iter().any(|index| {
        let Some(id) = message else { return false };
        let Some(plan) = types.message(id).fields.get(*index) else {
            return false;
        };
        message = plan.message();
        let mut fields = pool.message(id).fields.iter();
        let field = fields.find(|field| field.number == plan.number);
        field.is_some_and(|field| field.policy().0.is_confidential())
    })
}

/// Returns a text field of a message; of several values, the last, as readers of protobuf do.
fn text(message: &[u8], number: u32) -> Option<&str> {
    let mut reader = Reader::new(message);
    let mut found = None;
    while let Ok(Some((field, wire_type))) = reader.tag() {
        let value = reader.value(field, wire_type).ok()?;
        if field == number && wire_type == WireType::Delimited {
            found = std::str::from_utf8(value).ok();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts_as_it_does_for_readers() {
        let message = b"\x0a\x01a\x10\x05\x0a\x02bc";
        assert_eq!(text(message, 1), Some("bc"));
        assert_eq!((text(message, 2), text(message, 3)), (None, None));
        assert_eq!(text(b"\x0a\x09cut", 1), None);
    }
}
