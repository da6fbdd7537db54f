//! Calls with good tokens and bad ones, against a running server.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auth::internal::{NewKey, Signer, current, key_set};
use auth::{Credential, Identity};
use client::{Caller, ClientSettings, Upstream, UpstreamSettings};
use http::uri::PathAndQuery;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use crate::settings::{ClientAuth, Settings};
use crate::testing::{
    Authority, COUNT, COUNT_OWN, GET, Get, Line, METHODS, OWN, PUT, Put, Reply, Running, Shop,
    settings,
};

/// A process with files of its key and of its public keys.
struct Process {
    name: &'static str,
    directory: TempDir,
    pem: String,
}

// === impl Process ===

impl Process {
    fn new(name: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = NewKey::generate().unwrap();
        let this = Self {
            name,
            directory,
            pem: key.pem,
        };
        this.publish(&[&this.pem]);
        std::fs::write(this.file("key.pem"), &this.pem).unwrap();
        this
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces the published keys at once, as a reader must not see half of them.
    fn publish(&self, pems: &[&str]) {
        let set = key_set(pems.iter().copied()).unwrap();
        std::fs::write(self.file("new"), set).unwrap();
        std::fs::rename(self.file("new"), self.file("keys.json")).unwrap();
    }

    fn signer(&self) -> Arc<Signer> {
        Arc::new(Signer::from_file(self.name, self.file("key.pem")).unwrap())
    }

    fn trust(&self) -> String {
        format!("{}={}", self.name, self.file("keys.json").display())
    }

    /// Signs claims that the process itself would not sign.
    fn sign(&self, change: impl FnOnce(&mut Value)) -> String {
        let set: Value = serde_json::from_str(&key_set([&*self.pem]).unwrap()).unwrap();
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("mesh-identity+jwt".to_owned());
        header.kid = set["keys"][0]["kid"].as_str().map(str::to_owned);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = now.as_secs();
        let mut claims = json!({
            "iss": self.name, "aud": "shop.v1.ShopService", "method": GET,
            "iat": now, "exp": now + 60, "act": {"sub": self.name},
            "sub": self.name, "sub_iss": "mesh", "sub_cred": "process",
        });
        change(&mut claims);
        let der = PrivatePkcs8KeyDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        let key = EncodingKey::from_ec_der(der.secret_pkcs8_der());
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    }
}

fn requiring(trusted: &[&Process]) -> Settings {
    let mut settings = settings();
    settings.identity.required = true;
    settings.identity.trusted = trusted.iter().map(|process| process.trust()).collect();
    settings.identity.refresh_interval_ms = 5;
    settings
}

/// Answers who calls: the subject and its roles.
fn who() -> Shop {
    Shop::new(async |_| Ok(description(current().as_deref())))
}

fn description(identity: Option<&Identity>) -> String {
    let Some(identity) = identity else {
        return "nobody".to_owned();
    };
    let roles: Vec<&str> = identity.roles.iter().map(String::as_str).collect();
    format!("{} {}", identity.subject, roles.join(","))
}

fn alice() -> Arc<Identity> {
    Arc::new(Identity {
        issuer: "https://issuer.example".to_owned(),
        subject: "alice".to_owned(),
        tenant: None,
        roles: BTreeSet::from(["buyer".to_owned()]),
        scopes: BTreeSet::new(),
        credential: Credential::Token,
        credential_id: None,
        expires: None,
    })
}

async fn get(upstream: &Upstream, prepare: impl FnOnce(&mut tonic::Request<Get>)) -> Answer {
    let mut client = tonic::client::Grpc::new(upstream.clone());
    client.ready().await?;
    let mut request = tonic::Request::new(Get::default());
    prepare(&mut request);
    let path = PathAndQuery::from_static(GET);
    let codec = ProstCodec::<_, Reply>::default();
    let reply = client.unary(request, path, codec).await?;
    Ok(reply.into_inner().text)
}

type Answer = Result<String, Status>;

async fn with_token(upstream: &Upstream, token: &str) -> Answer {
    get(upstream, |request| {
        let token = token.parse().unwrap();
        request.metadata_mut().insert("mesh-identity", token);
    })
    .await
}

async fn on_behalf_of(upstream: &Upstream, identity: Option<Arc<Identity>>) -> Answer {
    get(upstream, |request| {
        let caller = Caller {
            identity,
            ..Caller::default()
        };
        request.extensions_mut().insert(caller);
    })
    .await
}

#[track_caller]
fn refused(answer: Answer, reason: &str, words: &str) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, reason);
    assert!(status.message().contains(words), "{}", status.message());
}

