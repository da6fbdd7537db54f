//! Forwarding headers that reach the upstream, with and without trusted proxies.

use http::Request;
use http_body_util::Full;

use crate::support::Gateway;
use crate::support::messages::GreetRequest;
use crate::support::stranger::Upstream;

const GREET: &str = "/stranger.v1.StrangerService/Greet";

#[tokio::test]
async fn the_upstream_learns_who_the_client_is() {
    let upstream = Upstream::start().await;
    for (trusted, chain, proto) in [
        ("10.0.0.0/8", "127.0.0.1", "http"),
        ("127.0.0.0/8", "198.51.100.7, 127.0.0.1", "https"),
    ] {
        let keys = [("trusted_proxies", trusted)];
        let gateway = Gateway::start(&[upstream.address], &keys).await;
        gateway.wait_until_ready().await;
        let request = Request::get("/v1/greetings/a")
            .header("host", "shop.test")
            .header("x-forwarded-for", "198.51.100.7")
            .header("x-forwarded-proto", "https");
        let reply = gateway.send(request.body(Full::default()).unwrap()).await;
        let metadata = &reply.json()["metadata"];
        assert_eq!(metadata["x-forwarded-for"], chain, "{reply:?}");
        assert_eq!(metadata["x-forwarded-proto"], proto);
        assert_eq!(metadata["x-forwarded-host"], "shop.test");
        let forwarded = "for=127.0.0.1;proto=http;host=\"shop.test\"";
        assert_eq!(metadata["forwarded"], forwarded);

        let mut message = tonic::Request::new(GreetRequest::default());
        let forged = "198.51.100.7".parse().unwrap();
        message.metadata_mut().insert("x-forwarded-for", forged);
        let mut client = tonic::client::Grpc::new(gateway.grpc().await);
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::default();
        let path = http::uri::PathAndQuery::from_static(GREET);
        let reply = client.unary(message, path, codec).await.unwrap();
        let reply: crate::support::messages::GreetResponse = reply.into_inner();
        assert_eq!(reply.metadata["x-forwarded-for"], chain);
    }
}
