//! The time for which a gRPC call holds its slot: until its answer begins.

use contract::MethodKind;
use http::HeaderMap;
use http::header::HeaderValue;
use http_body::Frame;
use rpc::error::{self, GRPC_STATUS};
use tonic::{Code, Status};

use crate::limiter::Permit;

/// The reason of a call that found no server.
const UNREACHABLE: &str = "UPSTREAM_UNREACHABLE";

/// A call with its slot.
///
/// A unary call holds it until its response message begins, so that a slow reader is no load. A
/// server stream holds it until the head of its response, and a call whose requests are a stream
/// only while it waits for admission: how long these take is up to their clients. Dropped before,
/// the call counts as given up.
#[derive(Debug)]
pub struct Hold {
    permit: Option<Permit>,
    streams: bool,
}

// === impl Hold ===

impl Hold {
    /// Holds the slot of a call. A method of unknown kind counts as unary.
    pub fn new(permit: Permit, kind: Option<MethodKind>) -> Self {
        let (permit, streams) = match kind {
            None | Some(MethodKind::Unary) => (Some(permit), false),
            Some(MethodKind::ServerStreaming) => (Some(permit), true),
            Some(MethodKind::ClientStreaming | MethodKind::BidiStreaming) => {
                permit.unused();
                (None, true)
            }
        };
        Self { permit, streams }
    }

    /// Notes the head of the response.
    pub fn head(&mut self, headers: &HeaderMap) {
        match headers.get(GRPC_STATUS) {
            Some(status) => self.answered(is_overload(status)),
            None if self.streams => self.answered(false),
            None => {}
        }
    }

    /// Notes a frame of the response's body.
    pub fn frame<T>(&mut self, frame: &Frame<T>) {
        let status = frame
            .trailers_ref()
            .and_then(|trailers| trailers.get(GRPC_STATUS));
        self.answered(status.is_some_and(is_overload));
    }

    /// Notes the end of the response's body.
    pub fn end(&mut self) {
        self.answered(false);
    }

    /// Notes a call that failed without an answer.
    pub fn failed(&mut self, status: &Status) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        let is_overload = matches!(status.code(), Code::Unavailable | Code::ResourceExhausted);
        match is_overload && error::reason(status).as_deref() != Some(UNREACHABLE) {
            true => permit.answered(true),
            false => permit.unused(),
        }
    }

    fn answered(&mut self, is_overloaded: bool) {
        if let Some(permit) = self.permit.take() {
            permit.answered(is_overloaded);
        }
    }
}

/// Returns whether a server that answers with this status is overloaded: DEADLINE_EXCEEDED,
/// RESOURCE_EXHAUSTED, UNAVAILABLE.
fn is_overload(status: &HeaderValue) -> bool {
    matches!(status.as_bytes(), b"4" | b"8" | b"14")
}
