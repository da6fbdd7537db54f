//! The methods of the contract: decode, call model or store, encode.

use chassis::{page, time};
use chrono::NaiveDateTime;
use protos::payments::v1::{
    self as pb, AuthorizePaymentRequest, AuthorizePaymentResponse, CapturePaymentRequest,
    CapturePaymentResponse, GetBalanceRequest, GetBalanceResponse, GetPaymentRequest,
    GetPaymentResponse, ListLedgerEventsRequest, ListLedgerEventsResponse, RefundPaymentRequest,
    RefundPaymentResponse, SummarizeLedgerRequest, SummarizeLedgerResponse, VoidPaymentRequest,
    VoidPaymentResponse, payments_service_server::PaymentsService,
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use crate::{
    error::Error,
    model::{Action, Authorization, Command, Event, Kind, Payment, Policy, Refund, State},
    store,
};

/// The payments service on its own database.
#[derive(Debug)]
pub struct Payments {
    /// The service's database.
    pub pool: PgPool,
    /// The limits that the operator sets.
    pub policy: Policy,
}

#[tonic::async_trait]
impl PaymentsService for Payments {
    async fn authorize_payment(
        &self,
        request: Request<AuthorizePaymentRequest>,
    ) -> Result<Response<AuthorizePaymentResponse>, Status> {
        let request = request.into_inner();
        let authorization = Authorization {
            account_id: request.account_id,
            currency_code: request.currency_code,
            amount_minor: request.amount_minor,
            effective_at: local_time("effectiveAt", &request.effective_at)?,
        };
        let payment = self
            .execute(request.payment_id, Action::Authorize(authorization))
            .await?;
        Ok(Response::new(AuthorizePaymentResponse {
            payment: Some(payment),
        }))
    }

    async fn capture_payment(
        &self,
        request: Request<CapturePaymentRequest>,
    ) -> Result<Response<CapturePaymentResponse>, Status> {
        let request = request.into_inner();
        let effective_at = local_time("effectiveAt", &request.effective_at)?;
        let payment = self
            .execute(request.payment_id, Action::Capture(effective_at))
            .await?;
        Ok(Response::new(CapturePaymentResponse {
            payment: Some(payment),
        }))
    }

    async fn void_payment(
        &self,
        request: Request<VoidPaymentRequest>,
    ) -> Result<Response<VoidPaymentResponse>, Status> {
        let payment = self
            .execute(request.into_inner().payment_id, Action::Void)
            .await?;
        Ok(Response::new(VoidPaymentResponse {
            payment: Some(payment),
        }))
    }

    async fn refund_payment(
        &self,
        request: Request<RefundPaymentRequest>,
    ) -> Result<Response<RefundPaymentResponse>, Status> {
        let request = request.into_inner();
        let refund = Refund {
            refund_id: request.refund_id,
            amount_minor: request.amount_minor,
            effective_at: local_time("effectiveAt", &request.effective_at)?,
        };
        let payment = self
            .execute(request.payment_id, Action::Refund(refund))
            .await?;
        Ok(Response::new(RefundPaymentResponse {
            payment: Some(payment),
        }))
    }

    async fn get_payment(
        &self,
        request: Request<GetPaymentRequest>,
    ) -> Result<Response<GetPaymentResponse>, Status> {
        let payment = store::payment(&self.pool, &request.into_inner().payment_id).await?;
        Ok(Response::new(GetPaymentResponse {
            payment: Some(payment_to_proto(payment)),
        }))
    }

    async fn get_balance(
        &self,
        request: Request<GetBalanceRequest>,
    ) -> Result<Response<GetBalanceResponse>, Status> {
        let request = request.into_inner();
        let as_of = match request.as_of.as_str() {
            "" => None,
            text => Some(local_time("asOf", text)?),
        };
        let currency_code = self.policy.currency_code.clone();
        let balance =
            store::balance(&self.pool, &request.account_id, &currency_code, as_of).await?;
        let balance = pb::Balance {
            account_id: request.account_id,
            currency_code,
            held_minor: balance.held_minor,
            paid_minor: balance.paid_minor,
        };
        Ok(Response::new(GetBalanceResponse {
            balance: Some(balance),
        }))
    }

    async fn list_ledger_events(
        &self,
        request: Request<ListLedgerEventsRequest>,
    ) -> Result<Response<ListLedgerEventsResponse>, Status> {
        let request = request.into_inner();
        let page = page::Page::new(request.page_size);
        let after = page::number(&request.page_token)?.unwrap_or(0);
        let events = store::events(&self.pool, &request.account_id, after, page.limit()).await?;
        let (events, next_page_token) = page.cut(events, |(version, _)| version.to_string());
        Ok(Response::new(ListLedgerEventsResponse {
            events: events.into_iter().map(event_to_proto).collect(),
            next_page_token,
        }))
    }

    async fn summarize_ledger(
        &self,
        _: Request<SummarizeLedgerRequest>,
    ) -> Result<Response<SummarizeLedgerResponse>, Status> {
        let currency_code = self.policy.currency_code.clone();
        let summary = store::summary(&self.pool, &currency_code).await?;
        Ok(Response::new(SummarizeLedgerResponse {
            currency_code,
            captured_minor: summary.days.iter().map(|day| day.captured_minor).sum(),
            refunded_minor: summary.days.iter().map(|day| day.refunded_minor).sum(),
            ledger_sum_minor: summary.ledger_sum_minor,
            days: summary.days.into_iter().map(day_to_proto).collect(),
        }))
    }
}

impl Payments {
    async fn execute(&self, payment_id: String, action: Action) -> Result<pb::Payment, Error> {
        let command = Command { payment_id, action };
        store::execute(&self.pool, &command, &self.policy)
            .await
            .map(payment_to_proto)
    }
}

/// Returns the contract's pattern lets through what no calendar has, such as 30 February.
fn local_time(field: &'static str, text: &str) -> Result<NaiveDateTime, Error> {
    time::parse_local(text).ok_or(Error::NoSuchTime(field))
}

fn payment_to_proto(payment: Payment) -> pb::Payment {
    let known = pb::Payment {
        payment_id: payment.id,
        state: state_to_proto(payment.state).into(),
        captured_minor: payment.captured_minor,
        refunded_minor: payment.refunded_minor,
        decline_reason: payment.decline_reason,
        ..pb::Payment::default()
    };
    match payment.authorization {
        Some(asked) => pb::Payment {
            account_id: asked.account_id,
            currency_code: asked.currency_code,
            amount_minor: asked.amount_minor,
            ..known
        },
        None => known,
    }
}

fn state_to_proto(state: State) -> pb::PaymentState {
    match state {
        State::Authorized => pb::PaymentState::Authorized,
        State::Declined => pb::PaymentState::Declined,
        State::Captured => pb::PaymentState::Captured,
        State::Voided => pb::PaymentState::Voided,
    }
}

fn event_to_proto((version, event): (i64, Event)) -> pb::LedgerEvent {
    pb::LedgerEvent {
        version,
        r#type: kind_to_proto(&event.kind).into(),
        payment_id: event.payment_id,
        amount_minor: event.amount_minor,
        effective_at: time::format_local(event.effective_at),
    }
}

fn kind_to_proto(kind: &Kind) -> pb::LedgerEventType {
    match kind {
        Kind::Authorized => pb::LedgerEventType::Authorized,
        Kind::Declined { .. } => pb::LedgerEventType::Declined,
        Kind::Captured => pb::LedgerEventType::Captured,
        Kind::Voided => pb::LedgerEventType::Voided,
        Kind::Refunded { .. } => pb::LedgerEventType::Refunded,
    }
}

fn day_to_proto(day: store::Day) -> pb::LedgerDay {
    pb::LedgerDay {
        date: day.date.to_string(),
        captured_minor: day.captured_minor,
        refunded_minor: day.refunded_minor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_no_calendar_is_refused_by_its_field() {
        assert!(local_time("effectiveAt", "2010-12-01T08:26:00").is_ok());
        assert!(matches!(
            local_time("effectiveAt", "2010-02-30T08:26:00"),
            Err(Error::NoSuchTime("effectiveAt"))
        ));
    }

    #[test]
    fn a_closed_id_shows_no_amount() {
        let shown = payment_to_proto(Payment::closed("p"));
        assert_eq!(
            (shown.state(), shown.amount_minor),
            (pb::PaymentState::Voided, 0)
        );
    }
}
