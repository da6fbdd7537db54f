//! Integers and strings (RFC 7541 §5).

use crate::huffman;

/// Reads an integer with a prefix of so many bits from the start of `rest` (RFC 7541 §5.1); `None`
/// if it is incomplete or has more than four bytes after the prefix.
pub fn read_integer(rest: &mut &[u8], bits: u32) -> Option<usize> {
    let max = (1 << bits) - 1;
    let mut value = next(rest)? & max;
    if value < max {
        return Some(value);
    }
    for shift in (0..28).step_by(7) {
        let byte = next(rest)?;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Reads a string from the start of `rest` and puts it into `text`, decoded (RFC 7541 §5.2); `None`
/// if it is incomplete or its code is invalid.
pub fn read_string(rest: &mut &[u8], text: &mut Vec<u8>) -> Option<()> {
    text.clear();
    let is_huffman = rest.first()? & 0x80 != 0;
    let length = read_integer(rest, 7)?;
    let (coded, after) = rest.split_at_checked(length)?;
    *rest = after;
    if is_huffman {
        return huffman::decode(coded, text);
    }
    text.extend_from_slice(coded);
    Some(())
}

/// Appends an integer with a prefix of so many bits; `first` has the bits before the prefix.
pub fn write_integer(block: &mut Vec<u8>, first: u8, bits: u32, value: usize) {
    let max = (1 << bits) - 1;
    let Some(mut rest) = value.checked_sub(max) else {
        return block.push(first | value as u8);
    };
    block.push(first | max as u8);
    while rest >= 128 {
        block.push(rest as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// Appends a string without Huffman code.
pub fn write_string(block: &mut Vec<u8>, text: &[u8]) {
    write_integer(block, 0, 7, text.len());
    block.extend_from_slice(text);
}

fn next(rest: &mut &[u8]) -> Option<usize> {
    let (byte, after) = rest.split_first()?;
    *rest = after;
    Some(usize::from(*byte))
}