#[tokio::test]
async fn a_service_knows_who_calls() {
    let front = Process::new("gateway");
    let server = Running::start(who().server(), requiring(&[&front])).await;
    let upstream = server.upstream().signed(front.signer());
    for (identity, expected) in [(Some(alice()), "alice buyer"), (None, "nobody")] {
        // Twice: the second token is known.
        for _ in 0..2 {
            let answer = on_behalf_of(&upstream, identity.clone()).await.unwrap();
            assert_eq!(answer, expected);
        }
    }
    let own = get(&upstream, |_| ()).await.unwrap();
    assert_eq!(own, "gateway mesh.process,mesh.process.gateway");
    server.stop().await;
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a table of tokens")]
async fn tokens_that_prove_nothing_are_refused() {
    let (orders, stranger, impostor) = (
        Process::new("orders"),
        Process::new("billing"),
        Process::new("orders"),
    );
    let server = Running::start(who().server(), requiring(&[&orders])).await;
    let upstream = server.upstream();
    with_token(&upstream, &orders.sign(|_| ())).await.unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_secs();
    let genuine = orders.sign(|_| ());
    let other = orders.sign(|claims| claims["sub"] = json!("root"));
    let payload = other.split('.').nth(1).unwrap();
    let parts: Vec<&str> = genuine.split('.').collect();
    for (token, words) in [
        (
            orders.sign(|claims| {
                (claims["iat"], claims["exp"]) = (json!(now - 120), json!(now - 60));
            }),
            "expired",
        ),
        (
            orders.sign(|claims| claims["exp"] = json!(now + 86_400)),
            "expired, or lives too long",
        ),
        (
            orders.sign(|claims| claims["aud"] = json!("billing.v1.BillingService")),
            "another method",
        ),
        (
            orders.sign(|claims| claims["method"] = json!(PUT)),
            "another method",
        ),
        (
            orders.sign(|claims| claims["iss"] = json!("gateway")),
            "\"gateway\" is not trusted",
        ),
        (
            orders.sign(|claims| claims["act"] = json!({"sub": "gateway"})),
            "malformed or forged",
        ),
        (stranger.sign(|_| ()), "\"billing\" is not trusted"),
        (impostor.sign(|_| ()), "no such key"),
        (
            format!("{}.{payload}.{}", parts[0], parts[2]),
            "malformed or forged",
        ),
        ("garbage".to_owned(), "malformed or forged"),
    ] {
        refused(
            with_token(&upstream, &token).await,
            "IDENTITY_REJECTED",
            words,
        );
    }
    let twice = get(&upstream, |request| {
        for _ in 0..2 {
            let token = genuine.parse().unwrap();
            request.metadata_mut().append("mesh-identity", token);
        }
    });
    refused(twice.await, "IDENTITY_REJECTED", "more than one");
    refused(
        get(&upstream, |_| ()).await,
        "IDENTITY_REQUIRED",
        "mesh-identity",
    );
    // A kept token is for its method only.
    let mut client = tonic::client::Grpc::new(upstream.clone());
    client.ready().await.unwrap();
    let mut request = tonic::Request::new(Put::default());
    let token = genuine.parse().unwrap();
    request.metadata_mut().insert("mesh-identity", token);
    let codec = ProstCodec::<_, Reply>::default();
    let put = client.unary(request, PathAndQuery::from_static(PUT), codec);
    let put = put.await.map(|reply| reply.into_inner().text);
    refused(put, "IDENTITY_REJECTED", "another method");
    server.stop().await;
}

#[tokio::test]
async fn health_and_reflection_are_for_everyone() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

    let server = Running::start(who().server(), requiring(&[&Process::new("gateway")])).await;
    let upstream = server.upstream();
    let mut health = HealthClient::new(upstream.clone());
    health.check(HealthCheckRequest::default()).await.unwrap();
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let asked = ServerReflectionClient::new(upstream)
        .server_reflection_info(tokio_stream::once(ask))
        .await;
    let first = asked.unwrap().into_inner().message().await.unwrap();
    assert!(first.is_some());
    server.stop().await;
}

#[tokio::test]
async fn without_trust_nothing_is_asked_and_nothing_believed() {
    let orders = Process::new("orders");
    let server = Running::start(who().server(), settings()).await;
    let upstream = server.upstream().signed(orders.signer());
    assert_eq!(get(&upstream, |_| ()).await.unwrap(), "nobody");
    server.stop().await;
}

