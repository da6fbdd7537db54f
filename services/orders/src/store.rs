//! The database of orders: orders, returns and sagas.

pub mod orders;
pub mod returns;
pub mod sagas;

use crate::model::{State, returns::Rule};

::store::text_enum!(State, Rule, sagas::Kind);
