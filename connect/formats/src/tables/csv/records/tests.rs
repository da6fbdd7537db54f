use proptest::prelude::*;

use super::*;
use crate::limits::RECORD_BYTES;

const COMMAS: Dialect = Dialect {
    delimiter: b',',
    quote: Some(b'"'),
    escape: None,
    comment: None,
};

/// Fields, the fault, line and offset.
type Seen = (Vec<String>, Option<Fault>, u64, u64);

fn seen(row: &Row<'_>) -> Seen {
    let fields = (0..row.width()).map(|at| String::from_utf8_lossy(row.field(at)).into_owned());
    (fields.collect(), row.fault, row.line, row.offset)
}

fn read<'a>(mut records: Records, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut all = Vec::new();
    for mut chunk in chunks {
        while let Some(row) = records.next(&mut chunk) {
            all.push(seen(&row));
        }
        assert!(chunk.is_empty(), "bytes left over");
    }
    while let Some(row) = records.finish() {
        all.push(seen(&row));
    }
    all
}

fn commas() -> Records {
    Records::new(COMMAS, 64 * 1024, 0)
}

fn fields_of(records: Records, text: &str) -> Vec<Vec<String>> {
    let all = read(records, [text.as_bytes()]);
    all.into_iter().map(|(fields, ..)| fields).collect()
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
        assert_eq!(fields_of(commas(), text), expected, "{text:?}");
    }
}

#[test]
fn dialects_have_their_own_characters() {
    let dialect = |delimiter, quote, escape, comment| {
        let dialect = Dialect { delimiter, quote, escape, comment };
        Records::new(dialect, 64 * 1024, 0)
    };
    let semicolons = dialect(b';', Some(b'\''), None, None);
    assert_eq!(fields_of(semicolons, "'a;b';c,d\n"), [["a;b", "c,d"]]);
    let no_quotes = dialect(b'\t', None, None, None);
    assert_eq!(fields_of(no_quotes, "\"a\tb\"\n"), [["\"a", "b\""]]);
    let escapes = dialect(b',', Some(b'"'), Some(b'\\'), None);
    assert_eq!(fields_of(escapes, "\"a\\\"b\",c\n"), [["a\"b", "c"]]);
    let comments = dialect(b',', Some(b'"'), None, Some(b'#'));
    assert_eq!(fields_of(comments, "#\"x\na,#b\n# y"), [["a", "#b"]]);
    let leading = Records::new(COMMAS, 64 * 1024, 2);
    assert_eq!(fields_of(leading, "report \"of\r\n\r\na,b\n"), [["a", "b"]]);
}

#[test]
fn places_count_lines_and_bytes() {
    let text = "a\r\n\r\n\"b\nc\"\rd\n\n\ne";
    let places: Vec<_> = read(commas(), [text.as_bytes()])
        .into_iter()
        .map(|(fields, _, line, offset)| (fields.concat(), line, offset))
        .collect();
    let expected = [("a", 1, 0), ("b\nc", 3, 5), ("d", 5, 11), ("e", 8, 15)];
    let expected = expected.map(|(text, line, offset)| (text.to_owned(), line, offset));
    assert_eq!(places, expected);
}

#[test]
fn a_record_that_is_too_large_ends_where_its_line_ends() {
    let long = "x".repeat(3 * 64 * 1024);
    let large = Some(Fault::TooLarge);
    for (line, fault) in [
        (format!("{long},b"), large),
        (format!("\"{long}"), large),
        (",".repeat(2 * MAX_COLUMNS), Some(Fault::TooManyFields)),
    ] {
        let text = format!("a\n{line}\nb\n{line}");
        let all = read(commas(), [text.as_bytes()]);
        let shape: Vec<_> = all.iter().map(|(_, fault, line, _)| (*fault, *line)).collect();
        assert_eq!(shape, [(None, 1), (fault, 2), (None, 3), (fault, 4)]);
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
        let all = read(commas(), [text.as_bytes()]);
        assert_eq!(all[0], (vec!["1".into(), "a".into()], None, 1, 0));
        assert_eq!(all[1], (vec![], Some(Fault::UnterminatedQuote), 2, 4));
        assert_eq!((all[2].2, all[2].3), (3, 9));
        let rest: Vec<_> = all[2..].iter().map(|(fields, ..)| fields.join(",")).collect();
        assert_eq!(rest.join("\n"), following);
    }
}

#[test]
fn a_record_has_as_many_lines_as_allowed() {
    let quoted = |lines: usize| format!("\"{}x\"\nnext\n", "x\n".repeat(lines - 1));
    let first = |lines: usize| read(commas(), [quoted(lines).as_bytes()]).remove(0);
    assert_eq!(first(MAX_RECORD_LINES).1, None);
    assert_eq!(first(MAX_RECORD_LINES + 1).1, Some(Fault::UnterminatedQuote));
}

#[test]
fn quotes_that_open_on_every_line_cost_a_bounded_number_of_readings() {
    // Each line closes the quote of the line before and opens another one.
    let text = "\"\",\"a\",\"b\n".repeat(2_000);
    let all = read(commas(), [text.as_bytes()]);
    assert_eq!(all.len(), 2_000);
    assert!(all.iter().all(|(_, fault, ..)| fault.is_some()));
}

#[test]
fn the_longest_record_of_all_is_read() {
    let text = format!("{}\n", "x".repeat(RECORD_BYTES - 1));
    let all = read(Records::new(COMMAS, RECORD_BYTES, 0), [text.as_bytes()]);
    assert_eq!(all[0].1, None);
}

/// Text with many special characters of CSV.
fn csv() -> impl Strategy<Value = String> {
    let parts = vec!["a", "é", ",", "\"", "\"\"", "\n", "\r\n", "\r", " ", "#", "\u{feff}"];
    prop::collection::vec(prop::sample::select(parts), 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn chunks_may_end_anywhere(text in csv(), cuts in prop::collection::vec(0_usize..100, 0..4)) {
        let bytes = text.as_bytes();
        let whole = read(commas(), [bytes]);
        prop_assert_eq!(&read(commas(), bytes.chunks(1)), &whole);
        let cuts = cuts.into_iter().map(|cut| cut.min(bytes.len()));
        let mut cuts: Vec<_> = cuts.chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        prop_assert_eq!(&read(commas(), chunks), &whole);
    }

    #[test]
    fn places_are_those_of_the_text(text in csv()) {
        let bytes = text.as_bytes();
        for (_, _, line, offset) in read(commas(), [bytes]) {
            let before = &text[..usize::try_from(offset).unwrap()];
            let breaks = before.replace("\r\n", "\n").replace('\r', "\n").matches('\n').count();
            prop_assert_eq!(line, breaks as u64 + 1);
        }
    }

    #[test]
    fn a_text_that_is_quoted_is_read_as_it_was(
        rows in prop::collection::vec(prop::collection::vec(csv(), 2..4), 0..6)
    ) {
        let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
        let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",");
        let text: Vec<String> = rows.iter().map(line).collect();
        // No field has more lines than a record may have.
        prop_assume!(rows.iter().flatten().map(|field| field.matches('\n').count()).sum::<usize>() < 60);
        prop_assert_eq!(fields_of(commas(), &text.join("\n")), rows);
    }

    #[test]
    fn no_bytes_make_it_lose_its_place(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut last = 0;
        for (_, _, _, offset) in read(commas(), [&bytes[..]]) {
            prop_assert!(offset >= last && offset < bytes.len() as u64);
            last = offset;
        }
    }
}
