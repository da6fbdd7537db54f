//! Asks a process whether it is ready for work.

use std::net::SocketAddr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(2);
/// The line of an answer that we look at has less than 1 KiB; whatever else listens there must not fill our memory.
const LINE_BYTES: u64 = 16 * 1024;

/// How the health of a process is found out.
#[derive(Clone, Debug)]
pub enum Probe {
    /// A session that answers a query.
    Postgres(Box<PgConnectOptions>),
    /// A server that greets and has JetStream.
    Nats(SocketAddr),
    /// `GET /readyz` says 200: a service can work, and the gateway has learned the API of everything behind it,
    /// which `grpc.health.v1` doesn't tell.
    Ready(SocketAddr),
}

impl Probe {
    /// `Err` says in a few words what is wrong.
    pub async fn check(&self) -> Result<(), String> {
        match tokio::time::timeout(PATIENCE, self.ask()).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    async fn ask(&self) -> Result<(), String> {
        match self {
            Self::Postgres(options) => postgres(options).await.map_err(|error| error.to_string()),
            Self::Nats(address) => nats(*address).await,
            Self::Ready(address) => ready(*address).await,
        }
    }
}

async fn postgres(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    use sqlx::Connection;
    let mut connection = options.connect().await?;
    sqlx::query("SELECT 1").execute(&mut connection).await?;
    connection.close().await
}

async fn nats(address: SocketAddr) -> Result<(), String> {
    let greeting = first_line(address, b"")
        .await
        .map_err(|error| error.to_string())?;
    let info: Option<Info> = greeting
        .strip_prefix("INFO ")
        .and_then(|json| serde_json::from_str(json).ok());
    match info {
        Some(Info { jetstream: true }) => Ok(()),
        Some(_) => Err("JetStream is off".to_owned()),
        None => Err("it is not a NATS server".to_owned()),
    }
}

/// The part of the greeting that matters (NATS client protocol, INFO).
#[derive(serde::Deserialize)]
struct Info {
    #[serde(default)]
    jetstream: bool,
}

async fn ready(address: SocketAddr) -> Result<(), String> {
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let status_line = first_line(address, request.as_bytes())
        .await
        .map_err(|error| error.to_string())?;
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .unwrap_or(&status_line)
        .trim_end();
    if status.starts_with("200") {
        Ok(())
    } else {
        Err(format!("not ready: {status}"))
    }
}

async fn first_line(address: SocketAddr, request: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request).await?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE_BYTES))
        .read_line(&mut line)
        .await?;
    Ok(line)
}
