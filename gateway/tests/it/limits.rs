//! Rate limits: every protocol refuses in its own form, and every answer tells what is left.

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::grpc_web::{frame, frames};
use crate::native::{self, GREET};
use crate::support::messages::*;
use crate::support::stranger::Upstream;
use crate::support::{Gateway, Reply, eventually, layers};
use crate::websocket;

const COUNT: &str = "/stranger.v1.StrangerService/Count";
const SERVICE: &str = "stranger.v1.StrangerService";

fn limit(method: &str, limit: &str) -> String {
    format!(
        "[[schema.policies]]\nselector = \"{SERVICE}.{method}\"\nrate_limit = [{{ {limit} }}]\n"
    )
}

async fn limited(file: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::start().await;
    let gateway = Gateway::configured(layers(&[upstream.address], &[], file)).await;
    gateway.wait_until_ready().await;
    (upstream, gateway)
}

/// A gateway that lets one call of each method pass.
async fn once() -> (Upstream, Gateway) {
    limited(&limit("*", "requests = 1, per = \"1h\", by = \"address\"")).await
}

async fn post(gateway: &Gateway, path: &str, content_type: &str, body: Vec<u8>) -> Reply {
    let request = Request::post(path).header("content-type", content_type);
    gateway.send(request.body(Full::from(body)).unwrap()).await
}

fn greet() -> GreetRequest {
    GreetRequest {
        name: "a".to_owned(),
        ..Default::default()
    }
}

const NAME: &str = "\"stranger.v1.StrangerService.Greet:address\"";

