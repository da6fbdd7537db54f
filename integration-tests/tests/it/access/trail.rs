//! The audit trail of a mesh: `mesh audit` lists and checks it, and no service gets at it.

use std::path::Path;
use std::process::{Command, Output};

use async_nats::jetstream;
use async_nats::{ConnectOptions, ServerAddr};
use integration_tests::eventually;

use super::*;

fn mesh_audit(url: &str, arguments: &[&str]) -> Result<Output> {
    let programs = std::env::current_exe()?;
    let programs = programs.parent().and_then(Path::parent);
    let program = programs.context("no directory of programs")?.join("mesh");
    let command = [&["audit", "--nats", url], arguments].concat();
    Ok(Command::new(program).args(command).output()?)
}

fn printed(url: &str, arguments: &[&str]) -> Result<String> {
    let output = mesh_audit(url, arguments)?;
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

async fn context(url: &str) -> Result<jetstream::Context> {
    let address: ServerAddr = url.parse()?;
    let (user, password) = (address.username(), address.password());
    let (user, password) = (user.context("a user")?, password.context("a password")?);
    let options = ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
    let client = options.connect(address).await?;
    Ok(jetstream::context::ContextBuilder::new()
        .timeout(std::time::Duration::from_secs(2))
        .build(client))
}

/// Places an order and cancels it as a clerk, and tries to place one without a credential; returns
/// the order's ID.
async fn place_and_cancel(guarded: &Guarded) -> Result<String> {
    let clerk = guarded.http(Some(("authorization", &guarded.bearer("clerk", "acme")?)))?;
    let order = json!({
        "requestId": "r-1", "accountId": "17850",
        "placedAt": integration_tests::order::PLACED_AT, "currencyCode": "GBP",
        "lines": [{"sku": "A", "description": "LANTERN", "quantity": 6, "unitPriceMinor": "255"}],
    });
    let placed = clerk.post("/v1/orders", &order).await?;
    ensure!(placed.status == 200, "{}", placed.text());
    let placed = placed.json()?;
    let id = placed["orderId"].as_str().context("an id")?;
    let path = format!("/v1/orders/{id}:cancel");
    let cancelled = clerk.post(&path, &json!({})).await?;
    ensure!(cancelled.status == 200, "{}", cancelled.text());
    ensure!(guarded.http(None)?.post("/v1/orders", &order).await?.status == 401);
    Ok(id.to_owned())
}

/// Checks that services have no part in the trail, and that who may do everything at the broker is
/// found out.
async fn expect_forgeries_found(guarded: &Guarded, url: &str) -> Result<()> {
    for user in ["orders", "ingest"] {
        let service = context(&guarded.mesh.stack().nats_url(user)?).await?;
        ensure!(
            service.get_stream("AUDIT").await.is_err(),
            "{user} reads the stream"
        );
        let forged = service.publish(format!("audit.{user}"), "x".into()).await?;
        ensure!(forged.await.is_err(), "{user} writes to the stream");
    }
    let operator = context(url).await?;
    let publish = operator.publish("audit.gateway-forged", "x".into()).await?;
    publish.await?;
    let output = mesh_audit(url, &["verify"])?;
    let said = String::from_utf8(output.stdout)?;
    assert!(
        !output.status.success() && said.contains("not a message of the trail"),
        "{said}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_list_and_check_the_trail_and_services_have_no_part_in_it() -> Result<()> {
    let guarded = Guarded::start_with(Mesh::authenticated_options()?.audit()).await?;
    let stack = guarded.mesh.stack();
    let url = stack.nats_url("operator")?;
    let id = place_and_cancel(&guarded).await?;
    // Tokens are issued through the gateway too.
    let (all, listed) = eventually("all entries", async || {
        let all = printed(&url, &["list", "--json"])?;
        let listed = printed(&url, &["list", "--json", "--method", "OrdersService"])?;
        ensure!(listed.lines().count() == 3, "{listed}");
        Ok((all, listed))
    })
    .await?;
    let rows = |listed: &str| {
        let rows = listed.lines().map(serde_json::from_str::<Value>);
        rows.collect::<Result<Vec<_>, _>>()
    };
    let (all, rows) = (rows(&all)?, rows(&listed)?);
    let ([began, ..], [first, .., denied]) = (&all[..], &rows[..]) else {
        anyhow::bail!("{listed}");
    };
    assert_eq!(began["kind"], "began");
    assert_eq!(
        (&first["kind"], &first["request_id"]),
        (&json!("admitted"), &json!("r-1"))
    );
    assert_eq!(
        first["decision"],
        "roles: clerk, admin, customer; condition"
    );
    assert_eq!(
        (&denied["kind"], &denied["code"]),
        (&json!("denied"), &json!("UNAUTHENTICATED"))
    );
    let subject = first["subject"].as_str().context("a subject")?;
    let cancels = [
        "list",
        "--json",
        "--subject",
        subject,
        "--method",
        "CancelOrder",
    ];
    let cancels: Value = serde_json::from_str(&printed(&url, &cancels)?)?;
    assert_eq!(cancels["resource"], id);
    let denials = printed(&url, &["list", "--denied", "--method", "OrdersService"])?;
    assert!(
        denials.lines().count() == 1 && denials.contains("CREDENTIALS_REQUIRED"),
        "{denials}"
    );
    let later = printed(&url, &["list", "--since", "2100-01-01T00:00:00Z"])?;
    assert_eq!(later, "");
    let checked = printed(&url, &["verify"])?;
    let intact = format!("intact: {} entries of 1 chains", all.len());
    assert!(checked.contains(&intact), "{checked}");
    assert!(checked.contains("unfinished"), "{checked}");

    // A gateway that is stopped ends its chain; the next one begins another.
    stack.restart("gateway").await?;
    let checked = printed(&url, &["verify"])?;
    assert!(
        checked.contains(", ended") && checked.contains("2 chains"),
        "{checked}"
    );

    expect_forgeries_found(&guarded, &url).await
}
