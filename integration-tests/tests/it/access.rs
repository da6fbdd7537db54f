//! Callers of every RPC of the mesh, in every protocol: without a credential, with a bad one, with
//! the wrong role and with the right one. RPCs that no call covers are an error.

mod canaries;
mod certificates;
mod directly;
mod trail;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use contract::{Access, Callers};
use integration_tests::http::{Http, Response};
use integration_tests::{Mesh, contracts, eventually};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mesh::StackOptions;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, http::HeaderValue};

const PROTOCOLS: [&str; 5] = ["REST", "gRPC", "gRPC-Web", "Connect", "WebSocket"];

/// The refusals of callers; everything else comes from beyond the gateway's authorization.
const DENIALS: [&str; 11] = [
    "CREDENTIALS_REQUIRED",
    "MISSING_ROLE",
    "NO_ACCESS_RULE",
    "INVALID_ACCESS_RULE",
    "CREDENTIAL_UNKNOWN",
    "CREDENTIAL_REVOKED",
    "TOKEN_EXPIRED",
    "TOKEN_NOT_YET_VALID",
    "TOKEN_AUDIENCE_REFUSED",
    "TOKEN_KEY_UNKNOWN",
    "ISSUER_UNAVAILABLE",
];

/// One RPC of the contracts.
struct Rpc {
    /// `/package.Service/Method`.
    path: String,
    access: Access,
    is_unary: bool,
    /// HTTP method and path with values.
    route: (String, String),
}

/// Worth of a credential.
#[derive(Clone, Copy)]
enum Worth {
    /// It is refused for this reason, whatever it calls.
    Bad(&'static str),
    /// No credential.
    None,
    /// That of a caller without any role of a contract.
    OtherRole,
    /// That of a caller with every role.
    RightRole,
}

/// A header with a credential.
struct Sent {
    name: &'static str,
    worth: Worth,
    header: Option<(&'static str, String)>,
}

/// A mesh whose gateway authenticates, and the key that signs its tokens.
pub(super) struct Guarded {
    pub(super) mesh: Mesh,
    key: EncodingKey,
    key_id: String,
    url: String,
}

impl Guarded {
    pub(super) async fn start() -> Result<Self> {
        Self::start_with(Mesh::authenticated_options()?).await
    }

    pub(super) async fn start_with(options: StackOptions) -> Result<Self> {
        let mesh = Mesh::authenticated_with(options).await?;
        let database = mesh.database("identity").await?;
        let stored = "SELECT pkcs8 FROM signing_key ORDER BY generation LIMIT 1";
        let der: Vec<u8> = sqlx::query_scalar(stored).fetch_one(&database).await?;
        let key = EncodingKey::from_ec_der(&der);
        let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
        Ok(Self {
            url: mesh.url("gateway")?,
            key_id: jwk.thumbprint(ThumbprintHash::SHA256)?,
            key,
            mesh,
        })
    }

    /// The claims of a token that is valid for an hour.
    fn claims(&self, roles: &[&str], tenant: &str) -> Value {
        let now = jsonwebtoken::get_current_timestamp();
        json!({
            "iss": self.url, "sub": "alice", "client_id": "alice", "aud": [self.url],
            "iat": now, "exp": now + 3600, "jti": "token-1", "roles": roles, "tenant": tenant,
        })
    }

    fn sign(&self, claims: &Value, key_id: &str) -> Result<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(key_id.to_owned());
        Ok(jsonwebtoken::encode(&header, claims, &self.key)?)
    }

    pub(super) fn bearer(&self, role: &str, tenant: &str) -> Result<String> {
        let token = self.sign(&self.claims(&[role], tenant), &self.key_id)?;
        Ok(format!("Bearer {token}"))
    }

