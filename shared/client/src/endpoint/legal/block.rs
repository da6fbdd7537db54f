//! Header blocks (RFC 7541) with illegal fields, and what of them reaches the dynamic table.

use std::collections::VecDeque;
use std::ops::Range;

use hpack::{STATIC_TABLE, read_integer, read_string, write_integer, write_string};

/// The dynamic table's size before any update, which is also the largest that this side allows.
const TABLE_BYTES_MAX: usize = 4096;

/// Size of an entry beside its name and value (RFC 7541 §4.1).
const ENTRY_BYTES: usize = 32;

/// A field that h2 takes for an error of the stream, after which it still reads the block.
const MALFORMED: &[u8] = b"\x00\x02te\x01x";

/// A block that cannot be decoded; its connection is lost.
#[derive(Debug)]
pub(super) struct Unreadable;

/// The dynamic table as h2 has it, without the strings.
pub(super) struct Table {
    entries: VecDeque<Entry>,
    bytes: usize,
    bytes_max: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Entry {
    name: Name,
    name_length: usize,
    bytes: usize,
    is_legal: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Regular,
    Status,
    /// Not a name, or not one of a response.
    Illegal,
}

/// A place in a block, and what replaces it.
type Edit = (Range<usize>, Vec<u8>);

impl Default for Table {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            bytes_max: TABLE_BYTES_MAX,
            name: Vec::new(),
            value: Vec::new(),
        }
    }
}

impl Table {
    /// Reads a block; returns one in its place if it has illegal fields. That one has legal fields
    /// of the same length, so that both sides' tables stay the same, and [`MALFORMED`].
    pub(super) fn check(&mut self, block: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
        let mut rest = block;
        let mut edits = Vec::new();
        let mut is_legal = true;
        while let Some(&first) = rest.first() {
            let start = block.len() - rest.len();
            if first & 0x80 != 0 {
                let index = integer(&mut rest, 7)?;
                is_legal &= self.entry(index)?.is_legal;
            } else if first & 0xe0 == 0x20 {
                self.resize(integer(&mut rest, 5)?)?;
            } else if let Some(legal) = self.literal(&mut rest, first & 0x40 != 0)? {
                is_legal = false;
                edits.push((start..block.len() - rest.len(), legal));
            }
        }
        Ok((!is_legal).then(|| edited(block, &edits)))
    }

    /// Reads a literal; returns its replacement if it is illegal.
    fn literal(
        &mut self,
        rest: &mut &[u8],
        is_indexed: bool,
    ) -> Result<Option<Vec<u8>>, Unreadable> {
        let (prefix, bits) = if is_indexed { (0x40, 6) } else { (0, 4) };
        let index = integer(rest, bits)?;
        let (name, name_length) = if index == 0 {
            read_string(rest, &mut self.name).ok_or(Unreadable)?;
            // An empty name becomes one byte.
            (kind(&self.name), self.name.len().max(1))
        } else {
            let entry = self.entry(index)?;
            (entry.name, entry.name_length)
        };
        read_string(rest, &mut self.value).ok_or(Unreadable)?;
        let is_legal = match name {
            Name::Regular => self.value.iter().all(|byte| is_of_value(*byte)),
            Name::Status => is_status(&self.value),
            Name::Illegal => false,
        };
        if is_indexed {
            let bytes = name_length + self.value.len() + ENTRY_BYTES;
            self.insert(Entry {
                name,
                name_length,
                bytes,
                is_legal,
            });
        }
        if is_legal {
            return Ok(None);
        }
        let mut legal = Vec::new();
        if index > STATIC_PSEUDO && name != Name::Status {
            write_integer(&mut legal, prefix, bits, index);
        } else {
            let mut substitute: Vec<u8> = match index {
                0 => self.name.iter().map(legal_in_name).collect(),
                _ => Vec::new(),
            };
            substitute.resize(name_length, b'x');
            legal.push(prefix);
            write_string(&mut legal, &substitute);
        }
        let legal_in_value = |byte: &u8| if is_of_value(*byte) { *byte } else { b'?' };
        let value: Vec<u8> = self.value.iter().map(legal_in_value).collect();
        write_string(&mut legal, &value);
        Ok(Some(legal))
    }

    fn entry(&self, index: usize) -> Result<Entry, Unreadable> {
        let at = index.checked_sub(1).ok_or(Unreadable)?;
        if let Some((name, _)) = STATIC_TABLE.get(at) {
            let name_length = name.len();
            let name = if index <= STATIC_REQUEST {
                Name::Illegal
            } else if index <= STATIC_PSEUDO {
                Name::Status
            } else {
                Name::Regular
            };
            let is_legal = name != Name::Illegal;
            return Ok(Entry {
                name,
                name_length,
                bytes: 0,
                is_legal,
            });
        }
        let entry = self.entries.get(at - STATIC_TABLE.len());
        entry.copied().ok_or(Unreadable)
    }

    fn resize(&mut self, bytes: usize) -> Result<(), Unreadable> {
        if bytes > TABLE_BYTES_MAX {
            return Err(Unreadable);
        }
        self.bytes_max = bytes;
        self.evict(0);
        Ok(())
    }

    fn insert(&mut self, entry: Entry) {
        self.evict(entry.bytes);
        if entry.bytes <= self.bytes_max {
            self.bytes += entry.bytes;
            self.entries.push_front(entry);
        }
    }

    /// Makes room for so many bytes (RFC 7541 §4.4).
    fn evict(&mut self, bytes: usize) {
        while self.bytes + bytes > self.bytes_max
            && let Some(oldest) = self.entries.pop_back()
        {
            self.bytes -= oldest.bytes;
        }
    }
}

fn integer(rest: &mut &[u8], bits: u32) -> Result<usize, Unreadable> {
    read_integer(rest, bits).ok_or(Unreadable)
}

fn kind(name: &[u8]) -> Name {
    match name {
        b":status" => Name::Status,
        [] => Name::Illegal,
        _ if name.iter().all(|byte| is_of_name(*byte)) => Name::Regular,
        _ => Name::Illegal,
    }
}

/// Returns whether a byte is one of a field name (RFC 9113 §8.2.1, RFC 9110 §5.6.2).
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn legal_in_name(byte: &u8) -> u8 {
    if is_of_name(*byte) { *byte } else { b'x' }
}

/// Returns whether a byte is one of a field value, as h2 has it.
fn is_of_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

fn is_status(value: &[u8]) -> bool {
    matches!(value, [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'])
}

fn edited(block: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut legal = Vec::with_capacity(block.len() + MALFORMED.len());
    let mut at = 0;
    for (place, replacement) in edits {
        legal.extend_from_slice(&block[at..place.start]);
        legal.extend_from_slice(replacement);
        at = place.end;
    }
    legal.extend_from_slice(&block[at..]);
    legal.extend_from_slice(MALFORMED);
    legal
}

/// The last index of the static table with a pseudo-header field of a request.
const STATIC_REQUEST: usize = 7;
/// The last index of the static table with any pseudo-header field.
const STATIC_PSEUDO: usize = 14;
