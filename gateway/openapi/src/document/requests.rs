//! Example requests: the parts of one request to an operation, tried on the route as the gateway
//! tries a request.

use contract::MethodKind;
use descriptors::{MessageId, Shape};
use routes::{Body, Segment};
use serde_json::Value;
use transcoder::{Match, Route};

use super::paths::{PathParameter, PathText};
use super::{Binding, Document, Request};
use crate::comments::Comment;
use crate::making::Extent;
use crate::value::Json;

/// The parts of an example request that its route accepts.
#[derive(Debug, Default)]
pub(super) struct ExampleRequest {
    /// Its path; empty where none is accepted.
    target: String,
    /// By parameter of the path, in their order; empty where none is accepted.
    pub(super) path: Vec<Json>,
    /// The query parameters that must be there, by name.
    pub(super) query: Vec<(String, Json)>,
    /// The body; of a stream its first message.
    pub(super) body: Option<Json>,
}

impl Document<'_> {
    /// Returns an example request, and notes where there is none.
    pub(super) fn example_request(
        &mut self,
        binding: &Binding<'_>,
        path: &PathText,
    ) -> ExampleRequest {
        let route = &**binding.route;
        let query = self.required_query(route);
        let values: Option<Vec<String>> = path
            .parameters
            .iter()
            .map(|parameter| self.path_value(route, parameter))
            .collect();
        let Some(values) = values else {
            return self.no_example(
                route,
                "no value of a path variable is known to fit its rules",
            );
        };
        let target = path.text_of_request(&values);
        let mut reason = "no value of a required field is known to fit its rules".to_owned();
        for extent in [Extent::Whole, Extent::Required] {
            let Some(body) = self.body_value(route, extent) else {
                continue;
            };
            match self.try_request(binding, &target, &query, body.as_deref()) {
                Ok(()) => {
                    return ExampleRequest {
                        target,
                        path: self.shown_path(route, path, values),
                        query,
                        body: body.map(Json::Raw),
                    };
                }
                Err(error) => reason = error,
            }
        }
        self.no_example(route, &reason)
    }

    /// Adds a request to those that the document lists beside its text.
    pub(super) fn list_request(
        &mut self,
        binding: &Binding<'_>,
        comment: &Comment,
        request: &ExampleRequest,
    ) {
        let route = binding.route;
        let extents = [Extent::Whole, Extent::Required].into_iter();
        let input = route.method.input;
        let mut made = extents.filter_map(|extent| self.samples.message(input, extent));
        let message = made.next().map(|message| message.to_text());
        let query = query_text(&request.query);
        let separator = if query.is_empty() { "" } else { "?" };
        let name = binding.method.name.rsplit('.').next();
        self.requests.push(Request {
            service: binding.service.name.to_string(),
            method: name.unwrap_or_default().to_owned(),
            summary: comment.summary.clone(),
            kind: route.method.kind(),
            http_method: route.http_method.to_string(),
            template: route.text.to_string(),
            target: format!("{}{separator}{query}", request.target),
            body: request.body.as_ref().map(Json::to_text),
            message: message.unwrap_or_default(),
        });
    }

    /// Leaves those bodies that the route accepts; of the others there are notes.
    pub(super) fn keep_accepted(
        &mut self,
        binding: &Binding<'_>,
        request: &ExampleRequest,
        bodies: Vec<Json>,
    ) -> Vec<Json> {
        if request.target.is_empty() {
            return bodies;
        }
        let (target, query) = (&*request.target, &*request.query);
        let place = self.place_of(&binding.route.method);
        let mut accepted = Vec::new();
        for body in bodies {
            match self.try_request(binding, target, query, Some(&body.to_text())) {
                Ok(()) => accepted.push(body),
                Err(reason) => self.note(&place, format!("the example is left out: {reason}")),
            }
        }
        accepted
    }

    fn no_example(&mut self, route: &Route, reason: &str) -> ExampleRequest {
        let place = self.place_of(&route.method);
        let note = format!("no example request of {:?}: {reason}", &*route.text);
        self.note(&place, note);
        ExampleRequest::default()
    }

    /// Returns the text of a parameter of the path: of its field, or one of its segments.
    fn path_value(&mut self, route: &Route, parameter: &PathParameter) -> Option<String> {
        let variable = parameter
            .variable
            .and_then(|index| route.variables.get(index));
        let leaf = variable.and_then(|variable| self.leaf(route.method.input, &variable.fields));
        let (Some(variable), Some((id, index, definition))) = (variable, leaf) else {
            return Some(format!("{}-1", parameter.name));
        };
        let whole = self.samples.field(id, index, definition)?;
        let whole = plain(&whole);
        if parameter.is_whole {
            return Some(whole);
        }
        // The part of the field that stands at this place, where the example has the same form.
        let segments = route.template.segments.get(variable.start..variable.end)?;
        let parts: Vec<&str> = whole.split('/').collect();
        let fits = |(segment, part): (&Segment, &&str)| match segment {
            Segment::Literal(text) => **text == **part,
            _ => !part.is_empty(),
        };
        let is_alike = parts.len() == segments.len() && segments.iter().zip(&parts).all(fits);
        match parts.get(parameter.segment.checked_sub(variable.start)?) {
            Some(part) if is_alike => Some((*part).to_owned()),
            _ => Some(format!("{}-1", parameter.name)),
        }
    }

    /// Returns the values of path parameters as their schemas have them.
    fn shown_path(&self, route: &Route, path: &PathText, values: Vec<String>) -> Vec<Json> {
        let parameters = path.parameters.iter().zip(values);
        let shown = parameters.map(|(parameter, value)| {
            let variable = parameter
                .variable
                .and_then(|index| route.variables.get(index));
            let variable = variable.filter(|_| parameter.is_whole);
            let leaf =
                variable.and_then(|variable| self.leaf(route.method.input, &variable.fields));
            let read = leaf.and_then(|(id, index, _)| {
                let texts = [value.clone(), descriptors::quoted(&value).to_string()];
                let mut read = texts.iter().map(|text| self.checker.field(id, index, text));
                read.find_map(Result::ok)
            });
            read.unwrap_or_else(|| value.as_str().into())
        });
        shown.collect()
    }

    /// Returns the body: `Some(None)` for a request without one.
    #[allow(
        clippy::option_option,
        reason = "no body is a request; no example is not"
    )]
    fn body_value(&mut self, route: &Route, extent: Extent) -> Option<Option<Box<str>>> {
        let input = route.method.input;
        if route.is_upload() {
            return Some(None);
        }
        let (id, without) = match route.body {
            Body::None => return Some(None),
            Body::Whole => (input, super::operations::path_fields(route)),
            Body::Field(index) => {
                let bound = super::operations::bound_within(route, index);
                match self.types.message(input).fields[index].message() {
                    Some(id) if self.is_whole_message(id, input, index) => (id, bound),
                    _ => return self.field_value(input, index).map(Some),
                }
            }
        };
        let without: Vec<usize> = without.into_iter().chain(self.nested(route, id)).collect();
        self.samples.partial(id, &without, extent).map(Some)
    }

    /// Returns whether a field is one message that is an object.
    fn is_whole_message(&self, id: MessageId, input: MessageId, index: usize) -> bool {
        let is_object = self.types.message(id).shape == Shape::Object;
        is_object && self.types.message(input).fields[index].is_singular()
    }

    /// Returns the fields of a body that is the whole message of which the path sets a part.
    fn nested(&self, route: &Route, body: MessageId) -> Vec<usize> {
        let is_whole = route.body == Body::Whole && body == route.method.input;
        let variables = route.variables.iter().filter(|_| is_whole);
        let nested = variables.filter(|variable| variable.fields.len() > 1);
        nested
            .filter_map(|variable| variable.fields.first().copied())
            .collect()
    }

    fn field_value(&mut self, id: MessageId, index: usize) -> Option<Box<str>> {
        let number = self.types.message(id).fields[index].number;
        let definition = self.definition(id, number)?;
        let value = self.samples.field(id, index, definition)?;
        Some(value.to_text().into())
    }

    /// Returns examples of the query parameters that must be there.
    fn required_query(&mut self, route: &Route) -> Vec<(String, Json)> {
        let input = route.method.input;
        if route.body == Body::Whole {
            return Vec::new();
        }
        let mut found = Vec::new();
        for definition in self.fields(input) {
            let Some(index) = self.types.message(input).by_number(definition.number) else {
                continue;
            };
            let is_bound = route
                .variables
                .iter()
                .any(|variable| variable.fields == [index]);
            let is_body = route.body == Body::Field(index);
            if is_bound || is_body || !self.is_required(input, index, definition) {
                continue;
            }
            let field = &self.types.message(input).fields[index];
            if let Some(value) = self.samples.field(input, index, definition) {
                found.push((self.property(field).to_owned(), value));
            }
        }
        found
    }

    /// Tries a request as the gateway would.
    fn try_request(
        &self,
        binding: &Binding<'_>,
        target: &str,
        query: &[(String, Json)],
        body: Option<&str>,
    ) -> Result<(), String> {
        let route = binding.route;
        let found = self
            .find(binding, target)
            .ok_or("another route has its path")?;
        let query = query_text(query);
        let outcome = match route.is_upload() {
            true => found.bindings(Some(&query)).map(|_| ()),
            false => {
                let body = body.unwrap_or_default().as_bytes();
                found.encode_request(Some(&query), body, &mut Vec::new())
            }
        };
        outcome.map_err(|error| error.to_string())
    }

    /// Finds the route of a path; `None` where it is another than this one.
    fn find<'m>(&'m self, binding: &Binding<'_>, target: &'m str) -> Option<Match<'m>> {
        let route = binding.route;
        let method = match route.http_method.as_str() {
            "*" => &http::Method::POST,
            _ => &route.http_method,
        };
        let found = self.schema.route(method, target).ok();
        let found = found.or_else(|| self.schema.rpc_route(target))?;
        std::sync::Arc::ptr_eq(found.route(), route).then_some(found)
    }
}

fn query_text(query: &[(String, Json)]) -> String {
    let pairs = query.iter().flat_map(|(name, value)| {
        let texts = texts_of(value).into_iter();
        texts.map(move |text| format!("{}={}", escaped(name), escaped(&text)))
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Returns whether a request of a method is a stream of messages.
pub(super) fn is_client_stream(route: &Route) -> bool {
    matches!(
        route.method.kind(),
        MethodKind::ClientStreaming | MethodKind::BidiStreaming
    )
}

/// Returns a value as a path has it: text without its quotes.
fn plain(value: &Json) -> String {
    texts_of(value).into_iter().next().unwrap_or_default()
}

/// Returns a value as a query has it: text without its quotes, and each item of a list.
fn texts_of(value: &Json) -> Vec<String> {
    let text = value.to_text();
    let one = |item: &Value| match item {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match serde_json::from_str(&text) {
        Ok(Value::Array(items)) => items.iter().map(one).collect(),
        Ok(item) => vec![one(&item)],
        Err(_) => vec![text],
    }
}

/// Returns a text as a part of a URL.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
