//! Rate limits: a request is charged to each limit of its method (`mesh.v1.rate_limit`).

use std::net::IpAddr;
use std::time::Duration;

use ::quota::{Limit, Limiter, Notice, Outcome};
use auth::Identity;
use chassis::error::Fault;
use contract::CountedBy;
use prost::Message as _;
use tonic_types::{QuotaFailure, pb};

use super::stage::RequestInfo;
use crate::failure::Failure;

/// Pause that a caller is told while limits can't be counted.
const AWAY_PAUSE: Duration = Duration::from_secs(1);

/// Charges a request to the limits of its method. What it has taken of the ones before is put back
/// if one refuses.
pub(super) async fn charge(
    limiter: &Limiter,
    limits: &[Limit],
    request: &RequestInfo<'_>,
    notice: &mut Notice,
) -> Result<(), Failure> {
    for (index, limit) in limits.iter().enumerate() {
        let subject = subject(limit.by, request);
        let outcome = limiter.charge(limit, &subject, limit.cost).await;
        let fault = match outcome {
            Outcome::Admitted(standing) => {
                notice.add(limit, &standing);
                continue;
            }
            Outcome::Refused(standing, wait) => {
                notice.add(limit, &standing);
                refusal(limit, wait)
            }
            Outcome::Unavailable => {
                let message = format!("the limit `{}` can't be counted now", limit.name);
                let fault = Fault::unavailable("RATE_LIMIT_UNAVAILABLE", message);
                fault.retry_after(AWAY_PAUSE)
            }
        };
        for limit in &limits[..index] {
            limiter.refund(limit, &self::subject(limit.by, request), limit.cost);
        }
        return Err(fault.into());
    }
    Ok(())
}

fn refusal(limit: &Limit, wait: Option<Duration>) -> Fault {
    let message = format!("a limit is used up: {}", limit.describe());
    let failure = pb::QuotaFailure {
        violations: vec![pb::quota_failure::Violation {
            // Who is counted, and no name of a caller: others may read the error.
            subject: limit.by.name().to_owned(),
            description: limit.describe(),
            ..Default::default()
        }],
    };
    let fault = Fault::resource_exhausted("RATE_LIMITED", message)
        .metadata("limit", &*limit.name)
        .foreign(QuotaFailure::TYPE_URL, failure.encode_to_vec());
    match wait {
        // A header has whole seconds; the details have the same.
        Some(wait) => {
            fault.retry_after(Duration::from_secs(wait.as_millis().div_ceil(1000) as u64))
        }
        None => fault,
    }
}

/// Returns who is counted, so that no two kinds of callers have the same text.
fn subject(by: CountedBy, request: &RequestInfo<'_>) -> String {
    let address = || match request
        .client_address()
        .map(|address| address.to_canonical())
    {
        // One customer has a /64 of IPv6, and any address in it.
        Some(IpAddr::V6(address)) => format!("a:{:x}/64", address.to_bits() >> 64),
        Some(IpAddr::V4(address)) => format!("a:{address}"),
        None => "a:".to_owned(),
    };
    let identity = request.identity();
    let caller = || identity.map_or_else(address, |identity| format!("i:{}", identity.key()));
    let of_tenant = |identity: &Identity| {
        let tenant = identity.tenant.as_deref()?;
        let issuer = &identity.issuer;
        Some(format!("t:{}:{issuer}{tenant}", issuer.len()))
    };
    let of_credential = |identity: &Identity| {
        let credential = identity.credential_id.as_deref()?;
        let issuer = &identity.issuer;
        Some(format!("c:{}:{issuer}{credential}", issuer.len()))
    };
    match by {
        CountedBy::Method => String::new(),
        CountedBy::Address => address(),
        CountedBy::Caller => caller(),
        CountedBy::Tenant => identity.and_then(|it| of_tenant(it)).unwrap_or_else(caller),
        CountedBy::Credential => identity
            .and_then(|it| of_credential(it))
            .unwrap_or_else(caller),
    }
}
