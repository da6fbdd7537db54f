//! `/-/schema`: for each upstream where its API comes from, when it was learned, how large it is,
//! and what was refused.

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use tonic::body::Body;

use crate::context::Context;
use crate::failure::Failure;
use crate::protocols::JSON;

pub(super) async fn answer(context: &Context) -> Result<Response<Body>, Failure> {
    let status = context.directory().status().await;
    let mut json = serde_json::to_vec_pretty(&status).map_err(chassis::error::internal)?;
    json.push(b'\n');
    let mut response = Response::new(Body::new(Full::new(Bytes::from(json))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
