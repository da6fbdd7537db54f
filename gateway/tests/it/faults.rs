//! Responses of the JSON API to faults of an upstream; `docs/upstream-faults.md` is checked against
//! them.

pub(crate) mod raw;
mod rows;

use std::time::Duration;

use futures::future::join_all;
use http::Request;
use http_body_util::Full;
use tokio::net::TcpListener;
use tokio::time::Instant;

use self::raw::{Listens, Raw, Script, Step, answer};
use self::rows::Method::{Read, Watch, Write};
use self::rows::{Method, ROWS, Row, Server};
use crate::support::stranger::{Reflection, Upstream, descriptors, reserve};
use crate::support::{Gateway, Reply};

/// The table of the docs.
const DOCS: &str = include_str!("../../../docs/upstream-faults.md");

/// Slack of this machine beside the deadline.
const SLACK: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_ends_in_its_documented_answer() {
    // Not all at once: a machine that is short of time would miss deadlines that are not about it.
    let mut wrong = Vec::new();
    for rows in ROWS.chunks(4) {
        wrong.extend(join_all(rows.iter().map(check)).await.concat());
    }
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
        Write => "idempotency unknown",
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

/// Returns the differences from the row.
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
