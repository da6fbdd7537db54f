//! Clients that break the rules of WebSocket, in the handshake or after it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::stranger::Upstream;
use crate::support::{Gateway, soon};
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
async fn a_close_is_answered_by_its_own_code() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[QUIET]).await;
    gateway.wait_until_ready().await;
    for (what, frame, answer) in [
        ("no code", &[0x88, 0x80, 0, 0, 0, 0][..], &[0x88, 0][..]),
        (
            "1000",
            &[0x88, 0x82, 0, 0, 0, 0, 3, 0xe8],
            &[0x88, 2, 3, 0xe8],
        ),
        (
            "1001",
            &[0x88, 0x82, 0, 0, 0, 0, 3, 0xe9],
            &[0x88, 2, 3, 0xe9],
        ),
        (
            "3000",
            &[0x88, 0x82, 0, 0, 0, 0, 0xb, 0xb8],
            &[0x88, 2, 0xb, 0xb8],
        ),
        (
            "4999",
            &[0x88, 0x82, 0, 0, 0, 0, 0x13, 0x87],
            &[0x88, 2, 0x13, 0x87],
        ),
    ] {
        for before in [&[][..], b"\x81\x8c\0\0\0\0{\"name\":\"a\"}"] {
            let mut client = connect(&gateway, "/v1/chats").await;
            if !before.is_empty() {
                client.0.get_mut().write_all(before).await.unwrap();
                client.hear().await;
            }
            let socket = client.0.get_mut();
            socket.write_all(frame).await.unwrap();
            let mut heard = Vec::new();
            let read = socket.read_to_end(&mut heard);
            soon("the end of the connection", read).await.unwrap();
            assert_eq!(heard, answer, "{what}, {} bytes before", before.len());
        }
    }
}

#[tokio::test]
async fn a_close_code_that_nobody_may_send_breaks_the_protocol() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&[upstream.address], &[QUIET]).await;
    gateway.wait_until_ready().await;
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        let mut client = connect(&gateway, "/v1/chats").await;
        let [high, low] = code.to_be_bytes();
        let socket = client.0.get_mut();
        let frame = [0x88, 0x82, 0, 0, 0, 0, high, low];
        socket.write_all(&frame).await.unwrap();
        let mut heard = [0; 4];
        soon("a close frame", socket.read_exact(&mut heard))
            .await
            .unwrap();
        assert_eq!((heard[0], &heard[2..]), (0x88, &[3, 0xea][..]), "{code}");
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
