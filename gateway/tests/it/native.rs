//! Native gRPC through the gateway: untouched messages, metadata, trailers, error details, merged
//! reflection.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::uri::PathAndQuery;
use http_body_util::StreamBody;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt;

use crate::support::messages::*;
use crate::support::stranger::{Observed, Reflection, Upstream, descriptors, happened};
use crate::support::{Gateway, eventually, soon};

pub(crate) const GREET: &str = "/stranger.v1.StrangerService/Greet";
const COUNT: &str = "/stranger.v1.StrangerService/Count";
const STORE: &str = "/stranger.v1.StrangerService/Store";
const CHAT: &str = "/stranger.v1.StrangerService/Chat";

#[tokio::test]
async fn a_unary_call_passes_with_its_metadata() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let mut request = greet("a");
    request
        .metadata_mut()
        .insert("x-anything", "at all".parse().unwrap());
    let response = unary(gateway.grpc().await, GREET, request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(response.text, "hello a");
    assert_eq!(response.metadata["x-anything"], "at all");
}

#[tokio::test]
async fn an_error_passes_with_details_and_trailers() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let status = unary(gateway.grpc().await, GREET, greet("nobody"))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "niemand: 100 % übrig")
    );
    assert_eq!(status.get_details_error_info().unwrap().reason, "NOBODY");
    assert_eq!(status.metadata().get("x-trail").unwrap(), "kept");
}

#[tokio::test]
async fn streams_pass_in_both_directions() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let mut grpc = ready(gateway.grpc().await).await;

    let count = Request::new(CountRequest {
        to: 3,
        fail_at: 3,
        ..Default::default()
    });
    let codec = ProstCodec::<CountRequest, CountResponse>::default();
    let counted = grpc
        .server_streaming(count, PathAndQuery::from_static(COUNT), codec)
        .await
        .unwrap()
        .into_inner();
    let counted: Vec<Result<i32, Code>> = counted
        .map(|item| {
            item.map(|response| response.number)
                .map_err(|status| status.code())
        })
        .collect()
        .await;
    assert_eq!(counted, [Ok(1), Ok(2), Err(Code::Aborted)]);

    // Strictly in turns, which only works if no side waits for the end of the other.
    let (names, queue) = tokio::sync::mpsc::channel(1);
    names.send(greet("first").into_inner()).await.unwrap();
    let codec = ProstCodec::<GreetRequest, GreetResponse>::default();
    let chat = Request::new(ReceiverStream::new(queue));
    grpc.ready().await.unwrap();
    let chat = grpc
        .streaming(chat, PathAndQuery::from_static(CHAT), codec)
        .await;
    let mut answers = chat.unwrap().into_inner();
    assert_eq!(
        soon("an answer", answers.message())
            .await
            .unwrap()
            .unwrap()
            .text,
        "hello first"
    );
    names.send(greet("second").into_inner()).await.unwrap();
    assert_eq!(
        soon("an answer", answers.message())
            .await
            .unwrap()
            .unwrap()
            .text,
        "hello second"
    );
    drop(names);
    assert!(soon("the end", answers.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_client_that_vanishes_tears_its_stream() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let mut events = upstream.events();
    let (address, observed) = (gateway.address, upstream.observed.clone());
    // A runtime of its own, whose end takes the connection with it without a word of HTTP/2.
    let client = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(begin_and_vanish(address, &observed));
    });
    happened(&mut events, "Store torn").await;
    tokio::task::spawn_blocking(|| client.join().unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_client_that_drops_its_call_tears_its_stream() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let mut events = upstream.events();
    let channel = gateway.grpc().await;
    begin_and_drop(channel.clone(), &upstream.observed).await;
    happened(&mut events, "Store torn").await;
    // The connection is as good as before.
    unary(channel, GREET, greet("a")).await.unwrap();
}

