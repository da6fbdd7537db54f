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
        let entry = split_entry(key).filter(|_| self.types().http.query_maps);
        let (dotted, entry) = entry.map_or((key, None), |(dotted, entry)| (dotted, Some(entry)));
        let resolved = self.resolve_names(start, dotted);
        let checked = resolved.and_then(|field| self.check_form(start, field, entry));
        match checked {
            Ok(is_element) => Ok(Target {
                fields: start..self.fields.len(),
                key: entry,
                is_element,
            }),
            Err(failure) => {
                self.fields.truncate(start);
                Err(self.misplaced_brackets(root, key).unwrap_or(failure))
            }
        }
    }

    fn resolve_names(&mut self, start: usize, dotted: &str) -> Result<&'a FieldPlan, Failure> {
        let types = self.types();
        let root = chain(types, self.input(), &self.fields[start..]).last();
        let mut message = root.map_or(Some(self.input()), FieldPlan::message);
        let mut last = root;
        for name in dotted.split('.') {
            let Some(plan) = message.map(|id| types.message(id)) else {
                return Err(unsettable("only messages have fields"));
            };
            if let Some(field) = last.filter(|field| !field.is_singular()) {
                return Err(self.of_body_only(start, field));
            }
            let index = plan.by_name(name);
            let index = index.ok_or_else(|| unsettable("no field has this name"))?;
            if self.fields.len() - start == MAX_DEPTH {
                return Err(RequestError::new(Rule::LimitExceeded, "nested too deeply"));
            }
            self.fields.push(index);
            last = plan.fields.get(index);
            message = last.and_then(FieldPlan::message);
        }
        last.ok_or_else(|| unsettable("no field has this name"))
    }

    /// Returns whether the field takes an element at a time.
    fn check_form(
        &self,
        start: usize,
        field: &FieldPlan,
        key: Option<&str>,
    ) -> Result<bool, Failure> {
        let is_set = match field.label {
            Label::Map => key.is_some() && self.value_has_text(field),
            _ if key.is_some() => return Err(unsettable("only maps have keys")),
            Label::Repeated | Label::Packed => leaf::has_parameter_form(self.types(), field.kind),
            Label::Implicit | Label::Explicit => return Ok(false),
        };
        match is_set {
            true => Ok(true),
            false => Err(self.of_body_only(start, field)),
        }
    }

    /// The error of a list or a map, which resolved from `start` on, that a text can't set.
    #[cold]
    fn of_body_only(&self, start: usize, field: &FieldPlan) -> Failure {
        let is_map = field.label == Label::Map;
        let has_text = is_map && self.value_has_text(field);
        let of_dialect = match (has_text, self.types().http.query_maps) {
            (true, true) => return unsettable("a map is set entry by entry: `name[key]=value`"),
            (true, false) => " (only the dialect `grpc-gateway` accepts `name[key]=value`)",
            (false, _) => "",
        };
        let what = match (is_map, has_text) {
            (true, true) => "a map",
            (true, false) => "a map of messages",
            (false, _) => "a list of messages",
        };
        let top = self.fields.get(start).copied();
        let place = match self.route.body {
            Body::Whole => "send it as JSON in the body",
            Body::Field(body) if Some(body) == top => "send it as JSON in the body",
            Body::Field(_) | Body::None => {
                "this route has no body for it, so call the method by gRPC or Connect"
            }
        };
        unsettable(format!("a query can't set {what}: {place}{of_dialect}"))
    }

    /// Returns whether a text can be the value of an entry of a map.
    fn value_has_text(&self, map: &FieldPlan) -> bool {
        let entry = map.message().map(|id| self.types().message(id));
        let value = entry.and_then(|entry| entry.fields.get(1));
        value.is_some_and(|value| leaf::has_parameter_form(self.types(), value.kind))
    }

    /// The error of a key with brackets, if the name before them is that of a field: how such a
    /// field is set.
    #[cold]
    fn misplaced_brackets(&mut self, root: Option<usize>, key: &str) -> Option<Failure> {
        let (dotted, _) = key.split_once('[').filter(|(_, rest)| rest.contains(']'))?;
        let start = self.fields.len();
        self.fields.extend(root);
        let failure = self.resolve_names(start, dotted).ok().map(|field| {
            let has_text = leaf::has_parameter_form(self.types(), field.kind);
            match field.label {
                Label::Repeated | Label::Packed if has_text => unsettable(format!(
                    "elements of a list have no index: repeat `{dotted}=…` for each of them"
                )),
                Label::Map | Label::Repeated | Label::Packed => self.of_body_only(start, field),
                _ if has_text => unsettable(format!("only maps have keys: send `{dotted}=…`")),
                _ => unsettable(format!(
                    "fields of a message follow a dot, as in `{dotted}.name=…`"
                )),
            }
        });
        self.fields.truncate(start);
        failure
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

/// Splits `labels[key]`. The key may contain dots.
fn split_entry(key: &str) -> Option<(&str, &str)> {
    key.strip_suffix(']')?.split_once('[')
}

#[cold]
fn unsettable(reason: impl Into<String>) -> Failure {
    RequestError::new(Rule::UnknownField, reason)
}
