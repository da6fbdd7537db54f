//! Clients and their secrets.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::revocations::{Validity, revoke_in};
use crate::error::Error;
use crate::model::{Client, Digest, Revoked, Rights};

/// A client with the digests of its valid secrets.
#[derive(Debug)]
pub struct KnownClient {
    /// The client.
    pub client: Client,
    /// Digests of secrets that are valid now: one, or two while one replaces the other.
    pub secrets: Vec<Digest>,
}

/// A row of `client`.
struct ClientRow {
    client_id: String,
    roles: Vec<String>,
    scopes: Vec<String>,
    tenant: String,
    created_at: DateTime<Utc>,
    disabled_at: Option<DateTime<Utc>>,
}

impl From<ClientRow> for Client {
    fn from(row: ClientRow) -> Self {
        Self {
            id: row.client_id,
            rights: Rights {
                roles: row.roles,
                scopes: row.scopes,
                tenant: row.tenant,
            },
            created_at: row.created_at,
            disabled_at: row.disabled_at,
        }
    }
}

/// Creates a client with its first secret.
///
/// # Errors
/// [`Error::ClientExists`].
pub async fn create_client(
    pool: &PgPool,
    id: &str,
    rights: &Rights,
    secret: Digest,
) -> Result<Client, Error> {
    let mut tx = pool.begin().await?;
    let row = sqlx::query_as!(
        ClientRow,
        "INSERT INTO client (client_id, roles, scopes, tenant) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING
         RETURNING client_id, roles, scopes, tenant, created_at, disabled_at",
        id,
        &rights.roles,
        &rights.scopes,
        &rights.tenant
    )
    .fetch_optional(&mut *tx)
    .await?;
    let row = row.ok_or_else(|| Error::ClientExists(id.to_owned()))?;
    add_secret(&mut tx, id, secret).await?;
    tx.commit().await?;
    Ok(row.into())
}

/// Returns a client with its valid secrets.
pub async fn client(pool: &PgPool, id: &str) -> Result<Option<KnownClient>, Error> {
    let mut connection = pool.acquire().await?;
    let row = sqlx::query_as!(
        ClientRow,
        "SELECT client_id, roles, scopes, tenant, created_at, disabled_at FROM client
         WHERE client_id = $1",
        id
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let digests = sqlx::query_scalar!(
        "SELECT digest FROM client_secret
         WHERE client_id = $1 AND (expires_at IS NULL OR expires_at > now())",
        id
    )
    .fetch_all(&mut *connection)
    .await?;
    let digests = digests.iter().map(|bytes| Digest::from_bytes(bytes));
    let secrets: Option<_> = digests.collect();
    Ok(Some(KnownClient {
        client: row.into(),
        secrets: secrets.ok_or(Error::Corrupt("client_secret"))?,
    }))
}

/// Returns up to `limit` clients that come after an ID, ordered by ID.
pub async fn clients(pool: &PgPool, after: &str, limit: i64) -> Result<Vec<Client>, Error> {
    let rows = sqlx::query_as!(
        ClientRow,
        r#"SELECT client_id, roles, scopes, tenant, created_at, disabled_at FROM client
           WHERE client_id COLLATE "C" > $1 ORDER BY client_id COLLATE "C" LIMIT $2"#,
        after,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Disables a client, and revokes what it has got until now.
///
/// # Errors
/// [`Error::UnknownClient`].
pub async fn disable_client(pool: &PgPool, id: &str, validity: Validity) -> Result<Client, Error> {
    let mut tx = pool.begin().await?;
    let row = sqlx::query_as!(
        ClientRow,
        "UPDATE client SET disabled_at = coalesce(disabled_at, now()) WHERE client_id = $1
         RETURNING client_id, roles, scopes, tenant, created_at, disabled_at",
        id
    )
    .fetch_optional(&mut *tx)
    .await?;
    let client: Client = row
        .ok_or_else(|| Error::UnknownClient(id.to_owned()))?
        .into();
    let since = client.disabled_at.unwrap_or(validity.now);
    let revoked = Revoked::subject(id.to_owned(), since);
    revoke_in(&mut tx, &revoked, validity).await?;
    tx.commit().await?;
    Ok(client)
}

/// Makes another secret the current one. The one before it ends at `ends_at`, older ones at
/// once.
///
/// # Errors
/// [`Error::UnknownClient`], [`Error::ClientDisabled`].
pub async fn rotate_secret(
    pool: &PgPool,
    id: &str,
    secret: Digest,
    ends_at: DateTime<Utc>,
) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    let row = sqlx::query_scalar!(
        "SELECT disabled_at FROM client WHERE client_id = $1 FOR UPDATE",
        id
    )
    .fetch_optional(&mut *tx)
    .await?;
    match row {
        None => return Err(Error::UnknownClient(id.to_owned())),
        Some(Some(_)) => return Err(Error::ClientDisabled(id.to_owned())),
        Some(None) => {}
    }
    sqlx::query!(
        "DELETE FROM client_secret WHERE client_id = $1 AND expires_at IS NOT NULL",
        id
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE client_secret SET expires_at = $2 WHERE client_id = $1",
        id,
        ends_at
    )
    .execute(&mut *tx)
    .await?;
    add_secret(&mut tx, id, secret).await?;
    tx.commit().await?;
    Ok(())
}

async fn add_secret(tx: &mut PgConnection, id: &str, secret: Digest) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO client_secret (client_id, digest) VALUES ($1, $2)",
        id,
        secret.as_bytes()
    )
    .execute(tx)
    .await?;
    Ok(())
}
