//! A backend in another language, of which the gateway knows nothing but what it reflects: grpc-go
//! with two of its own services.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use http::uri::PathAndQuery;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use crate::support::{Gateway, layers};

/// `google/longrunning` and the interop service of grpc-go, which needs the toolchain of Go to be
/// built.
struct Backend {
    child: Child,
    address: std::net::SocketAddr,
}

/// The program; `None` without Go, which is said once.
static PROGRAM: LazyLock<Option<tempfile::TempDir>> = LazyLock::new(|| {
    if Command::new("go").arg("version").output().is_err() {
        eprintln!("SKIPPED: no `go` on PATH, so no backend in another language");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(directory.path().join("backend"))
        .arg(".")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go-backend"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "go build: {errors}");
    Some(directory)
});

impl Backend {
    fn start() -> Option<Self> {
        let program = PROGRAM.as_ref()?.path().join("backend");
        let mut child = Command::new(program)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap();
        Some(Self { child, address })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test]
async fn its_routes_are_those_of_its_contract() {
    let Some(backend) = tokio::task::spawn_blocking(Backend::start).await.unwrap() else {
        return;
    };
    let gateway = Gateway::ready(&[backend.address]).await;
    let reply = gateway.get("/v1/operations/a/b").await;
    let expected = serde_json::json!({
        "name": "operations/a/b",
        "metadata": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "90s"},
        "done": true,
    });
    assert_eq!((reply.status.as_u16(), reply.json()), (200, expected));
    let reply = gateway.get("/v1/operations/missing").await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["message"]),
        (404, &"no operation \"operations/missing\"".into())
    );
    // In its contract, and not in its code.
    let request = http::Request::delete("/v1/operations/a").body(Default::default());
    assert_eq!(gateway.send(request.unwrap()).await.status, 501);

    let status = gateway.upstream_status(0).await;
    assert_eq!(status["sources"], serde_json::json!(["reflection"]));
    assert_eq!(status["services"], 2);
}

#[tokio::test]
async fn its_streams_are_streams() {
    let Some(backend) = tokio::task::spawn_blocking(Backend::start).await.unwrap() else {
        return;
    };
    let rule = "[[schema.http_rules]]\nselector = \"grpc.testing.TestService.StreamingOutputCall\"\n\
                post = \"/v1/outputs\"\nbody = \"*\"\n";
    let gateway = Gateway::configured(layers(&[backend.address], &[], rule)).await;
    gateway.wait_until_ready().await;
    let body = r#"{"responseParameters":[{"size":1},{"size":3}]}"#;
    let reply = gateway.post("/v1/outputs", "application/json", body).await;
    let payload = |text: &str| format!("{{\"payload\":{{\"body\":\"{text}\"}}}}\n");
    assert_eq!(reply.text(), payload("AA==") + &payload("AAAA"));
    assert_eq!(reply.header("content-type"), "application/x-ndjson");

    let mut grpc = tonic::client::Grpc::new(gateway.grpc().await);
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static("/grpc.testing.TestService/UnimplementedCall");
    let codec = ProstCodec::<(), ()>::default();
    let status = grpc.unary(Request::new(()), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let path = PathAndQuery::from_static("/grpc.testing.TestService/EmptyCall");
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<(), ()>::default();
    grpc.unary(Request::new(()), path, codec).await.unwrap();
}
