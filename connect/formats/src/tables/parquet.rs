//! Rows of an Apache Parquet file: a batch of each column is in memory.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, Utc};
use parquet::basic::{LogicalType, TimeUnit};
use parquet::data_type::Decimal;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

use super::header::Header;
use crate::error::{Flaw, Place, Refusal, cut, kept, rules};
use crate::limits::{MAX_COLUMN_CHUNK_BYTES, MAX_COLUMNS, MAX_MEMORY_BYTES, MAX_RECORD_VALUES};
use crate::unpack::{Bound, Input, Packing, begin, whole};
use crate::value::{Record, Value};

/// Most decimals that the format allows.
const MAX_SCALE: usize = 38;

/// Rows of a Parquet file.
pub(crate) struct Table {
    rows: RowIter<'static>,
    /// By the order of the columns.
    columns: Vec<Column>,
    row: u64,
}

struct Column {
    name: Arc<str>,
    /// Of a moment: the unit, and whether it is in UTC.
    time: Option<(TimeUnit, bool)>,
}

// === impl Table ===

impl Table {
    /// Begins to read a file.
    pub(crate) fn open(input: Input, required: &[String], bound: Bound) -> Result<Self, Refusal> {
        if let Input::File(mut file) = input {
            use std::io::Seek;
            let whole_place = |error: std::io::Error| Refusal::of_io(&error, Place::default());
            let start = begin(&mut file).map_err(whole_place)?;
            file.rewind().map_err(whole_place)?;
            if Packing::of(&start) == Packing::None {
                return guarded(|| Table::new(file, required));
            }
            return Table::from_memory(Input::File(file), required, bound);
        }
        Table::from_memory(input, required, bound)
    }

    fn from_memory(input: Input, required: &[String], bound: Bound) -> Result<Self, Refusal> {
        let bytes = whole(input, bound, MAX_MEMORY_BYTES)?;
        guarded(|| Table::new(bytes::Bytes::from(bytes), required))
    }

    fn new<R: ChunkReader + 'static>(input: R, required: &[String]) -> Result<Self, Refusal> {
        let reader = SerializedFileReader::new(input).map_err(|error| refusal(&error, None))?;
        let metadata = reader.metadata();
        let schema = metadata.file_metadata().schema();
        let fields = schema.get_fields();
        if fields.len() > MAX_COLUMNS {
            let value = format!("{} columns; {MAX_COLUMNS} at most", fields.len());
            return Err(Refusal::new(rules::TOO_MANY_COLUMNS, Place::default(), value));
        }
        let chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
        let sizes = chunks.map(|chunk| chunk.uncompressed_size());
        if sizes.max().is_some_and(|size| size > MAX_COLUMN_CHUNK_BYTES) {
            let value = format!("a column of a row group has more than {MAX_COLUMN_CHUNK_BYTES} bytes");
            return Err(Refusal::new(rules::UNIT_TOO_LARGE, Place::default(), value));
        }
        Header::new(fields.iter().map(|field| field.name())).require(required, &Place::default())?;
        let columns = fields.iter().map(|field| Column {
            name: Arc::from(field.name()),
            time: time_of(field),
        });
        Ok(Table {
            columns: columns.collect(),
            rows: RowIter::from_file_into(Box::new(reader)),
            row: 0,
        })
    }

    /// Returns the next record.
    pub(crate) fn next(&mut self) -> Result<Option<Result<Record, Flaw>>, Refusal> {
        self.row += 1;
        let place = Place::row(None, self.row);
        let rows = &mut self.rows;
        match guarded(|| Ok(rows.next()))? {
            None => Ok(None),
            Some(Err(error)) => Err(refusal(&error, Some(place))),
            Some(Ok(row)) => Ok(Some(self.record(row, place))),
        }
    }

    fn record(&self, row: Row, place: Place) -> Result<Record, Flaw> {
        let mut values = 0;
        let mut fields = Vec::with_capacity(self.columns.len());
        let all = row.into_columns().into_iter().zip(&self.columns);
        let mut raw = String::new();
        for ((_, field), column) in all {
            match value(field, column.time.as_ref(), &mut values) {
                Ok(value) => {
                    if raw.len() < crate::limits::MAX_RAW_BYTES {
                        raw.push_str(&value.shown());
                        raw.push('\t');
                    }
                    fields.push((column.name.clone(), value));
                }
                Err((rule, value)) => {
                    return Err(Flaw {
                        number: 0,
                        place,
                        column: Some(column.name.to_string()),
                        rule,
                        value: cut(&value),
                        raw: kept(raw.as_bytes()),
                    });
                }
            }
        }
        Ok(Record {
            number: 0,
            place,
            value: Value::Map(fields),
            raw: kept(raw.trim_end().as_bytes()),
        })
    }
}

/// Turns a panic into a refusal: the bytes may be anything, and the library has assertions about
/// them.
fn guarded<T>(read: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        let value = "the file is malformed";
        Err(Refusal::new(rules::CORRUPT, Place::default(), value))
    })
}

fn refusal(error: &ParquetError, place: Option<Place>) -> Refusal {
    let rule = match error {
        ParquetError::EOF(_) => rules::TRUNCATED,
        _ => rules::CORRUPT,
    };
    Refusal::new(rule, place.unwrap_or_default(), error.to_string())
}

