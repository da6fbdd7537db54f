//! XML: elements at a path, streamed. No document type definitions, no entities but the five.

mod metered;
mod tree;

use std::io::{self, BufReader};
use std::sync::Arc;

use quick_xml::Reader as XmlReader;
use quick_xml::events::Event;

use crate::error::{Flaw, Place, Position, Refusal, cut, kept, rules};
use crate::limits::{BLOCK_BYTES, MAX_XML_DEPTH};
use crate::settings::Settings;
use crate::text::{Mark, Text};
use crate::unpack::Bytes;
use crate::value::{Record, Value};

use metered::Metered;
use tree::Tree;

/// Reads elements of a document as records.
pub(crate) struct Elements {
    reader: XmlReader<Metered>,
    buffer: Vec<u8>,
    path: Vec<String>,
    /// Names of the path that the open elements have.
    matched: usize,
    depth: usize,
    has_root: bool,
    max_bytes: usize,
    member: Option<Arc<str>>,
}

/// A part of the document that matters.
enum Piece {
    /// The end of a document.
    End,
    /// The start of a record, whose attributes the tree has; and whether it ends at once.
    Record(Tree, bool),
    /// Anything else.
    Other,
}

/// The rule that is broken, and the value that breaks it.
type Fault = (&'static str, String);

// === impl Elements ===

impl Elements {
    /// Begins to read a document.
    pub(crate) fn open(
        input: Bytes,
        settings: &Settings,
        member: Option<Arc<str>>,
    ) -> io::Result<Self> {
        let text = Text::open(input, settings.encoding(), Mark::Character)?;
        let metered = Metered::new(BufReader::with_capacity(BLOCK_BYTES, text));
        Ok(Elements {
            reader: XmlReader::from_reader(metered),
            buffer: Vec::new(),
            path: settings.steps().into_iter().map(str::to_owned).collect(),
            matched: 0,
            depth: 0,
            has_root: false,
            max_bytes: settings.max_record_bytes(),
            member,
        })
    }

    /// Returns the next record.
    pub(crate) fn next(&mut self) -> Result<Option<Result<Record, Flaw>>, Refusal> {
        loop {
            self.reader.get_mut().begin();
            let (line, offset) = self.reader.get_ref().place();
            let place = self.place(line, offset);
            match self.piece().map_err(|fault| self.refusal(fault))? {
                Piece::Other => {}
                Piece::End => return Ok(None),
                Piece::Record(tree, is_done) => {
                    let result = self.record(tree, is_done);
                    let result = result.map_err(|fault| self.refusal(fault))?;
                    let raw = kept(self.reader.get_ref().kept());
                    return Ok(Some(finish(result, place, raw)));
                }
            }
        }
    }

    /// Reads a piece outside of records.
    fn piece(&mut self) -> Result<Piece, Fault> {
        self.buffer.clear();
        let event = self.reader.read_event_into(&mut self.buffer);
        match event.map_err(|error| fault_of(&error))? {
            Event::Start(start) => {
                if self.depth == MAX_XML_DEPTH {
                    return Err((rules::TOO_DEEP, format!("more than {MAX_XML_DEPTH} levels")));
                }
                self.has_root = true;
                let is_next = self.matched == self.depth
                    && self.path.get(self.depth).is_some_and(|name| *name == *start.name().as_ref());
                if is_next && self.depth + 1 == self.path.len() {
                    return Ok(Piece::Record(Tree::new(&start), false));
                }
                self.matched += usize::from(is_next);
                self.depth += 1;
            }
            Event::Empty(start) => {
                self.has_root = true;
                let is_record = self.matched == self.depth
                    && self.depth + 1 == self.path.len()
                    && self.path.last().is_some_and(|name| *name == *start.name().as_ref());
                if is_record {
                    return Ok(Piece::Record(Tree::new(&start), true));
                }
            }
            Event::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                self.matched = self.matched.min(self.depth);
            }
            Event::DocType(text) => return Err((rules::DTD, text.to_string())),
            Event::Eof if self.depth > 0 => {
                let open = self.depth;
                return Err((rules::TRUNCATED, format!("{open} elements are open at the end")));
            }
            Event::Eof if !self.has_root => {
                return Err((rules::TRUNCATED, "no element".to_owned()));
            }
            Event::Eof => return Ok(Piece::End),
            Event::GeneralRef(name) => drop(tree::reference(&name)?),
            Event::Text(_) | Event::CData(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
        Ok(Piece::Other)
    }

    /// Reads the content of a record; a flaw does not end the reading of its elements.
    fn record(&mut self, mut tree: Tree, is_done: bool) -> Result<Result<Value, Fault>, Fault> {
        let start = self.reader.buffer_position();
        let mut flaw = None;
        let mut depth = 0;
        while !is_done {
            self.reader.get_mut().go_on();
            self.buffer.clear();
            let event = self.reader.read_event_into(&mut self.buffer);
            let event = event.map_err(|error| fault_of(&error))?;
            let length = self.reader.buffer_position() - start;
            if length > self.max_bytes as u64 && flaw.is_none() {
                let value = format!("more than {} bytes", self.max_bytes);
                flaw = Some((rules::RECORD_TOO_LARGE, value));
            }
            match &event {
                Event::Start(_) => {
                    depth += 1;
                    if self.depth + depth == MAX_XML_DEPTH {
                        let value = format!("more than {MAX_XML_DEPTH} levels");
                        return Err((rules::TOO_DEEP, value));
                    }
                }
                Event::End(_) if depth == 0 => break,
                Event::End(_) => depth -= 1,
                Event::DocType(text) => return Err((rules::DTD, text.to_string())),
                Event::Eof => {
                    return Err((rules::TRUNCATED, "a record is open at the end".to_owned()));
                }
                _ => {}
            }
            if flaw.is_none() {
                flaw = tree.add(event).err();
            }
        }
        match flaw {
            Some(fault) => Ok(Err(fault)),
            None => Ok(tree.finish()),
        }
    }

    fn place(&self, line: u64, offset: u64) -> Place {
        Place {
            member: self.member.clone(),
            position: Position::Text { line, offset },
        }
    }

    fn refusal(&self, (rule, value): Fault) -> Refusal {
        let (line, offset) = self.reader.get_ref().place();
        Refusal::new(rule, self.place(line, offset), value)
    }
}

fn finish(result: Result<Value, Fault>, place: Place, raw: Vec<u8>) -> Result<Record, Flaw> {
    match result {
        Ok(value @ Value::Map(_)) => Ok(Record {
            number: 0,
            place,
            value,
            raw,
        }),
        Ok(other) => Err(Flaw {
            number: 0,
            place,
            column: None,
            rule: rules::NOT_AN_OBJECT,
            value: cut(&other.shown()),
            raw,
        }),
        Err((rule, value)) => Err(Flaw {
            number: 0,
            place,
            column: None,
            rule,
            value: cut(&value),
            raw,
        }),
    }
}

/// Finds the rule behind an error of the parser.
fn fault_of(error: &quick_xml::Error) -> Fault {
    if let quick_xml::Error::Io(error) = error {
        let refusal = Refusal::of_io(error, Place::default());
        return (refusal.rule, refusal.value);
    }
    let text = error.to_string();
    let rule = match error {
        quick_xml::Error::Syntax(_) if text.contains("not found before end of input") => {
            rules::TRUNCATED
        }
        _ => rules::SYNTAX,
    };
    (rule, text)
}
