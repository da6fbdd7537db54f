//! The database of orders: orders, returns and sagas.

pub mod orders;
pub mod returns;
pub mod sagas;
