//! Access tokens: JWTs by RFC 9068.

use chrono::{DateTime, Duration, Utc};
use jsonwebtoken::errors::Error;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::client::Rights;
use super::key::SigningKey;

/// The type of access tokens (RFC 9068 §2.1).
const TYPE: &str = "at+jwt";

/// The issuer, and what its tokens are for.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// `iss`.
    pub url: String,
    /// `aud`.
    pub audiences: Vec<String>,
    /// How long a token is valid.
    pub token_life: Duration,
}

/// The claims of a token (RFC 9068 §2.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The issuer.
    pub iss: String,
    /// The caller: for client credentials, the client.
    pub sub: String,
    /// The client.
    pub client_id: String,
    /// The APIs that the token is for.
    pub aud: Vec<String>,
    /// Time of expiry, in seconds since the epoch.
    pub exp: i64,
    /// Time of issue, in seconds since the epoch.
    pub iat: i64,
    /// The ID of the token.
    pub jti: String,
    /// Scopes, separated by spaces; absent for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// Roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Tenant; absent for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
}

/// A signed token.
pub struct Token {
    /// The token.
    pub text: String,
    /// Its claims.
    pub claims: Claims,
}

// === impl Issuer ===

impl Issuer {
    /// Issues a token of a client.
    ///
    /// # Errors
    /// When it can't be signed.
    pub fn issue(
        &self,
        client_id: &str,
        rights: Rights,
        key: &SigningKey,
        now: DateTime<Utc>,
    ) -> Result<Token, Error> {
        let claims = Claims {
            iss: self.url.clone(),
            sub: client_id.to_owned(),
            client_id: client_id.to_owned(),
            aud: self.audiences.clone(),
            exp: (now + self.token_life).timestamp(),
            iat: now.timestamp(),
            jti: Uuid::new_v4().to_string(),
            scope: rights.scopes.join(" "),
            roles: rights.roles,
            tenant: rights.tenant,
        };
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.id.clone());
        let text = jsonwebtoken::encode(&header, &claims, &key.signing)?;
        Ok(Token { text, claims })
    }

    /// Returns the claims of a token of this issuer that is valid now; `None` for another text.
    pub fn read<'k>(
        &self,
        text: &str,
        keys: impl IntoIterator<Item = &'k SigningKey>,
    ) -> Option<Claims> {
        let header = jsonwebtoken::decode_header(text).ok()?;
        let kid = header.kid.filter(|_| header.typ.as_deref() == Some(TYPE))?;
        let key = keys.into_iter().find(|key| key.id == kid)?;
        let mut expected = Validation::new(Algorithm::ES256);
        expected.leeway = 0;
        expected.set_issuer(&[&self.url]);
        expected.set_audience(&self.audiences);
        let read = jsonwebtoken::decode(text, &key.verifying, &expected);
        read.ok().map(|token| token.claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StoredKey;

    fn key(generation: i64) -> SigningKey {
        SigningKey::new(&StoredKey::generate(generation, Utc::now()).unwrap()).unwrap()
    }

    fn issuer() -> Issuer {
        Issuer {
            url: "https://id.example".to_owned(),
            audiences: vec!["https://api.example".to_owned()],
            token_life: Duration::minutes(10),
        }
    }

    #[test]
    fn a_token_says_who_it_is_for_and_is_read_again() {
        let (issuer, keys) = (issuer(), [key(1), key(2)]);
        let rights = Rights {
            roles: vec!["clerk".to_owned()],
            scopes: vec!["read".to_owned(), "write".to_owned()],
            tenant: String::new(),
        };
        let now = Utc::now();
        let token = issuer.issue("shop", rights, &keys[1], now).unwrap();
        let claims = issuer.read(&token.text, &keys).unwrap();
        assert_eq!(claims, token.claims);
        assert_eq!(
            (claims.sub.as_str(), claims.scope.as_str()),
            ("shop", "read write")
        );
        assert_eq!(claims.exp - claims.iat, 600);
        let header = jsonwebtoken::decode_header(&token.text).unwrap();
        assert_eq!(header.typ.as_deref(), Some("at+jwt"));
    }

    #[test]
    fn tokens_of_others_and_old_ones_are_not_read() {
        let (issuer, own) = (issuer(), key(1));
        let issue = |issuer: &Issuer, key: &SigningKey, now| {
            let token = issuer.issue("shop", Rights::default(), key, now);
            token.unwrap().text
        };
        let now = Utc::now();
        let mut other = issuer.clone();
        other.url = "https://other.example".to_owned();
        let mut elsewhere = issuer.clone();
        elsewhere.audiences = vec!["https://other.example".to_owned()];
        for text in [
            issue(&issuer, &key(2), now),
            issue(&other, &own, now),
            issue(&elsewhere, &own, now),
            issue(&issuer, &own, now - Duration::minutes(11)),
            String::new(),
            "a.b.c".to_owned(),
        ] {
            assert_eq!(issuer.read(&text, [&own]), None, "{text}");
        }
        assert!(issuer.read(&issue(&issuer, &own, now), [&own]).is_some());
    }
}
