use std::{collections::HashSet, sync::LazyLock};

use proptest::prelude::*;

use super::*;
use crate::model::{Batch, Hash, Sources};

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
        for (_, hash) in batch.accepted {
            assert!(self.hashes.insert(hash), "accepted twice");
        }
    }
}

static MAPPING: LazyLock<Arc<Mapping>> = LazyLock::new(|| {
    Sources::load("")
        .unwrap()
        .get("online-retail")
        .unwrap()
        .clone()
});

fn take(intake: &mut Intake, mut bytes: &[u8]) {
    while intake.take(&mut bytes).unwrap() {}
}

fn end(mut intake: Intake, size: usize, mut books: Books) -> Books {
    intake.finish().unwrap();
    let batch = intake.pending().cut(&books.hashes, None, Some(size as i64));
    assert_eq!(batch.offset, size as i64);
    books.add(batch);
    books
}

fn whole(file: &[u8]) -> Books {
    let mut intake = Intake::from_start(MAPPING.clone());
    take(&mut intake, file);
    end(intake, file.len(), Books::default())
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
        let mut intake = Intake::from_start(MAPPING.clone());
        take(&mut intake, &file[..at]);
        take(&mut intake, &file[at..]);
        assert_eq!(
            end(intake, file.len(), Books::default()),
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
        take(&mut intake, &file[..at]);
        let batch = intake.pending().cut(&books.hashes, None, None);
        let (offset, rows_read, header) = (batch.offset, batch.rows_read, intake.header().to_vec());
        books.add(batch);
        let mut resumed = match offset {
            0 => Intake::from_start(MAPPING.clone()),
            _ => Intake::resume(MAPPING.clone(), header, offset, rows_read).unwrap(),
        };
        take(&mut resumed, &file[offset as usize..]);
        assert_eq!(
            end(resumed, file.len(), books),
            expected,
            "broken at {at}, resumed at {offset}"
        );
    }
}

#[test]
fn a_header_must_name_the_columns() {
    let mut intake = Intake::from_start(MAPPING.clone());
    assert_eq!(
        intake.take(&mut &b"a,b\n"[..]),
        Err(MissingColumn("InvoiceNo".to_owned()))
    );
    for file in ["", "\n"] {
        let mut intake = Intake::from_start(MAPPING.clone());
        take(&mut intake, file.as_bytes());
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
