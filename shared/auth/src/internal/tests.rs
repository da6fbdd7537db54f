//! Tokens that prove something, and all others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::identity::{Credential, Identity};

const RESERVE: &str = "/stock.v1.StockService/Reserve";
const RELEASE: &str = "/stock.v1.StockService/Release";

fn alice() -> Arc<Identity> {
    Arc::new(Identity {
        issuer: "https://issuer.example".to_owned(),
        subject: "alice".to_owned(),
        tenant: Some("acme".to_owned()),
        roles: BTreeSet::from(["buyer".to_owned()]),
        scopes: BTreeSet::from(["orders.read".to_owned(), "orders.write".to_owned()]),
        credential: Credential::Token,
        credential_id: Some("t1".to_owned()),
        expires: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(32_503_680_000)),
    })
}

fn keys_of(signer: &Arc<Signer>) -> TrustedKeys {
    let signer = signer.clone();
    TrustedKeys::new(move || {
        let set = signer.key_set();
        async move { Ok(set) }
    })
}

/// A process named `orders`, and one that trusts it.
fn pair() -> (Arc<Signer>, Verifier) {
    let signer = Arc::new(Signer::new("orders").unwrap());
    let verifier = Verifier::new([("orders".to_owned(), keys_of(&signer))]);
    (signer, verifier)
}

fn text(value: &http::HeaderValue) -> &str {
    value.to_str().unwrap()
}

#[tokio::test]
async fn a_forwarded_call_is_its_callers() {
    let (signer, verifier) = pair();
    let alice = alice();
    let token = signer.forward(RESERVE, Some(&alice)).unwrap();
    assert!(token.is_sensitive());
    let called = verifier.verify(text(&token), RESERVE).await.unwrap();
    assert_eq!(
        (called.process.as_str(), called.forwarded),
        ("orders", true)
    );
    assert_eq!(called.identity, Some(alice));
}

#[tokio::test]
async fn an_anonymous_caller_stays_anonymous() {
    let (signer, verifier) = pair();
    let token = signer.forward(RESERVE, None).unwrap();
    let called = verifier.verify(text(&token), RESERVE).await.unwrap();
    assert_eq!(called.identity, None);
}

#[tokio::test]
async fn a_process_that_decides_to_call_adds_its_roles_to_those_of_its_caller() {
    let (signer, verifier) = pair();
    let token = signer.call(RESERVE, Some(&alice())).unwrap();
    let called = verifier.verify(text(&token), RESERVE).await.unwrap();
    let identity = called.identity.clone().unwrap();
    assert_eq!(identity.subject, "alice");
    let roles: Vec<&str> = identity.roles.iter().map(String::as_str).collect();
    assert_eq!(roles, ["buyer", "mesh.process", "mesh.process.orders"]);
}

#[tokio::test]
async fn a_process_on_its_own_behalf_is_the_subject() {
    let (signer, verifier) = pair();
    let token = signer.call(RESERVE, None).unwrap();
    let called = verifier.verify(text(&token), RESERVE).await.unwrap();
    let identity = called.identity.clone().unwrap();
    assert_eq!((&*identity.subject, &*identity.issuer), ("orders", "mesh"));
    assert!(identity.roles.contains("mesh.process.orders"));
}

#[tokio::test]
async fn roles_of_processes_come_from_the_mesh_alone() {
    let (signer, verifier) = pair();
    let mut pretender = Arc::unwrap_or_clone(alice());
    pretender.roles = BTreeSet::from(["mesh.process".to_owned(), "mesh.process.orders".to_owned()]);
    let token = signer.forward(RESERVE, Some(&Arc::new(pretender))).unwrap();
    let called = verifier.verify(text(&token), RESERVE).await.unwrap();
    assert!(called.identity.as_ref().unwrap().roles.is_empty());
}

