//! One HTTP request to one message: path variables, then the query, then the body.

mod bindings;
mod body;
mod content;
mod leaf;
mod protobuf;

use crate::{
    error::{Failure, RequestError, Rule},
    options::UnexpectedBody,
    percent, query,
    route::{Body, Match, Route},
};

pub(crate) use bindings::Bindings;
pub use bindings::{BoundField, Source};
pub use content::{Content, UnsupportedMediaType};
pub(crate) use leaf::{Overlap, has_text_form, overlap, path_text};
pub(crate) use protobuf::{check_defaults, copy as copy_around};

pub(crate) fn encode(
    found: &Match<'_>,
    content: Content,
    query: Option<&str>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let route = &**found.route;
    if route.is_upload() {
        let reason = "the method takes raw bytes, not JSON";
        return Err(RequestError::new(Rule::UnexpectedBody, reason));
    }
    let mut bindings = bind(found, query)?;
    if route.body == Body::None {
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

/// A message of a stream behind the first one.
pub(crate) fn encode_next(
    route: &Route,
    content: Content,
    message: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    if route.body == Body::None || route.is_upload() {
        let reason = "the method takes no messages in its body";
        return Err(RequestError::new(Rule::UnexpectedBody, reason));
    }
    match content {
        Content::Json => body::put_json_value(route, &[], message, out),
        Content::Protobuf => protobuf::put_value(route, message, out),
        Content::Form => {
            let reason = "a form is one message, and no stream of them";
            Err(RequestError::new(Rule::UnexpectedBody, reason))
        }
    }
}

/// What path and query bind.
pub(crate) fn bind<'a>(found: &Match<'a>, query: Option<&str>) -> Result<Bindings<'a>, Failure> {
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
            percent::decode_multi(raw, route.types.options.http.path_decoding)
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

pub(crate) fn explain(found: &Match<'_>, query: Option<&str>) -> Result<Vec<BoundField>, Failure> {
    let mut bindings = Bindings::new(found.route);
    bindings.explained = Some(Vec::new());
    bind_into(&mut bindings, found, query)?;
    Ok(bindings.explained.unwrap_or_default())
}

/// Parameters up to the first faulty one, if there is one.
pub(crate) fn unbound(found: &Match<'_>, query: Option<&str>) -> Vec<(String, String)> {
    let mut bindings = Bindings::new(found.route);
    bindings.unbound = Some(Vec::new());
    match bind_into(&mut bindings, found, query) {
        Ok(()) | Err(_) => bindings.unbound.unwrap_or_default(),
    }
}

fn check_no_body(route: &Route, body: &[u8]) -> Result<(), Failure> {
    if body.is_empty() || route.types.options.http.unexpected_body == UnexpectedBody::Ignore {
        return Ok(());
    }
    let reason = "the method takes no body";
    Err(RequestError::new(Rule::UnexpectedBody, reason))
}

#[cfg(test)]
mod tests;
