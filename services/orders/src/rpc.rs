//! The methods of the contract: decode, call model or store, encode.

use std::time::Duration;

use ::saga::Handle;
use chassis::{changes::Watchers, deadline, page};
use eventsourcing::Behind;
use futures::{StreamExt, future::BoxFuture, stream::BoxStream};
use protos::orders::v1::{
    self as pb, CancelOrderRequest, CancelOrderResponse, GetOrderRequest, GetOrderResponse,
    ListOrderHistoryRequest, ListOrderHistoryResponse, ListOrdersRequest, ListOrdersResponse,
    OrderState, PlaceOrderRequest, PlaceOrderResponse, SummarizeOrdersRequest,
    SummarizeOrdersResponse, WatchOrderRequest, WatchOrderResponse,
    orders_service_server::OrdersService,
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    convert,
    error::Error,
    model::{NewOrder, Order},
    store::{history, orders, returns},
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
    /// The runner of the orders' history.
    pub history: eventsourcing::Handle,
    /// Longest wait for the history.
    pub history_patience: Duration,
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
        Ok(Response::new(PlaceOrderResponse {
            order: Some(self.changed(placed.order_id).await?),
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
        Ok(Response::new(CancelOrderResponse {
            order: Some(self.changed(order_id).await?),
        }))
    }

    async fn list_order_history(
        &self,
        request: Request<ListOrderHistoryRequest>,
    ) -> Result<Response<ListOrderHistoryResponse>, Status> {
        let request = request.into_inner();
        let order_id = convert::order_id(&request.order_id)?;
        let page = page::Page::new(request.page_size);
        let after = page::number(&request.page_token)?.unwrap_or(0);
        if let Some(sequence) = convert::history_token(&request.history_token)? {
            self.wait_for_history(sequence).await?;
        }
        let rows = history::list(&self.pool, order_id, after, page.limit()).await?;
        let (rows, next_page_token) = page.cut(rows, |row| row.version.to_string());
        Ok(Response::new(ListOrderHistoryResponse {
            changes: rows.into_iter().map(Into::into).collect(),
            next_page_token,
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

impl Orders {
    /// Returns an order after a change, with the token of its latest change.
    async fn changed(&self, order_id: Uuid) -> Result<pb::Order, Error> {
        let order = orders::get(&self.pool, order_id).await?;
        let sequence = history::latest(&self.pool, order_id).await?;
        Ok(convert::changed_order(order, sequence))
    }

    /// Waits until the history has the change of the caller, no longer than the call may last.
    async fn wait_for_history(&self, sequence: i64) -> Result<(), Error> {
        // The rest of the deadline is left for the answer, which says why.
        let remaining = deadline::remaining().map(|remaining| remaining.mul_f32(0.9));
        let patience = remaining.map_or(self.history_patience, |remaining| {
            remaining.min(self.history_patience)
        });
        let reached = self.history.reached(&self.pool, sequence, patience).await?;
        reached.map_err(|behind| match behind {
            Behind::Late { .. } => Error::HistoryBehind,
            Behind::Unknown(_) => Error::UnknownToken,
        })
    }
}
