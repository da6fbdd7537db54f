//! The database of orders: orders, their history, returns. The sagas are in the tables of their
//! library.

pub mod history;
pub mod orders;
pub mod returns;

use crate::model::{Delivery, State, history::Change, returns::Rule};

::store::text_enum!(State, Delivery, Change, Rule);
