//! Query parameters whose names are those of system parameters.

use http::{Method, Request};
use http_body_util::Full;
use tokio::net::TcpListener;

use crate::support::Gateway;
use crate::support::stranger::{Reflection, Upstream, variant};

/// Names of a field, as its proto file and as JSON has them.
const NAMES: [(&str, &str); 6] = [
    ("alt", "alt"),
    ("fields", "fields"),
    ("key", "key"),
    ("access_token", "accessToken"),
    ("pretty_print", "prettyPrint"),
    ("quota_user", "quotaUser"),
];

/// An upstream that calls the field `times` so, and takes the message from the query also by
/// DELETE, and by POST without a body.
async fn upstream(name: &str) -> Upstream {
    let body = "        body: \"*\"\n      }\n    };\n  }\n  rpc Count";
    let more = "      }\n      additional_bindings {delete: \"/v1/greetings/{name}\"}\n    };\n  }\n  rpc Count";
    let descriptors = variant(&[
        ("int32 times = 2", &format!("int32 {name} = 2")),
        (body, more),
    ]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Upstream::serve(listener, descriptors, Reflection::V1)
}

#[tokio::test]
async fn a_field_of_the_name_is_bound_explained_and_documented() {
    for (proto, json) in NAMES {
        let upstream = upstream(proto).await;
        let gateway = Gateway::ready(&[upstream.address]).await;
        for name in [proto, json] {
            for (method, path) in [
                (Method::GET, format!("/v1/greetings/a?{name}=2")),
                (Method::DELETE, format!("/v1/greetings/a?{name}=2")),
                (Method::POST, format!("/v1/greetings?name=a&{name}=2")),
            ] {
                let request = Request::builder().method(method.clone()).uri(&path);
                let reply = gateway.send(request.body(Full::default()).unwrap()).await;
                let text = reply.json()["text"].clone();
                assert_eq!(text, "hello a, hello a", "{method} {path} {reply:?}");
                let encoded = path
                    .replace('?', "%3F")
                    .replace('&', "%26")
                    .replace('=', "%3D");
                let explained = format!("/-/explain?method={method}&path={encoded}");
                let bindings = gateway.get(&explained).await.json()["bindings"].take();
                assert_eq!(bindings[1]["field"], json, "{method} {path}");
                assert_eq!(bindings[1]["value"], "2", "{method} {path}");
            }
        }
        let document = gateway.get("/openapi.json").await.json();
        for (path, method) in [
            ("/v1/greetings/{name}", "get"),
            ("/v1/greetings/{name}", "delete"),
            ("/v1/greetings", "post"),
        ] {
            let listed = document["paths"][path][method]["parameters"].to_string();
            assert!(listed.contains(&format!("\"name\":\"{json}\"")), "{listed}");
        }
    }
}

#[tokio::test]
async fn the_form_with_a_dollar_stays_the_system_parameter() {
    let upstream = upstream("fields").await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let shown = gateway
        .get("/v1/greetings/a?$fields=mood&fields=2&mood=1")
        .await;
    assert_eq!(shown.json(), serde_json::json!({"mood": "MOOD_CALM"}));
    for name in ["alt", "$alt", "key", "$key", "$access_token", "$quotaUser"] {
        let reply = gateway.get(&format!("/v1/greetings/a?{name}=json")).await;
        assert_eq!(reply.json()["text"], "hello a", "{name}");
    }
}
