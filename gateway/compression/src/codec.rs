//! One coding at work, in one piece or bit by bit.

use bytes::{Buf, Bytes};
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::{DecodeV2, EncodeV2};

use crate::coding::{Coding, Levels};

/// How much is decoded or encoded at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// Input that may be without output: headers, dictionaries, what follows a flush.
const PADDING_BYTES: u64 = 64 * 1024;

/// How many times larger than its output a longer input may be. No coding makes content larger
/// than this, not even messages of a few bytes that are flushed one by one; empty members do.
const PADDING_RATIO: u64 = 8;

/// Compresses one thing after the other into one compressed whole.
pub(super) struct Encoder(Box<dyn EncodeV2 + Send>);

/// Decompresses one whole that arrives in chunks.
pub(super) struct Decoder {
    coding: Coding,
    taken: u64,
    decoded: u64,
    inner: Box<dyn DecodeV2 + Send>,
    /// Between members, or after the last one.
    is_ended: bool,
    /// The last piece was filled to the brim, so that there may be more without further input.
    has_more: bool,
}

/// A failure to decompress.
#[derive(Debug)]
pub enum Undecodable {
    /// The bytes are not of the coding, or end too early.
    Malformed,
    /// It is larger than allowed.
    TooLarge,
    /// Its input is not content but empty members, skippable frames, empty blocks or metadata.
    Padded,
}

/// Compresses one message.
pub fn compress(coding: Coding, levels: Levels, message: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = Encoder::new(coding, levels);
    let mut out = Vec::new();
    encoder.put(message, &mut out)?;
    encoder.finish(&mut out)?;
    Ok(out)
}

/// Decompresses one message of at most so many bytes.
pub fn decompress(
    coding: Coding,
    message: &Bytes,
    max_bytes: usize,
) -> Result<Vec<u8>, Undecodable> {
    let (mut decoder, mut message) = (Decoder::new(coding), message.clone());
    let mut out = Vec::new();
    while !message.is_empty() || decoder.has_more {
        decoder.take(&mut message, &mut out)?;
        if out.len() > max_bytes {
            return Err(Undecodable::TooLarge);
        }
    }
    decoder.finish(&mut out)?;
    if out.len() > max_bytes {
        return Err(Undecodable::TooLarge);
    }
    Ok(out)
}

// === impl Encoder ===

impl Encoder {
    pub(super) fn new(coding: Coding, levels: Levels) -> Self {
        Self(coding.encoder(levels))
    }

    pub(super) fn put(&mut self, input: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
        let mut input = PartialBuffer::new(input);
        while !input.unwritten().is_empty() {
            grow(out, |buffer| self.0.encode(&mut input, buffer))?;
        }
        Ok(())
    }

    /// Lets out all that was put in, so that the reader can see it now.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> std::io::Result<()> {
        while !grow(out, |buffer| self.0.flush(buffer))? {}
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> std::io::Result<()> {
        while !grow(out, |buffer| self.0.finish(buffer))? {}
        Ok(())
    }
}

// === impl Decoder ===

impl Decoder {
    pub(super) fn new(coding: Coding) -> Self {
        Self {
            coding,
            taken: 0,
            decoded: 0,
            inner: coding.decoder(),
            is_ended: false,
            has_more: false,
        }
    }

    /// Whether [`Decoder::take`] would return something without further input.
    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    /// Appends at most one piece of output.
    pub(super) fn take(&mut self, input: &mut Bytes, out: &mut Vec<u8>) -> Result<(), Undecodable> {
        let before = out.len();
        if input.is_empty() {
            grow(out, |buffer| self.inner.flush(buffer))?;
        } else {
            if self.is_ended {
                self.begin_member()?;
            }
            let mut chunk = PartialBuffer::new(&input[..]);
            self.is_ended = grow(out, |buffer| self.inner.decode(&mut chunk, buffer))?;
            let taken = chunk.written_len();
            input.advance(taken);
            self.taken += taken as u64;
        }
        self.decoded += (out.len() - before) as u64;
        if self.taken > PADDING_BYTES.max(self.decoded.saturating_mul(PADDING_RATIO)) {
            return Err(Undecodable::Padded);
        }
        self.has_more = !self.is_ended && out.len() - before == PIECE_BYTES;
        Ok(())
    }

    /// Appends the rest of the output; the input must be complete.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Undecodable> {
        if self.is_ended {
            return Ok(());
        }
        let before = out.len();
        let is_ended = grow(out, |buffer| self.inner.finish(buffer))?;
        let is_whole = is_ended && out.len() - before < PIECE_BYTES;
        self.is_ended = true;
        is_whole.then_some(()).ok_or(Undecodable::Malformed)
    }

    fn begin_member(&mut self) -> Result<(), Undecodable> {
        if !self.coding.has_members() {
            return Err(Undecodable::Malformed);
        }
        self.is_ended = false;
        Ok(self.inner.reinit()?)
    }
}

impl From<std::io::Error> for Undecodable {
    fn from(_: std::io::Error) -> Self {
        Self::Malformed
    }
}

