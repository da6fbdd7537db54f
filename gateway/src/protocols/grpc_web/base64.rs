//! Bodies in base64, decoded and encoded in pieces: what is complete of each piece passes at once.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use chassis::error::Fault;
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;

/// So many characters are so many bytes, at most, and stand for themselves.
const QUAD: usize = 4;

/// The bytes of a body in base64. Padding may stand wherever a sender has ended a piece.
pub(super) struct Base64Decoder {
    inner: Body,
    /// Less than one group of characters.
    rest: BytesMut,
    is_ended: bool,
}

/// A body in base64; each of its frames is complete, with padding, so that no message waits for the
/// next one.
pub(super) struct Base64Encoder(Body);

// === impl Base64Decoder ===

impl Base64Decoder {
    pub(super) fn new(inner: Body) -> Self {
        Self {
            inner,
            rest: BytesMut::new(),
            is_ended: false,
        }
    }

    /// The bytes of all whole groups that have arrived.
    fn decode(&mut self, data: &[u8]) -> Result<Bytes, Status> {
        self.rest.extend_from_slice(data);
        let whole = self.rest.len() / QUAD * QUAD;
        let groups = self.rest.split_to(whole);
        let mut bytes = Vec::with_capacity(whole / QUAD * 3);
        let mut left: &[u8] = &groups;
        while !left.is_empty() {
            let end = left.iter().position(|byte| *byte == b'=');
            let end = end.map_or(left.len(), |padding| (padding / QUAD + 1) * QUAD);
            let (piece, behind) = left.split_at(end.min(left.len()));
            STANDARD
                .decode_vec(piece, &mut bytes)
                .map_err(|_| malformed())?;
            left = behind;
        }
        Ok(bytes.into())
    }
}

impl http_body::Body for Base64Decoder {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if self.is_ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    let decoded = self.decode(&data);
                    self.is_ended = decoded.is_err();
                    match decoded {
                        Ok(bytes) if bytes.is_empty() => {}
                        other => return Poll::Ready(Some(other.map(Frame::data))),
                    }
                }
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => {
                    self.is_ended = true;
                    let is_cut = !self.rest.is_empty();
                    return Poll::Ready(is_cut.then(|| Err(malformed())));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended || (self.rest.is_empty() && self.inner.is_end_stream())
    }
}

fn malformed() -> Status {
    Fault::invalid_argument("BAD_BASE64", "the body is no valid base64").into()
}

// === impl Base64Encoder ===

impl Base64Encoder {
    pub(super) fn new(inner: Body) -> Self {
        Self(inner)
    }
}

impl http_body::Body for Base64Encoder {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = ready!(Pin::new(&mut self.0).poll_frame(context));
        Poll::Ready(
            polled.map(|frame| Ok(frame?.map_data(|data| Bytes::from(STANDARD.encode(data))))),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    async fn decode(text: &str, size: usize) -> Result<Vec<u8>, Status> {
        let pieces: Vec<_> = text
            .as_bytes()
            .chunks(size)
            .map(|piece| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        let body = Base64Decoder::new(Body::new(StreamBody::new(tokio_stream::iter(pieces))));
        Ok(body.collect().await?.to_bytes().to_vec())
    }

    #[tokio::test]
    async fn base64_is_decoded_however_it_is_cut_and_padded() {
        for (text, expected) in [
            ("", ""),
            ("YQ==", "a"),
            ("YWI=YWJj", "ababc"),
            ("YQ==YQ==YWJjYWJj", "aaabcabc"),
        ] {
            for size in 1..=text.len().max(1) {
                assert_eq!(
                    decode(text, size).await.unwrap(),
                    expected.as_bytes(),
                    "{text} {size}"
                );
            }
        }
        for text in ["YQ", "YWJjY", "Y===", "Y!Jj", "=YWJ"] {
            for size in 1..=text.len() {
                assert!(decode(text, size).await.is_err(), "{text} {size}");
            }
        }
    }
}
