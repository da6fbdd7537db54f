//! The operators' desk: poisoned keys among many are shown, mended and replayed by HTTP, by grpcurl
//! and by `mesh events`; nobody else gets there.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use integration_tests::{Mesh, eventually, http::Http, import::HEADER};
use serde_json::{Value, json};

use super::grpcurl::{grpcurl, is_installed};

const CONSUMER: &str = "orders.accounts";
pub(super) const SERVICE: &str = "mesh.ops.v1.DeskService";
const GOOD_ACCOUNTS: i64 = 10_000;
/// Each with three invoices, of which the first can't be applied.
const BAD_ACCOUNTS: [&str; 3] = ["90001", "90002", "90003"];

#[tokio::test(flavor = "multi_thread")]
async fn poisoned_keys_among_many_are_mended_and_replayed_in_every_way() -> Result<()> {
    let mesh = Mesh::start().await?;
    poison(&mesh).await?;
    let token = mesh.stack().operator_token()?;
    let [by_http, by_grpcurl, by_mesh] = BAD_ACCOUNTS;

    // Nothing has changed yet: a replay fails, and records nothing if it is a dry run.
    let http = operator(&mesh)?;
    let tried = replay(&http, by_http, true).await?;
    assert_eq!(tried["failedVersion"], "1", "{tried}");
    assert!(tried["reason"].as_str().unwrap().contains("no_bad_account"));
    assert_eq!(parked(&http).await?[by_http]["attempts"], 1);
    mend(&mesh).await?;

    let keys = parked(&http).await?;
    assert_eq!(keys[by_http]["waiting"], "3", "{keys}");
    let facts = http
        .get(
            &desk(&format!("parked/facts?consumer={CONSUMER}&key={by_http}")),
            "*/*",
        )
        .await?
        .json()?;
    let payload = &facts["facts"][0]["payload"];
    assert_eq!(
        payload["@type"],
        "type.googleapis.com/ingest.v1.InvoiceAccepted"
    );
    assert_eq!(payload["invoiceNumber"], "600000");
    // It is about a person.
    assert_eq!(payload.get("accountId"), None);
    assert_eq!(replay(&http, by_http, true).await?["applied"], "3");
    assert!(parked(&http).await?.get(by_http).is_some());
    assert_eq!(replay(&http, by_http, false).await?["applied"], "3");
    replayed(&mesh, by_http).await?;

    if is_installed()? {
        by_grpc(&mesh, &token, by_grpcurl).await?;
    }
    by_command(&mesh, &token, by_mesh).await?;
    let acts = http.get(&desk("acts"), "*/*").await?.json()?;
    let whole = acts["acts"]
        .as_array()
        .context("acts")?
        .iter()
        .filter(|act| {
            act["operator"] == "mesh" && act["action"] == "replay" && act["outcome"] == "applied 3"
        });
    assert_eq!(whole.count(), if is_installed()? { 3 } else { 2 }, "{acts}");
    Ok(())
}

/// Tells the story of one key by grpcurl, through the gateway and directly.
async fn by_grpc(mesh: &Mesh, token: &str, account: &str) -> Result<()> {
    let bearer = format!("authorization: Bearer {token}");
    let key = json!({"consumer": CONSUMER, "key": account}).to_string();
    let gateway = mesh.stack().address("gateway")?.to_string();
    let orders = mesh.stack().address("orders")?.to_string();
    let process = ["-H", "mesh-process: orders"];
    for address in [&gateway, &orders] {
        let listed = grpcurl(&[process[0], process[1], address, "list"])?;
        assert!(listed.lines().any(|line| line == SERVICE), "{listed}");
        let public = grpcurl(&[address, "list"])?;
        assert!(!public.contains("mesh.ops"), "{public}");
        let call = |method: &str, request: &str| -> Result<Value> {
            let method = format!("{SERVICE}/{method}");
            let (header, name) = (process[0], process[1]);
            let call = [header, name, "-H", &bearer, "-d", request, address, &method];
            Ok(serde_json::from_str(&grpcurl(&call)?)?)
        };
        let facts = call("ListParkedFacts", &key)?;
        let last = &facts["facts"][2];
        assert_eq!(last["version"], "3", "{facts}");
        // It is about a person.
        assert_eq!(last["payload"].get("accountId"), None, "{facts}");
        let consumers = call("ListConsumers", "{}")?;
        assert_eq!(
            consumers["consumers"][0]["consumer"], CONSUMER,
            "{consumers}"
        );
        if *address == gateway {
            continue;
        }
        let done = call("ReplayParkedKey", &key)?;
        assert_eq!(done["replay"]["applied"], "3", "{done}");
    }
    replayed(mesh, account).await
}

