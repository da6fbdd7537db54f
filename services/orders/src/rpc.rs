//! The methods of the contract: decode, call model or store, encode.

use chassis::{changes::Watchers, page, time};
use chrono::NaiveDateTime;
use futures::{StreamExt, future::BoxFuture, stream::BoxStream};
use protos::orders::v1::{
    self as pb, CancelOrderRequest, CancelOrderResponse, GetOrderRequest, GetOrderResponse,
    ListOrdersRequest, ListOrdersResponse, OrderState, PlaceOrderRequest, PlaceOrderResponse,
    SummarizeOrdersRequest, SummarizeOrdersResponse, WatchOrderRequest, WatchOrderResponse,
    orders_service_server::OrdersService,
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    error::Error,
    model::{Line, NewOrder, State},
    store::{
        orders::{self, Order},
        returns,
    },
};

/// The orders service on its own database.
#[derive(Debug)]
pub struct Orders {
    /// The service's database.
    pub pool: PgPool,
    /// Milliseconds after which an order that is not confirmed and paid fails.
    pub saga_deadline_ms: i64,
    /// The streams of WatchOrder.
    pub watchers: Watchers,
}

#[tonic::async_trait]
impl OrdersService for Orders {
    async fn place_order(
        &self,
        request: Request<PlaceOrderRequest>,
    ) -> Result<Response<PlaceOrderResponse>, Status> {
        let order = order_from_proto(request.into_inner())?;
        let mut tx = self.pool.begin().await.map_err(Error::from)?;
        let order_id = orders::place(&mut tx, &order, self.saga_deadline_ms).await?;
        tx.commit().await.map_err(Error::from)?;
        let order = orders::get(&self.pool, order_id).await?;
        Ok(Response::new(PlaceOrderResponse {
            order: Some(order_to_proto(order)),
        }))
    }

    async fn get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        let order = orders::get(&self.pool, order_id(&request.into_inner().order_id)?).await?;
        Ok(Response::new(GetOrderResponse {
            order: Some(order_to_proto(order)),
        }))
    }

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        let request = request.into_inner();
        let page = page::Page::new(request.page_size);
        let account = Some(request.account_id.as_str()).filter(|account| !account.is_empty());
        let state = state_from_proto(request.state());
        let before = page::number(&request.page_token)?.unwrap_or(i64::MAX);
        let rows = orders::list(&self.pool, account, state, before, page.limit()).await?;
        let (rows, next_page_token) = page.cut(rows, |order| order.number.to_string());
        Ok(Response::new(ListOrdersResponse {
            orders: rows.into_iter().map(order_to_proto).collect(),
            next_page_token,
        }))
    }

    type WatchOrderStream = BoxStream<'static, Result<WatchOrderResponse, Status>>;

    async fn watch_order(
        &self,
        request: Request<WatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        let first = orders::get(&self.pool, order_id(&request.into_inner().order_id)?).await?;
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
                order: Some(order_to_proto(order?)),
            })
        });
        Ok(Response::new(messages.boxed()))
    }

    async fn cancel_order(
        &self,
        request: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        let order_id = order_id(&request.into_inner().order_id)?;
        orders::request_cancel(&self.pool, order_id).await?;
        let order = orders::get(&self.pool, order_id).await?;
        Ok(Response::new(CancelOrderResponse {
            order: Some(order_to_proto(order)),
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
                    state: state_to_proto(state).into(),
                    orders,
                })
                .collect(),
            return_invoices,
            return_rows,
        }))
    }
}

/// Reads a local civil time that the contract's pattern has passed.
pub fn local_time(field: &'static str, value: &str) -> Result<NaiveDateTime, Error> {
    time::parse_local(value).ok_or_else(|| Error::NoLocalTime {
        field,
        value: value.to_owned(),
    })
}

/// Returns the contract's name of a state.
pub fn state_to_proto(state: State) -> OrderState {
    match state {
        State::Pending => OrderState::Pending,
        State::Confirmed => OrderState::Confirmed,
        State::Paid => OrderState::Paid,
        State::OutOfStock => OrderState::OutOfStock,
        State::PaymentDeclined => OrderState::PaymentDeclined,
        State::Cancelled => OrderState::Cancelled,
        State::Failed => OrderState::Failed,
    }
}

fn order_id(text: &str) -> Result<Uuid, Error> {
    text.parse().map_err(|_| Error::NoOrderId(text.to_owned()))
}

fn order_from_proto(request: PlaceOrderRequest) -> Result<NewOrder, Error> {
    Ok(NewOrder {
        placed_at: local_time("placedAt", &request.placed_at)?,
        request_id: request.request_id,
        account_id: request.account_id,
        currency_code: request.currency_code,
        lines: request.lines.into_iter().map(line_from_proto).collect(),
    })
}

fn line_from_proto(line: pb::OrderLine) -> Line {
    Line {
        sku: line.sku,
        description: line.description,
        quantity: line.quantity,
        unit_price_minor: line.unit_price_minor,
        charge: line.charge,
    }
}

fn order_to_proto(order: Order) -> pb::Order {
    pb::Order {
        order_id: order.order_id.to_string(),
        request_id: order.request_id,
        account_id: order.account_id,
        state: state_to_proto(order.state).into(),
        reason: order.reason,
        placed_at: time::format_local(order.placed_at),
        currency_code: order.currency_code,
        total_minor: order.total_minor,
        lines: order.lines.into_iter().map(line_to_proto).collect(),
    }
}

fn line_to_proto(line: Line) -> pb::OrderLine {
    pb::OrderLine {
        sku: line.sku,
        description: line.description,
        quantity: line.quantity,
        unit_price_minor: line.unit_price_minor,
        charge: line.charge,
    }
}

fn state_from_proto(state: OrderState) -> Option<State> {
    State::ALL
        .into_iter()
        .find(|&known| state_to_proto(known) == state)
}
