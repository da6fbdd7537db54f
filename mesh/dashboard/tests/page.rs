//! The dashboard over real connections: who gets what, and what a page is told.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of tests may panic as a test may"
)]

use std::net::SocketAddr;
use std::path::Path;

use dashboard::{Dashboard, Inputs, ProcessRow, TraceSource};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const TOKEN: &str = "secret";

/// A dashboard without a mesh.
struct Running {
    page: SocketAddr,
    traces: SocketAddr,
    rows: watch::Sender<Vec<ProcessRow>>,
    _dashboard: Dashboard,
}

async fn start(logs: &Path) -> Running {
    start_with(logs, None).await
}

async fn start_with(logs: &Path, collector: Option<&str>) -> Running {
    let (rows, processes) = watch::channel(vec![row("orders", "healthy")]);
    let inputs = Inputs {
        processes,
        logs: logs.to_owned(),
        gateway: None,
        operator_token: TOKEN.to_owned(),
        operator_file: "/a/mesh/operators".into(),
        broker_url: None,
    };
    let page = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let traces = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (page_address, traces_address) = (page.local_addr().unwrap(), traces.local_addr().unwrap());
    let source = match collector {
        Some(collector) => TraceSource::Elsewhere(collector.to_owned()),
        None => TraceSource::Receive(traces),
    };
    Running {
        page: page_address,
        traces: traces_address,
        rows,
        _dashboard: Dashboard::start(inputs, page, source).unwrap(),
    }
}

fn row(name: &str, state: &'static str) -> ProcessRow {
    ProcessRow {
        name: name.to_owned(),
        address: ([127, 0, 0, 1], 1).into(),
        state,
        restarts: 0,
        pid: Some(42),
        since_ms: 0,
        last_exit: None,
        detail: None,
        has_metrics: false,
    }
}

impl Running {
    /// Sends a request with these headers, and returns status, headers and body.
    async fn send(
        &self,
        request: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.page).await.unwrap();
        let mut head = format!("{request} HTTP/1.1\r\nconnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.to_owned())
    }

    async fn get(&self, path: &str) -> (u16, String, String) {
        let host = self.page.to_string();
        self.send(&format!("GET {path}"), &[("host", &host)], "")
            .await
    }

