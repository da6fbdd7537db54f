//! Reservations, in batches: made, released, shipped.
//!
//! A batch is one transaction that locks every SKU once, in one order, and writes it once: the lock
//! of a hot SKU is held across one flush of the log for the whole batch (ADR 0013).

use std::collections::{BTreeMap, BTreeSet};

use ::store::columns;
use sqlx::{PgConnection, PgPool};

use super::{lock_free, move_stock};
use crate::{
    error::Error,
    model::{self, Change, Changes, Effect, Pieces, Refusal, Reservation, Shortage, State},
};

/// The change that each reserved piece brings.
const RESERVED: Change = Change {
    on_hand: 0,
    reserved: 1,
};

/// Reservations by id.
type Known = BTreeMap<String, Reservation>;

/// The result of each request of a batch, in their order.
pub(crate) type Results = Vec<Result<Reservation, Error>>;

/// Reserves all lines or none of each id, in this order; the same id gets the same answer again.
pub async fn reserve(pool: &PgPool, asked: &[(String, Pieces)]) -> Result<Results, Error> {
    let mut tx = pool.begin().await?;
    let ids = distinct(asked.iter().map(|(id, _)| id));
    let opened = open(&mut tx, &ids, State::Reserved).await?;
    let mut known = load(&mut tx, &without(&ids, &opened)).await?;
    let new = asked.iter().filter(|(id, _)| opened.contains(id));
    let mut free = lock_free(&mut tx, new.flat_map(|(_, lines)| lines.keys())).await?;
    let mut changes = Changes::default();
    let results = asked
        .iter()
        .map(|(id, lines)| match known.get(id) {
            Some(known) => repeated(known, lines),
            None => {
                let reservation = decide(id, lines, &mut free, &mut changes);
                known.insert(id.clone(), reservation.clone());
                Ok(reservation)
            }
        })
        .collect();
    known.retain(|id, _| opened.contains(id));
    move_stock(&mut tx, &changes).await?;
    let refused = known.values().filter(|new| new.state == State::Refused);
    set_states(&mut tx, refused).await?;
    insert_lines(&mut tx, &known).await?;
    chassis::crash::point("inventory.reserve.before_commit");
    tx.commit().await?;
    chassis::crash::point("inventory.reserve.after_commit");
    Ok(results)
}

/// Returns the reservation of that id.
pub async fn reservation(pool: &PgPool, id: &str) -> Result<Reservation, Error> {
    load(&mut *pool.acquire().await?, &[id])
        .await?
        .remove(id)
        .ok_or_else(|| Error::UnknownReservation(id.to_owned()))
}

/// Releases the pieces of each; an unknown id is closed, so that a late reservation holds nothing.
pub async fn release(pool: &PgPool, ids: &[String]) -> Result<Results, Error> {
    let mut tx = pool.begin().await?;
    let results = release_in(&mut tx, ids).await?;
    chassis::crash::point("inventory.release.before_commit");
    tx.commit().await?;
    chassis::crash::point("inventory.release.after_commit");
    Ok(results)
}

/// Removes the reserved pieces of each from stock.
pub async fn ship(pool: &PgPool, ids: &[String]) -> Result<Results, Error> {
    let mut tx = pool.begin().await?;
    let results = ship_in(&mut tx, ids).await?;
    chassis::crash::point("inventory.ship.before_commit");
    tx.commit().await?;
    chassis::crash::point("inventory.ship.after_commit");
    Ok(results)
}

/// As [`release`], in the caller's transaction.
pub async fn release_in(tx: &mut PgConnection, ids: &[String]) -> Result<Results, Error> {
    open(tx, &distinct(ids), State::Released).await?;
    transition(tx, ids, State::release).await
}

/// As [`ship`], in the caller's transaction.
pub async fn ship_in(tx: &mut PgConnection, ids: &[String]) -> Result<Results, Error> {
    transition(tx, ids, State::ship).await
}

fn repeated(known: &Reservation, lines: &Pieces) -> Result<Reservation, Error> {
    let closed_before = known.state == State::Released && known.lines.is_empty();
    if closed_before || known.lines == *lines {
        Ok(known.clone())
    } else {
        Err(Error::ReservationChanged(known.id.clone()))
    }
}

fn decide(id: &str, lines: &Pieces, free: &mut Pieces, changes: &mut Changes) -> Reservation {
    let shortages = model::draw(lines, free);
    let state = if shortages.is_empty() {
        changes.add(lines, RESERVED);
        State::Reserved
    } else {
        State::Refused
    };
    Reservation {
        id: id.to_owned(),
        state,
        lines: lines.clone(),
        shortages,
    }
}

