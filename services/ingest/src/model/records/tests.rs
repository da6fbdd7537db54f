use proptest::prelude::*;

use super::*;

/// Fields, the flaw, and the byte after it.
type Seen = (Vec<String>, Option<Flaw>, i64);

fn seen(record: &Record<'_>) -> Seen {
    let fields =
        (0..record.width()).map(|place| String::from_utf8_lossy(record.field(place)).into_owned());
    (fields.collect(), record.flaw, record.end)
}

fn read<'a>(mut records: Records, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut all = Vec::new();
    for mut chunk in chunks {
        while let Some(record) = records.next(&mut chunk) {
            all.push(seen(&record));
        }
        assert!(chunk.is_empty(), "bytes left over");
    }
    while let Some(record) = records.finish() {
        all.push(seen(&record));
    }
    all
}

fn fields(text: &str) -> Vec<Vec<String>> {
    read(Records::from_start(), [text.as_bytes()])
        .into_iter()
        .map(|(fields, ..)| fields)
        .collect()
}

#[test]
fn records_are_read_as_rfc_4180_says() {
    let cases: [(&str, &[&[&str]]); 10] = [
        ("a,b\nc,d\n", &[&["a", "b"], &["c", "d"]]),
        ("a,b\r\nc,d\r\n", &[&["a", "b"], &["c", "d"]]),
        ("a,b", &[&["a", "b"]]),
        ("a,\n,\n", &[&["a", ""], &["", ""]]),
        ("\n\na\n\r\n\n", &[&["a"]]),
        ("\"a,\n\r\nb\",c\nd", &[&["a,\n\r\nb", "c"], &["d"]]),
        ("\"say \"\"no\"\"\"\n", &[&["say \"no\""]]),
        ("\"\"\n", &[&[""]]),
        ("a\"b\n", &[&["a\"b"]]),
        ("", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(fields(text), expected, "{text:?}");
    }
}

#[test]
fn a_byte_order_mark_is_skipped_at_the_start_and_nowhere_else() {
    assert_eq!(fields("\u{feff}\"a\"\n\u{feff}b\n"), [["a"], ["\u{feff}b"]]);
    let resumed = read(Records::resume(7), ["\u{feff}b\n".as_bytes()]);
    assert_eq!(resumed, [(vec!["\u{feff}b".to_owned()], None, 12)]);
}

#[test]
fn half_a_byte_order_mark_is_text() {
    let read = read(Records::from_start(), [&b"\xEF"[..], b"\xBBx\n"]);
    assert_eq!(read, [(vec!["\u{fffd}x".to_owned()], None, 4)]);
}

#[test]
fn ends_count_every_byte() {
    let ends: Vec<_> = read(Records::resume(100), [&b"a,b\n\nc\n\"x\ny\"\nlast"[..]])
        .into_iter()
        .map(|seen| seen.2)
        .collect();
    assert_eq!(ends, [104, 107, 113, 117]);
}

#[test]
fn a_record_that_is_too_large_ends_where_its_line_ends() {
    let long = "x".repeat(3 * MAX_RECORD_BYTES);
    for large in [
        format!("{long},b"),
        format!("\"{long}"),
        ",".repeat(3 * MAX_FIELDS),
    ] {
        let text = format!("a\n{large}\nb\n{large}");
        let all = read(Records::from_start(), [text.as_bytes()]);
        let shape: Vec<_> = all.iter().map(|(_, flaw, end)| (*flaw, *end)).collect();
        let (first, size) = (large.len() as i64 + 3, text.len() as i64);
        let large = Some(Flaw::TooLarge);
        assert_eq!(
            shape,
            [(None, 2), (large, first), (None, first + 2), (large, size)]
        );
        assert_eq!(all[2].0, ["b"]);
    }
}

#[test]
fn a_quote_that_is_never_closed_costs_its_line_only() {
    let rows = |from: usize| {
        let rows: Vec<_> = (from..from + 51).map(|row| format!("{row},x")).collect();
        rows.join("\n")
    };
    let more_lines_than_a_record_has = [rows(100), rows(200)].join("\n");
    for following in [rows(100), more_lines_than_a_record_has] {
        let text = format!("1,a\n2,\"b\n{following}");
        let all = read(Records::from_start(), [text.as_bytes()]);
        assert_eq!(all[0], (vec!["1".into(), "a".into()], None, 4));
        assert_eq!(all[1], (vec![], Some(Flaw::UnterminatedQuote), 9));
        let rest: Vec<_> = all[2..]
            .iter()
            .map(|(fields, ..)| fields.join(","))
            .collect();
        assert_eq!(rest.join("\n"), following);
    }
}

#[test]
fn a_quote_on_the_last_line_is_flawed_if_it_is_open() {
    let all = read(Records::from_start(), [&b"a\n\"b"[..]]);
    assert_eq!(all[1], (vec![], Some(Flaw::UnterminatedQuote), 4));
    let all = read(Records::from_start(), [&b"a\n\"b\""[..]]);
    assert_eq!(all[1], (vec!["b".to_owned()], None, 5));
}

#[test]
fn a_record_has_as_many_lines_as_allowed() {
    let quoted = |lines: usize| format!("\"{}x\"\nnext\n", "x\n".repeat(lines - 1));
    let first = |lines: usize| read(Records::from_start(), [quoted(lines).as_bytes()]).remove(0);
    assert_eq!(first(MAX_RECORD_LINES).1, None);
    assert_eq!(first(MAX_RECORD_LINES + 1).1, Some(Flaw::UnterminatedQuote));
}

#[test]
fn quotes_that_open_on_every_line_cost_a_bounded_number_of_readings() {
    // Each line closes the quote of the line before and opens another one.
    let text = "\"\",\"a\",\"b\n".repeat(2_000);
    let all = read(Records::from_start(), [text.as_bytes()]);
    assert_eq!(all.len(), 2_000);
    assert!(all.iter().all(|(_, flaw, _)| flaw.is_some()));
}

#[test]
fn the_excerpt_of_a_record_is_its_begin() {
    let text = format!("begin,{}\n", "é".repeat(MAX_RECORD_BYTES));
    let mut records = Records::from_start();
    let record = records.next(&mut text.as_bytes()).unwrap();
    assert_eq!(record.flaw, Some(Flaw::TooLarge));
    assert!(
        record.excerpt().starts_with("begin,éé"),
        "{}",
        record.excerpt()
    );
    assert_eq!(record.excerpt().chars().count(), MAX_VALUE_CHARS);
    assert_eq!(
        Records::from_start()
            .next(&mut &b"a,\"b,c\"\n"[..])
            .unwrap()
            .excerpt(),
        "a,b,c"
    );
}

/// Text with many special characters of CSV.
fn csv() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec![
            "a", "é", ",", "\"", "\"\"", "\n", "\r\n", "\r", " ", "\u{feff}",
        ]),
        0..60,
    )
    .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn chunks_may_end_anywhere(text in csv(), cuts in prop::collection::vec(0_usize..100, 0..4)) {
        let bytes = text.as_bytes();
        let whole = read(Records::from_start(), [bytes]);
        prop_assert_eq!(&read(Records::from_start(), bytes.chunks(1)), &whole);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        prop_assert_eq!(&read(Records::from_start(), chunks), &whole);
    }

    #[test]
    fn reading_goes_on_behind_any_record(text in csv()) {
        let bytes = text.as_bytes();
        let whole = read(Records::from_start(), [bytes]);
        for (index, (_, _, end)) in whole.iter().enumerate() {
            let rest = read(Records::resume(*end), [&bytes[*end as usize..]]);
            prop_assert_eq!(&rest, &whole[index + 1..]);
        }
    }

    #[test]
    fn no_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut last = 0;
        for (_, _, end) in read(Records::from_start(), [&bytes[..]]) {
            prop_assert!(end > last || last == bytes.len() as i64, "{end} behind {last}");
            last = end;
        }
        prop_assert!(last <= bytes.len() as i64);
    }
}
