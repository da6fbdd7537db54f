//! gRPC: forwarded frame by frame to the upstream that owns the service, or answered by the
//! gateway's own reflection. The other RPC protocols come through here too, in the form of gRPC.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use chassis::client::OneMessage;
use chassis::deadline::GRPC_TIMEOUT;
use chassis::error::Fault;
use chassis::{observe, stalled};
use futures::FutureExt;
use futures::future::select;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, TE};
use http::request::Parts;
use http::{Method, Request, Response};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::ServiceExt;
use transcoder::{MethodKind, MethodPlan};

use super::MethodTarget;
use super::inspect::{self, ApiType, InspectedBody, MessageTask};
use super::sniff::{CONNECT_VERSION, Codec};
use super::{answers, first_message};
use crate::api::Catalog;
use crate::call::frame::{self, AbortReason, ByteLimit, RESPONSE_LIMIT};
use crate::call::{
    self, BoundedFrames, Cut, FirstMessageCheck, HeldBody, OwnError, ResponseFrames, ResponseMask,
    lease,
};
use crate::context::Context;
use crate::failure::Failure;
use crate::policy::{self, MessagePolicy};

const JSON: HeaderValue = HeaderValue::from_static("application/grpc+json");

/// Finds the method of a call in the form of gRPC.
///
/// # Errors
/// No upstream serves it, or its messages are written in a way that the gateway does not know.
pub(super) fn resolve<'c>(
    catalog: &'c Catalog,
    codec: Codec,
    head: &Parts,
) -> Result<MethodTarget<'c>, Failure> {
    if head.method != Method::POST {
        return Err(Failure::method_not_allowed(&head.method, "POST"));
    }
    resolve_path(catalog, codec, head.uri.path())
}

/// [`resolve`] for a protocol that has its own HTTP methods.
pub(super) fn resolve_path<'c>(
    catalog: &'c Catalog,
    codec: Codec,
    path: &str,
) -> Result<MethodTarget<'c>, Failure> {
    if path.starts_with("/grpc.reflection.") {
        return Ok(MethodTarget::Reflection);
    }
    let Some(upstream) = catalog.owner(path) else {
        return Err(unknown(catalog, path));
    };
    if codec == Codec::Unknown {
        return Err(unknown_codec());
    }
    observe::current().upstream(upstream.name());
    let plan = catalog.schema.method(path);
    Ok(MethodTarget::Upstream { upstream, plan })
}

/// Answers a request whose content type is gRPC's; a failure is a response without messages
/// ("Trailers-Only").
pub(super) async fn serve(
    context: &Context,
    catalog: &Arc<Catalog>,
    codec: Codec,
    target: MethodTarget<'_>,
    deadline: Option<Instant>,
    request: Request<Body>,
) -> Response<Body> {
    let answered = forward(context, catalog, codec, target, deadline, request).await;
    let response = answered.unwrap_or_else(|failure| trailers_only(context, failure.status));
    in_codec(response, codec)
}

/// The response to a request that did not become a call.
pub(super) fn refuse(context: &Context, codec: Codec, failure: Failure) -> Response<Body> {
    in_codec(trailers_only(context, failure.status), codec)
}

/// A client of JSON takes nothing else, not even for an error.
fn in_codec(mut response: Response<Body>, codec: Codec) -> Response<Body> {
    if codec == Codec::Json {
        response.headers_mut().insert(CONTENT_TYPE, JSON);
    }
    response
}

/// A failure in the form of gRPC.
pub(super) fn trailers_only(context: &Context, status: Status) -> Response<Body> {
    // Other forms of the call do not say it in their head.
    observe::current().code(status.code());
    context.own_error(status).into_http()
}

