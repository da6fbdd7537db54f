//! Forms whose POST stands for another method, as grpc-gateway has it.

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, Method};
use transcoder::RouteError;

use crate::api::Catalog;

const OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Changes the method of a POST with a form to the one that it names; without a name, to GET where
/// the path has no POST: a query that was too long for a URL.
pub(crate) fn override_method(catalog: &Catalog, head: &mut Parts) {
    let content_type = head.headers.get(CONTENT_TYPE);
    if head.method != Method::POST || content_type.is_none_or(|found| found != FORM) {
        return;
    }
    if let Some(named) = head.headers.get(OVERRIDE) {
        let named = named.as_bytes().to_ascii_uppercase();
        if let Ok(method) = Method::from_bytes(&named) {
            head.method = method;
        }
        return;
    }
    let found = catalog.schema.route(&Method::POST, head.uri.path());
    if let Err(RouteError::MethodNotAllowed { allow }) = found
        && allow.contains(&Method::GET)
    {
        head.method = Method::GET;
    }
}
