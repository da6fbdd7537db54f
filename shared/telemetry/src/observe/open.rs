//! The time that a record is open: until its answer, or until nobody waits for it.

use std::convert::Infallible;

use http::{Response, StatusCode};
use tonic::body::Body;
use tracing::Instrument;

use super::body::ResponseBody;
use super::{CLIENT_GONE, CURRENT, End, OpenRecord, RequestRecord, UpgradeRecord};

// === impl OpenRecord ===

impl OpenRecord {
    /// Awaits the answer under its record and, if tracing is on, in a span that continues the
    /// caller's trace.
    pub async fn around<F>(mut self, answer: F) -> Result<Response<Body>, Infallible>
    where
        F: Future<Output = Result<Response<Body>, Infallible>>,
    {
        let record = self.record.clone();
        let answer = CURRENT.scope(RequestRecord(Some(record.clone())), answer);
        // A disabled span need not be entered at each poll.
        let response = if record.span.is_disabled() {
            answer.await?
        } else {
            answer.instrument(record.span.clone()).await?
        };
        self.is_answered = true;
        Ok(ResponseBody::wrap(response, record))
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        if !self.is_answered {
            let status = StatusCode::from_u16(CLIENT_GONE).unwrap_or(StatusCode::BAD_REQUEST);
            self.record.close(status, End::ClientGone);
        }
    }
}

// === impl UpgradeRecord ===

impl Drop for UpgradeRecord {
    fn drop(&mut self) {
        self.0.close(StatusCode::SWITCHING_PROTOCOLS, End::Complete);
    }
}
