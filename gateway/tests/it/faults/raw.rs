//! An upstream that writes frames of HTTP/2 as a script has them, right or wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// The steps of the server for a request.
pub(crate) enum Step {
    /// Writes these bytes.
    Write(Vec<u8>),
    /// Writes these bytes one by one, this long apart.
    Drip(Vec<u8>, Duration),
    /// Takes its time.
    Wait(Duration),
    /// Closes the connection.
    Close,
}

/// Steps by the number of the request, from 0, and its stream.
pub(crate) type Script = fn(usize, u32) -> Vec<Step>;

/// The behaviour of the server on a connection.
#[derive(Clone)]
pub(crate) enum Listens {
    /// Speaks HTTP/2.
    Plain,
    /// Speaks it over TLS.
    Tls(TlsAcceptor),
    /// Accepts connections and does nothing.
    Hangs,
}

/// A server that runs until it is dropped.
pub(crate) struct Raw {
    pub(crate) address: SocketAddr,
    arrivals: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<()>,
}

impl Raw {
    pub(crate) async fn start(listens: Listens, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let arrivals = Arc::new(AtomicUsize::new(0));
        let counted = arrivals.clone();
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let counted = counted.clone();
                match listens.clone() {
                    Listens::Hangs => held.push(stream),
                    Listens::Plain => drop(tokio::spawn(serve(stream, counted, script))),
                    Listens::Tls(acceptor) => drop(tokio::spawn(async move {
                        // A client that does not trust us is what some tests are about.
                        if let Ok(stream) = acceptor.accept(stream).await {
                            serve(stream, counted, script).await;
                        }
                    })),
                }
            }
        });
        Self {
            address,
            arrivals,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// How many requests have arrived.
    pub(crate) fn arrivals(&self) -> usize {
        self.arrivals.load(Ordering::SeqCst)
    }
}

const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A message with `text = "ok"`, framed.
pub(crate) const MESSAGE: &[u8] = b"\0\0\0\0\x04\x0a\x02ok";

async fn serve<T>(mut stream: T, arrivals: Arc<AtomicUsize>, script: Script)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    // Any error is the client's, who may go away when it likes.
    let _ = converse(&mut stream, &arrivals, script).await;
}

async fn converse<T>(stream: &mut T, arrivals: &AtomicUsize, script: Script) -> std::io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    stream.read_exact(&mut [0; PREFACE_BYTES]).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    loop {
        let mut head = [0; HEAD_BYTES];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        let id = u32::from_be_bytes(id);
        match kind {
            SETTINGS | PING if flags & ACK == 0 => {
                let echo = if kind == PING { &payload[..] } else { &[] };
                stream.write_all(&frame(kind, ACK, 0, echo)).await?;
            }
            HEADERS => {
                let number = arrivals.fetch_add(1, Ordering::SeqCst);
                for step in script(number, id) {
                    match step {
                        Step::Write(bytes) => stream.write_all(&bytes).await?,
                        Step::Wait(time) => tokio::time::sleep(time).await,
                        Step::Close => {
                            // Unread bytes would reset the connection, which can overtake written
                            // ones.
                            stream.shutdown().await?;
                            stream.read_to_end(&mut Vec::new()).await?;
                            return Ok(());
                        }
                        Step::Drip(bytes, pause) => {
                            for byte in bytes {
                                stream.write_all(&[byte]).await?;
                                stream.flush().await?;
                                tokio::time::sleep(pause).await;
                            }
                        }
                    }
                    stream.flush().await?;
                }
            }
            _ => {}
        }
    }
}

/// A frame (RFC 9113 §4.1).
pub(crate) fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(id.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Response headers with a status out of the static table of HPACK, or trailers without one.
pub(crate) fn headers(id: u32, status: Option<u8>, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, id, &block(status, fields))
}

/// [`headers`] that are the last frame of the stream.
pub(crate) fn last_headers(id: u32, status: Option<u8>, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        id,
        &block(status, fields),
    )
}

/// `:status: 200`, and 503 beside it, which the static table lacks.
pub(crate) const OK: Option<u8> = Some(0x88);

fn block(status: Option<u8>, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block: Vec<u8> = status.into_iter().collect();
    for (name, value) in fields {
        // Literal without indexing, new name (RFC 7541 §6.2.2).
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}

pub(crate) fn data(id: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, 0, id, bytes)
}

pub(crate) fn last_data(id: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, END_STREAM, id, bytes)
}

pub(crate) fn reset(id: u32, reason: h2::Reason) -> Vec<u8> {
    frame(RST_STREAM, 0, id, &u32::from(reason).to_be_bytes())
}

pub(crate) fn go_away(last: u32) -> Vec<u8> {
    let no_error = 0u32;
    frame(
        GOAWAY,
        0,
        0,
        &[last.to_be_bytes(), no_error.to_be_bytes()].concat(),
    )
}

/// Headers of a gRPC response that goes on.
pub(crate) fn grpc(id: u32) -> Vec<u8> {
    headers(id, OK, &[("content-type", "application/grpc")])
}

/// A whole good answer.
pub(crate) fn answer(id: u32) -> Vec<u8> {
    let status = [("grpc-status", "0")];
    [grpc(id), data(id, MESSAGE), last_headers(id, None, &status)].concat()
}
