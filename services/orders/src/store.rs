//! The database of orders: orders and returns. The sagas are in the tables of their library.

pub mod orders;
pub mod returns;

use crate::model::{Delivery, State, returns::Rule};

::store::text_enum!(State, Delivery, Rule);
