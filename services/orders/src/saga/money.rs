//! Calls to payments, each for a whole batch.

use ::saga::Answer;
use protos::payments::v1::{
    AuthorizePaymentRequest, BatchAuthorizePaymentsRequest, BatchCapturePaymentsRequest,
    BatchRefundPaymentsRequest, BatchVoidPaymentsRequest, CapturePaymentRequest, Payment,
    PaymentResult, PaymentState, RefundPaymentRequest, VoidPaymentRequest,
    payment_result::Result as Of,
};
use tonic::Status;

use super::{Peers, answers, failed, not_created, unset};
use crate::model::State;

/// Reason of payments for a payment that can't be voided any more.
pub(super) const CAPTURED: &str = "PAYMENT_CAPTURED";

impl Peers {
    pub(super) async fn authorize(
        &self,
        requests: Vec<AuthorizePaymentRequest>,
    ) -> Result<Vec<Answer>, Status> {
        let request = self.request(BatchAuthorizePaymentsRequest { requests });
        let mut payments = self.payments.clone();
        let response = payments.batch_authorize_payments(request).await?;
        let answer = |result: PaymentResult| match result.result {
            Some(Of::Payment(payment)) => authorized(&payment),
            Some(Of::Error(error)) => not_created(error),
            None => unset(),
        };
        Ok(answers(response.into_inner().results, answer))
    }

    pub(super) async fn capture(
        &self,
        requests: Vec<CapturePaymentRequest>,
    ) -> Result<Vec<Answer>, Status> {
        let request = self.request(BatchCapturePaymentsRequest { requests });
        let mut payments = self.payments.clone();
        let response = payments.batch_capture_payments(request).await?;
        Ok(answers(response.into_inner().results, done))
    }

    /// Voids holds; a captured payment answers with the failure [`CAPTURED`].
    pub(super) async fn void(
        &self,
        requests: Vec<VoidPaymentRequest>,
    ) -> Result<Vec<Answer>, Status> {
        let request = self.request(BatchVoidPaymentsRequest { requests });
        let mut payments = self.payments.clone();
        let response = payments.batch_void_payments(request).await?;
        Ok(answers(response.into_inner().results, done))
    }

    pub(super) async fn refund(
        &self,
        requests: Vec<RefundPaymentRequest>,
    ) -> Result<Vec<Answer>, Status> {
        let request = self.request(BatchRefundPaymentsRequest { requests });
        let mut payments = self.payments.clone();
        let response = payments.batch_refund_payments(request).await?;
        Ok(answers(response.into_inner().results, done))
    }
}

fn authorized(payment: &Payment) -> Answer {
    match payment.state() {
        PaymentState::Authorized | PaymentState::Captured => Answer::Done,
        PaymentState::Declined => Answer::refused(
            State::PaymentDeclined.to_string(),
            payment.decline_reason.clone(),
        ),
        state => Answer::failed(state.as_str_name()),
    }
}

fn done(result: PaymentResult) -> Answer {
    match result.result {
        Some(Of::Payment(_)) => Answer::Done,
        Some(Of::Error(error)) => failed(error),
        None => unset(),
    }
}
