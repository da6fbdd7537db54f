//! `/-/explain`: which route takes a request and why the others do not, for operators only.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::support::Gateway;
use crate::support::stranger::{Upstream, personal_names};

async fn explained(gateway: &Gateway, method: &str, path: &str) -> serde_json::Value {
    let encoded = path
        .replace('?', "%3F")
        .replace('&', "%26")
        .replace('=', "%3D");
    let reply = gateway
        .get(&format!("/-/explain?method={method}&path={encoded}"))
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

#[tokio::test]
async fn the_path_of_a_method_is_explained_for_post() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let path = "/stranger.v1.StrangerService/Count";
    let answer = explained(&gateway, "POST", path).await;
    assert_eq!(answer["problem"], serde_json::Value::Null);
    assert_eq!(answer["route"]["template"], path);
    assert_eq!(answer["route"]["kind"], "server stream");
    assert_eq!(answer["route"]["body"], "*");
    let answer = explained(&gateway, "PUT", path).await;
    assert_eq!(
        answer["problem"],
        "the path of a gRPC method is called by POST"
    );
    let unknown = explained(&gateway, "POST", "/stranger.v1.StrangerService/Nothing").await;
    assert_eq!(unknown["route"], serde_json::Value::Null);
}

#[tokio::test]
async fn classes_of_fields_are_told_and_confidential_values_are_not() {
    let upstream = personal_names().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let answer = explained(&gateway, "GET", "/v1/greetings/zoe?times=2").await;
    let fields = answer["fields"].as_array().unwrap();
    let class = |name: &str| {
        let mut found = fields.iter().filter(|field| field["field"] == name);
        found
            .find(|field| field["message"] == "request")
            .map(|field| &field["class"])
    };
    assert_eq!(class("name").unwrap(), "personal");
    assert_eq!(class("times").unwrap(), "internal");
    assert_eq!(answer["bindings"][0]["value"], "[confidential]");
    assert_eq!(answer["bindings"][1]["value"], "2");
    assert!(!answer.to_string().contains("zoe"), "{answer}");
}

#[tokio::test]
async fn a_route_is_explained_with_what_it_binds_and_what_applies() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let answer = explained(&gateway, "GET", "/v1/greetings/a%2520b?times=2").await;
    assert_eq!(answer["route"]["template"], "/v1/greetings/{name}");
    assert_eq!(
        answer["route"]["rpc_method"],
        "stranger.v1.StrangerService/Greet"
    );
    assert_eq!(answer["route"]["kind"], "unary");
    assert_eq!(
        answer["bindings"],
        serde_json::json!([
            {"field": "name", "value": "a b", "source": "path"},
            {"field": "times", "value": "2", "source": "query"},
        ])
    );
    let policies = &answer["policies"];
    assert_eq!(policies["upstream"], format!("http://{}", upstream.address));
    assert_eq!(
        policies["validation"],
        "the rules of stranger.v1.GreetRequest"
    );
    assert_eq!(policies["max_body_bytes"], 4_194_304);
    let others = answer["others"].as_array().unwrap();
    let of = |template: &str| {
        others
            .iter()
            .find(|other| other["template"] == template)
            .unwrap()
    };
    assert_eq!(
        of("/v1/counts/{to}")["why"],
        "segment 2 is \"greetings\" where the template has \"counts\""
    );
    assert_eq!(of("/v1/greetings")["reason"], "too_long");
}

#[tokio::test]
async fn what_no_route_takes_is_explained_by_what_comes_nearest() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let answer = explained(&gateway, "DELETE", "/v1/greetings/a").await;
    assert_eq!(
        answer["problem"],
        "the path exists, but not with this method"
    );
    assert_eq!(answer["route"], serde_json::Value::Null);
    assert_eq!(
        answer["others"][0]["why"],
        "the path matches, but the method is GET"
    );
    let answer = explained(&gateway, "GET", "/v1/greetings/a?times=many").await;
    let problem = answer["binding_problem"].as_str().unwrap();
    assert!(problem.starts_with("times: "), "{problem}");
}

#[tokio::test]
async fn a_question_that_is_none_is_refused_by_name() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for query in ["", "?path=v1", "?method=A%20B&path=%2F"] {
        let reply = gateway.get(&format!("/-/explain{query}")).await;
        reply.assert_error(400, tonic::Code::InvalidArgument, "BAD_PARAMETER");
    }
}

#[tokio::test]
async fn callers_behind_a_proxy_see_no_such_path() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for header in ["x-forwarded-for", "forwarded", "via"] {
        let request = Request::get("/-/explain?path=%2F").header(header, "203.0.113.7");
        let reply = gateway
            .send(request.body(Full::<Bytes>::default()).unwrap())
            .await;
        reply.assert_error(404, tonic::Code::NotFound, "ROUTE_NOT_FOUND");
    }
}
