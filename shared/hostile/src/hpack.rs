//! Header compression (RFC 7541): writes literals only, whatever bytes they hold, and reads all of
//! it.

use std::collections::VecDeque;
use std::sync::LazyLock;

/// A header field: name and value as they are on the wire.
pub type Field = (Vec<u8>, Vec<u8>);

/// Returns a header block of literals that are not indexed (RFC 7541 §6.2.2). Nothing is checked.
pub fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        push_string(&mut block, name.as_bytes());
        push_string(&mut block, value);
    }
    block
}

fn push_string(block: &mut Vec<u8>, string: &[u8]) {
    const PREFIX_MAX: usize = 127;
    let mut left = string.len();
    if left < PREFIX_MAX {
        block.extend(u8::try_from(left));
    } else {
        block.push(0x7f);
        left -= PREFIX_MAX;
        while left >= 128 {
            block.push((left % 128) as u8 | 128);
            left /= 128;
        }
        block.push(left as u8);
    }
    block.extend(string);
}

/// Reads one block with an empty dynamic table; `None` if it is malformed.
pub fn decode_once(block: &[u8]) -> Option<Vec<Field>> {
    Decoder::default().decode(block)
}

/// The reading half of a connection.
#[derive(Debug)]
pub(crate) struct Decoder {
    dynamic: VecDeque<Field>,
    bytes_max: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            dynamic: VecDeque::new(),
            bytes_max: 4096,
        }
    }
}

impl Decoder {
    /// Returns the fields of a block; `None` if it is malformed.
    pub(crate) fn decode(&mut self, mut block: &[u8]) -> Option<Vec<Field>> {
        let mut fields = Vec::new();
        while let Some(&first) = block.first() {
            if first & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                fields.push(self.field(index)?);
            } else if first & 0xe0 == 0x20 {
                self.bytes_max = integer(&mut block, 5)?;
                self.evict();
            } else {
                let is_indexed = first & 0x40 != 0;
                let index = integer(&mut block, if is_indexed { 6 } else { 4 })?;
                let name = match index {
                    0 => string(&mut block)?,
                    _ => self.field(index)?.0,
                };
                let field = (name, string(&mut block)?);
                if is_indexed {
                    self.dynamic.push_front(field.clone());
                    self.evict();
                }
                fields.push(field);
            }
        }
        Some(fields)
    }

    fn field(&self, index: usize) -> Option<Field> {
        let index = index.checked_sub(1)?;
        if let Some((name, value)) = STATIC.get(index) {
            return Some((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        }
        self.dynamic.get(index - STATIC.len()).cloned()
    }

    fn evict(&mut self) {
        let size = |(name, value): &Field| name.len() + value.len() + 32;
        while self.dynamic.iter().map(size).sum::<usize>() > self.bytes_max {
            self.dynamic.pop_back();
        }
    }
}

/// Reads an integer with a prefix of so many bits (RFC 7541 §5.1).
fn integer(block: &mut &[u8], bits: u32) -> Option<usize> {
    let max = (1usize << bits) - 1;
    let (&first, rest) = block.split_first()?;
    *block = rest;
    let mut value = first as usize & max;
    if value < max {
        return Some(value);
    }
    for shift in (0..28).step_by(7) {
        let (&byte, rest) = block.split_first()?;
        *block = rest;
        value += (byte as usize & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn string(block: &mut &[u8]) -> Option<Vec<u8>> {
    let is_huffman = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (string, rest) = block.split_at_checked(length)?;
    *block = rest;
    if is_huffman {
        return huffman(string);
    }
    Some(string.to_vec())
}

/// Reads the Huffman code, which is canonical: codes of one length are consecutive, in the order of
/// their symbols.
fn huffman(coded: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let (mut code, mut length, mut first) = (0u32, 0u8, 0u32);
    for bit in coded
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
    {
        code = code << 1 | u32::from(bit);
        first <<= 1;
        length += 1;
        let symbols = SYMBOLS.get(usize::from(length))?;
        let at = code.checked_sub(first).map(|at| at as usize);
        if let Some(symbol) = at.and_then(|at| symbols.get(at)) {
            decoded.push(*symbol);
            (code, length, first) = (0, 0, 0);
            continue;
        }
        first += symbols.len() as u32;
    }
    // What is left is padding: the beginning of the code of EOS.
    (length < 8 && code == (1 << length) - 1).then_some(decoded)
}

/// Symbols by the length of their code.
static SYMBOLS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut symbols = vec![Vec::new(); 31];
    for (symbol, length) in (0..=255).zip(LENGTHS) {
        symbols[usize::from(length)].push(symbol);
    }
    symbols
});

/// Bits of each symbol's code (RFC 7541 Appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// The static table (RFC 7541 Appendix A).
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_of_every_length_come_back() {
        for length in [0, 1, 126, 127, 128, 254, 255, 256, 20_000] {
            let value = vec![b'x'; length];
            let decoded = decode_once(&block(&[("name", &value)])).unwrap();
            assert_eq!(decoded, [(b"name".to_vec(), value)]);
        }
    }

    /// RFC 7541 Appendix C.4: requests with Huffman code and the dynamic table.
    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let mut decoder = Decoder::default();
        let first = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        let second = b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf";
        let third = b"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf";
        let last = |block: &[u8], decoder: &mut Decoder| {
            let (name, value) = decoder.decode(block).unwrap().pop().unwrap();
            (
                String::from_utf8(name).unwrap(),
                String::from_utf8(value).unwrap(),
            )
        };
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            last(first, &mut decoder),
            field(":authority", "www.example.com")
        );
        assert_eq!(
            last(second, &mut decoder),
            field("cache-control", "no-cache")
        );
        assert_eq!(
            last(third, &mut decoder),
            field("custom-key", "custom-value")
        );
    }
}
