//! Codes of an upstream's own, above 16: the number is kept in every protocol.

use bytes::Bytes;
use hostile::{Options, Script, grpc};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::protocol::{Raw, send};
use crate::support::{BAD, Fronted, answer};

const PUT: &str = "/hostile.v1.HostileService/Put";
const WATCH: &str = "/hostile.v1.HostileService/Watch";
const MAPPED: &str = "[upstream.hostile.http_status]\n2000 = 400\n7 = 404\n";

async fn post(fronted: &Fronted, path: &str, content_type: &str, body: Vec<u8>) -> Raw {
    let accept = match path.ends_with("watches") {
        true => "application/x-ndjson",
        false => "application/json",
    };
    let request = Request::post(format!("http://{}{path}", fronted.address))
        .header("content-type", content_type)
        .header("accept", accept)
        .body(Full::new(Bytes::from(body)));
    send(fronted.address, request.unwrap()).await.unwrap()
}

async fn rest(script: Script, keys: &str, path: &str) -> (u16, Value) {
    let fronted = Fronted::with_keys(script, Options::default(), keys).await;
    let body = json!({ "name": BAD }).to_string().into_bytes();
    let reply = post(&fronted, path, "application/json", body).await;
    let lines = String::from_utf8(reply.body).unwrap();
    let last = lines.lines().last().unwrap();
    (reply.status, serde_json::from_str(last).unwrap())
}

#[tokio::test]
async fn json_has_the_number_and_the_status_of_the_configuration() {
    for (code, keys, status) in [
        ("2000", "", 500),
        ("2147483647", "", 500),
        ("17", "", 500),
        ("2000", MAPPED, 400),
        ("2001", MAPPED, 500),
        ("7", MAPPED, 404),
        ("7", "", 403),
        ("5", MAPPED, 404),
    ] {
        for path in ["/v1/calls", "/v1/watches"] {
            let found = rest(grpc::error(code, "no"), keys, path).await;
            let number: i32 = code.parse().unwrap();
            let expected = json!({ "code": number, "message": "no", "details": [] });
            assert_eq!(found, (status, expected), "{code} {path}");
        }
    }
    // A value that is no code is UNKNOWN.
    let (status, error) = rest(grpc::error("99999999999", "no"), MAPPED, "/v1/calls").await;
    assert_eq!((status, &error["code"]), (500, &json!(2)));
}

#[tokio::test]
async fn an_error_in_a_stream_has_the_number() {
    let trailers: [(&str, &[u8]); 2] = [("grpc-status", b"2000"), ("grpc-message", b"no")];
    let mut script = answer(BAD);
    script.pop();
    script.push(grpc::last_headers(&trailers));
    let (status, last) = rest(script, MAPPED, "/v1/watches").await;
    assert_eq!((status, &last["error"]["code"]), (200, &json!(2000)));
}

#[tokio::test]
async fn connect_says_unknown_and_a_detail_has_the_number() {
    let fronted = Fronted::with_keys(grpc::error("2000", "no"), Options::default(), MAPPED).await;
    let body = json!({ "name": BAD }).to_string();
    let reply = post(&fronted, PUT, "application/json", body.clone().into()).await;
    let unary: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(reply.status, 500);

    let framed = grpc::message(body.as_bytes());
    let reply = post(&fronted, WATCH, "application/connect+json", framed).await;
    let end: Value = serde_json::from_slice(&reply.body[5..]).unwrap();
    for error in [&unary, &end["error"]] {
        assert_eq!(
            (&error["code"], &error["message"]),
            (&json!("unknown"), &json!("no"))
        );
        let detail = &error["details"][0];
        assert_eq!(detail["type"], "google.rpc.ErrorInfo");
        assert_eq!(detail["debug"]["reason"], "UNKNOWN_CODE");
        assert_eq!(detail["debug"]["metadata"]["code"], "2000");
    }
    // Codes of gRPC need no such detail.
    let fronted = Fronted::start(grpc::error("5", "no"), Options::default()).await;
    let reply = post(&fronted, PUT, "application/json", body.into()).await;
    let error: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(error, json!({ "code": "not_found", "message": "no" }));
}

#[tokio::test]
async fn grpc_and_grpc_web_pass_the_number() {
    let fronted = Fronted::start(grpc::error("2000", "no"), Options::default()).await;
    let body = || grpc::message(&crate::support::response(BAD));
    let reply = post(&fronted, PUT, "application/grpc", body()).await;
    let sent = reply
        .head
        .get("grpc-status")
        .or(reply.trailers.get("grpc-status"));
    assert_eq!(sent.unwrap(), "2000");
    let reply = post(&fronted, PUT, "application/grpc-web+proto", body()).await;
    let in_body = String::from_utf8_lossy(&reply.body).contains("grpc-status: 2000");
    let in_head = reply
        .head
        .get("grpc-status")
        .is_some_and(|code| code == "2000");
    assert!(in_body || in_head, "{:?} {:?}", reply.head, reply.body);
}

#[tokio::test]
async fn the_description_has_the_statuses_of_the_configuration() {
    let fronted = Fronted::with_keys(answer(BAD), Options::default(), MAPPED).await;
    let uri = format!("http://{}/openapi.json", fronted.address);
    let request = Request::get(uri).body(Full::default()).unwrap();
    let reply = send(fronted.address, request).await.unwrap();
    let document: Value = serde_json::from_slice(&reply.body).unwrap();
    let responses = &document["paths"]["/v1/calls"]["post"]["responses"];
    let codes = |status: &str| {
        let schema = &responses[status]["content"]["application/json"]["schema"];
        schema["properties"]["code"]["enum"].clone()
    };
    assert_eq!(codes("400"), json!([3, 9, 11, 2000]), "{responses}");
    assert_eq!(codes("404"), json!([5, 7]), "{responses}");
}
