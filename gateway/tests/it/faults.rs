//! What callers of the JSON API get when an upstream fails, fault by fault; `docs/upstream-faults.md` is checked against it.

pub(crate) mod raw;

use std::time::Duration;

use futures::future::join_all;
use h2::Reason;
use http::Request;
use http_body_util::Full;
use tokio::net::TcpListener;
use tokio::time::Instant;

use self::raw::{Listens, MESSAGE, OK, Raw, Script, Step};
use self::raw::{answer, data, go_away, grpc, headers, last_data, last_headers, reset};
use crate::support::stranger::{Reflection, Upstream, descriptors, reserve};
use crate::support::{Gateway, Reply};

/// The table of the docs.
const DOCS: &str = include_str!("../../../docs/upstream-faults.md");

/// What may be late beside the deadline: this machine.
const SLACK: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, PartialEq)]
enum Method {
    /// Has no side effects.
    Read,
    /// Promises nothing.
    Write,
    /// A server stream without side effects.
    Watch,
}

/// What there is of an upstream.
#[derive(Clone, Copy, PartialEq)]
enum Server {
    Plain,
    /// The gateway speaks TLS, the server does not.
    PlainForTls,
    /// Both do, but nobody vouches for the certificate.
    Untrusted,
    Hangs,
    Nobody,
}

struct Row {
    fault: &'static str,
    method: Method,
    server: Server,
    script: Script,
    /// Milliseconds that the caller gives.
    deadline: u64,
    answer: &'static str,
    /// Requests that arrive at the upstream.
    arrivals: usize,
}

const fn row(
    fault: &'static str,
    method: Method,
    answer: &'static str,
    arrivals: usize,
    script: Script,
) -> Row {
    Row {
        fault,
        method,
        server: Server::Plain,
        script,
        deadline: 5000,
        answer,
        arrivals,
    }
}

const fn hang(fault: &'static str, method: Method, script: Script) -> Row {
    Row {
        deadline: 300,
        ..row(fault, method, LATE, 1, script)
    }
}

const fn connection(
    fault: &'static str,
    server: Server,
    deadline: u64,
    answer: &'static str,
) -> Row {
    Row {
        server,
        deadline,
        ..row(fault, Method::Write, answer, 0, |_, _| Vec::new())
    }
}

use Method::{Read, Watch, Write};

const LATE: &str = "504 DEADLINE_EXCEEDED DEADLINE_EXCEEDED";
const UNREACHABLE: &str = "503 UNAVAILABLE UPSTREAM_UNREACHABLE";
const DISCONNECTED: &str = "503 UNAVAILABLE UPSTREAM_DISCONNECTED";
const RESET: &str = "500 INTERNAL UPSTREAM_RESET";

