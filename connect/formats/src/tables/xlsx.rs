//! Rows of a sheet of an Excel workbook. A sheet is in memory: its parts refer to each other.

mod check;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use calamine::{DataRef, ExcelDateTime, Reader as _, Xlsx, XlsxError};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use super::header::Header;
use crate::error::{Flaw, Place, Refusal, cut, rules};
use crate::limits::{MAX_CELLS, MAX_COLUMNS, MAX_MEMORY_BYTES};
use crate::settings::Settings;
use crate::unpack::{Bound, Input, whole};
use crate::value::{Record, Value};

/// Rows of a sheet.
pub(crate) struct Sheet {
    rows: std::vec::IntoIter<Result<Record, Flaw>>,
}

/// A cell with its column, or the rule that it breaks.
type Cell = (usize, Result<Value, (&'static str, String)>);

/// A row by the number that the sheet shows.
type Row = (u64, Vec<Cell>);

// === impl Sheet ===

impl Sheet {
    /// Reads a workbook.
    pub(crate) fn open(
        input: Input,
        settings: &Settings,
        required: &[String],
        bound: Bound,
    ) -> Result<Self, Refusal> {
        let bytes = whole(input, bound, MAX_MEMORY_BYTES)?;
        check::members(&bytes)?;
        let read = AssertUnwindSafe(|| rows(bytes, settings.sheet.as_deref()));
        // The bytes may be anything, and the library counts on what workbooks mostly are.
        let rows = catch_unwind(read).unwrap_or_else(|_| {
            let value = "the workbook is malformed";
            Err(Refusal::new(rules::CORRUPT, Place::default(), value))
        })?;
        let mut rows = rows
            .into_iter()
            .filter(|(number, _)| *number > u64::from(settings.skip.unwrap_or(0)));
        let header = match settings.has_header() {
            true => header(rows.next(), required)?,
            false => {
                let names = settings.declared().unwrap_or_default();
                Header::new(names.iter().map(String::as_str))
            }
        };
        let records: Vec<_> = rows.map(|row| record(row, &header)).collect();
        Ok(Sheet {
            rows: records.into_iter(),
        })
    }

    /// Returns the next record.
    pub(crate) fn next(&mut self) -> Option<Result<Record, Flaw>> {
        self.rows.next()
    }
}

fn refusal(error: &XlsxError) -> Refusal {
    let rule = match error {
        XlsxError::WorksheetNotFound(_) => rules::SHEET_MISSING,
        _ => rules::CORRUPT,
    };
    Refusal::new(rule, Place::default(), error.to_string())
}

/// Reads all rows that have a cell with a value.
fn rows(bytes: Vec<u8>, sheet: Option<&str>) -> Result<Vec<Row>, Refusal> {
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(|error| refusal(&error))?;
    let is_1904 = book.has_1904_epoch();
    let names = book.sheet_names();
    let Some(name) = sheet.or(names.first().map(String::as_str)) else {
        let value = "the workbook has no sheet";
        return Err(Refusal::new(rules::SHEET_MISSING, Place::default(), value));
    };
    let cells = book.worksheet_cells_reader(name);
    let mut cells = cells.map_err(|error| refusal(&error))?;
    let mut rows: Vec<Row> = Vec::new();
    let (mut count, mut bytes) = (0, 0);
    while let Some(cell) = cells
        .next_cell_with_formula_metadata()
        .map_err(|error| refusal(&error))?
    {
        let (row, column) = (u64::from(cell.pos.0) + 1, cell.pos.1 as usize);
        let place = Place::row(None, row);
        let value = match value(&cell.value, is_1904) {
            Ok(Value::Null) if cell.formula.is_some() => {
                let text = "its result was never stored".to_owned();
                Err((rules::FORMULA_WITHOUT_VALUE, text))
            }
            Ok(Value::Null) => continue,
            other => other,
        };
        count += 1;
        bytes += match &value {
            Ok(Value::Text(text)) | Err((_, text)) => text.len() as u64,
            Ok(_) => 0,
        };
        if count > MAX_CELLS || bytes > MAX_MEMORY_BYTES {
            let value = format!("more than {MAX_CELLS} cells or {MAX_MEMORY_BYTES} bytes of text");
            return Err(Refusal::new(rules::UNIT_TOO_LARGE, place, value));
        }
        if column >= MAX_COLUMNS {
            let value = format!("more than {MAX_COLUMNS}");
            return Err(Refusal::new(rules::TOO_MANY_COLUMNS, place, value));
        }
        match rows.last_mut() {
            Some((last, cells)) if *last == row => cells.push((column, value)),
            Some((last, _)) if *last > row => {
                return Err(Refusal::new(rules::CORRUPT, place, "rows out of order"));
            }
            _ => rows.push((row, vec![(column, value)])),
        }
    }
    Ok(rows)
}

fn header(row: Option<Row>, required: &[String]) -> Result<Header, Refusal> {
    let Some((number, cells)) = row else {
        let value = "the sheet has no row";
        return Err(Refusal::new(rules::HEADER_MISSING, Place::default(), value));
    };
    let place = Place::row(None, number);
    let width = cells.iter().map(|(column, _)| column + 1).max().unwrap_or(0);
    let mut names = vec![String::new(); width];
    for (column, value) in cells {
        if let (Some(name), Ok(value)) = (names.get_mut(column), value) {
            *name = value.shown().trim().to_owned();
        }
    }
    let header = Header::new(names.iter().map(String::as_str));
    header.require(required, &place)?;
    Ok(header)
}

fn record((number, cells): Row, header: &Header) -> Result<Record, Flaw> {
    let place = Place::row(None, number);
    let raw = raw(&cells);
    let mut values: Vec<Value> = vec![Value::Null; header.width()];
    for (column, value) in cells {
        let name = || {
            let found = header.names().find(|(at, _)| *at == column);
            found.map(|(_, name)| name.to_string())
        };
        let (rule, value, column) = match (value, values.get_mut(column)) {
            (Ok(value), Some(slot)) => {
                *slot = value;
                continue;
            }
            (Ok(_), None) => {
                let width = header.width();
                let value = format!("{} of {width} columns", column + 1);
                (rules::WIDTH, value, None)
            }
            (Err((rule, value)), _) => (rule, value, name()),
        };
        return Err(Flaw {
            number: 0,
            place,
            column,
            rule,
            value: cut(&value),
            raw,
        });
    }
    let fields = header.names().map(|(at, name)| {
        let value = values.get_mut(at).map(std::mem::take);
        (name.clone(), value.unwrap_or(Value::Null))
    });
    let value = Value::Map(fields.collect());
    Ok(Record {
        number: 0,
        place,
        value,
        raw,
    })
}

/// Returns the cells as text with tabs between them.
fn raw(cells: &[Cell]) -> Vec<u8> {
    let texts: Vec<String> = cells
        .iter()
        .map(|(_, value)| match value {
            Ok(value) => value.shown(),
            Err((_, text)) => text.clone(),
        })
        .collect();
    crate::error::kept(texts.join("\t").as_bytes())
}

fn value(cell: &DataRef<'_>, is_1904: bool) -> Result<Value, (&'static str, String)> {
    let text = |text: &str| match text.contains('\0') {
        true => Err((rules::NUL, text.to_owned())),
        false => Ok(Value::Text(text.to_owned())),
    };
    match cell {
        DataRef::Empty => Ok(Value::Null),
        DataRef::Int(value) => Ok(Value::Int(*value)),
        DataRef::Float(value) if value.fract() == 0.0 && value.abs() < 1e15 => {
            Ok(Value::Int(*value as i64))
        }
        DataRef::Float(value) => Ok(Value::Float(*value)),
        DataRef::String(own) => text(own),
        DataRef::SharedString(own) => text(own),
        DataRef::Bool(value) => Ok(Value::Bool(*value)),
        DataRef::DateTime(time) => date(time, is_1904),
        DataRef::DateTimeIso(own) | DataRef::DurationIso(own) => match own.parse() {
            Ok(time) => Ok(Value::Local(time)),
            Err(_) => text(own),
        },
        DataRef::Error(error) => Err((rules::CELL_ERROR, error.to_string())),
    }
}

/// Reads a date, which is a number of days since an epoch.
fn date(time: &ExcelDateTime, is_1904: bool) -> Result<Value, (&'static str, String)> {
    const SECONDS_OF_DAY: f64 = 86_400.0;
    /// The day after 9999-12-31.
    const END: f64 = 2_958_466.0;
    const BETWEEN_EPOCHS: f64 = 1_462.0;
    let serial = time.as_f64();
    let wrong = || Err((rules::DATE, format!("the serial number {serial}")));
    let end = if is_1904 { END - BETWEEN_EPOCHS } else { END };
    if time.is_duration() {
        // CEL reads it so.
        return Ok(Value::Text(format!("{}s", (serial * SECONDS_OF_DAY).round())));
    }
    if !(0.0..end).contains(&serial) {
        return wrong();
    }
    let (year, month, day, hour, minute, second, milli) = time.to_ymd_hms_milli();
    let date = NaiveDate::from_ymd_opt(i32::from(year), u32::from(month), u32::from(day));
    let clock = NaiveTime::from_hms_milli_opt(
        u32::from(hour),
        u32::from(minute),
        u32::from(second),
        u32::from(milli),
    );
    match (date, clock) {
        // A time of day without a date.
        (_, Some(clock)) if serial < 1.0 && !is_1904 => {
            Ok(Value::Text(clock.format("%H:%M:%S%.f").to_string()))
        }
        (Some(date), Some(clock)) => Ok(Value::Local(NaiveDateTime::new(date, clock))),
        // 1900-02-29, which Excel believes in.
        _ => wrong(),
    }
}
