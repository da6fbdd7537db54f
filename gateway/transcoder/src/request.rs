//! One HTTP request to one message: path variables, then the query, then the body.

mod bindings;
mod body;
mod content;
mod go_text;
mod leaf;
mod mask;
mod protobuf;
mod query;
mod upload;

use routes::{Body, path_text, percent};

use crate::encode;
use crate::error::{Failure, RequestError, Rule, of_violations, of_wire};
use crate::options::UnexpectedBody;
use crate::route::{Match, Route};
use bindings::Bindings;

pub use bindings::{BoundField, Source};
pub use content::{Content, UnsupportedMediaType};
pub use query::SystemParameters;

impl Match<'_> {
    /// Appends the request message: path variables, query parameters and JSON body in one protobuf
    /// encoding, without frame header. For a method that takes a stream this is the first message;
    /// [`Route::encode_stream_message`] makes the ones that follow.
    ///
    /// The message is checked against the rules of `buf.validate`, unless the options say
    /// otherwise.
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
        let encoded = encode(self, content, query, body, out);
        self.route.checked(encoded, start, out)
    }

    /// Returns the fields that path and query bind, in this order: for explanations.
    ///
    /// # Errors
    /// The faults of path and query that [`Match::encode_request`] finds.
    pub fn bindings(&self, query: Option<&str>) -> Result<Vec<BoundField>, RequestError> {
        explain(self, query).map_err(|failure| *failure)
    }
}

impl Route {
    /// Appends a message of a client stream that is not the first: its JSON alone, as path and
    /// query bind to the first message. It is checked against the rules of `buf.validate` like the
    /// first.
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

    /// [`Route::encode_stream_message`] for a message of another content type: forms are never
    /// streams.
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
        let encoded = encode_next(self, content, message, out);
        self.checked(encoded, start, out)
    }

    /// Rejects the message written since `start` where a required field is missing or a rule of
    /// `buf.validate` is broken; of a failure nothing stays.
    fn checked(
        &self,
        encoded: Result<(), Failure>,
        start: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        let written = out.get(start..).unwrap_or_default();
        encoded
            .and_then(|()| encode::check_written(&self.types, self.method.input, written))
            .and_then(|()| {
                if !self.types.validates(self.method.path()) {
                    return Ok(());
                }
                let validation = &self.types.validation;
                let found = validation.check_written(self.method.input, written);
                of_violations(found.map_err(|error| of_wire(&error))?)
            })
            .map_err(|failure| {
                out.truncate(start);
                *failure
            })
    }
}

fn encode(
    found: &Match<'_>,
    content: Content,
    query: Option<&str>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let route = &**found.route;
    if route.is_upload() {
        let reason = "the method accepts raw bytes, not JSON";
        return Err(RequestError::new(Rule::UnexpectedBody, reason));
    }
    let mut bindings = bind(found, query)?;
    if route.body == Body::None {
        if content == Content::Form && route.types.http.forms_without_body {
            return body::put_form(&mut bindings, body, out);
        }
        check_no_body(route, body)?;
        bindings.write(out);
        return Ok(());
    }
    match content {
        Content::Json => body::put_json(&mut bindings, body, out),
        Content::Form => body::put_form(&mut bindings, body, out),
        Content::Protobuf => protobuf::put(&mut bindings, body, out),
    }
}

/// Encodes a message of a stream after the first one.
fn encode_next(
    route: &Route,
    content: Content,
    message: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    if route.body == Body::None || route.is_upload() {
        let reason = "the method accepts no messages in its body";
        return Err(RequestError::new(Rule::UnexpectedBody, reason));
    }
    match content {
        Content::Json => body::put_json_value(route, &[], message, out),
        Content::Protobuf => protobuf::put_value(route, message, out),
        Content::Form => {
            let reason = "a form is one message, not a stream";
            Err(RequestError::new(Rule::UnexpectedBody, reason))
        }
    }
}

/// Binds path and query.
fn bind<'a>(found: &Match<'a>, query: Option<&str>) -> Result<Bindings<'a>, Failure> {
    let mut bindings = Bindings::new(found.route);
    bind_into(&mut bindings, found, query)?;
    Ok(bindings)
}

fn bind_into(
    bindings: &mut Bindings<'_>,
    found: &Match<'_>,
    query: Option<&str>,
) -> Result<(), Failure> {
    let route = found.route;
    for variable in &route.variables {
        let raw = found.captured(variable);
        let text = if variable.is_multi {
            percent::decode_multi(raw, route.types.routes.path_decoding)
        } else {
            percent::decode_all(raw)
        };
        let text = text.map_err(|reason| {
            RequestError::new(Rule::InvalidValue, reason).in_field(&path_text(
                &route.types,
                route.method.input,
                &variable.fields,
            ))
        })?;
        bindings.add_path(&variable.fields, &text)?;
    }
    query::bind(bindings, query.unwrap_or_default())
}

fn explain(found: &Match<'_>, query: Option<&str>) -> Result<Vec<BoundField>, Failure> {
    let mut bindings = Bindings::new(found.route);
    bindings.explained = Some(Vec::new());
    bind_into(&mut bindings, found, query)?;
    Ok(bindings.explained.unwrap_or_default())
}

fn check_no_body(route: &Route, body: &[u8]) -> Result<(), Failure> {
    if body.is_empty() || route.types.http.unexpected_body == UnexpectedBody::Ignore {
        return Ok(());
    }
    let reason = "the method accepts no body";
    Err(RequestError::new(Rule::UnexpectedBody, reason))
}

#[cfg(test)]
mod tests;
