//! Sends one request and reads its answer as JSON values, or the first ones of a stream.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::cases::Call;

const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer in bytes.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Sender {
    pool: Pool<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
}

/// An answer; a body that is not JSON is one string.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) values: Vec<Value>,
}

impl Sender {
    pub(super) fn new(address: SocketAddr) -> Self {
        let pool = Pool::builder(TokioExecutor::new()).build_http();
        Self { pool, address }
    }

    /// # Errors
    /// Without a whole answer in time; an endless stream ends after its `lines`.
    pub(super) async fn send(&self, request: &Call) -> Result<Reply> {
        tokio::time::timeout(PATIENCE, self.answer(request))
            .await
            .with_context(|| format!("no answer within {} s", PATIENCE.as_secs()))?
    }

    async fn answer(&self, request: &Call) -> Result<Reply> {
        let uri = format!("http://{}{}", self.address, request.target);
        let mut builder = http::Request::builder()
            .method(request.method.as_str())
            .uri(uri);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let body = Full::from(request.body.clone().unwrap_or_default());
        let response = self.pool.request(builder.body(body)?).await?;
        let status = response.status();
        let mut headers = BTreeMap::new();
        for (name, value) in response.headers() {
            let value = String::from_utf8_lossy(value.as_bytes());
            let joined: &mut String = headers.entry(name.to_string()).or_default();
            if !joined.is_empty() {
                joined.push_str(", ");
            }
            joined.push_str(&value);
        }
        let text = read(response.into_body(), request.lines).await?;
        Ok(Reply {
            status,
            headers,
            values: values(&text),
        })
    }
}

async fn read<B>(mut body: B, lines: Option<usize>) -> Result<Vec<u8>>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            text.extend_from_slice(&data);
        }
        let seen = text.iter().filter(|byte| **byte == b'\n').count();
        if lines.is_some_and(|lines| seen >= lines) {
            break;
        }
        if text.len() > ANSWER_BYTES {
            bail!("the answer has more than {ANSWER_BYTES} bytes");
        }
    }
    Ok(text)
}

fn values(text: &[u8]) -> Vec<Value> {
    let parsed: Result<Vec<Value>, _> = serde_json::Deserializer::from_slice(text)
        .into_iter()
        .collect();
    parsed.unwrap_or_else(|_| vec![Value::String(String::from_utf8_lossy(text).into_owned())])
}

impl Reply {
    /// Returns the stand-in for an answer that did not come.
    pub(super) fn failed(why: &str) -> Self {
        Self {
            status: StatusCode::IM_A_TEAPOT,
            headers: BTreeMap::new(),
            values: vec![Value::String(why.to_owned())],
        }
    }

    /// Replaces the values of variables by their names.
    pub(super) fn name_variables(&mut self, variables: &BTreeMap<String, String>) {
        for value in &mut self.values {
            rename(value, variables);
        }
    }
}

fn rename(value: &mut Value, variables: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            for (name, value) in variables.iter().filter(|(_, value)| value.len() > 8) {
                *text = text.replace(value, &format!("{{{{{name}}}}}"));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, variables)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|member| rename(member, variables)),
        _ => {}
    }
}
