//! A page in a real browser calls the mesh by Connect and gRPC-Web, from another origin.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use integration_tests::{Mesh, PATIENCE, order::PLACED_AT};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// As root, Chromium starts only without its sandbox; the other flags disable its background
/// requests.
const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];
const NAMES: [&str; 2] = ["chromium", "google-chrome"];

#[tokio::test(flavor = "multi_thread")]
async fn a_page_calls_the_mesh_by_connect_and_by_grpc_web() -> Result<()> {
    let (Some(esbuild), Some(browser)) = (tool("esbuild")?, browser()?) else {
        return Ok(());
    };
    let bundle = bundle(&esbuild)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let (outcome, mut outcomes) = mpsc::channel(1);
    tokio::spawn(serve(listener, bundle, outcome));

    let options = Mesh::options()?.env("gateway", "PROTOMESH_CORS__ALLOWED_ORIGINS", &origin);
    let mesh = Mesh::start_with(options).await?;
    mesh.count("A", 100).await?;
    let order = json!({
        "requestId": "536365", "accountId": "17850", "placedAt": PLACED_AT, "currencyCode": "GBP",
        "lines": [{"sku": "A", "description": "LANTERN", "quantity": 6, "unitPriceMinor": "255"}],
    });
    let placed = mesh.http()?.post("/v1/orders", &order).await?.json()?;
    let order_id = placed["orderId"].as_str().context("an order")?;
    mesh.http()?
        .get(&format!("/v1/orders/{order_id}:watch"), "*/*")
        .await?;

    let gateway = mesh.stack().url("gateway")?;
    let url = format!("{origin}/index.html?gateway={gateway}&order={order_id}");
    let _browser = Browser::open(&browser, &url)?;
    let said = tokio::time::timeout(PATIENCE, outcomes.recv()).await;
    let said = said.context("the page is not done")?.context("a page")?;
    let shown: Value = serde_json::from_slice(&said)?;
    let expected = json!({
        "totalMinor": "1530",
        "states": ["ORDER_STATE_PAID"],
        "refusal": "NotFound",
    });
    for protocol in ["connect", "connectJson", "connectGet", "grpcWeb"] {
        assert_eq!(shown[protocol], expected, "{protocol}");
    }
    Ok(())
}

/// Returns a program that `npm ci` has installed beside the page; without it the test is skipped,
/// but not in CI.
pub(crate) fn tool(name: &str) -> Result<Option<PathBuf>> {
    let path = directory().join("node_modules/.bin").join(name);
    present(
        path.exists().then_some(path),
        &format!("{name} (`npm ci` in integration-tests/browser)"),
    )
}

/// Returns the browser; without one the test is skipped, but not in CI.
pub(crate) fn browser() -> Result<Option<PathBuf>> {
    let runs = |name: &&&str| Command::new(name).arg("--version").output().is_ok();
    present(NAMES.iter().find(runs).map(PathBuf::from), "chromium")
}

fn present(path: Option<PathBuf>, name: &str) -> Result<Option<PathBuf>> {
    ensure!(
        path.is_some() || std::env::var_os("CI").is_none(),
        "{name} is not installed"
    );
    Ok(path)
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("browser")
}

fn bundle(esbuild: &PathBuf) -> Result<Bytes> {
    let output = Command::new(esbuild)
        .args(["page.js", "--bundle", "--format=esm", "--log-level=warning"])
        .current_dir(directory())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "esbuild: {said}");
    Ok(output.stdout.into())
}

/// A browser with a page, killed on drop.
pub(crate) struct Browser {
    process: Child,
    profile: tempfile::TempDir,
}

impl Browser {
    pub(crate) fn open(program: &PathBuf, url: &str) -> Result<Self> {
        let profile = tempfile::tempdir()?;
        let process = Command::new(program)
            .args(FLAGS)
            .arg("--remote-debugging-port=0")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { process, profile })
    }

    /// Returns the port of its debugger; `None` while it starts.
    pub(crate) fn debugger(&self) -> Option<u16> {
        let file = self.profile.path().join("DevToolsActivePort");
        let text = std::fs::read_to_string(file).ok()?;
        text.lines().next()?.parse().ok()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helper processes are in its group and must end too.
        let group = format!("-{}", self.process.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).status();
        let _ = self.process.wait();
    }
}

/// Serves the page and receives its result.
async fn serve(listener: TcpListener, bundle: Bytes, outcome: mpsc::Sender<Bytes>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (bundle, outcome) = (bundle.clone(), outcome.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (bundle, outcome) = (bundle.clone(), outcome.clone());
            async move {
                if request.method() == Method::POST {
                    let said = request.into_body().collect().await?.to_bytes();
                    // The test may have given up.
                    let _ = outcome.send(said).await;
                    return Ok(Response::default());
                }
                Ok::<_, hyper::Error>(file(request.uri().path(), &bundle))
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

fn file(path: &str, bundle: &Bytes) -> Response<Full<Bytes>> {
    let page = include_bytes!("../../browser/index.html");
    let (content_type, content) = match path {
        "/index.html" => ("text/html", Bytes::from_static(page)),
        "/page.js" => ("text/javascript", bundle.clone()),
        "/descriptors.binpb" => (
            "application/octet-stream",
            Bytes::from_static(protos::FILE_DESCRIPTOR_SET),
        ),
        _ => ("text/plain", Bytes::new()),
    };
    let status = match content.is_empty() {
        true => StatusCode::NOT_FOUND,
        false => StatusCode::OK,
    };
    let mut response = Response::new(Full::new(content));
    *response.status_mut() = status;
    let content_type = header::HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
