//! The saga of an order.

use std::collections::HashMap;

use ::saga::{Answer, Definition, Instance, Move, Saga};
use chassis::{changes::Watchers, time::format_local};
use events::{Bus, Facts};
use protos::{
    inventory::v1::CreateReservationRequest,
    payments::v1::{
        AuthorizePaymentRequest, CapturePaymentRequest, RefundPaymentRequest, VoidPaymentRequest,
    },
};
use sqlx::PgConnection;
use tonic::Status;
use uuid::Uuid;

use super::{Peers, incomplete, money, spread};
use crate::{
    convert::{order_paid, order_settled, stock_lines},
    error::Error,
    model::{
        Delivery, Order, Paid, State,
        saga::{ORDER, ORDER_1, OrderStep, RETURN, ReturnStep},
    },
    store::orders,
};

type Due = Instance<OrderStep>;

/// The saga of orders, in one version of its definition.
#[derive(Clone, Debug)]
pub struct OrderSaga<const VERSION: i32> {
    /// Other services and the database.
    pub peers: Peers,
    /// The streams of WatchOrder.
    pub watchers: Watchers,
    /// The relay, which publishes the end of each saga.
    pub bus: Bus,
}

impl<const VERSION: i32> Saga for OrderSaga<VERSION> {
    type Step = OrderStep;
    type Error = Error;

    const DEFINITION: Definition<OrderStep> = match VERSION {
        1 => ORDER_1,
        _ => ORDER,
    };

    async fn call(&self, step: OrderStep, due: &[Due]) -> Result<Vec<Answer>, Status> {
        let about_goods = matches!(
            step,
            OrderStep::Reserve | OrderStep::Ship | OrderStep::Release
        );
        let orders = match about_goods {
            true => self.orders(due).await?,
            false => self.heads(due).await?,
        };
        match step {
            OrderStep::Reserve => self.reserve(&orders).await,
            OrderStep::Authorize => self.authorize(&orders).await,
            // Decided in the transaction that records it.
            OrderStep::Confirm => Ok(vec![Answer::Done; orders.len()]),
            OrderStep::Capture => self.capture(&orders).await,
            OrderStep::Ship => self.ship(&orders).await,
            OrderStep::Refund => self.refund(due, &orders).await,
            OrderStep::Void => self.void(due, &orders).await,
            OrderStep::Release => self.release(&orders).await,
        }
    }

    /// Confirms the orders that nobody asked to cancel.
    async fn decide(
        &self,
        tx: &mut PgConnection,
        _: OrderStep,
        due: &[Due],
    ) -> Result<Vec<Answer>, Error> {
        let ids = ids(due);
        let cancelled = orders::lock_cancelled(tx, &ids).await?;
        let answer = |id| {
            if cancelled.contains(id) {
                Answer::refused(State::Cancelled.to_string(), "CANCEL_REQUESTED")
            } else {
                Answer::Done
            }
        };
        Ok(ids.iter().map(answer).collect())
    }

    /// Writes the orders' states; publishes the ends, and makes the returns that wait for them due.
    async fn record(&self, tx: &mut PgConnection, moves: &[Move<OrderStep>]) -> Result<(), Error> {
        let mut confirmed = Vec::new();
        let mut ended = Vec::new();
        for step in moves {
            match step.next {
                Some(OrderStep::Capture) => confirmed.push((step.id, State::Confirmed, None)),
                Some(_) => {}
                None => ended.push(end(step)?),
            }
        }
        // One that is confirmed in this transaction may end in no other.
        orders::set_states(tx, &confirmed).await?;
        if ended.is_empty() {
            return Ok(());
        }
        orders::set_states(tx, &ended).await?;
        let shipped = ended.iter().filter(|(_, state, _)| *state == State::Paid);
        let shipped: Vec<_> = shipped.map(|(id, ..)| *id).collect();
        // In version 1 the saga has shipped them itself.
        let delivery = match VERSION {
            1 => Delivery::Shipped,
            _ => Delivery::Pending,
        };
        let paid = orders::set_deliveries(tx, &shipped, delivery).await?;
        let to_ship: &[Paid] = if VERSION == 1 { &[] } else { &paid };
        publish_ends(tx, &ended, to_ship).await?;
        let accounts = moves.iter().filter(|step| step.next.is_none());
        let accounts: Vec<_> = accounts.map(|step| step.key.as_str()).collect();
        ::saga::wake(tx, &RETURN, ReturnStep::Allocate, &accounts).await?;
        Ok(())
    }

    async fn committed(&self) {
        self.watchers.wake();
        self.bus.wake().await;
    }
}

impl<const VERSION: i32> OrderSaga<VERSION> {
    /// Returns the orders of the batch with their lines, in its order.
    async fn orders(&self, due: &[Due]) -> Result<Vec<Order>, Status> {
        let orders = orders::get_all(&self.peers.pool, &ids(due)).await?;
        in_order(due, orders)
    }

    /// Returns the orders of the batch without their lines, in its order.
    async fn heads(&self, due: &[Due]) -> Result<Vec<Order>, Status> {
        let mut connection = self.peers.pool.acquire().await.map_err(Error::from)?;
        let orders = orders::heads(&mut connection, &ids(due)).await?;
        in_order(due, orders)
    }

    async fn reserve(&self, orders: &[Order]) -> Result<Vec<Answer>, Status> {
        let goods = with_goods(orders);
        let request = |&index: &usize| CreateReservationRequest {
            reservation_id: orders[index].order_id.to_string(),
            lines: stock_lines(&orders[index]),
        };
        let answers = self
            .peers
            .reserve(goods.iter().map(request).collect())
            .await?;
        spread(orders.len(), &goods, answers)
    }

