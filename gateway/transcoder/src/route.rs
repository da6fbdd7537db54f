//! Matching a path: one trie of segments for all routes, with literal before `*` before `**`, and backtracking.

mod build;
mod explain;
mod search;
mod spans;
mod tables;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::{
    error::{Failure, RequestError, WireError},
    fields::{All, Fields, Select},
    plan::Types,
    request::{self, BoundField, Content},
    required, response,
    schema::MethodPlan,
    template::Template,
    upload, validate,
};

pub use explain::{Candidate, Explanation, Mismatch};

pub(crate) use build::RouterBuilder;
pub(crate) use search::Router;
pub(crate) use spans::Spans;

/// One HTTP binding of a method.
#[derive(Debug)]
pub struct Route {
    pub(crate) types: Arc<Types>,
    pub(crate) method: Arc<MethodPlan>,
    /// `*` stands for every method.
    pub(crate) http_method: http::Method,
    pub(crate) text: Box<str>,
    /// Which binding of its method it is; zero is the rule itself, the others are additional.
    pub(crate) binding: usize,
    pub(crate) template: Template,
    pub(crate) variables: Vec<RouteVariable>,
    pub(crate) body: Body,
    /// Index of the output field that `response_body` names.
    pub(crate) response: Option<usize>,
    /// Index of the FieldMask field that a PATCH fills from its body.
    pub(crate) mask: Option<usize>,
    pub(crate) upload: Option<upload::Upload>,
    pub(crate) download: Option<upload::Download>,
}

/// What the request body becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    Whole,
    Field(usize),
}

/// A variable of the template, resolved against the request message.
#[derive(Debug)]
pub(crate) struct RouteVariable {
    /// Field indices from the request message down to the scalar.
    pub(crate) fields: Vec<usize>,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) is_multi: bool,
}

/// A route that takes a request, with what its template has captured.
#[derive(Debug, Clone, Copy)]
pub struct Match<'a> {
    pub(crate) route: &'a Arc<Route>,
    pub(crate) path: &'a str,
    pub(crate) spans: Spans,
}

// === impl Route ===

impl Route {
    /// The method behind the route.
    pub fn method(&self) -> &Arc<MethodPlan> {
        &self.method
    }

    /// The path template as written, for `http.route` and for people.
    pub fn template(&self) -> &str {
        &self.text
    }

    /// Whether the request body is raw bytes (`google.api.HttpBody`) instead of JSON: then [`Match::encode_upload_head`] and
    /// [`Route::encode_upload_chunk`] take the place of [`Match::encode_request`].
    pub fn is_upload(&self) -> bool {
        self.upload.is_some()
    }

    /// Whether the response body is raw bytes (`google.api.HttpBody`) instead of JSON: then [`Route::http_body_response`]
    /// takes the place of [`Route::write_response`].
    pub fn is_download(&self) -> bool {
        self.download.is_some()
    }

    /// Whether the request body is any part of the request message. Where it is none, path and query are all of a message.
    pub fn takes_body(&self) -> bool {
        self.body != Body::None
    }

    /// Appends a message of a client stream that is not the first: its JSON alone, as path and query bind to the first message.
    /// It is checked against the rules of `buf.validate` like the first.
    ///
    /// # Errors
    /// The message's fault, with the field it concerns. `out` is as before then.
    pub fn encode_stream_message(
        &self,
        json: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        self.encode_stream_message_as(Content::Json, json, out)
    }

    /// [`Route::encode_stream_message`] for a message of another content type: forms are never streams.
    ///
    /// # Errors
    /// As [`Route::encode_stream_message`].
    pub fn encode_stream_message_as(
        &self,
        content: Content,
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        let start = out.len();
        let encoded = request::encode_next(self, content, message, out);
        self.checked(encoded, start, out)
    }

    /// Refuses what was written since `start` where a required field is missing or a rule of `buf.validate` is broken; of a failure
    /// nothing stays.
    fn checked(
        &self,
        encoded: Result<(), Failure>,
        start: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        let written = out.get(start..).unwrap_or_default();
        encoded
            .and_then(|()| required::check_written(&self.types, self.method.input, written))
            .and_then(|()| validate::check_written(&self.types, self.method.input, written))
            .map_err(|failure| {
                out.truncate(start);
                *failure
            })
    }

    /// Appends a message that carries only the next bytes of an upload. For a unary method it continues the message of the
    /// head, as protobuf merges what is concatenated, and is called once.
    pub fn encode_upload_chunk(&self, bytes: &[u8], out: &mut Vec<u8>) {
        upload::encode_chunk(self, bytes, out);
    }

    /// Appends the JSON of one response message; of its `response_body` field where the rule names one.
    ///
    /// # Errors
    /// The bytes are not a message of the method's output type, or hold what ProtoJSON can't say. `out` is as before then.
    pub fn write_response(&self, wire: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        self.write(All, wire, out)
    }

