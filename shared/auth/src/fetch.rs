//! Small documents of issuers, by HTTP or from files: bounded in bytes and time, without redirects.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rpc::tls;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Most bytes of a document.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The place of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    Url(Uri),
    File(PathBuf),
}

/// Fetches documents.
#[derive(Clone)]
pub(crate) struct Fetcher {
    tls: TlsConnector,
    timeout: Duration,
}

/// A form, posted by a client with a name and a secret.
pub(crate) struct Form {
    pub(crate) body: String,
    pub(crate) authorization: HeaderValue,
}

/// A document that could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("HTTP status {0}")]
    Status(StatusCode),
    #[error("not within {0:?}")]
    Timeout(Duration),
    #[error("malformed URL")]
    Url,
    #[error("{0}")]
    Content(String),
}

// === impl Location ===

impl Location {
    /// Reads the place of a document: a URL, or the path of a file.
    pub(crate) fn parse(text: &str, allow_http: bool) -> Result<Self, String> {
        if !text.contains("://") {
            return Ok(Self::File(PathBuf::from(text)));
        }
        let uri: Uri = text
            .parse()
            .map_err(|error| format!("`{text}` is not a URL: {error}"))?;
        let host = uri.host().unwrap_or_default();
        let is_local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        match uri.scheme_str() {
            _ if host.is_empty() => Err(format!("`{text}` has no host")),
            Some("https") => Ok(Self::Url(uri)),
            Some("http") if is_local || allow_http => Ok(Self::Url(uri)),
            Some("http") => Err(format!(
                "`{text}` has no TLS, so anybody on the way could replace what it says \
                 (`allow_http`)"
            )),
            _ => Err(format!("`{text}` is neither https:// nor http://")),
        }
    }
}

// === impl Fetcher ===

impl Fetcher {
    /// Reads the trust anchors, those of the system without a file.
    pub(crate) fn new(ca: Option<&Path>, timeout: Duration) -> Result<Self, String> {
        let roots = match ca {
            Some(file) => tls::roots(file).map_err(|error| error.to_string())?,
            None => system_roots(),
        };
        let config = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            timeout,
        })
    }

    /// Returns a document.
    pub(crate) async fn get(&self, location: &Location) -> Result<Bytes, FetchError> {
        self.get_as(location, None).await
    }

    /// Returns a document, as a client with this credential.
    pub(crate) async fn get_as(
        &self,
        location: &Location,
        authorization: Option<&HeaderValue>,
    ) -> Result<Bytes, FetchError> {
        let uri = match location {
            Location::Url(uri) => uri,
            Location::File(path) => return read(path).await,
        };
        let mut request = Request::builder().method(Method::GET);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        self.exchange(uri, request, Bytes::new()).await
    }

    /// Posts a form and returns the answer.
    pub(crate) async fn post(&self, uri: &Uri, form: Form) -> Result<Bytes, FetchError> {
        let request = Request::builder()
            .method(Method::POST)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(AUTHORIZATION, form.authorization);
        self.exchange(uri, request, form.body.into()).await
    }

    async fn exchange(
        &self,
        uri: &Uri,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<Bytes, FetchError> {
        let authority = uri.authority().ok_or(FetchError::Url)?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let request = request
            .uri(target)
            .header(HOST, authority.as_str())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("protomesh/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|_| FetchError::Url)?;
        let exchange = async {
            let response = self.send(uri, request).await?;
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status()));
            }
            let body = Limited::new(response.into_body(), MAX_BYTES)
                .collect()
                .await;
            body.map(|body| body.to_bytes()).map_err(FetchError::Body)
        };
        let bounded = tokio::time::timeout(self.timeout, exchange).await;
        bounded.unwrap_or(Err(FetchError::Timeout(self.timeout)))
    }

    async fn send(
        &self,
        uri: &Uri,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, FetchError> {
        let host = uri.host().ok_or(FetchError::Url)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await?;
        if !is_tls {
            return converse(stream, request).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| FetchError::Url)?;
        converse(self.tls.connect(name, stream).await?, request).await
    }
}

/// Returns the `authorization` of an OAuth 2.0 client (RFC 6749 §2.3.1).
pub fn basic(id: &str, secret: &str) -> HeaderValue {
    let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
    let secret = utf8_percent_encode(secret, NON_ALPHANUMERIC);
    let value = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    // Base64 is a valid value of a header.
    let mut value = HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

/// Sends one request on a connection of its own.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, FetchError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the response, or when that is dropped at the timeout.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to an issuer failed");
        }
    });
    Ok(sender.send_request(request).await?)
}

async fn read(path: &Path) -> Result<Bytes, FetchError> {
    let length = tokio::fs::metadata(path).await?.len();
    if length > MAX_BYTES as u64 {
        let problem = format!("{length} bytes are more than {MAX_BYTES}");
        return Err(FetchError::Content(problem));
    }
    Ok(tokio::fs::read(path).await?.into())
}

/// Returns the trust anchors of the system. Without any, the first handshake fails.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let loaded = rustls_native_certs::load_native_certs();
    for error in &loaded.errors {
        tracing::warn!(%error, "system trust anchor not read");
    }
    roots.add_parsable_certificates(loaded.certs);
    roots
}
