//! Credentials against a real issuer, on a clock that the tests move.

mod issuers;
mod mistakes;
mod others;
mod properties;
mod streams;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue};
use jsonwebtoken::Algorithm as Signature;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::testing::{AUDIENCE, Issuer, SigningKey, in_seconds, part};
use crate::*;

/// An authenticator that accepts the tokens of an issuer.
struct World {
    issuer: Issuer,
    key: SigningKey,
    clock: Clock,
    authenticator: Authenticator,
    _stop: DropGuard,
}

fn settings(url: &str, more: &str) -> AuthenticationSettings {
    let text = format!(
        "audiences = [\"{AUDIENCE}\"]\nskew_ms = 30000\nforward_credentials = false\n\
         jwks_refresh_ms = 300000\njwks_max_age_ms = 86400000\njwks_pause_ms = 10000\n\
         fetch_timeout_ms = 5000\nmax_cached_bytes = 1000000\nstream_grace_ms = 10000\n\
         resource = \"\"\nkey_header = \"x-api-key\"\nkeys = []\nkeys_file = \"\"\nkeys_reload_ms = 2000\n\
         [introspection]\nurl = \"\"\nclient_id = \"me\"\nclient_secret_file = \"\"\nissuer = \"\"\n\
         cache_ms = 4000\nca = \"\"\nallow_http = false\nsubject_claim = \"sub\"\ntenant_claim = \"\"\n\
         role_claims = [\"roles\"]\nscope_claims = [\"scope\"]\n\
         [certificates]\naccept = true\nrules = []\n\
         [revocations]\nlist = \"\"\ninterval_ms = 2000\nclient_id = \"\"\nclient_secret_file = \"\"\n\
         ca = \"\"\nallow_http = false\n\
         [issuer.test]\nurl = \"{url}\"\ntenant_claim = \"tenant\"\n{more}"
    );
    toml::from_str(&text).unwrap()
}

impl World {
    async fn start(algorithm: Signature, more: &str) -> Self {
        Self::start_with(algorithm, more, |_, _| {}).await
    }

    /// [`World::start`] with settings of its own.
    async fn start_with(
        algorithm: Signature,
        more: &str,
        change: impl FnOnce(&mut AuthenticationSettings, &Issuer),
    ) -> Self {
        let key = SigningKey::generate(algorithm, "one");
        let issuer = Issuer::start(&[&key]).await;
        let more = format!("algorithms = [\"{algorithm:?}\"]\n{more}");
        let mut settings = settings(&issuer.url(), &more);
        change(&mut settings, &issuer);
        let clock = Clock::manual(SystemTime::now());
        let authenticator =
            Authenticator::new(&settings, clock.clone(), Metrics::default()).unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(authenticator.clone().run(stop.clone()));
        Self {
            issuer,
            key,
            clock,
            authenticator,
            _stop: stop.drop_guard(),
        }
    }

