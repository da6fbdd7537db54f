//! The same records whatever chunks the bytes come in; no bytes that a reader can't end with.

#![allow(clippy::unwrap_used, clippy::result_large_err)]

use std::io::{self, Cursor, Read};

use formats::{Flaw, Kind, Record, Refusal, Settings};
use proptest::prelude::*;

type Items = Vec<Result<Result<Record, Flaw>, Refusal>>;

/// Gives a few bytes at a time.
struct Drops {
    bytes: Cursor<Vec<u8>>,
    sizes: Vec<usize>,
    at: usize,
}

impl Read for Drops {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.at += 1;
        let size = self.sizes[self.at % self.sizes.len()].min(buffer.len());
        self.bytes.read(&mut buffer[..size])
    }
}

fn settings() -> Vec<Settings> {
    let with = |kind, path: &str| {
        let mut own = Settings::new(kind);
        own.path = (!path.is_empty()).then(|| path.to_owned());
        own.max_record_bytes = Some(40);
        own.check().unwrap();
        own
    };
    vec![
        with(Kind::Csv, ""),
        with(Kind::Ndjson, ""),
        with(Kind::Json, ""),
        with(Kind::Json, "a.b"),
        with(Kind::Xml, "r/e"),
    ]
}

fn items(settings: &Settings, input: impl Read + Send + 'static) -> Items {
    match settings.read(input) {
        Ok(reader) => reader.collect(),
        Err(refusal) => vec![Err(refusal)],
    }
}

/// Text of pieces that formats treat as something of their own.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"a",
        b"\xc3\xa9",
        b"\xe9",
        b",",
        b";",
        b"\"",
        b"\\",
        b"\n",
        b"\r\n",
        b" ",
        b"\0",
        b"1",
        b"-",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b"\"a\"",
        b"{\"a\":1}",
        b"{\"a\":{\"b\":[",
        b"null",
        b"<r>",
        b"<e>",
        b"</e>",
        b"</r>",
        b"<e a='1'/>",
        b"<a>",
        b"</a>",
        b"&amp;",
        b"&x;",
        b"<!--",
        b"-->",
        b"<![CDATA[",
        b"]]>",
        b"<?xml encoding='latin1'?>",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"sep=;\n",
        b"<",
        b"long long long long",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn chunks_may_end_anywhere(bytes in text(), sizes in prop::collection::vec(1_usize..5, 1..6)) {
        for settings in settings() {
            let whole = items(&settings, Cursor::new(bytes.clone()));
            let drops = Drops { bytes: Cursor::new(bytes.clone()), sizes: sizes.clone(), at: 0 };
            prop_assert_eq!(items(&settings, drops), whole);
        }
    }

    #[test]
    fn numbers_of_records_go_up_by_one_and_a_refusal_is_the_last(bytes in text()) {
        for settings in settings() {
            let all = items(&settings, Cursor::new(bytes.clone()));
            for (at, item) in all.iter().enumerate() {
                let number = match item {
                    Ok(Ok(record)) => record.number,
                    Ok(Err(flaw)) => flaw.number,
                    Err(_) => {
                        prop_assert_eq!(at + 1, all.len());
                        continue;
                    }
                };
                prop_assert_eq!(number, at as u64 + 1);
            }
        }
    }

    #[test]
    fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..400), magic in 0_usize..5) {
        let magics: [&[u8]; 5] = [b"", b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"PAR1"];
        let bytes = [magics[magic], &bytes].concat();
        let kinds = [Settings::new(Kind::Xlsx), Settings::new(Kind::Parquet)];
        for settings in settings().into_iter().chain(kinds) {
            let all = items(&settings, Cursor::new(bytes.clone()));
            prop_assert!(all.len() <= bytes.len() + 1);
        }
    }
}
