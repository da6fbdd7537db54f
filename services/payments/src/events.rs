//! Facts of shipping that payments acts on: a failed parcel is refunded.

use events::Consumer;
use protos::shipping::v1::ParcelFailed;
use sqlx::PgConnection;

use crate::{
    convert::local_time,
    error::Error,
    model::{Action, Command, Policy, Refund},
    store,
};

/// Refunds what was paid for failed parcels. A parcel belongs to the payment with its order's id.
pub fn consumer(policy: Policy) -> Consumer {
    let consumer = Consumer::new("payments.parcels", "shipping", "parcel");
    consumer.on_batch::<ParcelFailed>(move |tx, facts| {
        let policy = policy.clone();
        Box::pin(async move { Ok(refund(tx, facts, &policy).await?) })
    })
}

async fn refund(
    tx: &mut PgConnection,
    facts: Vec<ParcelFailed>,
    policy: &Policy,
) -> Result<(), Error> {
    let commands: Vec<_> = facts.into_iter().map(command).collect::<Result<_, _>>()?;
    let results = store::execute_in(tx, &commands, policy).await?;
    let results = results.ok_or(Error::Contended)?;
    results.into_iter().try_for_each(|result| result.map(drop))
}

fn command(fact: ParcelFailed) -> Result<Command, Error> {
    let refund = Refund {
        refund_id: format!("{}/parcel", fact.order_id),
        amount_minor: fact.total_minor,
        effective_at: local_time("placedAt", &fact.placed_at)?,
    };
    Ok(Command {
        payment_id: fact.order_id,
        action: Action::Refund(refund),
    })
}
