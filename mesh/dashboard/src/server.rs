//! Serves the page and what it asks for.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::desk::{DeskError, Desks};
use crate::facts::Broker;
use crate::fetch::Fetch;
use crate::guard::Guard;
use crate::live::{self, Sources, Topic};
use crate::logs::LogFilter;
use crate::metrics::Gauges;
use crate::pages;
use crate::processes::ProcessRow;
use crate::respond::{self, PageBody, json, refuse};
use crate::traces::{self, Search, TraceStore};

/// Most connections, and most streams of events, at a time.
const MAX_CONNECTIONS: usize = 128;
const MAX_STREAMS: usize = 32;
/// Longest wait for the head of a request, and between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for the body of a request, and its largest size in bytes.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BODY: usize = 64 * 1024;

/// The parts of a mesh that the dashboard reads.
#[derive(Debug)]
pub struct Inputs {
    /// The processes, in the order to show them.
    pub processes: watch::Receiver<Vec<ProcessRow>>,
    /// Directory of their logs, `NAME.log`.
    pub logs: PathBuf,
    /// The gateway, which leads to the operators' desks.
    pub gateway: Option<SocketAddr>,
    /// The token of an operator, which buttons need.
    pub operator_token: String,
    /// File that holds the token, for people to look it up.
    pub operator_file: PathBuf,
    /// URL of the broker, with a user who may read every stream.
    pub broker_url: Option<String>,
}

/// Source of traces.
#[derive(Debug)]
pub enum TraceSource {
    /// OTLP/gRPC is received here.
    Receive(TcpListener),
    /// The processes send their traces to this collector.
    Elsewhere(String),
}

/// A running dashboard; dropping it stops it.
#[derive(Debug)]
pub struct Dashboard {
    _tasks: JoinSet<()>,
}

/// The state that all requests share.
struct Site {
    guard: Guard,
    sources: Arc<Sources>,
    desks: Desks,
    gauges: Gauges,
    traces: Arc<TraceStore>,
    collector: Option<String>,
    operator_file: PathBuf,
    streams: Arc<Semaphore>,
}

// === impl Dashboard ===

impl Dashboard {
    /// Starts to serve the page on `listener`. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the address of `listener` is unknown.
    pub fn start(inputs: Inputs, listener: TcpListener, traces: TraceSource) -> io::Result<Self> {
        let mut tasks = JoinSet::new();
        let store = Arc::new(TraceStore::default());
        let collector = match traces {
            TraceSource::Receive(receiver) => {
                tasks.spawn(traces::serve(receiver, Arc::clone(&store)));
                None
            }
            TraceSource::Elsewhere(url) => Some(url),
        };
        let fetch = Fetch::new();
        let processes = inputs.processes.clone();
        let site = Arc::new(Site {
            guard: Guard::new(listener.local_addr()?, inputs.operator_token.clone()),
            sources: Arc::new(Sources {
                processes: inputs.processes,
                logs: inputs.logs,
                broker: Broker::new(inputs.broker_url),
            }),
            desks: Desks {
                gateway: inputs.gateway,
                token: inputs.operator_token,
                fetch: fetch.clone(),
            },
            gauges: Gauges::default(),
            traces: store,
            collector,
            operator_file: inputs.operator_file,
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        });
        let read = Arc::clone(&site);
        tasks.spawn(async move { read.gauges.keep_reading(&processes, &fetch).await });
        tasks.spawn(serve(listener, site));
        Ok(Self { _tasks: tasks })
    }
}

async fn serve(listener: TcpListener, site: Arc<Site>) {
    respond::each_connection(listener, MAX_CONNECTIONS, |stream| {
        let site = Arc::clone(&site);
        async move {
            let answer = service_fn(move |request| {
                let site = Arc::clone(&site);
                async move { Ok::<_, Infallible>(site.answer(request).await) }
            });
            let mut server = http1::Builder::new();
            server
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT);
            // A reader that breaks off asks again.
            let _ = server.serve_connection(TokioIo::new(stream), answer).await;
        }
    })
    .await;
}

// === impl Site ===

