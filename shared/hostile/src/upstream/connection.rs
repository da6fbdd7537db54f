//! One connection of the server: a reader that follows the requests, and a task for the script of
//! each call.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Call, Credit, PATIENCE, Shared};
use crate::frame::{Frame, PREFACE, code, flag, kind};
use crate::grpc;
use crate::hpack::Decoder;
use crate::script::Step;

/// First byte of the payload of PINGs that [`Step::Sync`] sends; the other seven are a number.
const SYNC: u8 = 0x5c;

/// The part of a connection that scripts use.
struct Writing {
    half: Mutex<Option<OwnedWriteHalf>>,
    /// The number of the last PING that was acknowledged.
    acknowledged: watch::Sender<u64>,
    pings: AtomicU64,
    is_closing: AtomicBool,
    aborted: CancellationToken,
    shared: Arc<Shared>,
}

/// A call whose script has not been chosen, or runs.
struct Stream {
    call: Call,
    is_played: bool,
    ended: watch::Sender<bool>,
}

/// Serves a connection until it ends. Errors are the client's, which may leave when it likes.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let number = shared.connections.fetch_add(1, Ordering::SeqCst);
    let _ = stream.set_nodelay(true);
    let (mut reading, half) = stream.into_split();
    let writing = Arc::new(Writing {
        half: Mutex::new(Some(half)),
        acknowledged: watch::Sender::new(0),
        pings: AtomicU64::new(0),
        is_closing: AtomicBool::new(false),
        aborted: CancellationToken::new(),
        shared,
    });
    let aborted = writing.aborted.clone();
    tokio::select! {
        _ = read(&mut reading, &writing, number) => {}
        () = aborted.cancelled() => abort(reading, &writing).await,
    }
}

async fn abort(reading: OwnedReadHalf, writing: &Writing) {
    let half = writing.half.lock().await.take();
    if let Some(Ok(stream)) = half.map(|half| reading.reunite(half)) {
        // Closing then sends RST.
        let _ = stream.set_zero_linger();
    }
}

async fn read(
    reading: &mut OwnedReadHalf,
    writing: &Arc<Writing>,
    number: usize,
) -> io::Result<()> {
    reading.read_exact(&mut [0; PREFACE.len()]).await?;
    let greetings = &writing.shared.options.greetings;
    let greeting = greetings.get(number).or(greetings.last());
    let mut scripts = JoinSet::new();
    if let Some(greeting) = greeting.cloned() {
        let writing = writing.clone();
        let (_, ended) = watch::channel(true);
        scripts.spawn(async move { writing.play(greeting, 0, ended).await });
    }
    let mut streams = HashMap::new();
    let mut decoder = Decoder::default();
    loop {
        let mut frame = Frame::read(reading).await?;
        while frame.kind == kind::HEADERS && !frame.has(flag::END_HEADERS) {
            let next = Frame::read(reading).await?;
            frame.payload.extend(&next.payload);
            frame.flags |= next.flags & flag::END_HEADERS;
        }
        match frame.kind {
            kind::SETTINGS if !frame.has(flag::ACK) => {
                let settings = grpc::on_connection(kind::SETTINGS, flag::ACK, Vec::new());
                writing.step(&settings, 0).await?;
            }
            kind::PING if frame.has(flag::ACK) && frame.payload.first() == Some(&SYNC) => {
                let number = u64::from(frame.number(4));
                writing.acknowledged.send_replace(number);
            }
            kind::PING if !frame.has(flag::ACK) => {
                let pong = grpc::on_connection(kind::PING, flag::ACK, frame.payload);
                writing.step(&pong, 0).await?;
            }
            kind::HEADERS => {
                let fields = decoder.decode(frame.content());
                let fields = fields.ok_or(io::ErrorKind::InvalidData)?;
                let stream = Stream::new(fields, &frame, &writing.shared);
                streams.insert(frame.stream, stream);
            }
            kind::DATA => {
                writing.grant(&frame).await?;
                if let Some(stream) = streams.get_mut(&frame.stream) {
                    stream.call.body.extend(frame.content());
                    stream.call.is_ended |= frame.has(flag::END_STREAM);
                }
            }
            kind::RST_STREAM => drop(streams.remove(&frame.stream)),
            _ => continue,
        }
        if let Some(stream) = streams.get_mut(&frame.stream) {
            stream.go_on(writing, &mut scripts);
        }
        while scripts.try_join_next().is_some() {}
    }
}