const ROWS: &[Row] = &[
    connection("connection refused", Server::Nobody, 5000, UNREACHABLE),
    connection(
        "TLS expected, plain text spoken",
        Server::PlainForTls,
        5000,
        UNREACHABLE,
    ),
    connection(
        "certificate of an unknown authority",
        Server::Untrusted,
        5000,
        UNREACHABLE,
    ),
    connection(
        "connection accepted, then silence",
        Server::Hangs,
        300,
        LATE,
    ),
    connection(
        "connection accepted, then silence, for longer than `connect_timeout_ms`",
        Server::Hangs,
        5000,
        UNREACHABLE,
    ),
    row("reset before headers", Write, RESET, 1, |_, id| {
        vec![Step::Write(reset(id, Reason::INTERNAL_ERROR))]
    }),
    row("reset after headers", Read, RESET, 1, |_, id| {
        vec![
            Step::Write(grpc(id)),
            Step::Write(reset(id, Reason::INTERNAL_ERROR)),
        ]
    }),
    row("reset within a message", Read, RESET, 1, |_, id| {
        let half = data(id, &MESSAGE[..7]);
        vec![
            Step::Write(grpc(id)),
            Step::Write(half),
            Step::Write(reset(id, Reason::INTERNAL_ERROR)),
        ]
    }),
    row("reset before trailers", Read, RESET, 1, |_, id| {
        let whole = data(id, MESSAGE);
        vec![
            Step::Write(grpc(id)),
            Step::Write(whole),
            Step::Write(reset(id, Reason::INTERNAL_ERROR)),
        ]
    }),
    row("REFUSED_STREAM once", Write, "200", 2, |number, id| {
        let refused = reset(id, Reason::REFUSED_STREAM);
        vec![Step::Write(if number == 0 { refused } else { answer(id) })]
    }),
    row(
        "REFUSED_STREAM always",
        Write,
        "503 UNAVAILABLE UPSTREAM_REFUSED",
        4,
        |_, id| vec![Step::Write(reset(id, Reason::REFUSED_STREAM))],
    ),
    row(
        "connection closed before headers, safe method",
        Read,
        DISCONNECTED,
        3,
        |_, _| vec![Step::Close],
    ),
    row(
        "connection closed before headers",
        Write,
        DISCONNECTED,
        1,
        |_, _| vec![Step::Close],
    ),
    row(
        "connection closed within a message",
        Read,
        DISCONNECTED,
        1,
        |_, id| {
            vec![
                Step::Write(grpc(id)),
                Step::Write(data(id, &MESSAGE[..7])),
                Step::Close,
            ]
        },
    ),
    hang("hangs before headers", Write, |_, _| Vec::new()),
    hang("hangs after headers", Read, |_, id| {
        vec![Step::Write(grpc(id))]
    }),
    hang("hangs within a message", Read, |_, id| {
        vec![Step::Write(grpc(id)), Step::Write(data(id, &MESSAGE[..7]))]
    }),
    hang("hangs before trailers", Read, |_, id| {
        vec![Step::Write(grpc(id)), Step::Write(data(id, MESSAGE))]
    }),
    hang("a byte of the answer now and then", Read, |_, id| {
        vec![Step::Drip(answer(id), Duration::from_millis(100))]
    }),
    row(
        "GOAWAY before processing, once",
        Write,
        "200",
        2,
        |number, id| {
            let gone = [go_away(0), Vec::new()].concat();
            vec![Step::Write(if number == 0 { gone } else { answer(id) })]
        },
    ),
    row(
        "GOAWAY after processing, then the answer",
        Write,
        "200",
        1,
        |_, id| vec![Step::Write(go_away(id)), Step::Write(answer(id))],
    ),
    row(
        "GOAWAY after processing, then closed",
        Write,
        DISCONNECTED,
        1,
        |_, id| vec![Step::Write(go_away(id)), Step::Close],
    ),
    row(
        "answer that is not gRPC",
        Read,
        "500 UNKNOWN NOT_GRPC",
        1,
        |_, id| {
            let head = headers(id, OK, &[("content-type", "text/html")]);
            vec![Step::Write(head), Step::Write(last_data(id, b"<html>"))]
        },
    ),
    row("no trailers", Read, "500 UNKNOWN NO_STATUS", 1, |_, id| {
        vec![Step::Write(grpc(id)), Step::Write(last_data(id, MESSAGE))]
    }),
    row(
        "frame above the size that is allowed",
        Write,
        "500 INTERNAL UPSTREAM_PROTOCOL",
        1,
        |_, id| vec![Step::Write(grpc(id)), Step::Write(data(id, &[0; 17_000]))],
    ),
    row(
        "message above `max_message_bytes`",
        Read,
        "500 INTERNAL BAD_UPSTREAM_MESSAGE",
        1,
        |_, id| {
            vec![
                Step::Write(grpc(id)),
                Step::Write(data(id, b"\0\x7f\0\0\0")),
            ]
        },
    ),
    row(
        "grpc-status that is not a number",
        Read,
        "500 UNKNOWN",
        1,
        |_, id| {
            let trailers = last_headers(id, None, &[("grpc-status", "fine")]);
            vec![
                Step::Write(grpc(id)),
                Step::Write(data(id, MESSAGE)),
                Step::Write(trailers),
            ]
        },
    ),
    row(
        "UNAVAILABLE, safe method",
        Read,
        "503 UNAVAILABLE",
        3,
        |_, id| vec![Step::Write(unavailable(id))],
    ),
    row("UNAVAILABLE", Write, "503 UNAVAILABLE", 1, |_, id| {
        vec![Step::Write(unavailable(id))]
    }),
    row(
        "UNAVAILABLE once, safe method",
        Read,
        "200",
        2,
        |number, id| {
            vec![Step::Write(if number == 0 {
                unavailable(id)
            } else {
                answer(id)
            })]
        },
    ),
    row(
        "stream reset after a message",
        Watch,
        "200, then INTERNAL UPSTREAM_RESET in band",
        1,
        |_, id| {
            let whole = data(id, MESSAGE);
            vec![
                Step::Write(grpc(id)),
                Step::Write(whole),
                Step::Wait(Duration::from_millis(50)),
                Step::Write(reset(id, Reason::INTERNAL_ERROR)),
            ]
        },
    ),
];