/// Tells the story of one key by the command.
async fn by_command(mesh: &Mesh, token: &str, account: &str) -> Result<()> {
    let events = |arguments: &[&str]| run_mesh(mesh, token, "events", arguments);
    let listed: Value = serde_json::from_slice(&events(&["parked", "--json"])?.stdout)?;
    let entries = listed.as_array().context("entries")?;
    let entry = entries.iter().find(|entry| entry["key"] == account);
    let entry = entry.context("the key is not listed")?;
    assert_eq!(
        (&entry["service"], &entry["waiting"]),
        (&json!("orders"), &json!(3))
    );
    let table = String::from_utf8(events(&["parked"])?.stdout)?;
    assert!(
        table.contains(account) && table.contains("no_bad_account"),
        "{table}"
    );

    let key = ["orders", CONSUMER, account];
    let shown = String::from_utf8(events(&[&["show"], &key[..]].concat())?.stdout)?;
    assert!(
        shown.contains("version 3, ingest.v1.InvoiceAccepted, waits"),
        "{shown}"
    );
    let stale = events(
        &[
            &["discard"],
            &key[..],
            &["--version", "2", "--reason", "test"],
        ]
        .concat(),
    )?;
    assert!(!stale.status.success());
    let said = String::from_utf8(stale.stderr)?;
    assert!(said.contains("is version 1"), "{said}");
    let skipped = events(&[&["skip"], &key[..], &["--version", "1", "--reason", "test"]].concat())?;
    assert!(String::from_utf8(skipped.stderr)?.contains("no version is missing"));

    let done = events(&[&["replay"], &key[..]].concat())?;
    assert!(done.status.success(), "{done:?}");
    assert_eq!(
        String::from_utf8(done.stdout)?.trim(),
        "3 event(s) applied; the key is free"
    );
    replayed(mesh, account).await?;
    let none = String::from_utf8(events(&["stopped"])?.stdout)?;
    assert_eq!(none.trim(), "no stopped keys");
    let acts = String::from_utf8(events(&["acts"])?.stdout)?;
    assert!(acts.contains("failed: the first parked fact"), "{acts}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desk_is_for_operators_with_a_token() -> Result<()> {
    let mesh = Mesh::start().await?;
    let token = mesh.stack().operator_token()?;
    let wrong = format!("Bearer {}", "x".repeat(token.len()));
    let right = format!("Bearer {token}");
    let list = desk("parked");

    let nameless = mesh.http()?.get(&list, "*/*").await?;
    assert_eq!(nameless.status, 401, "{}", nameless.text());
    assert_eq!(nameless.reason().as_deref(), Some("OPERATOR_TOKEN_INVALID"));
    let refused = mesh
        .http()?
        .with("authorization", &wrong)
        .get(&list, "*/*")
        .await?;
    assert_eq!(refused.status, 401, "{}", refused.text());
    let act = json!({"consumer": CONSUMER, "key": "a"});
    let act = mesh.http()?.post(&desk("parked:replay"), &act).await?;
    assert_eq!(act.status, 401, "{}", act.text());

    // A proxy on this machine is no operator, not even with a token.
    let behind = mesh
        .http()?
        .with("authorization", &right)
        .with("x-forwarded-for", "203.0.113.7");
    let hidden = behind.get(&list, "*/*").await?;
    assert_eq!(hidden.status, 404, "{}", hidden.text());
    let allowed = operator(&mesh)?.get(&list, "*/*").await?;
    assert_eq!(allowed.status, 200, "{}", allowed.text());
    let unknown = operator(&mesh)?
        .get("/-/processes/billing/parked", "*/*")
        .await?;
    assert_eq!(unknown.reason().as_deref(), Some("PROCESS_NOT_FOUND"));

    let document = mesh.http()?.get("/openapi.json", "*/*").await?.text();
    assert!(document.contains("/v1/orders") && !document.contains("parked"));
    if !is_installed()? {
        return Ok(());
    }
    let orders = mesh.stack().address("orders")?.to_string();
    let method = format!("{SERVICE}/ListParkedKeys");
    let call = |headers: &[&str]| {
        let headers: Vec<&str> = headers
            .iter()
            .flat_map(|header| ["-rpc-header", header])
            .collect();
        let arguments = [
            &["-H", "mesh-process: orders"],
            &headers[..],
            &[&orders, &method],
        ]
        .concat();
        grpcurl(&arguments).map_err(|error| error.to_string())
    };
    let (wrong, right) = (
        format!("authorization: {wrong}"),
        format!("authorization: {right}"),
    );
    for headers in [&[][..], &[&*wrong]] {
        let refused = call(headers).unwrap_err();
        assert!(refused.contains("Unauthenticated"), "{refused}");
    }
    let behind = call(&[&right, "x-forwarded-for: 203.0.113.7"]).unwrap_err();
    assert!(behind.contains("Unimplemented"), "{behind}");
    let other = call(&[&right, "mesh-process: payments"]).unwrap_err();
    assert!(other.contains("this is process orders"), "{other}");
    call(&[&right]).map_err(anyhow::Error::msg)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_of_operators_hides_the_desk_from_the_public_one() -> Result<()> {
    let options = Mesh::options()?.env("orders", "PROTOMESH_ADMIN_LISTEN", "127.0.0.1:0");
    let mesh = Mesh::start_with(options).await?;
    // The gateway of this mesh knows the public address only.
    let hidden = operator(&mesh)?.get(&desk("parked"), "*/*").await?;
    assert_eq!(hidden.status, 404, "{}", hidden.text());
    if is_installed()? {
        let bearer = format!("authorization: Bearer {}", mesh.stack().operator_token()?);
        let orders = mesh.stack().address("orders")?.to_string();
        let listed = grpcurl(&["-H", "mesh-process: orders", "-H", &bearer, &orders, "list"])?;
        assert!(!listed.contains("mesh.ops"), "{listed}");
    }
    Ok(())
}

/// Makes orders refuse the bad accounts, and imports invoices of them among many others.
async fn poison(mesh: &Mesh) -> Result<()> {
    let orders = mesh.database("orders").await?;
    sqlx::query("ALTER TABLE orders ADD CONSTRAINT no_bad_account CHECK (account_id < '90000')")
        .execute(&orders)
        .await?;
    let mut file = HEADER.to_owned();
    let mut invoice = |number: i64, account: &str| {
        file += &format!(
            "{number},85123A,HOLDER,1,2010-12-01 08:26:00,2.55,{account},United Kingdom\n"
        );
    };
    for good in 0..GOOD_ACCOUNTS {
        invoice(500_000 + good, &(10_000 + good).to_string());
    }
    for (bad, account) in (0..).zip(BAD_ACCOUNTS) {
        (0..3).for_each(|n| invoice(600_000 + 10 * bad + n, account));
    }
    let file = Bytes::from(file);
    let import = mesh.announce("poisoned", &file).await?;
    mesh.resume(&import, &file).await?;
    eventually("all others are placed", async || {
        let placed: i64 = sqlx::query_scalar("SELECT count(*) FROM orders")
            .fetch_one(&orders)
            .await?;
        ensure!(placed == GOOD_ACCOUNTS, "{placed} orders");
        Ok(())
    })
    .await?;
    let http = operator(mesh)?;
    eventually("the keys are parked with all their facts", async || {
        let keys = parked(&http).await?;
        let is_whole = |account: &&str| keys[*account]["waiting"] == "3";
        ensure!(BAD_ACCOUNTS.iter().all(is_whole), "{keys}");
        Ok(())
    })
    .await
}

async fn mend(mesh: &Mesh) -> Result<()> {
    sqlx::query("ALTER TABLE orders DROP CONSTRAINT no_bad_account")
        .execute(&mesh.database("orders").await?)
        .await?;
    Ok(())
}

/// Checks that the invoices of `account` were placed in their order, and that its key is free.
async fn replayed(mesh: &Mesh, account: &str) -> Result<()> {
    let placed: Vec<String> =
        sqlx::query_scalar("SELECT request_id FROM orders WHERE account_id = $1 ORDER BY number")
            .bind(account)
            .fetch_all(&mesh.database("orders").await?)
            .await?;
    let mut sorted = placed.clone();
    sorted.sort();
    assert_eq!((placed.len(), &placed), (3, &sorted));
    assert!(parked(&operator(mesh)?).await?.get(account).is_none());
    Ok(())
}

/// Returns a client of the gateway with the token of an operator.
pub(super) fn operator(mesh: &Mesh) -> Result<Http> {
    let bearer = format!("Bearer {}", mesh.stack().operator_token()?);
    Ok(mesh.http()?.with("authorization", &bearer))
}

/// Returns a path at the desk of orders.
pub(super) fn desk(path: &str) -> String {
    format!("/-/processes/orders/{path}")
}

/// Returns the parked keys of orders by their names.
async fn parked(http: &Http) -> Result<Value> {
    let response = http.get(&desk("parked"), "*/*").await?;
    ensure!(response.status == 200, "{}", response.text());
    let mut keys = serde_json::Map::new();
    for key in response.json()?["keys"].as_array().into_iter().flatten() {
        let name = key["key"].as_str().context("a name")?;
        keys.insert(name.to_owned(), key.clone());
    }
    Ok(keys.into())
}

async fn replay(http: &Http, account: &str, dry_run: bool) -> Result<Value> {
    let request = json!({"consumer": CONSUMER, "key": account, "dryRun": dry_run});
    let response = http.post(&desk("parked:replay"), &request).await?;
    ensure!(response.status == 200, "{}", response.text());
    Ok(response.json()?["replay"].clone())
}

/// Runs `mesh events` or `mesh sagas` against a mesh of a test.
pub(super) fn run_mesh(mesh: &Mesh, token: &str, verb: &str, arguments: &[&str]) -> Result<Output> {
    let file = mesh.stack().dir().join("token");
    std::fs::write(&file, token)?;
    let gateway = mesh.stack().address("gateway")?.to_string();
    let programs = std::env::current_exe()?;
    let programs = programs.parent().and_then(std::path::Path::parent);
    let output = Command::new(programs.context("no directory of programs")?.join("mesh"))
        .args([verb, "--gateway", &gateway, "--token-file"])
        .arg(file)
        .args(arguments)
        .output()?;
    Ok(output)
}
