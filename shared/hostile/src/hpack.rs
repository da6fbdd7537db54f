//! Header compression (RFC 7541): writes literals only, whatever bytes they hold, and reads all of
//! it.

use std::collections::VecDeque;

use ::hpack::{STATIC_TABLE, read_integer, read_string, write_string};

/// A header field: name and value as they are on the wire.
pub type Field = (Vec<u8>, Vec<u8>);

/// Returns a header block of literals that are not indexed (RFC 7541 §6.2.2). Nothing is checked.
pub fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        write_string(&mut block, name.as_bytes());
        write_string(&mut block, value);
    }
    block
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
                let index = read_integer(&mut block, 7)?;
                fields.push(self.field(index)?);
            } else if first & 0xe0 == 0x20 {
                self.bytes_max = read_integer(&mut block, 5)?;
                self.evict();
            } else {
                let is_indexed = first & 0x40 != 0;
                let index = read_integer(&mut block, if is_indexed { 6 } else { 4 })?;
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
        if let Some((name, value)) = STATIC_TABLE.get(index) {
            return Some((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        }
        self.dynamic.get(index - STATIC_TABLE.len()).cloned()
    }

    fn evict(&mut self) {
        let size = |(name, value): &Field| name.len() + value.len() + 32;
        while self.dynamic.iter().map(size).sum::<usize>() > self.bytes_max {
            self.dynamic.pop_back();
        }
    }
}

fn string(block: &mut &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    read_string(block, &mut text)?;
    Some(text)
}

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