    async fn json(&self, path: &str) -> Value {
        let (status, _, body) = self.get(path).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

#[tokio::test]
async fn a_foreign_page_and_a_rebound_host_are_refused_everywhere() {
    let logs = tempfile::tempdir().unwrap();
    let running = start(logs.path()).await;
    let own = running.page.to_string();
    let port = running.page.port();
    let bearer = format!("Bearer {TOKEN}");
    for path in [
        "/",
        "/script.js",
        "/api/processes",
        "/api/traces",
        "/api/live?topic=logs",
        "/api/desk",
    ] {
        let rebound = format!("rebound.example:{port}");
        let (status, _, body) = running
            .send(&format!("GET {path}"), &[("host", &rebound)], "")
            .await;
        assert_eq!(status, 421, "{path}");
        assert!(body.contains(&own), "{body}");
    }
    for path in ["/api/desk/act", "/api/desk/show", "/api/token"] {
        let post = async |host: &str, origin: &str, token: &str| {
            let headers = [
                ("host", host),
                ("origin", origin),
                ("authorization", token),
                ("content-type", "application/json"),
            ];
            running
                .send(&format!("POST {path}"), &headers, "{}")
                .await
                .0
        };
        let origin = format!("http://{own}");
        let rebound = format!("rebound.example:{port}");
        assert_eq!(post(&own, "http://attacker.example", &bearer).await, 403);
        assert_eq!(
            post(&rebound, &format!("http://{rebound}"), &bearer).await,
            421
        );
        assert_eq!(post(&own, &origin, "Bearer wrong").await, 401);
        assert_eq!(post(&own, &origin, "").await, 401);
        // Past the guard: `{}` is no act, but a token is a token.
        let allowed = if path == "/api/token" { 200 } else { 400 };
        assert_eq!(post(&own, &origin, &bearer).await, allowed, "{path}");
    }
}

#[tokio::test]
async fn the_page_holds_no_inline_script_and_nothing_from_elsewhere() {
    let logs = tempfile::tempdir().unwrap();
    let running = start(logs.path()).await;
    let (status, head, page) = running.get("/").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self'"));
    assert!(head.contains("x-frame-options: deny"));
    assert!(!head.contains("unsafe-inline"));
    let scripts = page.matches("<script").count();
    assert_eq!(
        page.matches("<script src=\"/script.js\" defer></script>")
            .count(),
        scripts
    );
    for file in ["/", "/script.js", "/style.css"] {
        let (_, _, text) = running.get(file).await;
        for mark in [
            "https://",
            "//cdn",
            "@import",
            "innerHTML",
            "eval(",
            "style=\"",
            "onclick=\"",
        ] {
            assert!(!text.contains(mark), "{file} has {mark}");
        }
        assert!(!text.contains(TOKEN), "{file}");
    }
}

#[tokio::test]
async fn no_answer_to_a_reader_holds_the_token() {
    let logs = tempfile::tempdir().unwrap();
    let running = start(logs.path()).await;
    for path in [
        "/api/mesh",
        "/api/processes",
        "/api/metrics",
        "/api/traces",
        "/api/desk",
    ] {
        let (_, head, body) = running.get(path).await;
        assert!(!head.contains(TOKEN) && !body.contains(TOKEN), "{path}");
    }
    assert_eq!(running.get("/api/nothing").await.0, 404);
}

#[tokio::test]
async fn a_page_is_told_of_changes_and_of_new_log_lines() {
    let logs = tempfile::tempdir().unwrap();
    std::fs::write(
        logs.path().join("orders.log"),
        "2026-01-31T10:00:00Z  WARN old\n",
    )
    .unwrap();
    let running = start(logs.path()).await;
    let mut stream = TcpStream::connect(running.page).await.unwrap();
    let head = format!(
        "GET /api/live?topic=logs&process=orders HTTP/1.1\r\nhost: {}\r\n\r\n",
        running.page
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut until = async |part: &str| {
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if line.contains(part) {
                return line;
            }
        }
    };
    until("\"state\":\"healthy\"").await;
    assert!(until("old").await.contains("WARN"));
    running.rows.send_replace(vec![row("orders", "restarting")]);
    until("\"state\":\"restarting\"").await;
    let mut log = std::fs::File::options()
        .append(true)
        .open(logs.path().join("orders.log"))
        .unwrap();
    std::io::Write::write_all(&mut log, b"2026-01-31T10:00:01Z ERROR new\n").unwrap();
    assert!(until("new").await.contains("ERROR"));
}

#[tokio::test]
async fn exported_spans_are_found_and_laid_out() {
    let logs = tempfile::tempdir().unwrap();
    let running = start(logs.path()).await;
    let span = |id: u8, parent: &[u8], name: &str| Span {
        trace_id: vec![0xab; 16],
        span_id: vec![id; 8],
        parent_span_id: parent.to_vec(),
        name: name.to_owned(),
        kind: SpanKind::Server as i32,
        start_time_unix_nano: 1_000_000 * u64::from(id),
        end_time_unix_nano: 9_000_000,
        ..Span::default()
    };
    let spans = vec![span(2, &[1; 8], "inner"), span(1, &[], "GET /v1/things")];
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    let mut exporter = TraceServiceClient::connect(format!("http://{}", running.traces))
        .await
        .unwrap();
    let answer = exporter.export(request).await.unwrap().into_inner();
    assert_eq!(answer.partial_success, None);

    let found = running
        .json("/api/traces?text=GET+%2Fv1%2Fthings&min_ms=8")
        .await;
    assert_eq!(found["traces"][0]["spans"], 2, "{found}");
    let id = found["traces"][0]["id"].as_str().unwrap();
    let trace = running.json(&format!("/api/traces/{id}")).await;
    assert_eq!(trace["duration_us"], 8_000);
    assert_eq!(trace["spans"][1]["name"], "inner");
    assert_eq!(trace["spans"][1]["depth"], 1);
    let none = running.json("/api/traces?all=1&min_ms=9").await;
    assert_eq!(none["traces"], json!([]));
    assert_eq!(running.get("/api/traces/abc").await.0, 404);
}

#[tokio::test]
async fn the_page_says_which_collector_has_the_traces() {
    let logs = tempfile::tempdir().unwrap();
    let running = start_with(logs.path(), Some("http://collector.example:4317")).await;
    let found = running.json("/api/traces").await;
    assert_eq!(found["collector"], "http://collector.example:4317");
    // Nobody receives traces here.
    let refused = TraceServiceClient::connect(format!("http://{}", running.traces)).await;
    assert!(refused.is_err());
}