/// Appends what `write` puts into a buffer of one piece.
fn grow<T>(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut WriteBuffer<'_>) -> std::io::Result<T>,
) -> std::io::Result<T> {
    let start = out.len();
    out.resize(start + PIECE_BYTES, 0);
    let mut buffer = WriteBuffer::new_initialized(&mut out[start..]);
    let outcome = write(&mut buffer);
    let end = start + buffer.written_len();
    out.truncate(end);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Br, Coding::Zstd];

    const LEVELS: Levels = Levels {
        gzip: 6,
        br: 4,
        zstd: 3,
    };

    fn text() -> Vec<u8> {
        (0..20_000)
            .flat_map(|number: u32| number.to_string().into_bytes())
            .collect()
    }

    #[test]
    fn what_is_compressed_comes_back() {
        for coding in ALL {
            for message in [Vec::new(), b"x".to_vec(), text(), vec![0; 1 << 20]] {
                let compressed = Bytes::from(compress(coding, LEVELS, &message).unwrap());
                let back = decompress(coding, &compressed, message.len()).unwrap();
                assert!(back == message, "{coding:?} {}", message.len());
            }
        }
    }

    #[test]
    fn what_is_flushed_can_be_read_at_once() {
        for coding in ALL {
            let (mut encoder, mut decoder) = (Encoder::new(coding, LEVELS), Decoder::new(coding));
            for message in [b"one".to_vec(), text(), b"two".to_vec()] {
                let mut out = Vec::new();
                encoder.put(&message, &mut out).unwrap();
                encoder.flush(&mut out).unwrap();
                let (mut input, mut read) = (Bytes::from(out), Vec::new());
                while !input.is_empty() || decoder.has_more() {
                    decoder.take(&mut input, &mut read).unwrap();
                }
                assert!(read == message, "{coding:?} {}", message.len());
            }
        }
    }

    #[test]
    fn what_is_cut_off_spoiled_or_too_large_is_refused() {
        for coding in ALL {
            let whole = compress(coding, LEVELS, &text()).unwrap();
            for end in [1, whole.len() / 2, whole.len() - 1] {
                let cut = Bytes::copy_from_slice(&whole[..end]);
                let outcome = decompress(coding, &cut, 1 << 20);
                assert!(
                    matches!(outcome, Err(Undecodable::Malformed)),
                    "{coding:?} {end}"
                );
            }
            let spoiled = Bytes::from_static(b"certainly nothing compressed");
            let outcome = decompress(coding, &spoiled, 1 << 20);
            assert!(matches!(outcome, Err(Undecodable::Malformed)), "{coding:?}");
            let bomb = Bytes::from(compress(coding, LEVELS, &vec![0; 8 << 20]).unwrap());
            let outcome = decompress(coding, &bomb, 1 << 20);
            assert!(matches!(outcome, Err(Undecodable::TooLarge)), "{coding:?}");
        }
    }

    #[test]
    fn input_without_output_is_refused_in_every_coding() {
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0][..]].concat();
        let long = [&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 16, 0][..], &[7; 1 << 20]].concat();
        let nothing = compress(Coding::Gzip, LEVELS, b"").unwrap();
        let zstd_nothing = compress(Coding::Zstd, LEVELS, b"").unwrap();
        let blocks = [&[0x78, 0x9c][..], &[0, 0, 0, 0xff, 0xff].repeat(1 << 18)].concat();
        for (coding, padding) in [
            (Coding::Gzip, nothing.repeat(1 << 16)),
            (Coding::Zstd, skippable.repeat(1 << 17)),
            (Coding::Zstd, long),
            (Coding::Zstd, zstd_nothing.repeat(1 << 16)),
            (Coding::Deflate, blocks),
        ] {
            let outcome = decompress(coding, &Bytes::from(padding), 4 << 20);
            assert!(
                matches!(outcome, Err(Undecodable::Padded)),
                "{coding:?} {outcome:?}"
            );
        }
    }

    #[test]
    fn flushed_messages_of_two_bytes_are_no_padding() {
        for coding in ALL {
            let (mut encoder, mut decoder) = (Encoder::new(coding, LEVELS), Decoder::new(coding));
            let mut digits = (b'0'..=b'9').cycle();
            // Well beyond the input that may be without output.
            while decoder.taken < 2 * PADDING_BYTES {
                let mut out = Vec::new();
                let digit = digits.next().unwrap();
                encoder.put(&[digit, b'\n'], &mut out).unwrap();
                encoder.flush(&mut out).unwrap();
                let (mut input, mut read) = (Bytes::from(out), Vec::new());
                while !input.is_empty() || decoder.has_more() {
                    decoder.take(&mut input, &mut read).unwrap();
                }
                assert_eq!(read.len(), 2, "{coding:?}");
            }
        }
    }

    #[test]
    fn members_follow_each_other_where_the_format_has_them() {
        for coding in ALL {
            let member = compress(coding, LEVELS, b"part").unwrap();
            let twice = Bytes::from([member.clone(), member].concat());
            let outcome = decompress(coding, &twice, 100).ok();
            let expected = coding.has_members().then(|| b"partpart".to_vec());
            assert_eq!(outcome, expected, "{coding:?}");
        }
    }
}
