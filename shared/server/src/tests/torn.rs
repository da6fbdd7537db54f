//! A real HTTP/2 client that resets its stream while the connection stays open.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::uri::PathAndQuery;
use http::{Request, Response};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

use rpc::error::reason;

use crate::Server;
use crate::testing::{self, COUNT, Line, METHODS, Reply, Running, call};

/// More than any of this takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tells what its handler reads: each message, then how the messages end.
#[derive(Clone)]
struct Witness(mpsc::UnboundedSender<Result<Option<Line>, Status>>);

impl NamedService for Witness {
    const NAME: &'static str = "shop.v1.ShopService";
}

impl Service<Request<Body>> for Witness {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let seen = self.0.clone();
        let read = service_fn(move |request: tonic::Request<tonic::Streaming<Line>>| {
            let seen = seen.clone();
            // Of its own, because the handler is dropped with its stream; what reads on is what must not be misled.
            let reading = tokio::spawn(async move {
                let mut lines = request.into_inner();
                loop {
                    let line = lines.message().await;
                    let more = matches!(line, Ok(Some(_)));
                    seen.send(line).unwrap();
                    if !more {
                        break;
                    }
                }
            });
            async move {
                reading.await.unwrap();
                Ok(tonic::Response::new(Reply::default()))
            }
        });
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Reply, Line>::default());
            Ok(grpc.client_streaming(read, request).await)
        })
    }
}

async fn next<T>(seen: &mut mpsc::UnboundedReceiver<T>) -> T {
    let next = tokio::time::timeout(PATIENCE, seen.recv()).await;
    next.expect("the handler reads nothing").unwrap()
}

#[tokio::test]
async fn a_reset_stream_never_looks_complete() {
    // One method whose messages are validated, and one whose body passes untouched.
    for path in [COUNT, "/shop.v1.ShopService/Unruled"] {
        let (sender, mut seen) = mpsc::unbounded_channel();
        let server = Server::new(testing::descriptor_set(), METHODS).add_service(Witness(sender));
        let server = Running::start(server, testing::settings()).await;
        let mut client = tonic::client::Grpc::new(server.upstream());
        client.ready().await.unwrap();
        let line = Line {
            sku: "A".to_owned(),
            quantity: 1,
        };
        let lines = tokio_stream::once(line.clone()).chain(tokio_stream::pending());
        let codec = ProstCodec::<Line, Reply>::default();
        let path = PathAndQuery::from_static(path);
        let counting = tokio::spawn(async move {
            let request = tonic::Request::new(lines);
            client.client_streaming(request, path, codec).await
        });
        assert_eq!(next(&mut seen).await.unwrap(), Some(line));
        counting.abort();
        let status = next(&mut seen).await.unwrap_err();
        assert_eq!(status.code(), Code::Aborted, "{status:?}");
        assert_eq!(reason(&status).as_deref(), Some("REQUEST_TORN"));
        server.stop().await;
    }
}

#[tokio::test]
async fn a_request_that_ends_is_whole() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let server = Server::new(testing::descriptor_set(), METHODS).add_service(Witness(sender));
    let server = Running::start(server, testing::settings()).await;
    let line = Line {
        sku: "A".to_owned(),
        quantity: 1,
    };
    call(&server.upstream(), COUNT, line.clone()).await.unwrap();
    assert_eq!(next(&mut seen).await.unwrap(), Some(line));
    assert_eq!(next(&mut seen).await.unwrap(), None);
    server.stop().await;
}
