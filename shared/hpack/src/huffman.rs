//! The Huffman code of header strings (RFC 7541 §5.2), which is canonical: codes of one length are
//! consecutive, in the order of their symbols.

const SHORTEST: usize = 5;
const LONGEST: usize = 30;

/// The codes of one length.
#[derive(Clone, Copy)]
struct Codes {
    /// The first of a longer code, as the high bits of a word.
    end: u64,
    first: u32,
    /// Where the symbols of this length begin.
    offset: usize,
}

/// Appends the decoded string; `None` if it is malformed.
pub(crate) fn decode(coded: &[u8], decoded: &mut Vec<u8>) -> Option<()> {
    let mut rest = coded.iter();
    let (mut bits, mut count) = (0u64, 0usize);
    loop {
        while count <= 32
            && let Some(byte) = rest.next()
        {
            bits = bits << 8 | u64::from(*byte);
            count += 8;
        }
        // Padded with ones, as the code itself is.
        let window = match count.checked_sub(32) {
            Some(more) => bits >> more & u64::from(u32::MAX),
            None => ((bits + 1) << (32 - count)) - 1,
        };
        let length = (SHORTEST..=LONGEST).find(|length| window < CODES[*length].end);
        let Some(length) = length.filter(|length| *length <= count) else {
            // Padding is shorter than a byte, and the beginning of the code that ends a string.
            let is_padding = count < 8 && window == u64::from(u32::MAX);
            return is_padding.then_some(());
        };
        let codes = CODES[length];
        let code = (window >> (32 - length)) as usize;
        decoded.push(SYMBOLS[codes.offset + code - codes.first as usize]);
        count -= length;
        bits &= (1 << count) - 1;
    }
}

const CODES: [Codes; LONGEST + 1] = {
    let mut all = [Codes {
        end: 0,
        first: 0,
        offset: 0,
    }; LONGEST + 1];
    let (mut length, mut code, mut offset) = (SHORTEST, 0u32, 0);
    while length <= LONGEST {
        let first = code;
        let begin = offset;
        let mut symbol = 0;
        while symbol < 256 {
            if LENGTHS[symbol] as usize == length {
                code += 1;
                offset += 1;
            }
            symbol += 1;
        }
        let end = (code as u64) << (32 - length);
        all[length] = Codes {
            end,
            first,
            offset: begin,
        };
        code <<= 1;
        length += 1;
    }
    all
};

/// All symbols, in the order of their codes.
const SYMBOLS: [u8; 256] = {
    let mut symbols = [0; 256];
    let (mut length, mut at) = (SHORTEST, 0);
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < 256 {
            if LENGTHS[symbol] as usize == length {
                symbols[at] = symbol as u8;
                at += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    symbols
};

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

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7541 Appendix C.4 and C.6.
    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for (coded, expected) in [
            (
                &b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..],
                "www.example.com",
            ),
            (b"\xa8\xeb\x10\x64\x9c\xbf", "no-cache"),
            (b"\x64\x02", "302"),
            (b"", ""),
        ] {
            let mut decoded = Vec::new();
            decode(coded, &mut decoded).unwrap();
            assert_eq!(decoded, expected.as_bytes());
        }
    }

    #[test]
    fn long_codes_are_read_and_wrong_padding_is_not() {
        // NUL has 13 bits, LF has 30.
        let mut decoded = Vec::new();
        decode(b"\xff\xc7", &mut decoded).unwrap();
        decode(b"\xff\xff\xff\xf3", &mut decoded).unwrap();
        assert_eq!(decoded, b"\0\n");
        for wrong in [&b"\xff"[..], b"\x00", b"\xff\xff\xff\xff"] {
            assert!(decode(wrong, &mut Vec::new()).is_none(), "{wrong:?}");
        }
    }
}
