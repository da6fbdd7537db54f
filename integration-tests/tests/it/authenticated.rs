//! The mesh with authentication on, by tokens and API keys of its own issuer.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use integration_tests::http::{Http, Response};
use integration_tests::{Mesh, eventually};
use mesh::StackOptions;
use protos::inventory::v1::SummarizeStockRequest;
use protos::inventory::v1::inventory_service_client::InventoryServiceClient;
use serde_json::{Value, json};
use tonic::{Code, Request};

/// A method that the role `viewer` may call.
const READ: &str = "/v1/stock:summarize";
/// The time within which a revocation has to count.
const REVOKED_WITHIN: Duration = Duration::from_secs(5);
const FORM: &str = "application/x-www-form-urlencoded";

fn small() -> Result<StackOptions> {
    Mesh::authenticated_options()?.only(["identity", "inventory", "gateway"])
}

async fn as_role(mesh: &Mesh, role: &str) -> Result<Http> {
    with_token(mesh, &mesh.token(&[role]).await?)
}

fn with_token(mesh: &Mesh, token: &str) -> Result<Http> {
    let bearer = format!("Bearer {token}");
    Ok(mesh.http()?.with("authorization", &bearer))
}

async fn read(http: &Http) -> Result<Response> {
    http.get(READ, "*/*").await
}

async fn must_read(http: &Http) -> Result<()> {
    let response = read(http).await?;
    ensure!(response.status.is_success(), "{response:?}");
    Ok(())
}

async fn must_post(http: &Http, path: &str, message: Value) -> Result<Value> {
    let response = http.post(path, &message).await?;
    ensure!(response.status.is_success(), "{path}: {response:?}");
    response.json()
}

/// Posts a form to the token endpoint.
async fn ask(http: &Http, form: &str) -> Result<Response> {
    http.call("POST", "/oauth/token", Some(FORM), form.to_owned())
        .await
}

/// Waits until a credential is refused for this reason; returns how long that took.
async fn refused(http: &Http, reason: &str) -> Result<Duration> {
    let begun = Instant::now();
    eventually("a refusal", async || {
        let response = read(http).await?;
        let found = response.reason();
        ensure!(found.as_deref() == Some(reason), "{response:?}");
        Ok(begun.elapsed())
    })
    .await
}

