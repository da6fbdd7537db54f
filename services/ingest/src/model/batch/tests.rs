use chrono::{DateTime, TimeDelta};

use super::*;
use crate::model::{Head, Line};

/// A row of `invoice`; rows with the same `content` are equal.
fn row(invoice: &str, content: u8, row_number: i64) -> Decision {
    let kind = if invoice.starts_with('C') {
        Kind::Return
    } else {
        Kind::Sale
    };
    let head = Head {
        kind,
        invoice_number: invoice.to_owned(),
        account_id: "1".to_owned(),
        guest: false,
        time: DateTime::UNIX_EPOCH.naive_utc() - TimeDelta::seconds(row_number),
    };
    let (sku, description) = ("10001".to_owned(), String::new());
    let line = Line {
        row_number,
        sku,
        description,
        quantity: 1,
        unit_price_minor: 1,
        charge: false,
    };
    Decision::Accepted(Row {
        head,
        line,
        hash: [content; 32],
    })
}

fn refused(row_number: i64) -> Decision {
    Decision::Rejected(Rejection {
        row_number,
        column: None,
        rule: Rule::Malformed,
        value: String::new(),
    })
}

/// Each row is ten bytes; `-` is a refused one, `A1` a row of invoice A with content 1.
fn pending(rows: &str) -> PendingRows {
    let mut pending = PendingRows::new(0, 0);
    for text in rows.split_whitespace() {
        let number = pending.next_row();
        let decision = match text {
            "-" => refused(number),
            _ => row(
                text.trim_end_matches(|c: char| c.is_ascii_digit()),
                digits(text),
                number,
            ),
        };
        pending.push(decision, number * 10, text.to_owned());
    }
    pending
}

fn digits(text: &str) -> u8 {
    text.trim_start_matches(|c: char| !c.is_ascii_digit())
        .parse()
        .unwrap()
}

fn cut(pending: &mut PendingRows, known: &[u8], end: Option<i64>) -> Batch {
    pending.cut(
        &known.iter().map(|&content| [content; 32]).collect(),
        None,
        end,
    )
}

fn sales(batch: &Batch) -> Vec<Vec<i64>> {
    batch
        .sales
        .iter()
        .map(|sale| sale.lines.iter().map(|line| line.row_number).collect())
        .collect()
}

fn duplicates(batch: &Batch) -> Vec<i64> {
    let found = batch
        .rejected
        .iter()
        .filter(|rejection| rejection.rule == Rule::DuplicateRow);
    found.map(|rejection| rejection.row_number).collect()
}

#[test]
fn an_open_invoice_waits() {
    let mut pending = pending("A1 A2 B3 B4");
    let batch = cut(&mut pending, &[], None);
    assert_eq!(
        (batch.offset, batch.rows_read, sales(&batch)),
        (20, 2, vec![vec![1, 2]])
    );
    assert_eq!(pending.next_row(), 5);
    let nothing = cut(&mut pending, &[], None);
    assert_eq!(
        (nothing.offset, nothing.rows_read, nothing.accepted.len()),
        (20, 2, 0)
    );
    let last = cut(&mut pending, &[], Some(45));
    assert_eq!(
        (last.offset, last.rows_read, sales(&last)),
        (45, 4, vec![vec![3, 4]])
    );
}

#[test]
fn refused_rows_between_do_not_end_an_invoice() {
    let batch = cut(&mut pending("- A1 - A2 - B3 -"), &[], None);
    assert_eq!((batch.offset, sales(&batch)), (50, vec![vec![2, 4]]));
    assert_eq!(batch.rejected.len(), 3);
}

#[test]
fn a_repeated_row_of_another_invoice_does_not_end_one_either() {
    let batch = cut(&mut pending("A1 B9 A2"), &[9], Some(30));
    assert_eq!(
        (sales(&batch), duplicates(&batch)),
        (vec![vec![1, 3]], vec![2])
    );
    let batch = cut(&mut pending("A1 B9 A2"), &[], Some(30));
    assert_eq!(sales(&batch), [vec![1], vec![2], vec![3]]);
}

