//! Values of confidential fields, found by the descriptors, in calls that succeed, fail and are
//! denied: nothing that the mesh leaves behind holds one, but for the databases of the services,
//! the streams of facts, and the answers of the API.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use descriptors::{Kind, MessageId, Pool};
use http::Method;
use integration_tests::import::HEADER;
use integration_tests::{contracts, eventually};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use super::*;
use crate::anywhere::examples::{Example, examples};

/// Every canary holds one of these: as text, and as digits where the contract wants a number.
const MARKS: [&str; 2] = ["canary7f3a9", "776655443322"];

/// The processes of the mesh that write logs at the level that is set.
const PROCESSES: [&str; 8] = [
    "gateway",
    "orders",
    "inventory",
    "payments",
    "shipping",
    "ingest",
    "connect",
    "identity",
];

/// Receives the traces of all processes, and keeps their bytes.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<u8>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let bytes = request.into_inner().encode_to_vec();
        self.0.lock().unwrap().extend(bytes);
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start(&self) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = Server::builder().add_service(TraceServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(format!("http://{address}"))
    }
}

/// Makes canaries, each another one.
#[derive(Default)]
struct Canaries {
    made: usize,
    /// The fields that one was put into.
    fields: BTreeSet<String>,
    /// The places that one was found in.
    found: Vec<String>,
}

/// How a canary breaks the contract.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Valid,
    TooLong,
    Number,
    Object,
    List,
}

impl Canaries {
    /// Searches an error; other answers are for who has asked.
    fn look(&mut self, response: &Response, what: &str) {
        let in_head = response.headers.get("grpc-status");
        let is_error = response.status.as_u16() >= 400 || in_head.is_some_and(|code| code != "0");
        if is_error && let Some(text) = find(seen(response).as_bytes()) {
            self.found.push(format!("{what}: {text}"));
        }
    }

    fn text(&mut self) -> String {
        self.made += 1;
        format!("{}x{:05}", MARKS[0], self.made)
    }

    fn value(&mut self, shape: Shape) -> Value {
        let text = self.text();
        match shape {
            Shape::Valid => json!(text),
            Shape::TooLong => json!(text.repeat(20)),
            Shape::Number => {
                let number: u64 = format!("{}{:03}", MARKS[1], self.made % 1000)
                    .parse()
                    .unwrap();
                json!(number)
            }
            Shape::Object => json!({ "inside": text }),
            Shape::List => json!([text]),
        }
    }

    /// Puts a canary into every confidential field of a message in JSON.
    fn plant(&mut self, pool: &Pool, id: MessageId, message: &mut Value, shape: Shape) {
        let definition = pool.message(id);
        let Some(object) = message.as_object_mut() else {
            return;
        };
        for field in &definition.fields {
            let name = field.json_name.to_string();
            if field.policy().0.is_confidential() {
                self.fields
                    .insert(format!("{}.{}", definition.name, field.name));
                object.insert(name, self.value(shape));
            } else if let (Kind::Message(below), Some(inner)) = (field.kind, object.get_mut(&name))
            {
                match inner {
                    Value::Array(all) => {
                        all.iter_mut()
                            .for_each(|one| self.plant(pool, below, one, shape));
                    }
                    one => self.plant(pool, below, one, shape),
                }
            }
        }
    }
}

/// Returns the confidential fields of a message and of those below it, by full name.
fn confidential(pool: &Pool, id: MessageId, seen: &mut BTreeSet<MessageId>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if !seen.insert(id) {
        return found;
    }
    let definition = pool.message(id);
    for field in &definition.fields {
        if field.policy().0.is_confidential() {
            found.insert(format!("{}.{}", definition.name, field.name));
        }
        if let Kind::Message(below) = field.kind {
            found.extend(confidential(pool, below, seen));
        }
    }
    found
}

fn find(bytes: &[u8]) -> Option<String> {
    for mark in MARKS {
        let at = bytes
            .windows(mark.len())
            .position(|part| part == mark.as_bytes());
        if let Some(at) = at {
            let around = at.saturating_sub(200)..bytes.len().min(at + 60);
            return Some(String::from_utf8_lossy(&bytes[around]).into_owned());
        }
    }
    None
}

