//! The steps of an order: each is one call or one local decision, then one transaction.

use chassis::time::format_local;
use protos::{
    inventory::v1::{
        CreateReservationRequest, ReleaseReservationRequest, ReservationState,
        ShipReservationRequest,
    },
    payments::v1::{
        AuthorizePaymentRequest, CapturePaymentRequest, PaymentState, RefundPaymentRequest,
        VoidPaymentRequest,
    },
};
use sqlx::PgConnection;
use tonic::Status;

use super::{Progress, Runner, is_final, reason};
use crate::{
    convert::{order_settled, stock_lines},
    error::Error,
    model::{
        Order, State,
        saga::{Answer, Step},
    },
    store::{
        orders,
        sagas::{self, Saga},
    },
};

impl Runner {
    /// Carries an order from its saga's step as far as it goes.
    pub(super) async fn carry_order(&self, saga: &mut Saga<Step>) -> Result<Progress, Error> {
        let order = orders::get(&self.pool, saga.saga_id).await?;
        loop {
            let step = saga.step;
            if step == Step::End {
                return Ok(Progress::Ended);
            }
            let answer = match self.take(step, &order).await {
                Ok(answer) => answer,
                Err(status) if is_final(&status) && !step.is_compensation() => {
                    Answer::Impossible(reason(&status))
                }
                Err(_)
                    if step.has_deadline()
                        && sagas::is_overdue(&self.pool, saga.saga_id).await? =>
                {
                    Answer::Impossible(format!("{step}_TIMED_OUT"))
                }
                Err(status) => return Ok(Progress::Unanswered(status)),
            };
            self.commit_order(saga, &order, answer).await?;
            self.watchers.wake();
        }
    }

    /// Takes a step. An error is a missing answer, or one that the saga can't continue with.
    async fn take(&self, step: Step, order: &Order) -> Result<Answer, Status> {
        match step {
            Step::Reserve => self.reserve(order).await,
            Step::Authorize => self.authorize(order).await,
            // Decided in the transaction that moves the order.
            Step::Confirm | Step::End => Ok(Answer::Done),
            Step::Capture => self.capture(order).await,
            Step::Ship => self.ship(order).await,
            Step::Refund => self.refund(order).await,
            Step::Void => self.void(order).await,
            Step::Release => self.release(order).await,
        }
    }

    async fn reserve(&self, order: &Order) -> Result<Answer, Status> {
        let lines = stock_lines(order);
        if lines.is_empty() {
            return Ok(Answer::Done);
        }
        let request = CreateReservationRequest {
            reservation_id: order.order_id.to_string(),
            lines,
        };
        let response = self
            .inventory
            .clone()
            .create_reservation(self.request(request))
            .await?
            .into_inner();
        let reservation = response.reservation.ok_or_else(|| missing("reservation"))?;
        Ok(match reservation.state() {
            ReservationState::Reserved | ReservationState::Shipped => Answer::Done,
            ReservationState::Refused => Answer::Refused("OUT_OF_STOCK".into()),
            state => Answer::Impossible(state.as_str_name().into()),
        })
    }

    async fn authorize(&self, order: &Order) -> Result<Answer, Status> {
        let request = AuthorizePaymentRequest {
            payment_id: order.order_id.to_string(),
            account_id: order.account_id.clone(),
            currency_code: order.currency_code.clone(),
            amount_minor: order.total_minor,
            effective_at: format_local(order.placed_at),
        };
        let response = self
            .payments
            .clone()
            .authorize_payment(self.request(request))
            .await?
            .into_inner();
        let payment = response.payment.ok_or_else(|| missing("payment"))?;
        Ok(match payment.state() {
            PaymentState::Authorized | PaymentState::Captured => Answer::Done,
            PaymentState::Declined => Answer::Refused(payment.decline_reason),
            state => Answer::Impossible(state.as_str_name().into()),
        })
    }

    async fn capture(&self, order: &Order) -> Result<Answer, Status> {
        let request = CapturePaymentRequest {
            payment_id: order.order_id.to_string(),
            effective_at: format_local(order.placed_at),
        };
        self.payments
            .clone()
            .capture_payment(self.request(request))
            .await?;
        Ok(Answer::Done)
    }