#[test]
fn equal_rows_are_accepted_once() {
    let batch = cut(&mut pending("A1 A1 A2 A7 B1"), &[7], Some(50));
    assert_eq!(
        (sales(&batch), duplicates(&batch)),
        (vec![vec![1, 3]], vec![2, 4, 5])
    );
    assert_eq!(batch.rejected[0].value, "A1");
    let numbers: Vec<_> = batch.accepted.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 3]);
}

#[test]
fn without_an_open_invoice_all_is_taken() {
    let batch = cut(&mut pending("- - -"), &[], None);
    assert_eq!(
        (batch.offset, batch.rows_read, batch.rejected.len()),
        (30, 3, 3)
    );
    let batch = cut(&mut pending("A1 A2"), &[1, 2], None);
    assert_eq!((batch.offset, batch.rejected.len()), (20, 2));
}

#[test]
fn returns_are_put_aside_and_end_sales() {
    let batch = cut(&mut pending("A1 C2 C3 A4"), &[], Some(40));
    assert_eq!(sales(&batch), [vec![1], vec![4]]);
    assert_eq!(
        batch
            .returns
            .iter()
            .map(|row| row.line.row_number)
            .collect::<Vec<_>>(),
        [2, 3]
    );
}

#[test]
fn an_invoice_is_placed_at_the_time_of_its_earliest_row() {
    let batch = cut(&mut pending("A1 A2"), &[], Some(20));
    assert_eq!(
        batch.sales[0].head.time,
        DateTime::UNIX_EPOCH.naive_utc() - TimeDelta::seconds(2)
    );
}

/// Rows of one invoice, all different.
fn long(rows: usize, description: &str) -> PendingRows {
    let mut pending = PendingRows::new(0, 0);
    for number in 1..=rows as i64 {
        let Decision::Accepted(mut row) = row("A", 0, number) else {
            unreachable!()
        };
        row.hash[..8].copy_from_slice(&number.to_be_bytes());
        row.line.description = description.to_owned();
        pending.push(Decision::Accepted(row), number * 10, String::new());
    }
    pending
}

#[test]
fn an_invoice_without_end_is_closed_and_its_further_rows_are_refused() {
    let mut pending = long(MAX_INVOICE_ROWS + 2, "");
    let batch = cut(&mut pending, &[], None);
    assert_eq!(
        (batch.sales.len(), batch.accepted.len()),
        (1, MAX_INVOICE_ROWS)
    );
    assert_eq!(
        (batch.rejected.len(), batch.rejected[0].rule),
        (2, Rule::InvoiceTooLarge)
    );
    assert_eq!(batch.closed_invoice.as_deref(), Some("A"));

    let mut later = super::PendingRows::new(batch.offset, batch.rows_read);
    later.push(
        row("A", 1, later.next_row()),
        batch.offset + 10,
        String::new(),
    );
    later.push(
        row("B", 2, later.next_row()),
        batch.offset + 20,
        String::new(),
    );
    let batch = later.cut(
        &HashSet::new(),
        batch.closed_invoice,
        Some(batch.offset + 20),
    );
    assert_eq!(
        (sales(&batch).len(), batch.rejected[0].rule),
        (1, Rule::InvoiceTooLarge)
    );
    assert_eq!(batch.closed_invoice.as_deref(), Some("A"));
}

#[test]
fn an_invoice_is_bounded_in_bytes_as_well() {
    let batch = cut(&mut long(1000, &"x".repeat(1024)), &[], None);
    let bytes: usize = batch.sales[0].lines.iter().map(Line::bytes).sum();
    assert!((MAX_INVOICE_BYTES..1_000_000).contains(&bytes), "{bytes}");
    assert!(
        batch
            .rejected
            .iter()
            .all(|rejection| rejection.rule == Rule::InvoiceTooLarge)
    );
    assert_eq!(batch.accepted.len() + batch.rejected.len(), 1000);
}

#[test]
fn what_stands_behind_an_open_invoice_is_bounded() {
    let mut pending = pending("A1");
    let rows = MAX_SPAN_BYTES / ENTRY_BYTES;
    for _ in 0..rows {
        let number = pending.next_row();
        pending.push(refused(number), number * 10, String::new());
    }
    let batch = cut(&mut pending, &[], None);
    assert_eq!(
        (batch.sales.len(), batch.closed_invoice.as_deref()),
        (1, Some("A"))
    );
    assert!(pending.entries.is_empty());
}
