//! The end of a WebSocket: the error in band, the close frame, and the answer to the client's.

use std::time::Duration;

use chassis::observe::{self, RequestRecord};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tonic::{Code, Status};
use transcoder::status_code_name;

use super::Socket;
use super::partial::overdue;
use crate::api::Catalog;
use crate::call::frame::{draining_status, end_reason};
use crate::failure::Failure;
use crate::protocols::rest::write_status;

/// How long the client may take to close its side after ours.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Close codes of the range that RFC 6455 §7.4.2 leaves to applications: this one plus the gRPC
/// code.
const CODES: u16 = 4000;

/// The end of a conversation.
pub(super) enum CallEnd {
    Complete,
    Failed(Status),
    Draining,
    /// A message of the client exceeds the limit.
    TooLarge(Status),
    /// The client broke the rules of WebSocket; the close code says which.
    Violation(u16),
    /// The client is gone.
    Gone,
}

// === impl CallEnd ===

impl CallEnd {
    /// The end of a conversation with a client whose frames can't be read (RFC 6455 §7.4.1).
    pub(super) fn of(error: &tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Gone,
            tungstenite::Error::Protocol(_) => Self::Violation(1002),
            tungstenite::Error::Utf8(_) => Self::Violation(1007),
            tungstenite::Error::Io(error) => overdue(error).map_or(Self::Gone, Self::Failed),
            _ => Self::Gone,
        }
    }

    pub(super) fn note(&self, observed: &RequestRecord) {
        match self {
            Self::Complete => observed.code(Code::Ok),
            Self::Gone | Self::Violation(_) => observed.end(observe::End::ClientGone),
            Self::Draining => observed.end(observe::End::Drain),
            Self::TooLarge(status) => observed.code(status.code()),
            Self::Failed(status) => {
                observed.code(status.code());
                observed.end(end_reason(status));
            }
        }
    }
}

/// A text frame with this JSON.
pub(super) fn text(json: Vec<u8>) -> Result<Message, Failure> {
    let text = json.try_into().map(Message::Text);
    text.map_err(|error| chassis::error::internal(anyhow::Error::from(error)).into())
}

/// Says why it is over, and waits for the client to say that it has heard: a socket that is closed
/// at once may take the last frames with it.
pub(super) async fn close(
    mut sink: SplitSink<Socket, Message>,
    mut source: SplitStream<Socket>,
    catalog: &Catalog,
    end: CallEnd,
) {
    let (code, status) = match end {
        CallEnd::Complete | CallEnd::Gone => (1000, None),
        CallEnd::Violation(code) => (code, None),
        CallEnd::Draining => (1001, Some(draining_status())),
        CallEnd::TooLarge(status) => (1009, Some(status)),
        CallEnd::Failed(status) => (CODES + status.code() as u16, Some(status)),
    };
    let reason = match (&status, code) {
        (Some(status), _) => status_code_name(status.code() as i32),
        (None, 1002) => "a frame breaks the protocol",
        (None, 1007) => "a text is not UTF-8",
        (None, _) => status_code_name(Code::Ok as i32),
    };
    let frame = CloseFrame {
        code: code.into(),
        reason: reason.into(),
    };
    let farewell = async {
        // Nothing can be sent after the close frame of a client.
        let _ = say_end(&mut sink, catalog, status, frame).await;
        // Writes what waits: our close frame, or the answer to the client's (RFC 6455 §5.5.1).
        sink.close().await?;
        while source.next().await.is_some_and(|received| received.is_ok()) {}
        Ok::<_, tungstenite::Error>(())
    };
    // A client that does not answer has received the reason anyway.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, farewell).await;
}

async fn say_end(
    sink: &mut SplitSink<Socket, Message>,
    catalog: &Catalog,
    status: Option<Status>,
    frame: CloseFrame,
) -> Result<(), tungstenite::Error> {
    if let Some(status) = status {
        let mut json = b"{\"error\":".to_vec();
        write_status(&catalog.schema, &status, &mut json);
        json.push(b'}');
        if let Ok(error) = text(json) {
            sink.send(error).await?;
        }
    }
    sink.send(Message::Close(Some(frame))).await
}
