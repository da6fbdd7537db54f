//! Calls a gateway with JSON over plain HTTP, as a client without protobuf does.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client as Pool};
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request body.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Media type of forms.
const FORM: &str = "application/x-www-form-urlencoded";
/// Longest wait for a response; uploads have no limit.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Largest response body, in bytes.
const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or one that broke before the response.
    #[error("the gateway does not respond")]
    Unreachable(#[source] legacy::Error),
    /// No response within 15 s.
    #[error("the gateway did not respond within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// A truncated response, or one above 4 MiB.
    #[error("the gateway's response is incomplete")]
    Incomplete(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An error response.
    #[error("{path}: {status}: {message}")]
    Rejected {
        /// The path of the request.
        path: String,
        /// The status line's code.
        status: StatusCode,
        /// The number of the `google.rpc.Code`; 0 when the body holds none.
        code: i32,
        /// The message of the `google.rpc.Status`.
        message: String,
        /// The details of the `google.rpc.Status`.
        details: Vec<Value>,
    },
    /// A message that is not the expected JSON.
    #[error("{path}: unexpected JSON")]
    Json {
        /// The path of the request.
        path: String,
        /// The error of the JSON parser.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    /// Returns whether the same call may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        /// `google.rpc.Code.ABORTED`: a conflict with a concurrent call.
        const ABORTED: i32 = 10;
        match self {
            Self::Unreachable(_) | Self::Timeout | Self::Incomplete(_) => true,
            Self::Rejected { status, code, .. } => {
                status.is_server_error()
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || *code == ABORTED
            }
            Self::Json { .. } => false,
        }
    }
}

/// A pool of connections to one gateway.
#[derive(Debug)]
pub struct Client {
    pool: Pool<HttpConnector, Body>,
    gateway: SocketAddr,
    /// The `authorization` of each call.
    authorization: Option<String>,
}

/// A `google.rpc.Status`, or an error of the Connect protocol, whose code is a name.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: Value,
    /// That of an error of OAuth 2.0 too (RFC 6749 §5.2).
    #[serde(alias = "error_description")]
    message: String,
    details: Vec<Value>,
}

impl Client {
    /// Creates a client; it connects with the first call.
    pub fn new(gateway: SocketAddr) -> Self {
        let pool = Pool::builder(TokioExecutor::new()).build_http();
        Self {
            pool,
            gateway,
            authorization: None,
        }
    }

    /// Sends `token` with each call.
    pub fn with_token(mut self, token: &str) -> Self {
        self.authorization = Some(format!("Bearer {token}"));
        self
    }

    /// Sends ID and secret of an OAuth 2.0 client with each call (RFC 6749 §2.3.1).
    pub fn with_client(mut self, id: &str, secret: &str) -> Self {
        let basic = auth::basic(id, secret);
        self.authorization = basic.to_str().ok().map(str::to_owned);
        self
    }

    /// Posts a form.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn submit<T: DeserializeOwned>(
        &self,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<T, Error> {
        let pairs = form.iter().map(|(name, value)| {
            let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
            format!("{name}={value}")
        });
        let form = pairs.collect::<Vec<_>>().join("&");
        let call = self.call(Method::POST, path, FORM, full(form.into()));
        tokio::time::timeout(TIMEOUT, call)
            .await
            .map_err(|_| Error::Timeout)?
    }

    /// Gets `path`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let call = self.call(Method::GET, path, "application/json", full(Bytes::new()));
        tokio::time::timeout(TIMEOUT, call)
            .await
            .map_err(|_| Error::Timeout)?
    }

    /// Posts `message` as JSON.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        message: &impl Serialize,
    ) -> Result<T, Error> {
        let json = serde_json::to_vec(message).map_err(|source| Error::Json {
            path: path.to_owned(),
            source,
        })?;
        let call = self.call(Method::POST, path, "application/json", full(json.into()));
        tokio::time::timeout(TIMEOUT, call)
            .await
            .map_err(|_| Error::Timeout)?
    }

    /// Posts a body as it is, without a time limit.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        content_type: &str,
        body: Body,
    ) -> Result<T, Error> {
        self.call(Method::POST, path, content_type, body).await
    }

    /// Posts `json` and returns the response when its head has come; a stream's messages follow,
    /// one in a line.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open(&self, path: &str, json: Bytes) -> Result<Response<Incoming>, Error> {
        let request = self.request(Method::POST, path, "application/json", full(json))?;
        let response = self
            .pool
            .request(request)
            .await
            .map_err(Error::Unreachable)?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(rejection(path, response).await?),
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Body,
    ) -> Result<T, Error> {
        let request = self.request(method, path, content_type, body)?;
        let response = self
            .pool
            .request(request)
            .await
            .map_err(Error::Unreachable)?;
        if !response.status().is_success() {
            return Err(rejection(path, response).await?);
        }
        let body = collect(response).await?;
        let path = path.to_owned();
        serde_json::from_slice(&body).map_err(|source| Error::Json { path, source })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Body,
    ) -> Result<Request<Body>, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.gateway))
            .header(CONTENT_TYPE, content_type);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(body);
        request.map_err(|error| Error::Incomplete(error.into()))
    }
}

/// Reads the error of a response that is not a success.
async fn rejection(path: &str, response: Response<Incoming>) -> Result<Error, Error> {
    let status = response.status();
    let body = collect(response).await?;
    // A proxy before the gateway may respond in any format.
    let told: Status = serde_json::from_slice(&body).unwrap_or_default();
    let code = told.code.as_i64().and_then(|code| i32::try_from(code).ok());
    let message = match told.code.as_str() {
        Some(name) => format!("{name}: {}", told.message),
        None => told.message,
    };
    Ok(Error::Rejected {
        path: path.to_owned(),
        status,
        code: code.unwrap_or_default(),
        message,
        details: told.details,
    })
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, Error> {
    let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES);
    let collected = body.collect().await.map_err(Error::Incomplete)?;
    Ok(collected.to_bytes())
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}