#[tokio::test]
async fn a_stream_whose_deadline_passes_never_looks_complete() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let mut events = upstream.events();
    // Not tonic's client, which would end the call at the deadline by itself.
    let stream = tokio::net::TcpStream::connect(gateway.address)
        .await
        .unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let message = http_body::Frame::data(Bytes::from_static(b"\0\0\0\0\x03\x0a\x01a"));
    let message = tokio_stream::once(Ok::<_, Status>(message));
    let request = http::Request::post(format!("http://{}{STORE}", gateway.address))
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "200m")
        .body(StreamBody::new(message.chain(tokio_stream::pending())))
        .unwrap();
    let response = soon("the answer", sender.send_request(request))
        .await
        .unwrap();
    assert_eq!(response.headers()["grpc-status"], "4");
    happened(&mut events, "Store torn").await;
    connection.abort();
}

#[tokio::test]
async fn a_message_that_stops_arriving_is_an_error_and_a_silent_stream_is_not() {
    let upstream = Upstream::start().await;
    let keys = [("listener.body_stall_timeout_ms", "100")];
    let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
    let open = |path: &str, sent: &'static [u8]| {
        let part = http_body::Frame::data(Bytes::from_static(sent));
        let part = tokio_stream::once(Ok::<_, Status>(part));
        let request = http::Request::post(path)
            .header("content-type", "application/grpc")
            .header("grpc-timeout", "1S")
            .body(StreamBody::new(part.chain(tokio_stream::pending())));
        gateway.open_http2(request.unwrap())
    };
    let half = b"\0\0\0\0\x03\x0a";
    for path in [GREET, STORE] {
        let (response, _connection) = soon("the answer", open(path, half)).await;
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), Code::Aborted, "{path}");
        let reason = status.get_details_error_info().unwrap().reason;
        assert_eq!(reason, "REQUEST_STALLED");
    }
    // This one ends by its deadline.
    let whole = b"\0\0\0\0\0";
    let (response, _connection) = soon("the answer", open(STORE, whole)).await;
    assert_eq!(response.headers()["grpc-status"], "4");
}

#[tokio::test]
async fn a_gateway_that_stops_ends_its_streams() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::ready(&[upstream.address]).await;
    let mut grpc = ready(gateway.grpc().await).await;
    let count = Request::new(CountRequest {
        to: 9,
        hold_at: 1,
        ..Default::default()
    });
    let codec = ProstCodec::<CountRequest, CountResponse>::default();
    let mut counted = grpc
        .server_streaming(count, PathAndQuery::from_static(COUNT), codec)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(counted.message().await.unwrap().unwrap().number, 1);
    gateway.stop().await;
    let status = soon("the end", counted.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "STOPPING");
}

async fn begin_and_vanish(address: SocketAddr, observed: &Observed) {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    begin_and_drop(endpoint.connect().await.unwrap(), observed).await;
}

/// Drops a call to `Store` when its first message is stored.
async fn begin_and_drop(channel: Channel, observed: &Observed) {
    let mut grpc = ready(channel).await;
    let content = HttpBody {
        data: vec![0; 100],
        ..Default::default()
    };
    let message = StoreRequest {
        content: Some(content),
        ..Default::default()
    };
    let messages = tokio_stream::once(message).chain(tokio_stream::pending());
    let codec = ProstCodec::<StoreRequest, StoreResponse>::default();
    let call = grpc.client_streaming(
        Request::new(messages),
        PathAndQuery::from_static(STORE),
        codec,
    );
    let stored = eventually("the message is stored", async || {
        match observed.stored.load(Ordering::SeqCst) {
            0 => Err(0),
            stored => Ok(stored),
        }
    });
    tokio::pin!(call);
    tokio::select! {
        outcome = &mut call => panic!("answered: {outcome:?}"),
        _ = stored => {}
    }
}

#[tokio::test]
async fn messages_over_the_bound_are_refused_in_both_directions() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[("max_message_bytes", "1000")]).await;
    gateway.wait_until_ready().await;
    let channel = gateway.grpc().await;

    let status = unary(channel.clone(), GREET, greet(&"x".repeat(2000)))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    // The caller did not choose the size of the response.
    let status = unary(channel, GREET, greet("huge")).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status:?}");
}

