//! JSON over HTTP to a mesh, as by curl.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

use crate::Mesh;

/// A client of one address.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    /// Sent with each request.
    own: Vec<(String, String)>,
}

/// A response with its whole body.
#[derive(Debug)]
pub struct Response {
    /// The status line's code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Mesh {
    /// Returns a client of the gateway.
    ///
    /// # Errors
    /// When this mesh has no gateway.
    pub fn http(&self) -> Result<Http> {
        Ok(Http::of(self.gateway()?))
    }

    /// Returns a client of a process, such as of its metrics.
    ///
    /// # Errors
    /// When this mesh has no such process.
    pub fn http_of(&self, name: &str) -> Result<Http> {
        Ok(Http::of(self.stack().address(name)?))
    }
}

impl Http {
    /// Returns a client of an address.
    pub fn of(address: SocketAddr) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            address,
            own: Vec::new(),
        }
    }

    /// Sends this header with each request.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.own.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gets `path` with this `Accept` header.
    ///
    /// # Errors
    /// Without a complete response.
    pub async fn get(&self, path: &str, accept: &str) -> Result<Response> {
        let request = self
            .request("GET", path)
            .header(header::ACCEPT, accept)
            .body(Full::default())?;
        self.send(request).await
    }

    /// Sends a request with this method, content type and body.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        content_type: Option<&str>,
        body: String,
    ) -> Result<Response> {
        let mut request = self.request(method, path);
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        self.send(request.body(Full::from(body))?).await
    }

    /// Posts JSON to `path`.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub async fn post(&self, path: &str, json: &Value) -> Result<Response> {
        let request = self
            .request("POST", path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(json.to_string()))?;
        self.send(request).await
    }

    /// Posts bytes of a CSV file to `path`.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub async fn upload(&self, path: &str, bytes: Bytes) -> Result<Response> {
        let request = self
            .request("POST", path)
            .header(header::CONTENT_TYPE, "text/csv")
            .body(Full::from(bytes))?;
        self.send(request).await
    }

    fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        let own = self.own.iter();
        own.fold(request, |request, (name, value)| {
            request.header(name, value)
        })
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response> {
        let response = self.client.request(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.context("the whole body")?.to_bytes();
        Ok(Response {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

impl Response {
    /// Parses the body as JSON.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("JSON in {:?}", self.body))
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the stable reason of an error: `google.rpc.ErrorInfo` in its details.
    pub fn reason(&self) -> Option<String> {
        let status = self.json().ok()?;
        let details = status["details"].as_array()?.clone();
        details
            .iter()
            .find_map(|detail| detail["reason"].as_str().map(str::to_owned))
    }
}
