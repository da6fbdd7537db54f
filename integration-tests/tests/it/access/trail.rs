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

#[tokio::test(flavor = "multi_thread")]
async fn operators_list_and_check_the_trail_and_services_have_no_part_in_it() -> Result<()> {
    let guarded = Guarded::start_with(Mesh::authenticated_options()?.audit()).await?;
    let stack = guarded.mesh.stack();
    let url = stack.nats_url("operator")?;
    let clerk = guarded.http(Some(("authorization", &guarded.bearer("clerk", "acme")?)))?;
    let order = json!({
        "requestId": "r-1", "accountId": "17850",
        "placedAt": integration_tests::order::PLACED_AT, "currencyCode": "GBP",
        "lines": [{"sku": "A", "description": "LANTERN", "quantity": 6, "unitPriceMinor": "255"}],
    });
    let placed = clerk.post("/v1/orders", &order).await?;
    ensure!(placed.status == 200, "{}", placed.text());
    let id = placed.json()?["orderId"]
        .as_str()
        .context("an id")?
        .to_owned();
    let cancelled = clerk
        .post(&format!("/v1/orders/{id}:cancel"), &json!({}))
        .await?;
    ensure!(cancelled.status == 200, "{}", cancelled.text());
    ensure!(guarded.http(None)?.post("/v1/orders", &order).await?.status == 401);
    let listed = eventually("all entries", async || {
        let listed = printed(&url, &["list", "--json"])?;
        ensure!(listed.lines().count() == 6, "{listed}");
        Ok(listed)
    })
    .await?;
    let rows: Vec<Value> = listed
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let [began, first, .., denied] = &rows[..] else {
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
    let denials = printed(&url, &["list", "--denied"])?;
    assert!(
        denials.lines().count() == 1 && denials.contains("CREDENTIALS_REQUIRED"),
        "{denials}"
    );
    let later = printed(&url, &["list", "--since", "2100-01-01T00:00:00Z"])?;
    assert_eq!(later, "");
    let checked = printed(&url, &["verify"])?;
    assert!(
        checked.contains("intact: 6 entries of 1 chains"),
        "{checked}"
    );
    assert!(checked.contains("unfinished"), "{checked}");

    // A gateway that is stopped ends its chain; the next one begins another.
    stack.restart("gateway").await?;
    let checked = printed(&url, &["verify"])?;
    assert!(
        checked.contains(", ended") && checked.contains("2 chains"),
        "{checked}"
    );

    for user in ["orders", "ingest"] {
        let service = context(&stack.nats_url(user)?).await?;
        ensure!(
            service.get_stream("AUDIT").await.is_err(),
            "{user} reads the stream"
        );
        let forged = service.publish(format!("audit.{user}"), "x".into()).await?;
        ensure!(forged.await.is_err(), "{user} writes to the stream");
    }
    // Who may do everything at the broker is found out.
    let operator = context(&url).await?;
    let publish = operator.publish("audit.gateway-forged", "x".into()).await?;
    publish.await?;
    let output = mesh_audit(&url, &["verify"])?;
    let said = String::from_utf8(output.stdout)?;
    assert!(
        !output.status.success() && said.contains("not a message of the trail"),
        "{said}"
    );
    Ok(())
}
