//! Header fields and trailers that are missing or wrong.

use hostile::{Script, grpc};

use super::{BROKEN, OK, Row, UNAVAILABLE, message};

pub(super) type Fields<'a> = &'a [(&'a str, &'a [u8])];

const TYPE: (&str, &[u8]) = ("content-type", b"application/grpc");

pub(super) fn with_head(head: Fields<'_>) -> Script {
    vec![
        grpc::headers(head),
        grpc::data(&message()),
        grpc::last_headers(grpc::TRAILERS),
    ]
}

pub(super) fn with_trailers(trailers: Fields<'_>) -> Script {
    vec![
        grpc::headers(grpc::HEAD),
        grpc::data(&message()),
        grpc::last_headers(trailers),
    ]
}

pub(super) fn trailers_only(fields: Fields<'_>) -> Script {
    vec![grpc::last_headers(&[grpc::HEAD, fields].concat())]
}

/// `:status` and `content-type`.
pub(super) fn heads() -> Vec<Row> {
    let mut rows = Vec::new();
    let statuses: [(&str, &'static [i32]); 17] = [
        ("", BROKEN),
        ("abc", BROKEN),
        ("20", BROKEN),
        ("2000", BROKEN),
        ("-200", BROKEN),
        ("099", BROKEN),
        // gRPC, "HTTP to gRPC Status Code Mapping"; a status of gRPC beside it counts more.
        ("204", OK_OR_BROKEN),
        ("301", OK_OR_BROKEN),
        ("400", OK_OR_BROKEN),
        ("401", &[0, 16]),
        ("403", &[0, 7]),
        ("404", &[0, 12]),
        ("429", &[0, 14]),
        ("500", OK_OR_BROKEN),
        ("503", &[0, 14]),
        ("600", OK_OR_BROKEN),
        ("999", OK_OR_BROKEN),
    ];
    for (status, codes) in statuses {
        let script = with_head(&[(":status", status.as_bytes()), TYPE]);
        rows.push(Row::new(format!("head: status '{status}'"), script, codes));
    }
    // The same without any status of gRPC.
    let mapped: [(&str, &'static [i32]); 10] = [
        ("400", BROKEN),
        ("401", &[16]),
        ("403", &[7]),
        ("404", &[12]),
        ("418", BROKEN),
        ("429", UNAVAILABLE),
        ("500", BROKEN),
        ("502", UNAVAILABLE),
        ("503", UNAVAILABLE),
        ("504", UNAVAILABLE),
    ];
    for (status, codes) in mapped {
        let head = [
            (":status", status.as_bytes()),
            ("content-type", b"text/html".as_slice()),
        ];
        let script = vec![grpc::headers(&head), grpc::last_data(b"<html>")];
        rows.push(Row::new(format!("html with {status}"), script, codes));
    }
    let heads: [(&str, Fields<'_>, &'static [i32]); 15] = [
        ("no status", &[TYPE], BROKEN),
        (
            "two statuses",
            &[(":status", b"200"), (":status", b"200"), TYPE],
            BROKEN,
        ),
        ("status after a field", &[TYPE, (":status", b"200")], BROKEN),
        (
            "a path",
            &[(":status", b"200"), (":path", b"/"), TYPE],
            BROKEN,
        ),
        (
            "unknown pseudo-header",
            &[(":status", b"200"), (":x", b"y"), TYPE],
            BROKEN,
        ),
        ("no content-type", &[(":status", b"200")], BROKEN),
        (
            "empty content-type",
            &[(":status", b"200"), ("content-type", b"")],
            BROKEN,
        ),
        (
            "html content-type",
            &[(":status", b"200"), ("content-type", b"text/html")],
            BROKEN,
        ),
        (
            "content-type with a prefix of gRPC's",
            &[(":status", b"200"), ("content-type", b"application/grpcx")],
            BROKEN,
        ),
        (
            "content-type of gRPC-Web",
            &[
                (":status", b"200"),
                ("content-type", b"application/grpc-web"),
            ],
            BROKEN,
        ),
        (
            "content-type in capitals",
            &[
                (":status", b"200"),
                ("content-type", b"Application/GRPC+Proto"),
            ],
            OK,
        ),
        (
            "content-type with a parameter",
            &[
                (":status", b"200"),
                ("content-type", b"application/grpc; charset=utf-8"),
            ],
            OK,
        ),
        (
            "content-length below the body's",
            &[(":status", b"200"), TYPE, ("content-length", b"3")],
            BROKEN,
        ),
        (
            "content-length above the body's",
            &[(":status", b"200"), TYPE, ("content-length", b"300")],
            BROKEN,
        ),
        (
            "content-length that is no number",
            &[(":status", b"200"), TYPE, ("content-length", b"x")],
            BROKEN,
        ),
    ];
    for (name, head, codes) in heads {
        rows.push(Row::new(format!("head: {name}"), with_head(head), codes).may_abort());
    }
    rows
}

pub(super) const OK_OR_BROKEN: &[i32] = &[0, 2, 13];

/// `grpc-status`, wherever it stands.
pub(super) fn statuses() -> Vec<Row> {
    let mut rows = Vec::new();
    let values: [(&[u8], &'static [i32]); 16] = [
        (b"", BROKEN),
        (b"-1", BROKEN),
        (b"x", BROKEN),
        (b"0x5", BROKEN),
        (b"+5", BROKEN),
        (b" 5", &[2, 5, 13]),
        (b"05", &[2, 5, 13]),
        (b"5, 5", BROKEN),
        (b"5 ", &[2, 5, 13]),
        (b"0.0", BROKEN),
        (b"00", OK_OR_BROKEN),
        (b"17", &[2, 17]),
        (b"2000", &[2, 2000]),
        (b"2147483648", BROKEN),
        (b"99999999999999999999", BROKEN),
        (b"\xff", BROKEN),
    ];
    for (value, codes) in values {
        let shown = value.escape_ascii();
        let fields: Fields<'_> = &[("grpc-status", value)];
        rows.push(Row::new(
            format!("trailers: grpc-status '{shown}'"),
            with_trailers(fields),
            codes,
        ));
        rows.push(Row::new(
            format!("trailers only: grpc-status '{shown}'"),
            trailers_only(fields),
            codes,
        ));
    }
    for code in 1..=16 {
        let value = code.to_string();
        let fields: Fields<'_> = &[("grpc-status", value.as_bytes())];
        let codes = &CODES[code..=code];
        rows.push(Row::new(
            format!("trailers: code {code}"),
            with_trailers(fields),
            codes,
        ));
        rows.push(Row::new(
            format!("trailers only: code {code}"),
            trailers_only(fields),
            codes,
        ));
    }
    rows.push(Row::new(
        "trailers: no grpc-status",
        with_trailers(&[("x", b"y")]),
        BROKEN,
    ));
    rows.push(Row::new("trailers: empty", with_trailers(&[]), BROKEN));
    rows.push(Row::new(
        "trailers: OK, then NOT_FOUND",
        with_trailers(&[("grpc-status", b"0"), ("grpc-status", b"5")]),
        &[2, 5, 13],
    ));
    rows.push(Row::new(
        "trailers: NOT_FOUND, then OK",
        with_trailers(&[("grpc-status", b"5"), ("grpc-status", b"0")]),
        &[2, 5, 13],
    ));
    rows.push(Row::new(
        "trailers only: no grpc-status",
        trailers_only(&[]),
        BROKEN,
    ));
    rows.push(
        Row::new(
            "trailers only: OK",
            trailers_only(&[("grpc-status", b"0")]),
            BROKEN,
        )
        .streams(OK),
    );
    for (name, in_head, in_trailers, codes) in [
        (
            "OK in the head, NOT_FOUND in trailers",
            "0",
            "5",
            [5, 2, 13].as_slice(),
        ),
        (
            "NOT_FOUND in the head, OK in trailers",
            "5",
            "0",
            &[5, 2, 13],
        ),
        ("OK twice", "0", "0", OK_OR_BROKEN),
    ] {
        let head = [grpc::HEAD, &[("grpc-status", in_head.as_bytes())]].concat();
        let mut script = with_head(&head);
        script[2] = grpc::last_headers(&[("grpc-status", in_trailers.as_bytes())]);
        rows.push(Row::new(
            format!("head and trailers: {name}"),
            script,
            codes,
        ));
    }
    rows
}

const CODES: [i32; 17] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

/// `grpc-message` and details: whatever they hold, the code stays.
pub(super) fn texts() -> Vec<Row> {
    let mut rows = Vec::new();
    let messages: [&[u8]; 11] = [
        b"",
        b"%",
        b"%4",
        b"%zz",
        b"a %ff b",
        b"%00",
        b"%0d%0aX: y",
        b"caf\xc3\xa9",
        b"\xff\xfe",
        b"%e4%bd",
        b"a\tb",
    ];
    for message in messages {
        let fields: Fields<'_> = &[("grpc-status", b"3"), ("grpc-message", message)];
        let shown = message.escape_ascii();
        rows.push(Row::new(
            format!("trailers: grpc-message '{shown}'"),
            with_trailers(fields),
            &[3],
        ));
        rows.push(Row::new(
            format!("trailers only: grpc-message '{shown}'"),
            trailers_only(fields),
            &[3],
        ));
    }
    let long = vec![b'%'; 8_000];
    rows.push(Row::new(
        "trailers: a long grpc-message",
        with_trailers(&[("grpc-status", b"3"), ("grpc-message", &long)]),
        &[3],
    ));
    for details in ["!", "a", "AAAA", "CAMSAzEyMw==", "CAMSAzEyMw", "//////"] {
        let fields: Fields<'_> = &[
            ("grpc-status", b"3"),
            ("grpc-status-details-bin", details.as_bytes()),
        ];
        rows.push(Row::new(
            format!("trailers: details '{details}'"),
            with_trailers(fields),
            &[3],
        ));
        rows.push(Row::new(
            format!("trailers only: details '{details}'"),
            trailers_only(fields),
            &[3],
        ));
    }
    for value in ["!", "a", "YQ==, !", ""] {
        let head = [grpc::HEAD, &[("x-bin", value.as_bytes())]].concat();
        rows.push(Row::new(
            format!("head: x-bin '{value}'"),
            with_head(&head),
            OK,
        ));
        rows.push(Row::new(
            format!("trailers: x-bin '{value}'"),
            with_trailers(&[("grpc-status", b"0"), ("x-bin", value.as_bytes())]),
            OK,
        ));
    }
    for code in ["abc", "0", "99", "600", "1000", "-1", "200, 201"] {
        let head = [grpc::HEAD, &[("x-http-code", code.as_bytes())]].concat();
        rows.push(Row::new(
            format!("head: x-http-code '{code}'"),
            with_head(&head),
            OK,
        ));
    }
    rows
}
