//! Turns rows into the parallel arrays that `unnest` takes.

/// Collects one `Vec` per expression from the rows of a collection, as a tuple in the order of the
/// expressions: the arguments of an `INSERT … SELECT … FROM unnest($1::text[], $2::bigint[])`.
///
/// The collection is anything with `iter()`.
///
/// ```
/// let lines = [("A", 2_i64), ("B", 5)];
/// let (skus, quantities) = store::columns!(lines, (sku, quantity) => sku.to_string(), *quantity);
/// assert_eq!(skus, ["A", "B"]);
/// assert_eq!(quantities, [2, 5]);
/// ```
#[macro_export]
macro_rules! columns {
    ($rows:expr, $row:pat => $($value:expr),+ $(,)?) => {{
        let rows = &$rows;
        // Each column reads a part of the row.
        #[allow(unused_variables)]
        let columns = ($(rows.iter().map(|$row| $value).collect::<Vec<_>>()),+);
        columns
    }};
}
