//! How the gateway learns: late, again, from old servers, and from servers that contradict each other.

use tokio::net::TcpListener;
use tonic::Code;

use crate::support::stranger::{Reflection, Upstream, descriptors, reserve};
use crate::support::{Gateway, eventually};

#[tokio::test]
async fn an_upstream_that_is_down_is_learned_when_it_comes() {
    let (socket, address) = reserve();
    let gateway = Gateway::start(&[address], &[]).await;
    assert_eq!(gateway.get("/healthz").await.status, 200);
    assert_eq!(gateway.get("/readyz").await.status, 503);
    let reply = gateway.get("/v1/greetings/a").await;
    reply.assert_error(503, Code::Unavailable, "SCHEMA_INCOMPLETE");
    assert_eq!(reply.header("retry-after"), "1");

    let _upstream = Upstream::start_on(socket);
    gateway.wait_until_ready().await;
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
}

#[tokio::test]
async fn an_upstream_that_went_down_is_unavailable_and_still_known() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    drop(upstream);
    eventually("the upstream is gone", async || {
        let reply = gateway.get("/v1/greetings/a").await;
        if reply.status == 503 && reply.json()["code"] == Code::Unavailable as i32 {
            Ok(())
        } else {
            Err(reply)
        }
    })
    .await;
    assert_eq!(gateway.get("/v1/greetings").await.status, 405);
    assert_eq!(gateway.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn an_upstream_that_comes_back_with_another_api_is_learned_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let before = Upstream::serve(listener, descriptors("other"), Reflection::V1);
    let gateway = Gateway::ready(&[address]).await;
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 404);

    drop(before);
    let listener = eventually("the port is free", async || {
        TcpListener::bind(address).await
    })
    .await;
    let _after = Upstream::serve(listener, descriptors("stranger"), Reflection::V1);
    eventually("the new api is served", async || {
        let reply = gateway.get("/v1/greetings/a").await;
        if reply.status == 200 {
            Ok(())
        } else {
            Err(reply)
        }
    })
    .await;
    assert_eq!(gateway.get("/v1/ping").await.status, 404);
}

#[tokio::test]
async fn reflection_v1alpha_is_enough() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::serve(listener, descriptors("stranger"), Reflection::V1Alpha);
    let gateway = Gateway::ready(&[upstream.address]).await;
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
}

#[tokio::test]
async fn of_two_upstreams_with_the_same_service_one_is_refused_and_one_served() {
    let first = Upstream::start().await;
    let second = Upstream::start().await;
    let gateway = Gateway::start(&[first.address, second.address], &[]).await;
    eventually("one is served", async || {
        let reply = gateway.get("/v1/greetings/a").await;
        if reply.status == 200 {
            Ok(())
        } else {
            Err(reply)
        }
    })
    .await;
    assert_eq!(gateway.get("/readyz").await.status, 503);
}

#[tokio::test]
async fn without_an_upstream_the_gateway_does_not_start() {
    let sources = chassis::config::Sources {
        file: None,
        environment: Vec::new(),
        flags: std::collections::BTreeMap::new(),
    };
    let layers = chassis::config::Layers::load(gateway::DEFAULTS, &sources).unwrap();
    let process = chassis::Process::new("gateway", layers.settings().unwrap());
    let refused = gateway::start(process, layers.parse().unwrap())
        .await
        .err()
        .unwrap();
    assert!(
        format!("{refused:#}").contains("`upstreams`"),
        "{refused:#}"
    );
}
