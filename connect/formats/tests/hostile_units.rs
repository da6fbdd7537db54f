//! Hostile units end as flaws or refusals that name place, rule and value; what comes before a flaw
//! and after it arrives.

#![allow(clippy::unwrap_used, clippy::result_large_err)]

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use formats::{Flaw, Kind, Position, Reader, Record, Refusal, Settings, Value, limits};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Shown records and flaws, and the refusal at the end.
type Seen = (Vec<String>, Option<String>);

fn with(kind: Kind, change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::new(kind);
    change(&mut settings);
    settings.check().unwrap();
    settings
}

fn csv() -> Settings {
    Settings::new(Kind::Csv)
}

fn xml() -> Settings {
    with(Kind::Xml, |own| own.path = Some("r/e".to_owned()))
}

fn shown(item: Result<Record, Flaw>) -> String {
    match item {
        Ok(record) => {
            let Value::Map(fields) = record.value else {
                panic!("{:?}", record.value)
            };
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| format!("{name}={}", value.shown()))
                .collect();
            format!("{}: {}", record.number, fields.join(" "))
        }
        Err(flaw) => flaw.to_string(),
    }
}

fn drain(reader: Result<Reader, Refusal>) -> Seen {
    let mut seen = Vec::new();
    match reader {
        Err(refusal) => return (seen, Some(refusal.to_string())),
        Ok(reader) => {
            for item in reader {
                match item {
                    Ok(item) => seen.push(shown(item)),
                    Err(refusal) => return (seen, Some(refusal.to_string())),
                }
            }
        }
    }
    (seen, None)
}

fn read(settings: &Settings, bytes: impl Into<Vec<u8>>) -> Seen {
    drain(settings.read(Cursor::new(bytes.into())))
}

