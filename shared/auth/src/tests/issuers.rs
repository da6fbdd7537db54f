//! The keys of an issuer: rotated, unknown, and out of reach.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use jsonwebtoken::Algorithm as Signature;
use serde_json::json;

use super::World;
use crate::Rejection;
use crate::testing::SigningKey;

/// Many, so that a stampede would show.
const CALLERS: usize = 200;

#[tokio::test]
async fn keys_are_fetched_once_for_all_who_come_at_once() {
    let world = World::start(Signature::ES256, "").await;
    let token = world.key.sign(&world.claims(json!({})));
    let all = join_all((0..CALLERS).map(|_| world.check(&token))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(world.issuer.key_requests(), 1);
}

#[tokio::test]
async fn a_rotation_under_load_fails_no_token() {
    let world = World::start(Signature::ES256, "").await;
    world
        .check(&world.key.sign(&world.claims(json!({}))))
        .await
        .unwrap();
    let new = SigningKey::generate(Signature::ES256, "two");
    // The new key signs as soon as it is published, and the old one is taken away.
    world.issuer.publish(&[&new]);
    let tokens: Vec<_> = (0..CALLERS)
        .map(|number| {
            let key = if number % 2 == 0 { &new } else { &world.key };
            key.sign(&world.claims(json!({ "jti": number.to_string() })))
        })
        .collect();
    let checks = join_all(tokens.iter().map(|token| world.check(token))).await;
    let new_ones = checks.iter().step_by(2);
    assert!(new_ones.clone().all(Result::is_ok), "{checks:?}");
    assert_eq!(world.issuer.key_requests(), 2);
    // What the key that is gone has signed is rejected from now on.
    let late = world.key.sign(&world.claims(json!({ "jti": "late" })));
    assert_eq!(world.check(&late).await.err(), Some(Rejection::UnknownKey));
}

#[tokio::test]
async fn tokens_of_unknown_keys_make_no_stampede() {
    let world = World::start(Signature::ES256, "").await;
    world
        .check(&world.key.sign(&world.claims(json!({}))))
        .await
        .unwrap();
    let mut tokens = Vec::new();
    for number in 0..CALLERS {
        let header = json!({ "alg": "ES256", "kid": format!("garbage-{number}") });
        tokens.push(world.key.sign_as(&header, &world.claims(json!({}))));
    }
    for _ in 0..3 {
        let checks = join_all(tokens.iter().map(|token| world.check(token))).await;
        let unknown =
            |check: &Result<_, Rejection>| check.as_ref().err() == Some(&Rejection::UnknownKey);
        assert!(checks.iter().all(unknown), "{checks:?}");
    }
    // The first fetch, and one for all unknown keys of ten seconds.
    assert_eq!(world.issuer.key_requests(), 2);
    world.clock.advance(Duration::from_secs(10));
    join_all(tokens.iter().map(|token| world.check(token))).await;
    assert_eq!(world.issuer.key_requests(), 3);
}

#[tokio::test]
async fn keys_stay_while_the_issuer_is_away_for_an_hour() {
    let world = World::start(Signature::ES256, "").await;
    world
        .check(&world.key.sign(&world.claims(json!({}))))
        .await
        .unwrap();
    world.issuer.state.is_away.store(true, Ordering::SeqCst);
    for _ in 0..60 {
        world.clock.advance(Duration::from_secs(60));
        let token = world.key.sign(&world.claims(json!({})));
        world.check(&token).await.unwrap();
    }
    // Beyond the bound the keys prove nothing, and it is not the caller's fault.
    world.clock.advance(Duration::from_secs(24 * 60 * 60));
    let token = world.key.sign(&world.claims(json!({})));
    assert_eq!(
        world.check(&token).await.err(),
        Some(Rejection::Unavailable)
    );
    world.issuer.state.is_away.store(false, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(1));
    world.check(&token).await.unwrap();
}

#[tokio::test]
async fn keys_may_come_from_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let key = SigningKey::generate(Signature::EdDSA, "one");
    let keys = json!({ "keys": [{ "kty": "oct", "k": "AAAA", "kid": "one" }, { "kty": "new" }, key.jwk()] });
    std::fs::write(file.path(), keys.to_string()).unwrap();
    let jwks = format!("jwks = \"{}\"", file.path().display());
    let world = World::start(Signature::EdDSA, &jwks).await;
    world
        .check(&key.sign(&world.claims(json!({}))))
        .await
        .unwrap();
    assert_eq!(world.issuer.key_requests(), 0);
}