/// Forwards a request that has the form of gRPC, and returns a response of the same form that
/// always ends in a status.
///
/// # Errors
/// The call failed before the upstream answered.
pub(super) async fn forward(
    context: &Context,
    catalog: &Arc<Catalog>,
    codec: Codec,
    target: MethodTarget<'_>,
    deadline: Option<Instant>,
    request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    let MethodTarget::Upstream { upstream, plan } = target else {
        return Ok(reflect(context, catalog, deadline, request).await);
    };
    let kind = plan.map(MethodPlan::kind);
    let safety = plan.map(call::safety).unwrap_or_default();
    let mut ended = ended(&request, kind);
    let requests_stream = matches!(
        kind,
        None | Some(MethodKind::ClientStreaming | MethodKind::BidiStreaming)
    );
    let responses_stream = matches!(
        kind,
        Some(MethodKind::ServerStreaming | MethodKind::BidiStreaming)
    );
    let pace = context.body_pace();
    let mut request = request.map(|body| match requests_stream {
        true => stalled::bound_messages(body, pace),
        false => stalled::bound(body, pace),
    });
    let held = match (requests_stream, call::holding(request.extensions())) {
        (true, holding) => HeldBody::stream(&holding, context.request_window()),
        (false, holding) => HeldBody::Message(holding),
    };
    context.policy().metadata.strip_call(request.headers_mut());
    let mask = ResponseMask::of(&catalog.schema, plan, request.extensions());
    let check = first_message::check(context, catalog, plan, &request);
    let is_checked = check.as_ref().is_some_and(FirstMessageCheck::needs_message);
    let mut inspection = Inspection::of(context, catalog, plan, codec, mask, is_checked)?;
    let limit = context.request_limit();
    let (mut request, refused) = inspection.take_request(request, limit, held)?;
    if let Some(check) = check {
        let admitted = first_message::admit(context, request, check, requests_stream, deadline);
        let admitted = admitted.boxed().await;
        request = admitted.map_err(|status| refused.get().cloned().unwrap_or(status))?;
    }
    let caller = call::caller(request.extensions(), plan);
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(safety);
    if !requests_stream {
        request.extensions_mut().insert(OneMessage);
    }
    let asked = plan.filter(|method| answers::concerns(context, catalog, method));
    let client = upstream.client().clone();
    let sent = if let Some(method) = asked {
        let sent = answers::forward(context, catalog, upstream, method, deadline, request);
        sent.boxed().await.map(|response| (response, None))
    } else if requests_stream {
        let sent = call::request_body::send(client, request, deadline);
        let sent = lease::unless(&mut ended, sent).await;
        sent.map(|(response, line)| (response, Some(line)))
    } else {
        let sent = call::send(client, request, deadline);
        let sent = lease::unless(&mut ended, sent).await;
        sent.map(|response| (response, None))
    };
    let (mut response, lifeline) =
        sent.map_err(|status| refused.get().cloned().unwrap_or(status))?;
    // A stream may be endless, one message is not.
    let cut = match responses_stream {
        true => Some(cut_when_due(context, deadline, ended)),
        false => ended,
    };
    // A length is not gRPC's, and not that of what the caller gets: messages may be written anew,
    // an error may end them.
    response.headers_mut().remove(CONTENT_LENGTH);
    let max_bytes = context.max_message_bytes();
    let (response, max_bytes) = inspection.on_response(response, max_bytes)?;
    let own_error = own_error(context);
    Ok(ResponseFrames::wrap(
        response, max_bytes, refused, lifeline, cut, own_error,
    ))
}

/// The gateway's own reflection service.
async fn reflect(
    context: &Context,
    catalog: &Catalog,
    deadline: Option<Instant>,
    request: Request<Body>,
) -> Response<Body> {
    let ended = ended(&request, None);
    let Ok(response) = catalog.reflection.clone().oneshot(request).await;
    let (response, refused) = (response.map(Body::new), AbortReason::default());
    let cut = cut_when_due(context, deadline, ended);
    let own_error = own_error(context);
    ResponseFrames::wrap(response, usize::MAX, refused, None, Some(cut), own_error)
}

fn own_error(context: &Context) -> OwnError {
    let context = context.clone();
    Box::new(move |status| context.own_error(status))
}

/// Waits for the end of the caller's credential, which ends calls that are not unary.
fn ended<B>(request: &Request<B>, kind: Option<MethodKind>) -> Option<Cut> {
    let lease = request
        .extensions()
        .get()
        .filter(|_| kind != Some(MethodKind::Unary));
    lease.cloned().map(lease::ended)
}

fn cut_when_due(context: &Context, deadline: Option<Instant>, ended: Option<Cut>) -> Cut {
    let draining = context.draining().clone();
    Box::pin(async move {
        let due = pin!(cut(&draining, deadline));
        match ended {
            None => due.await,
            Some(ended) => select(due, ended).await.factor_first().0,
        }
    })
}

/// The inspection of a call's messages; most calls need none.
struct Inspection {
    request: Option<MessageTask>,
    response: Option<MessageTask>,
}

