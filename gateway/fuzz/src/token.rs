//! Tokens: any text, and any header or claims under a right signature.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use auth::{AuthenticationSettings, Authenticator, Clock, Metrics, Unverified};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "https://api.example";

/// The time by which all tokens are judged, in seconds since the epoch.
const NOW: u64 = 1_800_000_000;
const SKEW: f64 = 30.0;

/// A key that nobody else has: PKCS #8 of Ed25519.
const KEY: [u8; 48] = *b"\x30\x2e\x02\x01\0\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20\
    any seed of thirty-two bytes....";

/// An authenticator with the key in a file.
struct Target {
    runtime: Runtime,
    authenticator: Authenticator,
    key: EncodingKey,
    _keys: tempfile::NamedTempFile,
}

/// The first byte says what the others are: a whole token, claims of a signed one, or its header.
pub fn token(data: &[u8]) {
    thread_local!(static TARGET: RefCell<Option<Target>> = const { RefCell::new(None) });
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    TARGET.with_borrow_mut(|target| {
        let target = target.get_or_insert_with(Target::start);
        match choice % 3 {
            0 => target.text(bytes),
            1 => target.claims(bytes),
            _ => target.header(bytes),
        }
    });
}

// === impl Target ===

impl Target {
    fn start() -> Self {
        let key = EncodingKey::from_ed_der(&KEY);
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::EdDSA).unwrap();
        jwk.common.key_id = Some("one".to_owned());
        let keys = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(keys.path(), json!({ "keys": [jwk] }).to_string()).unwrap();
        let defaults: toml::Table = toml::from_str(gateway::DEFAULTS).unwrap();
        let mut section = defaults["authentication"].clone();
        let issuer = format!(
            "url = \"{ISSUER}\"\naudiences = [\"{AUDIENCE}\"]\nalgorithms = [\"EdDSA\"]\n\
             jwks = \"{}\"\ntenant_claim = \"/org/id\"\n",
            keys.path().display()
        );
        let issuer: toml::Table = toml::from_str(&issuer).unwrap();
        section["issuer"] = toml::Table::from_iter([("fuzz".to_owned(), issuer.into())]).into();
        let settings: AuthenticationSettings = section.try_into().unwrap();
        let clock = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Self {
            runtime,
            authenticator: Authenticator::new(&settings, clock, Metrics::default()).unwrap(),
            key,
            _keys: keys,
        }
    }

    /// A text that is not signed is never accepted. The parser takes one spelling only.
    fn text(&self, bytes: &[u8]) {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        if let Ok(parsed) = Unverified::parse(text) {
            let parts: Vec<&str> = text.split('.').collect();
            assert_eq!(parts.len(), 3);
            for part in &parts[..2] {
                let decoded = URL_SAFE_NO_PAD.decode(part).unwrap();
                assert_eq!(URL_SAFE_NO_PAD.encode(decoded), *part);
            }
            let header = URL_SAFE_NO_PAD.decode(parts[0]).unwrap();
            let header: Map<String, Value> = serde_json::from_slice(&header).unwrap();
            assert!(!header.contains_key("crit"));
            assert_eq!(
                header.get("kid").and_then(Value::as_str),
                parsed.key_id.as_deref()
            );
        }
        assert!(!self.accepts(text));
    }

    /// Signed claims are accepted only if they say what they must.
    fn claims(&self, bytes: &[u8]) {
        let header = json!({ "alg": "EdDSA", "kid": "one", "typ": "at+jwt" }).to_string();
        if !self.accepts(&self.sign(header.as_bytes(), bytes)) {
            return;
        }
        let claims: Map<String, Value> = serde_json::from_slice(bytes).unwrap();
        assert_eq!(claims["iss"], ISSUER);
        let audience = &claims["aud"];
        let named = audience
            .as_array()
            .is_some_and(|all| all.contains(&AUDIENCE.into()));
        assert!(named || *audience == AUDIENCE, "{audience}");
        assert!(claims["exp"].as_f64().unwrap() > NOW as f64 - SKEW);
        for name in ["nbf", "iat"] {
            let time = claims.get(name).map_or(0.0, |time| time.as_f64().unwrap());
            assert!(time <= NOW as f64 + SKEW, "{name}");
        }
        assert!(!claims["sub"].as_str().unwrap().is_empty());
        // This caller has no certificate.
        assert!(!claims.contains_key("cnf"));
    }

    /// A signed header is accepted only if it says how it is signed.
    fn header(&self, bytes: &[u8]) {
        let claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 60, "sub": "a" });
        if !self.accepts(&self.sign(bytes, claims.to_string().as_bytes())) {
            return;
        }
        let header: Map<String, Value> = serde_json::from_slice(bytes).unwrap();
        assert!(
            header["alg"] == "EdDSA" || header["alg"] == "Ed25519",
            "{header:?}"
        );
        assert!(
            header.get("kid").is_none_or(|kid| kid == "one"),
            "{header:?}"
        );
        assert!(!header.contains_key("crit"), "{header:?}");
        let kind = header
            .get("typ")
            .map(|kind| kind.as_str().unwrap().to_ascii_lowercase());
        let kind = kind
            .as_deref()
            .map(|kind| kind.trim_start_matches("application/"));
        assert!(matches!(kind, None | Some("jwt" | "at+jwt")), "{header:?}");
    }

    fn sign(&self, header: &[u8], claims: &[u8]) -> String {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signed = format!("{header}.{claims}");
        let signature =
            jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, Algorithm::EdDSA).unwrap();
        format!("{signed}.{signature}")
    }

    fn accepts(&self, token: &str) -> bool {
        let Ok(value) = HeaderValue::try_from(format!("Bearer {token}")) else {
            return false;
        };
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        let Ok(Some(presented)) = self.authenticator.presented(&headers, None) else {
            return false;
        };
        let verified = self.authenticator.verify(&presented);
        self.runtime.block_on(verified).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_right_is_accepted() {
        let target = Target::start();
        let claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 60, "sub": "a" });
        let header = json!({ "alg": "EdDSA", "kid": "one" });
        let sign = |claims: &Value| {
            target.sign(header.to_string().as_bytes(), claims.to_string().as_bytes())
        };
        assert!(target.accepts(&sign(&claims)));
        assert!(!target.accepts(&sign(&json!({}))));
    }
}
