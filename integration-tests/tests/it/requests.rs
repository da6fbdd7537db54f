//! Request-reply over the broker: the same server and typed clients, and what happens without a
//! process, without time, without room, and to a process that dies.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration_tests::{Mesh, eventually};
use protos::inventory::v1::{
    BatchReleaseReservationsRequest, CountStockRequest, CountStockResponse, GetStockRequest,
    ReleaseReservationRequest, StockCount, inventory_service_client::InventoryServiceClient,
};
use requests::{Channel, Settings};
use sqlx::{PgPool, Postgres, Transaction};
use tonic::{Code, Request, Status};

type Inventory = InventoryServiceClient<Channel>;

const SHORT: Duration = Duration::from_millis(700);
const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_client_calls_over_the_broker_as_over_http() -> Result<()> {
    let mesh = mesh(&[]).await?;
    mesh.count("A", 7).await?;
    let mut inventory = inventory(&mesh, "orders").await?;
    let stock = inventory.get_stock(get("A")).await?;
    let stock = stock.into_inner().stock.context("stock")?;
    assert_eq!((stock.on_hand, stock.reserved), (7, 0));
    assert_eq!(count(&mut inventory, "B", LONG).await?.recorded, 1);
    assert_eq!(mesh.stock("B").await?.on_hand, 1);

    // Details and layers are those of HTTP/2.
    let by_http = mesh.inventory()?.get_stock(get("NONE")).await.unwrap_err();
    let missing = inventory.get_stock(get("NONE")).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert_eq!(
        (missing.message(), reason(&missing)),
        (by_http.message(), reason(&by_http))
    );
    let invalid = inventory.get_stock(get("")).await.unwrap_err();
    assert_eq!(invalid.code(), Code::InvalidArgument);
    assert_eq!(reason(&invalid).as_deref(), Some("INVALID_FIELD"));
    assert!(invalid.message().contains("sku"), "{invalid}");
    let metrics = mesh
        .http_of("inventory")?
        .get("/metrics", "*/*")
        .await?
        .text();
    assert!(metrics.contains("GetStock"), "{metrics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_at_its_deadline_on_both_sides() -> Result<()> {
    let mesh = mesh(&[]).await?;
    mesh.count("A", 7).await?;
    let mut inventory = inventory(&mesh, "orders").await?;
    let lock = lock(&mesh, "A").await?;
    let begun = Instant::now();
    let late = count(&mut inventory, "A", SHORT).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    // The service has given it up too, while the lock is still held.
    let of_inventory = mesh.http_of("inventory")?;
    eventually("the record of a late call", async || {
        let metrics = of_inventory.get("/metrics", "*/*").await?.text();
        let is_late =
            |line: &str| line.contains("CountStock") && line.contains("DEADLINE_EXCEEDED");
        ensure!(metrics.lines().any(is_late), "{metrics}");
        Ok(())
    })
    .await?;
    lock.rollback().await?;
    assert_eq!(mesh.stock("A").await?.on_hand, 7);
    assert_eq!(count(&mut inventory, "A", LONG).await?.recorded, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_process_or_permission_fails() -> Result<()> {
    let mesh = mesh(&[]).await?;
    let mut inventory = inventory(&mesh, "orders").await?;
    inventory.get_stock(get("A")).await.unwrap_err();
    // Nobody gave payments the right to call inventory; NATS drops what it refuses.
    let mut foreign = self::inventory(&mesh, "payments").await?;
    let mut request = Request::new(get("A"));
    request.set_timeout(SHORT);
    let refused = foreign.get_stock(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused}");

    mesh.stack().stop("inventory").await?;
    let nobody = inventory.get_stock(get("A")).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unavailable, "{nobody}");
    assert_eq!(reason(&nobody).as_deref(), Some("NO_RESPONDERS"));
    mesh.stack().start("inventory").await?;
    let there = inventory.get_stock(get("A")).await.unwrap_err();
    assert_eq!(there.code(), Code::NotFound, "{there}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_beyond_the_brokers_bound_is_refused_by_the_caller() -> Result<()> {
    let mesh = mesh(&[]).await?;
    let mut inventory = inventory(&mesh, "orders").await?;
    let requests = (0..40_000).map(|n| ReleaseReservationRequest {
        reservation_id: format!("a reservation with a long name, number {n}"),
    });
    let request = BatchReleaseReservationsRequest {
        requests: requests.collect(),
    };
    let refused = inventory
        .batch_release_reservations(request)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert_eq!(reason(&refused).as_deref(), Some("MESSAGE_TOO_LARGE"));
    let next = inventory.get_stock(get("A")).await.unwrap_err();
    assert_eq!(next.code(), Code::NotFound, "{next}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_answers_a_bounded_number_of_calls_at_a_time() -> Result<()> {
    let mesh = mesh(&[("PROTOMESH_REQUESTS__CONCURRENT", "1")]).await?;
    mesh.count("A", 7).await?;
    let inventory = inventory(&mesh, "orders").await?;
    let lock = lock(&mesh, "A").await?;
    let first = spawn(&inventory, "A", LONG);
    blocked(&mesh).await?;
    let mut second = inventory.clone();
    let refused = second.get_stock(get("A")).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert_eq!(reason(&refused).as_deref(), Some("TOO_MANY_CALLS"));
    lock.rollback().await?;
    first.await??;
    second.get_stock(get("A")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_to_a_process_that_dies_ends_at_its_deadline_and_the_next_one_succeeds() -> Result<()>
{
    let mesh = mesh(&[]).await?;
    mesh.count("A", 7).await?;
    let mut inventory = inventory(&mesh, "orders").await?;
    let lock = lock(&mesh, "A").await?;
    let dying = spawn(&inventory, "A", Duration::from_secs(5));
    blocked(&mesh).await?;
    let ended = mesh.stack().kill("inventory")?;
    let lost = dying.await?.unwrap_err();
    assert_eq!(lost.code(), Code::DeadlineExceeded, "{lost}");
    lock.rollback().await?;
    mesh.stack().revived("inventory", &ended).await?;
    // The same request again: what the first one did, if anything, is done once.
    count(&mut inventory, "A", LONG).await?;
    assert_eq!(mesh.stock("A").await?.on_hand, 8);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stops_answers_the_calls_it_has() -> Result<()> {
    let mesh = mesh(&[]).await?;
    mesh.count("A", 7).await?;
    let inventory = inventory(&mesh, "orders").await?;
    let lock = lock(&mesh, "A").await?;
    let last = spawn(&inventory, "A", LONG);
    blocked(&mesh).await?;
    let (stopped, released) = tokio::join!(mesh.stack().stop("inventory"), async {
        eventually("no more calls are taken", async || {
            let refused = inventory.clone().get_stock(get("A")).await;
            let code = refused.map_err(|status| status.code()).err();
            ensure!(code == Some(Code::Unavailable), "{code:?}");
            Ok(())
        })
        .await?;
        anyhow::Ok(lock.rollback().await?)
    });
    stopped?;
    released?;
    assert_eq!(last.await??.recorded, 1);
    Ok(())
}

async fn mesh(env: &[(&str, &str)]) -> Result<Mesh> {
    let patient = ("inventory", "PROTOMESH_DATABASE__LOCK_TIMEOUT_MS", "100000");
    let mut options = Mesh::options()?.only(["inventory"])?;
    options = options.env(patient.0, patient.1, patient.2);
    for (key, value) in env {
        options = options.env("inventory", key, value);
    }
    Mesh::start_with(options).await
}

/// Returns a client of inventory that is connected to the broker as `user`.
async fn inventory(mesh: &Mesh, user: &str) -> Result<Inventory> {
    let broker = super::broker::connect(&mesh.stack().nats_url(user)?).await?;
    let channel = Channel::new(broker, &Settings::default(), protos::METHODS);
    Ok(InventoryServiceClient::new(channel))
}

fn get(sku: &str) -> GetStockRequest {
    GetStockRequest {
        sku: sku.to_owned(),
    }
}

/// Counts one more piece into stock, once.
async fn count(
    inventory: &mut Inventory,
    sku: &str,
    timeout: Duration,
) -> Result<CountStockResponse, Status> {
    let mut request = Request::new(CountStockRequest {
        counts: vec![StockCount {
            request_id: format!("one more {sku}"),
            sku: sku.to_owned(),
            quantity: 1,
        }],
    });
    request.set_timeout(timeout);
    Ok(inventory.count_stock(request).await?.into_inner())
}

fn spawn(
    inventory: &Inventory,
    sku: &'static str,
    timeout: Duration,
) -> tokio::task::JoinHandle<Result<CountStockResponse, Status>> {
    let mut inventory = inventory.clone();
    tokio::spawn(async move { count(&mut inventory, sku, timeout).await })
}

/// Locks the stock of a SKU, so that a count waits.
async fn lock(mesh: &Mesh, sku: &str) -> Result<Transaction<'static, Postgres>> {
    let pool: PgPool = mesh.database("inventory").await?;
    let mut tx = pool.begin().await?;
    sqlx::query("SELECT FROM stock WHERE sku = $1 FOR UPDATE")
        .bind(sku)
        .execute(&mut *tx)
        .await?;
    Ok(tx)
}

/// Waits until a call waits for the lock.
async fn blocked(mesh: &Mesh) -> Result<()> {
    let pool = mesh.database("inventory").await?;
    eventually("a call waits for the lock", async || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&pool).await?;
        ensure!(waiting > 0, "none waits");
        Ok(())
    })
    .await
}

fn reason(status: &Status) -> Option<String> {
    chassis::error::reason(status)
}