    /// Compiles a response mask (the system parameter `$fields`), to be used by [`Route::write_response_fields`] for as long as
    /// the route lives: names of fields, by JSON names or proto names, as in `id,lines(sku,price.units)`. A name stands for all
    /// that is below it and leads through lists and the values of maps; `*` is every field, `/` the same as `.`, and an empty mask
    /// shows everything. Where the rule has a `response_body`, names are those of its fields.
    ///
    /// # Errors
    /// A name that no field has, or one below something that has no fields; a malformed or overlong mask.
    pub fn fields(&self, mask: &str) -> Result<Fields, RequestError> {
        Fields::compile(self, mask).map_err(|failure| *failure)
    }

    /// As [`Route::write_response`], with nothing but the chosen fields. `fields` is of this route: another's chooses other fields.
    ///
    /// # Errors
    /// As [`Route::write_response`]. What is not chosen is not looked at.
    pub fn write_response_fields(
        &self,
        fields: &Fields,
        wire: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        match fields.root() {
            Some(chosen) => self.write(chosen, wire, out),
            None => self.write(All, wire, out),
        }
    }

    fn write(&self, select: impl Select, wire: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        let start = out.len();
        let (types, output) = (&self.types, self.method.output);
        let written = match self.response {
            None => response::write_message(types, output, select, wire, out),
            Some(field) => response::write_field(types, output, field, select, wire, out),
        };
        written.map_err(|error| {
            out.truncate(start);
            *error
        })
    }

    /// The content type (empty where none is set) and the place of the data inside `wire`, of an `HttpBody` response.
    ///
    /// # Errors
    /// The bytes are not such a message.
    pub fn http_body_response<'w>(
        &self,
        wire: &'w [u8],
    ) -> Result<(&'w str, std::ops::Range<usize>), WireError> {
        upload::read_response(self, wire).map_err(|error| *error)
    }
}

// === impl Match ===

impl<'a> Match<'a> {
    /// The route, to be kept for as long as its responses arrive.
    pub fn route(&self) -> &'a Arc<Route> {
        self.route
    }

    /// The method behind the route.
    pub fn method(&self) -> &'a MethodPlan {
        &self.route.method
    }

    /// Appends the request message: path variables, query parameters and JSON body in one protobuf encoding, without frame header.
    /// For a method that takes a stream this is the first message; [`Route::encode_stream_message`] makes the ones that follow.
    ///
    /// The message is checked against the rules of `buf.validate`, unless the options say otherwise.
    ///
    /// # Errors
    /// The caller's fault, with the field it concerns. `out` is as before then.
    pub fn encode_request(
        &self,
        query: Option<&str>,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        self.encode_request_as(Content::Json, query, body, out)
    }

    /// [`Match::encode_request`] with a body of another content type.
    ///
    /// # Errors
    /// As [`Match::encode_request`].
    pub fn encode_request_as(
        &self,
        content: Content,
        query: Option<&str>,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        let start = out.len();
        let encoded = request::encode(self, content, query, body, out);
        self.route.checked(encoded, start, out)
    }

    /// What path and query bind, in this order: for people who ask why a request means what it means.
    ///
    /// # Errors
    /// The faults of path and query that [`Match::encode_request`] finds.
    pub fn bindings(&self, query: Option<&str>) -> Result<Vec<BoundField>, RequestError> {
        request::explain(self, query).map_err(|failure| *failure)
    }

    /// The query parameters that no field takes, decoded, where the options capture them instead of refusing them.
    pub fn unbound_query(&self, query: Option<&str>) -> Vec<(String, String)> {
        request::unbound(self, query)
    }

    /// Appends the first message of an upload: path variables, query parameters and the content type of the body. Rules of
    /// `buf.validate` are not checked, since the message is not whole yet.
    ///
    /// # Errors
    /// As [`Match::encode_request`]; also where the route is no upload.
    pub fn encode_upload_head(
        &self,
        query: Option<&str>,
        content_type: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        let start = out.len();
        upload::encode_head(self, query, content_type, out).map_err(|failure| {
            out.truncate(start);
            *failure
        })
    }

    /// The raw text that a variable has captured.
    pub(crate) fn captured(&self, variable: &RouteVariable) -> &'a str {
        let template = &self.route.template;
        let glob = template.glob();
        // What lies behind a `**` moves by as many segments as it took beyond one.
        let place = |index: usize| match glob {
            Some(glob) if index > glob => {
                (index + self.spans.len()).saturating_sub(template.segments.len())
            }
            _ => index,
        };
        self.spans
            .text(self.path, place(variable.start), place(variable.end))
    }
}