impl Stream {
    fn new(headers: Vec<crate::Field>, frame: &Frame, shared: &Shared) -> Self {
        let is_ended = frame.has(flag::END_STREAM);
        let path = headers.iter().find(|(name, _)| name == b":path");
        let path = path.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        Self {
            call: Call {
                number: shared.arrivals.fetch_add(1, Ordering::SeqCst),
                stream: frame.stream,
                path: path.unwrap_or_default(),
                headers,
                body: Vec::new(),
                is_ended,
                is_ended_by_headers: is_ended,
            },
            is_played: false,
            ended: watch::Sender::new(false),
        }
    }

    fn go_on(&mut self, writing: &Arc<Writing>, scripts: &mut JoinSet<()>) {
        self.ended.send_replace(self.call.is_ended);
        if self.is_played {
            return;
        }
        let script = match (writing.shared.play)(&self.call) {
            Some(script) => script,
            None if self.call.is_ended => vec![grpc::reset(code::INTERNAL_ERROR)],
            None => return,
        };
        self.is_played = true;
        let (writing, id, ended) = (writing.clone(), self.call.stream, self.ended.subscribe());
        scripts.spawn(async move { writing.play(script, id, ended).await });
    }
}

impl Writing {
    async fn play(&self, script: Vec<Step>, call: u32, mut ended: watch::Receiver<bool>) {
        let played = tokio::time::timeout(PATIENCE, async {
            for step in &script {
                if let Step::AwaitEnd = step {
                    let wait = ended.wait_for(|is_ended| *is_ended).await;
                    wait.map_err(|_| io::ErrorKind::ConnectionAborted)?;
                } else {
                    self.step(step, call).await?;
                }
            }
            Ok::<_, io::Error>(())
        });
        if played.await.is_err() {
            self.aborted.cancel();
        }
    }

    async fn step(&self, step: &Step, call: u32) -> io::Result<()> {
        if let Some(bytes) = step.bytes(call) {
            return self.write(&bytes).await;
        }
        match step {
            Step::Repeat(times, script) => {
                for _ in 0..*times {
                    for step in script {
                        Box::pin(self.step(step, call)).await?;
                    }
                }
            }
            Step::Sync => self.sync().await?,
            Step::Hold => self.hold().await,
            Step::Close => {
                self.is_closing.store(true, Ordering::SeqCst);
                if let Some(half) = &mut *self.half.lock().await {
                    half.shutdown().await?;
                }
            }
            Step::Abort => self.aborted.cancel(),
            Step::AwaitEnd | Step::Bytes(_) | Step::Frame { .. } | Step::GoAway { .. } => {}
        }
        Ok(())
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        if self.is_closing.load(Ordering::SeqCst) {
            return Ok(());
        }
        match &mut *self.half.lock().await {
            Some(half) => half.write_all(bytes).await,
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    async fn sync(&self) -> io::Result<()> {
        let number = self.pings.fetch_add(1, Ordering::SeqCst) + 1;
        let mut acknowledged = self.acknowledged.subscribe();
        let mut payload = number.to_be_bytes();
        payload[0] = SYNC;
        let ping = grpc::on_connection(kind::PING, 0, payload.to_vec());
        Box::pin(self.step(&ping, 0)).await?;
        let wait = acknowledged.wait_for(|last| *last >= number).await;
        wait.map_err(|_| io::ErrorKind::ConnectionAborted)?;
        Ok(())
    }

    async fn hold(&self) {
        let shared = &self.shared;
        let mut is_open = shared.is_open.subscribe();
        shared.holding.send_modify(|holding| *holding += 1);
        let _ = is_open.wait_for(|is_open| *is_open).await;
        shared.holding.send_modify(|holding| *holding -= 1);
    }

    async fn grant(&self, frame: &Frame) -> io::Result<()> {
        let bytes = u32::try_from(frame.payload.len()).unwrap_or_default();
        if bytes == 0 {
            return Ok(());
        }
        let on = match self.shared.options.credit {
            Credit::None => return Ok(()),
            Credit::ConnectionOnly => [0].as_slice(),
            Credit::All => &[0, frame.stream],
        };
        for stream in on {
            let update = Frame {
                kind: kind::WINDOW_UPDATE,
                flags: 0,
                stream: *stream,
                payload: bytes.to_be_bytes().to_vec(),
            };
            self.write(&update.encode()).await?;
        }
        Ok(())
    }
}
