//! The methods of the contract: decode, call the store, encode.

use protos::shipping::v1::{
    GetParcelRequest, GetParcelResponse, SummarizeParcelsRequest, SummarizeParcelsResponse,
    shipping_service_server::ShippingService,
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use crate::{convert, store};

/// The shipping service on its own database.
#[derive(Debug)]
pub struct Shipping {
    /// The service's database.
    pub pool: PgPool,
}

#[tonic::async_trait]
impl ShippingService for Shipping {
    async fn get_parcel(
        &self,
        request: Request<GetParcelRequest>,
    ) -> Result<Response<GetParcelResponse>, Status> {
        let order_id = convert::order_id(&request.into_inner().order_id)?;
        let parcel = store::parcel(&self.pool, order_id).await?;
        Ok(Response::new(GetParcelResponse {
            parcel: Some(parcel.into()),
        }))
    }

    async fn summarize_parcels(
        &self,
        _: Request<SummarizeParcelsRequest>,
    ) -> Result<Response<SummarizeParcelsResponse>, Status> {
        let totals = store::totals(&self.pool).await?;
        Ok(Response::new(totals.into()))
    }
}