#[tokio::test]
async fn what_nobody_serves_is_unimplemented() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let channel = gateway.grpc().await;
    let status = unary(channel.clone(), "/nobody.v1.NobodyService/Get", greet("a"))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let status = unary(channel, "/stranger.v1.StrangerService/Nothing", greet("a"))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unimplemented, "Nothing")
    );
}

#[tokio::test]
async fn health_is_the_gateways_own() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let health = HealthClient::new(gateway.grpc().await);
    // It follows readiness within 20 ms.
    eventually("the gateway is healthy", async || {
        let request = HealthCheckRequest::default();
        let response = health.clone().check(request).await.unwrap().into_inner();
        match response.status() {
            ServingStatus::Serving => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

#[tokio::test]
async fn a_deadline_of_a_native_call_passes_in_time() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let mut events = upstream.events();
    let mut request = greet("hang");
    request
        .metadata_mut()
        .insert("x-server-timeout", "0.05".parse().unwrap());
    let status = soon("an end", unary(gateway.grpc().await, GREET, request))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    happened(&mut events, "Greet dropped").await;
}

#[tokio::test]
async fn reflection_shows_all_upstreams_with_their_options() {
    let stranger = Upstream::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Reflection decides what an upstream offers, so one server can pose as another service.
    let other = Upstream::serve(listener, descriptors("other"), Reflection::V1Alpha);
    let gateway = Gateway::ready(&[stranger.address, other.address]).await;
    let mut client = ServerReflectionClient::new(gateway.grpc().await);

    let MessageResponse::ListServicesResponse(list) =
        ask(&mut client, MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list");
    };
    let mut names: Vec<String> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    names.sort();
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "other.v1.OtherService",
        "stranger.v1.StrangerService",
    ];
    assert_eq!(names, expected);

    let symbol = MessageRequest::FileContainingSymbol("other.v1.OtherService.Ping".to_owned());
    let MessageResponse::FileDescriptorResponse(files) = ask(&mut client, symbol).await else {
        panic!("no file");
    };
    let path = b"/v1/ping";
    let raw = &files.file_descriptor_proto[0];
    assert!(
        raw.windows(path.len()).any(|window| window == path),
        "the http rule is lost"
    );
}

#[tokio::test]
async fn reflection_ends_at_its_deadline_and_with_the_process() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::ready(&[upstream.address]).await;
    let mut client = ServerReflectionClient::new(gateway.grpc().await);
    let mut hurried = Request::new(tokio_stream::pending());
    hurried.set_timeout(Duration::from_millis(50));
    let answers = client.server_reflection_info(hurried).await.unwrap();
    let status = answers.into_inner().message().await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");

    let patient = Request::new(tokio_stream::pending());
    let answers = client.server_reflection_info(patient).await.unwrap();
    let mut answers = answers.into_inner();
    let ((), ended) = tokio::join!(gateway.stop(), answers.message());
    let status = ended.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

async fn ask(
    client: &mut ServerReflectionClient<Channel>,
    request: MessageRequest,
) -> MessageResponse {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(request),
    };
    let answers = client
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap();
    answers
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap()
}

pub(crate) fn greet(name: &str) -> Request<GreetRequest> {
    Request::new(GreetRequest {
        name: name.to_owned(),
        times: 1,
        ..Default::default()
    })
}

async fn ready(channel: Channel) -> Grpc<Channel> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    grpc
}

pub(crate) async fn unary(
    channel: Channel,
    path: &'static str,
    request: Request<GreetRequest>,
) -> Result<tonic::Response<GreetResponse>, Status> {
    let mut grpc = ready(channel).await.max_decoding_message_size(16 << 20);
    grpc.unary(
        request,
        PathAndQuery::from_static(path),
        ProstCodec::default(),
    )
    .await
}
