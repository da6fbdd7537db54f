//! Conversions between the contract and the model.

use chrono::{DateTime, Duration, Utc};
use prost_types::Timestamp;
use protos::identity::v1 as pb;

use crate::error::Error;
use crate::model::{ApiKey, Client, Revocation, Revoked, Rights, check_roles};

/// Overlap of two secrets by default.
const OVERLAP: Duration = Duration::days(1);

/// Reads rights that are to be granted.
///
/// # Errors
/// [`Error::ReservedRole`].
pub fn rights(roles: Vec<String>, scopes: Vec<String>, tenant: String) -> Result<Rights, Error> {
    check_roles(&roles).map_err(|role| Error::ReservedRole(role.to_owned()))?;
    Ok(Rights {
        roles,
        scopes,
        tenant,
    })
}

/// Reads the overlap of two secrets; the contract limits it.
pub fn overlap(asked: Option<prost_types::Duration>) -> Duration {
    asked.map_or(OVERLAP, |asked| Duration::seconds(asked.seconds))
}

/// Reads a time.
///
/// # Errors
/// [`Error::InvalidTime`] with the field.
pub fn time(field: &'static str, time: Timestamp) -> Result<DateTime<Utc>, Error> {
    let nanos = u32::try_from(time.nanos).ok();
    let read = nanos.and_then(|nanos| DateTime::from_timestamp(time.seconds, nanos));
    // The years that Postgres and RFC 3339 have in common.
    let is_usual = |time: &DateTime<Utc>| (0..253_402_300_800).contains(&time.timestamp());
    read.filter(is_usual).ok_or(Error::InvalidTime(field))
}

/// Writes a time.
pub fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp {
        seconds: time.timestamp(),
        nanos: time.timestamp_subsec_nanos() as i32,
    }
}

/// Reads the tokens that are revoked, at the time of the call by default.
///
/// # Errors
/// [`Error::InvalidTime`].
pub fn revoked(request: pb::RevokeTokensRequest, now: DateTime<Utc>) -> Result<Revoked, Error> {
    use pb::revoke_tokens_request::Tokens;

    let until = match request.issued_before {
        Some(before) => time("issuedBefore", before)?,
        None => now,
    };
    Ok(match request.tokens {
        Some(Tokens::Subject(subject)) => Revoked::subject(subject, until),
        Some(Tokens::TokenId(id)) => Revoked::Credential(id),
        // The contract requires one of both.
        None => Revoked::Credential(String::new()),
    })
}

impl From<Client> for pb::Client {
    fn from(client: Client) -> Self {
        Self {
            client_id: client.id,
            roles: client.rights.roles,
            scopes: client.rights.scopes,
            tenant: client.rights.tenant,
            create_time: Some(timestamp(client.created_at)),
            disable_time: client.disabled_at.map(timestamp),
        }
    }
}

impl From<ApiKey> for pb::ApiKey {
    fn from(key: ApiKey) -> Self {
        Self {
            key_id: key.id,
            subject: key.subject,
            roles: key.rights.roles,
            scopes: key.rights.scopes,
            tenant: key.rights.tenant,
            create_time: Some(timestamp(key.created_at)),
            expire_time: key.expires_at.map(timestamp),
            revoke_time: key.revoked_at.map(timestamp),
        }
    }
}

impl From<Revocation> for pb::Revocation {
    fn from(revocation: Revocation) -> Self {
        let mut message = Self {
            revocation_id: revocation.id,
            expire_time: Some(timestamp(revocation.expires_at)),
            ..Self::default()
        };
        match revocation.revoked {
            Revoked::Credential(id) => message.credential_id = id,
            Revoked::Subject(subject, before) => {
                message.subject = subject;
                message.issued_before = Some(timestamp(before));
            }
        }
        message
    }
}
