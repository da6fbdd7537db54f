//! Credentials that are not JSON Web Tokens: keys, opaque tokens, certificates; and what binds or
//! revokes them.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::join_all;
use http::HeaderMap;
use http::header::HeaderValue;
use jsonwebtoken::Algorithm as Signature;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{World, bearer};
use crate::testing::{AUDIENCE, Issuer};
use crate::*;

const KEY: &str = "shop_4f9a.0123456789abcdef0123456789abcdef";
const NEXT_KEY: &str = "shop_77b2.fedcba9876543210fedcba9876543210";

fn sha256(key: &str) -> String {
    Sha256::digest(key)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn key_settings(key: &str) -> KeySettings {
    KeySettings {
        prefix: key[..9].to_owned(),
        sha256: sha256(key),
        subject: "billing".to_owned(),
        tenant: Some("acme".to_owned()),
        roles: vec!["clerk".to_owned()],
        scopes: Vec::new(),
        expires: Some("2030-01-01T00:00:00Z".to_owned()),
    }
}

fn key(key: &str) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("x-api-key"),
        HeaderValue::from_str(key).unwrap(),
    )])
}

#[tokio::test]
async fn a_key_names_its_caller_until_it_expires() {
    let world = World::start_with(Signature::ES256, "", |settings, _| {
        settings.keys = vec![key_settings(KEY), key_settings(NEXT_KEY)];
    })
    .await;
    for headers in [key(KEY), bearer(KEY), key(NEXT_KEY)] {
        let verified = world.check_headers(&headers, None).await.unwrap();
        let identity = &verified.identity;
        assert_eq!((&*identity.issuer, &*identity.subject), ("keys", "billing"));
        assert_eq!(identity.credential, Credential::Key);
        assert!(identity.expires.is_some());
    }
    let wrong = KEY.replace("0123", "1123");
    let refused = world.check_headers(&key(&wrong), None).await.err();
    assert_eq!(refused, Some(Rejection::Unknown));
    world
        .clock
        .advance(Duration::from_secs(10 * 366 * 24 * 60 * 60));
    let refused = world.check_headers(&key(KEY), None).await.err();
    assert_eq!(refused, Some(Rejection::Expired));
}

#[tokio::test]
async fn two_credentials_are_none() {
    let world = World::start_with(Signature::ES256, "", |settings, _| {
        settings.keys = vec![key_settings(KEY)];
    })
    .await;
    let token = world.key.sign(&world.claims(json!({})));
    let mut both = bearer(&token);
    both.extend(key(KEY));
    let mut twice = bearer(&token);
    twice.append("authorization", HeaderValue::from_static("Bearer x"));
    for headers in [both, twice] {
        let refused = world.authenticator.presented(&headers, None).err();
        assert_eq!(refused, Some(Rejection::Ambiguous));
    }
    let basic = HeaderMap::from_iter([(
        http::header::AUTHORIZATION,
        HeaderValue::from_static("Basic YTpi"),
    )]);
    let refused = world.authenticator.presented(&basic, None).err();
    assert_eq!(refused, Some(Rejection::Scheme));
}

#[tokio::test]
async fn a_file_of_keys_is_read_again_and_a_broken_one_changes_nothing() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let table = |key: &str| {
        format!(
            "[[keys]]\nprefix = \"{}\"\nsha256 = \"{}\"\nsubject = \"billing\"\n",
            &key[..9],
            sha256(key)
        )
    };
    file.write_all(table(KEY).as_bytes()).unwrap();
    let path = file.path().to_owned();
    let world = World::start_with(Signature::ES256, "", |settings, _| {
        settings.keys_file = path;
    })
    .await;
    world.check_headers(&key(KEY), None).await.unwrap();
    for (text, old, new) in [
        (format!("{}{}", table(KEY), table(NEXT_KEY)), true, true),
        ("keys = 1".to_owned(), true, true),
        (table(NEXT_KEY), false, true),
    ] {
        std::fs::write(file.path(), &text).unwrap();
        world.read_files().await;
        let found = [KEY, NEXT_KEY].map(|one| {
            let headers = key(one);
            let presented = world
                .authenticator
                .presented(&headers, None)
                .unwrap()
                .unwrap();
            world.authenticator.recall(&presented).is_some()
        });
        assert_eq!(found, [old, new], "{text}");
    }
}

/// A world that asks the issuer about opaque tokens.
async fn introspecting() -> (World, tempfile::NamedTempFile) {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "secret\n").unwrap();
    let path = secret.path().to_owned();
    let change = |settings: &mut AuthenticationSettings, issuer: &Issuer| {
        settings.introspection.url = format!("{}/introspect", issuer.url());
        settings.introspection.client_secret_file = path;
    };
    let world = World::start_with(Signature::ES256, "", change).await;
    (world, secret)
}

