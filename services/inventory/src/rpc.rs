//! The methods of the contract: decode, call model or store, encode.

use protos::inventory::v1::{
    BatchCreateReservationsRequest, BatchCreateReservationsResponse,
    BatchReleaseReservationsRequest, BatchReleaseReservationsResponse, BatchReturnStockRequest,
    BatchReturnStockResponse, BatchShipReservationsRequest, BatchShipReservationsResponse,
    CountStockRequest, CountStockResponse, CreateReservationRequest, CreateReservationResponse,
    GetReservationRequest, GetReservationResponse, GetStockRequest, GetStockResponse,
    ListStockRequest, ListStockResponse, ReleaseReservationRequest, ReleaseReservationResponse,
    ReturnStockRequest, ReturnStockResponse, ShipReservationRequest, ShipReservationResponse,
    SummarizeStockRequest, SummarizeStockResponse, inventory_service_server::InventoryService,
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use crate::{convert, store};

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
            .map(Into::into)
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
            stock: Some(stock.into()),
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
            stock: rows.into_iter().map(Into::into).collect(),
            next_page_token,
        }))
    }

    async fn summarize_stock(
        &self,
        _: Request<SummarizeStockRequest>,
    ) -> Result<Response<SummarizeStockResponse>, Status> {
        let totals = store::totals(&self.pool).await?;
        Ok(Response::new(totals.into()))
    }

    async fn create_reservation(
        &self,
        request: Request<CreateReservationRequest>,
    ) -> Result<Response<CreateReservationResponse>, Status> {
        let request = request.into_inner();
        let lines = convert::lines(request.lines)?;
        let asked = [(request.reservation_id, lines)];
        let reservation = only(store::reserve(&self.pool, &asked).await?)?;
        Ok(Response::new(CreateReservationResponse {
            reservation: Some(reservation.into()),
        }))
    }

    async fn get_reservation(
        &self,
        request: Request<GetReservationRequest>,
    ) -> Result<Response<GetReservationResponse>, Status> {
        let reservation =
            store::reservation(&self.pool, &request.into_inner().reservation_id).await?;
        Ok(Response::new(GetReservationResponse {
            reservation: Some(reservation.into()),
        }))
    }

    async fn release_reservation(
        &self,
        request: Request<ReleaseReservationRequest>,
    ) -> Result<Response<ReleaseReservationResponse>, Status> {
        let ids = [request.into_inner().reservation_id];
        let reservation = only(store::release(&self.pool, &ids).await?)?;
        Ok(Response::new(ReleaseReservationResponse {
            reservation: Some(reservation.into()),
        }))
    }

    async fn ship_reservation(
        &self,
        request: Request<ShipReservationRequest>,
    ) -> Result<Response<ShipReservationResponse>, Status> {
        let ids = [request.into_inner().reservation_id];
        let reservation = only(store::ship(&self.pool, &ids).await?)?;
        Ok(Response::new(ShipReservationResponse {
            reservation: Some(reservation.into()),
        }))
    }

    async fn return_stock(
        &self,
        request: Request<ReturnStockRequest>,
    ) -> Result<Response<ReturnStockResponse>, Status> {
        let request = request.into_inner();
        let lines = convert::lines(request.lines)?;
        let asked = [(request.return_id, lines)];
        let recorded = only(store::take_back(&self.pool, &asked).await?)?;
        Ok(Response::new(ReturnStockResponse { recorded }))
    }

    async fn batch_create_reservations(
        &self,
        request: Request<BatchCreateReservationsRequest>,
    ) -> Result<Response<BatchCreateReservationsResponse>, Status> {
        let requests = request.into_inner().requests.into_iter();
        let asked = convert::batch(requests.map(|one| (one.reservation_id, one.lines)))?;
        let results = store::reserve(&self.pool, &asked).await?.into_iter();
        Ok(Response::new(BatchCreateReservationsResponse {
            results: results.map(convert::reservation_result).collect(),
        }))
    }

    async fn batch_release_reservations(
        &self,
        request: Request<BatchReleaseReservationsRequest>,
    ) -> Result<Response<BatchReleaseReservationsResponse>, Status> {
        let requests = request.into_inner().requests.into_iter();
        let ids: Vec<_> = requests.map(|one| one.reservation_id).collect();
        let results = store::release(&self.pool, &ids).await?.into_iter();
        Ok(Response::new(BatchReleaseReservationsResponse {
            results: results.map(convert::reservation_result).collect(),
        }))
    }

    async fn batch_ship_reservations(
        &self,
        request: Request<BatchShipReservationsRequest>,
    ) -> Result<Response<BatchShipReservationsResponse>, Status> {
        let requests = request.into_inner().requests.into_iter();
        let ids: Vec<_> = requests.map(|one| one.reservation_id).collect();
        let results = store::ship(&self.pool, &ids).await?.into_iter();
        Ok(Response::new(BatchShipReservationsResponse {
            results: results.map(convert::reservation_result).collect(),
        }))
    }

    async fn batch_return_stock(
        &self,
        request: Request<BatchReturnStockRequest>,
    ) -> Result<Response<BatchReturnStockResponse>, Status> {
        let requests = request.into_inner().requests.into_iter();
        let asked = convert::batch(requests.map(|one| (one.return_id, one.lines)))?;
        let results = store::take_back(&self.pool, &asked).await?.into_iter();
        Ok(Response::new(BatchReturnStockResponse {
            results: results.map(convert::return_result).collect(),
        }))
    }
}

/// Returns the result of a batch of one.
fn only<T>(mut results: Vec<T>) -> T {
    results.swap_remove(0)
}
