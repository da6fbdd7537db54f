//! A contract and a call of one of its methods, for the tests of this crate.

use contract::{Idempotency, Method, MethodKind};
use http::uri::PathAndQuery;
use tonic::Status;
use tonic_prost::ProstCodec;

use crate::Upstream;

pub(crate) const GET: &str = "/shop.v1.ShopService/Get";
pub(crate) const PUT: &str = "/shop.v1.ShopService/Put";

pub(crate) static METHODS: &[Method] = &[
    method(GET, Idempotency::NoSideEffects),
    method(PUT, Idempotency::Unknown),
];

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Get {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Reply {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
}

/// Calls a unary method.
pub(crate) async fn call(upstream: &Upstream, path: &'static str) -> Result<String, Status> {
    let mut client = tonic::client::Grpc::new(upstream.clone());
    client.ready().await?;
    let codec = ProstCodec::<_, Reply>::default();
    let request = tonic::Request::new(Get::default());
    let reply = client
        .unary(request, PathAndQuery::from_static(path), codec)
        .await?;
    Ok(reply.into_inner().text)
}

const fn method(path: &'static str, idempotency: Idempotency) -> Method {
    Method {
        path,
        input: "shop.v1.GetRequest",
        output: "shop.v1.Reply",
        kind: MethodKind::Unary,
        idempotency,
        criticality: contract::Criticality::Normal,
    }
}
