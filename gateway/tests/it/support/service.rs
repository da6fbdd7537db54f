//! The methods of `stranger.v1.StrangerService`, as generated code would call them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use http::{HeaderMap, HeaderName};
use http_body_util::BodyExt;
use prost::Message as _;
use tonic::body::Body;
use tonic::server::{
    ClientStreamingService, Grpc, NamedService, ServerStreamingService, StreamingService,
    UnaryService,
};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tonic_types::{ErrorDetails, StatusExt, pb};
use tower::Service;

use super::messages::*;
use super::stranger::Observed;

#[derive(Clone)]
pub(crate) struct Stranger {
    pub(crate) observed: Arc<Observed>,
}

impl NamedService for Stranger {
    const NAME: &'static str = "stranger.v1.StrangerService";
}

impl Service<http::Request<Body>> for Stranger {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let stranger = self.clone();
        *stranger.observed.received.lock().unwrap() = request.headers().clone();
        let observed = stranger.observed.clone();
        let request = request.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let trailers = frame.trailers_ref().cloned().unwrap_or_default();
                observed.received.lock().unwrap().extend(trailers);
                frame
            }))
        });
        let echoes = Echoes::of(request.headers());
        async move {
            let method = request
                .uri()
                .path()
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned();
            let response = match method.as_str() {
                "Greet" => {
                    Grpc::new(ProstCodec::default())
                        .unary(Greet(stranger), request)
                        .await
                }
                "Count" => {
                    Grpc::new(ProstCodec::default())
                        .server_streaming(Count(stranger), request)
                        .await
                }
                "Store" => {
                    Grpc::new(ProstCodec::default())
                        .client_streaming(Store(stranger), request)
                        .await
                }
                "Fetch" => Grpc::new(ProstCodec::default()).unary(Fetch, request).await,
                "Chat" => {
                    Grpc::new(ProstCodec::default())
                        .streaming(Chat(stranger), request)
                        .await
                }
                "Gather" => {
                    Grpc::new(ProstCodec::default())
                        .client_streaming(Gather(stranger), request)
                        .await
                }
                _ => Status::unimplemented(method).into_http(),
            };
            Ok(echoes.add(response))
        }
        .boxed()
    }
}

/// Metadata of a request that begin with `echo-` and `echo-trailer-`, which come back without it
/// before and behind the messages.
struct Echoes {
    headers: HeaderMap,
    trailers: HeaderMap,
}

impl Echoes {
    fn of(request: &HeaderMap) -> Self {
        let mut echoes = Self {
            headers: HeaderMap::new(),
            trailers: HeaderMap::new(),
        };
        for (name, value) in request {
            let Some(name) = name.as_str().strip_prefix("echo-") else {
                continue;
            };
            let (map, name) = match name.strip_prefix("trailer-") {
                Some(name) => (&mut echoes.trailers, name),
                None => (&mut echoes.headers, name),
            };
            map.append(HeaderName::try_from(name).unwrap(), value.clone());
        }
        echoes
    }

    fn add(self, mut response: http::Response<Body>) -> http::Response<Body> {
        let Self { headers, trailers } = self;
        response.headers_mut().extend(headers);
        if trailers.is_empty() {
            return response;
        }
        response.map(|body| {
            Body::new(body.map_frame(move |mut frame| {
                if let Some(sent) = frame.trailers_mut() {
                    sent.extend(trailers.clone());
                }
                frame
            }))
        })
    }
}

/// Notes that a call was dropped before it was answered.
struct Unanswered {
    observed: Arc<Observed>,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.observed.note("Greet dropped");
    }
}

struct Greet(Stranger);

impl UnaryService<GreetRequest> for Greet {
    type Response = GreetResponse;
    type Future = BoxFuture<'static, Result<Response<GreetResponse>, Status>>;

    fn call(&mut self, request: Request<GreetRequest>) -> Self::Future {
        let guard = Unanswered {
            observed: self.0.observed.clone(),
        };
        let name = request.get_ref().name.clone();
        self.0.observed.greeted.lock().unwrap().push(name);
        async move {
            let outcome = match request.get_ref().name.as_str() {
                "hang" => {
                    guard.observed.note("Greet hangs");
                    std::future::pending().await
                }
                "nobody" => Err(nobody()),
                "crashed" => Err(crashed()),
                name if name.starts_with("code-") => {
                    let code: i32 = name["code-".len()..].parse().unwrap();
                    Err(Status::new(Code::from(code), "as asked"))
                }
                "huge" => Ok(Response::new(GreetResponse {
                    text: "x".repeat(5 << 20),
                    ..Default::default()
                })),
                _ => Ok(greeting(request)),
            };
            std::mem::forget(guard);
            outcome
        }
        .boxed()
    }
}

