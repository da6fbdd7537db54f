//! Clients that break the rules of WebSocket, in the handshake or after it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::Gateway;
use crate::support::stranger::Upstream;
use crate::websocket::{QUIET, connect};

const UPGRADE: &str = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

#[tokio::test]
async fn frames_that_break_the_protocol_have_close_codes() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[QUIET]).await;
    gateway.wait_until_ready().await;
    let ping = [&[0x89, 0xfe, 0, 126, 0, 0, 0, 0][..], &[0; 126]].concat();
    for (what, frame, code) in [
        ("no mask", &[0x81, 0x01, b'a'][..], 1002),
        ("a reserved bit", &[0xc1, 0x80, 0, 0, 0, 0], 1002),
        ("a reserved opcode", &[0x83, 0x80, 0, 0, 0, 0], 1002),
        ("a ping in parts", &[0x09, 0x80, 0, 0, 0, 0], 1002),
        ("a ping of 126 bytes", &ping, 1002),
        ("a continuation of nothing", &[0x80, 0x80, 0, 0, 0, 0], 1002),
        ("a close code in half", &[0x88, 0x81, 0, 0, 0, 0, 3], 1002),
        ("a text", &[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
        ("a reason", &[0x88, 0x83, 0, 0, 0, 0, 3, 0xe8, 0xff], 1007),
    ] {
        let mut client = connect(&gateway, "/v1/chats").await;
        let socket = client.0.get_mut();
        socket.write_all(frame).await.unwrap();
        let Message::Close(Some(close)) = client.hear().await else {
            panic!("{what}: expected a close frame");
        };
        assert_eq!(u16::from(close.code), code, "{what}");
    }
}

#[tokio::test]
async fn an_origin_has_a_scheme_and_a_handshake_has_no_body() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[QUIET]).await;
    gateway.wait_until_ready().await;
    let ask = |header: String| {
        let address = gateway.address;
        let request =
            format!("GET /v1/chats HTTP/1.1\r\nhost: {address}\r\n{UPGRADE}{header}\r\n\r\n");
        async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut status = [0; 12];
            stream.read_exact(&mut status).await.unwrap();
            String::from_utf8(status.to_vec()).unwrap()
        }
    };
    let address = gateway.address;
    for (header, expected) in [
        (format!("origin: http://{address}"), "HTTP/1.1 101"),
        (format!("origin: https://{address}"), "HTTP/1.1 403"),
        ("origin: null".to_owned(), "HTTP/1.1 403"),
        ("content-length: 0".to_owned(), "HTTP/1.1 101"),
        ("content-length: 5".to_owned(), "HTTP/1.1 400"),
        ("transfer-encoding: chunked".to_owned(), "HTTP/1.1 400"),
    ] {
        assert_eq!(ask(header.clone()).await, expected, "{header}");
    }
}