fn unavailable(id: u32) -> Vec<u8> {
    let fields = [("content-type", "application/grpc"), ("grpc-status", "14")];
    last_headers(id, OK, &fields)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_ends_in_its_documented_answer() {
    let wrong: Vec<String> = join_all(ROWS.iter().map(check)).await.concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_docs_have_the_same_table() {
    let table: String = ROWS.iter().map(line).collect();
    assert!(
        DOCS.contains(&table),
        "expected in docs/upstream-faults.md:\n{table}"
    );
}

fn line(row: &Row) -> String {
    let method = match row.method {
        Read => "no side effects",
        Write => "promises nothing",
        Watch => "no side effects, stream",
    };
    let Row {
        fault,
        answer,
        arrivals,
        ..
    } = row;
    format!("| {fault} | {method} | {answer} | {arrivals} |\n")
}

/// What differs from the row.
async fn check(row: &Row) -> Vec<String> {
    let (listens, scheme) = match row.server {
        Server::Plain | Server::Nobody => (Listens::Plain, "http"),
        Server::PlainForTls => (Listens::Plain, "https"),
        Server::Untrusted => (Listens::Tls(self_signed()), "https"),
        Server::Hangs => (Listens::Hangs, "http"),
    };
    let server = Raw::start(listens, row.script).await;
    let (_socket, nobody) = reserve();
    let address = if row.server == Server::Nobody {
        nobody
    } else {
        server.address
    };
    let fronted = Fronted::start(&[format!("{scheme}://{address}")], "").await;
    let begun = Instant::now();
    let reply = fronted.call(row.method, row.deadline).await;
    let took = begun.elapsed();
    let mut wrong = Vec::new();
    let mut expect = |what: &str, found: String, expected: String| {
        if found != expected {
            wrong.push(format!(
                "{}: {what} {found}, expected {expected}: {reply:?}",
                row.fault
            ));
        }
    };
    expect("answer", described(&reply), row.answer.to_owned());
    expect(
        "arrivals",
        server.arrivals().to_string(),
        row.arrivals.to_string(),
    );
    let limit = Duration::from_millis(row.deadline) + SLACK;
    expect("in time", (took < limit).to_string(), "true".to_owned());
    wrong
}

fn described(reply: &Reply) -> String {
    let status = reply.status.as_u16();
    let text = reply.text();
    let last: serde_json::Value = text
        .lines()
        .last()
        .and_then(|line| serde_json::from_str(line).ok())
        .unwrap_or_default();
    let error = last.get("error").unwrap_or(&last);
    let Some(code) = error["code"].as_i64() else {
        return status.to_string();
    };
    let code = transcoder::status_code_name(i32::try_from(code).unwrap());
    let reason = error["details"][0]["reason"].as_str().unwrap_or_default();
    if last.get("error").is_some() {
        return format!("{status}, then {code} {reason} in band");
    }
    format!("{status} {code} {reason}").trim_end().to_owned()
}

fn self_signed() -> tokio_rustls::TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(chassis::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config))
}

/// Raw servers have no idea of health checks, and would count them.
const UNCHECKED: &str = "client.health_interval_ms = 0";

/// A gateway whose API comes from one server and whose calls go to others.
struct Fronted {
    gateway: Gateway,
    _reflects: Upstream,
}

impl Fronted {
    async fn start(endpoints: &[String], extra: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reflects = Upstream::serve(listener, descriptors("fault"), Reflection::V1);
        let address = reflects.address;
        let gateway = Gateway::with_file(&format!(
            "[upstream.faulty]
             endpoints = ['http://{address}']
             version.scripted = {{ endpoints = {endpoints:?}, headers = {{ x-scripted = '1' }} }}
             {extra}"
        ))
        .await;
        gateway.wait_until_ready().await;
        Self {
            gateway,
            _reflects: reflects,
        }
    }

    async fn call(&self, method: Method, deadline: u64) -> Reply {
        let request = match method {
            Read => Request::get("/v1/reads/a"),
            Watch => Request::get("/v1/watches/a"),
            Write => Request::post("/v1/writes").header("content-type", "application/json"),
        };
        let body = if method == Write { r#"{"id":"a"}"# } else { "" };
        let request = request
            .header("grpc-metadata-x-scripted", "1")
            .header("x-server-timeout", format!("{}", deadline as f64 / 1000.0));
        self.gateway
            .send(request.body(Full::from(body)).unwrap())
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slow_one_of_three_is_left_alone() {
    let fast: Script = |_, id| vec![Step::Write(answer(id))];
    let slow: Script = |_, id| {
        let pause = Step::Wait(Duration::from_millis(300));
        vec![pause, Step::Write(answer(id))]
    };
    let servers = [
        Raw::start(Listens::Plain, fast).await,
        Raw::start(Listens::Plain, slow).await,
        Raw::start(Listens::Plain, fast).await,
    ];
    let urls = servers
        .iter()
        .map(|server| format!("http://{}", server.address));
    let fronted = Fronted::start(&urls.collect::<Vec<_>>(), UNCHECKED).await;
    for _ in 0..60 {
        assert_eq!(fronted.call(Write, 5000).await.status, 200);
    }
    let arrivals = servers.each_ref().map(Raw::arrivals);
    assert_eq!(arrivals.iter().sum::<usize>(), 60, "{arrivals:?}");
    assert!(arrivals[1] <= 3, "{arrivals:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_that_is_away_costs_nobody_a_request() {
    let good: Script = |_, id| vec![Step::Write(answer(id))];
    let servers = [
        Raw::start(Listens::Plain, good).await,
        Raw::start(Listens::Plain, good).await,
    ];
    let (_socket, nobody) = reserve();
    let addresses = [servers[0].address, nobody, servers[1].address];
    let urls = addresses.map(|address| format!("http://{address}"));
    let fronted = Fronted::start(&urls, UNCHECKED).await;
    for _ in 0..30 {
        assert_eq!(fronted.call(Write, 5000).await.status, 200);
    }
    let arrivals: usize = servers.iter().map(Raw::arrivals).sum();
    assert_eq!(arrivals, 30);
}
