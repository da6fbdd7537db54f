//! Copies and comparisons of fixed size: short texts and words are moved in one step, whatever
//! their length.

use wide::u8x32;

/// Appends the low `len` bytes of a word. All eight are written and the surplus is taken back: a
/// copy of fixed size costs one instruction, one of variable size costs a call.
#[inline]
pub fn put_word(out: &mut Vec<u8>, word: u64, len: usize) {
    let end = out.len() + len;
    out.extend_from_slice(&word.to_le_bytes());
    out.truncate(end);
}

/// As [`put_word`], of up to sixteen bytes.
#[inline]
pub fn put_wide_word(out: &mut Vec<u8>, word: u128, len: usize) {
    let end = out.len() + len;
    out.extend_from_slice(&word.to_le_bytes());
    out.truncate(end);
}

/// Appends what `fill` writes into a window of zeros; it returns how many bytes those are. One look
/// at the capacity and stores of fixed size are cheaper than a look for each of the parts.
#[inline(always)]
pub fn put_window<const SIZE: usize>(
    out: &mut Vec<u8>,
    fill: impl FnOnce(&mut [u8; SIZE]) -> usize,
) {
    let start = out.len();
    out.extend_from_slice(&[0; SIZE]);
    let len = out.last_chunk_mut().map_or(0, fill);
    out.truncate(start + len);
}

/// Appends `text[..len]`, by a copy of fixed size where more bytes follow: see [`put_word`].
#[inline]
pub fn put_prefix(out: &mut Vec<u8>, text: &[u8], len: usize) {
    match text.first_chunk::<CHUNK>() {
        Some(chunk) if len <= CHUNK => {
            let end = out.len() + len;
            out.extend_from_slice(chunk);
            out.truncate(end);
        }
        None => put_short(out, text.get(..len).unwrap_or(text)),
        _ => out.extend_from_slice(text.get(..len).unwrap_or(text)),
    }
}

/// Appends less than [`CHUNK`] bytes. They go straight to their place: what is put together in
/// memory first, in small steps, can be read from there in a large one only after the processor has
/// waited for them.
fn put_short(out: &mut Vec<u8>, text: &[u8]) {
    if let (Some(first), Some(last)) = (text.first_chunk::<16>(), text.last_chunk()) {
        put_ends(out, text.len(), first, last);
    } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk()) {
        put_ends(out, text.len(), first, last);
    } else {
        put_word(out, short_word(text), text.len());
    }
}

/// Appends a text of which both ends are given, that meet or overlap.
#[inline]
fn put_ends<const HALF: usize>(
    out: &mut Vec<u8>,
    len: usize,
    first: &[u8; HALF],
    last: &[u8; HALF],
) {
    let end = out.len() + len;
    out.extend_from_slice(first);
    out.truncate(end - HALF);
    out.extend_from_slice(last);
}

/// Bytes by which texts are compared and copied.
pub const CHUNK: usize = 32;

/// Returns the first bytes of a text, `len` of them for sure. The others may be anything.
#[inline]
pub fn chunk(text: &[u8], len: usize) -> [u8; CHUNK] {
    match text.first_chunk() {
        Some(chunk) => *chunk,
        None => short_chunk(text.get(..len).unwrap_or(text)),
    }
}

/// Two halves that overlap are a text of any length between one and two of them.
#[inline]
fn short_chunk(text: &[u8]) -> [u8; CHUNK] {
    let mut chunk = [0; CHUNK];
    if let (Some(first), Some(last)) = (text.first_chunk::<16>(), text.last_chunk::<16>()) {
        copy_ends(&mut chunk, text.len(), first, last);
    } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        copy_ends(&mut chunk, text.len(), first, last);
    } else {
        let word = short_word(text);
        copy_ends(&mut chunk, 8, &word.to_le_bytes(), &word.to_le_bytes());
    }
    chunk
}

#[inline]
fn copy_ends<const HALF: usize>(
    chunk: &mut [u8; CHUNK],
    len: usize,
    first: &[u8; HALF],
    last: &[u8; HALF],
) {
    let ends = [(0, first), (len - HALF, last)];
    for (at, half) in ends {
        if let Some(place) = chunk.get_mut(at..at + HALF) {
            place.copy_from_slice(half);
        }
    }
}

/// Returns fewer than eight bytes as a word, the first one lowest, padded with zeros.
#[inline]
pub fn short_word(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let last = u64::from(u32::from_le_bytes(*last));
        u64::from(u32::from_le_bytes(*first)) | last << (8 * (bytes.len() - 4))
    } else {
        let byte = |at: usize| bytes.get(at).map_or(0, |byte| u64::from(*byte));
        byte(0) | byte(1) << 8 | byte(2) << 16
    }
}

/// Marks the bytes that two chunks have in common: a bit for each byte, the first one lowest.
#[inline]
pub fn equal(one: &[u8; CHUNK], two: &[u8; CHUNK]) -> u32 {
    u8x32::from(*one).simd_eq(u8x32::from(*two)).to_bitmask()
}

/// Returns a word whose lowest `len` bits are set, at most 32.
#[inline]
pub fn first_bits(len: usize) -> u32 {
    ((1u64 << len) - 1) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_every_length_are_copied() {
        let all: Vec<u8> = (1..=80).collect();
        for length in 0..=all.len() {
            for text in [&all[..length], &all] {
                let mut out = vec![9];
                put_prefix(&mut out, text, length);
                assert_eq!(out[1..], all[..length]);
            }
        }
        for length in 0..8 {
            let word = short_word(&all[..length]).to_le_bytes();
            assert_eq!(word[..length], all[..length]);
            assert!(word[length..].iter().all(|byte| *byte == 0));
        }
    }
}
