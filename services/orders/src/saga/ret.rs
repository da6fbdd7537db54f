//! The saga of a return: decide its rows, restock goods, refund, inform the import.

use std::time::Duration;

use ::saga::{Answer, Definition, Instance, Move, Saga};
use chassis::time::format_local;
use events::Bus;
use protos::{
    inventory::v1::{ReturnStockRequest, StockLine},
    orders::v1::ReturnSettled,
    payments::v1::RefundPaymentRequest,
};
use sqlx::PgConnection;
use tonic::Status;
use uuid::Uuid;

use super::{Peers, incomplete, spread};
use crate::{
    error::Error,
    model::{
        returns::Return,
        saga::{RETURN, ReturnStep},
    },
    store::returns,
};

/// How long a return waits before it checks its turn again; usually it is woken earlier.
const TURN: Duration = Duration::from_secs(1);

/// Most refunds in one call, as payments takes.
const CALL: usize = 1_000;

type Due = Instance<ReturnStep>;

/// The saga of returns.
#[derive(Debug)]
pub struct ReturnSaga {
    /// Other services and the database.
    pub peers: Peers,
    /// The relay, which publishes the end of each saga.
    pub bus: Bus,
}

impl Saga for ReturnSaga {
    type Step = ReturnStep;
    type Error = Error;

    const DEFINITION: Definition<ReturnStep> = RETURN;

    async fn call(&self, step: ReturnStep, due: &[Due]) -> Result<Vec<Answer>, Status> {
        match step {
            // Decided in the transaction that records it.
            ReturnStep::Allocate => Ok(vec![Answer::Done; due.len()]),
            ReturnStep::Restock => self.restock(due).await,
            ReturnStep::Refund => self.pay_back(due).await,
        }
    }

    /// Decides the rows of the returns whose turn it is, those of one account in their order.
    async fn decide(
        &self,
        tx: &mut PgConnection,
        _: ReturnStep,
        due: &[Due],
    ) -> Result<Vec<Answer>, Error> {
        let returns = returns::get_all(&mut *tx, &ids(due)).await?;
        let mut turns: Vec<_> = due
            .iter()
            .filter_map(|saga| returns.get(&saga.id))
            .collect();
        // By account first: each decision locks its account until the transaction ends.
        turns.sort_unstable_by_key(|ret| {
            (
                &ret.account_id,
                ret.returned_at,
                &ret.invoice_number,
                ret.first_row_number,
            )
        });
        let mut decided = Vec::new();
        for ret in turns {
            if returns::decide(tx, ret).await? {
                decided.push(ret.return_id);
            }
        }
        let answer = |saga: &Due| match decided.contains(&saga.id) {
            true => Answer::Done,
            false => Answer::Wait(TURN),
        };
        Ok(due.iter().map(answer).collect())
    }

    /// Publishes the ends. After a decision it may be the turn of the account's next return.
    async fn record(&self, tx: &mut PgConnection, moves: &[Move<ReturnStep>]) -> Result<(), Error> {
        let decided = moves
            .iter()
            .filter(|step| step.taken == ReturnStep::Allocate);
        let accounts: Vec<_> = decided.map(|step| step.key.as_str()).collect();
        if !accounts.is_empty() {
            ::saga::wake(tx, &RETURN, ReturnStep::Allocate, &accounts).await?;
        }
        let ended = moves.iter().filter(|step| step.next.is_none());
        let ended: Vec<_> = ended.map(|step| step.id).collect();
        if ended.is_empty() {
            return Ok(());
        }
        let returns = returns::get_all(&mut *tx, &ended).await?;
        let mut refused = returns::refused(&mut *tx, &ended).await?;
        let settled = |ret: &Return| ReturnSettled {
            return_id: ret.return_id.to_string(),
            import_id: ret.import_id.clone(),
            first_row_number: ret.first_row_number,
            rejections: refused
                .remove(&ret.return_id)
                .unwrap_or_default()
                .into_iter()
                .map(Into::into)
                .collect(),
        };
        let facts: Vec<_> = returns.values().map(settled).collect();
        events::publish_all(tx, &facts).await?;
        Ok(())
    }

    async fn committed(&self) {
        self.bus.wake().await;
    }
}

impl ReturnSaga {
    async fn restock(&self, due: &[Due]) -> Result<Vec<Answer>, Status> {
        let mut pieces = returns::accepted_stock(&self.peers.pool, &ids(due)).await?;
        let (mut asked, mut requests) = (Vec::new(), Vec::new());
        for (index, saga) in due.iter().enumerate() {
            let Some(pieces) = pieces.remove(&saga.id) else {
                continue;
            };
            let lines = pieces.into_iter();
            asked.push(index);
            requests.push(ReturnStockRequest {
                return_id: saga.id.to_string(),
                lines: lines
                    .map(|(sku, quantity)| StockLine { sku, quantity })
                    .collect(),
            });
        }
        let answers = self.peers.restock(requests).await?;
        spread(due.len(), &asked, answers)
    }

    /// Pays each order back that a return drew on. A return is done when all of them are.
    async fn pay_back(&self, due: &[Due]) -> Result<Vec<Answer>, Status> {
        let ids = ids(due);
        let mut connection = self.peers.pool.acquire().await.map_err(Error::from)?;
        let returns = returns::get_all(&mut connection, &ids).await?;
        let refunds = returns::refunds(&mut connection, &ids).await?;
        drop(connection);
        let mut requests = Vec::with_capacity(refunds.len());
        for refund in &refunds {
            let ret = returns.get(&refund.return_id);
            let ret = ret.ok_or_else(|| incomplete("return"))?;
            requests.push(RefundPaymentRequest {
                payment_id: refund.order_id.to_string(),
                refund_id: format!("{}/{}", refund.return_id, refund.order_id),
                amount_minor: refund.amount_minor,
                effective_at: format_local(ret.returned_at),
            });
        }
        let mut answers = vec![Answer::Done; due.len()];
        for (requests, refunds) in requests.chunks(CALL).zip(refunds.chunks(CALL)) {
            let paid = self.peers.refund(requests.to_vec()).await?;
            if paid.len() != refunds.len() {
                return Err(incomplete("results"));
            }
            for (answer, refund) in paid.into_iter().zip(refunds) {
                let index = ids.iter().position(|id| *id == refund.return_id);
                if let (Some(index), false) = (index, answer == Answer::Done) {
                    answers[index] = answer;
                }
            }
        }
        Ok(answers)
    }
}

fn ids(due: &[Due]) -> Vec<Uuid> {
    due.iter().map(|ret| ret.id).collect()
}
