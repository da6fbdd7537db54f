//! Groups the returns of a file: oldest first by account, the rows of one invoice and time
//! together.

use super::{Head, Invoice, Line, MAX_INVOICE_BYTES, MAX_INVOICE_ROWS};

/// Rows of a page: more than one invoice can have, so that a full page always holds a whole one.
pub const PAGE_ROWS: usize = MAX_INVOICE_ROWS + 1;

/// Groups rows that come in order of account, time, invoice number and row number.
///
/// The last group of a full page is left out: its other rows may be on the next one.
pub fn group(rows: Vec<(Head, Line)>) -> Vec<Invoice> {
    let full = rows.len() >= PAGE_ROWS;
    let mut invoices: Vec<Invoice> = Vec::new();
    let mut bytes = 0;
    for (head, line) in rows {
        bytes += line.bytes();
        match invoices.last_mut() {
            Some(last)
                if last.head == head
                    && last.lines.len() < MAX_INVOICE_ROWS
                    && bytes <= MAX_INVOICE_BYTES =>
            {
                last.lines.push(line);
            }
            _ => {
                bytes = line.bytes();
                invoices.push(Invoice::new(head, line));
            }
        }
    }
    if full {
        invoices.pop();
    }
    invoices
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::model::Kind;

    fn row(account_id: &str, invoice_number: &str, second: i64, row_number: i64) -> (Head, Line) {
        let head = Head {
            kind: Kind::Return,
            invoice_number: invoice_number.to_owned(),
            account_id: account_id.to_owned(),
            guest: false,
            time: DateTime::UNIX_EPOCH.naive_utc() + TimeDelta::seconds(second),
        };
        let (sku, description) = ("10001".to_owned(), String::new());
        (
            head,
            Line {
                row_number,
                sku,
                description,
                quantity: 1,
                unit_price_minor: 1,
                charge: false,
            },
        )
    }

    fn rows_of(invoices: &[Invoice]) -> Vec<Vec<i64>> {
        invoices
            .iter()
            .map(|invoice| invoice.lines.iter().map(|line| line.row_number).collect())
            .collect()
    }

    #[test]
    fn account_invoice_and_time_make_a_return() {
        let rows = vec![
            row("1", "C1", 0, 5),
            row("1", "C1", 0, 9),
            row("1", "C2", 0, 1),
            row("1", "C1", 7, 2),
            row("2", "C1", 7, 3),
        ];
        assert_eq!(
            rows_of(&group(rows)),
            [vec![5, 9], vec![1], vec![2], vec![3]]
        );
    }

    #[test]
    fn a_full_page_keeps_back_what_may_go_on() {
        let many = (1..=PAGE_ROWS as i64)
            .map(|number| row("1", if number < 10 { "C1" } else { "C2" }, 0, number));
        let invoices = group(many.collect());
        assert_eq!(rows_of(&invoices), [(1..10).collect::<Vec<_>>()]);
    }

    #[test]
    fn a_return_without_end_is_cut() {
        let many = (1..=PAGE_ROWS as i64).map(|number| row("1", "C1", 0, number));
        let invoices = group(many.collect());
        assert_eq!(
            rows_of(&invoices),
            [(1..=MAX_INVOICE_ROWS as i64).collect::<Vec<_>>()]
        );
    }
}
