//! A service whose database is away says so: not ready, and calls end with UNAVAILABLE, both within
//! 2 s.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use integration_tests::{Mesh, eventually};
use protos::inventory::v1::ListStockRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

/// The bound that the store promises.
const BOUND: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_database_makes_its_service_not_ready() -> Result<()> {
    let mesh = inventory().await?;
    list(&mesh).await?;
    ensure!(ready(&mesh).await?, "not ready at the start");

    mesh.stack().stop("postgres").await?;
    let stopped = Instant::now();
    eventually("inventory is not ready", async || not_ready(&mesh).await).await?;
    let noticed = stopped.elapsed();
    ensure!(noticed < BOUND, "noticed after {noticed:?}");
    unavailable(&mesh).await?;

    mesh.stack().start("postgres").await?;
    eventually("inventory is ready", async || is_ready(&mesh).await).await?;
    eventually("stock is listed", async || {
        list(&mesh).await.map_err(Into::into)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stops_answering_ends_calls_in_flight() -> Result<()> {
    let mesh = inventory().await?;
    let proxy = Proxy::start(&mesh.stack().database_url("inventory")?).await?;
    mesh.stack().stop("inventory").await?;
    mesh.stack()
        .set_env_once("inventory", "PROTOMESH_DATABASE_URL", &proxy.url)?;
    mesh.stack().start("inventory").await?;
    list(&mesh).await?;

    // Connections stay open, and nothing passes.
    proxy.freeze(true);
    let frozen = Instant::now();
    unavailable(&mesh).await?;
    eventually("inventory is not ready", async || not_ready(&mesh).await).await?;
    let noticed = frozen.elapsed();
    ensure!(noticed < BOUND, "noticed after {noticed:?}");

    proxy.freeze(false);
    eventually("inventory is ready", async || is_ready(&mesh).await).await?;
    eventually("stock is listed", async || {
        list(&mesh).await.map_err(Into::into)
    })
    .await
}

async fn inventory() -> Result<Mesh> {
    Mesh::start_with(Mesh::options()?.only(["inventory"])?).await
}

async fn list(mesh: &Mesh) -> Result<(), Status> {
    let mut client = mesh
        .inventory()
        .map_err(|error| Status::internal(error.to_string()))?;
    client.list_stock(ListStockRequest::default()).await?;
    Ok(())
}

/// A call fails with UNAVAILABLE within the bound.
async fn unavailable(mesh: &Mesh) -> Result<()> {
    // The client may try again within its budget: each attempt has the bound.
    let called = timeout(BOUND * 2, list(mesh)).await.context("hangs")?;
    let Err(status) = called else {
        bail!("a call succeeded without a database");
    };
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(
        chassis::error::reason(&status).as_deref(),
        Some("DATABASE_UNAVAILABLE")
    );
    Ok(())
}

async fn is_ready(mesh: &Mesh) -> Result<()> {
    ensure!(ready(mesh).await?, "not ready");
    Ok(())
}

async fn not_ready(mesh: &Mesh) -> Result<()> {
    ensure!(!ready(mesh).await?, "ready");
    Ok(())
}

/// Asks `GET /readyz` of inventory.
async fn ready(mesh: &Mesh) -> Result<bool> {
    let mut stream = TcpStream::connect(mesh.stack().address("inventory")?).await?;
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nhost: inventory\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    match answer.split_whitespace().nth(1) {
        Some("200") => Ok(true),
        Some("503") => Ok(false),
        other => bail!("{other:?} in {answer:?}"),
    }
}

/// A TCP proxy of a database that can stop passing bytes on.
struct Proxy {
    url: String,
    frozen: watch::Sender<bool>,
}

// === impl Proxy ===

impl Proxy {
    async fn start(url: &str) -> Result<Self> {
        let (head, rest) = url.rsplit_once('@').context("credentials in the URL")?;
        let (address, database) = rest.split_once('/').context("a database in the URL")?;
        let upstream: SocketAddr = address.parse()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let local = listener.local_addr()?;
        let frozen = watch::Sender::new(false);
        let state = frozen.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, upstream, state.subscribe()));
            }
        });
        Ok(Self {
            url: format!("{head}@{local}/{database}"),
            frozen,
        })
    }

    fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }
}

/// Passes bytes on while the proxy is not frozen.
async fn pass(
    mut client: TcpStream,
    upstream: SocketAddr,
    mut frozen: watch::Receiver<bool>,
) -> Result<()> {
    frozen.wait_for(|frozen| !frozen).await?;
    let mut server = TcpStream::connect(upstream).await?;
    loop {
        tokio::select! {
            ended = copy_bidirectional(&mut client, &mut server) => return Ok(ended.map(drop)?),
            changed = frozen.wait_for(|frozen| *frozen) => drop(changed?),
        }
        frozen.wait_for(|frozen| !frozen).await?;
    }
}
