//! Responses whose status details are broken: tonic takes it for granted that they are base64, and panics otherwise.

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;

const DETAILS: &str = "grpc-status-details-bin";

/// `-bin` values come padded or not (gRPC over HTTP/2, "Binary-Header").
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Removes details that are broken from headers or trailers: code and message of the error are good without them.
pub(super) fn mend(headers: &mut HeaderMap) {
    let broken = headers
        .get(DETAILS)
        .is_some_and(|value| BASE64.decode(value.as_bytes()).is_err());
    if broken {
        headers.remove(DETAILS);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{HeaderValue, Request, Response};
    use http_body::Frame;
    use http_body_util::StreamBody;
    use hyper::body::Incoming;
    use tonic::body::Body;
    use tonic::{Code, Status};
    use tower::service_fn;

    use super::*;
    use crate::Server;
    use crate::testing::{self, Get, PUT, Running, call};

    fn headers(details: &'static str) -> HeaderMap {
        let fields = [
            ("grpc-status", "5"),
            ("grpc-message", "not%20here"),
            (DETAILS, details),
        ];
        let fields = fields.map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        fields.into_iter().collect()
    }

    #[test]
    fn details_that_are_base64_stay() {
        for details in ["CAU", "CAU=", ""] {
            let mut sent = headers(details);
            mend(&mut sent);
            assert_eq!(sent, headers(details));
        }
    }

    #[tokio::test]
    async fn details_that_are_not_base64_cost_only_themselves() {
        for in_trailers in [false, true] {
            let stranger = service_fn(move |_: Request<Incoming>| async move {
                let mut frames = Vec::new();
                let mut response = Response::new(());
                if in_trailers {
                    frames.push(Ok::<_, Status>(Frame::trailers(headers("!"))));
                } else {
                    *response.headers_mut() = headers("!");
                }
                response
                    .headers_mut()
                    .insert("content-type", HeaderValue::from_static("application/grpc"));
                let body = StreamBody::new(tokio_stream::iter(frames));
                Ok::<_, Infallible>(response.map(|()| Body::new(body)))
            });
            let server = Running::start(Server::from_service(stranger), testing::settings()).await;
            let status = call(&server.upstream(), PUT, Get::default())
                .await
                .unwrap_err();
            assert_eq!(
                (status.code(), status.message()),
                (Code::NotFound, "not here")
            );
            server.stop().await;
        }
    }
}
