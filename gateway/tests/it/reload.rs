//! A configuration that changes while requests are served.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinSet;

use crate::native::{GREET, greet, unary};
use crate::requests::{chat, next, say};
use crate::support::stranger::{DescriptorFile, Upstream, descriptors, variant};
use crate::support::{Gateway, eventually, layers, soon};

#[tokio::test]
async fn upstreams_come_and_go_and_those_that_stay_keep_their_connections() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::ready(&[upstream.address]).await;
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
    let connections = upstream.observed.connections.load(Ordering::SeqCst);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let added = Upstream::serve(
        listener,
        descriptors("other"),
        crate::support::stranger::Reflection::V1,
    );
    gateway.reload(layers(&[added.address, upstream.address], &[], ""));
    // The upstream knows no such method, although it reflects it.
    gateway.answers("/v1/ping", 501).await;
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
    let now = upstream.observed.connections.load(Ordering::SeqCst);
    assert_eq!(now, connections);

    let (talk, response, _connection) = chat(&gateway, true, "").await;
    let mut answers = response.into_body();
    assert_eq!(next(&mut answers).await.unwrap()["text"], "hello first");
    gateway.reload(layers(&[added.address], &[], ""));
    gateway.answers("/v1/greetings/a", 404).await;
    // Calls in flight complete.
    say(&talk, "{\"name\":\"second\"}\n").await;
    assert_eq!(next(&mut answers).await.unwrap()["text"], "hello second");
    drop(talk);
    assert!(next(&mut answers).await.is_none());
    gateway.stop().await;
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_changes_nothing() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let bad = [
        layers(&[], &[], ""),
        layers(&[upstream.address], &[("dialect", "kong")], ""),
        layers(
            &[upstream.address],
            &[("schema.descriptors", "/nowhere")],
            "",
        ),
        layers(
            &[upstream.address],
            &[],
            "[[schema.http_rules]]\nselector = \"stranger.v1.StrangerService.Greet\"\nget = \"no path\"",
        ),
    ];
    for layers in bad {
        gateway.reload(layers);
    }
    // Configurations are taken in order, so that this one is in force when the others are through.
    let good = [("dialect", "envoy")];
    gateway.reload(layers(&[upstream.address], &good, ""));
    gateway.answers("/v1/greetings/a?unknown=1", 200).await;
    assert_eq!(gateway.get("/readyz").await.status, 200);
}

/// A gateway process with a configuration file.
struct Running {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    address: SocketAddr,
    file: tempfile::NamedTempFile,
}

impl Running {
    async fn start(config: &str) -> Self {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(file.path(), config).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_mesh-gateway"))
            .arg("--config")
            .arg(file.path())
            .env("PROTOMESH_LISTEN", "127.0.0.1:0")
            .env("PROTOMESH_LOG_FORMAT", "json")
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut running = Self {
            child,
            log,
            address: ([0, 0, 0, 0], 0).into(),
            file,
        };
        let listening = running.logged("listening").await;
        running.address = field(&listening, "address").parse().unwrap();
        running
    }

    /// The next line with this message.
    async fn logged(&mut self, message: &str) -> Value {
        soon(message, async {
            loop {
                let line = self.log.next_line().await.unwrap();
                let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
                if field(&line, "message") == message {
                    return line;
                }
            }
        })
        .await
    }

    fn edit(&self, config: &str) {
        std::fs::write(self.file.path(), config).unwrap();
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    async fn status(&self, path: &str) -> u16 {
        let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
            .await
            .unwrap();
        let mut answer = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer)
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&answer);
        text.split(' ').nth(1).unwrap().parse().unwrap()
    }

    async fn answers(&self, path: &str, expected: u16) {
        eventually(path, async || match self.status(path).await {
            status if status == expected => Ok(()),
            status => Err(status),
        })
        .await;
    }
}

