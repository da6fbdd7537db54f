//! Callers of every RPC of the mesh, in every protocol: without a credential, with the wrong role
//! and with the right one. RPCs that no call covers are an error.

#[allow(dead_code, reason = "each crate uses a part")]
#[path = "../../../shared/auth/src/testing.rs"]
mod issuer;

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use contract::{Access, Callers};
use integration_tests::Mesh;
use integration_tests::http::{Http, Response};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, http::HeaderValue};

use issuer::{AUDIENCE, Issuer, SigningKey};

const PROTOCOLS: [&str; 5] = ["REST", "gRPC", "gRPC-Web", "Connect", "WebSocket"];

/// RPCs of one path with another, of which a WebSocket can call one.
const SHARED_PATHS: [&str; 2] = [
    "/orders.v1.OrdersService/ListOrders",
    "/orders.v1.OrdersService/PlaceOrder",
];

/// The denials of callers; everything else comes from beyond the gateway's authorization.
const DENIALS: [&str; 4] = [
    "CREDENTIALS_REQUIRED",
    "MISSING_ROLE",
    "NO_ACCESS_RULE",
    "INVALID_ACCESS_RULE",
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

/// A mesh whose gateway authenticates.
pub(super) struct Guarded {
    pub(super) mesh: Mesh,
    issuer: Issuer,
    key: SigningKey,
}

impl Guarded {
    pub(super) async fn start() -> Result<Self> {
        let key = SigningKey::generate(Algorithm::RS256, "one");
        let issuer = Issuer::start(&[&key]).await;
        let options = [
            ("PROTOMESH_AUTHENTICATION__AUDIENCES", AUDIENCE.to_owned()),
            ("PROTOMESH_AUTHENTICATION__ISSUER__TEST__URL", issuer.url()),
            (
                "PROTOMESH_AUTHENTICATION__ISSUER__TEST__TENANT_CLAIM",
                "tenant".to_owned(),
            ),
        ];
        let options = options
            .iter()
            .fold(Mesh::options()?, |options, (name, value)| {
                options.env("gateway", name, value)
            });
        Ok(Self {
            mesh: Mesh::start_with(options).await?,
            issuer,
            key,
        })
    }

    pub(super) fn bearer(&self, role: &str, tenant: &str) -> String {
        let mut claims = self.issuer.claims(SystemTime::now());
        claims["roles"] = json!([role]);
        claims["tenant"] = json!(tenant);
        format!("Bearer {}", self.key.sign(&claims))
    }

    pub(super) fn http(&self, bearer: Option<&str>) -> Result<Http> {
        let http = self.mesh.http()?;
        Ok(match bearer {
            Some(bearer) => http.with("authorization", bearer),
            None => http,
        })
    }
}

/// Returns the methods of all services of the mesh, with the rule of the contract and the routes of
/// the document.
fn rpcs(document: &Value) -> Result<Vec<Rpc>> {
    let loaded = descriptors::load(protos::FILE_DESCRIPTOR_SET)?;
    let mut routes: BTreeMap<&str, (String, String)> = BTreeMap::new();
    for (path, item) in document["paths"].as_object().context("paths")? {
        for (method, operation) in item.as_object().context("operations")? {
            let rpc = operation["x-grpc-method"].as_str().context("a method")?;
            let filled = filled(path);
            routes.insert(rpc, (method.to_ascii_uppercase(), filled));
        }
    }
    let mut found = Vec::new();
    for service in &loaded.pool.services {
        for definition in &service.methods {
            let plan = descriptors::MethodPlan::new(&loaded.pool, service, definition);
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
    guarded: &Guarded,
    rpc: &Rpc,
    protocol: &str,
    bearer: Option<&str>,
) -> Result<Option<&'static str>> {
    let http = guarded.http(bearer)?;
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
        _ => return handshake(guarded, rpc, bearer).await,
    };
    Ok(denial_of(&seen(&response)))
}

async fn handshake(
    guarded: &Guarded,
    rpc: &Rpc,
    bearer: Option<&str>,
) -> Result<Option<&'static str>> {
    let address = guarded.mesh.stack().address("gateway")?;
    let stream = TcpStream::connect(address).await?;
    let mut request = format!("ws://{address}{}", rpc.route.1).into_client_request()?;
    if let Some(bearer) = bearer {
        let headers = request.headers_mut();
        headers.insert("authorization", HeaderValue::from_str(bearer)?);
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

/// The role that a rule lets in, and the denials of callers without a credential and of others.
fn expected(access: &Access) -> Result<(String, [Option<&'static str>; 2])> {
    Ok(match &access.callers {
        Callers::Public => ("nobody".to_owned(), [None; 2]),
        Callers::Authenticated => ("nobody".to_owned(), [Some("CREDENTIALS_REQUIRED"), None]),
        Callers::Granted { roles, .. } => (
            roles.first().context("a role")?.to_string(),
            [Some("CREDENTIALS_REQUIRED"), Some("MISSING_ROLE")],
        ),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_lets_in_whom_its_contract_names_in_every_protocol() -> Result<()> {
    let guarded = Guarded::start().await?;
    let document = guarded
        .http(None)?
        .get("/openapi.json", "*/*")
        .await?
        .json()?;
    let rpcs = rpcs(&document)?;
    let mut uncovered: BTreeSet<(String, &str)> = BTreeSet::new();
    for method in protos::METHODS {
        uncovered.extend(PROTOCOLS.map(|protocol| (method.path.to_owned(), protocol)));
    }
    ensure!(!uncovered.is_empty(), "no methods");
    let mut shared = BTreeSet::new();
    for rpc in &rpcs {
        let (role, [anonymous, other]) = expected(&rpc.access)?;
        let wrong = guarded.bearer("nobody", "acme");
        let right = guarded.bearer(&role, "acme");
        // A handshake has no HTTP method to tell two of one path apart.
        let is_shared = rpcs.iter().filter(|own| own.route.1 == rpc.route.1).count() > 1;
        for protocol in PROTOCOLS {
            if is_shared && protocol == "WebSocket" {
                shared.insert(rpc.path.clone());
                uncovered.remove(&(rpc.path.clone(), protocol));
                continue;
            }
            for (bearer, expected) in [
                (None, anonymous),
                (Some(&wrong), other),
                (Some(&right), None),
            ] {
                let bearer = bearer.map(String::as_str);
                let found = denial(&guarded, rpc, protocol, bearer).await?;
                ensure!(
                    found == expected,
                    "{} by {protocol}: {found:?}, not {expected:?}",
                    rpc.path
                );
            }
            uncovered.remove(&(rpc.path.clone(), protocol));
        }
    }
    ensure!(uncovered.is_empty(), "not covered: {uncovered:?}");
    let expected = SHARED_PATHS.map(str::to_owned);
    ensure!(
        shared == BTreeSet::from(expected),
        "of one path: {shared:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_sees_and_places_orders_of_its_own_account_only() -> Result<()> {
    let guarded = Guarded::start().await?;
    let customer = guarded.http(Some(&guarded.bearer("customer", "17850")))?;
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
    let clerk = guarded.http(Some(&guarded.bearer("clerk", "acme")))?;
    let listed = clerk.get("/v1/orders", "*/*").await?;
    ensure!(listed.status.is_success(), "{listed:?}");
    Ok(())
}
