//! Routes: HTTP bindings, with the parts of their messages that are not JSON.

mod explain;
mod raw;
#[cfg(test)]
mod tests;

use std::ops::Deref;
use std::sync::Arc;

use descriptors::{MessageId, MethodPlan, Shape, Types};
use routes::{Binding, Body, PathMatch, RouteVariable};

use crate::tables::Tables;

pub use explain::Explanation;
pub(crate) use raw::{Download, Upload};

/// One HTTP binding of a method; it derefs to the binding.
#[derive(Debug)]
pub struct Route {
    pub(crate) types: Arc<Tables>,
    pub(crate) binding: Arc<Binding>,
    /// Index of the FieldMask field that a PATCH fills from its body.
    pub(crate) mask: Option<usize>,
    pub(crate) upload: Option<Upload>,
    pub(crate) download: Option<Download>,
}

/// A route that accepts a request, with the text that its template has captured.
#[derive(Debug, Clone, Copy)]
pub struct Match<'a> {
    pub(crate) route: &'a Arc<Route>,
    found: PathMatch<'a>,
}

impl Deref for Route {
    type Target = Binding;

    #[inline]
    fn deref(&self) -> &Binding {
        &self.binding
    }
}

// === impl Route ===

impl Route {
    /// Returns the method of the route.
    pub fn method(&self) -> &Arc<MethodPlan> {
        &self.method
    }

    /// Returns the path template as written, for `http.route` and for people.
    pub fn template(&self) -> &str {
        &self.binding.text
    }

    /// Returns whether the request body is raw bytes (`google.api.HttpBody`) instead of JSON: then
    /// [`Match::encode_upload_head`] and [`Route::encode_upload_chunk`] take the place of
    /// [`Match::encode_request`].
    pub fn is_upload(&self) -> bool {
        self.upload.is_some()
    }

    /// Returns whether the response body is raw bytes (`google.api.HttpBody`) instead of JSON: then
    /// [`Route::http_body_response`] takes the place of [`Route::write_response`].
    pub fn is_download(&self) -> bool {
        self.download.is_some()
    }

    /// Returns whether the request body is part of the request message. Otherwise path and query
    /// are all of it.
    pub fn takes_body(&self) -> bool {
        self.body != Body::None
    }

    /// Returns the index of the FieldMask field that a PATCH fills from its body (AIP-134).
    pub fn update_mask(&self) -> Option<usize> {
        self.mask
    }

    pub(crate) fn new(types: Arc<Tables>, binding: Arc<Binding>) -> Self {
        Route {
            mask: update_mask(&types, &binding),
            upload: raw::plan(&types, binding.method.input, &binding.body),
            download: raw::plan_response(&types, binding.method.output, binding.response),
            types,
            binding,
        }
    }

    /// The route that a method has without a rule: JSON both ways, of `google.api.HttpBody` too.
    pub(crate) fn of_method(types: Arc<Tables>, method: Arc<MethodPlan>) -> Self {
        Route {
            mask: None,
            upload: None,
            download: None,
            types,
            binding: Arc::new(Binding::of_method(method)),
        }
    }

    /// Returns the method of HTTP; `*` stands for every one.
    pub fn http_method(&self) -> &http::Method {
        &self.http_method
    }

    /// Returns the part of the request message that is the body: `*` for all of it, else the name
    /// that JSON shows of a field.
    pub fn body(&self) -> Option<&str> {
        match self.binding.body {
            Body::None => None,
            Body::Whole => Some("*"),
            Body::Field(field) => self.shown_name(self.method.input, field),
        }
    }

    /// Returns the name that JSON shows of the field that is the response, where it is not all of
    /// the message.
    pub fn response_body(&self) -> Option<&str> {
        self.shown_name(self.method.output, self.response?)
    }

    fn shown_name(&self, message: MessageId, field: usize) -> Option<&str> {
        let field = self.types.message(message).fields.get(field)?;
        Some(&field.shown_name)
    }
}

// === impl Match ===

impl<'a> Match<'a> {
    /// Returns the route, to be kept for as long as its responses arrive.
    pub fn route(&self) -> &'a Arc<Route> {
        self.route
    }

    /// Returns the method of the route.
    pub fn method(&self) -> &'a MethodPlan {
        &self.route.method
    }

    pub(crate) fn new(route: &'a Arc<Route>, found: PathMatch<'a>) -> Self {
        Match { route, found }
    }

    /// Returns the raw text that a variable has captured.
    pub(crate) fn captured(&self, variable: &RouteVariable) -> &'a str {
        self.found.captured(variable)
    }
}

/// AIP-134: a PATCH whose body is the resource, and the one top-level field that can say which
/// fields it means.
fn update_mask(types: &Types, binding: &Binding) -> Option<usize> {
    let Body::Field(resource) = binding.body else {
        return None;
    };
    let fields = &types.message(binding.method.input).fields;
    fields[resource].message()?;
    let mut masks = fields.iter().enumerate().filter(|(_, field)| {
        let shape = field.message().map(|id| types.message(id).shape);
        field.is_singular() && shape == Some(Shape::FieldMask)
    });
    let (mask, _) = masks.next()?;
    (binding.http_method == http::Method::PATCH && masks.next().is_none()).then_some(mask)
}