fn greeting(request: Request<GreetRequest>) -> Response<GreetResponse> {
    let (metadata, _, message) = request.into_parts();
    let metadata: HashMap<String, String> = headers(metadata.into_headers());
    let text = vec![format!("hello {}", message.name); message.times.max(1) as usize].join(", ");
    Response::new(GreetResponse {
        text,
        metadata,
        mood: message.mood,
        extra: message.extra,
    })
}

fn headers(headers: HeaderMap) -> HashMap<String, String> {
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}

/// Every part of an error: a message that has to be percent-encoded, details, a pause, a trailer.
fn nobody() -> Status {
    let mut details = ErrorDetails::with_error_info(
        "NOBODY",
        "stranger",
        [("name".to_owned(), "nobody".to_owned())],
    );
    details.set_retry_info(Some(Duration::from_millis(1500)));
    let mut status = Status::with_error_details(Code::NotFound, "niemand: 100 % übrig", details);
    status
        .metadata_mut()
        .insert("x-trail", "kept".parse().unwrap());
    status
}

/// An error that tells its caller of the service's insides, and something that nobody knows.
fn crashed() -> Status {
    let debug = ErrorDetails::with_debug_info(["at secret.rs:1".to_owned()], "insides");
    let described = Status::with_error_details(Code::Internal, "crashed", debug);
    let mut details = pb::Status::decode(described.details()).unwrap();
    details.code = Code::NotFound as i32;
    details.details.push(prost_types::Any {
        type_url: "type.googleapis.com/nobody.knows.Me".to_owned(),
        value: vec![8, 1],
    });
    let details = details.encode_to_vec();
    Status::with_details(Code::Internal, "crashed", details.into())
}

struct Count(Stranger);

impl ServerStreamingService<CountRequest> for Count {
    type Response = CountResponse;
    type ResponseStream = BoxStream<'static, Result<CountResponse, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<CountRequest>) -> Self::Future {
        let observed = self.0.observed.clone();
        let last_event_id = request
            .metadata()
            .get("last-event-id")
            .and_then(|id| id.to_str().ok()?.parse::<i32>().ok());
        let request = request.into_inner();
        async move {
            let first = last_event_id.unwrap_or(0) + 1;
            let counting = Counting {
                observed,
                request,
                next: first,
                done: false,
            };
            Ok(Response::new(counting.boxed()))
        }
        .boxed()
    }
}

struct Counting {
    observed: Arc<Observed>,
    request: CountRequest,
    next: i32,
    done: bool,
}

impl Stream for Counting {
    type Item = Result<CountResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let number = self.next;
        self.next += 1;
        if self.request.hold_at != 0 && number > self.request.hold_at {
            // Nobody is woken: only dropping ends this stream.
            return Poll::Pending;
        }
        if number == self.request.fail_at {
            self.done = true;
            return Poll::Ready(Some(Err(Status::aborted("cannot count that far"))));
        }
        if number > self.request.to {
            self.done = true;
            return Poll::Ready(None);
        }
        let padding = vec![0xff; self.request.padding as usize];
        self.observed
            .produced
            .fetch_add(padding.len() as u64, Ordering::SeqCst);
        Poll::Ready(Some(Ok(CountResponse { number, padding })))
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if !self.done {
            self.observed.note("Count dropped");
        }
    }
}

struct Store(Stranger);

impl ClientStreamingService<StoreRequest> for Store {
    type Response = StoreResponse;
    type Future = BoxFuture<'static, Result<Response<StoreResponse>, Status>>;

    fn call(&mut self, request: Request<Streaming<StoreRequest>>) -> Self::Future {
        let observed = self.0.observed.clone();
        async move {
            // Also noted where the server drops the call, at its deadline.
            let mut ending = Chatting {
                observed: observed.clone(),
                end: "Store torn",
            };
            let outcome = store(&observed, request.into_inner()).await;
            if outcome.is_ok() {
                ending.end = "Store complete";
            }
            outcome.map(Response::new)
        }
        .boxed()
    }
}