/// A field of a log line, as text.
fn field(line: &Value, name: &str) -> String {
    match &line[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[tokio::test]
async fn the_process_follows_its_file_and_sighup() {
    let upstream = Upstream::start().await;
    let config = |rest: &str| format!("upstreams = [\"http://{}\"]\n{rest}", upstream.address);
    let mut gateway = Running::start(&config("")).await;
    gateway.answers("/v1/greetings/a", 200).await;
    let unknown = "/v1/greetings/a?unknown=1";
    assert_eq!(gateway.status(unknown).await, 400);

    // Without any signal.
    gateway.edit(&config("dialect = \"envoy\""));
    gateway.logged("configuration in force").await;
    assert_eq!(gateway.status(unknown).await, 200);

    // An error is named and nothing changes: an unknown key, and an invalid value.
    for (bad, key) in [
        ("dailect = \"strict\"", "dailect"),
        ("dialect = \"kong\"", "dialect"),
    ] {
        gateway.edit(&config(bad));
        gateway.signal(Signal::HUP);
        let line = gateway
            .logged("configuration refused, the old one stays")
            .await;
        assert_eq!(field(&line, "key"), key);
        assert_eq!(gateway.status(unknown).await, 200);
    }

    gateway.edit(&config("dialect = \"strict\"\nmax_connections = 9\n"));
    gateway.signal(Signal::HUP);
    let fixed = "keys of the configuration that take effect at the next start only";
    let line = gateway.logged(fixed).await;
    assert_eq!(field(&line, "keys"), "[\"max_connections\"]");
    gateway.logged("configuration in force").await;
    assert_eq!(gateway.status(unknown).await, 400);
    gateway.signal(Signal::TERM);
    let code = soon("the end", gateway.child.wait()).await.unwrap();
    assert!(code.success(), "{code}");
}

/// Connections that are kept alive, each with one request after the other.
const CONNECTIONS: usize = 8;

/// Swaps and reloads, of each so many.
const ROUNDS: usize = 24;

/// Requests in all; `GATEWAY_TEST_REQUESTS` asks for another number.
const REQUESTS: usize = 5000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_and_reloads_under_load_lose_no_request() {
    let requests = std::env::var("GATEWAY_TEST_REQUESTS");
    let requests = requests.map_or(REQUESTS, |number| number.parse().unwrap());
    let (upstream, extra) = (Upstream::mute().await, Upstream::mute().await);
    let old = "additional_bindings {\n        post: \"/v1/greetings\"";
    let added = format!("additional_bindings {{get: \"/v2/greetings/{{name}}\"}} {old}");
    let versions = [descriptors("stranger"), variant(&[(old, &added)])];
    let file = DescriptorFile::new(&versions[0]);
    let other = DescriptorFile::new(&descriptors("other"));
    let table = |name: &str, upstream: &Upstream, file: &DescriptorFile| {
        let (address, path) = (upstream.address, file.path());
        format!(
            "[upstream.{name}]\nendpoints = [\"http://{address}\"]\n\
             schema = {{ descriptors = [\"{path}\"], reflection = false }}\n"
        )
    };
    let configuration = |is_odd: bool| {
        let dialect = if is_odd { "envoy" } else { "strict" };
        let keys = [("schema.breaking_changes", "allow"), ("dialect", dialect)];
        let mut tables = table("main", &upstream, &file);
        if is_odd {
            tables += &table("extra", &extra, &other);
        }
        layers(&[], &keys, &tables)
    };
    let gateway = Arc::new(Gateway::configured(configuration(false)).await);
    gateway.wait_until_ready().await;

    let done = Arc::new(AtomicUsize::new(0));
    let mut load = JoinSet::new();
    for _ in 0..CONNECTIONS {
        load.spawn(ask(gateway.clone(), done.clone(), requests));
    }
    load.spawn(call(gateway.clone(), done.clone(), requests));
    for round in 1..=ROUNDS {
        // Spread over all of the load.
        let share = requests * round / (ROUNDS + 1);
        let mut seen = done.load(Ordering::Relaxed);
        while seen < share {
            seen = eventually("the load goes on", async || {
                let now = done.load(Ordering::Relaxed);
                (now > seen).then_some(now).ok_or(now)
            })
            .await;
        }
        let is_odd = round % 2 == 1;
        file.write(&versions[usize::from(is_odd)]);
        gateway.reload(configuration(is_odd));
        let [swapped, reloaded, added] = if is_odd {
            [200, 200, 501]
        } else {
            [404, 400, 404]
        };
        gateway.answers("/v2/greetings/a", swapped).await;
        gateway.answers("/v1/greetings/a?unknown=1", reloaded).await;
        gateway.answers("/v1/ping", added).await;
    }
    let failures: Vec<String> = load.join_all().await.into_iter().flatten().collect();
    let total = done.load(Ordering::Relaxed);
    assert!(total >= requests);
    assert!(
        failures.is_empty(),
        "{} of {total}: {failures:?}",
        failures.len()
    );
}

/// [`ask`] in native gRPC.
async fn call(gateway: Arc<Gateway>, done: Arc<AtomicUsize>, requests: usize) -> Vec<String> {
    let mut failures = Vec::new();
    let channel = gateway.grpc().await;
    while done.fetch_add(1, Ordering::Relaxed) < requests {
        match soon("an answer", unary(channel.clone(), GREET, greet("load"))).await {
            Ok(response) if response.get_ref().text == "hello load" => {}
            other => failures.push(format!("{other:?}")),
        }
    }
    failures
}

/// Asks until all have asked enough; returns what was answered wrong.
async fn ask(gateway: Arc<Gateway>, done: Arc<AtomicUsize>, requests: usize) -> Vec<String> {
    let mut failures = Vec::new();
    let (mut sender, _connection) = gateway.connect::<Full<Bytes>>().await;
    while done.fetch_add(1, Ordering::Relaxed) < requests {
        let request = Request::get("/v1/greetings/load").header("host", "a");
        let asked = sender.send_request(request.body(Full::default()).unwrap());
        let answered = async {
            let response = asked.await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>((status, body))
        };
        match soon("an answer", answered).await {
            Ok((status, body))
                if status == 200 && body.starts_with(b"{\"text\":\"hello load\"") => {}
            Ok(other) => failures.push(format!("{other:?}")),
            Err(error) => {
                failures.push(error.to_string());
                return failures;
            }
        }
    }
    failures
}
