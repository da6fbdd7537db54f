//! Health checks of processes.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rpc::tls::{self, Identity};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::project::{Project, Readiness, Service};

/// Longest wait for a response.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bound of the inspected line, which has less than 1 KiB: another listener must not fill our
/// memory.
const LINE_BYTES: u64 = 16 * 1024;

/// Health check of a process.
#[derive(Clone, Debug)]
pub enum Probe {
    /// A session runs a query.
    Postgres(Box<PgConnectOptions>),
    /// A NATS server greets and has JetStream.
    Nats(SocketAddr),
    /// A Valkey or Redis server answers PING: it has read its data.
    Valkey(SocketAddr),
    /// `GET /readyz` returns 200: a service can work, and the gateway has learned the APIs of its
    /// upstreams, which `grpc.health.v1` doesn't tell.
    Ready(SocketAddr),
    /// The same over TLS.
    SecureReady(SocketAddr, Secure),
    /// `grpc.health.v1.Health/Check` of the whole server answers `SERVING`.
    Grpc(SocketAddr),
    /// The port accepts a connection.
    Tcp(SocketAddr),
}

/// The side of `mesh` of a TLS connection, for health checks.
#[derive(Clone)]
pub struct Secure(TlsConnector);

// === impl Probe ===

impl Probe {
    /// Returns the check of a service or the gateway.
    pub(crate) fn of(
        project: &Project,
        name: &str,
        address: SocketAddr,
        secure: Option<&Secure>,
    ) -> Self {
        let service = project.service(name);
        if let Some(secure) = secure.filter(|_| service.is_some_and(Service::has_tls)) {
            return Self::SecureReady(address, secure.clone());
        }
        match service.map_or(Readiness::Http, |service| service.readiness) {
            Readiness::Http => Self::Ready(address),
            Readiness::Grpc => Self::Grpc(address),
            Readiness::Tcp => Self::Tcp(address),
        }
    }

    /// Checks once; the error is a few words for people.
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
            Self::Valkey(address) => valkey(*address).await,
            Self::Ready(address) => ready(*address, None).await,
            Self::SecureReady(address, secure) => ready(*address, Some(secure)).await,
            Self::Grpc(address) => grpc(*address).await,
            Self::Tcp(address) => {
                let connected = TcpStream::connect(address).await;
                connected.map(drop).map_err(|error| error.to_string())
            }
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

async fn valkey(address: SocketAddr) -> Result<(), String> {
    let answer = first_line(address, b"PING\r\n").await;
    let answer = answer.map_err(|error| error.to_string())?;
    match answer.trim_end() {
        "+PONG" => Ok(()),
        other => Err(format!("not ready: {other}")),
    }
}

/// The inspected part of the greeting (NATS client protocol, INFO).
#[derive(serde::Deserialize)]
struct Info {
    #[serde(default)]
    jetstream: bool,
}

async fn ready(address: SocketAddr, secure: Option<&Secure>) -> Result<(), String> {
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let answer = match secure {
        None => first_line(address, request.as_bytes()).await,
        Some(secure) => secure.first_line(address, request.as_bytes()).await,
    };
    let status_line = answer.map_err(|error| error.to_string())?;
    // `HTTP/1.1 200 OK`; simple servers answer as HTTP/1.0.
    let status = status_line.split_once(' ');
    let status = status.map_or(status_line.as_str(), |(_, status)| status.trim_end());
    if status.starts_with("200") {
        Ok(())
    } else {
        Err(format!("not ready: {status}"))
    }
}

#[allow(
    clippy::disallowed_types,
    reason = "a probe reports the first failure: no retry, no breaker"
)]
async fn grpc(address: SocketAddr) -> Result<(), String> {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
    let channel = endpoint.map_err(|error| error.to_string())?.connect().await;
    let channel = channel.map_err(|error| error.to_string())?;
    let request = HealthCheckRequest::default();
    match HealthClient::new(channel).check(request).await {
        Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => Ok(()),
        Ok(answer) => Err(format!(
            "not ready: {}",
            answer.get_ref().status().as_str_name()
        )),
        Err(status) if status.code() == Code::Unimplemented => {
            Err("it does not serve grpc.health.v1.Health; see `readiness` in mesh.toml".to_owned())
        }
        Err(status) => Err(format!("health check: {}", status.message())),
    }
}

async fn first_line(address: SocketAddr, request: &[u8]) -> std::io::Result<String> {
    ask_stream(TcpStream::connect(address).await?, request).await
}

async fn ask_stream(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
) -> std::io::Result<String> {
    stream.write_all(request).await?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE_BYTES))
        .read_line(&mut line)
        .await?;
    Ok(line)
}

// === impl Secure ===

impl Secure {
    /// Reads the certificate of the authority, and that of `mesh` with its key.
    ///
    /// # Errors
    /// A file that can't be used.
    pub(crate) fn load(authority: &Path, certificate: &Path) -> anyhow::Result<Self> {
        let own = Identity::read(certificate, certificate)?;
        let config = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(tls::roots(authority)?)
            .with_client_auth_cert(own.chain, own.key)?;
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    async fn first_line(&self, address: SocketAddr, request: &[u8]) -> std::io::Result<String> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::IpAddress(address.ip().into());
        ask_stream(self.0.connect(name, stream).await?, request).await
    }
}

impl fmt::Debug for Secure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secure")
    }
}