async fn store(
    observed: &Observed,
    mut messages: Streaming<StoreRequest>,
) -> Result<StoreResponse, Status> {
    let mut stored = StoreResponse::default();
    while let Some(message) = messages.message().await? {
        observed.permits.acquire().await.unwrap().forget();
        let content = message.content.unwrap_or_default();
        if stored.messages == 0 {
            stored.name = message.name;
            stored.content_type = content.content_type;
            if stored.name == "refused" {
                return Err(Status::permission_denied("not you"));
            }
        }
        stored.messages += 1;
        stored.bytes += content.data.len() as i64;
        observed
            .stored
            .fetch_add(content.data.len() as u64, Ordering::SeqCst);
    }
    Ok(stored)
}

struct Fetch;

impl UnaryService<FetchRequest> for Fetch {
    type Response = HttpBody;
    type Future = BoxFuture<'static, Result<Response<HttpBody>, Status>>;

    fn call(&mut self, request: Request<FetchRequest>) -> Self::Future {
        let data = format!("<{}>", request.get_ref().name).into_bytes();
        let body = HttpBody {
            content_type: "text/html; charset=utf-8".to_owned(),
            data,
        };
        async move { Ok(Response::new(body)) }.boxed()
    }
}

struct Chat(Stranger);

impl StreamingService<GreetRequest> for Chat {
    type Response = GreetResponse;
    type ResponseStream = BoxStream<'static, Result<GreetResponse, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<GreetRequest>>) -> Self::Future {
        let chatting = Chatting {
            observed: self.0.observed.clone(),
            end: "Chat torn",
        };
        let answers = futures::stream::try_unfold(
            (request.into_inner(), chatting),
            |(mut messages, mut chatting)| async move {
                let Some(message) = messages.message().await? else {
                    chatting.complete();
                    return Ok(None);
                };
                match message.name.as_str() {
                    "nobody" => return Err(nobody()),
                    "crashed" => return Err(crashed()),
                    _ => {}
                }
                let answer = GreetResponse {
                    text: format!("hello {}", message.name),
                    mood: message.mood,
                    extra: message.extra,
                    ..Default::default()
                };
                Ok(Some((answer, (messages, chatting))))
            },
        );
        async move { Ok(Response::new(answers.boxed())) }.boxed()
    }
}

/// Notes how a stream of requests has ended.
struct Chatting {
    observed: Arc<Observed>,
    end: &'static str,
}

impl Chatting {
    fn complete(&mut self) {
        self.end = "Chat complete";
    }
}

impl Drop for Chatting {
    fn drop(&mut self) {
        self.observed.note(self.end);
    }
}

struct Gather(Stranger);

impl ClientStreamingService<GreetRequest> for Gather {
    type Response = GreetResponse;
    type Future = BoxFuture<'static, Result<Response<GreetResponse>, Status>>;

    fn call(&mut self, request: Request<Streaming<GreetRequest>>) -> Self::Future {
        let observed = self.0.observed.clone();
        async move {
            let outcome = gather(&observed, request.into_inner()).await;
            observed.note(if outcome.is_ok() {
                "Gather complete"
            } else {
                "Gather torn"
            });
            let text = outcome?.join(" ");
            Ok(Response::new(GreetResponse {
                text,
                ..Default::default()
            }))
        }
        .boxed()
    }
}

/// The first messages, each as `name*times`, or as the names in its list.
async fn gather(
    observed: &Observed,
    mut messages: Streaming<GreetRequest>,
) -> Result<Vec<String>, Status> {
    let mut gathered = Vec::new();
    while let Some(message) = messages.message().await? {
        observed.permits.acquire().await.unwrap().forget();
        let names = message.list.iter().flat_map(|list| &list.names);
        let bytes: usize = names.map(String::len).sum();
        observed.stored.fetch_add(bytes as u64, Ordering::SeqCst);
        gathered.push(match message.list {
            Some(list) => list.names.join("+"),
            None if message.name == "refused" => return Err(Status::permission_denied("not you")),
            None => format!("{}*{}", message.name, message.times),
        });
        gathered.truncate(10);
    }
    Ok(gathered)
}
