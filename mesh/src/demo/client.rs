//! JSON over plain HTTP to the gateway, as a client that knows no Protobuf speaks it.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client as Pool};
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

/// What a request carries.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An answer that takes longer is none; uploads take as long as they take.
const PATIENCE: Duration = Duration::from_secs(15);
/// No answer that is asked for here comes near to it.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// How long a call is repeated: longer than a supervisor takes to bring a process back.
const OUTAGE: Duration = Duration::from_secs(90);
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the gateway does not answer")]
    Unreachable(#[source] legacy::Error),
    #[error("the gateway did not answer within {} s", PATIENCE.as_secs())]
    Slow,
    #[error("the gateway's answer broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("{path}: {status}: {message}")]
    Refused {
        path: String,
        status: StatusCode,
        code: i32,
        message: String,
    },
    #[error("{path}: the answer is not the JSON that was expected")]
    Answer {
        path: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("cannot read the file")]
    File(#[from] io::Error),
    #[error("nothing was taken for {} s", OUTAGE.as_secs())]
    Outage(#[source] Option<Box<Error>>),
}

impl Error {
    /// Whether the same call may succeed a moment later.
    pub(super) fn is_transient(&self) -> bool {
        /// `google.rpc.Code.ABORTED`: another upload was going on, or had just ended.
        const ABORTED: i32 = 10;
        match self {
            Self::Unreachable(_) | Self::Slow | Self::Broken(_) => true,
            Self::Refused { status, code, .. } => {
                status.is_server_error()
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || *code == ABORTED
            }
            Self::Answer { .. } | Self::File(_) | Self::Outage(_) => false,
        }
    }
}

/// Calls one gateway.
#[derive(Debug)]
pub(crate) struct Client {
    pool: Pool<HttpConnector, Body>,
    gateway: SocketAddr,
}

/// The part of `google.rpc.Status` that is for people.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: i32,
    message: String,
}

impl Client {
    pub(crate) fn new(gateway: SocketAddr) -> Self {
        let pool = Pool::builder(TokioExecutor::new()).build_http();
        Self { pool, gateway }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let call = self.call(Method::GET, path, "application/json", full(Bytes::new()));
        tokio::time::timeout(PATIENCE, call)
            .await
            .map_err(|_| Error::Slow)?
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        message: &impl Serialize,
    ) -> Result<T, Error> {
        let json = serde_json::to_vec(message).map_err(|source| Error::Answer {
            path: path.to_owned(),
            source,
        })?;
        let call = self.call(Method::POST, path, "application/json", full(json.into()));
        tokio::time::timeout(PATIENCE, call)
            .await
            .map_err(|_| Error::Slow)?
    }

    pub(super) async fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        content_type: &str,
        body: Body,
    ) -> Result<T, Error> {
        self.call(Method::POST, path, content_type, body).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Body,
    ) -> Result<T, Error> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.gateway))
            .header(CONTENT_TYPE, content_type)
            .body(body)
            .map_err(|error| Error::Broken(error.into()))?;
        let response = self
            .pool
            .request(request)
            .await
            .map_err(Error::Unreachable)?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), ANSWER_BYTES)
            .collect()
            .await
            .map_err(Error::Broken)?
            .to_bytes();
        let path = path.to_owned();
        if status.is_success() {
            return serde_json::from_slice(&answer)
                .map_err(|source| Error::Answer { path, source });
        }
        // What stands before the gateway, if anything, may answer in any format.
        let Refusal { code, message } = serde_json::from_slice(&answer).unwrap_or_default();
        Err(Error::Refused {
            path,
            status,
            code,
            message,
        })
    }
}

/// Repeats a call that has no further effect when repeated, until it succeeds or can't any more.
pub(super) async fn retrying<T>(
    mut call: impl AsyncFnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let mut outage = Outage::default();
    loop {
        match call().await {
            Err(error) if error.is_transient() => outage.pause(Some(error)).await?,
            outcome => return outcome,
        }
    }
}

/// A time in which nothing succeeds.
#[derive(Debug, Default)]
pub(super) struct Outage {
    begin: Option<Instant>,
    pause: Duration,
}

impl Outage {
    /// Something succeeded.
    pub(super) fn over(&mut self) {
        *self = Self::default();
    }

    /// Waits before the next try, or gives up with the last failure.
    pub(super) async fn pause(&mut self, failure: Option<Error>) -> Result<(), Error> {
        if self.begin.get_or_insert_with(Instant::now).elapsed() > OUTAGE {
            return Err(Error::Outage(failure.map(Box::new)));
        }
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        tokio::time::sleep(self.pause).await;
        Ok(())
    }
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Reads an `int64`, which ProtoJSON writes as a string.
pub(super) fn int64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(i64),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Number(number) => Ok(number),
        Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}
