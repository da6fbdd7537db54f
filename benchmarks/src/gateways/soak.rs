//! All protocols at once, for a long time: responses stay correct, and nothing leaks or panics.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures::StreamExt;
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::ask::Ask;
use super::figure::{Figure, Soak};
use super::load::{self, Answer, Sender};
use super::peer::{Peer, Running, gateway_command};
use super::process::{Process, Processors, free_address};
use super::upstream::{CREATE_ORDER, STREAM_ORDERS, Upstream, order_frame};
use crate::corpus::ORDER;
use crate::measure::rounded;

const CASE: &str = "soak";

/// Orders of a stream.
const ORDERS: u8 = 100;

/// Requests of a client on one connection.
const ASKED: usize = 20;

/// Pause between two connections of one kind: closed ones occupy ports for a minute.
const PAUSE: Duration = Duration::from_millis(50);

/// Longest connection before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pause between two samples of the process.
const LOOK: Duration = Duration::from_secs(1);

/// Time for clean-up after the last client.
const SETTLE: Duration = Duration::from_secs(10);

/// Repeated behaviour of one kind of client.
struct Visit {
    name: &'static str,
    habit: Habit,
    count: AtomicU64,
}

enum Habit {
    /// Sends some requests on one connection and checks each response.
    Ask(Ask, Expected),
    /// Aborts after the first bytes of a long response.
    Leave(Ask),
    /// Sends malformed requests and expects a rejection.
    Babble(&'static [u8]),
    /// Reads a stream over a WebSocket.
    WebSocket(Ask),
}

/// Expectation of the first response; all others must equal the first.
struct Expected {
    status: StatusCode,
    /// Text in the body, and how often.
    part: Bytes,
    times: usize,
    /// Text of success in the body, for protocols that have the status there.
    end: &'static [u8],
}

/// Runs all clients for so long.
pub(super) async fn measure(
    program: &Path,
    upstream: &Upstream,
    processors: &Processors,
    time: Duration,
) -> Result<Figure> {
    let files = tempfile::tempdir()?;
    let log = files.path().join("gateway.log");
    let address = free_address()?;
    let mut command = gateway_command(program, address, upstream.address);
    command.stderr(File::create(&log).context("cannot create the gateway's log")?);
    let process = processors.on_measured(|| Process::start(&mut command))?;
    processors.stay_on_load();
    let mut gateway = Running { process, address };
    gateway.wait().await?;
    let files_before = gateway.process.open_files()?;

    let visits = visits()?;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut visitors = JoinSet::new();
    for visit in &visits {
        visitors.spawn(keep_visiting(visit.clone(), address, is_over.clone()));
    }
    let begun = Instant::now();
    let watched = watch(&mut gateway, visitors, time, &is_over).await;
    let log = fs::read_to_string(&log)?;
    let (first, last) = watched.with_context(|| format!("the gateway's log: {log}"))?;
    let seconds = begun.elapsed().as_secs_f64();
    sleep(SETTLE).await;
    let count = |visit: &Arc<Visit>| (visit.name, visit.count.load(Relaxed));
    Ok(Figure::Soak(Soak {
        case: CASE,
        peer: Peer::Protomesh,
        seconds: rounded(seconds, 0),
        requests: BTreeMap::from_iter(visits.iter().map(count)),
        panics: log.matches("panicked at").count(),
        rss_mb: rounded(last as f64 / 1e6, 1),
        growth_mb: rounded((last as f64 - first as f64) / 1e6, 2),
        files_left: gateway.process.open_files()?.saturating_sub(files_before),
    }))
}

/// Waits until the last client has gone; returns the most resident memory of the first and the last
/// fifth.
async fn watch(
    gateway: &mut Running,
    mut visitors: JoinSet<Result<()>>,
    time: Duration,
    is_over: &AtomicBool,
) -> Result<(u64, u64)> {
    let begun = Instant::now();
    let resident = gateway.process.resident_bytes()?;
    let (mut first, mut last) = (resident, resident);
    while begun.elapsed() < time {
        tokio::select! {
            () = sleep(LOOK) => {}
            Some(ended) = visitors.join_next() => ended??,
        }
        gateway.process.check()?;
        let resident = gateway.process.resident_bytes()?;
        if begun.elapsed() < time / 5 {
            first = resident.max(first);
        } else if begun.elapsed() > time * 4 / 5 {
            last = resident.max(last);
        }
    }
    is_over.store(true, Relaxed);
    while let Some(ended) = visitors.join_next().await {
        ended??;
    }
    Ok((first, last))
}

fn visits() -> Result<Vec<Arc<Visit>>> {
    let habits = [rest(), rpc()?, rude()].into_iter().flatten();
    let visits = habits.map(|(name, habit)| {
        Arc::new(Visit {
            name,
            habit,
            count: AtomicU64::new(0),
        })
    });
    Ok(visits.collect())
}

/// Returns the clients of JSON over HTTP.
fn rest() -> Vec<(&'static str, Habit)> {
    let one = |ask| Habit::Ask(ask, Expected::ok(json(), 1));
    let many = |ask| Habit::Ask(ask, Expected::ok(json(), ORDERS.into()));
    let stream = |accept| Ask::orders(ORDERS.into(), false, accept);
    vec![
        ("rest", one(Ask::order())),
        ("rest_http2", one(Ask::order().over_http2())),
        ("json_array", many(stream("application/json"))),
        ("ndjson", many(stream("application/x-ndjson"))),
        ("sse_http2", many(stream("text/event-stream").over_http2())),
        ("websocket", Habit::WebSocket(stream(""))),
    ]
}

/// Returns the clients of gRPC, gRPC-Web and Connect.
fn rpc() -> Result<Vec<(&'static str, Habit)>> {
    let frame = order_frame()?;
    let message = Bytes::copy_from_slice(frame.get(5..).context("an empty order")?);
    let count = [0, 0, 0, 0, 2, 0x08, ORDERS];
    let text = format!("{{\"count\":{ORDERS}}}");
    let envelope = [&[0, 0, 0, 0, text.len() as u8], text.as_bytes()].concat();
    let one = |part| Expected::ok(part, 1);
    let many = |part| Expected::ok(part, ORDERS.into());
    let ask = |path, content_type, body: &[u8]| Ask::rpc(path, content_type, body.to_vec());
    let order = ORDER.json.as_bytes();
    let streamed = ask(STREAM_ORDERS, "application/grpc", &count).over_http2();
    let of_web = ask(CREATE_ORDER, "application/grpc-web+proto", &frame);
    let of_connect = ask(STREAM_ORDERS, "application/connect+json", &envelope);
    Ok(vec![
        ("grpc", Habit::Ask(Ask::grpc()?, one(message.clone()))),
        ("grpc_stream", Habit::Ask(streamed, many(message.clone()))),
        (
            "grpc_web",
            Habit::Ask(of_web, one(message).ending(b"grpc-status: 0\r\n")),
        ),
        (
            "connect",
            Habit::Ask(ask(CREATE_ORDER, "application/json", order), one(json())),
        ),
        (
            "connect_stream",
            Habit::Ask(of_connect, many(json()).ending(b"\x02\0\0\0\x02{}")),
        ),
    ])
}

/// Returns the clients that abort or send malformed requests.
fn rude() -> Vec<(&'static str, Habit)> {
    let refused = |ask, status, part: &'static str| {
        let expected = Expected::ok(Bytes::from_static(part.as_bytes()), 1);
        Habit::Ask(ask, Expected { status, ..expected })
    };
    let endless = Ask::orders(1_000_000, true, "application/x-ndjson");
    let wrong = Ask::order().with_body("{\"lines\":[{\"quantity\":\"x\"}]}");
    let field = "\"field\":\"lines[0].quantity\"";
    let mut lost = Ask::order();
    lost.path = "/v1/lost".to_owned();
    vec![
        ("left", Habit::Leave(endless)),
        ("refused", refused(wrong, StatusCode::BAD_REQUEST, field)),
        ("lost", refused(lost, StatusCode::NOT_FOUND, "no route")),
        (
            "babble",
            Habit::Babble(b"GET / HTTP/1.1\r\nno header\r\n\r\n"),
        ),
    ]
}

