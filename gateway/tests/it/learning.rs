//! How the gateway learns: late, again, from old servers, and from servers that contradict each
//! other.

use serde_json::json;
use tokio::net::TcpListener;
use tonic::Code;

use crate::support::stranger::{
    DescriptorFile, PROTOS, Reflection, Upstream, descriptors, reserve, stripped, variant,
};
use crate::support::{Gateway, eventually, layers};

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
    let gateway = Gateway::start(&[address], &[("schema.breaking_changes", "allow")]).await;
    gateway.wait_until_ready().await;
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
async fn what_reflection_leaves_out_comes_from_a_descriptor_file() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let reflected = stripped(&descriptors("stranger"));
    let upstream = Upstream::serve(listener, reflected, Reflection::V1);
    let bare = Gateway::ready(&[upstream.address]).await;
    assert_eq!(bare.get("/v1/greetings/a").await.status, 404);
    let status = bare.upstream_status(0).await;
    assert_eq!(status["httpRules"], 0);
    assert_eq!(status["sources"], json!(["reflection"]));

    // The upstream serves one of the two services in the file.
    let file = DescriptorFile::new(&[descriptors("stranger"), descriptors("other")].concat());
    let keys = [("schema.descriptors", &*file.path())];
    let gateway = Gateway::start(&[upstream.address], &keys).await;
    gateway.wait_until_ready().await;
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
    assert_eq!(gateway.get("/v1/ping").await.status, 404);
    let status = gateway.upstream_status(0).await;
    assert_eq!(status["sources"], json!(["reflection", "descriptors"]));
    assert_eq!(
        (&status["services"], &status["methods"]),
        (&json!(1), &json!(6))
    );
    assert_eq!(status["httpRules"], 6);
}

#[tokio::test]
async fn a_descriptor_file_is_enough_for_the_only_upstream() {
    let upstream = Upstream::mute().await;
    let file = DescriptorFile::new(&descriptors("stranger"));
    let keys = [("schema.descriptors", &*file.path())];
    let gateway = Gateway::start(&[upstream.address], &keys).await;
    gateway.wait_until_ready().await;
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
    let status = gateway.upstream_status(0).await;
    assert_eq!(status["sources"], json!(["descriptors"]));
}

#[tokio::test]
async fn a_proto_file_is_as_good_as_a_descriptor_file() {
    let upstream = Upstream::mute().await;
    let file = format!("{PROTOS}/stranger/v1/stranger_service.proto");
    let keys = [("schema.descriptors", &*file)];
    let gateway = Gateway::start(&[upstream.address], &keys).await;
    gateway.wait_until_ready().await;
    assert_eq!(
        gateway.get("/v1/greetings/a").await.json()["text"],
        "hello a"
    );
    let status = gateway.upstream_status(0).await;
    assert_eq!(status["sources"], json!(["descriptors"]));
}

#[tokio::test]
async fn of_several_upstreams_without_reflection_each_says_what_it_serves() {
    let (first, second) = (Upstream::mute().await, Upstream::mute().await);
    let addresses = [first.address, second.address];
    let all = DescriptorFile::new(&[descriptors("stranger"), descriptors("other")].concat());
    let keys = [("schema.descriptors", &*all.path())];
    let gateway = Gateway::start(&addresses, &keys).await;
    eventually("nothing is guessed", async || {
        let status = gateway.upstream_status(1).await;
        let problem = status["problem"].as_str().unwrap_or_default();
        let is_told = problem.contains("[upstream.NAME.schema]");
        is_told.then_some(()).ok_or(status)
    })
    .await;

    // By its own file, and by name.
    let own = DescriptorFile::new(&descriptors("stranger"));
    let tables = format!(
        "[upstream.first]\nendpoints = [\"http://{}\"]\nschema.descriptors = [\"{}\"]\n\
         [upstream.second]\nendpoints = [\"http://{}\"]\n\
         schema = {{ services = [\"other.v1.OtherService\"], reflection = false }}\n",
        first.address,
        own.path(),
        second.address
    );
    gateway.reload(layers(&[], &keys, &tables));
    gateway.answers("/v1/greetings/a", 200).await;
    // It is sent to the second, which does not know it.
    gateway.answers("/v1/ping", 501).await;
    assert_eq!(gateway.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_descriptor_file_is_read_again_when_it_changes() {
    let upstream = Upstream::mute().await;
    let file = DescriptorFile::new(&descriptors("stranger"));
    let keys = [
        ("schema.descriptors", &*file.path()),
        ("schema.reflection", "false"),
    ];
    let gateway = Gateway::start(&[upstream.address], &keys).await;
    gateway.wait_until_ready().await;
    assert_eq!(gateway.get("/v2/greetings/a").await.status, 404);
    let added = r#"additional_bindings {get: "/v2/greetings/{name}"} additional_bindings {
        post: "/v1/greetings""#;
    let old = "additional_bindings {\n        post: \"/v1/greetings\"";
    file.write(&variant(&[(old, added)]));
    gateway.answers("/v2/greetings/a", 200).await;
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);

    file.write(b"no descriptors");
    eventually("the file is refused", async || {
        let status = gateway.upstream_status(0).await;
        let problem = status["problem"].as_str().unwrap_or_default();
        let is_told = problem.contains("not an encoded FileDescriptorSet");
        is_told.then_some(()).ok_or(status)
    })
    .await;
    assert_eq!(gateway.get("/v2/greetings/a").await.status, 200);
}

#[tokio::test]
async fn rules_of_the_configuration_bind_methods_that_have_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let reflected = stripped(&descriptors("stranger"));
    let upstream = Upstream::serve(listener, reflected, Reflection::V1);
    let rules = "[[schema.http_rules]]\nselector = \"stranger.v1.StrangerService.Greet\"\nget = \"/hi/{name}\"\n\
                 [[schema.http_rules]]\nselector = \"later.v1.Later.Get\"\nget = \"/later\"\n";
    let gateway = Gateway::configured(layers(&[upstream.address], &[], rules)).await;
    gateway.wait_until_ready().await;
    assert_eq!(gateway.get("/hi/you").await.json()["text"], "hello you");
    assert_eq!(gateway.get("/later").await.status, 404);
}

#[tokio::test]
async fn a_descriptor_file_that_is_not_there_stops_the_start() {
    let keys = [("schema.descriptors", "/nowhere/api.binpb")];
    let layers = layers(&["127.0.0.1:1".parse().unwrap()], &keys, "");
    let process = chassis::Process::new("gateway", layers.settings().unwrap());
    let refused = gateway::start(process, layers.parse().unwrap()).await;
    let message = format!("{:#}", refused.err().unwrap());
    for part in ["`schema.descriptors`", "/nowhere/api.binpb"] {
        assert!(message.contains(part), "{message}");
    }
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
