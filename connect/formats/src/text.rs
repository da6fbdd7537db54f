//! Text of any encoding as UTF-8, where bytes that are no text stay recognizable.

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

use crate::limits::BLOCK_BYTES;
use crate::unpack::Bytes;

/// Stands for bytes that are no text: it is not UTF-8 either, and is found where text is needed.
const NOT_UTF8: &[u8] = &[0xff];

/// As [`NOT_UTF8`], for XML, whose reader accepts UTF-8 only: a character that XML doesn't have.
pub(crate) const NOT_XML: char = '\u{ffff}';

/// Bytes in which an XML declaration is looked for.
const DECLARATION_BYTES: usize = 512;

/// Text as UTF-8.
pub(crate) struct Text {
    inner: Bytes,
    /// None for UTF-8 that needs no change.
    decoder: Option<Decoder>,
    mark: Mark,
    raw: Vec<u8>,
    raw_at: usize,
    is_at_end: bool,
    out: Vec<u8>,
    out_at: usize,
}

/// The mark of bytes that are no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A byte that is never UTF-8.
    Byte,
    /// [`NOT_XML`].
    Character,
}

// === impl Text ===

impl Text {
    /// Begins to read: a byte order mark decides about the encoding, then the settings, then the
    /// declaration of XML.
    pub(crate) fn open(
        mut inner: Bytes,
        encoding: Option<&'static Encoding>,
        mark: Mark,
    ) -> io::Result<Self> {
        let mut raw = Vec::with_capacity(DECLARATION_BYTES);
        inner.by_ref().take(DECLARATION_BYTES as u64).read_to_end(&mut raw)?;
        let (encoding, raw_at) = match Encoding::for_bom(&raw) {
            Some(found) => found,
            None => {
                let declared = || (mark == Mark::Character).then(|| declared(&raw)).flatten();
                (encoding.or_else(declared).unwrap_or(UTF_8), 0)
            }
        };
        let is_plain = encoding == UTF_8 && mark == Mark::Byte;
        Ok(Text {
            inner,
            decoder: (!is_plain).then(|| encoding.new_decoder_without_bom_handling()),
            mark,
            raw,
            raw_at,
            is_at_end: false,
            out: Vec::new(),
            out_at: 0,
        })
    }

    fn fill(&mut self) -> io::Result<()> {
        self.raw.resize(BLOCK_BYTES, 0);
        self.raw_at = 0;
        let read = loop {
            match self.inner.read(&mut self.raw) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        // An error leaves no bytes that look like read ones.
        self.raw.truncate(*read.as_ref().unwrap_or(&0));
        self.is_at_end = read? == 0;
        Ok(())
    }

    /// Decodes what is there into `out`.
    fn decode(&mut self) {
        let Some(decoder) = &mut self.decoder else {
            return;
        };
        self.out.clear();
        self.out_at = 0;
        loop {
            let raw = &self.raw[self.raw_at..];
            let before = self.out.len();
            let room = decoder.max_utf8_buffer_length_without_replacement(raw.len());
            self.out.resize(before + room.unwrap_or(BLOCK_BYTES), 0);
            let into = &mut self.out[before..];
            let (result, read, written) =
                decoder.decode_to_utf8_without_replacement(raw, into, self.is_at_end);
            self.raw_at += read;
            self.out.truncate(before + written);
            match result {
                DecoderResult::InputEmpty => return,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => match self.mark {
                    Mark::Byte => self.out.extend_from_slice(NOT_UTF8),
                    Mark::Character => {
                        let mut buffer = [0; 4];
                        let mark = NOT_XML.encode_utf8(&mut buffer);
                        self.out.extend_from_slice(mark.as_bytes());
                    }
                },
            }
        }
    }
}

impl Read for Text {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.decoder.is_none() {
            while self.raw_at == self.raw.len() && !self.is_at_end {
                self.fill()?;
            }
            let read = (&self.raw[self.raw_at..]).read(buffer)?;
            self.raw_at += read;
            return Ok(read);
        }
        while self.out_at == self.out.len() {
            if self.raw_at == self.raw.len() {
                if self.is_at_end {
                    return Ok(0);
                }
                self.fill()?;
            }
            self.decode();
            if self.is_at_end && self.out.is_empty() {
                return Ok(0);
            }
        }
        let read = (&self.out[self.out_at..]).read(buffer)?;
        self.out_at += read;
        Ok(read)
    }
}

/// Returns the encoding that an XML declaration names.
fn declared(start: &[u8]) -> Option<&'static Encoding> {
    let start = start.strip_prefix(b"<?xml")?;
    let end = memchr::memmem::find(start, b"?>")?;
    let declaration = &start[..end];
    let at = memchr::memmem::find(declaration, b"encoding")?;
    let rest = declaration[at + b"encoding".len()..].trim_ascii_start();
    let rest = rest.strip_prefix(b"=")?.trim_ascii_start();
    let (quote, rest) = rest.split_first()?;
    let end = memchr::memchr(*quote, rest)?;
    let found = Encoding::for_label(&rest[..end])?;
    // A declaration that can be read as ASCII is not UTF-16, whatever it says.
    match found == encoding_rs::UTF_16LE || found == encoding_rs::UTF_16BE {
        true => None,
        false => Some(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &'static [u8], encoding: Option<&str>, mark: Mark) -> Vec<u8> {
        let encoding = encoding.and_then(|name| Encoding::for_label(name.as_bytes()));
        let mut out = Vec::new();
        let mut text = Text::open(Box::new(bytes), encoding, mark).unwrap();
        text.read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn encodings_are_those_of_the_mark_the_settings_and_the_declaration() {
        let latin = Some("windows-1252");
        assert_eq!(read(b"caf\xe9 \x80", latin, Mark::Byte), "café €".as_bytes());
        assert_eq!(read(b"\xff\xfec\0a\0f\0\xe9\0", latin, Mark::Byte), "café".as_bytes());
        assert_eq!(read(b"\xfe\xff\0c\0\xe9", None, Mark::Byte), "cé".as_bytes());
        assert_eq!(read("\u{feff}é".as_bytes(), latin, Mark::Byte), "é".as_bytes());
        let xml = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>";
        assert!(read(xml, None, Mark::Character).ends_with("<a>é</a>".as_bytes()));
    }

    #[test]
    fn bytes_that_are_no_text_stay_recognizable() {
        assert_eq!(read(b"\xff\xfea\0\0\xd8b\0", None, Mark::Byte), b"a\xffb");
        assert_eq!(read(b"a\xe9b", None, Mark::Byte), b"a\xe9b");
        assert_eq!(read(b"a\xe9b", None, Mark::Character), "a\u{ffff}b".as_bytes());
        assert_eq!(read(b"\xff\xfea\0b", None, Mark::Byte), b"a\xff");
    }
}
