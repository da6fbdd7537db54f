//! The upstream of the suite: a gRPC server of the library contract that accepts every message.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::WithTrailers;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Flags and length of a message.
const HEADER_BYTES: usize = 5;
const INVALID_ARGUMENT: &str = "3";

/// A running server; it stops when it is dropped.
pub(super) struct Library {
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

/// `library.v1.CreateBookRequest`, as much of it as is REQUIRED.
#[derive(Message)]
struct CreateBook {
    #[prost(bytes = "vec", optional, tag = "2")]
    book: Option<Vec<u8>>,
}

/// `library.v1.Book`, as much of it as rules demand.
#[derive(Message)]
struct Book {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    title: String,
    #[prost(string, tag = "4")]
    isbn: String,
}

/// `library.v1.CreateBookResponse`.
#[derive(Message)]
struct Created {
    #[prost(message, optional, tag = "1")]
    book: Option<Book>,
}

/// `google.api.HttpBody`.
#[derive(Message)]
struct HttpBody {
    #[prost(string, tag = "1")]
    content_type: String,
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
}

impl Library {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = http2::Builder::new(TokioExecutor::new());
                // An error ends the connection, which the gateway opens again.
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(serve)));
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Body = WithTrailers<Full<Bytes>, std::future::Ready<Option<Result<HeaderMap, Infallible>>>>;

async fn serve(request: Request<Incoming>) -> hyper::Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let message = body.get(HEADER_BYTES..).unwrap_or_default();
    Ok(match answer(&path, message) {
        Some(messages) => respond(&messages, "0"),
        None => respond(&[], INVALID_ARGUMENT),
    })
}

/// Returns the messages of a response; `None` for a request without what is REQUIRED.
fn answer(path: &str, request: &[u8]) -> Option<Vec<Vec<u8>>> {
    Some(match path.rsplit('/').next().unwrap_or_default() {
        "Echo" => vec![request.to_vec()],
        "WatchShelf" => vec![Vec::new(); 2],
        "CreateBook" => {
            CreateBook::decode(request).ok()?.book?;
            let book = Some(emma());
            vec![Created { book }.encode_to_vec()]
        }
        "GetBook" | "UpdateBook" => vec![emma().encode_to_vec()],
        "GetScan" => {
            let body = HttpBody {
                content_type: "text/plain".to_owned(),
                data: b"scan".to_vec(),
            };
            vec![body.encode_to_vec()]
        }
        _ => vec![Vec::new()],
    })
}

fn emma() -> Book {
    Book {
        name: "shelves/1/books/2".to_owned(),
        title: "Emma".to_owned(),
        isbn: "9780141439587".to_owned(),
    }
}

fn respond(messages: &[Vec<u8>], status: &'static str) -> Response<Body> {
    let mut frames = BytesMut::new();
    for message in messages {
        frames.put_u8(0);
        frames.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        frames.extend_from_slice(message);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    let trailers = std::future::ready(Some(Ok(trailers)));
    let mut response = Response::new(Full::new(frames.freeze()).with_trailers(trailers));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", grpc);
    response
}
