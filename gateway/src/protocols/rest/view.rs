//! How the messages of a response are shown to their caller: as JSON, whole or the fields that were
//! asked for, or as raw bytes.

use std::sync::Arc;

use bytes::Bytes;
use chassis::error::Fault;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use tonic::Code;
use tonic::body::Body;
use transcoder::{Fields, Route, SystemParameters, WireError};

use crate::api::Catalog;
use crate::failure::Failure;
use crate::protocols::JSON;

/// One caller's view of the responses of a route; clones are cheap next to a call.
#[derive(Clone)]
pub(crate) struct View {
    catalog: Arc<Catalog>,
    route: Arc<Route>,
    /// The compiled `$fields`; `None` shows everything.
    fields: Option<Fields>,
}

// === impl View ===

impl View {
    /// Compiles the response mask, if there is one. Raw bytes have no fields, so that a mask says
    /// nothing about them.
    pub(crate) fn new(
        catalog: &Arc<Catalog>,
        route: &Arc<Route>,
        parameters: &SystemParameters<'_>,
    ) -> Result<Self, Failure> {
        let mask = parameters.fields.as_deref().filter(|mask| !mask.is_empty());
        let fields = match mask.filter(|_| !route.is_download()) {
            Some(mask) => Some(route.fields(mask)?),
            None => None,
        };
        Ok(Self {
            catalog: catalog.clone(),
            route: route.clone(),
            fields,
        })
    }

    /// Whether some fields only are shown.
    pub(crate) fn is_partial(&self) -> bool {
        self.fields.is_some()
    }

    /// Appends the JSON of one message.
    pub(crate) fn write_json(&self, wire: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        match &self.fields {
            Some(fields) => self.route.write_response_fields(fields, wire, out),
            None => self.route.write_response(wire, out),
        }
    }

    /// Appends the JSON of one message, once the types of its Anys are known.
    pub(crate) async fn write_known(&self, wire: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let written = self.convert(|| self.write_json(wire, out)).await;
        written.map_err(|error| self.violation(&error))
    }

    /// Converts a message, again after each type of an Any that the upstream tells.
    pub(crate) async fn convert(
        &self,
        convert: impl FnMut() -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let method = self.route.method().path();
        self.catalog.convert(method, convert).await
    }

    /// The failure of a message that could not be written.
    pub(crate) fn violation(&self, error: &WireError) -> Failure {
        let method = self.route.method();
        self.catalog
            .violation(method.path(), method.output(), error)
    }

    /// The data inside an `HttpBody` message.
    pub(crate) fn data(&self, message: &Bytes) -> Result<Bytes, Failure> {
        let found = self.route.http_body_response(message);
        let (_, data) = found.map_err(|error| self.violation(&error))?;
        Ok(message.slice(data))
    }

    /// The content type that an upstream has set in an `HttpBody`; none if it is empty.
    pub(crate) fn content_type(&self, message: &[u8]) -> Result<Option<HeaderValue>, Failure> {
        let found = self.route.http_body_response(message);
        let (content_type, _) = found.map_err(|error| self.violation(&error))?;
        if content_type.is_empty() {
            return Ok(None);
        }
        let value = HeaderValue::from_str(content_type);
        value.map(Some).map_err(|_| {
            Fault::new(
                Code::Internal,
                "BAD_UPSTREAM_MESSAGE",
                "invalid content type from the upstream",
            )
            .into()
        })
    }

    /// The response that is one message.
    pub(crate) async fn respond(&self, message: &Bytes) -> Result<Response<Body>, Failure> {
        let (content_type, body) = if self.route.is_download() {
            (self.content_type(message)?, self.data(message)?)
        } else {
            let mut json = Vec::new();
            self.write_known(message, &mut json).await?;
            (Some(HeaderValue::from_static(JSON)), Bytes::from(json))
        };
        let mut response = Response::new(Body::new(Full::new(body)));
        if let Some(content_type) = content_type {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        Ok(response)
    }
}
