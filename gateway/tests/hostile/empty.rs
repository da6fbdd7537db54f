//! Request streams without messages, against a server that waits for a DATA frame with END_STREAM,
//! as grpc-go does.

use bytes::Bytes;
use hostile::{Client, Options, Step, flag, grpc};
use http::Request;
use http_body_util::Full;
use tokio::process::Command;

use crate::protocol::{Extra, Method, Outcome, Protocol, call, send};
use crate::support::Fronted;

/// gRPC over HTTP/2, "Requests": a stream that has no message ends with an empty DATA frame.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_stream_of_requests_ends_with_a_frame() {
    let fronted = Fronted::start(Vec::new(), Options::default()).await;
    let mut wrong = Vec::new();
    for protocol in Protocol::ALL {
        let plain = Extra::default();
        let outcome = call(fronted.address, protocol, Method::Gather, &[], &plain).await;
        if outcome != Outcome::good("0") {
            wrong.push(format!("{protocol:?}"));
        }
        let two = call(
            fronted.address,
            protocol,
            Method::Gather,
            &["a", "b"],
            &plain,
        )
        .await;
        assert_eq!(two, Outcome::good("2"), "{protocol:?}");
    }
    for (name, content_type, body) in [
        ("JSON array", "application/json", "[]"),
        ("JSON, no body", "application/json", ""),
        ("no type, no body", "", ""),
    ] {
        let mut request = Request::post(format!("http://{}/v1/gatherings", fronted.address));
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let reply = send(fronted.address, request).await.unwrap();
        if (reply.status, &reply.body[..]) != (200, br#"{"text":"0"}"#) {
            wrong.push(name.to_owned());
        }
    }
    if !later_frame(&fronted).await {
        wrong.push("gRPC, DATA later".to_owned());
    }
    if !same_write(&fronted).await {
        wrong.push("gRPC, DATA in the same write".to_owned());
    }
    assert!(wrong.is_empty(), "no end of the stream: {wrong:?}");
}

/// How many streams of each kind are opened.
const MANY: usize = 100;

/// One that ends in one of a hundred runs is a race that few calls don't show.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_empty_streams_end_in_each_protocol() {
    let fronted = Fronted::start(Vec::new(), Options::default()).await;
    let plain = Extra::default();
    for protocol in Protocol::ALL {
        let mut ended = 0;
        for _ in 0..MANY {
            let outcome = call(fronted.address, protocol, Method::Gather, &[], &plain).await;
            ended += usize::from(outcome == Outcome::good("0"));
        }
        assert_eq!(ended, MANY, "{protocol:?}");
    }
}

/// The official client of Go writes headers and the end of the stream at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_empty_streams_of_grpc_go_end() {
    let module = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go-backend");
    if Command::new("go").arg("version").output().await.is_err() {
        eprintln!("SKIPPED: no `go` on PATH, so no client of grpc-go");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("client");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg("./client");
    let built = build.current_dir(module).output().await.unwrap();
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "go build: {errors}");
    let fronted = Fronted::start(Vec::new(), Options::default()).await;
    let ended = Command::new(program)
        .arg(fronted.address.to_string())
        .args(["/hostile.v1.HostileService/Gather", &MANY.to_string()])
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    let said = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(said.trim(), format!("{MANY} of {MANY}"), "{errors}");
}

fn head(gateway: std::net::SocketAddr) -> Step {
    let authority = gateway.to_string();
    grpc::headers(&[
        (":method", b"POST"),
        (":scheme", b"http"),
        (":path", b"/hostile.v1.HostileService/Gather"),
        (":authority", authority.as_bytes()),
        ("content-type", b"application/grpc"),
        ("te", b"trailers"),
    ])
}

/// The end of the stream arrives when the gateway has seen its beginning.
async fn later_frame(fronted: &Fronted) -> bool {
    let script = [head(fronted.address), Step::Sync, grpc::last_data(&[])];
    ends_well(fronted, &script).await
}

/// The official client of Go writes both at once.
async fn same_write(fronted: &Fronted) -> bool {
    let end = hostile::Frame {
        kind: hostile::kind::DATA,
        flags: flag::END_STREAM,
        stream: 1,
        payload: Vec::new(),
    };
    let Step::Frame {
        kind,
        flags,
        payload,
        ..
    } = head(fronted.address)
    else {
        return false;
    };
    let begin = hostile::Frame {
        kind,
        flags,
        stream: 1,
        payload,
    };
    let script = [Step::Bytes([begin.encode(), end.encode()].concat())];
    ends_well(fronted, &script).await
}

async fn ends_well(fronted: &Fronted, script: &[Step]) -> bool {
    let mut client = Client::http2(fronted.address, &[]).await.unwrap();
    client.play(script, 1).await.unwrap();
    let seen = client.until(|seen| seen.is_over(1)).await.unwrap();
    seen.codes == [(1, "0".to_owned())]
}
