//! Callers of every RPC past the gateway, at the service itself: by the identity that the gateway
//! passes on, by copies, forgeries and leftovers of it, and by credentials for the gateway.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;

use auth::internal::{NewKey, Signer};
use auth::{Credential, Identity};
use bytes::Bytes;
use chassis::client::{ClientSettings, Upstream};
use http::HeaderMap;
use http_body_util::Full;
use integration_tests::{contracts, order};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mesh::project::Security;
use protos::orders::v1::orders_service_client::OrdersServiceClient;
use protos::orders::v1::{ListOrdersRequest, PlaceOrderRequest};
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::*;

/// The metadata with the identity.
const IDENTITY: &str = "mesh-identity";

/// The right by which a call is made.
#[derive(Clone, Copy)]
enum Right {
    /// Nobody: refused for this reason, whatever is called.
    Refused(&'static str),
    /// A caller of the gateway without a credential.
    Anonymous,
    /// One without any role of a contract.
    OtherRole,
    /// One with every role.
    AllRoles,
    /// The gateway itself, as a process.
    Process,
}

/// Signs as the gateway of a mesh does, and as it never would.
struct Gateway {
    signer: Arc<Signer>,
    key: EncodingKey,
    /// The key set, by which services verify.
    published: String,
    key_id: String,
}

impl Gateway {
    fn of(mesh: &Mesh) -> Result<Self> {
        let file = mesh.stack().dir().join("credentials/gateway.pem");
        let pem = std::fs::read_to_string(&file)?;
        let signer = Signer::from_file("gateway", file)?;
        let published = signer.key_set();
        let keys: Value = serde_json::from_str(&published)?;
        let key_id = keys["keys"][0]["kid"].as_str().context("a key")?;
        Ok(Self {
            signer: Arc::new(signer),
            key: key_of(&pem)?,
            key_id: key_id.to_owned(),
            published,
        })
    }

    /// The claims of a token for a method, as the gateway passes a caller on.
    fn claims(path: &str) -> Value {
        let now = jsonwebtoken::get_current_timestamp();
        json!({
            "iss": "gateway", "act": {"sub": "gateway"}, "forwarded": true,
            "aud": path.trim_start_matches('/').split('/').next(), "method": path,
            "iat": now, "exp": now + 60,
            "sub": "alice", "sub_iss": "https://issuer.example", "sub_cred": "token",
        })
    }

    fn header(&self) -> Header {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("mesh-identity+jwt".to_owned());
        header.kid = Some(self.key_id.clone());
        header
    }

    fn changed(&self, path: &str, changes: Value) -> Result<String> {
        let mut claims = Self::claims(path);
        for (name, value) in changes.as_object().context("claims")? {
            claims[name] = value.clone();
        }
        Ok(jsonwebtoken::encode(&self.header(), &claims, &self.key)?)
    }

