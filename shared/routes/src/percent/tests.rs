//! The decoding table, byte by byte.

use super::*;

const MODES: [PathDecoding; 3] = [
    PathDecoding::ExceptSlash,
    PathDecoding::ExceptReserved,
    PathDecoding::All,
];

/// Every ASCII byte but NUL, encoded in both cases of hex, for one segment, for several in each
/// mode, and for queries.
#[test]
fn every_character_decodes_as_the_table_says() {
    for byte in 1u8..0x80 {
        for raw in [format!("a%{byte:02x}b"), format!("a%{byte:02X}b")] {
            let plain = format!("a{}b", char::from(byte));
            assert_eq!(decode_all(&raw).unwrap(), plain, "{raw}");
            assert_eq!(decode_query(&raw, true).unwrap(), plain, "{raw}");
            assert_eq!(decode_query(&raw, false).unwrap(), plain, "{raw}");
            for mode in MODES {
                let stays = match mode {
                    PathDecoding::ExceptSlash => byte == b'/',
                    PathDecoding::ExceptReserved => "!#$&'()*+,/:;=?@[]".contains(char::from(byte)),
                    PathDecoding::All => false,
                };
                let expected = if stays { &raw } else { &plain };
                assert_eq!(
                    decode_multi(&raw, mode).unwrap(),
                    **expected,
                    "{raw} {mode:?}"
                );
            }
        }
    }
}

/// Every byte above ASCII: alone it is no UTF-8, in a pair with its lead or continuation byte it
/// is, whatever the mode.
#[test]
fn bytes_above_ascii_must_be_utf8() {
    for byte in 0x80u8..=0xff {
        let raw = format!("%{byte:02X}");
        assert_eq!(decode_all(&raw), Err(NOT_UTF8), "{raw}");
        assert_eq!(decode_query(&raw, true), Err(NOT_UTF8), "{raw}");
        for mode in MODES {
            assert_eq!(decode_multi(&raw, mode), Err(NOT_UTF8), "{raw} {mode:?}");
        }
    }
    for code in (0x80u32..0x800)
        .step_by(7)
        .chain([0x20ac, 0xffff, 0x1f600, 0x10ffff])
    {
        let character = char::from_u32(code).unwrap().to_string();
        let raw: String = character.bytes().map(|b| format!("%{b:02x}")).collect();
        for mode in MODES {
            assert_eq!(
                decode_multi(&raw, mode).unwrap(),
                character,
                "{raw} {mode:?}"
            );
        }
        assert_eq!(decode_all(&raw).unwrap(), character);
    }
}

/// Every byte that needs no escape stands for itself; a NUL never does.
#[test]
fn unescaped_characters_stand_for_themselves() {
    for byte in 1u8..0x80 {
        if byte == b'%' {
            continue;
        }
        let raw = format!("a{}b", char::from(byte));
        assert_eq!(decode_all(&raw).unwrap(), raw);
        for mode in MODES {
            assert_eq!(decode_multi(&raw, mode).unwrap(), raw);
        }
        let in_query = if byte == b'+' { "a b" } else { &raw };
        assert_eq!(decode_query(&raw, true).unwrap(), in_query);
        assert_eq!(decode_query(&raw, false).unwrap(), raw);
    }
}

#[test]
fn bad_escapes_are_refused() {
    for raw in ["%", "%2", "%zz", "%2g", "a%", "%-1", "%+1", "%%41"] {
        assert_eq!(decode_all(raw), Err(MALFORMED), "{raw}");
        for mode in MODES {
            assert_eq!(decode_multi(raw, mode), Err(MALFORMED), "{raw}");
        }
    }
    for raw in ["%00", "a\0b"] {
        assert_eq!(decode_all(raw), Err(NUL));
        assert_eq!(decode_multi(raw, PathDecoding::ExceptReserved), Err(NUL));
    }
    assert_eq!(decode_all("%E2%82"), Err(NOT_UTF8));
}
