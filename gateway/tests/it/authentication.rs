//! Callers prove who they are: every protocol accepts the same credentials, refuses the same ones
//! with the same reasons.

mod certificates;
mod outside;
mod streams;

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use http::Request;
use jsonwebtoken::Algorithm;
use serde_json::json;
use tonic::Code;

use crate::support::forms::{self, forms, handshake};
use crate::support::issuer::{AUDIENCE, Issuer, SigningKey, in_seconds, part};
use crate::support::stranger::Upstream;
use crate::support::{Gateway, Reply, layers};

/// A gateway that accepts the tokens of an issuer.
pub(crate) struct Guarded {
    pub(crate) issuer: Issuer,
    pub(crate) key: SigningKey,
    pub(crate) upstream: Upstream,
    pub(crate) gateway: Gateway,
}

impl Guarded {
    /// Starts one with these lines of the section too.
    pub(crate) async fn start(lines: &str) -> Self {
        let key = SigningKey::generate(Algorithm::ES256, "one");
        let issuer = Issuer::start(&[&key]).await;
        let upstream = forms::upstream().await;
        let file = format!(
            "[authentication]\naudiences = [\"{AUDIENCE}\"]\n{lines}\n\
             [authentication.issuer.test]\nurl = \"{0}\"\nalgorithms = [\"ES256\", \"RS256\"]\n\
             tenant_claim = \"tenant\"\n\
             [authentication.revocations]\nlist = \"{0}/revoked\"\ninterval_ms = 1000\n\
             [websocket]\nping_interval_ms = 60000\n\
             [[schema.policies]]\nselector = \"stranger.v1.StrangerService.*\"\n\
             access = {{ public = true }}\n",
            issuer.url()
        );
        let gateway = Gateway::configured(layers(&[upstream.address], &[], &file)).await;
        gateway.wait_until_ready().await;
        Self {
            issuer,
            key,
            upstream,
            gateway,
        }
    }

    /// A token with some claims of its own.
    pub(crate) fn token(&self, own: serde_json::Value) -> String {
        self.key.sign(&self.claims(own))
    }

    pub(crate) fn claims(&self, own: serde_json::Value) -> serde_json::Value {
        let mut claims = self.issuer.claims(SystemTime::now());
        for (name, value) in own.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }
}

#[tokio::test]
async fn a_token_is_accepted_in_every_protocol_and_ends_at_the_gateway() {
    let guarded = Guarded::start("").await;
    let bearer = format!("Bearer {}", guarded.token(json!({})));
    let smuggled = ("grpc-metadata-authorization", "Bearer other");
    for form in forms() {
        let reply = form
            .send(&guarded.gateway, &[("authorization", &bearer), smuggled])
            .await;
        assert_eq!(reply.status, 200, "{form:?}: {reply:?}");
        let status = reply.header("grpc-status");
        assert!(matches!(status, "" | "0"), "{form:?}: {reply:?}");
        let received = guarded.upstream.received();
        assert!(
            !received.contains_key("authorization"),
            "{form:?}: {received:?}"
        );
    }
    let protocols = bearer.replacen("Bearer ", "bearer, ", 1);
    let (status, first) =
        handshake(&guarded.gateway, &[("sec-websocket-protocol", &protocols)]).await;
    assert_eq!((status, first.is_some()), (101, true));
    assert!(!guarded.upstream.received().contains_key("authorization"));
}

