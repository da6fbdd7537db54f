//! The keys that sign tokens.

use sqlx::PgPool;

use crate::error::Error;
use crate::model::StoredKey;

/// Returns all keys in their order.
pub async fn signing_keys(pool: &PgPool) -> Result<Vec<StoredKey>, Error> {
    let keys = sqlx::query_as!(
        StoredKey,
        "SELECT generation, pkcs8, signs_from FROM signing_key ORDER BY generation"
    )
    .fetch_all(pool)
    .await?;
    Ok(keys)
}

/// Adds a key, unless another process has added one of the same generation.
pub async fn add_signing_key(pool: &PgPool, key: &StoredKey) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO signing_key (generation, pkcs8, signs_from) VALUES ($1, $2, $3)
         ON CONFLICT DO NOTHING",
        key.generation,
        key.pkcs8,
        key.signs_from
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Drops the keys up to a generation.
pub async fn drop_signing_keys(pool: &PgPool, last: i64) -> Result<(), Error> {
    sqlx::query!("DELETE FROM signing_key WHERE generation <= $1", last)
        .execute(pool)
        .await?;
    Ok(())
}
