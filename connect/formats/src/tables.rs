//! Formats whose records have the same columns.

mod csv;
mod header;
mod parquet;
mod xlsx;

pub(crate) use csv::Csv;
pub(crate) use parquet::Table;
pub(crate) use xlsx::Sheet;