    async fn ship(&self, orders: &[Order]) -> Result<Vec<Answer>, Status> {
        let goods = with_goods(orders);
        if goods.is_empty() {
            return spread(orders.len(), &goods, Vec::new());
        }
        let answers = self.peers.ship(reservations(orders, &goods)).await?;
        spread(orders.len(), &goods, answers)
    }

    async fn release(&self, orders: &[Order]) -> Result<Vec<Answer>, Status> {
        let goods = with_goods(orders);
        if goods.is_empty() {
            return spread(orders.len(), &goods, Vec::new());
        }
        let answers = self.peers.release(reservations(orders, &goods)).await?;
        spread(orders.len(), &goods, answers)
    }

    async fn authorize(&self, orders: &[Order]) -> Result<Vec<Answer>, Status> {
        let request = |order: &Order| AuthorizePaymentRequest {
            payment_id: order.order_id.to_string(),
            account_id: order.account_id.clone(),
            currency_code: order.currency_code.clone(),
            amount_minor: order.total_minor,
            effective_at: format_local(order.placed_at),
        };
        self.peers
            .authorize(orders.iter().map(request).collect())
            .await
    }

    async fn capture(&self, orders: &[Order]) -> Result<Vec<Answer>, Status> {
        let request = |order: &Order| CapturePaymentRequest {
            payment_id: order.order_id.to_string(),
            effective_at: format_local(order.placed_at),
        };
        self.peers
            .capture(orders.iter().map(request).collect())
            .await
    }

    /// Pays back what was captured. A capture that did not happen leaves nothing to undo.
    async fn refund(&self, due: &[Due], orders: &[Order]) -> Result<Vec<Answer>, Status> {
        let request = |(saga, order): (&Due, &Order)| RefundPaymentRequest {
            payment_id: order.order_id.to_string(),
            refund_id: saga.idempotency_key(OrderStep::Refund),
            amount_minor: order.total_minor,
            effective_at: format_local(order.placed_at),
        };
        let requests = due.iter().zip(orders).map(request).collect();
        let answers = self.peers.refund(requests).await?.into_iter();
        let undone = |answer| match answer {
            Answer::Failed(why)
                if ["PAYMENT_NOT_CAPTURED", "PAYMENT_NOT_FOUND"].contains(&&*why.reason) =>
            {
                Answer::Done
            }
            other => other,
        };
        Ok(answers.map(undone).collect())
    }

    /// Voids the holds: no capture happens after that. One that happened before is paid back.
    async fn void(&self, due: &[Due], orders: &[Order]) -> Result<Vec<Answer>, Status> {
        let request = |order: &Order| VoidPaymentRequest {
            payment_id: order.order_id.to_string(),
        };
        let requests = orders.iter().map(request).collect();
        let mut answers = self.peers.void(requests).await?;
        let is_captured = |answer: &Answer| matches!(answer, Answer::Failed(why) if why.reason == money::CAPTURED);
        let captured: Vec<_> = (0..answers.len().min(due.len()))
            .filter(|&index| is_captured(&answers[index]))
            .collect();
        if captured.is_empty() {
            return Ok(answers);
        }
        let both = |&index: &usize| (due[index].clone(), orders[index].clone());
        let (due, orders): (Vec<_>, Vec<_>) = captured.iter().map(both).unzip();
        let refunded = self.refund(&due, &orders).await?;
        for (index, answer) in captured.into_iter().zip(refunded) {
            answers[index] = answer;
        }
        Ok(answers)
    }
}

fn in_order(due: &[Due], mut orders: HashMap<Uuid, Order>) -> Result<Vec<Order>, Status> {
    let order = |due: &Due| orders.remove(&due.id).ok_or_else(|| incomplete("order"));
    due.iter().map(order).collect()
}

fn ids(due: &[Due]) -> Vec<Uuid> {
    due.iter().map(|order| order.id).collect()
}

/// Returns the indices of the orders with goods: the others need no stock.
fn with_goods(orders: &[Order]) -> Vec<usize> {
    let has_goods = |&index: &usize| orders[index].lines.iter().any(|line| !line.charge);
    (0..orders.len()).filter(has_goods).collect()
}

fn reservations(orders: &[Order], of: &[usize]) -> Vec<String> {
    of.iter()
        .map(|&index| orders[index].order_id.to_string())
        .collect()
}

/// Returns the end of an order, and why if it was not paid.
fn end(step: &Move<OrderStep>) -> Result<(Uuid, State, Option<&str>), Error> {
    let Some(outcome) = &step.outcome else {
        return Ok((step.id, State::Paid, None));
    };
    let state = outcome.end.parse();
    let state = state.map_err(|_| Error::Corrupt("saga.outcome"))?;
    Ok((step.id, state, Some(&outcome.reason)))
}

/// Publishes the payment of each paid order, and the end of each order for every import that waits
/// for it; also of an order that a client placed.
async fn publish_ends(
    tx: &mut PgConnection,
    ended: &[(Uuid, State, Option<&str>)],
    paid: &[Paid],
) -> Result<(), Error> {
    let ids: Vec<_> = ended.iter().map(|(id, ..)| *id).collect();
    let mut waiting = orders::waiting(tx, &ids).await?;
    let mut facts = Facts::new();
    for paid in paid {
        facts.add(&order_paid(paid))?;
    }
    for &(id, state, reason) in ended {
        let groups = waiting.remove(&id).unwrap_or_default();
        let groups: Vec<_> = match groups.is_empty() {
            true => vec![None],
            false => groups.into_iter().map(Some).collect(),
        };
        for group in groups {
            facts.add(&order_settled(id, Some(state), reason, group))?;
        }
    }
    Ok(facts.publish(tx).await?)
}
