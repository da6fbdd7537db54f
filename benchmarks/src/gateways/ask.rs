//! Requests of clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::Result;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, TE};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;

use super::upstream::{CREATE_ORDER, order_frame};
use crate::corpus::ORDER;

/// One kind of request.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) protocol: Protocol,
    method: Method,
    pub(super) path: String,
    /// Body; may be empty.
    content_type: &'static str,
    accept: &'static str,
    /// `cache-control`; may be empty.
    control: &'static str,
    body: Bytes,
    pub(super) callers: Callers,
}

/// The credentials of a crowd, used in turn; clones go on where another stopped.
#[derive(Clone, Default)]
pub(super) struct Callers {
    credentials: Arc<[HeaderValue]>,
    turn: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

// === impl Ask ===

impl Ask {
    /// Returns the request that echoes an order.
    pub(super) fn order() -> Self {
        Self {
            protocol: Protocol::Http1,
            method: Method::POST,
            path: ORDER.path.to_owned(),
            content_type: "application/json",
            accept: "application/json",
            control: "",
            body: Bytes::from_static(ORDER.json.as_bytes()),
            callers: Callers::default(),
        }
    }

    /// Returns the same request at another path, by these callers.
    pub(super) fn by(self, path: &str, callers: Callers) -> Self {
        Self {
            path: path.to_owned(),
            callers,
            ..self
        }
    }

    /// Returns the request of a stream of orders, which may stay open after them.
    pub(super) fn orders(count: usize, hold: bool, accept: &'static str) -> Self {
        let hold = if hold { "&hold=true" } else { "" };
        Self {
            protocol: Protocol::Http1,
            method: Method::GET,
            path: format!("/v1/orders:stream?count={count}{hold}"),
            content_type: "",
            accept,
            control: "",
            body: Bytes::new(),
            callers: Callers::default(),
        }
    }

    /// Returns the request of an order whose answer is kept; if it is `anew`, past the cache.
    pub(super) fn cached(anew: bool) -> Self {
        Self {
            method: Method::GET,
            path: "/v1/cached/a".to_owned(),
            content_type: "",
            control: if anew { "no-cache" } else { "" },
            body: Bytes::new(),
            ..Self::order()
        }
    }

    /// Returns the gRPC request that echoes an order.
    pub(super) fn grpc() -> Result<Self> {
        let ask = Self::rpc(CREATE_ORDER, "application/grpc", order_frame()?);
        Ok(ask.over_http2())
    }

    /// Returns a call of a method in a protocol that names it in the path.
    pub(super) fn rpc(path: &str, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            protocol: Protocol::Http1,
            method: Method::POST,
            path: path.to_owned(),
            content_type,
            accept: "",
            control: "",
            body: body.into(),
            callers: Callers::default(),
        }
    }

    /// Returns the same request over HTTP/2.
    pub(super) fn over_http2(self) -> Self {
        Self {
            protocol: Protocol::Http2,
            ..self
        }
    }

    /// Returns the same request with another body.
    pub(super) fn with_body(self, body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..self
        }
    }

    pub(super) fn is_grpc(&self) -> bool {
        self.content_type == "application/grpc"
    }

    pub(super) fn request(&self, peer: SocketAddr) -> Result<Request<Full<Bytes>>> {
        let builder = Request::builder().method(self.method.clone());
        let mut builder = match self.protocol {
            Protocol::Http1 => builder.uri(&self.path).header(HOST, peer.to_string()),
            Protocol::Http2 => builder.uri(format!("http://{peer}{}", self.path)),
        };
        let te = if self.is_grpc() { "trailers" } else { "" };
        for (name, value) in [
            (ACCEPT, self.accept),
            (CONTENT_TYPE, self.content_type),
            (TE, te),
            (CACHE_CONTROL, self.control),
        ] {
            if !value.is_empty() {
                builder = builder.header(name, value);
            }
        }
        let mut request = builder.body(Full::new(self.body.clone()))?;
        self.callers.sign(&mut request);
        Ok(request)
    }
}

// === impl Callers ===

impl Callers {
    pub(super) fn new(credentials: Arc<[HeaderValue]>) -> Self {
        Self {
            credentials,
            turn: Arc::default(),
        }
    }

    /// Puts the next caller's credential on a request; without callers it has none.
    pub(super) fn sign<B>(&self, request: &mut Request<B>) {
        if !self.credentials.is_empty() {
            let turn = self.turn.fetch_add(1, Relaxed) % self.credentials.len();
            let credential = self.credentials[turn].clone();
            request.headers_mut().insert(AUTHORIZATION, credential);
        }
    }
}