/// Sends a request in the JSON API; an error must not hold a canary.
async fn send(http: &Http, example: &Example, body: String, canaries: &mut Canaries) -> Result<()> {
    let content_type = example.content_type.as_deref();
    let method = example.method.as_str();
    let response = http
        .call(method, &example.target, content_type, body)
        .await?;
    canaries.look(&response, &format!("{method} {}", example.target));
    Ok(())
}

/// Calls every method with canaries, as callers with and without the right to.
async fn call_all(guarded: &Guarded, pool: &Pool, canaries: &mut Canaries) -> Result<()> {
    let callers = [
        Some(guarded.bearer("admin", "acme")?),
        Some(guarded.bearer("customer", "acme")?),
        Some(guarded.bearer("nobody", "acme")?),
        None,
    ];
    let document = guarded
        .http(None)?
        .get("/openapi.json", "*/*")
        .await?
        .json()?;
    let paths = document["paths"].as_object().context("paths")?;
    for (path, item) in paths {
        for (method, operation) in item.as_object().context("operations")? {
            let method: Method = method.to_ascii_uppercase().parse()?;
            let rpc = operation["x-grpc-method"].as_str().context("a method")?;
            // Another contract's.
            let Some(input) = input(pool, rpc) else {
                continue;
            };
            if confidential(pool, input, &mut BTreeSet::new()).is_empty() {
                continue;
            }
            for (index, caller) in callers.iter().enumerate() {
                let http = guarded
                    .http(caller.as_deref().map(|bearer| ("authorization", bearer)))?
                    .with("request-timeout", "3");
                let target = in_target(pool, input, &method, path, canaries);
                for example in examples(&method, &target, operation)? {
                    if example.body.is_empty() {
                        send(&http, &example, String::new(), canaries).await?;
                        continue;
                    }
                    for shape in [
                        Shape::Valid,
                        Shape::TooLong,
                        Shape::Number,
                        Shape::Object,
                        Shape::List,
                    ] {
                        let mut body: Value = serde_json::from_str(&example.body)?;
                        canaries.plant(pool, input, &mut body, shape);
                        let body = body.to_string();
                        send(&http, &example, body.clone(), canaries).await?;
                        by_rpc(&http, rpc, &body, canaries).await?;
                        if index == 0 && shape == Shape::Valid {
                            let cut = body.find(MARKS[0]).context("a canary")? + MARKS[0].len();
                            send(&http, &example, body[..cut].to_owned(), canaries).await?;
                            by_rpc(&http, rpc, &body[..cut], canaries).await?;
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// Makes the call by Connect and by gRPC, both with JSON.
async fn by_rpc(http: &Http, rpc: &str, body: &str, canaries: &mut Canaries) -> Result<()> {
    let connect = http.call("POST", rpc, Some("application/json"), body.to_owned());
    canaries.look(&connect.await?, &format!("Connect {rpc}"));
    let length = u32::try_from(body.len())?.to_be_bytes();
    let head = [&[0][..], &length].concat();
    // Lengths of bodies here have no bytes beyond ASCII.
    if let Ok(head) = String::from_utf8(head) {
        let grpc = http.call("POST", rpc, Some("application/grpc+json"), head + body);
        canaries.look(&grpc.await?, &format!("gRPC {rpc}"));
    }
    Ok(())
}

fn input(pool: &Pool, rpc: &str) -> Option<MessageId> {
    let plans = pool.services.iter().flat_map(|service| {
        let methods = service.methods.iter();
        methods.map(move |method| descriptors::MethodPlan::new(pool, service, method))
    });
    let found = plans.into_iter().find(|plan| plan.path() == rpc);
    found.map(|plan| plan.input)
}

/// Returns a path with canaries in its confidential variables, and in the query of a method
/// without a body.
fn in_target(
    pool: &Pool,
    input: MessageId,
    method: &Method,
    path: &str,
    canaries: &mut Canaries,
) -> String {
    let mut target = path.to_owned();
    let definition = pool.message(input);
    for field in &definition.fields {
        if !field.policy().0.is_confidential() {
            continue;
        }
        let variable = format!("{{{}}}", field.json_name);
        let other = format!("{{{}}}", field.name);
        let (text, is_variable) = (
            canaries.text(),
            path.contains(&variable) || path.contains(&other),
        );
        if is_variable {
            target = target.replace(&variable, &text).replace(&other, &text);
        } else if *method == Method::GET {
            let sign = if target.contains('?') { '&' } else { '?' };
            target = format!(
                "{target}{sign}{}={text}&{}%5Bx%5D={text}",
                field.json_name, field.name
            );
        }
        canaries
            .fields
            .insert(format!("{}.{}", definition.name, field.name));
    }
    target
}

/// Orders and imports with canaries, through a crash and to their ends.
async fn trade(guarded: &Guarded, canaries: &mut Canaries) -> Result<()> {
    let admin = guarded.http(Some(("authorization", &guarded.bearer("admin", "acme")?)))?;
    let counts = json!({"counts": [{"requestId": "opening", "sku": "A", "quantity": "100"}]});
    let counted = admin.post("/v1/stock:count", &counts).await?;
    ensure!(counted.status == 200, "{}", counted.text());
    guarded
        .mesh
        .crash_next_at("payments", "payments.authorize.before_commit")
        .await?;
    let account = canaries.text();
    let order = json!({
        "requestId": "through-a-crash", "accountId": account,
        "placedAt": integration_tests::order::PLACED_AT, "currencyCode": "GBP",
        "lines": [{"sku": "A", "description": "LANTERN", "quantity": 6, "unitPriceMinor": "255"}],
    });
    let placed = admin.post("/v1/orders", &order).await?;
    ensure!(placed.status == 200, "{}", placed.text());
    let id = placed.json()?["orderId"]
        .as_str()
        .context("an id")?
        .to_owned();
    eventually("the order is paid and shipped", async || {
        let order = admin
            .get(&format!("/v1/orders/{id}"), "*/*")
            .await?
            .json()?;
        ensure!(order["delivery"] == "DELIVERY_STATE_SHIPPED", "{order}");
        // The API answers with what it was told.
        ensure!(order["accountId"] == account, "{order}");
        Ok(())
    })
    .await?;
    ensure!(guarded.mesh.restarts("payments")? > 0, "no crash");
    let customer = format!("{}001", MARKS[1]);
    let file = format!(
        "{HEADER}536365,A,LANTERN,6,2010-12-01 08:26:00,2.55,{customer},UK\n\
         536366,A,LANTERN,6,2010-12-01 08:26:00,{},{customer},UK\n\
         C536367,A,LANTERN,-60,2010-12-02 08:26:00,2.55,{customer},UK\n",
        canaries.text()
    );
    let create = json!({"requestId": "canaries", "source": "online-retail", "sizeBytes": file.len().to_string()});
    let import = admin.post("/v1/imports", &create).await?.json()?;
    let import = import["importId"].as_str().context("an import")?.to_owned();
    let uploaded = admin
        .upload(
            &format!("/v1/imports/{import}:upload?offset=0"),
            file.into(),
        )
        .await?;
    ensure!(uploaded.status == 200, "{}", uploaded.text());
    eventually("the import is complete", async || {
        let import = admin
            .get(&format!("/v1/imports/{import}"), "*/*")
            .await?
            .json()?;
        ensure!(import["state"] == "IMPORT_STATE_COMPLETED", "{import}");
        Ok(())
    })
    .await?;
    let rejected = admin
        .get(&format!("/v1/imports/{import}/rejectedRows"), "*/*")
        .await?;
    // The value of the broken row is told to who may ask for it.
    ensure!(find(&rejected.body).is_some(), "{}", rejected.text());
    Ok(())
}

/// Searches a directory; `data` of the databases and of the broker are meant to hold the values.
fn search(directory: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let (path, kind) = {
            let entry = entry?;
            (entry.path(), entry.file_type()?)
        };
        let is_meant = ["data/postgres", "data/nats"];
        if kind.is_dir() && !is_meant.iter().any(|end| path.ends_with(end)) {
            search(&path, found)?;
        } else if kind.is_file()
            && let Some(text) = find(&std::fs::read(&path)?)
        {
            found.push(format!("{}: {text}", path.display()));
        }
    }
    Ok(())
}

/// Asks `mesh explain`; returns what it prints.
fn explained(mesh: &Mesh, method: &str, path: &str) -> Result<String> {
    let gateway = mesh.stack().address("gateway")?.to_string();
    let programs = std::env::current_exe()?;
    let programs = programs.parent().and_then(Path::parent);
    let output = Command::new(programs.context("no directory of programs")?.join("mesh"))
        .args([
            "explain",
            method,
            path,
            "--gateway",
            &gateway,
            "--as",
            "x,role=customer,tenant=y",
        ])
        .output()?;
    Ok(format!(
        "{}{}",
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_confidential_value_is_left_behind() -> Result<()> {
    let collector = Collector::default();
    let mut options = Mesh::authenticated_options()?
        .otlp(collector.start().await?)
        .audit();
    for process in PROCESSES {
        options = options.env(process, "PROTOMESH_LOG", "debug");
        options = options.env(process, "PROTOMESH_ACCESS_LOG__REQUESTS", "all");
    }
    let guarded = Guarded::start_with(options).await?;
    let mut canaries = Canaries::default();
    let mut wanted = BTreeSet::new();
    for set in contracts::DESCRIPTOR_SETS {
        let pool = descriptors::load(set)?.pool;
        call_all(&guarded, &pool, &mut canaries).await?;
        for service in &pool.services {
            for method in &service.methods {
                let input = descriptors::MethodPlan::new(&pool, service, method).input;
                wanted.extend(confidential(&pool, input, &mut BTreeSet::new()));
            }
        }
    }
    trade(&guarded, &mut canaries).await?;

    // Every confidential field of a request has had one.
    ensure!(
        !wanted.is_empty() && wanted.is_subset(&canaries.fields),
        "{wanted:?}"
    );

    let mesh = &guarded.mesh;
    let mut found = std::mem::take(&mut canaries.found);
    search(mesh.stack().dir(), &mut found)?;
    // The search has seen what it is about.
    let log = std::fs::read_to_string(mesh.stack().log("gateway"))?;
    ensure!(log.contains("DEBUG"), "no debug log");
    ensure!(
        log.contains("/v1/accounts/{account_id}/balance"),
        "no path in the log"
    );
    for process in PROCESSES {
        let metrics = mesh.http_of(process)?.get("/metrics", "*/*").await?;
        found.extend(find(&metrics.body).map(|text| format!("metrics of {process}: {text}")));
    }
    let account = canaries.text();
    let balance = format!("/v1/accounts/{account}/balance");
    for (method, path) in [
        ("GET", balance.as_str()),
        ("GET", &format!("/v1/orders?accountId={account}")),
        ("GET", &format!("/v1/orders?account_id%5Bx%5D={account}")),
        ("GET", "/-/schema"),
    ] {
        let encoded = path
            .replace('%', "%25")
            .replace('?', "%3F")
            .replace('=', "%3D");
        let page = match path.starts_with("/-/") {
            true => path.to_owned(),
            false => format!("/-/explain?method={method}&path={encoded}"),
        };
        let shown = mesh.http()?.get(&page, "*/*").await?;
        found.extend(find(&shown.body).map(|text| format!("{page}: {text}")));
        if !path.starts_with("/-/") {
            let told = explained(mesh, method, path)?;
            ensure!(told.contains("personal"), "{told}");
            found.extend(find(told.as_bytes()).map(|text| format!("explain {path}: {text}")));
        }
    }
    let desk = format!("Bearer {}", mesh.stack().operator_token()?);
    for page in ["parked", "stopped", "consumers", "acts", "stuck"] {
        let page = format!("/-/processes/orders/{page}");
        let shown = mesh
            .http()?
            .with("authorization", &desk)
            .get(&page, "*/*")
            .await?;
        ensure!(shown.status == 200, "{page}: {}", shown.text());
        found.extend(find(&shown.body).map(|text| format!("{page}: {text}")));
    }
    let url = mesh.stack().nats_url("operator")?;
    let mut entries = 0;
    let read = audit::entries(&url, |entry| {
        entries += 1;
        found.extend(find(&entry.encode_to_vec()).map(|text| format!("audit: {text}")));
        ControlFlow::Continue(())
    });
    read.await?;
    ensure!(entries > 100, "{entries} entries of audit");
    ensure!(
        audit::verify(&url).await?.is_ok(),
        "the trail is not intact"
    );
    let spans = collector.0.lock().unwrap().clone();
    ensure!(spans.len() > 10_000, "{} bytes of traces", spans.len());
    found.extend(find(&spans).map(|text| format!("traces: {text}")));
    ensure!(
        found.is_empty(),
        "{} places:\n{}",
        found.len(),
        found.join("\n\n")
    );
    Ok(())
}
