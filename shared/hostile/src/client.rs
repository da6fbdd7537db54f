//! The scripted client: plays steps on one connection and records what comes back.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::frame::{Frame, PREFACE, flag, kind};
use crate::grpc;
use crate::hpack::Decoder;
use crate::script::Step;

/// Bound of every wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes that are recorded of a connection that does not speak HTTP/2.
const TEXT_MAX: usize = 1 << 20;

/// The frames received so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Stream and `:status` of each response head.
    pub statuses: Vec<(u32, String)>,
    /// Stream and `grpc-status`, wherever it stood.
    pub codes: Vec<(u32, String)>,
    /// Streams that ended in order.
    pub ended: Vec<u32>,
    /// Stream and code of each RST_STREAM.
    pub resets: Vec<(u32, u32)>,
    /// The code of the last GOAWAY.
    pub go_away: Option<u32>,
    /// PINGs that were acknowledged.
    pub pongs: usize,
    /// Bytes in DATA frames.
    pub data_bytes: usize,
    /// Whether the peer has closed the connection.
    pub is_closed: bool,
    /// All bytes of a connection that does not speak HTTP/2.
    pub text: Vec<u8>,
}

/// One connection; it closes when it is dropped.
pub struct Client {
    half: OwnedWriteHalf,
    seen: watch::Receiver<Seen>,
    _reader: AbortOnDropHandle<()>,
}

impl Client {
    /// Opens a connection and writes the preface of HTTP/2 and SETTINGS with these parameters.
    ///
    /// SETTINGS and PING of the peer are not acknowledged, and no window is opened, unless the
    /// script does.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn http2(address: SocketAddr, settings: &[(u16, u32)]) -> io::Result<Self> {
        let mut client = Self::open(address, true).await?;
        let mut bytes = PREFACE.to_vec();
        bytes.extend(grpc::settings(settings).bytes(0).unwrap_or_default());
        client.half.write_all(&bytes).await?;
        Ok(client)
    }

    /// Opens a connection that does not say anything by itself, and records bytes.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn bytes(address: SocketAddr) -> io::Result<Self> {
        Self::open(address, false).await
    }

    /// Opens a connection that never reads, and so fills every buffer on the way.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn deaf(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (reading, half) = stream.into_split();
        let (sender, seen) = watch::channel(Seen::default());
        let reader = tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop((reading, sender));
        });
        Ok(Self {
            half,
            seen,
            _reader: AbortOnDropHandle::new(reader),
        })
    }

    async fn open(address: SocketAddr, is_http2: bool) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut reading, half) = stream.into_split();
        let (sender, seen) = watch::channel(Seen::default());
        let reader = tokio::spawn(async move {
            // Whatever ends the reading ends the connection.
            let _ = match is_http2 {
                true => read_frames(&mut reading, &sender).await,
                false => read_bytes(&mut reading, &sender).await,
            };
            sender.send_modify(|seen| seen.is_closed = true);
        });
        Ok(Self {
            half,
            seen,
            _reader: AbortOnDropHandle::new(reader),
        })
    }

    /// Plays the steps, of which [`crate::On::Call`] is this stream.
    ///
    /// # Errors
    /// The peer has closed the connection, or does not read: a script that a server cuts short is
    /// no surprise.
    pub async fn play(&mut self, script: &[Step], call: u32) -> io::Result<()> {
        let played = tokio::time::timeout(PATIENCE, async {
            for step in script {
                self.step(step, call).await?;
            }
            Ok(())
        });
        played
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn step(&mut self, step: &Step, call: u32) -> io::Result<()> {
        if let Some(bytes) = step.bytes(call) {
            return self.half.write_all(&bytes).await;
        }
        match step {
            Step::Repeat(times, script) => {
                for _ in 0..*times {
                    for step in script {
                        Box::pin(self.step(step, call)).await?;
                    }
                }
            }
            Step::Sync => {
                let pongs = self.seen.borrow().pongs;
                let ping = grpc::ping().bytes(0).unwrap_or_default();
                self.half.write_all(&ping).await?;
                let waited = self
                    .until(|seen| seen.pongs > pongs || seen.is_closed)
                    .await;
                if waited.is_none_or(|seen| seen.is_closed) {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
            Step::Close | Step::Abort => self.half.shutdown().await?,
            Step::AwaitEnd => {
                self.until(|seen| seen.is_over(call)).await;
            }
            Step::Hold | Step::Bytes(_) | Step::Frame { .. } | Step::GoAway { .. } => {}
        }
        Ok(())
    }

    /// Waits until `check` is true, or returns `None` after 20 s.
    pub async fn until(&mut self, check: impl FnMut(&Seen) -> bool) -> Option<Seen> {
        let wait = self.seen.wait_for(check);
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.ok()?.ok().map(|seen| seen.clone())
    }

    /// Returns what has come back so far.
    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }
}

impl Seen {
    /// Returns whether nothing more can come for this stream.
    pub fn is_over(&self, stream: u32) -> bool {
        self.is_closed
            || self.ended.contains(&stream)
            || self.resets.iter().any(|(reset, _)| *reset == stream)
    }

    /// Returns the recorded bytes as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    fn head(&mut self, stream: u32, fields: Vec<crate::Field>) {
        for (name, value) in fields {
            let value = String::from_utf8_lossy(&value).into_owned();
            match &name[..] {
                b":status" => self.statuses.push((stream, value)),
                b"grpc-status" => self.codes.push((stream, value)),
                _ => {}
            }
        }
    }
}

async fn read_frames(reading: &mut OwnedReadHalf, seen: &watch::Sender<Seen>) -> io::Result<()> {
    let mut decoder = Decoder::default();
    loop {
        let mut frame = Frame::read(reading).await?;
        while frame.kind == kind::HEADERS && !frame.has(flag::END_HEADERS) {
            let next = Frame::read(reading).await?;
            frame.payload.extend(&next.payload);
            frame.flags |= next.flags & flag::END_HEADERS;
        }
        let fields = match frame.kind {
            kind::HEADERS => decoder.decode(frame.content()),
            _ => None,
        };
        seen.send_modify(|seen| {
            match frame.kind {
                kind::HEADERS => seen.head(frame.stream, fields.unwrap_or_default()),
                kind::DATA => seen.data_bytes += frame.payload.len(),
                kind::RST_STREAM => seen.resets.push((frame.stream, frame.number(0))),
                kind::GOAWAY => seen.go_away = Some(frame.number(4)),
                kind::PING if frame.has(flag::ACK) => seen.pongs += 1,
                _ => {}
            }
            let may_end = matches!(frame.kind, kind::HEADERS | kind::DATA);
            if may_end && frame.has(flag::END_STREAM) {
                seen.ended.push(frame.stream);
            }
        });
    }
}

async fn read_bytes(reading: &mut OwnedReadHalf, seen: &watch::Sender<Seen>) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 14];
    loop {
        let count = reading.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        seen.send_modify(|seen| {
            let free = TEXT_MAX.saturating_sub(seen.text.len());
            seen.text.extend(&buffer[..count.min(free)]);
        });
    }
}