/// One part of a token, read without any check.
fn part(token: &str, index: usize) -> Result<Value> {
    let part = token.split('.').nth(index).context("a part")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_a_token_and_calls_with_it() -> Result<()> {
    let mesh = Mesh::authenticated_with(small()?).await?;
    let (id, secret) = mesh.stack().developer()?;
    let url = format!("{}/oauth/token", mesh.url("gateway")?);
    let in_body = format!("client_id={id}&client_secret={secret}");
    // As any client of OAuth 2.0 does it: by Basic, and in the body.
    for credentials in [["-u", &format!("{id}:{secret}")], ["-d", &in_body]] {
        let curl = Command::new("curl")
            .args([
                "-sS",
                "--fail-with-body",
                "-d",
                "grant_type=client_credentials",
            ])
            .args(["-d", "roles=viewer"])
            .args(credentials)
            .arg(&url)
            .output()?;
        let answer: Value = serde_json::from_slice(&curl.stdout)
            .with_context(|| String::from_utf8_lossy(&curl.stdout).into_owned())?;
        assert_eq!(answer["token_type"], "Bearer");
        assert_eq!(answer["expires_in"], 600);
        let token = answer["access_token"].as_str().context("a token")?;
        assert_eq!(part(token, 0)?["typ"], "at+jwt");
        assert_eq!(part(token, 1)?["client_id"], id);
        must_read(&with_token(&mesh, token)?).await?;
        let mut inventory = InventoryServiceClient::new(mesh.upstream("gateway")?);
        let mut request = Request::new(SummarizeStockRequest::default());
        let bearer = format!("Bearer {token}").parse()?;
        request.metadata_mut().insert("authorization", bearer);
        inventory.summarize_stock(request).await?;
        let anonymous = inventory.summarize_stock(SummarizeStockRequest::default());
        let anonymous = anonymous.await.err().context("a refusal")?;
        assert_eq!(anonymous.code(), Code::Unauthenticated, "{anonymous:?}");
    }
    let anonymous = read(&mesh.http()?).await?;
    assert_eq!(anonymous.status, 401);
    let challenge = anonymous.headers["www-authenticate"].to_str()?;
    assert!(challenge.starts_with("Bearer"), "{challenge}");
    let other = read(&as_role(&mesh, "customer").await?).await?;
    assert_eq!(other.status, 403);
    assert_eq!(other.reason().as_deref(), Some("MISSING_ROLE"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn basic_credentials_pass_to_public_methods_only() -> Result<()> {
    let mesh = Mesh::authenticated_with(small()?).await?;
    let (id, secret) = mesh.stack().developer()?;
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let http = mesh.http()?.with("authorization", &basic);
    let refused = read(&http).await?;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.reason().as_deref(), Some("CREDENTIAL_UNSUPPORTED"));
    // Another spelling of the header does not reach the service beside it.
    let form = "grant_type=client_credentials";
    for http in [
        &http,
        &http.clone().with("grpc-metadata-authorization", "Basic x"),
    ] {
        let answer = ask(http, form).await?;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let two = ask(&http.with("authorization", &basic), form).await?;
    assert_eq!(two.reason().as_deref(), Some("CREDENTIALS_AMBIGUOUS"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one table, and the life of a client")]
async fn the_token_endpoint_refuses_as_the_standard_says() -> Result<()> {
    let mesh = Mesh::authenticated_with(small()?).await?;
    let admin = as_role(&mesh, "security").await?;
    let rights = json!({"clientId": "reporting", "roles": ["viewer"], "scopes": ["stock:read"]});
    let made = must_post(&admin, "/v1/identity/clients", rights.clone()).await?;
    let secret = made["clientSecret"].as_str().context("a secret")?;
    let again = admin.post("/v1/identity/clients", &rights).await?;
    assert_eq!(again.reason().as_deref(), Some("CLIENT_EXISTS"));
    let process = json!({"clientId": "other", "roles": ["mesh.process.orders"]});
    let process = admin.post("/v1/identity/clients", &process).await?;
    assert_eq!(process.reason().as_deref(), Some("ROLE_RESERVED"));
    let http = mesh.http()?;
    let client = format!("client_id=reporting&client_secret={secret}");
    let grant = "grant_type=client_credentials";
    for (form, status, error) in [
        (format!("{grant}&{client}&unknown=1"), 200, Value::Null),
        (
            format!("{grant}&{client}&scope=stock:read"),
            200,
            Value::Null,
        ),
        (
            format!("{grant}&{client}&scope=stock:write"),
            400,
            "invalid_scope".into(),
        ),
        (
            format!("{grant}&{client}&roles=admin"),
            400,
            "invalid_scope".into(),
        ),
        (
            format!("grant_type=password&{client}"),
            400,
            "unsupported_grant_type".into(),
        ),
        (client.clone(), 400, "invalid_request".into()),
        (
            format!("{grant}&{grant}&{client}"),
            400,
            "invalid_request".into(),
        ),
        (
            format!("{grant}&client_id=reporting&client_secret=x"),
            401,
            "invalid_client".into(),
        ),
        (
            format!("{grant}&client_id=nobody&client_secret=x"),
            401,
            "invalid_client".into(),
        ),
        (grant.to_owned(), 401, "invalid_client".into()),
    ] {
        let response = ask(&http, &form).await?;
        assert_eq!(response.status, status, "{form}: {response:?}");
        assert_eq!(response.json()?["error"], error, "{form}");
        assert_eq!(response.headers["cache-control"], "no-store");
        if status == 401 {
            let challenge = response.headers["www-authenticate"].to_str()?;
            assert!(challenge.starts_with("Basic "), "{challenge}");
        }
    }
    // A secret overlaps with the next one, and ends with the one after that.
    let form = format!("{grant}&{client}");
    let rotate = "/v1/identity/clients/reporting:rotateSecret";
    must_post(&admin, rotate, json!({"overlap": "60s"})).await?;
    assert_eq!(ask(&http, &form).await?.status, 200);
    let last = must_post(&admin, rotate, json!({"overlap": "0s"})).await?;
    assert_eq!(ask(&http, &form).await?.status, 401);
    let secret = last["clientSecret"].as_str().context("a secret")?;
    let form = format!("{grant}&client_id=reporting&client_secret={secret}");
    let token = ask(&http, &form).await?.json()?["access_token"].clone();
    let reporting = with_token(&mesh, token.as_str().context("a token")?)?;
    must_read(&reporting).await?;
    // A client that is disabled gets nothing more, and what it has ends.
    must_post(&admin, "/v1/identity/clients/reporting:disable", json!({})).await?;
    assert_eq!(ask(&http, &form).await?.status, 401);
    refused(&reporting, "CREDENTIAL_REVOKED").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_of_keys_fails_no_call_and_costs_one_fetch() -> Result<()> {
    // Shorter than the pause between two fetches is no rotation that a gateway has to follow.
    let options = [
        ("ROTATION_MS", "22000"),
        ("LEAD_MS", "11000"),
        ("REFRESH_MS", "500"),
    ];
    let options = options.iter().fold(small()?, |options, (key, value)| {
        options.env("identity", &format!("PROTOMESH_KEYS__{key}"), value)
    });
    let mesh = Mesh::authenticated_with(options).await?;
    let before = fetches(&mesh).await?;
    let (mut calls, mut keys) = (0, BTreeSet::new());
    let end = Instant::now() + Duration::from_secs(120);
    while calls < 200 || keys.len() < 2 {
        ensure!(Instant::now() < end, "{calls} calls, keys {keys:?}");
        let token = mesh.token(&["viewer"]).await?;
        keys.insert(part(&token, 0)?["kid"].to_string());
        must_read(&with_token(&mesh, &token)?).await?;
        calls += 1;
    }
    let fetched = fetches(&mesh).await? - before;
    assert!(fetched <= 2, "{fetched} fetches for {calls} calls");
    Ok(())
}

/// Returns how often the gateway has fetched the keys of tokens.
async fn fetches(mesh: &Mesh) -> Result<u64> {
    let metrics = mesh.http()?.get("/metrics", "*/*").await?.text();
    let lines = metrics.lines();
    let ours =
        lines.filter(|line| line.contains("auth_fetches_total") && line.contains("\"mesh\""));
    let counts = ours.map(|line| Ok(line.rsplit(' ').next().unwrap_or_default().parse::<u64>()?));
    let counts: Vec<u64> = counts.collect::<Result<_>>()?;
    ensure!(!counts.is_empty(), "no count in {metrics}");
    Ok(counts.iter().sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_counts_within_seconds() -> Result<()> {
    let mesh = Mesh::authenticated_with(small()?).await?;
    let admin = as_role(&mesh, "security").await?;
    let (id, secret) = mesh.stack().developer()?;
    let [by_id, by_client, by_subject] = [(); 3].map(|()| mesh.token(&["viewer"]));
    let (by_id, by_client) = (by_id.await?, by_client.await?);
    let made = json!({"clientId": "shop", "roles": ["viewer"]});
    let made = must_post(&admin, "/v1/identity/clients", made).await?;
    let shop = made["clientSecret"].as_str().context("a secret")?;
    let form = format!("grant_type=client_credentials&client_id=shop&client_secret={shop}");
    let shop = ask(&mesh.http()?, &form).await?.json()?["access_token"].clone();
    let shop = with_token(&mesh, shop.as_str().context("a token")?)?;
    let other = with_token(&mesh, &by_subject.await?)?;
    for http in [
        &with_token(&mesh, &by_id)?,
        &with_token(&mesh, &by_client)?,
        &shop,
        &other,
    ] {
        must_read(http).await?;
    }
    // One by its ID, one by the client itself, and all of a subject.
    let message = json!({"tokenId": part(&by_id, 1)?["jti"]});
    must_post(&admin, "/v1/identity/tokens:revoke", message.clone()).await?;
    must_post(&admin, "/v1/identity/tokens:revoke", message).await?;
    must_post(
        &admin,
        "/v1/identity/tokens:revoke",
        json!({"subject": "shop"}),
    )
    .await?;
    let form = format!("token={by_client}&client_id={id}&client_secret={secret}");
    let revoked = mesh
        .http()?
        .call("POST", "/oauth/revoke", Some(FORM), form)
        .await?;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    for http in [
        &with_token(&mesh, &by_id)?,
        &with_token(&mesh, &by_client)?,
        &shop,
    ] {
        let waited = refused(http, "CREDENTIAL_REVOKED").await?;
        assert!(waited < REVOKED_WITHIN, "{waited:?}");
    }
    must_read(&other).await?;
    let listed = admin.get("/v1/identity/revocations", "*/*").await?.json()?;
    assert_eq!(
        listed["revocations"].as_array().map(Vec::len),
        Some(3),
        "{listed}"
    );
    // The list is for gateways only.
    let list = mesh.http()?.get("/oauth/revocations", "*/*").await?;
    assert_eq!(list.status, 401);
    let form = format!("token={by_id}&client_id={id}&client_secret={secret}");
    let told = mesh
        .http()?
        .call("POST", "/oauth/introspect", Some(FORM), form)
        .await?;
    assert_eq!(told.status, 403, "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_is_used_replaced_and_revoked() -> Result<()> {
    let mesh = Mesh::authenticated_with(small()?).await?;
    let admin = as_role(&mesh, "security").await?;
    let made = json!({"keyId": "shop-1", "subject": "shop", "roles": ["viewer"]});
    let made = must_post(&admin, "/v1/identity/apiKeys", made).await?;
    let old = made["key"].as_str().context("a key")?.to_owned();
    assert!(old.starts_with("shop-1."), "{old}");
    let by_key = |key: &str| Ok::<_, anyhow::Error>(mesh.http()?.with("x-api-key", key));
    must_read(&by_key(&old)?).await?;
    must_read(&with_token(&mesh, &old)?).await?;
    let wrong = read(&by_key(&format!("{old}x"))?).await?;
    assert_eq!(wrong.reason().as_deref(), Some("CREDENTIAL_UNKNOWN"));
    let rotate = json!({"newKeyId": "shop-2", "overlap": "3600s"});
    let rotated = must_post(&admin, "/v1/identity/apiKeys/shop-1:rotate", rotate).await?;
    let new = rotated["key"].as_str().context("a key")?.to_owned();
    must_read(&by_key(&old)?).await?;
    must_read(&by_key(&new)?).await?;
    must_post(&admin, "/v1/identity/apiKeys/shop-1:revoke", json!({})).await?;
    let begun = Instant::now();
    eventually("the end of the old key", async || {
        let response = read(&by_key(&old)?).await?;
        ensure!(response.status == 401, "{response:?}");
        Ok(())
    })
    .await?;
    assert!(begun.elapsed() < REVOKED_WITHIN, "{:?}", begun.elapsed());
    must_read(&by_key(&new)?).await?;
    let listed = admin.get("/v1/identity/apiKeys", "*/*").await?.json()?;
    let ids: Vec<_> = listed["apiKeys"]
        .as_array()
        .context("keys")?
        .iter()
        .collect();
    assert_eq!(
        (&ids[0]["keyId"], &ids[1]["keyId"]),
        (&"shop-1".into(), &"shop-2".into())
    );
    assert!(!listed.to_string().contains(&new), "{listed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_go_on_without_the_issuer() -> Result<()> {
    let mesh = Mesh::authenticated_with(small()?).await?;
    let viewer = as_role(&mesh, "viewer").await?;
    let fresh = as_role(&mesh, "viewer").await?;
    must_read(&viewer).await?;
    mesh.stack().stop("identity").await?;
    // One that the gateway knows, and one that it has to verify.
    must_read(&viewer).await?;
    must_read(&fresh).await?;
    mesh.stack().start("identity").await?;
    eventually("another token", async || {
        must_read(&as_role(&mesh, "viewer").await?).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_by_the_command_has_a_token_given_or_of_the_running_mesh() -> Result<()> {
    let mesh = Mesh::authenticated_with(small()?).await?;
    let gateway = mesh.gateway()?.to_string();
    // A project whose mesh is this one.
    let project = tempfile::tempdir()?;
    let (own, state) = (project.path().join(".mesh"), mesh.stack().dir());
    std::fs::create_dir_all(own.join("clients"))?;
    for file in ["state.json", "clients/developer.secret"] {
        std::fs::copy(state.join(file), own.join(file))?;
    }
    let manifest = mesh::Home::find()?.root().join("mesh.toml");
    std::fs::copy(manifest, project.path().join("mesh.toml"))?;
    let file = project.path().join("token");
    std::fs::write(&file, mesh.token(&["viewer"]).await? + "\n")?;
    let file = format!("@{}", file.display());
    let wrong = mesh.token(&["customer"]).await?;
    for (arguments, expected) in [
        (vec![], Ok("{}")),
        (vec!["--token", &file], Ok("{}")),
        (vec!["--gateway", &gateway, "--token", &file], Ok("{}")),
        (vec!["--gateway", &gateway], Err("CREDENTIALS_REQUIRED")),
        (vec!["--token", &wrong], Err("MISSING_ROLE")),
        (vec!["--token", "a b"], Err("--token: expected a token")),
    ] {
        let programs = std::env::current_exe()?;
        let programs = programs.ancestors().nth(2).context("target directory")?;
        let called = Command::new(programs.join("mesh"))
            .arg("call")
            .args(&arguments)
            .arg("inventory.v1.InventoryService/SummarizeStock")
            .current_dir(project.path())
            .output()?;
        let said = [called.stdout, called.stderr].concat();
        let said = String::from_utf8(said)?;
        let text = expected.unwrap_or_else(|reason| reason);
        ensure!(
            called.status.success() == expected.is_ok() && said.contains(text),
            "{arguments:?}: {said}"
        );
    }
    Ok(())
}
