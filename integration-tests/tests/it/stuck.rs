//! Stuck sagas: listed, shown, resumed and given up by HTTP, by grpcurl and by `mesh sagas`, with
//! an audit; the books are exact afterwards.

use anyhow::{Context, Result, ensure};
use integration_tests::{Mesh, eventually, http::Http, order};
use protos::inventory::v1::ReleaseReservationRequest;
use protos::orders::v1::OrderState;
use serde_json::{Value, json};

use super::desk::{SERVICE, desk, operator, run_mesh};
use super::grpcurl::{grpcurl, is_installed};

/// Total in minor units above the limit of payments.
const TOO_MUCH: i64 = 1_000_001;
const ATTEMPTS: &str = "3";

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_saga_is_seen_and_freed_in_every_way() -> Result<()> {
    let options = Mesh::options()?.env("orders", "PROTOMESH_SAGAS__MAX_ATTEMPTS", ATTEMPTS);
    let mesh = Mesh::start_with(options).await?;
    let token = mesh.stack().operator_token()?;
    let http = operator(&mesh)?;
    mesh.count("A", 100).await?;

    // A declined order gives its pieces back, which inventory can't record.
    forbid_releases(&mesh).await?;
    let mut ids = Vec::new();
    for request in ["by http", "by grpcurl", "by mesh", "by hand"] {
        let order = order::request(request, &[("A", 1, TOO_MUCH)]);
        ids.push(mesh.place(order).await?.order_id);
    }
    let [by_http, by_grpcurl, by_mesh, by_hand] = &ids[..] else {
        unreachable!()
    };
    stuck(&http, &ids).await?;
    // The others are not concerned.
    let paid = mesh.place(order::request("paid", &[("A", 2, 150)])).await?;
    mesh.order_in(&paid.order_id, OrderState::Paid).await?;
    eventually("only what the stuck orders hold is reserved", async || {
        let reserved = mesh.stock("A").await?.reserved;
        ensure!(reserved == 4, "{reserved}");
        Ok(())
    })
    .await?;
    counted(&mesh, 4).await?;

    // Resumed before the cause is mended, it gets stuck again.
    resume(&http, by_http, 200).await?;
    stuck(&http, &ids).await?;
    let early = show(&http, by_http).await?;
    let steps = early["steps"].as_array().context("steps")?;
    let taken = |step: &Value| (step["step"].clone(), step["answer"].clone());
    let expected = [("RESERVE", "DONE"), ("AUTHORIZE", "REFUSED")];
    let expected = expected.map(|(step, answer)| (json!(step), json!(answer)));
    assert_eq!(steps.iter().map(taken).collect::<Vec<_>>(), expected);
    assert_eq!(early["saga"]["step"], "RELEASE", "{early}");
    assert_eq!(early["saga"]["outcome"], "PAYMENT_DECLINED", "{early}");

    allow_releases(&mesh).await?;
    resume(&http, by_http, 200).await?;
    mesh.order_in(by_http, OrderState::PaymentDeclined).await?;
    resume(&http, by_http, 400).await?;
    if is_installed()? {
        resume_by_grpcurl(&mesh, &token, by_grpcurl)?;
    } else {
        resume(&http, by_grpcurl, 200).await?;
    }
    mesh.order_in(by_grpcurl, OrderState::PaymentDeclined)
        .await?;
    resume_by_command(&mesh, &token, by_mesh)?;
    mesh.order_in(by_mesh, OrderState::PaymentDeclined).await?;
    release_by_hand(&mesh, by_hand).await?;
    give_up_by_command(&mesh, &token, by_hand)?;
    mesh.order_in(by_hand, OrderState::PaymentDeclined).await?;

    stuck(&http, &[]).await?;
    counted(&mesh, 0).await?;
    let stock = mesh.stock_at_rest("A").await?;
    assert_eq!((stock.on_hand, stock.reserved), (98, 0));
    for id in &ids {
        let payment = mesh.payment(id).await?;
        assert_eq!((payment.captured_minor, payment.refunded_minor), (0, 0));
    }
    assert_eq!(mesh.payment(&paid.order_id).await?.captured_minor, 300);
    audited(&http, &ids).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_stuck_is_refused_by_name() -> Result<()> {
    let mesh = Mesh::start().await?;
    let http = operator(&mesh)?;
    let unknown = "00000000-0000-0000-0000-000000000007";
    let reason = async |path: &str| anyhow::Ok(http.get(&desk(path), "*/*").await?.reason());
    let missing = reason(&format!("sagas/ORDER/{unknown}")).await?;
    assert_eq!(missing.as_deref(), Some("SAGA_NOT_FOUND"));
    let malformed = reason("sagas/ORDER/7").await?;
    assert_eq!(malformed.as_deref(), Some("INVALID_FIELD"));
    let token = reason("stuck?pageToken=7").await?;
    assert_eq!(token.as_deref(), Some("INVALID_FIELD"));

    mesh.count("A", 1).await?;
    let paid = mesh.place(order::request("paid", &[("A", 1, 150)])).await?;
    mesh.order_in(&paid.order_id, OrderState::Paid).await?;
    let mut give_up = json!({"name": "ORDER", "sagaId": paid.order_id, "step": "RELEASE"});
    let act = desk("stuck:giveUp");
    let reasonless = http.post(&act, &give_up).await?;
    assert_eq!(reasonless.reason().as_deref(), Some("INVALID_FIELD"));
    give_up["reason"] = "test".into();
    let ended = http.post(&act, &give_up).await?;
    assert_eq!(ended.reason().as_deref(), Some("SAGA_NOT_STUCK"));
    let nameless = mesh.http()?.post(&act, &give_up).await?;
    assert_eq!(nameless.status, 401, "{}", nameless.text());

    // A process without sagas has none.
    let none = http.get("/-/processes/payments/stuck", "*/*").await?;
    assert_eq!((none.status.as_u16(), none.text().as_str()), (200, "{}"));
    Ok(())
}

fn resume_by_grpcurl(mesh: &Mesh, token: &str, id: &str) -> Result<()> {
    let bearer = format!("authorization: Bearer {token}");
    for process in ["gateway", "orders"] {
        let address = mesh.stack().address(process)?.to_string();
        let call = |method: &str, request: &Value| -> Result<Value> {
            let (method, request) = (format!("{SERVICE}/{method}"), request.to_string());
            let to = ["-H", "mesh-process: orders", "-H", &bearer];
            let call = [&to[..], &["-d", &request, &address, &method]].concat();
            Ok(serde_json::from_str(&grpcurl(&call)?)?)
        };
        let listed = call("ListStuckSagas", &json!({"name": "ORDER"}))?;
        let listed = listed["sagas"].as_array().context("sagas")?;
        assert!(listed.iter().any(|saga| saga["sagaId"] == id), "{listed:?}");
        if process == "orders" {
            call("ResumeSaga", &json!({"name": "ORDER", "sagaId": id}))?;
        }
    }
    Ok(())
}

fn resume_by_command(mesh: &Mesh, token: &str, id: &str) -> Result<()> {
    let sagas = |arguments: &[&str]| said(run_mesh(mesh, token, "sagas", arguments)?);
    let listed: Value = serde_json::from_str(&sagas(&["list", "--json"])?)?;
    let listed = listed.as_array().context("entries")?;
    let entry = listed.iter().find(|entry| entry["id"] == id);
    let entry = entry.context("the saga is not listed")?;
    assert_eq!(
        (&entry["service"], &entry["step"]),
        (&json!("orders"), &json!("RELEASE"))
    );
    let table = sagas(&["list"])?;
    assert!(
        table.contains(id) && table.contains("PAYMENT_DECLINED"),
        "{table}"
    );
    let shown = sagas(&["show", "orders", "ORDER", id])?;
    assert!(
        shown.contains("stuck at RELEASE") && shown.contains("AUTHORIZE"),
        "{shown}"
    );
    let done = sagas(&["resume", "orders", "ORDER", id, "--reason", "mended"])?;
    assert!(done.starts_with("resumed"), "{done}");
    Ok(())
}

fn give_up_by_command(mesh: &Mesh, token: &str, id: &str) -> Result<()> {
    let give_up = |step: &str, more: &[&str]| {
        let saga = ["give-up", "orders", "ORDER", id, "--step", step];
        let why = ["--reason", "released by hand"];
        run_mesh(mesh, token, "sagas", &[&saga[..], &why, more].concat())
    };
    let other = give_up("VOID", &[])?;
    assert!(!other.status.success());
    let refused = String::from_utf8(other.stderr)?;
    assert!(
        refused.contains("the saga is at step \"RELEASE\""),
        "{refused}"
    );
    let dry = said(give_up("RELEASE", &["--dry-run"])?)?;
    assert!(
        dry.contains("nothing has changed") && dry.contains("the saga ends"),
        "{dry}"
    );
    let done = said(give_up("RELEASE", &[])?)?;
    assert_eq!(done.trim(), "given up; the saga ends");
    Ok(())
}

/// Checks that every act left a row with the name of the token.
async fn audited(http: &Http, ids: &[String]) -> Result<()> {
    let acts = http.get(&desk("acts"), "*/*").await?.json()?;
    let acts = acts["acts"].as_array().context("acts")?;
    let of = |id: &str| outcomes(acts, id);
    let refused = of(&ids[0]).pop().context("the refused act")?;
    assert!(refused.1.starts_with("failed: "), "{refused:?}");
    assert_eq!(
        of(&ids[0])[..2],
        [("resume", "resumed"), ("resume", "resumed")]
    );
    assert_eq!(of(&ids[1]), [("resume", "resumed")]);
    assert_eq!(of(&ids[2]), [("resume", "resumed")]);
    let by_hand = of(&ids[3]);
    assert!(by_hand[0].1.starts_with("failed: "), "{by_hand:?}");
    assert_eq!(
        by_hand[1..],
        [("rehearse", "the saga ends"), ("give_up", "the saga ends")]
    );
    Ok(())
}

/// Returns what the operator did about a saga, each act with its outcome, the first first.
fn outcomes<'a>(acts: &'a [Value], id: &str) -> Vec<(&'a str, &'a str)> {
    let of_saga =
        |act: &&Value| act["key"] == id && act["scope"] == "ORDER" && act["operator"] == "mesh";
    let line = |act: &'a Value| Some((act["action"].as_str()?, act["outcome"].as_str()?));
    acts.iter().rev().filter(of_saga).filter_map(line).collect()
}

