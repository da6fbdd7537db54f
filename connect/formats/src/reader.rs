//! A unit as an iterator of records, whatever its format and compression.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use crate::error::{Flaw, Place, Position, Refusal};
use crate::json::{Array, Lines};
use crate::settings::{Kind, Settings};
use crate::tables::{Csv, Sheet, Table};
use crate::unpack::{Bound, Bytes, Input, Member, Parts};
use crate::value::Record;
use crate::xml::Elements;

/// Records of one unit, in order. After a [`Refusal`] there are none.
pub struct Reader {
    settings: Settings,
    required: Arc<[String]>,
    parts: Source,
    format: Option<Format>,
    member: Option<Arc<str>>,
    number: u64,
    is_done: bool,
}

/// What is still to be read.
enum Source {
    Nothing,
    Stream(Bytes),
    /// A format that is read at any place.
    File(Input, Bound),
    Members { file: File, members: std::vec::IntoIter<Member>, bound: Bound },
}

/// A part of a unit, in its format.
enum Format {
    Csv(Box<Csv>),
    Lines(Lines),
    Array(Array),
    Elements(Box<Elements>),
    Sheet(Sheet),
    Table(Table),
}

// === impl Settings ===

impl Settings {
    /// Reads a file.
    ///
    /// # Errors
    /// The file can't be read, or is an archive that is refused.
    pub fn open(&self, input: File) -> Result<Reader, Refusal> {
        Reader::new(self, Input::File(input))
    }

    /// Reads a stream. A workbook or a Parquet file is held in memory; a zip archive is refused.
    ///
    /// # Errors
    /// The stream can't be read, or is an archive.
    pub fn read(&self, input: impl Read + Send + 'static) -> Result<Reader, Refusal> {
        Reader::new(self, Input::Stream(Box::new(input)))
    }
}

// === impl Reader ===

impl Reader {
    fn new(settings: &Settings, input: Input) -> Result<Self, Refusal> {
        let parts = match settings.kind {
            Kind::Xlsx | Kind::Parquet => {
                Source::File(input, Bound::new(settings.max_bytes()))
            }
            _ => match input.unpack(settings)? {
                Parts::One(bytes) => Source::Stream(bytes),
                Parts::Members { file, members, bound } => Source::Members {
                    file,
                    members: members.into_iter(),
                    bound,
                },
            },
        };
        Ok(Reader {
            settings: settings.clone(),
            required: Arc::from([]),
            parts,
            format: None,
            member: None,
            number: 0,
            is_done: false,
        })
    }

    /// Refuses tables without one of these columns. It has no effect on formats without a header,
    /// nor on what was read already.
    #[must_use]
    pub fn requiring<'a>(mut self, columns: impl IntoIterator<Item = &'a str>) -> Self {
        self.required = columns.into_iter().map(str::to_owned).collect();
        self
    }

    /// Begins the next part; returns whether there was one.
    fn advance(&mut self) -> Result<bool, Refusal> {
        let (settings, required) = (&self.settings, self.required.clone());
        let format = match &mut self.parts {
            Source::Members { file, members, bound } => {
                let Some(member) = members.next() else {
                    return Ok(false);
                };
                self.member = Some(member.name.clone());
                let bytes = member.open(file, bound.clone());
                stream(settings, bytes, required, self.member.clone())?
            }
            parts => match std::mem::replace(parts, Source::Nothing) {
                Source::Stream(bytes) => stream(settings, Ok(bytes), required, None)?,
                Source::File(input, bound) if settings.kind == Kind::Xlsx => {
                    Format::Sheet(Sheet::open(input, settings, &required, bound)?)
                }
                Source::File(input, bound) => {
                    Format::Table(Table::open(input, &required, bound)?)
                }
                _ => return Ok(false),
            },
        };
        self.format = Some(format);
        Ok(true)
    }

    fn step(&mut self) -> Result<Option<Result<Record, Flaw>>, Refusal> {
        loop {
            let found = match &mut self.format {
                None => None,
                Some(Format::Csv(own)) => own.next()?,
                Some(Format::Lines(own)) => own.next()?,
                Some(Format::Array(own)) => own.next()?,
                Some(Format::Elements(own)) => own.next()?,
                Some(Format::Sheet(own)) => own.next(),
                Some(Format::Table(own)) => own.next()?,
            };
            if let Some(found) = found {
                self.number += 1;
                return Ok(Some(numbered(found, self.number)));
            }
            self.format = None;
            if !self.advance()? {
                return Ok(None);
            }
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Result<Record, Flaw>, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let item = self.step().transpose();
        self.is_done = !matches!(item, Some(Ok(_)));
        item
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Reader");
        shown.field("number", &self.number).finish_non_exhaustive()
    }
}

/// Begins a format that is read as a stream.
fn stream(
    settings: &Settings,
    bytes: std::io::Result<Bytes>,
    required: Arc<[String]>,
    member: Option<Arc<str>>,
) -> Result<Format, Refusal> {
    let place = Place {
        member: member.clone(),
        position: Position::Whole,
    };
    let opened = bytes.and_then(|bytes| {
        Ok(match settings.kind {
            Kind::Ndjson => Format::Lines(Lines::open(bytes, settings, member)?),
            Kind::Json => Format::Array(Array::open(bytes, settings, member)?),
            Kind::Xml => Format::Elements(Box::new(Elements::open(bytes, settings, member)?)),
            _ => Format::Csv(Box::new(Csv::open(bytes, settings, required, member)?)),
        })
    });
    opened.map_err(|error| Refusal::of_io(&error, place))
}

fn numbered(found: Result<Record, Flaw>, number: u64) -> Result<Record, Flaw> {
    match found {
        Ok(record) => Ok(Record { number, ..record }),
        Err(flaw) => Err(Flaw { number, ..flaw }),
    }
}
