//! The use that a consumer makes of services, recorded between them on the wire.

use std::net::Ipv4Addr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Waker, Poll, ready};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use expectations::{Contract, Expectations, Recording};
use http::{HeaderMap, Request, Response, Uri, header};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Set to `1`, the files of expectations are written in place of being compared with.
const RECORD: &str = "MESH_RECORD";
/// The largest message that is recorded, in bytes; larger ones pass.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// Bytes before a gRPC message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// Responses are to be readable.
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

type Forward = Client<HttpConnector, Tapped>;

/// Records the calls of one consumer, which it passes on; dropping it ends them.
#[derive(Debug)]
pub struct Recorder {
    book: Arc<Book>,
    listeners: JoinSet<()>,
}

/// The expectations so far.
#[derive(Debug)]
struct Book {
    contract: Contract,
    recorded: Mutex<Expectations>,
}

// === impl Recorder ===

impl Recorder {
    /// Creates a recorder of calls to the services of a contract, an encoded `FileDescriptorSet`.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn new(consumer: &str, descriptor_set: &[u8]) -> Result<Self> {
        let contract = Contract::load(descriptor_set)?;
        let recorded = Mutex::new(Recording::new(consumer, &contract).expectations());
        Ok(Self {
            book: Arc::new(Book { contract, recorded }),
            listeners: JoinSet::new(),
        })
    }

    /// Returns a URL that leads to the service at `url`, `http://HOST:PORT`, past the recorder.
    ///
    /// # Errors
    /// When the URL has TLS, which can't be read on the way, or there is no free port.
    pub async fn before(&mut self, url: &str) -> Result<String> {
        let authority = url.strip_prefix("http://");
        let authority =
            authority.with_context(|| format!("expected http://HOST:PORT, got {url}"))?;
        let authority = authority.to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let book = Arc::clone(&self.book);
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build_http();
        self.listeners.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(
                    stream,
                    client.clone(),
                    authority.clone(),
                    Arc::clone(&book),
                ));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(format!("http://{address}"))
    }

    /// Returns what was used so far.
    pub fn expectations(&self) -> Expectations {
        let recorded = self.book.recorded.lock();
        recorded.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Compares the record with a file of expectations, which has to have all of it. With
    /// `MESH_RECORD=1` in the environment the file is written instead; its `ignores` and `events`
    /// are kept.
    ///
    /// # Errors
    /// When the file lacks something, which the error lists, or can't be read or written.
    #[allow(
        clippy::disallowed_methods,
        reason = "a switch of tests, which have no configuration"
    )]
    pub fn compare(&self, file: &Path) -> Result<()> {
        let recorded = self.expectations();
        let text = std::fs::read_to_string(file).ok();
        let known = text.as_deref().map(Expectations::parse).transpose();
        let mut known = known
            .with_context(|| format!("cannot read {}", file.display()))?
            .unwrap_or_default();
        if std::env::var(RECORD).as_deref() == Ok("1") {
            known.consumer.clone_from(&recorded.consumer);
            known.merge(recorded);
            return std::fs::write(file, known.text()?)
                .with_context(|| format!("cannot write {}", file.display()));
        }
        let beyond = recorded.beyond(&known);
        ensure!(
            beyond.is_empty(),
            "{} lacks what {} uses; run the test with {RECORD}=1 to write it:\n{}",
            file.display(),
            recorded.consumer,
            beyond.join("\n")
        );
        Ok(())
    }
}

// === impl Book ===

impl Book {
    fn write(&self, work: impl FnOnce(&mut Recording<'_>)) {
        let mut recording = Recording::new("", &self.contract);
        work(&mut recording);
        let recorded = self.recorded.lock();
        let mut recorded = recorded.unwrap_or_else(PoisonError::into_inner);
        recorded.merge(recording.expectations());
    }

    fn reason(&self, method: &str, headers: &HeaderMap) {
        let status = tonic::Status::from_header_map(headers);
        if let Some(reason) = status.and_then(|status| rpc::error::reason(&status)) {
            self.write(|recording| recording.reason(method, &reason));
        }
    }
}

async fn serve(stream: TcpStream, client: Forward, authority: String, book: Arc<Book>) {
    let service = service_fn(|request| {
        let (client, authority) = (client.clone(), authority.clone());
        forward(request, client, authority, Arc::clone(&book))
    });
    let builder = http2::Builder::new(TokioExecutor::new());
    // The end of a connection is no news: the consumer sees it too.
    let _ = builder
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn forward(
    request: Request<Incoming>,
    client: Forward,
    authority: String,
    book: Arc<Book>,
) -> Result<Response<Tapped>, anyhow::Error> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let method = path.trim_start_matches('/').to_owned();
    head.uri = Uri::builder()
        .scheme("http")
        .authority(authority)
        .path_and_query(path)
        .build()?;
    head.headers.remove(ACCEPT_ENCODING);
    head.headers.remove(header::HOST);
    let sent = Tapped::new(body, &method, &book, Side::Request);
    let response = client.request(Request::from_parts(head, sent)).await?;
    book.reason(&method, response.headers());
    Ok(response.map(|body| Tapped::new(body, &method, &book, Side::Response)))
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Request,
    Response,
}

/// A body whose messages are recorded before they pass.
struct Tapped {
    body: Incoming,
    method: String,
    book: Arc<Book>,
    side: Side,
    /// The begun message; `None` after one that is not recorded.
    begun: Option<Vec<u8>>,
}

// === impl Tapped ===

impl Tapped {
    fn new(body: Incoming, method: &str, book: &Arc<Book>, side: Side) -> Self {
        Self {
            body,
            method: method.to_owned(),
            book: Arc::clone(book),
            side,
            begun: Some(Vec::new()),
        }
    }

    fn record(&mut self, data: &[u8]) {
        let Some(mut begun) = self.begun.take() else {
            return;
        };
        begun.extend_from_slice(data);
        let mut rest = begun.as_slice();
        while let Some((flag, length, content)) = prefix(rest) {
            if length > MAX_MESSAGE {
                return;
            }
            let Some((message, further)) = content.split_at_checked(length) else {
                break;
            };
            if flag == 0 {
                let method = self.method.as_str();
                self.book.write(|recording| match self.side {
                    Side::Request => recording.request(method, message),
                    Side::Response => recording.response(method, message),
                });
            }
            rest = further;
        }
        self.begun = Some(rest.to_vec());
    }
}

/// Returns flag and length before a message, and what follows.
fn prefix(bytes: &[u8]) -> Option<(u8, usize, &[u8])> {
    let (prefix, rest) = bytes.split_at_checked(PREFIX)?;
    let [flag, length @ ..]: [u8; PREFIX] = prefix.try_into().ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    Some((flag, length, rest))
}

impl Body for Tapped {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        waker: &mut Waker<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(waker));
        if let Some(Ok(frame)) = &frame {
            if let Some(data) = frame.data_ref() {
                self.record(data);
            }
            if let Some(trailers) = frame.trailers_ref() {
                self.book.reason(&self.method, trailers);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}