    fn forwarded(&self, path: &str, identity: Option<Identity>) -> Result<String> {
        let identity = identity.map(Arc::new);
        let token = self.signer.forward(path, identity.as_ref());
        let token = token.map_err(anyhow::Error::msg)?;
        Ok(token.to_str()?.to_owned())
    }
}

fn key_of(pem: &str) -> Result<EncodingKey> {
    let key = rcgen::KeyPair::from_pem(pem)?;
    Ok(EncodingKey::from_ec_der(&key.serialize_der()))
}

fn caller(roles: &[&str], tenant: &str) -> Identity {
    Identity {
        issuer: "https://issuer.example".to_owned(),
        subject: "alice".to_owned(),
        tenant: Some(tenant.to_owned()),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        scopes: BTreeSet::new(),
        credential: Credential::Token,
        credential_id: None,
        expires: None,
    }
}

/// Returns each kind of token for a method, with its right; several tokens are sent together.
#[allow(clippy::too_many_lines, reason = "one table")]
fn presented(
    gateway: &Gateway,
    path: &str,
    roles: &[&str],
    bearer: &str,
) -> Result<Vec<(&'static str, Right, Vec<String>)>> {
    let now = jsonwebtoken::get_current_timestamp();
    let rejected = Right::Refused("IDENTITY_REJECTED");
    let good = gateway.forwarded(path, Some(caller(roles, "acme")))?;
    let root = gateway.changed(path, json!({"sub": "root", "roles": roles}))?;
    let parts: Vec<&str> = good.split('.').collect();
    let payload = root.split('.').nth(1).context("a payload")?;
    let other_key = key_of(&NewKey::generate()?.pem)?;
    let claims = Gateway::claims(path);
    let unsigned = URL_SAFE_NO_PAD.encode(format!(
        "{{\"alg\":\"none\",\"typ\":\"mesh-identity+jwt\",\"kid\":\"{}\"}}",
        gateway.key_id
    ));
    let mut symmetric = gateway.header();
    symmetric.alg = Algorithm::HS256;
    let secret = EncodingKey::from_secret(gateway.published.as_bytes());
    let mut unknown = gateway.header();
    unknown.kid = Some("unknown".to_owned());
    let mut untyped = gateway.header();
    untyped.typ = Some("at+jwt".to_owned());
    let process = gateway
        .signer
        .call(path, None)
        .map_err(anyhow::Error::msg)?;
    let pretender = caller(&["mesh.process", "mesh.process.orders"], "acme");
    let all = [
        ("none", Right::Refused("IDENTITY_REQUIRED"), vec![]),
        ("garbage", rejected, vec!["garbage".to_owned()]),
        (
            "a credential for the gateway",
            rejected,
            vec![bearer.to_owned()],
        ),
        (
            "expired",
            rejected,
            vec![gateway.changed(path, json!({"iat": now - 120, "exp": now - 60}))?],
        ),
        (
            "not yet valid",
            rejected,
            vec![gateway.changed(path, json!({"iat": now + 60, "exp": now + 120}))?],
        ),
        (
            "of too long a life",
            rejected,
            vec![gateway.changed(path, json!({"exp": now + 3600}))?],
        ),
        (
            "another audience",
            rejected,
            vec![gateway.changed(path, json!({"aud": "other.v1.OtherService"}))?],
        ),
        (
            "another method",
            rejected,
            vec![gateway.changed(path, json!({"method": format!("{path}s")}))?],
        ),
        (
            "another issuer",
            rejected,
            vec![gateway.changed(path, json!({"iss": "stranger", "act": {"sub": "stranger"}}))?],
        ),
        (
            "another actor",
            rejected,
            vec![gateway.changed(path, json!({"act": {"sub": "orders"}}))?],
        ),
        (
            "another subject",
            rejected,
            vec![format!("{}.{payload}.{}", parts[0], parts[2])],
        ),
        (
            "another key",
            rejected,
            vec![jsonwebtoken::encode(
                &gateway.header(),
                &claims,
                &other_key,
            )?],
        ),
        (
            "an unknown key",
            rejected,
            vec![jsonwebtoken::encode(&unknown, &claims, &gateway.key)?],
        ),
        (
            "another type",
            rejected,
            vec![jsonwebtoken::encode(&untyped, &claims, &gateway.key)?],
        ),
        (
            "algorithm none",
            rejected,
            vec![format!("{unsigned}.{}.", parts[1])],
        ),
        (
            "the public key as a secret",
            rejected,
            vec![jsonwebtoken::encode(&symmetric, &claims, &secret)?],
        ),
        (
            "a copy beside it",
            rejected,
            vec![good.clone(), good.clone()],
        ),
        (
            "anonymous",
            Right::Anonymous,
            vec![gateway.forwarded(path, None)?],
        ),
        (
            "another role",
            Right::OtherRole,
            vec![gateway.forwarded(path, Some(caller(&["nobody"], "acme")))?],
        ),
        (
            "roles of processes",
            Right::OtherRole,
            vec![gateway.forwarded(path, Some(pretender))?],
        ),
        ("right role", Right::AllRoles, vec![good]),
        (
            "the gateway's own",
            Right::Process,
            vec![process.to_str()?.to_owned()],
        ),
    ];
    Ok(all.into())
}

fn expected_at_service(access: &Access, right: Right) -> Option<&'static str> {
    match (&access.callers, right) {
        (_, Right::Refused(reason)) => Some(reason),
        (Callers::Public, _) | (_, Right::AllRoles) => None,
        (_, Right::Anonymous) => Some("CREDENTIALS_REQUIRED"),
        (Callers::Authenticated, _) => None,
        (Callers::Granted { roles, .. }, Right::Process)
            if roles
                .iter()
                .any(|role| matches!(&**role, "mesh.process" | "mesh.process.gateway")) =>
        {
            None
        }
        (Callers::Granted { .. }, _) => Some("MISSING_ROLE"),
    }
}

/// Calls a method with an empty message; returns the reason of a refusal of the caller.
async fn refusal(upstream: &Upstream, path: &str, tokens: &[String]) -> Result<Option<String>> {
    let mut request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for token in tokens {
        request = request.header(IDENTITY, token);
    }
    let body = Body::new(Full::<Bytes>::from("\0\0\0\0\0"));
    let mut upstream = upstream.clone();
    poll_fn(|context| upstream.poll_ready(context))
        .await
        .map_err(|error| anyhow::anyhow!("{path}: {error}"))?;
    let response = upstream.call(request.body(body)?).await;
    let response = response.map_err(|error| anyhow::anyhow!("{path}: {error}"))?;
    // A refusal is in the head; other answers may go on for ever.
    Ok(refusal_in(response.headers()))
}

