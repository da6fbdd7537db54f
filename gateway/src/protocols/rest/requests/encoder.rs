//! Turns the messages of a request stream into gRPC frames, whatever carries them.

use std::sync::Arc;

use chassis::observe::{self, RequestRecord};
use http::{Method, Uri};
use learning::TypeLookups;
use transcoder::stream::Message;
use transcoder::{Content, RequestError, Route};

use crate::api::Catalog;
use crate::failure::Failure;
use crate::protocols::rest::{Exchange, finish_frame_in};

/// The encoder of one stream.
pub(crate) struct MessageEncoder {
    catalog: Arc<Catalog>,
    route: Arc<Route>,
    /// Method and URI that bind to the first message; `None` after it.
    first: Option<(Method, Uri)>,
    observed: RequestRecord,
}

// === impl MessageEncoder ===

impl MessageEncoder {
    pub(crate) fn of(exchange: &Exchange<'_>) -> Self {
        let head = exchange.head;
        Self {
            catalog: exchange.catalog.clone(),
            route: exchange.matched.route().clone(),
            first: Some((head.method.clone(), head.uri.clone())),
            observed: observe::current(),
        }
    }

    /// The lookups of types for the messages of this stream.
    pub(crate) fn lookups(&self) -> TypeLookups {
        self.catalog.lookups(self.route.method().path())
    }

    /// Appends one message as a frame, once the types of its Anys are known.
    pub(crate) async fn put_known(
        &mut self,
        content: Content,
        message: &Message<'_>,
        frames: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let (catalog, route) = (self.catalog.clone(), self.route.clone());
        let put = || self.put(content, message, frames);
        catalog.convert(route.method().path(), put).await
    }

    /// Appends one message as a frame. Path and query bind to the first one. Where the type of an
    /// Any is missing, the same message may be put again.
    pub(crate) fn put(
        &mut self,
        content: Content,
        message: &Message<'_>,
        frames: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let start = rpc::frame::begin(frames);
        let encoded: Result<(), RequestError> = match &self.first {
            Some((method, uri)) => {
                let matched = self.catalog.schema.route_or_rpc(method, uri.path());
                let matched = matched.map_err(|error| Failure::unrouted(error, uri.query()))?;
                matched.encode_request_as(content, uri.query(), message.bytes, frames)
            }
            None => {
                let route = &self.route;
                route.encode_stream_message_as(content, message.bytes, frames)
            }
        };
        if let Err(error) = encoded {
            frames.truncate(start);
            return Err(message.locate(error).into());
        }
        self.first = None;
        self.observed.request_messages(1);
        finish_frame_in(frames, start)
    }
}
