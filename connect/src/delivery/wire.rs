//! A unary call whose messages are bytes.

use bytes::{Buf as _, BufMut as _, Bytes};
use chassis::client::OneMessage;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

use crate::source::Source;

/// Passes messages on as they are.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

/// Calls the method of a source; its response is of no use.
pub(super) async fn unary(source: &Source, message: Bytes) -> Result<(), Status> {
    let path = PathAndQuery::try_from(source.path())
        .map_err(|error| Status::internal(error.to_string()))?;
    let mut request = Request::new(message);
    request.extensions_mut().insert(source.safety());
    request.extensions_mut().insert(OneMessage);
    let mut client = Grpc::new(source.upstream().clone());
    client.ready().await?;
    client.unary(request, path, Raw).await?;
    Ok(())
}

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}
