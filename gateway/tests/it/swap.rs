//! Changes of a served API: additions go live, breaking changes wait for permission.

use serde_json::{Value, json};

use crate::requests::{chat, next, say};
use crate::support::stranger::{DescriptorFile, Upstream, descriptors, variant};
use crate::support::{Gateway, eventually, layers};

/// A field of responses has another name.
const RENAMED: (&str, &str) = ("string text = 1;", "string words = 1;");

/// A gateway in front of an upstream whose API is what the file says.
async fn described(upstream: &Upstream, file: &DescriptorFile, policy: &str) -> Gateway {
    let gateway = Gateway::configured(configuration(upstream, file, policy)).await;
    gateway.wait_until_ready().await;
    gateway
}

fn configuration(
    upstream: &Upstream,
    file: &DescriptorFile,
    policy: &str,
) -> chassis::config::Layers {
    let keys = [
        ("schema.descriptors", &*file.path()),
        ("schema.reflection", "false"),
        ("schema.breaking_changes", policy),
    ];
    layers(&[upstream.address], &keys, "")
}

async fn refused(gateway: &Gateway) -> Value {
    eventually("the change is refused", async || {
        let status = gateway.upstream_status(0).await;
        match status["refused"].is_null() {
            true => Err(status),
            false => Ok(status["refused"].clone()),
        }
    })
    .await
}

#[tokio::test]
async fn a_change_that_breaks_callers_waits_until_it_is_allowed() {
    let upstream = Upstream::mute().await;
    let file = DescriptorFile::new(&descriptors("stranger"));
    let gateway = described(&upstream, &file, "refuse").await;

    file.write(&variant(&[RENAMED]));
    let seen = refused(&gateway).await;
    assert_eq!(seen["reason"], "BREAKING_CHANGES");
    let expected = json!([{
        "file": "stranger/v1/stranger_service.proto",
        "element": "stranger.v1.GreetResponse.text",
        "rule": "FIELD_NAME",
        "before": "text (JSON text)",
        "after": "words (JSON words)",
    }]);
    assert_eq!(seen["changes"], expected);
    let reply = gateway.get("/v1/greetings/a").await;
    assert_eq!(reply.json()["text"], "hello a");
    assert_eq!(gateway.get("/readyz").await.status, 200);

    gateway.reload(configuration(&upstream, &file, "allow"));
    eventually("the change is live", async || {
        let reply = gateway.get("/v1/greetings/a").await;
        (reply.json()["words"] == "hello a")
            .then_some(())
            .ok_or(reply)
    })
    .await;
    assert!(gateway.upstream_status(0).await["refused"].is_null());
}

#[tokio::test]
async fn a_change_that_is_taken_back_is_forgotten() {
    let upstream = Upstream::mute().await;
    let file = DescriptorFile::new(&descriptors("stranger"));
    let gateway = described(&upstream, &file, "refuse").await;
    file.write(&variant(&[("string name = 1", "string name = 9")]));
    refused(&gateway).await;
    file.write(&descriptors("stranger"));
    eventually("nothing is refused", async || {
        let status = gateway.upstream_status(0).await;
        let is_quiet = status["refused"].is_null() && status["problem"].is_null();
        is_quiet.then_some(()).ok_or(status)
    })
    .await;
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
}

#[tokio::test]
async fn a_method_that_is_no_longer_reflected_is_served_on() {
    let upstream = Upstream::mute().await;
    let both = [descriptors("stranger"), descriptors("other")].concat();
    let file = DescriptorFile::new(&both);
    let gateway = described(&upstream, &file, "refuse").await;
    file.write(&descriptors("stranger"));
    let seen = refused(&gateway).await;
    assert_eq!(seen["changes"][0]["rule"], "METHOD_REMOVED");
    // Still routed, to an upstream that has never known it.
    assert_eq!(gateway.get("/v1/ping").await.status, 501);
}

#[tokio::test]
async fn a_service_that_moves_to_another_upstream_breaks_nobody() {
    let (first, second) = (Upstream::mute().await, Upstream::mute().await);
    let third = variant(&[
        ("package stranger.v1", "package third.v1"),
        ("/v1/", "/v3/"),
    ]);
    let (stranger, other) = (descriptors("stranger"), descriptors("other"));
    let one = DescriptorFile::new(&[stranger.clone(), other.clone()].concat());
    // The same file name with other content is another file for the gateway, so that the third goes
    // by itself.
    let two = DescriptorFile::new(&descriptors_named(&third, "third.proto"));
    let tables = [("a", &first, &one), ("b", &second, &two)].map(|(name, upstream, file)| {
        format!(
            "[upstream.{name}]\nendpoints = [\"http://{}\"]\n\
             schema = {{ descriptors = [\"{}\"], reflection = false }}\n",
            upstream.address,
            file.path()
        )
    });
    let gateway = Gateway::configured(layers(&[], &[], &tables.concat())).await;
    gateway.wait_until_ready().await;
    assert_eq!(gateway.upstream_status(0).await["services"], 2);

    one.write(&stranger);
    refused(&gateway).await;
    two.write(&[descriptors_named(&third, "third.proto"), other].concat());
    eventually("the service has moved", async || {
        let (first, second) = (
            gateway.upstream_status(0).await,
            gateway.upstream_status(1).await,
        );
        let has_moved = first["services"] == 1 && second["services"] == 2;
        has_moved.then_some(()).ok_or((first, second))
    })
    .await;
    assert!(gateway.upstream_status(0).await["refused"].is_null());
}

/// The descriptors with the stranger's file under another name.
fn descriptors_named(set: &[u8], name: &str) -> Vec<u8> {
    use prost::Message;
    let mut set = prost_types::FileDescriptorSet::decode(set).unwrap();
    let file = set
        .file
        .iter_mut()
        .find(|file| file.package() == "third.v1");
    file.unwrap().name = Some(name.to_owned());
    set.encode_to_vec()
}

#[tokio::test]
async fn a_stream_in_flight_keeps_the_schema_it_began_with() {
    let upstream = Upstream::mute().await;
    let file = DescriptorFile::new(&descriptors("stranger"));
    let gateway = described(&upstream, &file, "allow").await;
    for is_http2 in [false, true] {
        file.write(&descriptors("stranger"));
        eventually("the old names are live", async || {
            let reply = gateway.get("/v1/greetings/a").await;
            (reply.json()["text"] == "hello a")
                .then_some(())
                .ok_or(reply)
        })
        .await;
        let (talk, response, _connection) = chat(&gateway, is_http2, "").await;
        let mut answers = response.into_body();
        assert_eq!(next(&mut answers).await.unwrap()["text"], "hello first");

        // Requests of the old stream keep the old names as well.
        file.write(&variant(&[
            RENAMED,
            ("string name = 1 [", "string who = 1 ["),
            ("/v1/greetings/{name}", "/v1/greetings/{who}"),
            ("/v1/gatherings/{name}", "/v1/gatherings/{who}"),
        ]));
        eventually("the new names are live", async || {
            let reply = gateway.get("/v1/greetings/a").await;
            (reply.json()["words"] == "hello a")
                .then_some(())
                .ok_or(reply)
        })
        .await;
        say(&talk, "{\"name\":\"second\"}\n").await;
        assert_eq!(next(&mut answers).await.unwrap()["text"], "hello second");
        drop(talk);
        assert!(next(&mut answers).await.is_none());
    }
}
