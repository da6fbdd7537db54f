//! Servers that answer before they have read the request.

use super::*;

/// Calls of each task: the answer has to come between two steps of the client, which is rare.
const CALLS: usize = 2_000;

/// A server that refuses each call as soon as it has its head.
async fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut response))) = connection.accept().await {
                    let head = Response::builder()
                        .header("content-type", "application/grpc")
                        .header("grpc-status", "8");
                    let _: Result<SendStream<Bytes>, _> =
                        response.send_response(head.body(()).unwrap(), true);
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_answer_before_the_request_is_sent_is_the_answer() {
    let url = format!("http://{}", refusing().await);
    let client = ClientSettings {
        adaptive_limit: false,
        break_after: 0,
        ..unchecked()
    };
    let upstream = Upstream::connect_lazy(&url, &client, METHODS).unwrap();
    let tasks = (0..8).map(|_| {
        let upstream = upstream.clone();
        tokio::spawn(async move {
            for _ in 0..CALLS {
                let status = call(&upstream, PUT).await.unwrap_err();
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
}
