use std::{collections::HashSet, sync::LazyLock};

use proptest::prelude::*;

use super::*;
use crate::model::{Batch, Hash, PendingRows, Sources};

const FILE: &str =
    "\u{feff}InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\r
536365,10001,\"MUG, \"\"RED\"\"\r\nLARGE\",6,2010-12-01 08:26:00,2.55,17850.0,UK\r
536365,10002,CUP,1,2010-12-01 08:26:00,0.00,17850.0,UK\r
536365,10001,\"MUG, \"\"RED\"\" LARGE\",6,2010-12-01 08:26:00,2.550,17850,UK\r
\r
536366,POST,POSTAGE,1,2010-12-01 08:28:00,18.00,,UK
536366,10003,BOWL,2,2010-12-01 08:28:00,1.00,,UK,?
C536367,10001,MUG,-1,2010-12-01 09:00:00,2.55,17850,UK
536368,10004,CRÈME,3,2010-12-01 09:01:00,1.00,17851,UK";

/// The result of reading a file.
#[derive(Debug, Default, PartialEq)]
struct Books {
    rows_read: i64,
    rejected: Vec<(i64, &'static str)>,
    sales: Vec<(String, Vec<i64>)>,
    returns: Vec<i64>,
    hashes: HashSet<Hash>,
}

impl Books {
    /// Cuts the pending rows, as a commit does; returns the offset and the rows read.
    fn cut(&mut self, pending: &mut PendingRows, end: Option<i64>) -> (i64, i64) {
        let judgement = pending.judge(&self.hashes, None, end);
        for (_, hash) in pending.accepted(&judgement) {
            assert!(self.hashes.insert(*hash), "accepted twice");
        }
        let batch = pending.cut(judgement);
        let reached = (batch.offset, batch.rows_read);
        self.add(batch);
        reached
    }

    fn add(&mut self, batch: Batch) {
        self.rows_read = batch.rows_read;
        self.rejected.extend(
            batch
                .rejected
                .iter()
                .map(|rejection| (rejection.row_number, <&str>::from(rejection.rule))),
        );
        self.sales.extend(batch.sales.into_iter().map(|sale| {
            (
                sale.head.invoice_number,
                sale.lines.iter().map(|line| line.row_number).collect(),
            )
        }));
        self.returns
            .extend(batch.returns.iter().map(|row| row.line.row_number));
    }
}

static MAPPING: LazyLock<Arc<Mapping>> = LazyLock::new(|| {
    Sources::load("")
        .unwrap()
        .get("online-retail")
        .unwrap()
        .clone()
});

fn take(intake: &mut Intake, pending: &mut PendingRows, mut bytes: &[u8]) {
    while let Some(row) = intake.next(&mut bytes).unwrap() {
        pending.push(row);
    }
}

fn end(mut intake: Intake, mut pending: PendingRows, size: usize, mut books: Books) -> Books {
    while let Some(row) = intake.finish().unwrap() {
        pending.push(row);
    }
    let (offset, _) = books.cut(&mut pending, Some(size as i64));
    assert_eq!(offset, size as i64);
    books
}

fn whole(file: &[u8]) -> Books {
    let (mut intake, mut pending) = (Intake::from_start(MAPPING.clone()), PendingRows::new(0, 0));
    take(&mut intake, &mut pending, file);
    end(intake, pending, file.len(), Books::default())
}

#[test]
fn a_file_becomes_rows_and_invoices() {
    let books = whole(FILE.as_bytes());
    assert_eq!(books.rows_read, 7);
    assert_eq!(
        books.rejected,
        [
            (2, "PRICE_NOT_POSITIVE"),
            (3, "DUPLICATE_ROW"),
            (5, "MALFORMED")
        ]
    );
    let sales = [
        ("536365", vec![1]),
        ("536366", vec![4]),
        ("536368", vec![7]),
    ];
    assert_eq!(
        books.sales,
        sales.map(|(invoice, rows)| (invoice.to_owned(), rows))
    );
    assert_eq!(books.returns, [6]);
}

#[test]
fn chunks_may_end_at_every_byte() {
    let file = FILE.as_bytes();
    let expected = whole(file);
    for at in 0..=file.len() {
        let (mut intake, mut pending) =
            (Intake::from_start(MAPPING.clone()), PendingRows::new(0, 0));
        take(&mut intake, &mut pending, &file[..at]);
        take(&mut intake, &mut pending, &file[at..]);
        assert_eq!(
            end(intake, pending, file.len(), Books::default()),
            expected,
            "cut at {at}"
        );
    }
}

#[test]
fn an_upload_that_breaks_at_any_byte_goes_on_without_losing_or_repeating_a_row() {
    let file = FILE.as_bytes();
    let expected = whole(file);
    for at in 0..=file.len() {
        let (mut books, mut intake) = (Books::default(), Intake::from_start(MAPPING.clone()));
        let mut pending = PendingRows::new(0, 0);
        take(&mut intake, &mut pending, &file[..at]);
        let (offset, rows_read) = books.cut(&mut pending, None);
        let header = intake.header().to_vec();
        let mut resumed = match offset {
            0 => Intake::from_start(MAPPING.clone()),
            _ => Intake::resume(MAPPING.clone(), header, offset, rows_read).unwrap(),
        };
        let mut pending = PendingRows::new(offset, rows_read);
        take(&mut resumed, &mut pending, &file[offset as usize..]);
        assert_eq!(
            end(resumed, pending, file.len(), books),
            expected,
            "broken at {at}, resumed at {offset}"
        );
    }
}

#[test]
fn rows_after_a_quote_that_is_never_closed_are_read() {
    let header = FILE.lines().next().unwrap();
    let mut file = format!("{header}\n");
    for row in 0..51 {
        let quote = if row == 10 { "\"" } else { "" };
        let invoice = 536_365 + row;
        file.push_str(&format!(
            "{invoice},10001,{quote}MUG,6,2010-12-01 08:26:00,2.55,17850,UK\n"
        ));
    }
    let books = whole(file.as_bytes());
    assert_eq!((books.rows_read, books.sales.len()), (51, 50));
    assert_eq!(books.rejected, [(11, "UNTERMINATED_QUOTE")]);
}

#[test]
fn a_header_must_name_the_columns() {
    let mut intake = Intake::from_start(MAPPING.clone());
    let missing = intake.next(&mut &b"a,b\n"[..]).unwrap_err();
    assert_eq!(missing, MissingColumn("InvoiceNo".to_owned()));
    for file in ["", "\n"] {
        let mut intake = Intake::from_start(MAPPING.clone());
        assert!(intake.next(&mut file.as_bytes()).unwrap().is_none());
        assert!(intake.finish().is_err(), "{file:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_behind_a_header_are_rows(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b",\"\n\r1C.-".to_vec())], 0..400),
    ) {
        let mut file = FILE.lines().next().unwrap().as_bytes().to_vec();
        file.push(b'\n');
        file.extend(bytes);
        let books = whole(&file);
        let decided = books.rejected.len() + books.hashes.len();
        prop_assert_eq!(decided as i64, books.rows_read);
    }
}
