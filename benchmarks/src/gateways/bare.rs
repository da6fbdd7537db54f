//! A proxy without transcoding, the lower bound of a gateway: HTTP/1.1 in, gRPC over HTTP/2 out,
//! prepared bytes both ways.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, TE};
use http::{Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::upstream::{CREATE_ORDER, order_frame};
use crate::corpus::ORDER;

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

/// Serves until it is killed, with as many worker threads as a measured gateway.
///
/// # Errors
/// When it cannot listen or reach the upstream.
pub fn serve(listen: SocketAddr, upstream: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("tokio runtime")?;
    runtime.block_on(async {
        let task = tokio::spawn(accept(listen, upstream));
        task.await?
    })
}

async fn accept(listen: SocketAddr, upstream: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let frame = Bytes::from(order_frame()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (sender, frame) = (sender.clone(), frame.clone());
        let service = service_fn(move |request| answer(sender.clone(), frame.clone(), request));
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new());
        tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    mut sender: SendRequest<Full<Bytes>>,
    frame: Bytes,
    request: Request<Incoming>,
) -> Result<Answer> {
    request.into_body().collect().await?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://upstream{CREATE_ORDER}"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(Full::new(frame))?;
    sender
        .send_request(request)
        .await?
        .into_body()
        .collect()
        .await?;
    let body = Full::new(Bytes::from_static(ORDER.json.as_bytes()));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}