#[tokio::test]
async fn a_token_is_for_one_method() {
    let (signer, verifier) = pair();
    let token = signer.call(RESERVE, None).unwrap();
    for _ in 0..2 {
        // Kept or not.
        for method in [RELEASE, "/billing.v1.BillingService/Reserve", ""] {
            let refused = verifier.verify(text(&token), method).await;
            assert_eq!(refused, Err(Distrust::OtherMethod), "{method}");
        }
        verifier.verify(text(&token), RESERVE).await.unwrap();
    }
}

#[tokio::test]
async fn a_token_of_another_process_or_key_is_refused() {
    let (_, verifier) = pair();
    let other = Signer::new("billing").unwrap();
    let token = other.call(RESERVE, None).unwrap();
    let refused = verifier.verify(text(&token), RESERVE).await;
    assert_eq!(refused, Err(Distrust::Untrusted("billing".to_owned())));
    let impostor = Signer::new("orders").unwrap();
    let token = impostor.call(RESERVE, None).unwrap();
    let refused = verifier.verify(text(&token), RESERVE).await;
    assert_eq!(refused, Err(Distrust::UnknownKey("orders".to_owned())));
}

#[tokio::test]
async fn a_changed_token_is_refused() {
    let (signer, verifier) = pair();
    let token = signer.call(RESERVE, None).unwrap();
    let token = text(&token);
    let (head, signature) = token.rsplit_once('.').unwrap();
    let swapped: String = signature.chars().rev().collect();
    let (kind, payload) = head.split_once('.').unwrap();
    let other = signer.call(RELEASE, None).unwrap();
    let other = text(&other).split('.').nth(1).unwrap();
    for forged in [
        format!("{head}.{swapped}"),
        format!("{kind}.{other}.{signature}"),
        format!("{kind}.{payload}."),
        head.to_owned(),
        String::new(),
        "a.b.c".to_owned(),
        "x".repeat(100_000),
    ] {
        let refused = verifier.verify(&forged, RESERVE).await;
        assert_eq!(refused, Err(Distrust::Forged), "{forged:.80}");
    }
}

/// Signs claims with the key of `orders`, as it would not itself.
async fn judged(change: impl FnOnce(&mut Value, &mut Header)) -> Result<Arc<Called>, Distrust> {
    let key = NewKey::generate().unwrap();
    let set = key_set([key.pem.as_str()]).unwrap();
    let now = super::claims::seconds(SystemTime::now());
    let mut claims = json!({
        "iss": "orders", "aud": "stock.v1.StockService", "method": RESERVE,
        "iat": now, "exp": now + 60, "act": {"sub": "orders"},
        "sub": "orders", "sub_iss": "mesh", "sub_cred": "process",
    });
    let mut header = Header::new(Algorithm::ES256);
    header.typ = Some("mesh-identity+jwt".to_owned());
    let parsed: Value = serde_json::from_str(&set).unwrap();
    header.kid = parsed["keys"][0]["kid"].as_str().map(str::to_owned);
    change(&mut claims, &mut header);
    let body: String = key
        .pem
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    use base64::Engine;
    let der = base64::engine::general_purpose::STANDARD
        .decode(body)
        .unwrap();
    let signing = match header.alg {
        Algorithm::ES256 => EncodingKey::from_ec_der(&der),
        _ => EncodingKey::from_secret(set.as_bytes()),
    };
    let token = jsonwebtoken::encode(&header, &claims, &signing).unwrap();
    let keys = TrustedKeys::new(move || {
        let set = set.clone();
        async move { Ok(set) }
    });
    let verifier = Verifier::new([("orders".to_owned(), keys)]);
    verifier.verify(&token, RESERVE).await
}

