//! An issuer that is not ours: the OpenID provider of github.com/zitadel/oidc, built with Go.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::future::join_all;
use http::Request;
use http_body_util::{BodyExt, Full};
use tonic::Code;

use crate::support::forms::{self, forms, handshake};
use crate::support::stranger::Upstream;
use crate::support::{Gateway, layers, open};

/// The audience of its tokens.
const AUDIENCE: &str = "https://api.example";

/// A running issuer; killed when it is dropped.
struct Outside {
    child: Child,
    url: String,
    address: SocketAddr,
    _program: tempfile::TempDir,
}

impl Outside {
    /// Builds and starts it; `None` without Go, which is said.
    fn start() -> Option<Self> {
        if Command::new("go").arg("version").output().is_err() {
            eprintln!("SKIPPED: no `go` on PATH, so no issuer outside");
            return None;
        }
        let program = tempfile::tempdir().unwrap();
        let file = program.path().join("issuer");
        let built = Command::new("go")
            .args(["build", "-mod=readonly", "-o"])
            .arg(&file)
            .arg(".")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outside-issuer"))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "go build: {errors}");
        let mut child = Command::new(file).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let url = line.trim().to_owned();
        let address = url.strip_prefix("http://").unwrap().parse().unwrap();
        Some(Self {
            child,
            url,
            address,
            _program: program,
        })
    }

    async fn ask(&self, request: http::request::Builder, body: &str) -> Bytes {
        let request = request.header("host", self.address.to_string());
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let (response, _connection) = open(self.address, request).await;
        assert!(response.status().is_success(), "{response:?}");
        response.into_body().collect().await.unwrap().to_bytes()
    }

    /// Returns the credential of a client with this role, as any client gets it.
    async fn bearer(&self, role: &str) -> String {
        let basic = STANDARD.encode("sid1:verysecret");
        let request = Request::post("/oauth/token")
            .header("authorization", format!("Basic {basic}"))
            .header("content-type", "application/x-www-form-urlencoded");
        let form = format!("grant_type=client_credentials&scope=openid%20role:{role}");
        let answer = self.ask(request, &form).await;
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        format!("Bearer {}", answer["access_token"].as_str().unwrap())
    }

    /// Signs with a new key from now on; the one before stays published.
    async fn rotate(&self) {
        let request = Request::post("/test/rotate");
        self.ask(request, "").await;
    }

    /// Returns how often its keys were fetched.
    async fn fetches(&self) -> u32 {
        let request = Request::get("/test/fetches");
        let answer = self.ask(request, "").await;
        std::str::from_utf8(&answer).unwrap().parse().unwrap()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a gateway that lets in clerks of the issuer.
async fn gateway(issuer: &Outside) -> (Upstream, Gateway) {
    let upstream = forms::upstream().await;
    let file = format!(
        "[authentication]\naudiences = [\"{AUDIENCE}\"]\n\
         [authentication.issuer.outside]\nurl = \"{}\"\n\
         [[schema.policies]]\nselector = \"stranger.v1.StrangerService.*\"\n\
         access = {{ roles = [\"clerk\"] }}\n",
        issuer.url
    );
    let gateway = Gateway::configured(layers(&[upstream.address], &[], &file)).await;
    gateway.wait_until_ready().await;
    (upstream, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_comes_with_a_token_of_an_issuer_outside_whose_key_changes() {
    let started = tokio::task::spawn_blocking(Outside::start);
    let Some(issuer) = started.await.unwrap() else {
        return;
    };
    let (upstream, gateway) = gateway(&issuer).await;
    let bearer = issuer.bearer("clerk").await;
    let credential = [("authorization", bearer.as_str())];
    for form in forms() {
        let reply = form.send(&gateway, &credential).await;
        assert_eq!(reply.status, 200, "{form:?}: {reply:?}");
        let status = reply.header("grpc-status");
        assert!(matches!(status, "" | "0"), "{form:?}: {reply:?}");
        assert!(!upstream.received().contains_key("authorization"));
    }
    assert_eq!(handshake(&gateway, &credential).await.0, 101);
    let ask = async |bearer: &str| {
        let request = Request::get("/v1/greetings/a").header("authorization", bearer);
        gateway.ask(request).await
    };
    let guest = ask(&issuer.bearer("guest").await).await;
    guest.assert_error(403, Code::PermissionDenied, "MISSING_ROLE");
    // Other claims under the same signature.
    let (signed, own) = (&bearer, issuer.bearer("guest").await);
    let parts: Vec<&str> = signed.split('.').collect();
    let payload = own.split('.').nth(1).unwrap();
    let forged = ask(&format!("{}.{payload}.{}", parts[0], parts[2])).await;
    forged.assert_error(401, Code::Unauthenticated, "TOKEN_SIGNATURE_INVALID");

    let before = issuer.fetches().await;
    let callers = (0..8).map(async |caller| {
        for call in 0..10 {
            if caller == 0 && call == 3 {
                issuer.rotate().await;
            }
            // A token that nobody has seen, of whichever key signs now.
            let fresh = ask(&issuer.bearer("clerk").await).await;
            assert_eq!(fresh.status, 200, "{fresh:?}");
            let old = ask(&bearer).await;
            assert_eq!(old.status, 200, "{old:?}");
        }
    });
    join_all(callers).await;
    let fetched = issuer.fetches().await - before;
    assert_eq!(fetched, 1, "fetches of keys");
}
