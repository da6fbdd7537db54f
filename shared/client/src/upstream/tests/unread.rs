//! Responses that nobody reads, and a call beside them.

use super::*;

const STREAM_BYTES: u32 = 65_535;
const STREAMS: u32 = 4;
const UNREAD: usize = 10;

/// Sends as much as it may to calls of [`PUT`], and counts it; answers others.
async fn serve(listener: TcpListener, sent: Arc<AtomicUsize>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let sent = sent.clone();
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, to))) = connection.accept().await {
                tokio::spawn(answer(request, to, sent.clone()));
            }
        });
    }
}

async fn answer(request: Request<RecvStream>, mut to: SendResponse<Bytes>, sent: Arc<AtomicUsize>) {
    let mut head = Response::new(());
    let content_type = HeaderValue::from_static("application/grpc");
    head.headers_mut().insert("content-type", content_type);
    let mut body = to.send_response(head, false).unwrap();
    if request.uri().path() == GET {
        body.send_data(Bytes::from_static(OK), false).unwrap();
        let status = ("grpc-status", "0");
        let trailers = [(status.0.parse().unwrap(), status.1.parse().unwrap())];
        return body.send_trailers(trailers.into_iter().collect()).unwrap();
    }
    loop {
        body.reserve_capacity(1 << 20);
        let granted = std::future::poll_fn(|context| body.poll_capacity(context)).await;
        let Some(Ok(granted)) = granted else {
            return;
        };
        body.send_data(vec![0; granted].into(), false).unwrap();
        sent.fetch_add(granted, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn responses_that_nobody_reads_stop_no_other_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sent = Arc::new(AtomicUsize::new(0));
    let _server = AbortOnDropHandle::new(tokio::spawn(serve(listener, sent.clone())));
    let client = ClientSettings {
        stream_window_bytes: STREAM_BYTES,
        connection_window_bytes: STREAMS * STREAM_BYTES,
        ..unchecked()
    };
    let upstream = Upstream::connect_lazy(&url, &client, METHODS).unwrap();
    let mut unread = Vec::new();
    for _ in 0..UNREAD {
        let request = Request::post(PUT).body(Body::empty()).unwrap();
        unread.push(upstream.clone().call(request).await.unwrap());
    }
    // Each has its whole window: none takes from another's.
    let all = UNREAD * STREAM_BYTES as usize;
    eventually("windows fill", || match sent.load(Ordering::SeqCst) {
        sent if sent == all => Ok(()),
        sent => Err(sent),
    })
    .await;
    assert_eq!(call(&upstream, GET).await.unwrap(), "ok");
}