#[tokio::test]
async fn where_it_is_not_required_a_call_without_a_token_passes_and_a_bad_one_does_not() {
    let orders = Process::new("orders");
    let mut settings = requiring(&[&orders]);
    settings.identity.required = false;
    let server = Running::start(who().server(), settings).await;
    assert_eq!(get(&server.upstream(), |_| ()).await.unwrap(), "nobody");
    let bad = with_token(&server.upstream(), "garbage").await;
    refused(bad, "IDENTITY_REJECTED", "forged");
    server.stop().await;
}

#[tokio::test]
async fn the_caller_travels_two_hops() {
    let (front, orders) = (Process::new("gateway"), Process::new("orders"));
    let last = Running::start(who().server(), requiring(&[&orders])).await;
    let onward = last.upstream().signed(orders.signer());
    let middle = Shop::new(move |_| {
        let onward = onward.clone();
        async move {
            let inline = get(&onward, |_| ()).await?;
            // A task of its own works for the process.
            let detached = tokio::spawn(async move { get(&onward, |_| ()).await });
            let detached = detached.await.unwrap()?;
            Ok(format!("{inline}; {detached}"))
        }
    });
    let middle = Running::start(middle.server(), requiring(&[&front])).await;
    let upstream = middle.upstream().signed(front.signer());
    let own = "orders mesh.process,mesh.process.orders";
    let answer = on_behalf_of(&upstream, Some(alice())).await.unwrap();
    let hers = "alice buyer,mesh.process,mesh.process.orders";
    assert_eq!(answer, format!("{hers}; {own}"));
    let answer = on_behalf_of(&upstream, None).await.unwrap();
    assert_eq!(answer, format!("{own}; {own}"));
    middle.stop().await;
    last.stop().await;
}

#[tokio::test]
async fn a_token_of_one_service_proves_nothing_to_another() {
    let (front, orders) = (Process::new("gateway"), Process::new("orders"));
    let last = Running::start(who().server(), requiring(&[&orders])).await;
    // A service that passes on what it has got.
    let upstream = last.upstream();
    let token = front.signer().forward(GET, Some(&alice())).unwrap();
    let replayed = with_token(&upstream, token.to_str().unwrap()).await;
    refused(replayed, "IDENTITY_REJECTED", "\"gateway\" is not trusted");
    last.stop().await;
}

#[tokio::test]
async fn a_response_does_not_show_the_token() {
    use tower::ServiceExt;

    let orders = Process::new("orders");
    let echo = tower::service_fn(async |request: http::Request<hyper::body::Incoming>| {
        let mut response = http::Response::new(tonic::body::Body::empty());
        let headers = request.headers();
        assert!(headers.contains_key("mesh-identity"));
        *response.headers_mut() = headers.clone();
        response
            .headers_mut()
            .insert("grpc-status", "0".parse().unwrap());
        Ok::<_, std::convert::Infallible>(response)
    });
    let server = Running::start(crate::Server::from_service(echo), settings()).await;
    let upstream = server.upstream().signed(orders.signer());
    let request = http::Request::post(GET)
        .header("content-type", "application/grpc")
        .header("x-kept", "1");
    let request = request.body(tonic::body::Body::empty()).unwrap();
    let response = upstream.oneshot(request).await.unwrap();
    assert!(response.headers().contains_key("x-kept"));
    assert!(!response.headers().contains_key("mesh-identity"));
    server.stop().await;
}

#[tokio::test]
async fn rules_of_access_are_enforced_again() {
    let front = Process::new("gateway");
    let mut settings = requiring(&[&front]);
    settings.identity.enforce_access = true;
    let server = Running::start(who().server(), settings).await;
    let upstream = server.upstream().signed(front.signer());
    on_behalf_of(&upstream, Some(alice())).await.unwrap();
    let denied = |answer: Answer, code: Code, reason: &str| {
        let status = answer.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        assert_eq!(status.get_details_error_info().unwrap().reason, reason);
    };
    let anonymous = on_behalf_of(&upstream, None).await;
    denied(anonymous, Code::Unauthenticated, "CREDENTIALS_REQUIRED");
    // For processes, not for callers of theirs, whatever roles they bring.
    let mut pretender = Arc::unwrap_or_clone(alice());
    pretender.roles.insert("mesh.process".to_owned());
    for identity in [None, Some(Arc::new(pretender))] {
        let code = match identity {
            None => Code::Unauthenticated,
            Some(_) => Code::PermissionDenied,
        };
        let reason = match identity {
            None => "CREDENTIALS_REQUIRED",
            Some(_) => "MISSING_ROLE",
        };
        denied(put(&upstream, Some(identity)).await, code, reason);
    }
    let invalid = put(&upstream, None).await.unwrap_err();
    assert_eq!(invalid.code(), Code::InvalidArgument, "{invalid:?}");
    // The contract says nothing about it.
    let mut client = tonic::client::Grpc::new(upstream);
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static(COUNT);
    let codec = ProstCodec::<crate::testing::Line, Reply>::default();
    let lines = tonic::Request::new(tokio_stream::iter([]));
    let counted = client.client_streaming(lines, path, codec).await;
    let counted = counted.map(|reply: tonic::Response<Reply>| reply.into_inner().text);
    denied(counted, Code::PermissionDenied, "NO_ACCESS_RULE");
    server.stop().await;
}

