//! A page in a real browser calls the mesh, by Connect and by gRPC-Web, from an origin of its own.

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use integration_tests::{Mesh, order::PLACED_AT};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// As root, Chromium starts only without its sandbox; the other flags keep it from calling home.
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
    tokio::spawn(serve(listener, bundle));

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
    let shown = tokio::task::spawn_blocking(move || look(&browser, &url)).await??;
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

/// A program that `npm ci` has installed beside the page. Without it, there is nothing to test but in CI, which installs it.
pub(crate) fn tool(name: &str) -> Result<Option<PathBuf>> {
    let path = directory().join("node_modules/.bin").join(name);
    present(
        path.exists().then_some(path),
        &format!("{name} (`npm ci` in integration-tests/browser)"),
    )
}

fn browser() -> Result<Option<PathBuf>> {
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

/// What the page says once it is done.
fn look(browser: &PathBuf, url: &str) -> Result<Value> {
    let profile = tempfile::tempdir()?;
    let output = Command::new(browser)
        .args(FLAGS)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        // The clock of the page runs ahead whenever it waits for nothing but time.
        .args(["--virtual-time-budget=60000", "--dump-dom", url])
        .output()?;
    let page = String::from_utf8_lossy(&output.stdout);
    let said = page
        .split_once("<body id=\"done\">")
        .and_then(|(_, rest)| rest.split_once("</body>"))
        .with_context(|| format!("the page is not done: {page}"))?;
    serde_json::from_str(said.0).with_context(|| said.0.to_owned())
}

/// Serves the page until the test is over.
async fn serve(listener: TcpListener, bundle: Bytes) {
    while let Ok((stream, _)) = listener.accept().await {
        let bundle = bundle.clone();
        let service = service_fn(move |request| {
            let response = file(&request, &bundle);
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

fn file(request: &Request<Incoming>, bundle: &Bytes) -> Response<Full<Bytes>> {
    let page = include_bytes!("../../browser/index.html");
    let (content_type, content) = match request.uri().path() {
        "/index.html" => ("text/html", Bytes::from_static(page)),
        "/page.js" => ("text/javascript", bundle.clone()),
        "/descriptors.binpb" => (
            "application/octet-stream",
            Bytes::from_static(contracts::FILE_DESCRIPTOR_SET),
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