    fn claims(&self, own: Value) -> Value {
        let mut claims = self.issuer.claims(self.clock.now());
        for (name, value) in own.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims
                    .as_object_mut()
                    .unwrap()
                    .insert(name.clone(), value.clone()),
            };
        }
        claims
    }

    fn later(&self, seconds: i64) -> i64 {
        in_seconds(self.clock.now(), seconds)
    }

    async fn check(&self, token: &str) -> Result<Arc<Verified>, Rejection> {
        self.check_from(token, None).await
    }

    /// Checks a token that comes from the holder of a certificate.
    async fn check_from(
        &self,
        token: &str,
        certificate: Option<Certificate<'_>>,
    ) -> Result<Arc<Verified>, Rejection> {
        let headers = bearer(token);
        self.check_headers(&headers, certificate).await
    }

    async fn check_headers(
        &self,
        headers: &HeaderMap,
        certificate: Option<Certificate<'_>>,
    ) -> Result<Arc<Verified>, Rejection> {
        let presented = self.authenticator.presented(headers, certificate)?.unwrap();
        match self.authenticator.recall(&presented) {
            Some(known) => known,
            None => self.authenticator.verify(&presented).await,
        }
    }

    /// Lets time pass, and everything that waits for it happen.
    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// Lets files be read again.
    async fn read_files(&self) {
        for _ in 0..3 {
            self.pass(Duration::from_secs(2)).await;
            // A blocking task reads them, which an empty one of the only thread comes after.
            tokio::task::spawn_blocking(|| {}).await.unwrap();
        }
    }

    /// Lets time pass until a token is judged so.
    async fn until(&self, token: &str, expected: Result<(), Rejection>) {
        let mut found = None;
        for _ in 0..1000 {
            self.pass(Duration::from_millis(100)).await;
            let judged = self.check(token).await.map(|_| ());
            if judged == expected {
                return;
            }
            found = Some(judged);
            // The answer of the issuer takes real time.
            tokio::task::spawn_blocking(std::thread::yield_now)
                .await
                .unwrap();
        }
        panic!("expected {expected:?}, last saw {found:?}");
    }

    /// Whether a token is remembered.
    fn recalls(&self, token: &str) -> bool {
        let headers = bearer(token);
        let presented = self.authenticator.presented(&headers, None);
        self.authenticator
            .recall(&presented.unwrap().unwrap())
            .is_some()
    }
}

fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

#[tokio::test]
async fn a_token_of_each_algorithm_makes_an_identity() {
    for algorithm in [
        Signature::RS256,
        Signature::PS256,
        Signature::ES256,
        Signature::ES384,
        Signature::EdDSA,
    ] {
        let world = World::start(algorithm, "").await;
        let token = world.key.sign(&world.claims(json!({})));
        let verified = world.check(&token).await;
        let verified = verified.unwrap_or_else(|rejection| panic!("{algorithm:?}: {rejection}"));
        let identity = &verified.identity;
        assert_eq!(
            (identity.issuer.as_str(), identity.subject.as_str()),
            (world.issuer.url().as_str(), "alice")
        );
        assert_eq!(identity.tenant.as_deref(), Some("acme"));
        assert!(identity.roles.contains("clerk"));
        let scopes: Vec<_> = identity.scopes.iter().map(String::as_str).collect();
        assert_eq!(scopes, ["orders:read", "orders:write"]);
        assert_eq!(identity.credential_id.as_deref(), Some("token-1"));
    }
}

