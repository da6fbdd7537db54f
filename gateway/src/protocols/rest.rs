//! The JSON API: from an HTTP request to a call, and from its response to JSON.

mod error;
mod exchange;
mod multipart;
mod overriding;
mod requests;
mod stream;
mod upload;
mod view;

use std::sync::Arc;

use chassis::{metrics, observe};
use futures::FutureExt;
use http::header::{ALLOW, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode, Uri};
use tokio::time::Instant;
use tonic::body::Body;
use transcoder::{MethodKind, RouteError};

use super::RouteTarget;
use crate::api::Catalog;
use crate::call::{self, Call};
use crate::context::Context;
use crate::failure::Failure;

pub(crate) use error::render;
pub(super) use error::write_status;
pub(crate) use exchange::accept;
pub(super) use exchange::{Exchange, finish_frame_in};
pub(crate) use overriding::override_method;
pub(super) use requests::MessageEncoder;
pub(super) use view::View;

/// Answers a request; every failure becomes a `google.rpc.Status`.
pub(crate) async fn serve(
    context: &Context,
    catalog: &Arc<Catalog>,
    target: &RouteTarget<'_, '_>,
    deadline: Option<Instant>,
    head: &Parts,
    body: Body,
) -> Response<Body> {
    let answered = answer(context, catalog, target, deadline, head, body).await;
    let response = match answered {
        Ok(response) => response,
        Err(failure) => {
            let method = target.matched.method().path();
            let learned = catalog.learn_details(method, &failure.status);
            learned.boxed().await;
            let codes = &context.policy().codes;
            let failure = codes.apply(target.upstream.name(), failure);
            refuse(context, catalog, head, failure)
        }
    };
    finish(context, head, response)
}

/// The response that is a failure.
pub(super) fn refuse(
    context: &Context,
    catalog: &Catalog,
    head: &Parts,
    failure: Failure,
) -> Response<Body> {
    observe::current().code(failure.status.code());
    render(failure, &catalog.schema, context.policy(), &head.headers)
}

/// Completes a response: not modified, compressed, or without content where HTTP wants none.
pub(super) fn finish(context: &Context, head: &Parts, response: Response<Body>) -> Response<Body> {
    context.policy().finish(head, response)
}

/// Answers OPTIONS for a path without such a route: the allowed methods (RFC 9110 §9.3.7).
pub(crate) fn answer_options(catalog: &Catalog, head: &Parts) -> Option<Response<Body>> {
    if head.method != Method::OPTIONS {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if head.uri.path() == "*" {
        return Some(response);
    }
    let found = catalog.schema.route(&head.method, head.uri.path());
    let Err(RouteError::MethodNotAllowed { allow }) = found else {
        return None;
    };
    let mut methods: Vec<&str> = allow.iter().map(Method::as_str).collect();
    methods.push("OPTIONS");
    let allow = HeaderValue::from_str(&methods.join(", ")).ok()?;
    response.headers_mut().insert(ALLOW, allow);
    Some(response)
}

/// Finds the route of a request.
///
/// # Errors
/// No route matches, or the API is not known yet.
pub(super) fn resolve<'c, 'h>(
    catalog: &'c Catalog,
    method: &Method,
    uri: &'h Uri,
) -> Result<RouteTarget<'c, 'h>, Failure>
where
    'c: 'h,
{
    // A method with streams is found by its own path, too; unary ones are calls of Connect there.
    let found = catalog.schema.route_or_rpc(method, uri.path());
    let found = found.and_then(|matched| {
        // A file may declare services that the upstream does not register.
        let upstream = catalog
            .owner(matched.method().path())
            .ok_or(RouteError::NotFound)?;
        Ok(RouteTarget { matched, upstream })
    });
    let target = found.map_err(|error| match error {
        RouteError::NotFound if !catalog.complete => Failure::incomplete(),
        other => Failure::unrouted(other, uri.query()),
    })?;
    note(catalog, &target);
    Ok(target)
}

/// Notes what was matched and who serves it, never the raw path, of which there are unboundedly
/// many (OpenTelemetry semantic conventions, HTTP server spans).
fn note(catalog: &Catalog, target: &RouteTarget<'_, '_>) {
    let observed = observe::current();
    let template = target.matched.route().template();
    if catalog.names.hides(template) {
        observed.hide_path(template);
    }
    observed.route(template);
    observed.call(target.matched.method().path(), metrics::Protocol::HTTP);
    observed.upstream(target.upstream.name());
}

async fn answer(
    context: &Context,
    catalog: &Arc<Catalog>,
    target: &RouteTarget<'_, '_>,
    deadline: Option<Instant>,
    head: &Parts,
    body: Body,
) -> Result<Response<Body>, Failure> {
    let body = context.policy().decode(&head.headers, body)?;
    let method = target.matched.method();
    let call = call(context, catalog, target, deadline, head)?;
    let exchange = Exchange::new(context, catalog, &target.matched, head)?;
    // A rule without a body leaves path and query to say all, which is one message. Streams are
    // boxed to keep the future small.
    match (method.kind(), target.matched.route().takes_body()) {
        (MethodKind::Unary, _) | (MethodKind::ClientStreaming, false) => {
            unary(exchange, call, body).await
        }
        (MethodKind::ServerStreaming, _) | (MethodKind::BidiStreaming, false) => {
            stream::answer(exchange, call, body).boxed().await
        }
        (MethodKind::ClientStreaming, true) => collect(exchange, call, body).boxed().await,
        (MethodKind::BidiStreaming, true) => stream::converse(exchange, call, body).boxed().await,
    }
}

/// The call that a request makes.
pub(super) fn call(
    context: &Context,
    catalog: &Arc<Catalog>,
    target: &RouteTarget<'_, '_>,
    deadline: Option<Instant>,
    head: &Parts,
) -> Result<Call, Failure> {
    let rules = &context.policy().metadata;
    let mut metadata = rules.of_request(&head.headers)?;
    let template = target.matched.route().template();
    rules.add_origin(head, template, &mut metadata);
    Ok(Call {
        upstream: target.upstream.client().clone(),
        path: target.matched.method().path().to_owned(),
        safety: call::safety(target.matched.method()),
        caller: call::caller(&head.extensions, Some(target.matched.method())),
        check: context.policy().first_message(
            catalog,
            target.matched.method().path(),
            Some(target.matched.method()),
            &head.extensions,
        ),
        metadata,
        deadline,
        lease: match target.matched.method().kind() {
            MethodKind::Unary => None,
            _ => head.extensions.get().cloned(),
        },
        max_message_bytes: context.max_message_bytes(),
        mask: call::ResponseMask::of(
            &catalog.schema,
            Some(target.matched.method()),
            &head.extensions,
        ),
    })
}

async fn unary(exchange: Exchange<'_>, call: Call, body: Body) -> Result<Response<Body>, Failure> {
    exchange.check_accept()?;
    let frame = call::within(call.deadline, exchange.request_frame(body)).await?;
    let observed = observe::current();
    observed.request_messages(1);
    let answer = match exchange.asked() {
        None => call.unary(frame).await?,
        Some(asked) => {
            let answered = asked.unary(call, frame).boxed().await;
            answered.map_err(Failure::unanswered)?
        }
    };
    observed.response_messages(1);
    exchange.respond(answer).await
}

/// Answers a stream of requests with the upstream's one message.
async fn collect(
    exchange: Exchange<'_>,
    call: Call,
    body: Body,
) -> Result<Response<Body>, Failure> {
    exchange.check_accept()?;
    let incoming = call::within(call.deadline, exchange.request_messages(body)).await?;
    exchange.respond(call.upload(incoming).await?).await
}
