//! The steps of a return: decide its rows, restock goods, refund, inform the import.
//!
//! Nothing is compensated: once decided, a return only goes forward.

use chassis::time::format_local;
use protos::{
    inventory::v1::{ReturnStockRequest, StockLine},
    orders::v1::{ReturnRejection, ReturnSettled},
    payments::v1::RefundPaymentRequest,
};
use sqlx::PgConnection;
use tonic::Status;

use super::{Run, Runner};
use crate::{
    error::Error,
    store::{
        returns::{self, ALLOCATE, Refused, Return},
        sagas::{self, Saga},
    },
};

const RESTOCK: &str = "RESTOCK";
const REFUND: &str = "REFUND";
const END: &str = "END";

impl Runner {
    /// Carries a return from its saga's step as far as it goes.
    pub(super) async fn carry_return(&self, saga: &mut Saga) -> Result<Run, Error> {
        let ret = returns::get(&mut *self.pool.acquire().await?, saga.saga_id).await?;
        loop {
            let taken = match saga.step.as_str() {
                ALLOCATE => match self.allocate(saga, &ret).await? {
                    true => continue,
                    false => return Ok(Run::Waiting),
                },
                RESTOCK => self.restock(&ret).await?,
                REFUND => self.pay_back(&ret).await?,
                END => return Ok(Run::Ended),
                _ => return Err(Error::Corrupt("saga.step")),
            };
            if let Err(status) = taken {
                return Ok(Run::Unanswered(status));
            }
            self.commit_return(saga, &ret).await?;
        }
    }

    /// Decides the rows if it is the return's turn.
    async fn allocate(&self, saga: &mut Saga, ret: &Return) -> Result<bool, Error> {
        let mut tx = self.pool.begin().await?;
        if !returns::decide(&mut tx, ret).await? {
            return Ok(false);
        }
        saga.step = RESTOCK.to_owned();
        sagas::advance(&mut tx, saga, ALLOCATE, "decided", self.lease()).await?;
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

    async fn commit_return(&self, saga: &mut Saga, ret: &Return) -> Result<(), Error> {
        let (taken, next) = if saga.step == RESTOCK {
            (RESTOCK, REFUND)
        } else {
            (REFUND, END)
        };
        let mut tx = self.pool.begin().await?;
        saga.step = next.to_owned();
        sagas::advance(&mut tx, saga, taken, "done", self.lease()).await?;
        if next == END {
            let settled = settled(&mut tx, ret).await?;
            events::publish(&mut tx, &settled).await?;
        }
        let point = taken.to_lowercase();
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
        rejections: refused.into_iter().map(rejection).collect(),
    })
}

/// Names the field that the rule looked at; the value is as the source wrote it, returned pieces
/// being negative.
fn rejection(row: Refused) -> ReturnRejection {
    let (field, value) = match row.rule.as_str() {
        "RETURN_WITHOUT_CUSTOMER" => ("account_id", String::new()),
        "RETURN_EXCEEDS_ORDER" => ("quantity", (-row.quantity).to_string()),
        _ => ("sku", row.sku),
    };
    ReturnRejection {
        row_number: row.row_number,
        field: field.to_owned(),
        rule: row.rule,
        value,
    }
}
