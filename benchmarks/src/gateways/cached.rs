//! An answer from the gateway's cache beside one from the upstream, and beside a server that only
//! writes the same bytes; nginx's `proxy_cache` with it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpListener;

use super::ask::Ask;
use super::contender::{self, Contender};
use super::load::Crowd;
use super::peer::gateway_command;
use super::process::{self, Process, Processors, free_address};
use super::upstream::Upstream;
use crate::corpus::ORDER;

const CROWD: Crowd = Crowd {
    connections: 64,
    streams_per_connection: 1,
};

/// Programs and effort of the measurement.
#[derive(Debug)]
pub struct CachePlan {
    /// The gateway's program.
    pub gateway: PathBuf,
    /// nginx's program, if available.
    pub nginx: Option<PathBuf>,
    /// Turns of each case; medians count.
    pub rounds: usize,
    /// Time of one turn.
    pub turn: Duration,
}

/// One case of the comparison.
#[derive(Debug, Serialize)]
pub struct CacheRow {
    /// hello, hit, miss or nginx.
    pub case: &'static str,
    /// CPU of one request, in microseconds.
    pub cpu_us_per_request: f64,
    /// Requests per second.
    pub rps: f64,
    /// CPU of the case as a part of `hello`'s, turn by turn.
    pub per_hello: f64,
    /// CPU of the case as a part of `miss`'s, turn by turn.
    pub per_miss: f64,
}

/// Measures all cases in turns.
///
/// # Errors
/// When a server does not start, or an answer is wrong.
pub fn cache(plan: &CachePlan) -> Result<Vec<CacheRow>> {
    let processors = Processors::divide();
    let upstream = processors.on_load(Upstream::start)?;
    process::raise_file_limit()?;
    super::runtime()?.block_on(measure(plan, &upstream, &processors))
}

async fn measure(
    plan: &CachePlan,
    upstream: &Upstream,
    processors: &Processors,
) -> Result<Vec<CacheRow>> {
    let files = tempfile::tempdir()?;
    let (hello_at, gateway_at, nginx_at) = (free_address()?, free_address()?, free_address()?);
    let mut hello = Command::new(std::env::current_exe()?);
    hello.args(["--hello", &hello_at.to_string()]);
    let hello = processors.on_measured(|| Process::start(&mut hello))?;
    let mut gateway = caching(&plan.gateway, gateway_at, upstream.address);
    let gateway = processors.on_measured(|| Process::start(&mut gateway))?;
    let nginx = match &plan.nginx {
        None => None,
        Some(program) => {
            let mut command = nginx(program, files.path(), nginx_at, gateway_at)?;
            Some(processors.on_measured(|| Process::start(&mut command))?)
        }
    };
    processors.stay_on_load();
    let (hit, miss) = (Ask::cached(false), Ask::cached(true));
    let mut entrants = vec![
        Contender::enter("hello", hello_at, &hello, hit.clone()).await?,
        Contender::enter("miss", gateway_at, &gateway, miss).await?,
        Contender::enter("hit", gateway_at, &gateway, hit.clone()).await?,
    ];
    if let Some(nginx) = &nginx {
        entrants.push(Contender::enter("nginx", nginx_at, nginx, hit).await?);
    }
    contender::compete(&mut entrants, CROWD, plan.rounds, plan.turn).await?;
    let [hello, miss, ..] = &*entrants else {
        anyhow::bail!("no one to measure");
    };
    Ok(entrants.iter().map(|own| row(own, hello, miss)).collect())
}

/// Returns the gateway with a cache, and the contract from its file.
fn caching(program: &Path, listen: SocketAddr, upstream: SocketAddr) -> Command {
    let mut command = gateway_command(program, listen, upstream);
    command.args(["--proto", concat!(env!("CARGO_MANIFEST_DIR"), "/proto")]);
    command.env("PROTOMESH_SCHEMA__REFLECTION", "false");
    command.env("PROTOMESH_CACHE__MAX_BYTES", "67108864");
    command
}

/// Returns nginx with one process, before the gateway.
fn nginx(program: &Path, files: &Path, listen: SocketAddr, origin: SocketAddr) -> Result<Command> {
    let dir = files.display();
    let configuration = format!(
        "daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid;\n\
         error_log {dir}/error.log; events {{ worker_connections 1024; }}\n\
         http {{\n\
         access_log off; keepalive_requests 100000000;\n\
         client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;\n\
         uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;\n\
         proxy_cache_path {dir}/cache keys_zone=answers:10m;\n\
         server {{ listen {listen}; location / {{ proxy_cache answers; proxy_pass http://{origin}; }} }}\n\
         }}\n"
    );
    let file = files.join("nginx.conf");
    std::fs::write(&file, configuration)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(file).arg("-p").arg(files);
    Ok(command)
}

/// Writes the order to whoever asks, until it is killed; with as many worker threads as a measured
/// gateway.
///
/// # Errors
/// When it cannot listen.
pub fn serve_hello(listen: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("tokio runtime")?;
    runtime.block_on(async { tokio::spawn(accept(listen)).await? })
}

async fn accept(listen: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new());
        let service = service_fn(|_: Request<Incoming>| async { Ok::<_, Infallible>(greeting()) });
        tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
    }
}

fn greeting() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(ORDER.json.as_bytes())));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// Returns the result of a case.
fn row(own: &Contender<'_>, hello: &Contender<'_>, miss: &Contender<'_>) -> CacheRow {
    CacheRow {
        case: own.case,
        cpu_us_per_request: own.cpu_us_per_request(),
        rps: own.rps(),
        per_hello: own.per(hello),
        per_miss: own.per(miss),
    }
}