fn refusal_in(headers: &HeaderMap) -> Option<String> {
    let status = Status::from_header_map(headers)?;
    let reason = status.get_details_error_info()?.reason;
    let of_callers = [
        "IDENTITY_REQUIRED",
        "IDENTITY_REJECTED",
        "CONDITION_NOT_MET",
    ];
    let is_refusal = DENIALS.contains(&&*reason) || of_callers.contains(&&*reason);
    is_refusal.then_some(reason)
}

/// A mesh whose services believe nobody but the gateway, and enforce the rules again.
fn options() -> Result<StackOptions> {
    Ok(Mesh::options()?.security(Security {
        identity: true,
        access: true,
        authentication: true,
        tls: false,
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_lets_in_whom_its_contract_names_at_the_service_too() -> Result<()> {
    let guarded = Guarded::start_with(options()?).await?;
    let gateway = Gateway::of(&guarded.mesh)?;
    let document = guarded.http(None)?.get("/openapi.json", "*/*").await?;
    let rpcs = rpcs(&document.json()?)?;
    let roles: Vec<&str> = roles(&rpcs).into_iter().collect();
    let bearer = guarded.bearer("admin", "acme")?;
    let bearer = bearer.trim_start_matches("Bearer ");
    let mut uncovered: BTreeSet<&str> = contracts::methods().collect();
    let mut wrong = Vec::new();
    for rpc in &rpcs {
        let path = rpc.path.as_str();
        // The package of a contract begins with its service, that of the product with `mesh`.
        let mut words = path.trim_start_matches('/').split('.');
        let service = words.find(|word| *word != "mesh");
        let url = guarded.mesh.url(service.context("a service")?)?;
        let upstream = Upstream::connect_lazy(&url, &ClientSettings::default(), protos::METHODS)?;
        for (name, right, tokens) in presented(&gateway, path, &roles, bearer)? {
            let found = refusal(&upstream, path, &tokens).await?;
            let expected = expected_at_service(&rpc.access, right);
            if found.as_deref() != expected {
                wrong.push(format!("{path}, {name}: {found:?}, not {expected:?}"));
            }
        }
        uncovered.remove(path);
    }
    ensure!(wrong.is_empty(), "{} answers: {wrong:#?}", wrong.len());
    ensure!(uncovered.is_empty(), "not covered: {uncovered:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_enforces_the_condition_of_a_method_again() -> Result<()> {
    let options = options()?.only(["identity", "orders", "inventory", "payments"])?;
    let mesh = Mesh::start_with(options).await?;
    let gateway = Gateway::of(&mesh)?;
    let settings = ClientSettings::default();
    let upstream = Upstream::connect_lazy(&mesh.url("orders")?, &settings, protos::METHODS)?;
    let mut orders = OrdersServiceClient::new(upstream);
    let signed = |path: &str, role: &str| {
        let token = gateway.forwarded(path, Some(caller(&[role], "17850")))?;
        Ok::<_, anyhow::Error>(token.parse::<tonic::metadata::AsciiMetadataValue>()?)
    };
    let list = "/orders.v1.OrdersService/ListOrders";
    let place = "/orders.v1.OrdersService/PlaceOrder";
    for (role, account, is_allowed) in [
        ("customer", "17850", true),
        ("customer", "17851", false),
        ("customer", "", false),
        ("clerk", "17851", true),
    ] {
        let mut request = tonic::Request::new(ListOrdersRequest {
            account_id: account.to_owned(),
            ..ListOrdersRequest::default()
        });
        request.metadata_mut().insert(IDENTITY, signed(list, role)?);
        let listed = orders.list_orders(request).await.map(drop);
        check(listed, is_allowed).with_context(|| format!("list {role} {account}"))?;
        if account.is_empty() {
            continue;
        }
        let mut request = tonic::Request::new(PlaceOrderRequest {
            account_id: account.to_owned(),
            ..order::request(&format!("{role}-{account}"), &[("A", 1, 255)])
        });
        request
            .metadata_mut()
            .insert(IDENTITY, signed(place, role)?);
        let placed = orders.place_order(request).await.map(drop);
        check(placed, is_allowed).with_context(|| format!("place {role} {account}"))?;
    }
    Ok(())
}

fn check(answer: Result<(), Status>, is_allowed: bool) -> Result<()> {
    match answer {
        Ok(()) => ensure!(is_allowed, "let in"),
        Err(status) => {
            let reason = status.get_details_error_info().map(|info| info.reason);
            let is_denied = status.code() == Code::PermissionDenied
                && reason.as_deref() == Some("CONDITION_NOT_MET");
            ensure!(is_denied && !is_allowed, "{status:?}");
        }
    }
    Ok(())
}
