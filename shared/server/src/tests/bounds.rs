//! What a connection and a request may take.

use super::*;

fn listener_settings(change: impl FnOnce(&mut ListenerSettings)) -> Settings {
    let mut settings = testing::settings();
    change(&mut settings.listener);
    settings
}

/// Sends bytes and returns all that comes back until the server closes the connection.
async fn until_closed(server: &Running, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end as well.
    let _ = stream.write_all(bytes).await;
    let _ = patient("close", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn connections_that_do_nothing_or_never_end_a_head_are_closed() {
    let settings =
        listener_settings(|it| (it.header_timeout_ms, it.idle_timeout_ms) = (50, 100_000));
    let server = Running::start(Shop::echo().server(), settings).await;
    assert_eq!(
        until_closed(&server, b"GET /healthz HTTP/1.1\r\nHost:").await,
        ""
    );
    server.stop().await;

    let settings =
        listener_settings(|it| (it.header_timeout_ms, it.idle_timeout_ms) = (100_000, 50));
    let server = Running::start(Shop::echo().server(), settings).await;
    assert_eq!(until_closed(&server, b"").await, "");
    let answer = until_closed(&server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let goaway = until_closed(
        &server,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    )
    .await;
    // A frame of type 7 on stream 0.
    assert!(goaway.contains("\x07\0\0\0\0\0"), "{goaway:?}");
    server.stop().await;
}

#[tokio::test]
async fn an_address_has_a_bounded_number_of_connections() {
    let settings = listener_settings(|it| it.max_connections_per_address = 1);
    let server = Running::start(Shop::echo().server(), settings).await;
    let upstream = server.upstream();
    assert_eq!(call(&upstream, GET, get("1")).await.unwrap(), "1");
    assert_eq!(until_closed(&server, b"").await, "");
    drop(upstream);
    patient("room", async {
        let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        while until_closed(&server, request).await.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_message_that_stops_halfway_is_aborted() {
    let settings = listener_settings(|it| it.body_stall_timeout_ms = 50);
    let server = Running::start(Shop::echo().server(), settings).await;
    let head = format!(
        "POST {GET} HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\nContent-Length: 9\r\n\r\n\0\0"
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 1024];
    let read = patient("answer", stream.read(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.contains("grpc-status: 10"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_head_over_a_bound_is_refused() {
    let settings = listener_settings(|it| {
        (it.max_header_bytes, it.max_headers, it.max_target_bytes) = (8192, 10, 100);
    });
    let server = Running::start(Shop::echo().server(), settings).await;
    for (target, headers, expected) in [
        ("/healthz".to_owned(), "a: b\r\n".repeat(8), "200"),
        ("/healthz".to_owned(), "a: b\r\n".repeat(9), "431"),
        (
            "/healthz".to_owned(),
            format!("a: {}\r\n", "b".repeat(8192)),
            "431",
        ),
        ("/".to_owned() + &"x".repeat(100), String::new(), "414"),
    ] {
        let request =
            format!("GET {target} HTTP/1.1\r\nConnection: close\r\nHost: x\r\n{headers}\r\n");
        let answer = until_closed(&server, request.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected}")),
            "{answer}"
        );
    }
    server.stop().await;
}
