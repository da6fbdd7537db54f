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
        let number = pending.rows.len() as i64 + 1;
        let decision = match text {
            "-" => refused(number),
            _ => row(
                text.trim_end_matches(|c: char| c.is_ascii_digit()),
                digits(text),
                number,
            ),
        };
        pending.push(read(decision, number, text));
    }
    pending
}

/// Each record is ten bytes.
fn read(decision: Decision, row_number: i64, text: &str) -> ReadRow {
    ReadRow {
        row_number,
        end: row_number * 10,
        decision,
        excerpt: text.to_owned(),
    }
}

fn digits(text: &str) -> u8 {
    text.trim_start_matches(|c: char| !c.is_ascii_digit())
        .parse()
        .unwrap()
}

fn cut(pending: &mut PendingRows, known: &[u8], end: Option<i64>) -> Batch {
    accept(pending, known, None, end).1
}

/// Returns the numbers of the accepted rows, and the batch.
fn accept(
    pending: &mut PendingRows,
    known: &[u8],
    closed_invoice: Option<&str>,
    end: Option<i64>,
) -> (Vec<i64>, Batch) {
    let known = known.iter().map(|&content| [content; 32]).collect();
    let judgement = pending.judge(&known, closed_invoice, end);
    let accepted = pending.accepted(&judgement);
    let accepted = accepted.iter().map(|(number, _)| *number).collect();
    (accepted, pending.cut(judgement))
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
    assert_eq!(pending.end(), 40);
    let (accepted, nothing) = accept(&mut pending, &[], None, None);
    assert_eq!(
        (nothing.offset, nothing.rows_read, accepted.len()),
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
    let (accepted, batch) = accept(&mut pending("A1 A1 A2 A7 B1"), &[7], None, Some(50));
    assert_eq!(
        (sales(&batch), duplicates(&batch)),
        (vec![vec![1, 3]], vec![2, 4, 5])
    );
    assert_eq!(batch.rejected[0].value, "A1");
    assert_eq!(accepted, [1, 3]);
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

/// Rows of one invoice, all different, and one of the next.
fn long(rows: usize, description: &str) -> PendingRows {
    let mut pending = PendingRows::new(0, 0);
    for number in 1..=rows as i64 {
        let Decision::Accepted(mut row) = row("A", 0, number) else {
            unreachable!()
        };
        row.hash[..8].copy_from_slice(&number.to_be_bytes());
        row.line.description = description.to_owned();
        pending.push(read(Decision::Accepted(row), number, ""));
    }
    let next = rows as i64 + 1;
    pending.push(read(row("B", 99, next), next, ""));
    pending
}

#[test]
fn an_invoice_of_the_largest_size_is_published() {
    let batch = cut(&mut long(MAX_INVOICE_ROWS, ""), &[], None);
    assert_eq!(batch.sales[0].lines.len(), MAX_INVOICE_ROWS);
    assert!(batch.rejected.is_empty());
}

#[test]
fn nothing_of_an_invoice_with_too_many_rows_is_published() {
    let mut pending = long(MAX_INVOICE_ROWS + 2, "");
    let (accepted, batch) = accept(&mut pending, &[], None, None);
    assert_eq!((batch.sales.len(), accepted.len()), (0, 0));
    assert_eq!(batch.rejected.len(), MAX_INVOICE_ROWS + 2);
    let is_refused = |rejection: &Rejection| rejection.rule == Rule::InvoiceTooLarge;
    assert!(batch.rejected.iter().all(is_refused));
    assert_eq!(batch.closed_invoice.as_deref(), Some("A"));
}

#[test]
fn later_rows_of_an_invoice_that_is_too_large_are_refused_in_the_next_batch_too() {
    let mut later = PendingRows::new(0, 0);
    // The second one is equal to the first, which nobody has accepted.
    for (number, row) in [
        (1, row("A", 1, 1)),
        (2, row("A", 1, 2)),
        (3, row("B", 2, 3)),
    ] {
        later.push(read(row, number, ""));
    }
    let (accepted, batch) = accept(&mut later, &[], Some("A"), Some(30));
    assert_eq!(accepted, [3]);
    let rules: Vec<_> = batch
        .rejected
        .iter()
        .map(|rejection| rejection.rule)
        .collect();
    assert_eq!(rules, [Rule::InvoiceTooLarge; 2]);
    assert_eq!(batch.closed_invoice.as_deref(), Some("A"));
}

#[test]
fn an_invoice_is_bounded_in_bytes_as_well() {
    let (accepted, batch) = accept(&mut long(1000, &"x".repeat(1024)), &[], None, Some(0));
    assert_eq!(accepted, [1001]);
    assert_eq!(
        (batch.rejected.len(), sales(&batch)),
        (1000, vec![vec![1001]])
    );
}

#[test]
fn what_stands_behind_an_open_invoice_is_bounded() {
    let mut pending = pending("A1");
    let rows = MAX_SPAN_BYTES / ROW_BYTES;
    for number in 2..rows as i64 + 2 {
        pending.push(read(refused(number), number, ""));
    }
    let batch = cut(&mut pending, &[], None);
    assert_eq!((batch.sales.len(), batch.closed_invoice), (1, None));
    assert!(pending.rows.is_empty());
}
