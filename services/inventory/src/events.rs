//! Facts of shipping that move reserved pieces.

use events::Consumer;
use protos::shipping::v1::{ParcelFailed, ParcelShipped};

use crate::{error::Error, store};

/// Follows the parcels: shipped pieces leave the warehouse, those of a failed parcel are free
/// again. A parcel belongs to the reservation with its order's id.
pub fn consumer() -> Consumer {
    Consumer::new("inventory.parcels", "shipping", "parcel")
        .on_batch::<ParcelShipped>(|tx, facts| {
            Box::pin(async move {
                let ids: Vec<_> = facts.into_iter().map(|fact| fact.order_id).collect();
                Ok(applied(store::ship_in(tx, &ids).await?)?)
            })
        })
        .on_batch::<ParcelFailed>(|tx, facts| {
            Box::pin(async move {
                let ids: Vec<_> = facts.into_iter().map(|fact| fact.order_id).collect();
                Ok(applied(store::release_in(tx, &ids).await?)?)
            })
        })
}

fn applied<T>(results: Vec<Result<T, Error>>) -> Result<(), Error> {
    results.into_iter().try_for_each(|result| result.map(drop))
}
