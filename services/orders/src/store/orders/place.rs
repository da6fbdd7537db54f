//! Places orders, each once per origin and request.

use std::{collections::HashSet, time::Duration};

use ::store::columns;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::Error,
    model::{NewOrder, State, history::OrderEvent, saga::ORDER},
    store::history,
};

/// An order that a request names.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// Its id.
    pub order_id: Uuid,
    /// It was placed now.
    pub is_new: bool,
}

/// An order to insert.
struct Candidate {
    /// Its place among the given orders.
    index: usize,
    order_id: Uuid,
    total: i64,
    fingerprint: Vec<u8>,
}

/// Places orders with their sagas, each once per origin and `request_id`; returns of each the order
/// that its request names, or why it is refused: [`Error::OrderChanged`], [`Error::TotalOverflow`].
pub async fn place(
    tx: &mut PgConnection,
    orders: &[NewOrder],
    deadline: Duration,
) -> Result<Vec<Result<Placed, Error>>, Error> {
    let valid = |(index, order): (usize, &NewOrder)| {
        Some(Candidate {
            index,
            // Nobody can know it before the order is stored, and use it in other services first.
            order_id: Uuid::now_v7(),
            total: order.total_minor()?,
            fingerprint: order.fingerprint().to_vec(),
        })
    };
    let candidates: Vec<_> = orders.iter().enumerate().filter_map(valid).collect();
    let inserted = insert(tx, orders, &candidates).await?;
    let (new, known): (Vec<_>, Vec<_>) = candidates
        .into_iter()
        .partition(|candidate| inserted.contains(&candidate.order_id));
    let placed = |candidate: &Candidate| (candidate.order_id, &orders[candidate.index]);
    let placed: Vec<_> = new.iter().map(placed).collect();
    insert_lines(tx, &placed).await?;
    record(tx, &new, orders).await?;
    let (ids, accounts) =
        columns!(placed, (order_id, order) => *order_id, order.account_id.as_str());
    let subjects: Vec<_> = ids.into_iter().zip(accounts).collect();
    ::saga::begin(tx, &ORDER, &subjects, deadline).await?;
    let mut results: Vec<_> = orders.iter().map(|_| Err(Error::TotalOverflow)).collect();
    for candidate in new {
        results[candidate.index] = Ok(Placed {
            order_id: candidate.order_id,
            is_new: true,
        });
    }
    for (index, result) in compare(tx, orders, known).await? {
        results[index] = result;
    }
    Ok(results)
}

/// Records that the orders were placed.
async fn record(
    tx: &mut PgConnection,
    new: &[Candidate],
    orders: &[NewOrder],
) -> Result<(), Error> {
    let events = new.iter().map(|candidate| {
        let order = &orders[candidate.index];
        let placed = OrderEvent::Placed {
            account_id: order.account_id.clone(),
            currency_code: order.currency_code.clone(),
            total_minor: candidate.total,
        };
        (candidate.order_id, 1, placed)
    });
    history::record(tx, events).await
}

/// Inserts the orders whose requests are new; returns their ids. Waits for a transaction that
/// inserts one of the requests.
async fn insert(
    tx: &mut PgConnection,
    orders: &[NewOrder],
    candidates: &[Candidate],
) -> Result<HashSet<Uuid>, Error> {
    let order = |candidate: &Candidate| &orders[candidate.index];
    let (ids, origins, requests, accounts, times, currencies, totals, fingerprints) = columns!(
        candidates,
        new => new.order_id,
        order(new).origin.to_string(),
        order(new).request_id.as_str(),
        order(new).account_id.as_str(),
        order(new).placed_at,
        order(new).currency_code.as_str(),
        new.total,
        new.fingerprint.as_slice(),
    );
    let inserted = sqlx::query_scalar!(
        r#"INSERT INTO orders (order_id, origin, request_id, account_id, state, placed_at, currency_code, total_minor,
                               fingerprint)
           SELECT order_id, new.origin, new.request_id, account_id, $9, placed_at, currency_code, total_minor, fingerprint
           FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamp[], $6::text[], $7::bigint[],
                       $8::bytea[]) WITH ORDINALITY
                AS new (order_id, origin, request_id, account_id, placed_at, currency_code, total_minor, fingerprint, place)
           WHERE NOT EXISTS (SELECT FROM orders AS old WHERE old.request_id = new.request_id AND old.origin IS NULL)
           ORDER BY place
           ON CONFLICT DO NOTHING RETURNING order_id"#,
        &ids,
        &origins,
        &requests as &[&str],
        &accounts as &[&str],
        &times,
        &currencies as &[&str],
        &totals,
        &fingerprints as &[&[u8]],
        State::Pending as State,
    )
    .fetch_all(tx)
    .await?;
    Ok(inserted.into_iter().collect())
}

/// Compares orders with those that their requests named before.
async fn compare(
    tx: &mut PgConnection,
    orders: &[NewOrder],
    candidates: Vec<Candidate>,
) -> Result<Vec<(usize, Result<Placed, Error>)>, Error> {
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let requests = candidates.iter().map(|new| &*orders[new.index].request_id);
    let requests: Vec<&str> = requests.collect();
    let rows = sqlx::query!(
        "SELECT order_id, origin, request_id, fingerprint FROM orders WHERE request_id = ANY($1)
         AND (origin IS NULL OR origin = ANY($2))",
        &requests as &[&str],
        &origins(orders)
    )
    .fetch_all(tx)
    .await?;
    let mut results = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let order = &orders[candidate.index];
        let origin = order.origin.to_string();
        let known = rows.iter().find(|row| {
            row.request_id == order.request_id
                && row.origin.as_ref().is_none_or(|known| *known == origin)
        });
        let known = known.ok_or(Error::Corrupt("orders.request_id"))?;
        let result = if known.fingerprint == candidate.fingerprint {
            Ok(Placed {
                order_id: known.order_id,
                is_new: false,
            })
        } else {
            Err(Error::OrderChanged {
                request_id: order.request_id.clone(),
                order_id: known.order_id,
            })
        };
        results.push((candidate.index, result));
    }
    Ok(results)
}

/// Returns the names of the orders' origins, each once.
fn origins(orders: &[NewOrder]) -> Vec<String> {
    let origins: HashSet<_> = orders.iter().map(|order| &order.origin).collect();
    origins.into_iter().map(ToString::to_string).collect()
}

async fn insert_lines(tx: &mut PgConnection, orders: &[(Uuid, &NewOrder)]) -> Result<(), Error> {
    let lines = orders.iter().flat_map(|(order_id, order)| {
        let lines = (1_i32..).zip(&order.lines);
        lines.map(move |(number, line)| (*order_id, number, line))
    });
    let lines: Vec<_> = lines.collect();
    let (ids, numbers, skus, descriptions, quantities, prices, charges) = columns!(
        lines,
        (order_id, number, line) => *order_id,
        *number,
        line.sku.as_str(),
        line.description.as_str(),
        line.quantity,
        line.unit_price_minor,
        line.charge,
    );
    sqlx::query!(
        "INSERT INTO order_line (order_id, line_number, sku, description, quantity, unit_price_minor, charge)
         SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::boolean[])",
        &ids,
        &numbers,
        &skus as &[&str],
        &descriptions as &[&str],
        &quantities,
        &prices,
        &charges
    )
    .execute(tx)
    .await?;
    Ok(())
}
