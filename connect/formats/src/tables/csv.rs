//! CSV: a header, and records of as many columns.

mod records;

use std::io::{self, Read};
use std::sync::Arc;

use crate::error::{Flaw, Place, Position, Refusal, cut, kept, rules};
use super::header::Header;
use crate::limits::{BLOCK_BYTES, MAX_COLUMNS};
use crate::settings::Settings;
use crate::text::{Mark, Text};
use crate::unpack::Bytes;
use crate::value::{Record, Value};

use records::{Dialect, Fault, Records, Row};

/// Bytes of a line `sep=;`, its end included.
const SEPARATOR_BYTES: usize = 7;

/// Reads records of CSV.
pub(crate) struct Csv {
    input: Text,
    buffer: Vec<u8>,
    at: usize,
    is_at_end: bool,
    records: Records,
    header: Option<Header>,
    required: Arc<[String]>,
    member: Option<Arc<str>>,
}

/// A record, before it has a number.
type Found = Result<Record, Flaw>;

// === impl Csv ===

impl Csv {
    /// Begins to read a text.
    pub(crate) fn open(
        input: Bytes,
        settings: &Settings,
        required: Arc<[String]>,
        member: Option<Arc<str>>,
    ) -> io::Result<Self> {
        let mut input = Text::open(input, settings.encoding(), Mark::Byte)?;
        let mut buffer = Vec::with_capacity(BLOCK_BYTES);
        input.by_ref().take(SEPARATOR_BYTES as u64).read_to_end(&mut buffer)?;
        let separator = separator(&buffer);
        let dialect = Dialect {
            delimiter: separator.map_or(settings.delimiter(), |(byte, _)| byte),
            quote: settings.quote(),
            escape: settings.escape(),
            comment: settings.comment(),
        };
        let leading = settings.skip.unwrap_or(0);
        let mut records = Records::new(dialect, settings.max_record_bytes(), leading);
        let at = separator.map_or(0, |(_, length)| length);
        records.pass(&buffer[..at]);
        let header = match settings.has_header() {
            true => None,
            false => {
                let names = settings.declared().unwrap_or_default();
                Some(Header::new(names.iter().map(String::as_str)))
            }
        };
        Ok(Csv {
            input,
            buffer,
            at,
            is_at_end: false,
            records,
            header,
            required,
            member,
        })
    }

    /// Returns the next record.
    pub(crate) fn next(&mut self) -> Result<Option<Found>, Refusal> {
        loop {
            let mut rest = self.buffer.get(self.at..).unwrap_or_default();
            let before = rest.len();
            let row = match self.records.next(&mut rest) {
                None if self.is_at_end => self.records.finish(),
                found => found,
            };
            self.at += before - rest.len();
            if let Some(row) = row {
                let place = place_of(&row, self.member.clone());
                let Some(header) = &self.header else {
                    self.header = Some(header_of(&row, &self.required, place)?);
                    continue;
                };
                return Ok(Some(record_of(&row, header, place)));
            }
            if self.is_at_end {
                return match self.header {
                    Some(_) => Ok(None),
                    None => Err(self.refusal(rules::HEADER_MISSING, "the text has no line")),
                };
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), Refusal> {
        self.buffer.resize(BLOCK_BYTES, 0);
        self.at = 0;
        let read = self.input.read(&mut self.buffer);
        self.buffer.truncate(*read.as_ref().unwrap_or(&0));
        match read {
            Ok(read) => self.is_at_end = read == 0,
            Err(error) => {
                let place = self.refusal(rules::UNREADABLE, "").place;
                return Err(Refusal::of_io(&error, place));
            }
        }
        Ok(())
    }

    fn refusal(&self, rule: &'static str, value: &str) -> Refusal {
        let position = Position::Text {
            line: self.records.line(),
            offset: self.records.offset(),
        };
        let member = self.member.clone();
        Refusal::new(rule, Place { member, position }, value)
    }
}

/// Returns the delimiter that the first line names, and the bytes of that line.
fn separator(start: &[u8]) -> Option<(u8, usize)> {
    let (name, rest) = start.split_at_checked(4)?;
    let (delimiter, rest) = rest.split_first()?;
    let is_valid = name.eq_ignore_ascii_case(b"sep=") && delimiter.is_ascii();
    let length = match rest {
        [b'\r', b'\n', ..] => 7,
        [b'\r' | b'\n', ..] => 6,
        [] => 5,
        _ => return None,
    };
    is_valid.then_some((*delimiter, length))
}

fn place_of(row: &Row<'_>, member: Option<Arc<str>>) -> Place {
    let position = Position::Text {
        line: row.line,
        offset: row.offset,
    };
    Place { member, position }
}

fn header_of(row: &Row<'_>, required: &[String], place: Place) -> Result<Header, Refusal> {
    match row.fault {
        None => {}
        Some(Fault::TooManyFields) => {
            let value = format!("more than {MAX_COLUMNS}");
            return Err(Refusal::new(rules::TOO_MANY_COLUMNS, place, value));
        }
        Some(fault) => {
            let value = String::from_utf8_lossy(row.raw);
            return Err(Refusal::new(rule_of(fault), place, value));
        }
    }
    let names = (0..row.width()).map(|at| str::from_utf8(row.field(at)).map(str::trim));
    match names.collect::<Result<Vec<_>, _>>() {
        Ok(names) => {
            let header = Header::new(names.into_iter());
            header.require(required, &place)?;
            Ok(header)
        }
        Err(_) => {
            let value = String::from_utf8_lossy(row.raw);
            Err(Refusal::new(rules::NOT_TEXT, place, value))
        }
    }
}

fn rule_of(fault: Fault) -> &'static str {
    match fault {
        Fault::TooLarge => rules::RECORD_TOO_LARGE,
        Fault::TooManyFields => rules::TOO_MANY_COLUMNS,
        Fault::UnterminatedQuote => rules::UNTERMINATED_QUOTE,
    }
}

fn record_of(row: &Row<'_>, header: &Header, place: Place) -> Found {
    let flaw = |column: Option<&str>, rule, value: &str| Flaw {
        number: 0,
        place: place.clone(),
        column: column.map(str::to_owned),
        rule,
        value: cut(value),
        raw: kept(row.raw),
    };
    if let Some(fault) = row.fault {
        let shown = String::from_utf8_lossy(row.raw);
        let shown = shown.trim_end_matches(['\r', '\n']);
        return Err(flaw(None, rule_of(fault), shown));
    }
    if row.width() != header.width() {
        let value = format!("{} of {} columns", row.width(), header.width());
        return Err(flaw(None, rules::WIDTH, &value));
    }
    let mut fields = Vec::with_capacity(header.width());
    for (at, name) in header.names() {
        let bytes = row.field(at);
        let Ok(text) = simdutf8::basic::from_utf8(bytes) else {
            let value = String::from_utf8_lossy(bytes);
            return Err(flaw(Some(name), rules::NOT_TEXT, &value));
        };
        if memchr::memchr(0, bytes).is_some() {
            return Err(flaw(Some(name), rules::NUL, text));
        }
        fields.push((name.clone(), Value::Text(text.to_owned())));
    }
    Ok(Record {
        number: 0,
        place,
        value: Value::Map(fields),
        raw: kept(row.raw),
    })
}
