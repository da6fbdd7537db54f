//! Conversions between the contract and the model.

use chassis::time;
use chrono::NaiveDateTime;
use protos::payments::v1 as pb;
use tonic::Status;

use crate::{
    error::Error,
    model::{Action, Authorization, Command, Day, Event, Kind, Payment, Refund, State},
};

/// Parses a local time. The contract's pattern accepts dates that don't exist, such as 30 February.
///
/// # Errors
/// [`Error::NoSuchTime`] with the name of the field.
pub fn local_time(field: &'static str, text: &str) -> Result<NaiveDateTime, Error> {
    time::parse_local(text).ok_or(Error::NoSuchTime(field))
}

/// Returns the result of one request of a batch.
pub fn result(result: Result<Payment, Error>) -> pb::PaymentResult {
    use pb::payment_result::Result as Of;
    let result = match result {
        Ok(payment) => Of::Payment(payment.into()),
        Err(error) => Of::Error(Status::from(error).into()),
    };
    pb::PaymentResult {
        result: Some(result),
    }
}

impl TryFrom<pb::AuthorizePaymentRequest> for Command {
    type Error = Error;

    fn try_from(request: pb::AuthorizePaymentRequest) -> Result<Self, Error> {
        let authorization = Authorization {
            account_id: request.account_id,
            currency_code: request.currency_code,
            amount_minor: request.amount_minor,
            effective_at: local_time("effectiveAt", &request.effective_at)?,
        };
        Ok(Self {
            payment_id: request.payment_id,
            action: Action::Authorize(authorization),
        })
    }
}

impl TryFrom<pb::CapturePaymentRequest> for Command {
    type Error = Error;

    fn try_from(request: pb::CapturePaymentRequest) -> Result<Self, Error> {
        let effective_at = local_time("effectiveAt", &request.effective_at)?;
        Ok(Self {
            payment_id: request.payment_id,
            action: Action::Capture(effective_at),
        })
    }
}

impl TryFrom<pb::VoidPaymentRequest> for Command {
    type Error = Error;

    fn try_from(request: pb::VoidPaymentRequest) -> Result<Self, Error> {
        Ok(Self {
            payment_id: request.payment_id,
            action: Action::Void,
        })
    }
}

impl TryFrom<pb::RefundPaymentRequest> for Command {
    type Error = Error;

    fn try_from(request: pb::RefundPaymentRequest) -> Result<Self, Error> {
        let refund = Refund {
            refund_id: request.refund_id,
            amount_minor: request.amount_minor,
            effective_at: local_time("effectiveAt", &request.effective_at)?,
        };
        Ok(Self {
            payment_id: request.payment_id,
            action: Action::Refund(refund),
        })
    }
}

impl From<Payment> for pb::Payment {
    fn from(payment: Payment) -> Self {
        let known = Self {
            payment_id: payment.id,
            state: pb::PaymentState::from(payment.state).into(),
            captured_minor: payment.captured_minor,
            refunded_minor: payment.refunded_minor,
            decline_reason: payment.decline_reason.unwrap_or_default(),
            ..Self::default()
        };
        match payment.authorization {
            Some(asked) => Self {
                account_id: asked.account_id,
                currency_code: asked.currency_code,
                amount_minor: asked.amount_minor,
                ..known
            },
            None => known,
        }
    }
}

impl From<State> for pb::PaymentState {
    fn from(state: State) -> Self {
        match state {
            State::Authorized => Self::Authorized,
            State::Declined => Self::Declined,
            State::Captured => Self::Captured,
            State::Voided => Self::Voided,
        }
    }
}

/// Converts an event and its version.
pub fn event((version, event): (i64, Event)) -> pb::LedgerEvent {
    pb::LedgerEvent {
        version,
        r#type: pb::LedgerEventType::from(&event.kind).into(),
        payment_id: event.payment_id,
        amount_minor: event.amount_minor,
        effective_at: time::format_local(event.effective_at),
    }
}

impl From<&Kind> for pb::LedgerEventType {
    fn from(kind: &Kind) -> Self {
        match kind {
            Kind::Authorized => Self::Authorized,
            Kind::Declined { .. } => Self::Declined,
            Kind::Captured => Self::Captured,
            Kind::Voided => Self::Voided,
            Kind::Refunded { .. } => Self::Refunded,
        }
    }
}

impl From<Day> for pb::LedgerDay {
    fn from(day: Day) -> Self {
        Self {
            date: day.date.to_string(),
            captured_minor: day.captured_minor,
            refunded_minor: day.refunded_minor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_that_does_not_exist_is_rejected_by_its_field() {
        assert!(local_time("effectiveAt", "2010-12-01T08:26:00").is_ok());
        assert!(matches!(
            local_time("effectiveAt", "2010-02-30T08:26:00"),
            Err(Error::NoSuchTime("effectiveAt"))
        ));
    }

    #[test]
    fn a_closed_id_shows_no_amount() {
        let shown = pb::Payment::from(Payment::closed("p"));
        assert_eq!(
            (shown.state(), shown.amount_minor),
            (pb::PaymentState::Voided, 0)
        );
    }
}