#[tokio::test]
async fn a_condition_is_decided_on_the_first_message_before_the_handler() {
    let front = Process::new("gateway");
    let mut settings = requiring(&[&front]);
    settings.identity.enforce_access = true;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let shop = Shop::new(move |id| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { Ok(id) }
    });
    let server = Running::start(shop.server(), settings).await;
    let upstream = server.upstream().signed(front.signer());
    assert_eq!(own(&upstream, "alice").await.unwrap(), "alice");
    for id in ["bob", ""] {
        let status = own(&upstream, id).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.reason, "CONDITION_NOT_MET");
    }
    assert_eq!(calls.load(Ordering::Relaxed), 1, "the handler was called");
    for (skus, region, expected) in [
        (&["A", "B"][..], "eu", Ok("2")),
        (
            &["B", "A"],
            "eu",
            Err((Code::PermissionDenied, "CONDITION_NOT_MET")),
        ),
        (
            &["A"],
            "us",
            Err((Code::PermissionDenied, "CONDITION_NOT_MET")),
        ),
        // A stream without a message counts as one with an empty message.
        (
            &[],
            "eu",
            Err((Code::PermissionDenied, "CONDITION_NOT_MET")),
        ),
        // The rules of the message come first, as at the gateway.
        (&["a"], "eu", Err((Code::InvalidArgument, "INVALID_FIELD"))),
        (
            &["A", "a"],
            "eu",
            Err((Code::InvalidArgument, "INVALID_FIELD")),
        ),
    ] {
        let found = count_own(&upstream, skus, region).await;
        let found = found.map_err(|status| {
            let info = status.get_details_error_info();
            (
                status.code(),
                info.map_or_else(String::new, |info| info.reason),
            )
        });
        let expected = expected.map(str::to_owned);
        let expected = expected.map_err(|(code, reason)| (code, reason.to_owned()));
        assert_eq!(found, expected, "{skus:?} {region}");
    }
    server.stop().await;
}

/// Calls `Own` for alice.
async fn own(upstream: &Upstream, id: &str) -> Answer {
    let mut client = tonic::client::Grpc::new(upstream.clone());
    client.ready().await?;
    let mut request = tonic::Request::new(Get { id: id.to_owned() });
    request.extensions_mut().insert(for_alice());
    let codec = ProstCodec::<_, Reply>::default();
    let path = PathAndQuery::from_static(OWN);
    let reply = client.unary(request, path, codec).await?;
    Ok(reply.into_inner().text)
}

/// Calls `CountOwn` for alice with lines of these articles.
async fn count_own(upstream: &Upstream, skus: &[&str], region: &str) -> Answer {
    let mut client = tonic::client::Grpc::new(upstream.clone());
    client.ready().await?;
    let lines = skus.iter().map(|sku| Line {
        sku: (*sku).to_owned(),
        quantity: 1,
    });
    let lines: Vec<Line> = lines.collect();
    let mut request = tonic::Request::new(tokio_stream::iter(lines));
    let region = region.parse().unwrap();
    request.metadata_mut().insert("x-region", region);
    request.extensions_mut().insert(for_alice());
    let codec = ProstCodec::<Line, Reply>::default();
    let path = PathAndQuery::from_static(COUNT_OWN);
    let reply = client.client_streaming(request, path, codec).await?;
    Ok(reply.into_inner().text)
}

fn for_alice() -> Caller {
    Caller {
        identity: Some(alice()),
        ..Caller::default()
    }
}

/// Calls `Put` with a message that breaks its rules; passed on for a caller, or as this process.
async fn put(upstream: &Upstream, passed_on: Option<Option<Arc<Identity>>>) -> Answer {
    let mut client = tonic::client::Grpc::new(upstream.clone());
    client.ready().await?;
    let mut request = tonic::Request::new(Put::default());
    if let Some(identity) = passed_on {
        let caller = Caller {
            identity,
            ..Caller::default()
        };
        request.extensions_mut().insert(caller);
    }
    let codec = ProstCodec::<_, Reply>::default();
    let reply = client
        .unary(request, PathAndQuery::from_static(PUT), codec)
        .await?;
    Ok(reply.into_inner().text)
}