    /// Returns one credential of each kind, in the order in which they are sent.
    #[allow(clippy::too_many_lines, reason = "one table")]
    async fn credentials(&self, roles: &[&str]) -> Result<Vec<Sent>> {
        let security = self.http(Some(("authorization", &self.bearer("security", "")?)))?;
        let mut revoked = self.claims(roles, "acme");
        revoked["jti"] = json!("revoked-1");
        let revoked = self.sign(&revoked, &self.key_id)?;
        let message = json!({"tokenId": "revoked-1"});
        let done = security
            .post("/v1/identity/tokens:revoke", &message)
            .await?;
        ensure!(done.status.is_success(), "{done:?}");
        let probe = self.http(Some(("authorization", &format!("Bearer {revoked}"))))?;
        eventually("a revocation at the gateway", async || {
            let reason = probe.get("/v1/stock:summarize", "*/*").await?.reason();
            ensure!(
                reason.as_deref() == Some("CREDENTIAL_REVOKED"),
                "{reason:?}"
            );
            Ok(())
        })
        .await?;
        let key = async |id: &str, roles: &[&str]| {
            let message = json!({"keyId": id, "subject": "alice", "roles": roles});
            let made = security.post("/v1/identity/apiKeys", &message).await?;
            let made = made.json()?["key"].clone();
            Ok::<_, anyhow::Error>(made.as_str().context("a key")?.to_owned())
        };
        let changed = |name: &str, value: Value| {
            let mut claims = self.claims(roles, "acme");
            claims[name] = value;
            self.sign(&claims, &self.key_id)
        };
        let right = self.sign(&self.claims(roles, "acme"), &self.key_id)?;
        let other = self.sign(&self.claims(&["nobody"], "acme"), &self.key_id)?;
        let (_, rest) = right.split_once('.').context("a token")?;
        let unsigned = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
        let unsigned = format!("{unsigned}.{}.", rest.split('.').next().unwrap_or_default());
        let foreign = self.sign(&self.claims(roles, "acme"), "unknown-key")?;
        let mut symmetric = Header::new(Algorithm::HS256);
        symmetric.typ = Some("at+jwt".to_owned());
        symmetric.kid = Some(self.key_id.clone());
        // The public key is known to everyone, and no secret.
        let jwk = Jwk::from_encoding_key(&self.key, Algorithm::ES256)?;
        let secret = EncodingKey::from_secret(&serde_json::to_vec(&jwk)?);
        let confused = jsonwebtoken::encode(&symmetric, &self.claims(roles, "acme"), &secret)?;
        let process = ["mesh.process", "mesh.process.orders"];
        let process = self.sign(&self.claims(&process, "acme"), &self.key_id)?;
        let now = jsonwebtoken::get_current_timestamp();
        let unknown = Worth::Bad("CREDENTIAL_UNKNOWN");
        let bearers = [
            ("garbage", unknown, "garbage".to_owned()),
            (
                "expired",
                Worth::Bad("TOKEN_EXPIRED"),
                changed("exp", json!(now - 600))?,
            ),
            (
                "not valid yet",
                Worth::Bad("TOKEN_NOT_YET_VALID"),
                changed("nbf", json!(now + 600))?,
            ),
            (
                "another audience",
                Worth::Bad("TOKEN_AUDIENCE_REFUSED"),
                changed("aud", json!("https://other.example"))?,
            ),
            // Neither is a token of the issuer, which is asked and does not know it.
            (
                "another issuer",
                unknown,
                changed("iss", json!("https://other.example"))?,
            ),
            ("algorithm none", unknown, unsigned),
            ("the public key as a secret", unknown, confused),
            ("unknown key", Worth::Bad("TOKEN_KEY_UNKNOWN"), foreign),
            ("revoked", Worth::Bad("CREDENTIAL_REVOKED"), revoked),
            ("another role", Worth::OtherRole, other),
            ("roles of processes", Worth::OtherRole, process),
            ("right role", Worth::RightRole, right),
        ];
        let bearers = bearers.map(|(name, worth, token)| Sent {
            name,
            worth,
            header: Some(("authorization", format!("Bearer {token}"))),
        });
        let keys = [
            (
                "API key of another role",
                Worth::OtherRole,
                key("other", &["nobody"]).await?,
            ),
            (
                "API key of the right role",
                Worth::RightRole,
                key("right", roles).await?,
            ),
        ];
        let keys = keys.map(|(name, worth, key)| Sent {
            name,
            worth,
            header: Some(("x-api-key", key)),
        });
        let none = Sent {
            name: "none",
            worth: Worth::None,
            header: None,
        };
        // The gateway's own proof, which no caller can bring: it is taken away.
        let own = auth::internal::Signer::new("gateway")?;
        let own = own.call("/orders.v1.OrdersService/GetOrder", None);
        let own = own.map_err(anyhow::Error::msg)?;
        let own = Sent {
            name: "the gateway's own",
            worth: Worth::None,
            header: Some(("mesh-identity", own.to_str()?.to_owned())),
        };
        let others = [none, own].into_iter();
        Ok(others.chain(bearers).chain(keys).collect())
    }

