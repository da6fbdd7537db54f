//! One call of `Greet` or `Chat` in the form of each protocol, over HTTP/1.1 with any headers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::CONNECTION;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::messages::GreetRequest;
use super::stranger::{Reflection, Upstream, variant};
use super::{Gateway, soon};
use crate::grpc_web::frame;

const GREET: &str = "/stranger.v1.StrangerService/Greet";
const CHAT: &str = "/stranger.v1.StrangerService/Chat";
const JSON: &[u8] = br#"{"name":"a"}"#;

/// A form of the call.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) name: &'static str,
    pub(crate) method: Method,
    path: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
}

/// An upstream whose `Greet` has no side effects, so that Connect may get it.
pub(crate) async fn upstream() -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let declared = "rpc Greet(GreetRequest) returns (GreetResponse) {";
    let readable = format!("{declared} option idempotency_level = NO_SIDE_EFFECTS;");
    let descriptors = variant(&[(declared, &readable)]);
    Upstream::serve(listener, descriptors, Reflection::V1)
}

/// All forms but WebSocket, see [`handshake`].
pub(crate) fn forms() -> Vec<Form> {
    let proto = GreetRequest {
        name: "a".to_owned(),
        ..Default::default()
    };
    let (frame, message) = (frame(&proto), prost::Message::encode_to_vec(&proto));
    let text = STANDARD.encode(&frame).into_bytes();
    let json = [&[0, 0, 0, 0, 12][..], JSON].concat();
    let post = |name, path, content_type, body: &[u8]| Form {
        name,
        method: Method::POST,
        path,
        content_type,
        body: body.to_vec(),
    };
    let get = |name, path| Form {
        method: Method::GET,
        ..post(name, path, "", b"")
    };
    vec![
        get("JSON, GET", "/v1/greetings/a"),
        post("JSON", "/v1/greetings", "application/json", JSON),
        post("gRPC", GREET, "application/grpc", &frame),
        post("gRPC with JSON", GREET, "application/grpc+json", &json),
        post("gRPC stream", CHAT, "application/grpc", &frame),
        post("gRPC-Web", GREET, "application/grpc-web+proto", &frame),
        post("gRPC-Web text", GREET, "application/grpc-web-text", &text),
        post("Connect", GREET, "application/json", JSON),
        post("Connect with proto", GREET, "application/proto", &message),
        post("Connect stream", CHAT, "application/connect+json", &json),
        get(
            "Connect, GET",
            "/stranger.v1.StrangerService/Greet?connect=v1&encoding=json&message=%7B%22name%22%3A%22a%22%7D",
        ),
    ]
}

impl Form {
    /// Sends the call with these headers too.
    pub(crate) async fn send(&self, gateway: &Gateway, headers: &[(&str, &str)]) -> super::Reply {
        let mut request = Request::builder().method(&self.method).uri(self.path);
        if !self.content_type.is_empty() {
            request = request.header("content-type", self.content_type);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::from(self.body.clone());
        gateway.send(request.body(body).unwrap()).await
    }
}

/// Makes the call over a WebSocket whose handshake has these headers too; returns the status of the
/// handshake, and the first message where it is open.
pub(crate) async fn handshake(
    gateway: &Gateway,
    headers: &[(&str, &str)],
) -> (u16, Option<Message>) {
    use futures::StreamExt;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let url = format!("ws://{}/v1/greetings/a", gateway.address);
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        let value = match name == CONNECTION {
            true => format!("upgrade, {value}"),
            false => (*value).to_owned(),
        };
        let value = HeaderValue::try_from(value).unwrap();
        request.headers_mut().insert(name, value);
    }
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((mut socket, response)) => {
            let heard = soon("a message", socket.next()).await;
            (response.status().as_u16(), Some(heard.unwrap().unwrap()))
        }
        Err(Error::Http(response)) => (response.status().as_u16(), None),
        Err(error) => panic!("{error}"),
    }
}