/// Everything that a response says, whatever its protocol.
fn said(reply: &Reply) -> String {
    let body = match reply
        .header("content-type")
        .starts_with("application/grpc-web-text")
    {
        // Each frame is padded for itself.
        true => reply
            .body
            .chunks(4)
            .flat_map(|four| STANDARD.decode(four).unwrap())
            .collect(),
        false => reply.body.to_vec(),
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    format!("{:?} {body}", reply.headers).replace("%20", " ")
}

#[tokio::test]
async fn a_bad_token_is_refused_in_every_protocol_whatever_it_calls() {
    let guarded = Guarded::start("").await;
    let now = SystemTime::now();
    let stranger = SigningKey::generate(Algorithm::ES256, "two");
    let claims = guarded.claims(json!({}));
    let public = serde_json::to_vec(&guarded.key.jwk()).unwrap();
    let confused = jsonwebtoken::encode(
        &jsonwebtoken::Header::new(Algorithm::HS256),
        &claims,
        &jsonwebtoken::EncodingKey::from_secret(&public),
    );
    let none = format!("{}.{}.", part(&json!({ "alg": "none" })), part(&claims));
    for (token, expected) in [
        ("garbage".to_owned(), "the token is malformed"),
        (
            guarded.token(json!({ "exp": in_seconds(now, -31) })),
            "the token has expired",
        ),
        (
            guarded.token(json!({ "nbf": in_seconds(now, 60) })),
            "the token is not valid yet",
        ),
        (
            guarded.token(json!({ "aud": "other" })),
            "the token is meant for another audience",
        ),
        (
            guarded.token(json!({ "iss": "other" })),
            "the issuer of the token is not accepted",
        ),
        (none, "the algorithm of the token is not accepted"),
        (
            confused.unwrap(),
            "the algorithm of the token is not accepted",
        ),
        (stranger.sign(&claims), "the key of the token is unknown"),
    ] {
        let bearer = format!("Bearer {token}");
        for form in forms() {
            let reply = form
                .send(&guarded.gateway, &[("authorization", &bearer)])
                .await;
            let said = said(&reply);
            assert!(said.contains(expected), "{form:?}: {said}");
            let is_refused = reply.status == 401
                || reply.header("grpc-status") == "16"
                || said.contains("grpc-status: 16")
                || said.contains("unauthenticated");
            assert!(is_refused, "{form:?}: {said}");
        }
        let protocols = format!("bearer, {token}");
        let headers = [("sec-websocket-protocol", protocols.as_str())];
        let (status, _) = handshake(&guarded.gateway, &headers).await;
        assert_eq!(status, 401, "{expected}");
    }
    assert!(guarded.upstream.greeted().is_empty());
}

#[tokio::test]
async fn without_a_credential_the_caller_is_anonymous() {
    let guarded = Guarded::start("").await;
    for form in forms() {
        let reply = form.send(&guarded.gateway, &[]).await;
        assert_eq!(reply.status, 200, "{form:?}: {reply:?}");
    }
}

#[tokio::test]
async fn a_challenge_says_what_is_wrong_and_where_tokens_come_from() {
    let guarded = Guarded::start("resource = \"https://api.example/shop\"").await;
    let request = Request::get("/v1/greetings/a").header("authorization", "Bearer garbage");
    let reply = guarded.gateway.ask(request).await;
    reply.assert_error(401, Code::Unauthenticated, "TOKEN_MALFORMED");
    let place = "https://api.example/.well-known/oauth-protected-resource/shop";
    assert_eq!(
        reply.header("www-authenticate"),
        format!(
            "Bearer resource_metadata=\"{place}\", error=\"invalid_token\", \
             error_description=\"the token is malformed\""
        )
    );
    let page = "/.well-known/oauth-protected-resource/shop";
    let metadata = guarded.gateway.get(page).await.json();
    let expected = json!({
        "resource": "https://api.example/shop",
        "authorization_servers": [guarded.issuer.url()],
        "bearer_methods_supported": ["header"],
    });
    assert_eq!(metadata, expected);
    let two = Request::get("/v1/greetings/a")
        .header("authorization", "Bearer a")
        .header("authorization", "Bearer b");
    let reply = guarded.gateway.ask(two).await;
    reply.assert_error(401, Code::Unauthenticated, "CREDENTIALS_AMBIGUOUS");
}

#[tokio::test]
async fn a_key_is_accepted_in_every_protocol_and_ends_at_the_gateway() {
    const KEY: &str = "shop_4f9a.0123456789abcdef0123456789abcdef";
    // sha256sum of the key.
    let digest = "9f3863c3c620d36bab55d0ea535a9b321ae6b6fdcfa41acc39ead499ff036630";
    let keys = format!(
        "keys = [{{ prefix = \"shop_4f9a\", sha256 = \"{digest}\", subject = \"billing\" }}]"
    );
    let guarded = Guarded::start(&keys).await;
    let bearer = format!("Bearer {KEY}");
    for form in forms() {
        for header in [("x-api-key", KEY), ("authorization", &bearer)] {
            let smuggled = ("grpc-metadata-x-api-key", "other");
            let reply = form.send(&guarded.gateway, &[header, smuggled]).await;
            assert!(
                matches!(reply.header("grpc-status"), "" | "0"),
                "{form:?}: {reply:?}"
            );
            assert_eq!(reply.status, 200, "{form:?}: {reply:?}");
            let received = guarded.upstream.received();
            let passed =
                received.contains_key("x-api-key") || received.contains_key("authorization");
            assert!(!passed, "{form:?}: {received:?}");
        }
        let reply = form
            .send(&guarded.gateway, &[("x-api-key", "shop_4f9a.wrong")])
            .await;
        assert!(
            said(&reply).contains("unknown or not active"),
            "{form:?}: {reply:?}"
        );
    }
}

#[tokio::test]
async fn credentials_are_forwarded_only_where_that_is_configured() {
    let guarded = Guarded::start("forward_credentials = true").await;
    let bearer = format!("Bearer {}", guarded.token(json!({})));
    let request = Request::get("/v1/greetings/a")
        .header("authorization", &bearer)
        .header("grpc-metadata-authorization", "Bearer other");
    assert_eq!(guarded.gateway.ask(request).await.status, 200);
    let received = guarded.upstream.received();
    let all: Vec<_> = received.get_all("authorization").iter().collect();
    assert_eq!(all, [&bearer]);
}

#[tokio::test]
async fn keys_rotate_under_load_and_nobody_makes_a_stampede() {
    let guarded = Guarded::start("").await;
    let get = async |token: String| {
        let bearer = format!("Bearer {token}");
        let request = Request::get("/v1/greetings/a").header("authorization", bearer);
        guarded.gateway.ask(request).await.status.as_u16()
    };
    assert_eq!(get(guarded.token(json!({}))).await, 200);
    let new = SigningKey::generate(Algorithm::ES256, "two");
    guarded.issuer.publish(&[&new, &guarded.key]);
    let tokens = (0..50).map(|number| {
        let key = if number % 2 == 0 { &new } else { &guarded.key };
        key.sign(&guarded.claims(json!({ "jti": number.to_string() })))
    });
    let statuses = join_all(tokens.map(get)).await;
    assert_eq!(statuses, [200; 50]);
    let garbage = (0..50).map(|number| {
        let header = json!({ "alg": "ES256", "kid": number.to_string() });
        guarded.key.sign_as(&header, &guarded.claims(json!({})))
    });
    let statuses = join_all(garbage.map(get)).await;
    assert_eq!(statuses, [401; 50]);
    assert!(guarded.issuer.key_requests() <= 2);
    // What is known stays while the issuer is away, and so do public methods.
    guarded.issuer.state.is_away.store(true, Ordering::SeqCst);
    assert_eq!(
        get(new.sign(&guarded.claims(json!({ "jti": "late" })))).await,
        200
    );
    assert_eq!(guarded.gateway.get("/v1/greetings/a").await.status, 200);
    let metrics = guarded.gateway.get("/metrics").await.text();
    for line in [
        "auth_verifications_total{outcome=\"accepted\"} 52",
        "auth_verifications_total{outcome=\"TOKEN_KEY_UNKNOWN\"} 50",
        "auth_fetches_total{source=\"test\",outcome=\"succeeded\"} 2",
        "auth_cache_hits_total 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}
