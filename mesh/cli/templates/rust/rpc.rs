//! The methods of the contract: decode, decide, store, encode.

use protomesh::futures::{future::BoxFuture, stream::BoxStream};
use protomesh::tonic::{self, Request, Response, Status};
use protomesh::{changes::Watchers, events::Bus, sqlx::PgPool};

use crate::protos::{{name}}::v1::{{name}}_service_server::{{Name}}Service;
use crate::protos::{{name}}::v1::*;
use crate::{model, store};

/// The service on its own database.
pub struct {{Name}} {
    pub(crate) pool: PgPool,
    pub(crate) bus: Bus,
    pub(crate) watchers: Watchers,
}

#[tonic::async_trait]
impl {{Name}}Service for {{Name}} {
    async fn create_item(
        &self,
        request: Request<CreateItemRequest>,
    ) -> Result<Response<CreateItemResponse>, Status> {
        let item = model::item(request.into_inner())?;
        store::create(&self.pool, &item).await?;
        self.bus.wake().await;
        Ok(Response::new(CreateItemResponse { item: Some(item) }))
    }

    async fn get_item(
        &self,
        request: Request<GetItemRequest>,
    ) -> Result<Response<GetItemResponse>, Status> {
        let item = store::item(&self.pool, &request.into_inner().item_id).await?;
        Ok(Response::new(GetItemResponse { item: Some(item) }))
    }

    type WatchTotalsStream = BoxStream<'static, Result<WatchTotalsResponse, Status>>;

    async fn watch_totals(
        &self,
        _: Request<WatchTotalsRequest>,
    ) -> Result<Response<Self::WatchTotalsStream>, Status> {
        let first = store::totals(&self.pool).await?;
        let pool = self.pool.clone();
        let look = move |last| -> BoxFuture<'static, _> {
            let pool = pool.clone();
            Box::pin(async move {
                let now = store::totals(&pool).await?;
                Ok((now != last).then_some(now))
            })
        };
        Ok(Response::new(self.watchers.watch(first, |_| false, Box::new(look))?))
    }
}