fn time_of(field: &Type) -> Option<(TimeUnit, bool)> {
    match field.get_basic_info().logical_type_ref() {
        Some(LogicalType::Timestamp(own)) => Some((own.unit, own.is_adjusted_to_u_t_c)),
        _ => None,
    }
}

fn value(
    field: Field,
    time: Option<&(TimeUnit, bool)>,
    values: &mut usize,
) -> Result<Value, (&'static str, String)> {
    *values += 1;
    if *values > MAX_RECORD_VALUES {
        let value = format!("more than {MAX_RECORD_VALUES} values");
        return Err((rules::RECORD_TOO_LARGE, value));
    }
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::Bool(value),
        Field::Byte(value) => Value::Int(value.into()),
        Field::Short(value) => Value::Int(value.into()),
        Field::Int(value) => Value::Int(value.into()),
        Field::Long(value) => match time {
            Some((TimeUnit::NANOS, is_utc)) => moment(Some(DateTime::from_timestamp_nanos(value)), *is_utc)?,
            _ => Value::Int(value),
        },
        Field::UByte(value) => Value::Int(value.into()),
        Field::UShort(value) => Value::Int(value.into()),
        Field::UInt(value) => Value::Int(value.into()),
        Field::ULong(value) => match i64::try_from(value) {
            Ok(value) => Value::Int(value),
            Err(_) => Value::Decimal(value.to_string().into()),
        },
        Field::Float16(value) => Value::Float(value.into()),
        // By its shortest text: 0.1 as a float is not 0.1 as a double.
        Field::Float(value) => Value::Float(value.to_string().parse().unwrap_or(value.into())),
        Field::Double(value) => Value::Float(value),
        Field::Decimal(value) => decimal(&value)?,
        Field::Str(text) if text.contains('\0') => return Err((rules::NUL, text)),
        Field::Str(text) => Value::Text(text),
        Field::Bytes(bytes) => Value::Bytes(bytes.data().to_vec()),
        Field::Date(days) => date(days)?,
        Field::TimeMillis(millis) => Value::Text(format!("{}s", f64::from(millis) / 1e3)),
        Field::TimeMicros(micros) => Value::Text(format!("{}s", micros as f64 / 1e6)),
        Field::TimestampMillis(millis) => {
            let is_utc = time.is_none_or(|(_, is_utc)| *is_utc);
            moment(DateTime::from_timestamp_millis(millis), is_utc)?
        }
        Field::TimestampMicros(micros) => {
            let is_utc = time.is_none_or(|(_, is_utc)| *is_utc);
            moment(DateTime::from_timestamp_micros(micros), is_utc)?
        }
        Field::Group(row) => {
            let mut fields = Vec::with_capacity(row.len());
            for (name, field) in row.into_columns() {
                fields.push((Arc::from(name), value(field, None, values)?));
            }
            Value::Map(fields)
        }
        Field::ListInternal(list) => {
            let mut items = Vec::with_capacity(list.elements().len());
            for field in list.elements() {
                items.push(value(field.clone(), None, values)?);
            }
            Value::List(items)
        }
        Field::MapInternal(map) => {
            let mut fields = Vec::with_capacity(map.entries().len());
            for (name, field) in map.entries() {
                let name = value(name.clone(), None, values)?.shown();
                fields.push((Arc::from(name), value(field.clone(), None, values)?));
            }
            Value::Map(fields)
        }
    })
}

fn moment(time: Option<DateTime<Utc>>, is_utc: bool) -> Result<Value, (&'static str, String)> {
    match time {
        Some(time) if is_utc => Ok(Value::Time(time)),
        Some(time) => Ok(Value::Local(time.naive_utc())),
        None => Err((rules::DATE, "out of range".to_owned())),
    }
}

fn date(days: i32) -> Result<Value, (&'static str, String)> {
    let epoch = NaiveDate::default();
    let count = Days::new(u64::from(days.unsigned_abs()));
    let date = match days < 0 {
        true => epoch.checked_sub_days(count),
        false => epoch.checked_add_days(count),
    };
    let wrong = || (rules::DATE, format!("{days} days since 1970-01-01"));
    date.map(Value::Date).ok_or_else(wrong)
}

/// Writes a decimal out, with all decimals of its scale.
fn decimal(value: &Decimal) -> Result<Value, (&'static str, String)> {
    let wrong = || (rules::SYNTAX, "a decimal of more than 38 digits".to_owned());
    let data = value.data();
    if data.is_empty() || data.len() > 16 {
        return Err(wrong());
    }
    let filler = if data[0] & 0x80 == 0 { 0 } else { 0xff };
    let mut bytes = [filler; 16];
    bytes[16 - data.len()..].copy_from_slice(data);
    let unscaled = i128::from_be_bytes(bytes);
    let scale = usize::try_from(value.scale()).map_err(|_| wrong())?;
    if scale > MAX_SCALE {
        return Err(wrong());
    }
    let digits = unscaled.unsigned_abs().to_string();
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    Ok(Value::Decimal(format!("{sign}{whole}{point}{fraction}").into()))
}