#[tokio::test]
async fn an_issuer_makes_nobody_a_process_of_the_mesh() {
    let world = World::start(Signature::ES256, "").await;
    let roles = json!(["clerk", "mesh.process", "mesh.process.orders"]);
    let token = world.key.sign(&world.claims(json!({ "roles": roles })));
    let verified = world.check(&token).await.unwrap();
    let roles: Vec<_> = verified.identity.roles.iter().collect();
    assert_eq!(roles, ["clerk"]);
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a table of tokens")]
async fn what_is_wrong_with_a_token_is_its_reason() {
    let world = World::start(Signature::ES256, "").await;
    let stranger = SigningKey::generate(Signature::ES256, "two");
    let imposter = SigningKey::generate(Signature::ES256, "one");
    let header = json!({ "alg": "ES256", "kid": "one" });
    let claims = |own| world.claims(own);
    let sign = |own| world.key.sign(&world.claims(own));
    let with = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        world.key.sign_as(&header, &world.claims(json!({})))
    };
    let valid = sign(json!({}));
    let (signed, _) = valid.rsplit_once('.').unwrap();
    let none = json!({ "alg": "none" });
    for (name, token, expected) in [
        ("garbage", "garbage".to_owned(), Rejection::Malformed),
        ("dots", "..".to_owned(), Rejection::Malformed),
        ("no signature", format!("{signed}."), Rejection::Signature),
        ("padding", format!("{valid}="), Rejection::Signature),
        (
            "expired",
            sign(json!({ "exp": world.later(-31) })),
            Rejection::Expired,
        ),
        (
            "not yet",
            sign(json!({ "nbf": world.later(31) })),
            Rejection::NotYetValid,
        ),
        (
            "issued later",
            sign(json!({ "iat": world.later(31) })),
            Rejection::NotYetValid,
        ),
        ("no expiry", sign(json!({ "exp": null })), Rejection::Claim),
        (
            "expiry as text",
            sign(json!({ "exp": "soon" })),
            Rejection::Claim,
        ),
        ("no subject", sign(json!({ "sub": null })), Rejection::Claim),
        (
            "no audience",
            sign(json!({ "aud": null })),
            Rejection::Audience,
        ),
        (
            "wrong audience",
            sign(json!({ "aud": ["https://other"] })),
            Rejection::Audience,
        ),
        (
            "wrong issuer",
            sign(json!({ "iss": "https://other" })),
            Rejection::Issuer,
        ),
        ("no issuer", sign(json!({ "iss": null })), Rejection::Issuer),
        (
            "tenant of another type",
            sign(json!({ "tenant": 1 })),
            Rejection::Claim,
        ),
        (
            "roles of another type",
            sign(json!({ "roles": [1] })),
            Rejection::Claim,
        ),
        (
            "unknown key",
            stranger.sign(&claims(json!({}))),
            Rejection::UnknownKey,
        ),
        (
            "other key of that name",
            imposter.sign(&claims(json!({}))),
            Rejection::Signature,
        ),
        (
            "alg none",
            format!("{}.{}.", part(&none), part(&claims(json!({})))),
            Rejection::Algorithm,
        ),
        (
            "alg of another case",
            with("alg", json!("es256")),
            Rejection::Algorithm,
        ),
        (
            "an algorithm that is not pinned",
            with("alg", json!("RS256")),
            Rejection::Algorithm,
        ),
        ("crit", with("crit", json!(["exp"])), Rejection::Critical),
        (
            "another type",
            with("typ", json!("logout+jwt")),
            Rejection::Type,
        ),
        (
            "bound by DPoP",
            sign(json!({ "cnf": { "jkt": "x" } })),
            Rejection::Binding,
        ),
    ] {
        assert_eq!(world.check(&token).await.err(), Some(expected), "{name}");
    }
    world.check(&valid).await.unwrap();
}

#[tokio::test]
async fn a_public_key_is_no_secret_of_hmac() {
    let world = World::start(Signature::RS256, "").await;
    let jwk = serde_json::to_string(&world.key.jwk()).unwrap();
    let secret = jsonwebtoken::EncodingKey::from_secret(jwk.as_bytes());
    let header = jsonwebtoken::Header {
        kid: Some("one".to_owned()),
        ..jsonwebtoken::Header::new(Signature::HS256)
    };
    let token = jsonwebtoken::encode(&header, &world.claims(json!({})), &secret).unwrap();
    assert_eq!(world.check(&token).await.err(), Some(Rejection::Algorithm));
}

#[tokio::test]
async fn the_type_of_access_tokens_can_be_required() {
    let world = World::start(Signature::ES256, "token_type = \"at+jwt\"").await;
    let claims = world.claims(json!({}));
    world.check(&world.key.sign(&claims)).await.unwrap();
    for typ in [json!("JWT"), json!("jwt"), json!("")] {
        let header = json!({ "alg": "ES256", "kid": "one", "typ": typ });
        let token = world.key.sign_as(&header, &claims);
        assert_eq!(world.check(&token).await.err(), Some(Rejection::Type));
    }
    let header = json!({ "alg": "ES256", "kid": "one", "typ": "application/AT+JWT" });
    world
        .check(&world.key.sign_as(&header, &claims))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_token_is_remembered_for_as_long_as_it_lives() {
    let world = World::start(Signature::ES256, "").await;
    let token = world.key.sign(&world.claims(json!({})));
    world.check(&token).await.unwrap();
    assert!(world.recalls(&token));
    world.clock.advance(Duration::from_secs(300));
    assert!(!world.recalls(&token));
    world.check(&token).await.unwrap();
    assert!(!world.recalls(&token));
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(world.check(&token).await.err(), Some(Rejection::Expired));
}