fn open(settings: &Settings, bytes: &[u8]) -> Seen {
    drain(settings.open(file(bytes)))
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, content) in members {
        archive.start_file(*name, options).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A run of one byte that is never in memory as a whole.
fn run(byte: u8, length: u64) -> impl Read + Send {
    io::repeat(byte).take(length)
}

#[track_caller]
fn assert_seen((seen, refusal): Seen, expected: &[&str], end: Option<&str>) {
    assert_eq!(seen, expected);
    match (&refusal, end) {
        (Some(refusal), Some(end)) => assert!(refusal.contains(end), "{refusal}"),
        _ => assert_eq!(refusal.as_deref(), end),
    }
}

#[test]
fn flaws_of_csv_cost_their_record() {
    let cases: [(&[u8], &str); 7] = [
        (b"x", "record 2, line 3 (byte 8): WIDTH: 1 of 2 columns"),
        (b"x,y,z", "record 2, line 3 (byte 8): WIDTH: 3 of 2 columns"),
        (
            b"x,\0y",
            "record 2, line 3 (byte 8): NUL, column `b`: \u{fffd}y",
        ),
        (
            b"x,caf\xe9",
            "record 2, line 3 (byte 8): NOT_TEXT, column `b`: caf\u{fffd}",
        ),
        (
            b"\xed\xa0\x80,y",
            "record 2, line 3 (byte 8): NOT_TEXT, column `a`: \u{fffd}\u{fffd}\u{fffd}",
        ),
        (
            b"x,\"y",
            "record 2, line 3 (byte 8): UNTERMINATED_QUOTE: x,\"y",
        ),
        (b"=cmd|'/c calc'!A1,+1", "2: a==cmd|'/c calc'!A1 b=+1"),
    ];
    for (line, expected) in cases {
        let text = [b"a,b\n1,2\n", line, b"\n3,4\n"].concat();
        let seen = read(&csv(), text);
        assert_seen(seen, &["1: a=1 b=2", expected, "3: a=3 b=4"], None);
    }
}

#[test]
fn headers_of_csv_are_checked() {
    let need =
        |text: &'static str| drain(Ok(csv().read(text.as_bytes()).unwrap().requiring(["a"])));
    assert_seen(need("a,b,b,\n1,2,3,4\n"), &["1: a=1"], None);
    let missing = "line 1 (byte 0): COLUMN_MISSING, column `a`: the columns are A, b";
    assert_seen(need("A,b\n1,2\n"), &[], Some(missing));
    let twice = "line 1 (byte 0): COLUMN_DUPLICATE, column `a`: the columns are b";
    assert_seen(need("a,b,a\n1,2,3\n"), &[], Some(twice));
    assert_seen(need(""), &[], Some("HEADER_MISSING"));
    assert_seen(
        read(&csv(), b"a,\xff\n".to_vec()),
        &[],
        Some("line 1 (byte 0): NOT_TEXT"),
    );
    let wide = ",".repeat(10_000);
    assert_seen(
        read(&csv(), wide.clone()),
        &[],
        Some("TOO_MANY_COLUMNS: more than 4096"),
    );
    let (seen, _) = read(&csv(), format!("a\n{wide}\nb\n"));
    assert!(
        seen[0].starts_with("record 1, line 2 (byte 2): TOO_MANY_COLUMNS"),
        "{seen:?}"
    );
    assert_eq!(seen[1], "2: a=b");
}

#[test]
fn dialects_of_csv_are_found_or_declared() {
    assert_seen(
        read(&csv(), "sep=;\r\na;b\r\n1,5;2\r\n"),
        &["1: a=1,5 b=2"],
        None,
    );
    let declared = with(Kind::Csv, |own| {
        own.header = Some(false);
        own.columns = Some(vec!["a".to_owned(), "b".to_owned()]);
        own.delimiter = Some("\t".to_owned());
        own.encoding = Some("latin1".to_owned());
        own.skip = Some(1);
        own.comment = Some("#".to_owned());
    });
    let text = b"Report of \"today\n# nothing\n\xe9\t2\n".to_vec();
    assert_seen(read(&declared, text), &["1: a=é b=2"], None);
    let utf16 = "\u{feff}a,b\r\né,2\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes);
    assert_seen(
        read(&csv(), utf16.collect::<Vec<_>>()),
        &["1: a=é b=2"],
        None,
    );
    let mut lone = b"\xff\xfe".to_vec();
    lone.extend(
        "a\nx"
            .encode_utf16()
            .chain([0xd800, 10])
            .chain("y\n".encode_utf16())
            .flat_map(u16::to_le_bytes),
    );
    let flaw = "record 1, line 2 (byte 2): NOT_TEXT, column `a`: x\u{fffd}";
    assert_seen(read(&csv(), lone), &[flaw, "2: a=y"], None);
}

#[test]
fn settings_that_are_wrong_name_their_key() {
    let cases = [
        ("kind = 'csv'\ndelimiter = ';;'", "format.delimiter: "),
        ("kind = 'csv'\ndelimiter = '§'", "format.delimiter: "),
        (
            "kind = 'csv'\nquote = ','",
            "format.quote: is the delimiter",
        ),
        ("kind = 'csv'\nencoding = 'utf-9'", "format.encoding: "),
        ("kind = 'csv'\nheader = false", "format.columns: "),
        (
            "kind = 'csv'\nheader = false\ncolumns = ['a', 'a']",
            "format.columns: a name is there twice",
        ),
        (
            "kind = 'csv'\nmax_record_bytes = 99999999999",
            "format.max_record_bytes: expected 1 to ",
        ),
        (
            "kind = 'json'\ndelimiter = ';'",
            "format.delimiter: the format json has no such key",
        ),
        ("kind = 'xml'", "format.path: "),
        (
            "kind = 'json'\npath = 'a..b'",
            "format.path: a name is empty",
        ),
    ];
    for (text, expected) in cases {
        let settings: Settings = toml::from_str(text).unwrap();
        let error = settings.check().unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    let unknown = toml::from_str::<Settings>("kind = 'csv'\ndelimeter = ';'");
    assert!(
        unknown
            .unwrap_err()
            .to_string()
            .contains("unknown field `delimeter`")
    );
}

#[test]
fn a_line_without_end_is_a_flaw_in_bounded_memory() {
    const LENGTH: u64 = 256 << 20;
    let line = |prefix: &'static [u8]| prefix.chain(run(b'x', LENGTH)).chain(&b"\nok\n"[..]);
    let measured = allocation_counter::measure(|| {
        let (seen, refusal) = drain(csv().read(line(b"a\n")));
        assert!(seen[0].starts_with("record 1, line 2 (byte 2): RECORD_TOO_LARGE: xxx"));
        assert_eq!((&*seen[1], refusal), ("2: a=ok", None));
    });
    assert!(measured.bytes_max < 16 << 20, "{measured:?}");
    let measured = allocation_counter::measure(|| {
        let ndjson = Settings::new(Kind::Ndjson);
        let text = line(b"{\"a\":1}\n\"").chain(&b"{\"a\":2}\n"[..]);
        let (seen, refusal) = drain(ndjson.read(text));
        assert_eq!((&*seen[0], refusal), ("1: a=1", None));
        assert!(seen[1].starts_with("record 2, line 2 (byte 8): RECORD_TOO_LARGE: \"xxx"));
        assert_eq!(seen[3], "4: a=2");
    });
    assert!(measured.bytes_max < 16 << 20, "{measured:?}");
    let measured = allocation_counter::measure(|| {
        let text = (&b"[{\"a\":1},{\"b\":\""[..])
            .chain(run(b'x', LENGTH))
            .chain(&b"\"},{\"a\":3}]"[..]);
        let (seen, refusal) = drain(Settings::new(Kind::Json).read(text));
        assert_eq!((&*seen[0], &*seen[2], refusal), ("1: a=1", "3: a=3", None));
        assert!(seen[1].starts_with("record 2, line 1 (byte 9): RECORD_TOO_LARGE"));
    });
    assert!(measured.bytes_max < 16 << 20, "{measured:?}");
    let text = (&b"<r><e><a>1</a></e><e><a>"[..]).chain(run(b'x', LENGTH));
    let measured = allocation_counter::measure(|| {
        let seen = drain(xml().read(text));
        assert_seen(
            seen,
            &["1: a=1"],
            Some("RECORD_TOO_LARGE: a piece of more than 16777216 bytes"),
        );
    });
    assert!(measured.bytes_max < 128 << 20, "{measured:?}");
}

#[test]
fn flaws_of_json_cost_their_record() {
    let deep = format!("{}{}", "{\"a\":[".repeat(60), "]}".repeat(60));
    let cases = [
        (r#"{"a":"\ud800"}"#, "SYNTAX"),
        (r#"{"a":1e}"#, "SYNTAX"),
        (r#"{"a":01}"#, "SYNTAX"),
        (r#"{"a":NaN}"#, "SYNTAX"),
        (r#"{"a":1,"a":2}"#, "DUPLICATE_NAME: a"),
        (
            r#"{"a":{"b":[1,"x\u0000"]}}"#,
            "NUL, column `a.b[1]`: x\u{fffd}",
        ),
        (r#"[1]"#, "NOT_AN_OBJECT: a list of 1"),
        (&deep, "TOO_DEEP"),
    ];
    for (text, expected) in cases {
        let all = format!("[{{\"a\":1}},\n{text},{{\"a\":2}}]");
        let (seen, refusal) = read(&Settings::new(Kind::Json), all);
        assert_eq!(
            (&*seen[0], &*seen[2], refusal),
            ("1: a=1", "3: a=2", None),
            "{text}"
        );
        let start = format!("record 2, line 2 (byte 10): {expected}");
        assert!(seen[1].starts_with(&start), "{}", seen[1]);
        let lines = format!("{{\"a\":1}}\n{text}\n\n{{\"a\":2}}");
        let (seen, refusal) = read(&Settings::new(Kind::Ndjson), lines);
        assert_eq!(
            (&*seen[0], &*seen[2], refusal),
            ("1: a=1", "3: a=2", None),
            "{text}"
        );
        let start = format!("record 2, line 2 (byte 8): {expected}");
        assert!(seen[1].starts_with(&start), "{}", seen[1]);
    }
    let mut lines = b"{\"a\":1}\n{\"a\":\"caf\xe9\"}\n{\"a\":".to_vec();
    lines.extend(
        format!(
            "{}{}\n{{\"a\":4}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        )
        .bytes(),
    );
    let (seen, _) = read(&Settings::new(Kind::Ndjson), lines);
    assert!(
        seen[1].starts_with("record 2, line 2 (byte 8): NOT_TEXT"),
        "{}",
        seen[1]
    );
    assert!(
        seen[2].starts_with("record 3, line 3 (byte 21): TOO_DEEP"),
        "{}",
        seen[2]
    );
    assert_eq!(seen[3], "4: a=4");
}

#[test]
fn numbers_of_json_keep_their_digits() {
    let text = r#"{"a":1e400,"b":0.1000000000000000055,"c":9223372036854775808,"d":-7}"#;
    let seen = read(&Settings::new(Kind::Ndjson), text);
    let expected = "1: a=1e400 b=0.1000000000000000055 c=9223372036854775808 d=-7";
    assert_seen(seen, &[expected], None);
}

#[test]
fn json_is_read_at_its_path_and_to_its_end() {
    let at = |path: &str| with(Kind::Json, |own| own.path = Some(path.to_owned()));
    let text = r#"{"x":{"data":[9]},"da\u0074a":{"n":[{}],"rows":[{"a":1},{"a":2}],"z":{"rows":[1]}},"w":"]"}"#;
    assert_seen(read(&at("data.rows"), text), &["1: a=1", "2: a=2"], None);
    assert_seen(read(&at("data"), r#"{"data":{"a":1}}"#), &["1: a=1"], None);
    assert_seen(
        read(&at("data.lines"), text),
        &[],
        Some("PATH_MISSING: `data.lines`, at `lines`"),
    );
    assert_seen(read(&at("w"), text), &[], Some("PATH_MISSING"));
    assert_seen(read(&at("data"), "{}"), &[], Some("PATH_MISSING"));
    let json = Settings::new(Kind::Json);
    assert_seen(read(&json, "[]"), &[], None);
    assert_seen(read(&json, r#"[{"a":1}"#), &["1: a=1"], Some("TRUNCATED"));
    assert_seen(read(&json, r#"[{"a":1},"#), &["1: a=1"], Some("TRUNCATED"));
    assert_seen(
        read(&json, r#"[{"a":1},{"a""#),
        &["1: a=1"],
        Some("TRUNCATED"),
    );
    assert_seen(
        read(&json, r#"[{"a":1} {"a":2}]"#),
        &["1: a=1"],
        Some("line 1 (byte 9): SYNTAX"),
    );
    assert_seen(
        read(&json, r#"[{"a":1}] x"#),
        &["1: a=1"],
        Some("SYNTAX: expected the end of the text"),
    );
    assert_seen(
        read(&at("d"), r#"{"d":[{"a":1}]"#),
        &["1: a=1"],
        Some("TRUNCATED"),
    );
}

#[test]
fn xml_has_no_definitions_and_five_entities() {
    let ok = "<e><a>1</a></e>";
    let seen = |inner: &str| read(&xml(), format!("<r>{ok}{inner}{ok}</r>"));
    let good = "<e id='7'>\n<a>&lt;&#233;&amp;</a><b/><b>2</b><c><![CDATA[<x>]]></c></e>";
    let expected = "2: @id=7 a=<é& b=a list of 2 c=<x>";
    assert_seen(seen(good), &["1: a=1", expected, "3: a=1"], None);
    for (record, expected) in [
        ("<e><a>&xxe;</a></e>", "ENTITY: &xxe;"),
        ("<e a='&xxe;'/>", "ENTITY: &xxe;"),
        ("<e><a>&#0;</a></e>", "ENTITY: &#0;"),
        ("<e><a>\u{0}</a></e>", "NUL: \u{fffd}"),
        ("<e>text</e>", "NOT_AN_OBJECT: text"),
    ] {
        let expected = format!("record 2, line 1 (byte 18): {expected}");
        assert_seen(seen(record), &["1: a=1", &expected, "3: a=1"], None);
    }
    let mut latin = format!("<r>{ok}<e><a>caf").into_bytes();
    latin.extend(b"\xe9</a></e><e><a>3</a></e></r>");
    let flaw = "record 2, line 1 (byte 18): NOT_TEXT: caf\u{fffd}";
    assert_seen(read(&xml(), latin), &["1: a=1", flaw, "3: a=3"], None);

    let xxe = "<!DOCTYPE r [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><r><e><a>&x;</a></e></r>";
    assert_seen(read(&xml(), xxe), &[], Some("DTD"));
    let laughs =
        "<!DOCTYPE r [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'>]><r><e><a>&b;</a></e></r>";
    assert_seen(read(&xml(), laughs), &[], Some("DTD"));
    let unclosed = read(&xml(), format!("<r>{ok}<x>{ok}</r>"));
    assert_seen(unclosed, &["1: a=1"], Some("SYNTAX"));
    assert_seen(
        read(&xml(), format!("<r>{ok}<e><a>")),
        &["1: a=1"],
        Some("TRUNCATED"),
    );
    assert_seen(
        read(&xml(), format!("<r>{ok}<e><a")),
        &["1: a=1"],
        Some("TRUNCATED"),
    );
    assert_seen(read(&xml(), ""), &[], Some("TRUNCATED: no element"));
    let deep = format!("<r>{ok}<e>{}", "<a>".repeat(100_000));
    assert_seen(
        read(&xml(), deep),
        &["1: a=1"],
        Some("TOO_DEEP: more than 64 levels"),
    );
    let many = format!("<r>{ok}<e>{}</e>{ok}</r>", "<a/>".repeat(70_000));
    let flaw = "record 2, line 1 (byte 18): RECORD_TOO_LARGE: more than 65536 values";
    assert_seen(read(&xml(), many), &["1: a=1", flaw, "3: a=1"], None);
}

#[test]
fn compression_is_found_by_content() {
    let text = b"a\n1\n";
    let both = [gzipped(b"a\n1\n"), gzipped(b"2\n")].concat();
    assert_seen(read(&csv(), both), &["1: a=1", "2: a=2"], None);
    let zstd = zstd::encode_all(&text[..], 3).unwrap();
    assert_seen(read(&csv(), zstd), &["1: a=1"], None);
    let archive = zipped(&[
        ("b.csv", b"a\n3\n"),
        ("a.csv", b"a,b\n1,2\n"),
        ("x.txt", b"no"),
    ]);
    let wanted = with(Kind::Csv, |own| own.members = Some("*.csv".to_owned()));
    assert_seen(open(&wanted, &archive), &["1: a=1 b=2", "2: a=3"], None);
    let none = with(Kind::Csv, |own| own.members = Some("*.tsv".to_owned()));
    assert_seen(
        open(&none, &archive),
        &[],
        Some("ARCHIVE_MEMBERS: no member fits `*.tsv`"),
    );
    assert_seen(read(&csv(), archive), &[], Some("ARCHIVE_NEEDS_FILE"));
    let flawed = zipped(&[("a.csv", b"a\nx,y\n")]);
    let flaw = "record 1, line 2 (byte 2) of `a.csv`: WIDTH: 2 of 1 columns";
    assert_seen(open(&csv(), &flawed), &[flaw], None);
}

#[test]
fn archives_that_are_cut_or_changed_are_refused() {
    let rows: String = (0..20_000)
        .map(|row| format!("{row},{}\n", row * 7919 % 10_007))
        .collect();
    let text = format!("a,b\n{rows}");
    let gzip = gzipped(text.as_bytes());
    let (seen, refusal) = read(&csv(), &gzip[..gzip.len() / 2]);
    assert!(
        seen.len() > 1_000 && seen[0] == "1: a=0 b=0",
        "{}",
        seen.len()
    );
    assert!(
        refusal.as_ref().unwrap().contains("TRUNCATED"),
        "{refusal:?}"
    );
    let mut wrong = gzip.clone();
    let at = wrong.len() - 6;
    wrong[at] ^= 1;
    assert!(read(&csv(), wrong).1.unwrap().contains("CORRUPT"));
    let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap();
    let refusal = read(&csv(), &zstd[..zstd.len() / 2]).1.unwrap();
    assert!(refusal.contains("TRUNCATED"), "{refusal}");
    let archive = zipped(&[("a.csv", text.as_bytes())]);
    assert_seen(
        open(&csv(), &archive[..archive.len() / 2]),
        &[],
        Some("TRUNCATED"),
    );
    let mut wrong = archive.clone();
    let middle = wrong.len() / 2;
    wrong[middle] ^= 0x10;
    let (_, refusal) = open(&csv(), &wrong);
    assert!(
        refusal.as_ref().unwrap().contains("of `a.csv`"),
        "{refusal:?}"
    );
}

/// Fails as a connection does.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("reset by peer"))
    }
}

#[test]
fn an_error_of_the_connection_is_no_fault_of_the_unit() {
    let whole = format!("a\n{}", "1\n".repeat(1_000));
    let (seen, refusal) = drain(csv().read(Cursor::new(whole.clone()).chain(Broken)));
    let end = "UNREADABLE: reset by peer";
    assert_eq!((seen.len(), &*seen[999]), (1_000, "1000: a=1"));
    assert!(
        refusal
            .as_ref()
            .is_some_and(|refusal| refusal.contains(end)),
        "{refusal:?}"
    );
    let gzip = gzipped(whole.as_bytes());
    let half = gzip[..gzip.len() - 4].to_vec();
    let packed = drain(csv().read(Cursor::new(half).chain(Broken)));
    assert!(
        packed
            .1
            .as_ref()
            .is_some_and(|refusal| refusal.contains(end)),
        "{packed:?}"
    );
}

#[test]
fn names_that_lead_out_of_an_archive_are_refused() {
    for name in [
        "../a.csv",
        "/etc/a.csv",
        "x/../../a.csv",
        "..\\a.csv",
        "C:/a.csv",
    ] {
        // The writer of the library refuses such names: they are put in afterwards.
        let plain = "n".repeat(name.len());
        let mut archive = zipped(&[(&plain, b"a\n1\n")]);
        while let Some(at) = memchr::memmem::find(&archive, plain.as_bytes()) {
            archive[at..at + name.len()].copy_from_slice(name.as_bytes());
        }
        let (seen, refusal) = open(&csv(), &archive);
        assert!(seen.is_empty());
        assert!(
            refusal.as_ref().unwrap().contains("ARCHIVE_NAME"),
            "{name}: {refusal:?}"
        );
    }
}

#[test]
fn bombs_are_refused_in_bounded_memory() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    io::copy(&mut (&b"a\n1\n"[..]).chain(run(b'\n', 64 << 20)), &mut gzip).unwrap();
    let gzip = gzip.finish().unwrap();
    let measured = allocation_counter::measure(|| {
        assert_seen(read(&csv(), gzip), &["1: a=1"], Some("ARCHIVE_BOMB"));
    });
    assert!(measured.bytes_max < 16 << 20, "{measured:?}");
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    archive.start_file("a.csv", options).unwrap();
    io::copy(
        &mut (&b"a\n1\n"[..]).chain(run(b'\n', 64 << 20)),
        &mut archive,
    )
    .unwrap();
    let archive = archive.finish().unwrap().into_inner();
    let (seen, refusal) = open(&csv(), &archive);
    assert_eq!(seen, ["1: a=1"]);
    assert!(refusal.unwrap().contains("of `a.csv`: ARCHIVE_BOMB"));
    let small = with(Kind::Csv, |own| own.max_bytes = Some(1_000));
    let (seen, refusal) = read(&small, format!("a\n{}", "1\n".repeat(1_000)));
    assert!(
        seen.len() < 1_000
            && refusal
                .unwrap()
                .contains("UNIT_TOO_LARGE: more than 1000 bytes")
    );
    let many: Vec<_> = (0..=limits::MAX_MEMBERS).map(|at| at.to_string()).collect();
    let many: Vec<_> = many
        .iter()
        .map(|name| (name.as_str(), &b"a\n"[..]))
        .collect();
    assert_seen(
        open(&csv(), &zipped(&many)),
        &[],
        Some("ARCHIVE_MEMBERS: 1001 members"),
    );
}

/// A workbook with this content of its only sheet.
fn workbook(rows: &str) -> Vec<u8> {
    let types = r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>"#;
    let relations = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#;
    let book = r#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="Orders" sheetId="1" r:id="rId1"/></sheets></workbook>"#;
    let parts = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/></Relationships>"#;
    let styles = r#"<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="22"/></cellXfs></styleSheet>"#;
    let sheet = format!(
        r#"<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{rows}</sheetData></worksheet>"#
    );
    zipped(&[
        ("[Content_Types].xml", types.as_bytes()),
        ("_rels/.rels", relations.as_bytes()),
        ("xl/workbook.xml", book.as_bytes()),
        ("xl/_rels/workbook.xml.rels", parts.as_bytes()),
        ("xl/styles.xml", styles.as_bytes()),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ])
}

#[test]
fn cells_of_a_sheet_are_values_or_flaws() {
    let text =
        |at: &str, text: &str| format!(r#"<c r="{at}" t="inlineStr"><is><t>{text}</t></is></c>"#);
    let header = format!(r#"<row r="2">{}{}</row>"#, text("A2", "a"), text("B2", "b"));
    let cases = [
        (text("A5", "=1+1"), "1: a==1+1 b=null"),
        (
            r#"<c r="A5"><f>1+1</f><v>2</v></c>"#.to_owned(),
            "1: a=2 b=null",
        ),
        (
            r#"<c r="A5"><f>1+1</f></c>"#.to_owned(),
            "record 1, row 5: FORMULA_WITHOUT_VALUE, column `a`",
        ),
        (
            r#"<c r="B5" t="e"><v>#N/A</v></c>"#.to_owned(),
            "record 1, row 5: CELL_ERROR, column `b`: #N/A",
        ),
        (
            r#"<c r="B5" s="1"><v>40603.3402777778</v></c>"#.to_owned(),
            "1: a=null b=2011-03-01T08:10:00",
        ),
        (
            r#"<c r="B5" s="1"><v>60</v></c>"#.to_owned(),
            "record 1, row 5: DATE, column `b`: the serial number 60",
        ),
        (
            r#"<c r="B5" s="1"><v>-1</v></c>"#.to_owned(),
            "record 1, row 5: DATE, column `b`: the serial number -1",
        ),
        (
            r#"<c r="B5" s="1"><v>2958466</v></c>"#.to_owned(),
            "record 1, row 5: DATE, column `b`: the serial number 2958466",
        ),
        (
            r#"<c r="B5" s="1"><v>0.5</v></c>"#.to_owned(),
            "1: a=null b=12:00:00",
        ),
        (
            r#"<c r="B5"><v>4.25</v></c>"#.to_owned(),
            "1: a=null b=4.25",
        ),
        (text("C5", "x"), "record 1, row 5: WIDTH: 3 of 2 columns"),
    ];
    let xlsx = Settings::new(Kind::Xlsx);
    for (cell, expected) in cases {
        let rows =
            format!(r#"{header}<row r="5">{cell}</row><row r="6"><c r="A6"><v>9</v></c></row>"#);
        let (seen, refusal) = open(&xlsx, &workbook(&rows));
        assert!(seen[0].starts_with(expected), "{cell}: {}", seen[0]);
        assert_eq!((&*seen[1], refusal), ("2: a=9 b=null", None));
    }
    let missing = with(Kind::Xlsx, |own| own.sheet = Some("Lines".to_owned()));
    assert_seen(
        open(&missing, &workbook(&header)),
        &[],
        Some("SHEET_MISSING"),
    );
    assert_seen(open(&xlsx, &workbook("")), &[], Some("HEADER_MISSING"));
    let reader = xlsx
        .open(file(&workbook(&header)))
        .unwrap()
        .requiring(["c"]);
    assert_seen(
        drain(Ok(reader)),
        &[],
        Some("row 2: COLUMN_MISSING, column `c`: the columns are a, b"),
    );
}

#[test]
fn hostile_workbooks_are_refused() {
    let xlsx = Settings::new(Kind::Xlsx);
    let far = r#"<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>"#;
    let measured = allocation_counter::measure(|| {
        assert_seen(
            open(&xlsx, &workbook(far)),
            &[],
            Some("row 1048576: TOO_MANY_COLUMNS"),
        );
    });
    assert!(measured.bytes_max < 16 << 20, "{measured:?}");
    let back = r#"<row r="2"><c r="A2"><v>1</v></c></row><row r="1"><c r="A1"><v>1</v></c></row>"#;
    assert_seen(
        open(&xlsx, &workbook(back)),
        &[],
        Some("row 1: CORRUPT: rows out of order"),
    );
    let plain = workbook("");
    assert_seen(open(&xlsx, &plain[..plain.len() / 2]), &[], Some("CORRUPT"));
    assert_seen(open(&xlsx, b"not a workbook"), &[], Some("CORRUPT"));
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    archive
        .start_file("xl/worksheets/sheet1.xml", options)
        .unwrap();
    io::copy(&mut run(b' ', limits::MAX_MEMORY_BYTES + 1), &mut archive).unwrap();
    let bomb = archive.finish().unwrap().into_inner();
    let measured = allocation_counter::measure(|| {
        assert_seen(open(&xlsx, &bomb), &[], Some("ARCHIVE_BOMB"));
    });
    assert!(measured.bytes_max < 16 << 20, "{measured:?}");
}

#[test]
fn hostile_tables_are_refused() {
    let parquet = Settings::new(Kind::Parquet);
    assert_seen(
        open(&parquet, b"this is not a table of Parquet"),
        &[],
        Some("CORRUPT"),
    );
    assert_seen(open(&parquet, b""), &[], Some("the whole: "));
    let good = include_bytes!("../../mapping/tests/data/orders.parquet");
    let (seen, _) = open(&parquet, good);
    assert_eq!(seen.len(), 60);
    assert_eq!(read(&parquet, good.to_vec()).0, seen);
    assert_eq!(read(&parquet, gzipped(good)).0, seen);
    // No byte that is changed makes it panic, or read without end.
    for at in (4..good.len()).step_by(61) {
        let mut changed = good.to_vec();
        changed[at] ^= 0xff;
        let (seen, refusal) = open(&parquet, &changed);
        assert!(seen.len() <= 60 || refusal.is_some(), "{at}");
    }
}

#[test]
fn places_of_flaws_are_those_of_the_text() {
    let mut flaws = csv().read("a,b\r\n1,2\r\n\r\n3\r\n".as_bytes()).unwrap();
    let first = flaws.next().unwrap().unwrap().unwrap();
    assert_eq!(first.place.position, Position::Text { line: 2, offset: 5 });
    assert_eq!(first.raw, b"1,2\r");
    let flaw = flaws.next().unwrap().unwrap().unwrap_err();
    assert_eq!((flaw.number, flaw.raw), (2, b"3\r".to_vec()));
    assert_eq!(
        flaw.place.position,
        Position::Text {
            line: 4,
            offset: 12
        }
    );
    assert!(flaws.next().is_none());
}
