//! From a key to the field it names.

use std::ops::Range;

use descriptors::{FieldPlan, Label};
use routes::{Body, chain};
use wire::MAX_DEPTH;

use super::Bindings;
use crate::error::{Failure, RequestError, Rule};
use crate::request::leaf;

/// The field that a key of a query or a form names.
pub(crate) struct Target<'k> {
    pub(super) fields: Range<usize>,
    pub(super) key: Option<&'k str>,
    pub(super) is_element: bool,
}

const TOO_DEEP: &str = "nested too deeply";

impl<'a> Bindings<'a> {
    /// Resolves a dotted key, by JSON names or proto names, from the request message or a top-level
    /// field of it on.
    pub(crate) fn resolve<'k>(
        &mut self,
        root: Option<usize>,
        key: &'k str,
    ) -> Result<Target<'k>, Failure> {
        let start = self.fields.len();
        self.fields.extend(root);
        let (dotted, entry) = self.split_entry(key);
        let resolved = self.resolve_names(start, dotted);
        let checked = resolved.and_then(|field| self.check_form(field, entry));
        match checked {
            Ok(is_element) => Ok(Target {
                fields: start..self.fields.len(),
                key: entry,
                is_element,
            }),
            Err(reason) => {
                self.fields.truncate(start);
                let is_deep = reason == TOO_DEEP;
                let rule = if is_deep {
                    Rule::LimitExceeded
                } else {
                    Rule::UnknownField
                };
                Err(RequestError::new(rule, reason))
            }
        }
    }

    /// `labels[key]`, where the options let a query set map entries. The key may contain dots.
    fn split_entry<'k>(&self, key: &'k str) -> (&'k str, Option<&'k str>) {
        let split = || key.strip_suffix(']')?.split_once('[');
        match split() {
            Some((dotted, entry)) if self.types().http.query_maps => (dotted, Some(entry)),
            _ => (key, None),
        }
    }

    fn resolve_names(&mut self, start: usize, dotted: &str) -> Result<&'a FieldPlan, &'static str> {
        let types = self.types();
        let root = chain(types, self.input(), &self.fields[start..]).last();
        let mut message = root.map_or(Some(self.input()), FieldPlan::message);
        let mut last = root;
        for name in dotted.split('.') {
            let Some(plan) = message.map(|id| types.message(id)) else {
                return Err("only messages have fields");
            };
            if last.is_some_and(|field| !field.is_singular()) {
                return Err("elements of lists and maps can't be set by the query");
            }
            let index = plan.by_name(name);
            let index = index.ok_or("no field has this name")?;
            if self.fields.len() - start == MAX_DEPTH {
                return Err(TOO_DEEP);
            }
            self.fields.push(index);
            last = plan.fields.get(index);
            message = last.and_then(FieldPlan::message);
        }
        last.ok_or("no field has this name")
    }

    /// Returns whether the field takes an element at a time, or why a text can't set it at all.
    fn check_form(&self, field: &FieldPlan, key: Option<&str>) -> Result<bool, &'static str> {
        let takes = |kind| leaf::has_parameter_form(self.types(), kind);
        let value = match field.label {
            Label::Map => field.message().and_then(|id| {
                let value = self.types().message(id).fields.get(1)?;
                key.map(|_| value.kind)
            }),
            _ if key.is_some() => return Err("only maps have keys"),
            Label::Repeated | Label::Packed => Some(field.kind),
            Label::Implicit | Label::Explicit => return Ok(false),
        };
        match value {
            Some(kind) if takes(kind) => Ok(true),
            _ => Err("messages in lists and maps can't be set by the query"),
        }
    }

    /// Returns why the query may not set this field, whatever its value.
    pub(crate) fn is_of_body(&self, target: &Target<'_>) -> Option<&'static str> {
        let first = *self.fields.get(target.fields.start)?;
        match self.route.body {
            Body::Whole if !self.types().http.query_beside_body => {
                Some("all fields that the path doesn't bind belong to the body")
            }
            Body::Field(body) if body == first => Some("the field is the body"),
            _ => None,
        }
    }
}
