//! The methods of the contract: decode, call model or store, encode.

use chassis::page;
use protos::payments::v1::{
    self as pb, AuthorizePaymentRequest, AuthorizePaymentResponse, BatchAuthorizePaymentsRequest,
    BatchAuthorizePaymentsResponse, BatchCapturePaymentsRequest, BatchCapturePaymentsResponse,
    BatchRefundPaymentsRequest, BatchRefundPaymentsResponse, BatchVoidPaymentsRequest,
    BatchVoidPaymentsResponse, CapturePaymentRequest, CapturePaymentResponse, GetBalanceRequest,
    GetBalanceResponse, GetPaymentRequest, GetPaymentResponse, ListLedgerEventsRequest,
    ListLedgerEventsResponse, RefundPaymentRequest, RefundPaymentResponse, SummarizeLedgerRequest,
    SummarizeLedgerResponse, VoidPaymentRequest, VoidPaymentResponse,
    payments_service_server::PaymentsService,
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use crate::{
    convert::{self, local_time},
    error::Error,
    model::{Command, Policy},
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
        let payment = self.execute(request.into_inner()).await?;
        Ok(Response::new(AuthorizePaymentResponse {
            payment: Some(payment),
        }))
    }

    async fn capture_payment(
        &self,
        request: Request<CapturePaymentRequest>,
    ) -> Result<Response<CapturePaymentResponse>, Status> {
        let payment = self.execute(request.into_inner()).await?;
        Ok(Response::new(CapturePaymentResponse {
            payment: Some(payment),
        }))
    }

    async fn void_payment(
        &self,
        request: Request<VoidPaymentRequest>,
    ) -> Result<Response<VoidPaymentResponse>, Status> {
        let payment = self.execute(request.into_inner()).await?;
        Ok(Response::new(VoidPaymentResponse {
            payment: Some(payment),
        }))
    }

    async fn refund_payment(
        &self,
        request: Request<RefundPaymentRequest>,
    ) -> Result<Response<RefundPaymentResponse>, Status> {
        let payment = self.execute(request.into_inner()).await?;
        Ok(Response::new(RefundPaymentResponse {
            payment: Some(payment),
        }))
    }

    async fn batch_authorize_payments(
        &self,
        request: Request<BatchAuthorizePaymentsRequest>,
    ) -> Result<Response<BatchAuthorizePaymentsResponse>, Status> {
        let results = self.execute_all(request.into_inner().requests).await?;
        Ok(Response::new(BatchAuthorizePaymentsResponse { results }))
    }

    async fn batch_capture_payments(
        &self,
        request: Request<BatchCapturePaymentsRequest>,
    ) -> Result<Response<BatchCapturePaymentsResponse>, Status> {
        let results = self.execute_all(request.into_inner().requests).await?;
        Ok(Response::new(BatchCapturePaymentsResponse { results }))
    }

    async fn batch_void_payments(
        &self,
        request: Request<BatchVoidPaymentsRequest>,
    ) -> Result<Response<BatchVoidPaymentsResponse>, Status> {
        let results = self.execute_all(request.into_inner().requests).await?;
        Ok(Response::new(BatchVoidPaymentsResponse { results }))
    }

    async fn batch_refund_payments(
        &self,
        request: Request<BatchRefundPaymentsRequest>,
    ) -> Result<Response<BatchRefundPaymentsResponse>, Status> {
        let results = self.execute_all(request.into_inner().requests).await?;
        Ok(Response::new(BatchRefundPaymentsResponse { results }))
    }

    async fn get_payment(
        &self,
        request: Request<GetPaymentRequest>,
    ) -> Result<Response<GetPaymentResponse>, Status> {
        let payment = store::payment(&self.pool, &request.into_inner().payment_id).await?;
        Ok(Response::new(GetPaymentResponse {
            payment: Some(payment.into()),
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
            events: events.into_iter().map(convert::event).collect(),
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
            days: summary.days.into_iter().map(Into::into).collect(),
        }))
    }
}

impl Payments {
    /// Executes a batch of one.
    async fn execute<R>(&self, request: R) -> Result<pb::Payment, Error>
    where
        Command: TryFrom<R, Error = Error>,
    {
        let commands = [request.try_into()?];
        let mut results = store::execute(&self.pool, &commands, &self.policy).await?;
        Ok(results.swap_remove(0)?.into())
    }

    /// Executes a batch; each request that can be read has a result of its own.
    async fn execute_all<R>(&self, requests: Vec<R>) -> Result<Vec<pb::PaymentResult>, Error>
    where
        Command: TryFrom<R, Error = Error>,
    {
        let commands = requests.into_iter().map(Command::try_from);
        let commands: Vec<_> = commands.collect::<Result<_, _>>()?;
        let results = store::execute(&self.pool, &commands, &self.policy).await?;
        Ok(results.into_iter().map(convert::result).collect())
    }
}
