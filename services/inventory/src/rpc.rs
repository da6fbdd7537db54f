//! The methods of the contract: decode, call model or store, encode.

use protos::inventory::v1::{
    self as pb, CountStockRequest, CountStockResponse, CreateReservationRequest,
    CreateReservationResponse, GetReservationRequest, GetReservationResponse, GetStockRequest,
    GetStockResponse, ListStockRequest, ListStockResponse, ReleaseReservationRequest,
    ReleaseReservationResponse, ReturnStockRequest, ReturnStockResponse, ShipReservationRequest,
    ShipReservationResponse, SummarizeStockRequest, SummarizeStockResponse,
    inventory_service_server::InventoryService,
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use crate::{
    error::Error,
    model::{self, Pieces, State},
    store,
};

/// The inventory service on its own database.
#[derive(Debug)]
pub struct Inventory {
    /// The service's database.
    pub pool: PgPool,
}

#[tonic::async_trait]
impl InventoryService for Inventory {
    async fn count_stock(
        &self,
        request: Request<CountStockRequest>,
    ) -> Result<Response<CountStockResponse>, Status> {
        let counts: Vec<_> = request
            .into_inner()
            .counts
            .into_iter()
            .map(count_from_proto)
            .collect();
        let total = counts.len();
        let recorded = store::count(&self.pool, counts).await?;
        Ok(Response::new(CountStockResponse {
            recorded: recorded as i64,
            repeated_counts: (total - recorded) as i64,
        }))
    }

    async fn get_stock(
        &self,
        request: Request<GetStockRequest>,
    ) -> Result<Response<GetStockResponse>, Status> {
        let stock = store::stock(&self.pool, &request.into_inner().sku).await?;
        Ok(Response::new(GetStockResponse {
            stock: Some(stock_to_proto(stock)),
        }))
    }

    async fn list_stock(
        &self,
        request: Request<ListStockRequest>,
    ) -> Result<Response<ListStockResponse>, Status> {
        let request = request.into_inner();
        let page = chassis::page::Page::new(request.page_size);
        let rows = store::list(&self.pool, &request.page_token, page.limit()).await?;
        let (rows, next_page_token) = page.cut(rows, |stock| stock.sku.clone());
        Ok(Response::new(ListStockResponse {
            stock: rows.into_iter().map(stock_to_proto).collect(),
            next_page_token,
        }))
    }

    async fn summarize_stock(
        &self,
        _: Request<SummarizeStockRequest>,
    ) -> Result<Response<SummarizeStockResponse>, Status> {
        let totals = store::totals(&self.pool).await?;
        Ok(Response::new(SummarizeStockResponse {
            counted: totals.counted,
            shipped: totals.shipped,
            returned: totals.returned,
            reserved: totals.reserved,
            on_hand: totals.on_hand,
        }))
    }

    async fn create_reservation(
        &self,
        request: Request<CreateReservationRequest>,
    ) -> Result<Response<CreateReservationResponse>, Status> {
        let request = request.into_inner();
        let lines = lines_from_proto(request.lines)?;
        let reservation = store::reserve(&self.pool, &request.reservation_id, lines).await?;
        Ok(Response::new(CreateReservationResponse {
            reservation: Some(reservation_to_proto(reservation)),
        }))
    }

    async fn get_reservation(
        &self,
        request: Request<GetReservationRequest>,
    ) -> Result<Response<GetReservationResponse>, Status> {
        let reservation =
            store::reservation(&self.pool, &request.into_inner().reservation_id).await?;
        Ok(Response::new(GetReservationResponse {
            reservation: Some(reservation_to_proto(reservation)),
        }))
    }

    async fn release_reservation(
        &self,
        request: Request<ReleaseReservationRequest>,
    ) -> Result<Response<ReleaseReservationResponse>, Status> {
        let reservation = store::release(&self.pool, &request.into_inner().reservation_id).await?;
        Ok(Response::new(ReleaseReservationResponse {
            reservation: Some(reservation_to_proto(reservation)),
        }))
    }

    async fn ship_reservation(
        &self,
        request: Request<ShipReservationRequest>,
    ) -> Result<Response<ShipReservationResponse>, Status> {
        let reservation = store::ship(&self.pool, &request.into_inner().reservation_id).await?;
        Ok(Response::new(ShipReservationResponse {
            reservation: Some(reservation_to_proto(reservation)),
        }))
    }

    async fn return_stock(
        &self,
        request: Request<ReturnStockRequest>,
    ) -> Result<Response<ReturnStockResponse>, Status> {
        let request = request.into_inner();
        let lines = lines_from_proto(request.lines)?;
        let recorded = store::take_back(&self.pool, &request.return_id, lines).await?;
        Ok(Response::new(ReturnStockResponse { recorded }))
    }
}

fn count_from_proto(count: pb::StockCount) -> store::Count {
    store::Count {
        sku: count.sku,
        request_id: count.request_id,
        quantity: count.quantity,
    }
}

fn lines_from_proto(lines: Vec<pb::StockLine>) -> Result<Pieces, Error> {
    model::add_up(lines.into_iter().map(|line| (line.sku, line.quantity))).ok_or(Error::TooMany)
}

fn stock_to_proto(stock: store::Stock) -> pb::Stock {
    pb::Stock {
        sku: stock.sku,
        on_hand: stock.on_hand,
        reserved: stock.reserved,
    }
}

fn reservation_to_proto(reservation: store::Reservation) -> pb::Reservation {
    let shortages = reservation.shortages.into_iter().map(|short| pb::Shortage {
        sku: short.sku,
        requested: short.requested,
        available: short.available,
    });
    let lines = reservation
        .lines
        .into_iter()
        .map(|(sku, quantity)| pb::StockLine { sku, quantity });
    pb::Reservation {
        reservation_id: reservation.id,
        state: state_to_proto(reservation.state).into(),
        lines: lines.collect(),
        shortages: shortages.collect(),
    }
}

fn state_to_proto(state: State) -> pb::ReservationState {
    match state {
        State::Reserved => pb::ReservationState::Reserved,
        State::Refused => pb::ReservationState::Refused,
        State::Released => pb::ReservationState::Released,
        State::Shipped => pb::ReservationState::Shipped,
    }
}
