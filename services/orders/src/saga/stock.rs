//! Calls to inventory, each for a whole batch.

use ::saga::Answer;
use protos::inventory::v1::{
    BatchCreateReservationsRequest, BatchReleaseReservationsRequest, BatchReturnStockRequest,
    BatchShipReservationsRequest, CreateReservationRequest, ReleaseReservationRequest, Reservation,
    ReservationResult, ReservationState, ReturnStockRequest, ReturnStockResult,
    ShipReservationRequest, StockLine, reservation_result::Result as Of,
    return_stock_result::Result as OfReturn,
};
use tonic::Status;

use super::{Peers, answers, failed, not_created, unset};
use crate::model::State;

/// Most lines in one call; inventory takes 10,000, and one order may have 5,000.
const CALL_LINES: usize = 5_000;

impl Peers {
    pub(super) async fn reserve(
        &self,
        requests: Vec<CreateReservationRequest>,
    ) -> Result<Vec<Answer>, Status> {
        let mut all = Vec::new();
        for requests in calls(requests, |request| &request.lines) {
            let request = self.request(BatchCreateReservationsRequest { requests });
            let mut inventory = self.inventory.clone();
            let response = inventory.batch_create_reservations(request).await?;
            all.extend(answers(response.into_inner().results, reserved));
        }
        Ok(all)
    }

    pub(super) async fn ship(&self, ids: Vec<String>) -> Result<Vec<Answer>, Status> {
        let requests = ids
            .into_iter()
            .map(|reservation_id| ShipReservationRequest { reservation_id })
            .collect();
        let request = self.request(BatchShipReservationsRequest { requests });
        let mut inventory = self.inventory.clone();
        let response = inventory.batch_ship_reservations(request).await?;
        Ok(answers(response.into_inner().results, moved))
    }

    pub(super) async fn release(&self, ids: Vec<String>) -> Result<Vec<Answer>, Status> {
        let requests = ids
            .into_iter()
            .map(|reservation_id| ReleaseReservationRequest { reservation_id })
            .collect();
        let request = self.request(BatchReleaseReservationsRequest { requests });
        let mut inventory = self.inventory.clone();
        let response = inventory.batch_release_reservations(request).await?;
        Ok(answers(response.into_inner().results, moved))
    }

    pub(super) async fn restock(
        &self,
        requests: Vec<ReturnStockRequest>,
    ) -> Result<Vec<Answer>, Status> {
        let recorded = |result: ReturnStockResult| match result.result {
            Some(OfReturn::Recorded(_)) => Answer::Done,
            Some(OfReturn::Error(error)) => failed(error),
            None => unset(),
        };
        let mut all = Vec::new();
        for requests in calls(requests, |request| &request.lines) {
            let request = self.request(BatchReturnStockRequest { requests });
            let mut inventory = self.inventory.clone();
            let response = inventory.batch_return_stock(request).await?;
            all.extend(answers(response.into_inner().results, recorded));
        }
        Ok(all)
    }
}

fn reserved(result: ReservationResult) -> Answer {
    let reservation: Reservation = match result.result {
        Some(Of::Reservation(reservation)) => reservation,
        Some(Of::Error(error)) => return not_created(error),
        None => return unset(),
    };
    match reservation.state() {
        ReservationState::Reserved | ReservationState::Shipped => Answer::Done,
        ReservationState::Refused => {
            let end = State::OutOfStock.to_string();
            Answer::refused(end.clone(), end)
        }
        state => Answer::failed(state.as_str_name()),
    }
}

fn moved(result: ReservationResult) -> Answer {
    match result.result {
        Some(Of::Reservation(_)) => Answer::Done,
        Some(Of::Error(error)) => failed(error),
        None => unset(),
    }
}

/// Cuts a batch into calls of at most [`CALL_LINES`] lines, or of one request. An error of one call
/// is the error of all: those that were answered are repeated with the same effect.
fn calls<T>(requests: Vec<T>, lines: impl Fn(&T) -> &[StockLine]) -> Vec<Vec<T>> {
    let mut calls: Vec<Vec<T>> = Vec::new();
    let mut total = 0;
    for request in requests {
        let count = lines(&request).len();
        total += count;
        match calls.last_mut() {
            Some(call) if total <= CALL_LINES => call.push(request),
            _ => {
                total = count;
                calls.push(vec![request]);
            }
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_carry_a_bounded_number_of_lines_in_order() {
        let request = |lines| vec![StockLine::default(); lines];
        let requests = vec![request(4_999), request(1), request(1), request(5_000)];
        let calls = calls(requests, |request| request);
        let sizes: Vec<Vec<usize>> = calls
            .iter()
            .map(|call| call.iter().map(Vec::len).collect())
            .collect();
        assert_eq!(sizes, [vec![4_999, 1], vec![1], vec![5_000]]);
    }
}
