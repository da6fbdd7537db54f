//! The database of stock: one function is one transaction.

use ::store::{Insert, InsertError, columns, idempotent};
use sqlx::{PgConnection, PgPool};

use crate::{
    error::Error,
    model::{self, Count, Effect, Pieces, Reservation, Shortage, State, Stock, Totals},
};

mod returns;

pub use returns::take_back;

::store::text_enum!(State);

/// Records counts that are new and adds them to stock; returns how many were new.
pub async fn count(pool: &PgPool, mut counts: Vec<Count>) -> Result<usize, Error> {
    counts.sort();
    let mut tx = pool.begin().await?;
    let mut recorded = 0;
    for count in &counts {
        if count_one(&mut tx, count).await? {
            recorded += 1;
        }
    }
    tx.commit().await?;
    Ok(recorded)
}

/// Returns the stock of one SKU.
pub async fn stock(pool: &PgPool, sku: &str) -> Result<Stock, Error> {
    sqlx::query_as!(
        Stock,
        "SELECT sku, on_hand, reserved FROM stock WHERE sku = $1",
        sku
    )
    .fetch_optional(pool)
    .await?
    .ok_or_else(|| Error::UnknownSku(sku.to_owned()))
}

/// Returns up to `limit` SKUs that come after `after`, in order.
pub async fn list(pool: &PgPool, after: &str, limit: i64) -> Result<Vec<Stock>, Error> {
    Ok(sqlx::query_as!(
        Stock,
        "SELECT sku, on_hand, reserved FROM stock WHERE sku > $1 ORDER BY sku LIMIT $2",
        after,
        limit
    )
    .fetch_all(pool)
    .await?)
}

/// Returns totals over all SKUs.
pub async fn totals(pool: &PgPool) -> Result<Totals, Error> {
    Ok(sqlx::query_as!(
        Totals,
        r#"SELECT
             (SELECT coalesce(sum(quantity), 0)::bigint FROM stock_count) AS "counted!",
             (SELECT coalesce(sum(quantity), 0)::bigint FROM reservation_line
                JOIN reservation USING (reservation_id) WHERE state = 'SHIPPED') AS "shipped!",
             (SELECT coalesce(sum(quantity), 0)::bigint FROM stock_return_line) AS "returned!",
             (SELECT coalesce(sum(reserved), 0)::bigint FROM stock) AS "reserved!",
             (SELECT coalesce(sum(on_hand), 0)::bigint FROM stock) AS "on_hand!""#
    )
    .fetch_one(pool)
    .await?)
}

/// Reserves all lines or none; the same id gets the same answer again.
pub async fn reserve(pool: &PgPool, id: &str, lines: Pieces) -> Result<Reservation, Error> {
    let mut tx = pool.begin().await?;
    if !open(&mut tx, id, State::Reserved).await? {
        let known = load(&mut tx, id).await?;
        let closed_before = known.state == State::Released && known.lines.is_empty();
        return if closed_before || known.lines == lines {
            Ok(known)
        } else {
            Err(Error::ReservationChanged(id.to_owned()))
        };
    }
    let shortages = model::shortages(&lines, &lock_free(&mut tx, &lines).await?);
    let state = if shortages.is_empty() {
        State::Reserved
    } else {
        State::Refused
    };
    if state == State::Reserved {
        move_stock(&mut tx, &lines, 0, 1).await?;
    } else {
        set_state(&mut tx, id, state).await?;
    }
    insert_lines(&mut tx, id, &lines, &shortages).await?;
    chassis::crash::point("inventory.reserve.before_commit");
    tx.commit().await?;
    chassis::crash::point("inventory.reserve.after_commit");
    Ok(Reservation {
        id: id.to_owned(),
        state,
        lines,
        shortages,
    })
}

/// Returns the reservation of that id.
pub async fn reservation(pool: &PgPool, id: &str) -> Result<Reservation, Error> {
    load(&mut *pool.acquire().await?, id).await
}

/// Releases the pieces; an unknown id is closed, so that a late reservation holds nothing.
pub async fn release(pool: &PgPool, id: &str) -> Result<Reservation, Error> {
    let mut tx = pool.begin().await?;
    let changed = if open(&mut tx, id, State::Released).await? {
        load(&mut tx, id).await?
    } else {
        transition(&mut tx, id, State::release).await?
    };
    chassis::crash::point("inventory.release.before_commit");
    tx.commit().await?;
    chassis::crash::point("inventory.release.after_commit");
    Ok(changed)
}

/// Removes the reserved pieces from stock.
pub async fn ship(pool: &PgPool, id: &str) -> Result<Reservation, Error> {
    let mut tx = pool.begin().await?;
    let changed = transition(&mut tx, id, State::ship).await?;
    chassis::crash::point("inventory.ship.before_commit");
    tx.commit().await?;
    chassis::crash::point("inventory.ship.after_commit");
    Ok(changed)
}

