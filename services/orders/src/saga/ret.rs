//! The steps of a return: decide its rows, restock goods, refund, inform the import.
//!
//! Nothing is compensated: once decided, a return only goes forward.

use chassis::time::format_local;
use protos::{
    inventory::v1::{ReturnStockRequest, StockLine},
    orders::v1::ReturnSettled,
    payments::v1::RefundPaymentRequest,
};
use sqlx::PgConnection;
use tonic::Status;

use super::{Progress, Runner};
use crate::{
    error::Error,
    model::returns::{Return, ReturnStep},
    store::{
        returns,
        sagas::{self, Saga},
    },
};

impl Runner {
    /// Carries a return from its saga's step as far as it goes.
    pub(super) async fn carry_return(
        &self,
        saga: &mut Saga<ReturnStep>,
    ) -> Result<Progress, Error> {
        let ret = returns::get(&mut *self.pool.acquire().await?, saga.saga_id).await?;
        loop {
            let taken = match saga.step {
                ReturnStep::Allocate => match self.allocate(saga, &ret).await? {
                    true => continue,
                    false => return Ok(Progress::Waiting),
                },
                ReturnStep::Restock => self.restock(&ret).await?,
                ReturnStep::Refund => self.pay_back(&ret).await?,
                ReturnStep::End => return Ok(Progress::Ended),
            };
            if let Err(status) = taken {
                return Ok(Progress::Unanswered(status));
            }
            self.commit_return(saga, &ret).await?;
        }
    }

    /// Decides the rows if it is the return's turn.
    async fn allocate(&self, saga: &mut Saga<ReturnStep>, ret: &Return) -> Result<bool, Error> {
        let mut tx = self.pool.begin().await?;
        if !returns::decide(&mut tx, ret).await? {
            return Ok(false);
        }
        let next = saga.step.next();
        sagas::advance(&mut tx, saga, next, ("DECIDED", None), self.lease()).await?;
        // It may be the turn of the account's next return.
        sagas::wake_returns(&mut tx, &ret.account_id).await?;
        chassis::crash::point("orders.return.allocate.before_commit");
        tx.commit().await?;
        chassis::crash::point("orders.return.allocate.after_commit");
        Ok(true)
    }

    async fn restock(&self, ret: &Return) -> Result<Result<(), Status>, Error> {
        let pieces = returns::accepted_stock(&self.pool, ret.return_id).await?;
        if pieces.is_empty() {
            return Ok(Ok(()));
        }
        let lines = pieces
            .into_iter()
            .map(|(sku, quantity)| StockLine { sku, quantity })
            .collect();
        let request = ReturnStockRequest {
            return_id: ret.return_id.to_string(),
            lines,
        };
        Ok(self
            .inventory
            .clone()
            .return_stock(self.request(request))
            .await
            .map(drop))
    }

    async fn pay_back(&self, ret: &Return) -> Result<Result<(), Status>, Error> {
        for (order_id, amount_minor) in returns::refunds(&self.pool, ret.return_id).await? {
            let request = RefundPaymentRequest {
                payment_id: order_id.to_string(),
                refund_id: format!("{}/{order_id}", ret.return_id),
                amount_minor,
                effective_at: format_local(ret.returned_at),
            };
            if let Err(status) = self
                .payments
                .clone()
                .refund_payment(self.request(request))
                .await
            {
                return Ok(Err(status));
            }
        }
        Ok(Ok(()))
    }

    async fn commit_return(&self, saga: &mut Saga<ReturnStep>, ret: &Return) -> Result<(), Error> {
        let (taken, next) = (saga.step, saga.step.next());
        let mut tx = self.pool.begin().await?;
        sagas::advance(&mut tx, saga, next, ("DONE", None), self.lease()).await?;
        if next == ReturnStep::End {
            let settled = settled(&mut tx, ret).await?;
            events::publish(&mut tx, &settled).await?;
        }
        let point = taken.to_string().to_lowercase();
        chassis::crash::point(&format!("orders.return.{point}.before_commit"));
        tx.commit().await?;
        chassis::crash::point(&format!("orders.return.{point}.after_commit"));
        Ok(())
    }
}

async fn settled(tx: &mut PgConnection, ret: &Return) -> Result<ReturnSettled, Error> {
    let refused = returns::refused(tx, ret.return_id).await?;
    Ok(ReturnSettled {
        return_id: ret.return_id.to_string(),
        import_id: ret.import_id.clone(),
        first_row_number: ret.first_row_number,
        rejections: refused.into_iter().map(Into::into).collect(),
    })
}