/// Returns a client with the certificate of this file.
fn over_tls(server: &Running, authority: &Authority, certificate: &Path) -> Upstream {
    let url = format!("https://localhost:{}", server.address.port());
    let mut settings = UpstreamSettings::at(&url, &ClientSettings::default());
    settings.client.tls.ca = authority.path("ca.pem");
    settings.client.tls.certificate = certificate.to_owned();
    settings.client.tls.key = certificate.to_owned();
    Upstream::new(settings, "shop", METHODS).unwrap()
}

#[tokio::test]
async fn over_tls_a_token_comes_from_the_process_that_the_certificate_names() {
    let orders = Process::new("orders");
    let authority = Authority::new();
    let mut settings = requiring(&[&orders]);
    let own = authority.certify("stock", &["localhost"]);
    authority.serve(&mut settings.tls, &own);
    settings.tls.client_ca_file = authority.path("ca.pem");
    settings.tls.client_auth = ClientAuth::Request;
    let server = Running::start(who().server(), settings).await;
    for (file, name, accepted) in [
        ("id", "spiffe://shop/orders", true),
        ("dns", "orders", true),
        ("other", "spiffe://shop/billing", false),
        ("below", "spiffe://shop/billing/orders", false),
        ("subject-only", "localhost", false),
    ] {
        let certificate = authority.certify(file, &[name]);
        let upstream = over_tls(&server, &authority, &certificate).signed(orders.signer());
        let answer = get(&upstream, |_| ()).await;
        match accepted {
            true => drop(answer.unwrap()),
            false => refused(answer, "IDENTITY_REJECTED", "the connection is not"),
        }
    }
    let bare = over_tls(&server, &authority, Path::new("")).signed(orders.signer());
    refused(
        get(&bare, |_| ()).await,
        "IDENTITY_REJECTED",
        "the connection is not",
    );
    server.stop().await;
}

#[tokio::test]
async fn a_client_presents_the_certificate_that_its_files_hold_now() {
    let orders = Process::new("orders");
    let authority = Authority::new();
    let mut settings = requiring(&[&orders]);
    let own = authority.certify("stock", &["localhost"]);
    authority.serve(&mut settings.tls, &own);
    settings.tls.client_ca_file = authority.path("ca.pem");
    settings.tls.client_auth = ClientAuth::Require;
    let server = Running::start(who().server(), settings).await;
    let file = authority.certify("renewed", &["spiffe://shop/billing"]);
    let upstream = over_tls(&server, &authority, &file).signed(orders.signer());
    refused(
        get(&upstream, |_| ()).await,
        "IDENTITY_REJECTED",
        "the connection is not",
    );
    authority.certify("renewed", &["spiffe://shop/orders"]);
    // The old connection lasts; one of another client of the same files is new.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let renewed = over_tls(&server, &authority, &file).signed(orders.signer());
        match get(&renewed, |_| ()).await {
            Ok(_) => break,
            Err(status) => assert!(tokio::time::Instant::now() < deadline, "{status:?}"),
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_under_load_without_a_failed_call() {
    let orders = Process::new("orders");
    let server = Running::start(who().server(), requiring(&[&orders])).await;
    let signer = orders.signer();
    let upstream = server.upstream().signed(signer.clone());
    let done = CancellationToken::new();
    let callers = (0..8).map(|_| {
        let (upstream, done) = (upstream.clone(), done.clone());
        tokio::spawn(async move {
            let mut calls = 0_u32;
            while !done.is_cancelled() {
                get(&upstream, |_| ()).await?;
                calls += 1;
            }
            Ok::<u32, Status>(calls)
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut before = [orders.pem.clone(), orders.pem.clone()];
    for _ in 0..20 {
        let next = NewKey::generate().unwrap();
        // Tokens of the key before the last may still be on their way.
        orders.publish(&[&before[0], &before[1], &next.pem]);
        // The verifier has read the new set once a call with a key of it has passed.
        let probe = Process {
            name: "orders",
            directory: tempfile::tempdir().unwrap(),
            pem: next.pem.clone(),
        };
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while let Err(status) = with_token(&server.upstream(), &probe.sign(|_| ())).await {
            assert!(tokio::time::Instant::now() < deadline, "{status:?}");
        }
        std::fs::write(orders.file("key.pem"), &next.pem).unwrap();
        assert!(signer.rotate().unwrap());
        before = [std::mem::take(&mut before[1]), next.pem];
    }
    done.cancel();
    for caller in callers {
        assert!(caller.await.unwrap().unwrap() > 0);
    }
    server.stop().await;
}