#[tokio::test]
async fn claims_are_checked_one_by_one() {
    judged(|_, _| ()).await.unwrap();
    let now = super::claims::seconds(SystemTime::now());
    let expired = |iat: u64, exp: u64| {
        judged(move |claims, _| (claims["iat"], claims["exp"]) = (json!(iat), json!(exp)))
    };
    for (iat, exp) in [
        (now - 120, now - 60),
        (now + 60, now + 120),
        (now, now + 3600),
        (now - 3600, now + 30),
    ] {
        assert_eq!(
            expired(iat, exp).await,
            Err(Distrust::Expired),
            "{iat} {exp}"
        );
    }
    let audience = judged(|claims, _| claims["aud"] = json!("billing.v1.BillingService")).await;
    assert_eq!(audience, Err(Distrust::OtherMethod));
    let actor = judged(|claims, _| claims["act"]["sub"] = json!("gateway")).await;
    assert_eq!(actor, Err(Distrust::Forged));
    let kind = judged(|_, header| header.typ = Some("JWT".to_owned())).await;
    assert_eq!(kind, Err(Distrust::Forged));
    let symmetric = judged(|_, header| header.alg = Algorithm::HS256).await;
    assert_eq!(symmetric, Err(Distrust::Forged));
    let nameless = judged(|_, header| header.kid = None).await;
    assert_eq!(nameless, Err(Distrust::Forged));
}

#[tokio::test]
async fn a_token_lives_no_longer_than_the_credential_of_its_caller() {
    let (signer, verifier) = pair();
    let mut late = Arc::unwrap_or_clone(alice());
    late.expires = Some(SystemTime::now() - Duration::from_secs(10));
    let token = signer.forward(RESERVE, Some(&Arc::new(late))).unwrap();
    let refused = verifier.verify(text(&token), RESERVE).await;
    assert_eq!(refused, Err(Distrust::Expired));
}

#[tokio::test]
async fn a_rotation_refuses_no_call() {
    let (signer, verifier) = pair();
    verifier.refresh().await.unwrap();
    for _ in 0..3 {
        let old = signer.call(RESERVE, None).unwrap();
        assert!(signer.rotate().unwrap());
        let new = signer.call(RESERVE, None).unwrap();
        assert_ne!(old, new);
        // The next key is known before it signs, so that no reading is due.
        verifier.verify(text(&new), RESERVE).await.unwrap();
        verifier.verify(text(&old), RESERVE).await.unwrap();
        verifier.refresh().await.unwrap();
    }
}

#[tokio::test]
async fn a_busy_caller_signs_once() {
    let (signer, _) = pair();
    let first = signer.forward(RESERVE, Some(&alice())).unwrap();
    // Another copy of the same identity.
    assert_eq!(signer.forward(RESERVE, Some(&alice())).unwrap(), first);
    assert_ne!(signer.forward(RELEASE, Some(&alice())).unwrap(), first);
    assert_ne!(signer.call(RESERVE, Some(&alice())).unwrap(), first);
    let mut changed = Arc::unwrap_or_clone(alice());
    changed.roles.clear();
    let changed = signer.forward(RESERVE, Some(&Arc::new(changed))).unwrap();
    assert_ne!(changed, first);
}

#[tokio::test]
async fn the_key_of_a_file_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("orders.pem");
    let (first, second) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
    std::fs::write(&file, &first.pem).unwrap();
    let signer = Signer::from_file("orders", file.clone()).unwrap();
    assert!(!signer.rotate().unwrap());
    std::fs::write(&file, &second.pem).unwrap();
    assert!(signer.rotate().unwrap());
    let set = directory.path().join("orders.jwks.json");
    std::fs::write(&set, key_set([second.pem.as_str()]).unwrap()).unwrap();
    let verifier = Verifier::new([(
        "orders".to_owned(),
        TrustedKeys::at(set.to_str().unwrap(), None).unwrap(),
    )]);
    let token = signer.call(RESERVE, None).unwrap();
    verifier.verify(text(&token), RESERVE).await.unwrap();
    std::fs::write(&file, "nothing").unwrap();
    assert!(signer.rotate().is_err());
    signer.call(RESERVE, None).unwrap();
}

#[tokio::test]
async fn the_caller_of_a_task_ends_with_its_scope() {
    assert_eq!(current(), None);
    let inside = scope(Some(alice()), async { current() }).await;
    assert_eq!(inside, Some(alice()));
    assert_eq!(sync_scope(Some(alice()), current), Some(alice()));
    assert_eq!(current(), None);
}
