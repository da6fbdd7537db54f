//! An issuer of tokens for tests: a real HTTP server with keys that rotate, and that can go away.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

pub(crate) const AUDIENCE: &str = "https://api.example";

/// A key that signs tokens.
pub(crate) struct SigningKey {
    pub(crate) id: String,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl SigningKey {
    pub(crate) fn generate(algorithm: Algorithm, id: &str) -> Self {
        let kind = match algorithm {
            Algorithm::ES256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Algorithm::ES384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Algorithm::EdDSA => &rcgen::PKCS_ED25519,
            _ => &rcgen::PKCS_RSA_SHA256,
        };
        let pkcs8 = KeyPair::generate_for(kind).unwrap().serialize_der();
        let key = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_der(&pkcs8),
            // The library reads the first version of PKCS #8 only, which has no public key.
            Algorithm::EdDSA => {
                let header = b"\x30\x2e\x02\x01\0\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
                EncodingKey::from_ed_der(&[&header[..], &pkcs8[16..48]].concat())
            }
            // The RSA key within PKCS #8, after the headers that name its kind.
            _ => EncodingKey::from_rsa_der(&pkcs8[26..]),
        };
        Self {
            id: id.to_owned(),
            algorithm,
            key,
        }
    }

    pub(crate) fn jwk(&self) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.clone());
        jwk.common.key_algorithm = None;
        jwk
    }

    /// Signs these claims, with the header of an access token.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(self.id.clone());
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    /// Signs these claims with this header, whatever it says.
    pub(crate) fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", part(header), part(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm);
        format!("{message}.{}", signature.unwrap())
    }
}

/// One part of a token.
pub(crate) fn part(value: &Value) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Seconds since the epoch, this much later.
pub(crate) fn in_seconds(now: SystemTime, later: i64) -> i64 {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + later
}

/// An issuer that serves until it is dropped.
pub(crate) struct Issuer {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<State>,
    server: AbortHandle,
}

/// The answers of the issuer, and the questions that it was asked.
#[derive(Default)]
pub(crate) struct State {
    keys: Mutex<Vec<Value>>,
    /// Whether every request fails.
    pub(crate) is_away: AtomicBool,
    /// Requests for keys.
    pub(crate) key_requests: AtomicUsize,
    /// Requests for introspection.
    pub(crate) introspections: AtomicUsize,
    /// Claims of active opaque tokens.
    pub(crate) opaque: Mutex<HashMap<String, Value>>,
    /// The list of revoked credentials.
    pub(crate) revoked: Mutex<Value>,
}

impl Issuer {
    pub(crate) async fn start(keys: &[&SigningKey]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        *state.revoked.lock().unwrap() = json!({ "revoked": [] });
        let served = state.clone();
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let served = served.clone();
                tokio::spawn(async move {
                    let service =
                        service_fn(move |request| answer(served.clone(), address, request));
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        let issuer = Self {
            address,
            state,
            server: server.abort_handle(),
        };
        issuer.publish(keys);
        issuer
    }

    pub(crate) fn url(&self) -> String {
        url(self.address)
    }

    /// Publishes these keys, and no others.
    pub(crate) fn publish(&self, keys: &[&SigningKey]) {
        let keys = keys
            .iter()
            .map(|key| serde_json::to_value(key.jwk()).unwrap());
        *self.state.keys.lock().unwrap() = keys.collect();
    }

    pub(crate) fn key_requests(&self) -> usize {
        self.state.key_requests.load(Ordering::SeqCst)
    }

    /// The claims of a token that is valid for five minutes.
    pub(crate) fn claims(&self, now: SystemTime) -> Value {
        json!({
            "iss": self.url(),
            "sub": "alice",
            "aud": AUDIENCE,
            "exp": in_seconds(now, 300),
            "iat": in_seconds(now, 0),
            "jti": "token-1",
            "tenant": "acme",
            "roles": ["clerk"],
            "scope": "orders:read orders:write",
        })
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

async fn answer(
    state: Arc<State>,
    address: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Full<bytes::Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = match path.as_str() {
        "/.well-known/openid-configuration" => Some(json!({
            "issuer": url(address),
            "jwks_uri": format!("{}/keys", url(address)),
        })),
        "/keys" => {
            state.key_requests.fetch_add(1, Ordering::SeqCst);
            // Long enough that all who ask at once see each other.
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some(json!({ "keys": *state.keys.lock().unwrap() }))
        }
        "/introspect" => {
            state.introspections.fetch_add(1, Ordering::SeqCst);
            let form = request.into_body().collect().await.unwrap().to_bytes();
            let form = String::from_utf8(form.to_vec()).unwrap();
            let token = form.split('&').find_map(|pair| pair.strip_prefix("token="));
            let known = state.opaque.lock().unwrap();
            let claims = token.and_then(|token| known.get(token)).cloned();
            Some(claims.unwrap_or_else(|| json!({ "active": false })))
        }
        "/revoked" => Some(state.revoked.lock().unwrap().clone()),
        _ => None,
    };
    let mut response = Response::new(Full::default());
    match body {
        Some(body) if !state.is_away.load(Ordering::SeqCst) => {
            *response.body_mut() = Full::from(body.to_string());
        }
        Some(_) => *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    Ok(response)
}