impl Inspection {
    fn of(
        context: &Context,
        catalog: &Arc<Catalog>,
        method: Option<&MethodPlan>,
        codec: Codec,
        mask: Option<ResponseMask>,
        is_checked: bool,
    ) -> Result<Self, Failure> {
        let Some(method) = method else {
            // Only what a descriptor describes can be written in JSON.
            return match codec {
                Codec::Json => Err(unknown_codec()),
                _ => Ok(Self {
                    request: None,
                    response: None,
                }),
            };
        };
        let policy = MessagePolicy::new(&catalog.schema, method);
        let of = |name: &str| ApiType::new(catalog, method.path(), name);
        Ok(match codec {
            Codec::Json => Self {
                request: Some(MessageTask::ReadJson(of(method.input()), policy)),
                response: Some(MessageTask::WriteJson(
                    of(method.output()),
                    context.policy().levels(),
                    mask,
                )),
            },
            _ => Self {
                request: (is_checked || !policy.is_empty()).then_some(MessageTask::Check(policy)),
                response: mask.map(|mask| MessageTask::Mask(mask, context.policy().levels())),
            },
        })
    }

    /// The request as the upstream gets it.
    fn take_request(
        &mut self,
        request: Request<Body>,
        limit: ByteLimit,
        held: HeldBody,
    ) -> Result<(Request<Body>, AbortReason), Failure> {
        let (mut head, body) = request.into_parts();
        let refused = AbortReason::default();
        let body = match self.request.take() {
            None => Body::new(BoundedFrames::new(body, limit, refused.clone(), held)),
            Some(work) => {
                let coding = inspect::coding(&head.headers)?;
                if matches!(work, MessageTask::ReadJson(..)) {
                    // Converted messages are sent uncompressed.
                    head.headers.remove(inspect::ENCODING);
                }
                InspectedBody::of(body, work, coding, limit, refused.clone(), Some(held))
            }
        };
        let headers = &mut head.headers;
        // The client writes its own time-out; this one would end a call before the grace of a torn
        // request. A length is not gRPC's, and a server that returns metadata would return it.
        for name in [
            HOST,
            GRPC_TIMEOUT,
            CONTENT_LENGTH,
            policy::CONNECT_TIMEOUT,
            CONNECT_VERSION,
        ] {
            headers.remove(name);
        }
        headers.insert(TE, HeaderValue::from_static("trailers"));
        if self.response.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            inspect::restrict_codings(headers);
        }
        Ok((Request::from_parts(head, body), refused))
    }

    /// The response as the caller gets it, and the bound of its messages.
    fn on_response(
        self,
        response: Response<Body>,
        max_bytes: usize,
    ) -> Result<(Response<Body>, usize), Failure> {
        let Some(work) = self.response else {
            return Ok((response, max_bytes));
        };
        let coding = inspect::coding(response.headers())?;
        let limit = ByteLimit {
            bytes: max_bytes,
            key: RESPONSE_LIMIT,
        };
        let response = response
            .map(|body| InspectedBody::of(body, work, coding, limit, AbortReason::default(), None));
        // Their size was bounded where it was the upstream's; text is longer.
        Ok((response, usize::MAX))
    }
}

/// Waits for the drain or the deadline, which a call with a [`crate::call::request_body::Lifeline`]
/// outlives by its grace.
async fn cut(draining: &CancellationToken, deadline: Option<Instant>) -> Status {
    let drained = async {
        draining.cancelled().await;
        Err::<Infallible, Status>(frame::draining_status())
    };
    let Err(status) = call::within(deadline, drained).await;
    status
}

fn unknown(catalog: &Catalog, path: &str) -> Failure {
    if catalog.complete {
        Failure::unknown_service(path)
    } else {
        Failure::incomplete()
    }
}

fn unknown_codec() -> Failure {
    let message = "unsupported message codec; supported: `proto`, and `json` for methods with known descriptors";
    Fault::new(Code::Unimplemented, "UNKNOWN_CODEC", message).into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_cut_at_its_deadline_or_by_the_drain() {
        let (draining, begun) = (CancellationToken::new(), Instant::now());
        let deadline = begun + Duration::from_secs(1);
        let status = cut(&draining, Some(deadline)).await;
        assert_eq!(
            (status.code(), begun.elapsed()),
            (Code::DeadlineExceeded, Duration::from_secs(1))
        );
        draining.cancel();
        let status = cut(&draining, None).await;
        assert_eq!(status.code(), Code::Unavailable);
    }
}
