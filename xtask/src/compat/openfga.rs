//! OpenFGA: a REST API with errors beyond the codes of gRPC, pages and one stream.

use super::guarded::Guarded;
use super::server::Product;

/// A key that may list stores only; the digests of all keys are in `guarded.toml`.
const READER: &str = "reader_1.0f7b2c9e5d3a48619c4e";

pub(super) const PRODUCT: Product = Product {
    name: "openfga",
    server: "openfga",
    version: "1.22.1",
    programs: &[
        ("openfga", "github.com/openfga/openfga/cmd/openfga"),
        ("client", "./client"),
    ],
    packages: &[],
    module: "openfga",
    cases: include_str!("../../compat/openfga/cases.json"),
    arguments: |ports, _| {
        vec![
            "run".to_owned(),
            format!("--http-addr=127.0.0.1:{}", ports.http),
            format!("--grpc-addr=127.0.0.1:{}", ports.grpc),
            "--playground-enabled=false".to_owned(),
            "--metrics-enabled=false".to_owned(),
            "--log-level=error".to_owned(),
        ]
    },
    one_port: false,
    settings: &[],
    configuration: include_str!("../../compat/openfga/statuses.toml"),
    ready: "/healthz",
    descriptors: None,
    script: &[&["client", "http://ENDPOINT"]],
    client_speaks_http: true,
    guarded: Some(Guarded {
        configuration: include_str!("../../compat/openfga/guarded.toml"),
        token: "writer_1.9d1c4f3ab07e45f2a6d8",
        calls: &[
            ("POST", "/stores", "", 401, "CREDENTIALS_REQUIRED"),
            (
                "POST",
                "/stores",
                "writer_2.unknown",
                401,
                "TOKEN_MALFORMED",
            ),
            ("POST", "/stores", READER, 403, "MISSING_ROLE"),
            ("GET", "/stores", READER, 200, ""),
            ("GET", "/stores", READER, 200, ""),
            // Two in an hour.
            ("GET", "/stores", READER, 429, "RATE_LIMITED"),
            // Each caller has its own.
            ("GET", "/stores", "writer_1.9d1c4f3ab07e45f2a6d8", 200, ""),
        ],
    }),
};