/// Waits until exactly these orders are stuck, as the pages of the list have them.
async fn stuck(http: &Http, ids: &[String]) -> Result<()> {
    eventually("the stuck sagas", async || {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let path = desk(&format!("stuck?pageSize=1&pageToken={token}"));
            let page = http.get(&path, "*/*").await?;
            ensure!(page.status == 200, "{}", page.text());
            let page = page.json()?;
            for saga in page["sagas"].as_array().into_iter().flatten() {
                ensure!(
                    saga["state"] == "SAGA_STATE_STUCK" && saga["problem"] != "",
                    "{saga}"
                );
                found.push(saga["sagaId"].as_str().context("an id")?.to_owned());
            }
            token = page["nextPageToken"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            if token.is_empty() {
                break;
            }
        }
        let (mut found, mut ids) = (found, ids.to_vec());
        found.sort();
        ids.sort();
        ensure!(found == ids, "{found:?}");
        Ok(())
    })
    .await
}

/// Waits until the metrics of orders have so many stuck sagas.
async fn counted(mesh: &Mesh, stuck: u32) -> Result<()> {
    let orders = mesh.http_of("orders")?;
    let line = format!("saga_stuck_instances{{saga=\"ORDER\",step=\"RELEASE\"}} {stuck}");
    eventually("the metric of stuck sagas", async || {
        let text = orders.get("/metrics", "*/*").await?.text();
        let found = text.lines().find(|found| *found == line);
        found.with_context(|| format!("no {line} in {text}"))?;
        Ok(())
    })
    .await
}