async fn transition(
    tx: &mut PgConnection,
    ids: &[String],
    rule: impl Fn(State) -> Result<(State, Effect), Refusal>,
) -> Result<Results, Error> {
    let mut known = load(tx, &distinct(ids)).await?;
    let mut changes = Changes::default();
    let mut changed = BTreeSet::new();
    let results = ids
        .iter()
        .map(|id| {
            let Some(reservation) = known.get_mut(id) else {
                return Err(Error::UnknownReservation(id.clone()));
            };
            let (state, effect) =
                rule(reservation.state).map_err(|refusal| Error::Refused(id.clone(), refusal))?;
            if effect != Effect::None {
                changes.add(&reservation.lines, effect.per_piece());
                changed.insert(id.clone());
            }
            reservation.state = state;
            Ok(reservation.clone())
        })
        .collect();
    known.retain(|id, _| changed.contains(id));
    if !known.is_empty() {
        lock_free(tx, known.values().flat_map(|changed| changed.lines.keys())).await?;
        move_stock(tx, &changes).await?;
        set_states(tx, known.values()).await?;
    }
    Ok(results)
}

/// Claims ids; returns those that were not in use. A concurrent claim waits here for the other's
/// commit.
async fn open(
    tx: &mut PgConnection,
    ids: &[&str],
    state: State,
) -> Result<BTreeSet<String>, Error> {
    let opened = sqlx::query_scalar!(
        "INSERT INTO reservation (reservation_id, state)
         SELECT id, $2 FROM unnest($1::text[]) AS new (id) ORDER BY id
         ON CONFLICT DO NOTHING RETURNING reservation_id",
        ids as &[&str],
        state as State
    )
    .fetch_all(tx)
    .await?;
    Ok(opened.into_iter().collect())
}

async fn insert_lines(tx: &mut PgConnection, reservations: &Known) -> Result<(), Error> {
    let lines: Vec<_> = reservations
        .values()
        .flat_map(|new| new.lines.iter().map(move |line| (new, line)))
        .collect();
    let available = |new: &Reservation, sku: &String| {
        let short = new.shortages.iter().find(|line| line.sku == *sku);
        short.map(|line| line.available)
    };
    let (ids, skus, quantities, available) = columns!(
        lines,
        (new, (sku, quantity)) => new.id.as_str(),
        sku.as_str(),
        **quantity,
        available(new, sku),
    );
    sqlx::query!(
        "INSERT INTO reservation_line (reservation_id, sku, quantity, available)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])",
        &ids as &[&str],
        &skus as &[&str],
        &quantities,
        &available as &[Option<i64>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn set_states<'a>(
    tx: &mut PgConnection,
    reservations: impl Iterator<Item = &'a Reservation>,
) -> Result<(), Error> {
    let changed: Vec<_> = reservations.collect();
    if changed.is_empty() {
        return Ok(());
    }
    let (ids, states) = columns!(changed, new => new.id.as_str(), <&str>::from(new.state));
    sqlx::query!(
        "UPDATE reservation SET state = new.state FROM unnest($1::text[], $2::text[]) AS new (id, state)
         WHERE reservation_id = new.id",
        &ids as &[&str],
        &states as &[&str]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Reads reservations and locks their rows until the transaction ends.
async fn load(tx: &mut PgConnection, ids: &[&str]) -> Result<Known, Error> {
    let rows = sqlx::query!(
        r#"SELECT reservation_id, state AS "state: State" FROM reservation
           WHERE reservation_id = ANY($1) ORDER BY reservation_id FOR UPDATE"#,
        ids as &[&str]
    )
    .fetch_all(&mut *tx)
    .await?;
    let empty = rows.into_iter().map(|row| {
        let reservation = Reservation {
            id: row.reservation_id.clone(),
            state: row.state,
            lines: Pieces::new(),
            shortages: Vec::new(),
        };
        (row.reservation_id, reservation)
    });
    let mut known: Known = empty.collect();
    let lines = sqlx::query!(
        "SELECT reservation_id, sku, quantity, available FROM reservation_line
         WHERE reservation_id = ANY($1) ORDER BY reservation_id, sku",
        ids as &[&str]
    )
    .fetch_all(tx)
    .await?;
    for line in lines {
        let Some(reservation) = known.get_mut(&line.reservation_id) else {
            continue;
        };
        if let Some(available) = line.available {
            reservation.shortages.push(Shortage {
                sku: line.sku.clone(),
                requested: line.quantity,
                available,
            });
        }
        reservation.lines.insert(line.sku, line.quantity);
    }
    Ok(known)
}

/// Returns the ids, sorted, each once.
fn distinct<'a>(ids: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
    let ids: BTreeSet<_> = ids.into_iter().map(String::as_str).collect();
    ids.into_iter().collect()
}

fn without<'a>(ids: &[&'a str], opened: &BTreeSet<String>) -> Vec<&'a str> {
    let known = ids.iter().filter(|id| !opened.contains(**id));
    known.copied().collect()
}