    async fn ship(&self, order: &Order) -> Result<Answer, Status> {
        if !stock_lines(order).is_empty() {
            let request = ShipReservationRequest {
                reservation_id: order.order_id.to_string(),
            };
            self.inventory
                .clone()
                .ship_reservation(self.request(request))
                .await?;
        }
        Ok(Answer::Done)
    }

    async fn refund(&self, order: &Order) -> Result<Answer, Status> {
        let request = RefundPaymentRequest {
            payment_id: order.order_id.to_string(),
            refund_id: format!("{}/saga", order.order_id),
            amount_minor: order.total_minor,
            effective_at: format_local(order.placed_at),
        };
        self.payments
            .clone()
            .refund_payment(self.request(request))
            .await?;
        Ok(Answer::Done)
    }

    async fn void(&self, order: &Order) -> Result<Answer, Status> {
        let request = VoidPaymentRequest {
            payment_id: order.order_id.to_string(),
        };
        match self
            .payments
            .clone()
            .void_payment(self.request(request))
            .await
        {
            Ok(_) => Ok(Answer::Done),
            Err(status) if reason(&status) == "PAYMENT_CAPTURED" => Ok(Answer::AlreadyCaptured),
            Err(status) => Err(status),
        }
    }

    async fn release(&self, order: &Order) -> Result<Answer, Status> {
        if !stock_lines(order).is_empty() {
            let request = ReleaseReservationRequest {
                reservation_id: order.order_id.to_string(),
            };
            self.inventory
                .clone()
                .release_reservation(self.request(request))
                .await?;
        }
        Ok(Answer::Done)
    }

    /// Commits the effects of the answer: the saga's next step, the order's state, the fact of its
    /// end.
    async fn commit_order(
        &self,
        saga: &mut Saga<Step>,
        order: &Order,
        mut answer: Answer,
    ) -> Result<(), Error> {
        let taken = saga.step;
        let mut tx = self.pool.begin().await?;
        if taken == Step::Confirm && orders::lock_cancel_requested(&mut tx, order.order_id).await? {
            answer = Answer::CancelRequested;
        }
        let (said, reason) = (
            <&str>::from(&answer),
            answer.reason().map(ToOwned::to_owned),
        );
        let next = taken.after(answer);
        if next.outcome.is_some() {
            saga.outcome = next.outcome;
        }
        let said = (said, reason.as_deref());
        sagas::advance(&mut tx, saga, next.step, said, self.lease()).await?;
        if next.step == Step::Capture {
            orders::set_state(&mut tx, order.order_id, State::Confirmed, None).await?;
        }
        if next.step == Step::End {
            end(&mut tx, saga, order).await?;
        }
        let point = taken.to_string().to_lowercase();
        chassis::crash::point(&format!("orders.saga.{point}.before_commit"));
        tx.commit().await?;
        chassis::crash::point(&format!("orders.saga.{point}.after_commit"));
        Ok(())
    }
}

/// Ends the order, publishes its end for each import that waits for it, and wakes the account's
/// returns.
async fn end(tx: &mut PgConnection, saga: &Saga<Step>, order: &Order) -> Result<(), Error> {
    let (end, reason) = match &saga.outcome {
        Some(outcome) => (outcome.state, Some(outcome.reason.as_str())),
        None => (State::Paid, None),
    };
    orders::set_state(tx, order.order_id, end, reason).await?;
    let mut groups: Vec<_> = orders::waiting(tx, order.order_id)
        .await?
        .into_iter()
        .map(Some)
        .collect();
    if groups.is_empty() {
        // A client placed it: the fact is published nevertheless.
        groups.push(None);
    }
    for group in groups {
        let settled = order_settled(order.order_id, Some(end), reason, group);
        events::publish(tx, &settled).await?;
    }
    sagas::wake_returns(tx, &order.account_id).await
}

fn missing(field: &str) -> Status {
    chassis::error::Fault::new(
        tonic::Code::Internal,
        "INCOMPLETE_RESPONSE",
        format!("the answer has no {field}"),
    )
    .into()
}