async fn show(http: &Http, id: &str) -> Result<Value> {
    http.get(&desk(&format!("sagas/ORDER/{id}")), "*/*")
        .await?
        .json()
}

async fn resume(http: &Http, id: &str, status: u16) -> Result<()> {
    let request = json!({"name": "ORDER", "sagaId": id});
    let response = http.post(&desk("stuck:resume"), &request).await?;
    ensure!(response.status == status, "{}", response.text());
    Ok(())
}

async fn forbid_releases(mesh: &Mesh) -> Result<()> {
    let rule = "ALTER TABLE reservation ADD CONSTRAINT no_release CHECK (state <> 'RELEASED')";
    sqlx::query(rule)
        .execute(&mesh.database("inventory").await?)
        .await?;
    Ok(())
}

async fn allow_releases(mesh: &Mesh) -> Result<()> {
    let rule = "ALTER TABLE reservation DROP CONSTRAINT no_release";
    sqlx::query(rule)
        .execute(&mesh.database("inventory").await?)
        .await?;
    Ok(())
}

async fn release_by_hand(mesh: &Mesh, order_id: &str) -> Result<()> {
    let reservation_id = order_id.to_owned();
    let request = ReleaseReservationRequest { reservation_id };
    mesh.inventory()?.release_reservation(request).await?;
    Ok(())
}

fn said(output: std::process::Output) -> Result<String> {
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