    pub(super) fn http(&self, header: Option<(&str, &str)>) -> Result<Http> {
        let http = self.mesh.http()?;
        Ok(match header {
            Some((name, value)) => http.with(name, value),
            None => http,
        })
    }
}

/// Returns the methods of all services of the mesh, with the rule of the contract and the routes of
/// the document.
fn rpcs(document: &Value) -> Result<Vec<Rpc>> {
    let mut routes: BTreeMap<&str, (String, String)> = BTreeMap::new();
    for (path, item) in document["paths"].as_object().context("paths")? {
        for (method, operation) in item.as_object().context("operations")? {
            let rpc = operation["x-grpc-method"].as_str().context("a method")?;
            let filled = filled(path);
            routes.insert(rpc, (method.to_ascii_uppercase(), filled));
        }
    }
    let mut found = Vec::new();
    for set in contracts::DESCRIPTOR_SETS {
        let pool = descriptors::load(set)?.pool;
        let services = pool.services.iter();
        let methods = services
            .flat_map(|service| service.methods.iter().map(move |method| (service, method)));
        for (service, definition) in methods {
            let plan = descriptors::MethodPlan::new(&pool, service, definition);
            let path = plan.path().to_owned();
            let option = plan
                .access()
                .with_context(|| format!("no access: {path}"))?;
            let access = option
                .access()
                .map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
            found.push(Rpc {
                access,
                is_unary: plan.kind() == contract::MethodKind::Unary,
                route: routes.get(&*path).with_context(|| path.clone())?.clone(),
                path,
            });
        }
    }
    Ok(found)
}

/// Returns a template with a value for each parameter.
fn filled(template: &str) -> String {
    let parts = template.split('{').enumerate();
    parts
        .map(|(index, part)| match part.split_once('}') {
            Some((_, rest)) if index > 0 => format!("1{rest}"),
            _ => part.to_owned(),
        })
        .collect()
}

/// Makes a call, with no content beyond what the path has; returns the denial, if it is one.
async fn denial(
    gateway: SocketAddr,
    rpc: &Rpc,
    protocol: &str,
    header: Option<(&'static str, &str)>,
) -> Result<Option<&'static str>> {
    let http = Http::of(gateway);
    let http = match header {
        Some((name, value)) => http.with(name, value),
        None => http,
    };
    let empty = "\0\0\0\0\0".to_owned();
    let post = async |content_type: &str, body: String| {
        http.call("POST", &rpc.path, Some(content_type), body).await
    };
    let response = match protocol {
        "REST" => {
            let (method, path) = &rpc.route;
            let body = match method.as_str() {
                "GET" => (None, String::new()),
                _ => (Some("application/json"), "{}".to_owned()),
            };
            http.call(method, path, body.0, body.1).await?
        }
        "gRPC" => post("application/grpc", empty).await?,
        "gRPC-Web" => post("application/grpc-web+proto", empty).await?,
        "Connect" if rpc.is_unary => post("application/json", "{}".to_owned()).await?,
        "Connect" => post("application/connect+proto", empty).await?,
        _ => return handshake(gateway, rpc, header).await,
    };
    Ok(denial_of(&seen(&response)))
}

async fn handshake(
    gateway: SocketAddr,
    rpc: &Rpc,
    header: Option<(&'static str, &str)>,
) -> Result<Option<&'static str>> {
    let stream = TcpStream::connect(gateway).await?;
    let mut request = format!("ws://{gateway}{}", rpc.route.1).into_client_request()?;
    if let Some((name, value)) = header {
        let headers = request.headers_mut();
        headers.insert(name, HeaderValue::from_str(value)?);
    }
    match tokio_tungstenite::client_async(request, stream).await {
        Ok(_) => Ok(None),
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            Ok(denial_of(&String::from_utf8_lossy(&body)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Headers and body, and what of them is base64 once more without it.
fn seen(response: &Response) -> String {
    let mut seen = format!("{:?}{}", response.headers, response.body.escape_ascii());
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    let parts = seen.split(|c| !is_part(c));
    let decoded: Vec<Vec<u8>> = parts
        .filter_map(|part| STANDARD_NO_PAD.decode(part).ok())
        .collect();
    for bytes in decoded {
        seen.push_str(&String::from_utf8_lossy(&bytes));
    }
    seen
}

fn denial_of(seen: &str) -> Option<&'static str> {
    DENIALS.into_iter().find(|reason| seen.contains(reason))
}

/// The refusal that the rule of a method has for a credential.
fn expected(access: &Access, worth: Worth) -> Option<&'static str> {
    match (&access.callers, worth) {
        (_, Worth::Bad(reason)) => Some(reason),
        (Callers::Public, _) | (_, Worth::RightRole) => None,
        (_, Worth::None) => Some("CREDENTIALS_REQUIRED"),
        (Callers::Authenticated, Worth::OtherRole) => None,
        (Callers::Granted { .. }, Worth::OtherRole) => Some("MISSING_ROLE"),
    }
}

/// All roles that the contracts name, but those of processes.
fn roles(rpcs: &[Rpc]) -> BTreeSet<&str> {
    let granted = rpcs.iter().filter_map(|rpc| match &rpc.access.callers {
        Callers::Granted { roles, .. } => Some(roles),
        _ => None,
    });
    let roles = granted.flatten().map(|role| &**role);
    roles.filter(|role| !role.starts_with("mesh.")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_lets_in_whom_its_contract_names_in_every_protocol() -> Result<()> {
    let guarded = Guarded::start().await?;
    let document = guarded.http(None)?.get("/openapi.json", "*/*").await?;
    let rpcs = rpcs(&document.json()?)?;
    let roles: Vec<&str> = roles(&rpcs).into_iter().collect();
    let credentials = guarded.credentials(&roles).await?;
    expect_decisions(guarded.mesh.gateway()?, &rpcs, &credentials).await
}

/// Calls every RPC in every protocol with each credential, and compares.
async fn expect_decisions(gateway: SocketAddr, rpcs: &[Rpc], credentials: &[Sent]) -> Result<()> {
    let mut uncovered: BTreeSet<(String, &str)> = BTreeSet::new();
    for method in contracts::methods() {
        uncovered.extend(PROTOCOLS.map(|protocol| (method.to_owned(), protocol)));
    }
    ensure!(!uncovered.is_empty(), "no methods");
    let mut wrong = Vec::new();
    for rpc in rpcs {
        // A handshake has no HTTP method to tell two of one path apart.
        let is_shared = rpcs.iter().filter(|own| own.route.1 == rpc.route.1).count() > 1;
        for protocol in PROTOCOLS {
            uncovered.remove(&(rpc.path.clone(), protocol));
            if is_shared && protocol == "WebSocket" {
                continue;
            }
            for sent in credentials {
                let header = sent.header.as_ref();
                let header = header.map(|(name, value)| (*name, value.as_str()));
                let found = denial(gateway, rpc, protocol, header).await?;
                let expected = expected(&rpc.access, sent.worth);
                if found != expected {
                    let (path, name) = (&rpc.path, sent.name);
                    wrong.push(format!(
                        "{path} by {protocol}, {name}: {found:?}, not {expected:?}"
                    ));
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{} answers: {wrong:#?}", wrong.len());
    ensure!(uncovered.is_empty(), "not covered: {uncovered:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_sees_and_places_orders_of_its_own_account_only() -> Result<()> {
    let guarded = Guarded::start().await?;
    let customer = guarded.http(Some((
        "authorization",
        &guarded.bearer("customer", "17850")?,
    )))?;
    for (path, expected) in [
        ("/v1/orders?accountId=17850", None),
        ("/v1/orders?accountId=17851", Some("CONDITION_NOT_MET")),
        // All accounts.
        ("/v1/orders", Some("CONDITION_NOT_MET")),
    ] {
        let reason = customer.get(path, "*/*").await?.reason();
        ensure!(reason.as_deref() == expected, "{path}: {reason:?}");
    }
    let order = |account: &str| {
        json!({
            "requestId": format!("of-{account}"), "accountId": account,
            "placedAt": integration_tests::order::PLACED_AT, "currencyCode": "GBP",
            "lines": [{"sku": "A", "description": "LANTERN", "quantity": 6, "unitPriceMinor": "255"}],
        })
    };
    let own = customer.post("/v1/orders", &order("17850")).await?;
    ensure!(own.status.is_success(), "{own:?}");
    let other = customer.post("/v1/orders", &order("17851")).await?.reason();
    ensure!(other.as_deref() == Some("CONDITION_NOT_MET"), "{other:?}");
    let clerk = guarded.http(Some(("authorization", &guarded.bearer("clerk", "acme")?)))?;
    let listed = clerk.get("/v1/orders", "*/*").await?;
    ensure!(listed.status.is_success(), "{listed:?}");
    Ok(())
}