async fn count_one(tx: &mut PgConnection, count: &Count) -> Result<bool, Error> {
    sqlx::query!(
        "INSERT INTO stock (sku) VALUES ($1) ON CONFLICT DO NOTHING",
        count.sku
    )
    .execute(&mut *tx)
    .await?;
    let inserted = idempotent(
        &mut *tx,
        sqlx::query!(
            "INSERT INTO stock_count (request_id, sku, quantity) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            count.request_id,
            count.sku,
            count.quantity
        ),
        sqlx::query!(
            "SELECT sku, quantity FROM stock_count WHERE request_id = $1",
            count.request_id
        )
        .map(|known| (known.sku, known.quantity)),
        &(count.sku.clone(), count.quantity),
    )
    .await;
    match inserted {
        Ok(Insert::Repeated) => return Ok(false),
        Ok(Insert::New) => {}
        Err(InsertError::Changed) => return Err(Error::CountChanged(count.request_id.clone())),
        Err(InsertError::Database(error)) => return Err(error.into()),
    }
    let pieces = Pieces::from([(count.sku.clone(), count.quantity)]);
    move_stock(tx, &pieces, 1, 0).await?;
    Ok(true)
}

/// Claims an id; returns false if it is in use. A concurrent claim waits here for the other's
/// commit.
async fn open(tx: &mut PgConnection, id: &str, state: State) -> Result<bool, Error> {
    let inserted = sqlx::query!(
        "INSERT INTO reservation (reservation_id, state) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        id,
        state as State
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Locks the rows of the SKUs in SKU order and returns the free pieces of each. Every change of
/// several SKUs begins here, so that no two transactions deadlock.
async fn lock_free(tx: &mut PgConnection, lines: &Pieces) -> Result<Pieces, Error> {
    let skus: Vec<_> = lines.keys().cloned().collect();
    let rows = sqlx::query!(
        "SELECT sku, on_hand, reserved FROM stock WHERE sku = ANY($1) ORDER BY sku FOR UPDATE",
        &skus
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.sku, row.on_hand - row.reserved))
        .collect())
}

/// Adds `on_hand` and `reserved` times each line's pieces to its SKU.
async fn move_stock(
    tx: &mut PgConnection,
    lines: &Pieces,
    on_hand: i64,
    reserved: i64,
) -> Result<(), Error> {
    let (skus, quantities) = columns!(lines, (sku, quantity) => sku.clone(), *quantity);
    sqlx::query!(
        "UPDATE stock SET on_hand = on_hand + $3 * quantity, reserved = reserved + $4 * quantity
         FROM unnest($1::text[], $2::bigint[]) AS line (sku, quantity) WHERE stock.sku = line.sku",
        &skus,
        &quantities,
        on_hand,
        reserved
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn insert_lines(
    tx: &mut PgConnection,
    id: &str,
    lines: &Pieces,
    short: &[Shortage],
) -> Result<(), Error> {
    let available = |sku: &String| {
        let short = short.iter().find(|line| line.sku == *sku);
        short.map(|line| line.available)
    };
    let (skus, quantities, available) =
        columns!(lines, (sku, quantity) => sku.clone(), *quantity, available(sku));
    sqlx::query!(
        "INSERT INTO reservation_line (reservation_id, sku, quantity, available)
         SELECT $1, sku, quantity, available
         FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS line (sku, quantity, available)",
        id,
        &skus,
        &quantities,
        &available as &[Option<i64>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn transition(
    tx: &mut PgConnection,
    id: &str,
    rule: impl Fn(State) -> Result<(State, Effect), model::Refusal>,
) -> Result<Reservation, Error> {
    let mut reservation = load(tx, id).await?;
    let (state, effect) =
        rule(reservation.state).map_err(|refusal| Error::Refused(id.to_owned(), refusal))?;
    if effect != Effect::None {
        lock_free(tx, &reservation.lines).await?;
        let on_hand = if effect == Effect::Ship { -1 } else { 0 };
        move_stock(tx, &reservation.lines, on_hand, -1).await?;
        set_state(tx, id, state).await?;
        reservation.state = state;
    }
    Ok(reservation)
}

async fn set_state(tx: &mut PgConnection, id: &str, state: State) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE reservation SET state = $2 WHERE reservation_id = $1",
        id,
        state as State
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Reads a reservation and locks its row until the transaction ends.
async fn load(tx: &mut PgConnection, id: &str) -> Result<Reservation, Error> {
    let state = sqlx::query_scalar!(
        r#"SELECT state AS "state: State" FROM reservation WHERE reservation_id = $1 FOR UPDATE"#,
        id
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| Error::UnknownReservation(id.to_owned()))?;
    let rows = sqlx::query!(
        "SELECT sku, quantity, available FROM reservation_line WHERE reservation_id = $1",
        id
    )
    .fetch_all(tx)
    .await?;
    let shortages = rows.iter().filter_map(|row| {
        Some(Shortage {
            sku: row.sku.clone(),
            requested: row.quantity,
            available: row.available?,
        })
    });
    Ok(Reservation {
        id: id.to_owned(),
        state,
        shortages: shortages.collect(),
        lines: rows
            .iter()
            .map(|row| (row.sku.clone(), row.quantity))
            .collect(),
    })
}
