//! Raw uploads: the body of one HTTP request becomes a stream of messages, piece by piece as the
//! upstream takes them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use chassis::stalled;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;
use transcoder::Route;

use super::exchange::{self, Exchange, finish_frame};
use super::multipart;
use crate::call::frame::{AbortReason, begin_frame};
use crate::call::request_body::{aborted_by_client, body_error};
use crate::call::{HeldBody, RequestMessages};
use crate::failure::Failure;

/// The messages of the upload, to be sent while it arrives. Of `multipart/form-data`, it is the
/// file.
pub(crate) async fn messages(
    exchange: &Exchange<'_>,
    body: Body,
) -> Result<RequestMessages, Failure> {
    let headers = &exchange.head.headers;
    let query = exchange.head.uri.query();
    let content_type = exchange::content_type(headers)?.unwrap_or_default();
    let pace = exchange.context.body_pace();
    let Some(boundary) = multipart::boundary(content_type)? else {
        let head = exchange.upload_head(query, content_type)?;
        // Without an end that is known it may be a stream, which may be idle.
        let body = match headers.contains_key(CONTENT_LENGTH) {
            true => stalled::bound(body, pace),
            false => body,
        };
        let declared = headers.get(CONTENT_LENGTH);
        // A coding tells its end itself, and its length is another.
        let declared = declared.filter(|_| !headers.contains_key(CONTENT_ENCODING));
        let declared = declared.and_then(|value| value.to_str().ok()?.parse().ok());
        return Ok(Upload::messages(
            exchange,
            head,
            body,
            declared,
            AbortReason::default(),
        ));
    };
    let max_bytes = exchange.context.max_body_bytes();
    let holding = exchange.holding();
    let body = stalled::bound(body, pace);
    let file = multipart::file(body, boundary, max_bytes, &holding).await?;
    let query = file.query_behind(query);
    let head = exchange.upload_head(Some(&query), &file.content_type)?;
    // Its last boundary marks the end.
    Ok(Upload::messages(
        exchange,
        head,
        file.data,
        None,
        file.refused,
    ))
}

/// The messages of one upload: the head, then pieces. At most one piece of the client's body is
/// held at a time.
struct Upload {
    head: Option<Bytes>,
    body: Body,
    piece: Bytes,
    /// Bytes that are to come, where the client has declared how many there are.
    left: Option<u64>,
    max_piece: usize,
    route: Arc<Route>,
    held: HeldBody,
    /// Tells the one who answers the client.
    refused: AbortReason,
}

impl Upload {
    fn messages(
        exchange: &Exchange<'_>,
        head: Bytes,
        body: Body,
        left: Option<u64>,
        refused: AbortReason,
    ) -> RequestMessages {
        let upload = Self {
            head: Some(head),
            body,
            piece: Bytes::new(),
            left,
            max_piece: exchange.context.upload_chunk_bytes(),
            route: exchange.matched.route().clone(),
            held: HeldBody::stream(&exchange.holding(), exchange.context.request_window()),
            refused: refused.clone(),
        };
        RequestMessages {
            body: Body::new(upload),
            refused,
        }
    }

    /// A truncated upload is always an error.
    fn receive(
        &mut self,
        frame: Option<Result<Frame<Bytes>, Status>>,
    ) -> Result<Option<()>, Status> {
        match frame {
            None if self.left.is_some_and(|left| left > 0) => Err(aborted_by_client()),
            None => Ok(None),
            Some(Err(status)) => {
                let status = body_error(status);
                let _ = self.refused.set(status.clone());
                Err(status)
            }
            Some(Ok(frame)) => {
                self.piece = frame.into_data().unwrap_or_default();
                let is_last = self.body.is_end_stream();
                self.held
                    .arrived(self.piece.len(), 0, is_last)
                    .map_err(|excess| {
                        let status = Status::from(excess);
                        let _ = self.refused.set(status.clone());
                        status
                    })?;
                self.left = self
                    .left
                    .map(|left| left.saturating_sub(self.piece.len() as u64));
                Ok(Some(()))
            }
        }
    }

    fn next_message(&mut self) -> Result<Bytes, Status> {
        let piece = self.piece.split_to(self.piece.len().min(self.max_piece));
        let mut frame = begin_frame();
        self.route.encode_upload_chunk(&piece, &mut frame);
        finish_frame(frame).map_err(|failure| failure.status)
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        while self.piece.is_empty() {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                // Nothing is kept, so that there is always room.
                let _: Result<_, _> = self.held.waits(0);
                return Poll::Pending;
            };
            match self.receive(frame) {
                Ok(Some(())) => {}
                Ok(None) => return Poll::Ready(None),
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
        }
        Poll::Ready(Some(self.next_message().map(Frame::data)))
    }
}
