//! `/-/schema`: for each upstream where its API comes from, when it was learned, how large it is, and what was refused.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use tonic::body::Body;

use crate::gateway::Gateway;
use crate::view::JSON;

/// A contract that routes this path itself is hidden behind it.
pub(crate) const PATH: &str = "/-/schema";

/// Answers GET and HEAD.
pub(crate) async fn serve(gateway: &Gateway, method: &Method) -> Response<Body> {
    if method != Method::GET && method != Method::HEAD {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let allow = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allow);
        return response;
    }
    let status = gateway.directory().status().await;
    let Ok(mut json) = serde_json::to_vec_pretty(&status) else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return response;
    };
    json.push(b'\n');
    let body = match *method {
        Method::HEAD => Body::empty(),
        _ => Body::new(Full::new(Bytes::from(json))),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
