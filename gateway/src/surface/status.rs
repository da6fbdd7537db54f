//! `/-/schema`: for each upstream where its API comes from, when it was learned, how large it is,
//! and what was refused.

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use serde::Serialize;
use tonic::body::Body;

use crate::context::Context;
use crate::failure::Failure;
use crate::protocols::JSON;

pub(super) async fn answer(context: &Context) -> Result<Response<Body>, Failure> {
    show(&context.directory().status().await)
}

/// A page of JSON for operators, never cached.
pub(super) fn show(page: &impl Serialize) -> Result<Response<Body>, Failure> {
    let mut json = serde_json::to_vec_pretty(page).map_err(chassis::error::internal)?;
    json.push(b'\n');
    let mut response = Response::new(Body::new(Full::new(Bytes::from(json))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
