//! Fields that not every caller may see are left out of responses, in every protocol.

use http::Request;
use http_body_util::Full;
use serde_json::json;
use tokio::net::TcpListener;

use crate::grpc_web::{frame, frames};
use crate::native::{self, GREET};
use crate::support::Gateway;
use crate::support::messages::{CountRequest, GreetRequest};
use crate::support::stranger::{Reflection, Upstream, variant};
use crate::websocket;

const COUNT: &str = "/stranger.v1.StrangerService/Count";
/// In the text of a greeting, and the padding of a count.
const CANARY: &str = "canary";

async fn world() -> (Upstream, Gateway) {
    let descriptors = variant(&[
        (
            "import \"google/protobuf/any.proto\";",
            "import \"google/protobuf/any.proto\"; import \"mesh/v1/options.proto\";",
        ),
        (
            "  string text = 1;\n",
            "  string text = 1 [(mesh.v1.visible).roles = \"reader\"];\n",
        ),
        (
            "  int32 number = 1;\n  bytes padding = 2;",
            "  int32 number = 1;\n  bytes padding = 2 [(mesh.v1.visible).roles = \"reader\"];",
        ),
    ]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::serve(listener, descriptors, Reflection::V1);
    let gateway = Gateway::ready(&[upstream.address]).await;
    (upstream, gateway)
}

fn greet() -> GreetRequest {
    GreetRequest {
        name: CANARY.to_owned(),
        mood: 1,
        ..Default::default()
    }
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|part| part == text)
}

#[tokio::test]
async fn a_field_is_hidden_in_every_protocol() {
    let (_upstream, gateway) = world().await;
    let hello = b"hello canary";

    let answer = native::unary(gateway.grpc().await, GREET, tonic::Request::new(greet())).await;
    let answer = answer.unwrap().into_inner();
    assert_eq!((answer.text.as_str(), answer.mood), ("", 1));

    let reply = gateway.get("/v1/greetings/canary?mood=MOOD_CALM").await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        (reply.json().get("text"), &reply.json()["mood"]),
        (None, &json!("MOOD_CALM"))
    );

    for (content_type, body) in [
        ("application/grpc", frame(&greet())),
        ("application/grpc-web+proto", frame(&greet())),
        ("application/proto", prost::Message::encode_to_vec(&greet())),
        ("application/json", br#"{"name":"canary"}"#.to_vec()),
    ] {
        let request = Request::post(GREET).header("content-type", content_type);
        let reply = gateway.send(request.body(Full::from(body)).unwrap()).await;
        assert_eq!(reply.status, 200, "{content_type}: {reply:?}");
        assert!(!holds(&reply.body, hello), "{content_type}: {reply:?}");
    }
}

#[tokio::test]
async fn a_field_is_hidden_in_each_message_of_a_stream() {
    let (_upstream, gateway) = world().await;
    let count = CountRequest {
        to: 3,
        padding: 40,
        ..Default::default()
    };
    let request = Request::post(COUNT).header("content-type", "application/grpc-web+proto");
    let reply = gateway
        .send(request.body(Full::from(frame(&count))).unwrap())
        .await;
    let messages = frames(&reply.body);
    assert_eq!(messages.len(), 4, "three and the trailers: {messages:?}");
    assert!(
        messages[..3]
            .iter()
            .all(|(flags, message)| *flags == 0 && message.len() <= 2),
        "{messages:?}"
    );

    let reply = gateway.get("/v1/counts/3?padding=40").await;
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(
        text.contains("\"number\":3") && !text.contains("padding"),
        "{text}"
    );

    let mut socket = websocket::connect(&gateway, "/v1/counts/2?padding=40").await;
    assert_eq!(socket.hear_json().await, json!({"number": 1}));
    assert_eq!(socket.hear_json().await, json!({"number": 2}));
}
