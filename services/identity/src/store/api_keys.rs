//! API keys.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::revocations::{Validity, revoke_in};
use crate::error::Error;
use crate::model::{ApiKey, Digest, Revoked, Rights};

/// A row of `api_key`, without the digest.
struct ApiKeyRow {
    key_id: String,
    subject: String,
    roles: Vec<String>,
    scopes: Vec<String>,
    tenant: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

impl From<ApiKeyRow> for ApiKey {
    fn from(row: ApiKeyRow) -> Self {
        Self {
            id: row.key_id,
            subject: row.subject,
            rights: Rights {
                roles: row.roles,
                scopes: row.scopes,
                tenant: row.tenant,
            },
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
        }
    }
}

/// Creates a key.
///
/// # Errors
/// [`Error::KeyExists`].
pub async fn create_api_key(
    pool: &PgPool,
    id: &str,
    subject: &str,
    rights: &Rights,
    expires_at: Option<DateTime<Utc>>,
    secret: Digest,
) -> Result<ApiKey, Error> {
    let mut connection = pool.acquire().await?;
    insert(&mut connection, id, subject, rights, expires_at, secret).await
}

/// Returns a key and its digest.
pub async fn api_key(pool: &PgPool, id: &str) -> Result<Option<(ApiKey, Digest)>, Error> {
    let row = sqlx::query!(
        "SELECT digest, key_id, subject, roles, scopes, tenant, created_at, expires_at, revoked_at
         FROM api_key WHERE key_id = $1",
        id
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let digest = Digest::from_bytes(&row.digest).ok_or(Error::Corrupt("api_key"))?;
    let key = ApiKeyRow {
        key_id: row.key_id,
        subject: row.subject,
        roles: row.roles,
        scopes: row.scopes,
        tenant: row.tenant,
        created_at: row.created_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
    };
    Ok(Some((key.into(), digest)))
}

/// Returns up to `limit` keys that come after an ID, ordered by ID.
pub async fn api_keys(pool: &PgPool, after: &str, limit: i64) -> Result<Vec<ApiKey>, Error> {
    let rows = sqlx::query_as!(
        ApiKeyRow,
        r#"SELECT key_id, subject, roles, scopes, tenant, created_at, expires_at, revoked_at
           FROM api_key WHERE key_id COLLATE "C" > $1 ORDER BY key_id COLLATE "C" LIMIT $2"#,
        after,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Creates a key with the rights of another one, which ends at `ends_at` unless it ends before.
///
/// # Errors
/// [`Error::UnknownKey`], [`Error::KeyRevoked`], [`Error::KeyExists`].
pub async fn rotate_api_key(
    pool: &PgPool,
    id: &str,
    new_id: &str,
    secret: Digest,
    ends_at: DateTime<Utc>,
) -> Result<(ApiKey, DateTime<Utc>), Error> {
    let mut tx = pool.begin().await?;
    let old = sqlx::query_as!(
        ApiKeyRow,
        "SELECT key_id, subject, roles, scopes, tenant, created_at, expires_at, revoked_at
         FROM api_key WHERE key_id = $1 FOR UPDATE",
        id
    )
    .fetch_optional(&mut *tx)
    .await?;
    let old: ApiKey = old.ok_or_else(|| Error::UnknownKey(id.to_owned()))?.into();
    if old.revoked_at.is_some() {
        return Err(Error::KeyRevoked(id.to_owned()));
    }
    let expires_at = old.expires_at;
    let new = insert(
        &mut tx,
        new_id,
        &old.subject,
        &old.rights,
        expires_at,
        secret,
    )
    .await?;
    let ends_at = expires_at.map_or(ends_at, |expiry| expiry.min(ends_at));
    sqlx::query!(
        "UPDATE api_key SET expires_at = $2 WHERE key_id = $1",
        id,
        ends_at
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok((new, ends_at))
}

/// Revokes a key.
///
/// # Errors
/// [`Error::UnknownKey`].
pub async fn revoke_api_key(pool: &PgPool, id: &str, validity: Validity) -> Result<ApiKey, Error> {
    let mut tx = pool.begin().await?;
    let row = sqlx::query_as!(
        ApiKeyRow,
        "UPDATE api_key SET revoked_at = coalesce(revoked_at, now()) WHERE key_id = $1
         RETURNING key_id, subject, roles, scopes, tenant, created_at, expires_at, revoked_at",
        id
    )
    .fetch_optional(&mut *tx)
    .await?;
    let key: ApiKey = row.ok_or_else(|| Error::UnknownKey(id.to_owned()))?.into();
    // Gateways remember keys for a while.
    revoke_in(&mut tx, &Revoked::Credential(id.to_owned()), validity).await?;
    tx.commit().await?;
    Ok(key)
}

async fn insert(
    tx: &mut PgConnection,
    id: &str,
    subject: &str,
    rights: &Rights,
    expires_at: Option<DateTime<Utc>>,
    secret: Digest,
) -> Result<ApiKey, Error> {
    let row = sqlx::query_as!(
        ApiKeyRow,
        "INSERT INTO api_key (key_id, digest, subject, roles, scopes, tenant, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
         RETURNING key_id, subject, roles, scopes, tenant, created_at, expires_at, revoked_at",
        id,
        secret.as_bytes(),
        subject,
        &rights.roles,
        &rights.scopes,
        &rights.tenant,
        expires_at
    )
    .fetch_optional(tx)
    .await?;
    let row = row.ok_or_else(|| Error::KeyExists(id.to_owned()))?;
    Ok(row.into())
}