impl Site {
    async fn answer(&self, request: Request<Incoming>) -> Response<PageBody> {
        let (head, body) = request.into_parts();
        if let Err(refusal) = self.guard.check(&head) {
            return refuse(refusal.0, &refusal.1);
        }
        let path = head.uri.path();
        if head.method == Method::GET {
            let query = head.uri.query().unwrap_or_default();
            return match pages::file(path) {
                Some(file) => file,
                None => self.read(path, query).await,
            };
        }
        if head.method != Method::POST {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "use GET or POST");
        }
        if let Err(refusal) = self.guard.check_operator(&head) {
            return refuse(refusal.0, &refusal.1);
        }
        match path {
            "/api/token" => json(StatusCode::OK, &json!({})),
            "/api/desk/act" => match message(body).await {
                Ok(act) => of_desk(self.desks.act(act).await),
                Err(refusal) => refusal,
            },
            "/api/desk/show" => match message(body).await {
                Ok(key) => of_desk(self.desks.show(&key).await),
                Err(refusal) => refusal,
            },
            _ => not_found(),
        }
    }

    async fn read(&self, path: &str, query: &str) -> Response<PageBody> {
        match path {
            "/api/mesh" => json(
                StatusCode::OK,
                &json!({
                    "operator_file": self.operator_file,
                    "gateway": self.desks.gateway.map(|gateway| format!("http://{gateway}")),
                    "collector": self.collector,
                }),
            ),
            "/api/processes" => {
                let rows = self.sources.processes.borrow().clone();
                json(StatusCode::OK, &rows)
            }
            "/api/live" => self.live(query),
            "/api/metrics" => json(StatusCode::OK, &self.gauges.figures()),
            "/api/desk" => of_desk(self.desks.lists().await),
            "/api/traces" => self.traces(query),
            _ => match path.strip_prefix("/api/traces/") {
                Some(id) => self.trace(id),
                None => not_found(),
            },
        }
    }

    fn live(&self, query: &str) -> Response<PageBody> {
        let topic = match &*parameter(query, "topic") {
            "logs" => Topic::Logs(LogFilter {
                process: parameter(query, "process"),
                text: parameter(query, "text").to_lowercase(),
            }),
            "facts" => Topic::Facts,
            _ => Topic::Processes,
        };
        match Arc::clone(&self.streams).try_acquire_owned() {
            Ok(slot) => live::stream(Arc::clone(&self.sources), topic, slot),
            Err(_) => refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many pages are open; close one",
            ),
        }
    }

    fn traces(&self, query: &str) -> Response<PageBody> {
        let search = Search {
            text: parameter(query, "text").trim().to_lowercase(),
            service: parameter(query, "service"),
            is_error: match &*parameter(query, "status") {
                "error" => Some(true),
                "ok" => Some(false),
                _ => None,
            },
            min_ms: parameter(query, "min_ms").parse().unwrap_or_default(),
            is_request: parameter(query, "all").is_empty(),
        };
        let kept = self.traces.lock();
        let (spans, bytes, dropped) = kept.totals();
        let answer = json!({
            "traces": kept.search(&search),
            "services": kept.services(),
            "spans": spans,
            "bytes": bytes,
            "dropped_traces": dropped,
            "collector": self.collector,
        });
        json(StatusCode::OK, &answer)
    }

    fn trace(&self, id: &str) -> Response<PageBody> {
        let waterfall = traces::trace_id(id).and_then(|id| self.traces.lock().waterfall(&id));
        match waterfall {
            Some(waterfall) => json(StatusCode::OK, &waterfall),
            None => refuse(
                StatusCode::NOT_FOUND,
                "no such trace; older ones have made room for later ones",
            ),
        }
    }
}

fn not_found() -> Response<PageBody> {
    refuse(StatusCode::NOT_FOUND, "nothing is here; open /")
}

fn of_desk(answer: Result<Value, DeskError>) -> Response<PageBody> {
    match answer {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(error) => {
            let (status, message) = error.explained();
            refuse(status, &message)
        }
    }
}

/// Reads the body of a request as JSON.
async fn message<T: DeserializeOwned>(body: Incoming) -> Result<T, Response<PageBody>> {
    let read = Limited::new(body, MAX_BODY).collect();
    let Ok(Ok(body)) = tokio::time::timeout(BODY_TIMEOUT, read).await else {
        let message = format!("the body is incomplete, or above {MAX_BODY} bytes");
        return Err(refuse(StatusCode::BAD_REQUEST, &message));
    };
    serde_json::from_slice(&body.to_bytes())
        .map_err(|error| refuse(StatusCode::BAD_REQUEST, &error.to_string()))
}

/// Returns a parameter of a query, or an empty text.
fn parameter(query: &str, name: &str) -> String {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.into_iter().find(|(key, _)| *key == name);
    found.map_or_else(String::new, |(_, value)| {
        let value = value.replace('+', " ");
        percent_decode_str(&value).decode_utf8_lossy().into_owned()
    })
}