#[tokio::test]
async fn rest_answers_429_with_what_is_left_and_when_to_come_again() {
    let (_upstream, gateway) = once().await;
    let passed = gateway.get("/v1/greetings/a").await;
    assert_eq!(passed.status, 200);
    assert_eq!(passed.header("ratelimit"), format!("{NAME};r=0;t=3600"));
    let policy = format!("{NAME};q=1;w=3600");
    assert_eq!(passed.header("ratelimit-policy"), policy);
    let refused = gateway.get("/v1/greetings/a").await;
    refused.assert_error(429, Code::ResourceExhausted, "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), "3600");
    assert_eq!(refused.header("ratelimit"), format!("{NAME};r=0;t=3600"));
    assert_eq!(refused.header("ratelimit-policy"), policy);
    let explained = gateway.get("/-/explain?path=/v1/greetings/a").await;
    assert_eq!(
        explained.json()["policies"]["rate_limits"],
        json!([format!(
            "{}: 1 per 3600s by address, at most 1 at once; a request costs 1",
            NAME.trim_matches('"')
        )])
    );
    let details = refused.json()["details"].clone();
    let types: Vec<&str> = details.as_array().unwrap().iter().map(type_of).collect();
    for expected in ["ErrorInfo", "RetryInfo", "QuotaFailure"] {
        let is_there = types.iter().any(|name| name.ends_with(expected));
        assert!(is_there, "{expected} among {types:?}");
    }
}

fn type_of(detail: &Value) -> &str {
    detail["@type"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn grpc_ends_resource_exhausted_with_details() {
    let (_upstream, gateway) = once().await;
    let call = async || {
        let request = tonic::Request::new(greet());
        native::unary(gateway.grpc().await, GREET, request).await
    };
    let passed = call().await.unwrap();
    let left = passed.metadata().get("ratelimit").unwrap();
    assert_eq!(left.to_str().unwrap(), format!("{NAME};r=0;t=3600"));
    let status = call().await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let reason = chassis::error::reason(&status);
    assert_eq!(reason.as_deref(), Some("RATE_LIMITED"));
    let pause = status.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(pause.unwrap().as_secs(), 3600);
    let failure = status.get_details_quota_failure().unwrap();
    assert_eq!(failure.violations[0].subject, "address");
    assert!(status.metadata().contains_key("ratelimit-policy"));
}

#[tokio::test]
async fn grpc_web_and_connect_refuse_in_their_forms() {
    let (_upstream, gateway) = once().await;
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
    let content_type = "application/grpc-web+proto";
    let reply = post(&gateway, GREET, content_type, frame(&greet())).await;
    let [(0x80, trailers)] = &frames(&reply.body)[..] else {
        panic!("{reply:?}");
    };
    let trailers = String::from_utf8_lossy(trailers);
    assert!(trailers.contains("grpc-status: 8\r\n"), "{trailers}");
    assert!(reply.header("ratelimit").starts_with(NAME));

    let body = br#"{"name":"a"}"#.to_vec();
    let reply = post(&gateway, GREET, "application/json", body).await;
    let refused = (reply.status.as_u16(), &reply.json()["code"]);
    assert_eq!(refused, (429, &json!("resource_exhausted")), "{reply:?}");
    assert!(reply.header("ratelimit").starts_with(NAME));
}

#[tokio::test]
async fn streams_and_websockets_are_counted_once_when_they_begin() {
    let (_upstream, gateway) = once().await;
    assert_eq!(gateway.get("/v1/counts/3").await.status, 200);
    let refused = gateway.get("/v1/counts/3").await;
    refused.assert_error(429, Code::ResourceExhausted, "RATE_LIMITED");
    let request = frame(&CountRequest::default());
    let reply = post(&gateway, COUNT, "application/connect+proto", request).await;
    let [(0b10, end)] = &frames(&reply.body)[..] else {
        panic!("{reply:?}");
    };
    let end: Value = serde_json::from_slice(end).unwrap();
    assert_eq!(end["error"]["code"], "resource_exhausted");

    let chat = format!("/{SERVICE}/Chat");
    let begun = post(&gateway, &chat, "application/grpc", Vec::new()).await;
    assert_ne!(begun.header("grpc-status"), "8");
    let (status, error) = websocket::refused(&gateway, "/v1/chats", &[]).await;
    let reason = &error["details"][0]["reason"];
    assert_eq!((status, reason), (429, &json!("RATE_LIMITED")), "{error}");
}

#[tokio::test]
async fn of_two_limits_the_first_gets_back_what_the_second_refuses() {
    let file = format!(
        "[[schema.policies]]\nselector = \"{SERVICE}.Greet\"\nrate_limit = [\
         {{ name = \"wide\", requests = 10, per = \"1d\" }}, \
         {{ name = \"narrow\", requests = 1, per = \"1d\", by = \"method\" }}]\n"
    );
    let (_upstream, gateway) = limited(&file).await;
    let passed = gateway.get("/v1/greetings/a").await;
    let left = passed.header("ratelimit").to_owned();
    assert!(left.starts_with("\"wide\";r=9;"), "{left}");
    assert!(left.contains(", \"narrow\";r=0;"), "{left}");
    for _ in 0..3 {
        let refused = gateway.get("/v1/greetings/a").await;
        refused.assert_error(429, Code::ResourceExhausted, "RATE_LIMITED");
        // The refused requests have cost the wide limit nothing.
        let left = refused.header("ratelimit").to_owned();
        assert!(left.starts_with("\"wide\";r=8;"), "{left}");
    }
}

#[tokio::test]
async fn methods_share_a_limit_of_one_name_each_with_its_cost() {
    let shared = "name = \"all\", requests = 10, per = \"1d\"";
    let file = limit("Greet", &format!("{shared}, cost = 4"))
        + &limit("Count", &format!("{shared}, cost = 1"));
    let (_upstream, gateway) = limited(&file).await;
    let left = |reply: Reply| reply.header("ratelimit").to_owned();
    let greeted = left(gateway.get("/v1/greetings/a").await);
    assert!(greeted.starts_with("\"all\";r=6;"), "{greeted}");
    let counted = left(gateway.get("/v1/counts/1").await);
    assert!(counted.starts_with("\"all\";r=5;"), "{counted}");
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 429);
    assert_eq!(gateway.get("/v1/counts/1").await.status, 200);
}

#[tokio::test]
async fn defaults_are_for_methods_without_limits_and_others_have_no_headers() {
    let (_upstream, gateway) = limited(
        "[limits]\ndefault = [{ name = \"rest\", requests = 1, per = \"1d\" }]\n\
         [[schema.policies]]\nselector = \"stranger.v1.StrangerService.Greet\"\n\
         rate_limit = [{ requests = 2, per = \"1d\" }]\n",
    )
    .await;
    assert_eq!(gateway.get("/v1/counts/1").await.status, 200);
    assert_eq!(gateway.get("/v1/counts/1").await.status, 429);
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
    let (_upstream, gateway) = limited("").await;
    let reply = gateway.get("/v1/greetings/a").await;
    assert!(!reply.headers.contains_key("ratelimit"), "{reply:?}");
}

#[tokio::test]
async fn a_store_that_is_away_is_not_waited_for_and_each_limit_does_what_it_says() {
    // Nothing listens there: the port was free a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    for (choice, expected) in [("closed", 503), ("open", 200), ("local_share", 200)] {
        let file = limit(
            "Greet",
            &format!("requests = 1, per = \"1d\", when_away = \"{choice}\""),
        );
        let file = format!("[valkey]\nurl = \"redis://{address}\"\n{file}");
        let (_upstream, gateway) = limited(&file).await;
        let first = gateway.get("/v1/greetings/a").await;
        assert_eq!(first.status, expected, "{choice}: {first:?}");
        let second = gateway.get("/v1/greetings/a").await;
        let expected = if choice == "local_share" {
            429
        } else {
            expected
        };
        assert_eq!(second.status, expected, "{choice}: {second:?}");
    }
}

#[tokio::test]
async fn a_bad_limit_is_refused_at_start_by_its_key() {
    let upstream = Upstream::start().await;
    for (file, key) in [
        (
            limit("Greet", "requests = 0, per = \"1d\""),
            "schema.policies[0].rate_limit",
        ),
        (
            "[limits]\ndefault = [{ requests = 1 }]\n".to_owned(),
            "limits.default",
        ),
        ("[limits]\nlease_ms = 1\n".to_owned(), "limits.lease_ms"),
    ] {
        let layers = layers(&[upstream.address], &[], &file);
        let config: gateway::Config = layers.parse().unwrap();
        assert_eq!(config.validate().unwrap_err().key, key);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_count_together_and_go_on_while_their_store_is_killed() {
    let home = mesh::Home::find().unwrap();
    let options = mesh::StackOptions::new(&home).unwrap();
    let options = options.only(["valkey"]).unwrap();
    let directory = mesh::StateDir::scratch(&home).unwrap();
    let stack = mesh::Stack::launch(&home, directory, options, mesh::Ui::Quiet);
    let stack = stack.await.unwrap();
    let url = stack.valkey_url("gateway").unwrap();
    let file = format!(
        "[valkey]\nurl = \"{url}\"\nresponse_timeout_ms = 1000\n{}",
        limit(
            "Greet",
            "requests = 100, per = \"1d\", when_away = \"closed\""
        )
    );
    let (_upstream, one) = limited(&file).await;
    let (_upstream, two) = limited(&file).await;
    let mut admitted = 0;
    eventually("all units are given out", async || {
        for gateway in [&one, &two] {
            let status = gateway.get("/v1/greetings/a").await.status;
            assert!([200, 429, 503].contains(&status.as_u16()), "{status}");
            admitted += u32::from(status == 200);
        }
        if admitted < 100 {
            Err(admitted)
        } else {
            Ok(())
        }
    })
    .await;
    for gateway in [&one, &two] {
        assert_eq!(gateway.get("/v1/greetings/a").await.status, 429);
    }
    assert_eq!(admitted, 100);
    stack.stop("valkey").await.unwrap();
    let away = async |gateway: &Gateway| {
        let reply = gateway.get("/v1/greetings/a").await;
        match reply.status.as_u16() {
            503 => Ok(()),
            _ => Err(reply),
        }
    };
    eventually("refusals say that nothing is counted", async || {
        away(&one).await
    })
    .await;
    stack.start("valkey").await.unwrap();
    eventually("the count is back, as it was", async || {
        let reply = one.get("/v1/greetings/a").await;
        match reply.status.as_u16() {
            429 => Ok(()),
            _ => Err(reply),
        }
    })
    .await;
}