#[tokio::test]
async fn an_opaque_token_is_asked_about_once_and_again_after_a_while() {
    let (world, _secret) = introspecting().await;
    let claims = json!({ "active": true, "sub": "bob", "scope": "a b", "aud": AUDIENCE });
    let foreign = json!({ "active": true, "sub": "bob", "aud": "other" });
    for (token, claims) in [("opaque", claims), ("foreign", foreign)] {
        let mut known = world.issuer.state.opaque.lock().unwrap();
        known.insert(token.to_owned(), claims);
    }
    let asked = || world.issuer.state.introspections.load(Ordering::SeqCst);
    let all = join_all((0..50).map(|_| world.check("opaque"))).await;
    for verified in all {
        let identity = verified.unwrap().identity.clone();
        assert_eq!((&*identity.subject, identity.scopes.len()), ("bob", 2));
    }
    world.check("opaque").await.unwrap();
    assert_eq!(asked(), 1);
    assert_eq!(
        world.check("foreign").await.err(),
        Some(Rejection::Audience)
    );
    // A token that is revoked is accepted no longer than the answer is kept.
    world.issuer.state.opaque.lock().unwrap().clear();
    world.clock.advance(Duration::from_secs(4));
    assert_eq!(world.check("opaque").await.err(), Some(Rejection::Unknown));
    let before = asked();
    assert_eq!(world.check("opaque").await.err(), Some(Rejection::Unknown));
    assert_eq!(
        asked(),
        before,
        "an unknown token is not asked about at once again"
    );
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_not_the_callers_fault() {
    let (world, _secret) = introspecting().await;
    world.issuer.state.is_away.store(true, Ordering::SeqCst);
    assert_eq!(
        world.check("opaque").await.err(),
        Some(Rejection::Unavailable)
    );
}

fn certificate<'a>(uris: &'a [String], der: &'a [u8]) -> Certificate<'a> {
    Certificate {
        subject: "CN=orders",
        uris,
        dns_names: &[],
        expires: None,
        der,
    }
}

#[tokio::test]
async fn a_certificate_names_its_holder() {
    let rules = vec![
        CertificateRule {
            uri: Some("spiffe://shop/ns/*".to_owned()),
            roles: vec!["service".to_owned()],
            ..Default::default()
        },
        CertificateRule {
            subject: Some("CN=*".to_owned()),
            tenant: Some("acme".to_owned()),
            ..Default::default()
        },
    ];
    let change = |settings: &mut AuthenticationSettings, _: &Issuer| {
        settings.certificates.rules = rules;
    };
    let world = World::start_with(Signature::ES256, "", change).await;
    let none = HeaderMap::new();
    let spiffe = ["spiffe://shop/ns/orders".to_owned()];
    let verified = world
        .check_headers(&none, Some(certificate(&spiffe, b"a")))
        .await;
    let identity = verified.unwrap().identity.clone();
    assert_eq!(
        (&*identity.issuer, &*identity.subject),
        ("spiffe://shop", &*spiffe[0])
    );
    assert!(identity.roles.contains("service") && identity.tenant.is_none());
    let verified = world
        .check_headers(&none, Some(certificate(&[], b"b")))
        .await;
    let identity = verified.unwrap().identity.clone();
    assert_eq!(
        (&*identity.issuer, &*identity.subject),
        ("certificates", "CN=orders")
    );
    assert_eq!(identity.tenant.as_deref(), Some("acme"));
    let expired = Certificate {
        expires: Some(world.clock.now()),
        ..certificate(&[], b"c")
    };
    let refused = world.check_headers(&none, Some(expired)).await.err();
    assert_eq!(refused, Some(Rejection::Expired));
}

#[tokio::test]
async fn a_bound_token_is_for_the_holder_of_its_certificate() {
    let world = World::start(Signature::ES256, "").await;
    let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(b"a certificate"));
    let claims = world.claims(json!({ "cnf": { "x5t#S256": thumbprint } }));
    let token = world.key.sign(&claims);
    for _ in 0..2 {
        let holder = certificate(&[], b"a certificate");
        world.check_from(&token, Some(holder)).await.unwrap();
        for thief in [None, Some(certificate(&[], b"another"))] {
            let refused = world.check_from(&token, thief).await.err();
            assert_eq!(refused, Some(Rejection::Certificate));
        }
    }
}

#[tokio::test]
async fn a_revoked_token_is_rejected_at_once_and_others_stay() {
    let world = World::start(Signature::ES256, "").await;
    let sign = |own: Value| world.key.sign(&world.claims(own));
    let first = sign(json!({ "jti": "first" }));
    let second = sign(json!({ "jti": "second" }));
    let old = sign(json!({ "jti": "third", "sub": "bob", "iat": world.later(-60) }));
    for token in [&first, &second, &old] {
        world.check(token).await.unwrap();
    }
    let by_id = Revocation {
        id: Some("first".to_owned()),
        ..Default::default()
    };
    world.authenticator.revoke(by_id).unwrap();
    assert_eq!(world.check(&first).await.err(), Some(Rejection::Revoked));
    world.check(&second).await.unwrap();
    let by_subject = Revocation {
        subject: Some("bob".to_owned()),
        issuer: Some(world.issuer.url()),
        issued_before: Some(u64::try_from(world.later(-10)).unwrap()),
        ..Default::default()
    };
    world.authenticator.revoke(by_subject).unwrap();
    assert_eq!(world.check(&old).await.err(), Some(Rejection::Revoked));
    let new = sign(json!({ "jti": "fourth", "sub": "bob" }));
    world.check(&new).await.unwrap();
    let nothing = world.authenticator.revoke(Revocation::default());
    assert_eq!(nothing, Err(RevocationError::Nothing));
}

#[tokio::test]
async fn a_list_of_revocations_is_read_at_its_interval() {
    let change = |settings: &mut AuthenticationSettings, issuer: &Issuer| {
        settings.revocations.list = format!("{}/revoked", issuer.url());
    };
    let world = World::start_with(Signature::ES256, "", change).await;
    let token = world.key.sign(&world.claims(json!({})));
    world.check(&token).await.unwrap();
    let list = json!({ "revoked": [{ "id": "token-1" }] });
    *world.issuer.state.revoked.lock().unwrap() = list;
    world.until(&token, Err(Rejection::Revoked)).await;
    // A broken list and an issuer that is away change nothing.
    *world.issuer.state.revoked.lock().unwrap() = json!({ "revoked": [{}] });
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(world.check(&token).await.err(), Some(Rejection::Revoked));
    *world.issuer.state.revoked.lock().unwrap() = json!({ "revoked": [] });
    world.until(&token, Ok(())).await;
}