fn json() -> Bytes {
    Bytes::from_static(ORDER.json.trim_end().as_bytes())
}

async fn keep_visiting(
    visit: Arc<Visit>,
    gateway: SocketAddr,
    is_over: Arc<AtomicBool>,
) -> Result<()> {
    let mut first = None;
    while !is_over.load(Relaxed) {
        let visited = timeout(PATIENCE, visit.once(gateway, &mut first)).await;
        visited
            .context("it hangs")
            .and_then(|visited| visited)
            .with_context(|| format!("`{}` went wrong", visit.name))?;
        sleep(PAUSE).await;
    }
    Ok(())
}

// === impl Visit ===

impl Visit {
    /// Runs one connection; `first` is the first response.
    async fn once(&self, gateway: SocketAddr, first: &mut Option<Answer>) -> Result<()> {
        match &self.habit {
            Habit::Ask(ask, expected) => {
                let mut sender = Sender::open(gateway, ask).await?;
                for _ in 0..ASKED {
                    let answer = sender.ask(gateway, ask).await?;
                    match first {
                        None => expected.check(ask, &answer)?,
                        Some(first) => ensure!(*first == answer, "another answer: {answer:?}"),
                    }
                    first.get_or_insert(answer);
                    self.count.fetch_add(1, Relaxed);
                }
                return Ok(());
            }
            Habit::Leave(ask) => {
                let mut response = load::open(gateway, ask).await?;
                response.body_mut().frame().await.context("no answer")??;
            }
            Habit::Babble(bytes) => {
                let mut stream = TcpStream::connect(gateway).await?;
                stream.write_all(bytes).await?;
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).await?;
                ensure!(answer.starts_with(b"HTTP/1.1 400 "), "it was understood");
            }
            Habit::WebSocket(ask) => {
                let stream = TcpStream::connect(gateway).await?;
                let address = format!("ws://{gateway}{}", ask.path);
                let (mut socket, _) = tokio_tungstenite::client_async(address, stream).await?;
                let (mut seen, mut end) = (0, None);
                while let Some(message) = socket.next().await {
                    match message? {
                        Message::Close(frame) => end = frame.map(|frame| frame.code),
                        message if message.to_text()? == ORDER.json.trim_end() => seen += 1,
                        message => bail!("another message: {message}"),
                    }
                }
                ensure!(seen == usize::from(ORDERS), "{seen} messages");
                ensure!(end == Some(CloseCode::Normal), "ended {end:?}");
            }
        }
        self.count.fetch_add(1, Relaxed);
        Ok(())
    }
}

// === impl Expected ===

impl Expected {
    fn ok(part: Bytes, times: usize) -> Self {
        let status = StatusCode::OK;
        Self {
            status,
            part,
            times,
            end: b"",
        }
    }

    /// Expects this text in the body once.
    fn ending(self, end: &'static [u8]) -> Self {
        Self { end, ..self }
    }

    fn check(&self, ask: &Ask, answer: &Answer) -> Result<()> {
        ensure!(answer.status == self.status, "answered {answer:?}");
        let count = |part: &[u8]| {
            let windows = answer.body.windows(part.len());
            windows.filter(|window| *window == part).count()
        };
        let times = count(&self.part);
        ensure!(
            times == self.times,
            "{times} times what was asked for: {answer:?}"
        );
        ensure!(
            self.end.is_empty() || count(self.end) == 1,
            "ended otherwise: {answer:?}"
        );
        if ask.is_grpc() {
            let status = answer.trailers.get("grpc-status");
            ensure!(
                status.is_some_and(|status| status == "0"),
                "ended {status:?}"
            );
        }
        Ok(())
    }
}
