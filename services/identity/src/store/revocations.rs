//! Revocations.

use chrono::{DateTime, Duration, Utc};
use sqlx::{PgConnection, PgPool};

use crate::error::Error;
use crate::model::{Revocation, Revoked};

/// Most revocations in effect; gateways read at most 100,000.
const MAX: i64 = 90_000;

/// The time, and how long tokens are valid.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    /// The time of the call.
    pub now: DateTime<Utc>,
    /// How long a token is valid.
    pub token_life: Duration,
}

/// A row of `revocation`.
struct RevocationRow {
    revocation_id: i64,
    credential_id: Option<String>,
    subject: Option<String>,
    issued_before: Option<DateTime<Utc>>,
    expires_at: DateTime<Utc>,
}

impl TryFrom<RevocationRow> for Revocation {
    type Error = Error;

    fn try_from(row: RevocationRow) -> Result<Self, Error> {
        let revoked = match (row.credential_id, row.subject, row.issued_before) {
            (Some(id), None, None) => Revoked::Credential(id),
            (None, Some(subject), Some(before)) => Revoked::Subject(subject, before),
            _ => return Err(Error::Corrupt("revocation")),
        };
        Ok(Self {
            id: row.revocation_id,
            revoked,
            expires_at: row.expires_at,
        })
    }
}

/// Revokes credentials.
///
/// # Errors
/// [`Error::TooManyRevocations`].
pub async fn revoke(
    pool: &PgPool,
    revoked: &Revoked,
    validity: Validity,
) -> Result<Revocation, Error> {
    let mut tx = pool.begin().await?;
    let revocation = revoke_in(&mut tx, revoked, validity).await?;
    tx.commit().await?;
    Ok(revocation)
}

/// The ID of a credential or a subject, the time up to which the subject's are revoked, the end.
type Values<'a> = (
    Option<&'a str>,
    Option<&'a str>,
    Option<DateTime<Utc>>,
    DateTime<Utc>,
);

/// Revokes credentials in the caller's transaction. API keys of a subject, which may live longer
/// than the revocation, are revoked themselves.
pub(super) async fn revoke_in(
    tx: &mut PgConnection,
    revoked: &Revoked,
    validity: Validity,
) -> Result<Revocation, Error> {
    let expires_at = revoked.expires_at(validity.now, validity.token_life);
    let (credential_id, subject, before) = match revoked {
        Revoked::Credential(id) => (Some(id.as_str()), None, None),
        Revoked::Subject(subject, before) => (None, Some(subject.as_str()), Some(*before)),
    };
    if let (Some(subject), Some(before)) = (subject, before) {
        sqlx::query!(
            "UPDATE api_key SET revoked_at = now()
             WHERE subject = $1 AND created_at < $2 AND revoked_at IS NULL",
            subject,
            before
        )
        .execute(&mut *tx)
        .await?;
    }
    let values = (credential_id, subject, before, expires_at);
    if let Some(row) = extend(tx, values).await? {
        return row.try_into();
    }
    // Two calls at once may pass the bound by one each, which gateways have room for.
    let row = sqlx::query_as!(
        RevocationRow,
        "INSERT INTO revocation (credential_id, subject, issued_before, expires_at)
         SELECT $1, $2, $3, $4
         WHERE (SELECT count(*) FROM revocation WHERE expires_at > now()) < $5
         ON CONFLICT DO NOTHING
         RETURNING revocation_id, credential_id, subject, issued_before, expires_at",
        credential_id,
        subject,
        before,
        expires_at,
        MAX
    )
    .fetch_optional(&mut *tx)
    .await?;
    let row = match row {
        Some(row) => Some(row),
        // A concurrent call may have been first.
        None => extend(tx, values).await?,
    };
    row.ok_or(Error::TooManyRevocations)?.try_into()
}

/// Extends the revocation of the same credential or subject, if there is one.
async fn extend(
    tx: &mut PgConnection,
    (credential_id, subject, before, expires_at): Values<'_>,
) -> Result<Option<RevocationRow>, Error> {
    let row = sqlx::query_as!(
        RevocationRow,
        "UPDATE revocation SET issued_before = greatest(issued_before, $3),
                               expires_at = greatest(expires_at, $4)
         WHERE credential_id = $1 OR subject = $2
         RETURNING revocation_id, credential_id, subject, issued_before, expires_at",
        credential_id,
        subject,
        before,
        expires_at
    )
    .fetch_optional(tx)
    .await?;
    Ok(row)
}

/// Returns up to `limit` revocations in effect that come after a number, in order.
pub async fn revocations(pool: &PgPool, after: i64, limit: i64) -> Result<Vec<Revocation>, Error> {
    let rows = sqlx::query_as!(
        RevocationRow,
        "SELECT revocation_id, credential_id, subject, issued_before, expires_at FROM revocation
         WHERE revocation_id > $1 AND expires_at > now() ORDER BY revocation_id LIMIT $2",
        after,
        limit
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Returns all revocations in effect.
pub async fn revocation_list(pool: &PgPool) -> Result<Vec<Revocation>, Error> {
    revocations(pool, 0, 2 * MAX).await
}

/// Returns whether a token is revoked.
pub async fn is_revoked(
    pool: &PgPool,
    token_id: &str,
    subject: &str,
    issued_at: DateTime<Utc>,
) -> Result<bool, Error> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM revocation
                          WHERE credential_id = $1 OR (subject = $2 AND issued_before > $3)) AS "found!""#,
        token_id,
        subject,
        issued_at
    )
    .fetch_one(pool)
    .await?;
    Ok(found)
}

/// Forgets the revocations that affect no valid credential.
pub async fn forget_expired(pool: &PgPool) -> Result<(), Error> {
    sqlx::query!("DELETE FROM revocation WHERE expires_at < now()")
        .execute(pool)
        .await?;
    sqlx::query!("DELETE FROM client_secret WHERE expires_at < now()")
        .execute(pool)
        .await?;
    Ok(())
}
