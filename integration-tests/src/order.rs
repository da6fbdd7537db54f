//! Orders for tests, and calls about them.

use anyhow::{Context, Result, ensure};
use protos::{
    inventory::v1::{CountStockRequest, GetStockRequest, Stock, StockCount},
    orders::v1::{DeliveryState, GetOrderRequest, Order, OrderLine, OrderState, PlaceOrderRequest},
    payments::v1::{GetPaymentRequest, Payment},
};

use crate::{Mesh, eventually};

/// Civil time of test orders.
pub const PLACED_AT: &str = "2010-12-01T08:26:00";

/// Returns an order of these SKUs, each with pieces and unit price in minor units.
pub fn request(request_id: &str, lines: &[(&str, i64, i64)]) -> PlaceOrderRequest {
    let line = |&(sku, quantity, unit_price_minor): &(&str, i64, i64)| OrderLine {
        sku: sku.to_owned(),
        description: format!("TEST {sku}"),
        quantity,
        unit_price_minor,
        charge: false,
    };
    PlaceOrderRequest {
        request_id: request_id.to_owned(),
        account_id: "17850".to_owned(),
        placed_at: PLACED_AT.to_owned(),
        currency_code: "GBP".to_owned(),
        lines: lines.iter().map(line).collect(),
    }
}

impl Mesh {
    /// Counts pieces of a SKU into stock, once.
    ///
    /// # Errors
    /// When inventory rejects the call.
    pub async fn count(&self, sku: &str, quantity: i64) -> Result<()> {
        let count = StockCount {
            request_id: format!("opening-{sku}"),
            sku: sku.to_owned(),
            quantity,
        };
        self.inventory()?
            .count_stock(CountStockRequest {
                counts: vec![count],
            })
            .await?;
        Ok(())
    }

    /// Places an order.
    ///
    /// # Errors
    /// When orders rejects the call.
    pub async fn place(&self, request: PlaceOrderRequest) -> Result<Order> {
        let response = self.orders()?.place_order(request).await?.into_inner();
        response.order.context("an order")
    }

    /// Waits until the order is in that state.
    ///
    /// # Errors
    /// When that does not happen in time; names the last state.
    pub async fn order_in(&self, order_id: &str, state: OrderState) -> Result<Order> {
        let mut orders = self.orders()?;
        eventually(state.as_str_name(), async || {
            let request = GetOrderRequest {
                order_id: order_id.to_owned(),
            };
            let order = orders
                .get_order(request)
                .await?
                .into_inner()
                .order
                .context("an order")?;
            ensure!(
                order.state() == state,
                "{:?} {}",
                order.state(),
                order.reason
            );
            Ok(order)
        })
        .await
    }

    /// Waits until the order is settled, in any final state.
    ///
    /// # Errors
    /// When that does not happen in time; names the last state.
    pub async fn order_at_end(&self, order_id: &str) -> Result<Order> {
        let mut orders = self.orders()?;
        eventually("the order's end", async || {
            let request = GetOrderRequest {
                order_id: order_id.to_owned(),
            };
            let order = orders
                .get_order(request)
                .await?
                .into_inner()
                .order
                .context("an order")?;
            let open = matches!(order.state(), OrderState::Pending | OrderState::Confirmed);
            ensure!(!open, "{:?}", order.state());
            Ok(order)
        })
        .await
    }

    /// Returns the stock of a SKU.
    ///
    /// # Errors
    /// When inventory does not know it.
    pub async fn stock(&self, sku: &str) -> Result<Stock> {
        let request = GetStockRequest {
            sku: sku.to_owned(),
        };
        self.inventory()?
            .get_stock(request)
            .await?
            .into_inner()
            .stock
            .context("stock")
    }

    /// Waits until the delivery of the order is in that state.
    ///
    /// # Errors
    /// When that does not happen in time; names the last state.
    pub async fn order_delivery(&self, order_id: &str, state: DeliveryState) -> Result<Order> {
        let mut orders = self.orders()?;
        eventually(state.as_str_name(), async || {
            let request = GetOrderRequest {
                order_id: order_id.to_owned(),
            };
            let order = orders.get_order(request).await?.into_inner().order;
            let order = order.context("an order")?;
            ensure!(order.delivery() == state, "{:?}", order.delivery());
            Ok(order)
        })
        .await
    }

    /// Waits until no piece of the SKU is reserved; returns its stock.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub async fn stock_at_rest(&self, sku: &str) -> Result<Stock> {
        eventually("no piece reserved", async || {
            let stock = self.stock(sku).await?;
            ensure!(stock.reserved == 0, "{} reserved", stock.reserved);
            Ok(stock)
        })
        .await
    }

    /// Returns the payment of an order.
    ///
    /// # Errors
    /// When payments does not know it.
    pub async fn payment(&self, order_id: &str) -> Result<Payment> {
        let request = GetPaymentRequest {
            payment_id: order_id.to_owned(),
        };
        self.payments()?
            .get_payment(request)
            .await?
            .into_inner()
            .payment
            .context("a payment")
    }
}
