//! The methods of the contract: decode, call model or store, encode.

use std::time::Duration;

use ::saga::Handle;
use chassis::{changes::Watchers, page};
use futures::{StreamExt, future::BoxFuture, stream::BoxStream};
use protos::orders::v1::{
    self as pb, CancelOrderRequest, CancelOrderResponse, GetOrderRequest, GetOrderResponse,
    ListOrdersRequest, ListOrdersResponse, OrderState, PlaceOrderRequest, PlaceOrderResponse,
    SummarizeOrdersRequest, SummarizeOrdersResponse, WatchOrderRequest, WatchOrderResponse,
    orders_service_server::OrdersService,
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use crate::{
    convert,
    error::Error,
    model::{NewOrder, Order},
    store::{orders, returns},
};

/// The orders service on its own database.
#[derive(Debug)]
pub struct Orders {
    /// The service's database.
    pub pool: PgPool,
    /// Time after which an order that is not confirmed and paid fails.
    pub saga_deadline: Duration,
    /// The runner of the orders' sagas.
    pub sagas: Handle,
    /// The streams of WatchOrder.
    pub watchers: Watchers,
}

#[tonic::async_trait]
impl OrdersService for Orders {
    async fn place_order(
        &self,
        request: Request<PlaceOrderRequest>,
    ) -> Result<Response<PlaceOrderResponse>, Status> {
        let order = NewOrder::try_from(request.into_inner())?;
        let mut tx = self.pool.begin().await.map_err(Error::from)?;
        let placed = orders::place(&mut tx, &[order], self.saga_deadline).await?;
        let placed = placed
            .into_iter()
            .next()
            .ok_or(Error::Corrupt("orders"))??;
        tx.commit().await.map_err(Error::from)?;
        self.sagas.wake();
        let order = orders::get(&self.pool, placed.order_id).await?;
        Ok(Response::new(PlaceOrderResponse {
            order: Some(order.into()),
        }))
    }

    async fn get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        let order = orders::get(
            &self.pool,
            convert::order_id(&request.into_inner().order_id)?,
        )
        .await?;
        Ok(Response::new(GetOrderResponse {
            order: Some(order.into()),
        }))
    }

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        let request = request.into_inner();
        let page = page::Page::new(request.page_size);
        let account = Some(request.account_id.as_str()).filter(|account| !account.is_empty());
        let state = convert::state_filter(request.state());
        let before = page::number(&request.page_token)?.unwrap_or(i64::MAX);
        let rows = orders::list(&self.pool, account, state, before, page.limit()).await?;
        let (rows, next_page_token) = page.cut(rows, |order| order.number.to_string());
        Ok(Response::new(ListOrdersResponse {
            orders: rows.into_iter().map(Into::into).collect(),
            next_page_token,
        }))
    }

    type WatchOrderStream = BoxStream<'static, Result<WatchOrderResponse, Status>>;

    async fn watch_order(
        &self,
        request: Request<WatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        let first = orders::get(
            &self.pool,
            convert::order_id(&request.into_inner().order_id)?,
        )
        .await?;
        let pool = self.pool.clone();
        let look = move |last: Order| -> BoxFuture<'static, _> {
            let pool = pool.clone();
            Box::pin(async move { Ok(orders::changed(&pool, last.order_id, last.version).await?) })
        };
        let orders = self
            .watchers
            .watch(first, |order| order.state.is_end(), Box::new(look))?;
        let messages = orders.map(|order| {
            Ok(WatchOrderResponse {
                order: Some(order?.into()),
            })
        });
        Ok(Response::new(messages.boxed()))
    }

    async fn cancel_order(
        &self,
        request: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        let order_id = convert::order_id(&request.into_inner().order_id)?;
        orders::request_cancel(&self.pool, order_id).await?;
        let order = orders::get(&self.pool, order_id).await?;
        Ok(Response::new(CancelOrderResponse {
            order: Some(order.into()),
        }))
    }

    async fn summarize_orders(
        &self,
        _: Request<SummarizeOrdersRequest>,
    ) -> Result<Response<SummarizeOrdersResponse>, Status> {
        let (return_invoices, return_rows) = returns::count(&self.pool).await?;
        let counts = orders::count(&self.pool).await?.into_iter();
        Ok(Response::new(SummarizeOrdersResponse {
            orders: counts
                .map(|(state, orders)| pb::OrderCount {
                    state: OrderState::from(state).into(),
                    orders,
                })
                .collect(),
            return_invoices,
            return_rows,
        }))
    }
}
