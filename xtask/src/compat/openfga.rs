//! OpenFGA: a REST API with errors beyond the codes of gRPC, pages and one stream.

use super::server::Product;

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
    ready: "/healthz",
    descriptors: None,
    script: &[&["client", "http://ENDPOINT"]],
    client_speaks_http: true,
};
