//! SpiceDB: server streams, a watch, a client stream, and a key that callers must present.

use super::server::Product;

pub(super) const PRODUCT: Product = Product {
    name: "spicedb",
    server: "spicedb",
    version: "1.56.2",
    programs: &[
        ("spicedb", "github.com/authzed/spicedb/cmd/spicedb"),
        ("client", "./client"),
    ],
    packages: &[],
    module: "spicedb",
    cases: include_str!("../../compat/spicedb/cases.json"),
    arguments: |ports, _| {
        vec![
            "serve".to_owned(),
            "--grpc-preshared-key=key".to_owned(),
            "--datastore-engine=memory".to_owned(),
            "--http-enabled".to_owned(),
            format!("--http-addr=127.0.0.1:{}", ports.http),
            format!("--grpc-addr=127.0.0.1:{}", ports.grpc),
            "--metrics-enabled=false".to_owned(),
            "--dispatch-cluster-enabled=false".to_owned(),
            "--telemetry-endpoint=".to_owned(),
            // Checks see what was written before them.
            "--datastore-revision-quantization-interval=0s".to_owned(),
            "--skip-release-check".to_owned(),
            "--log-level=warn".to_owned(),
        ]
    },
    one_port: false,
    settings: &[],
    configuration: "",
    ready: "/openapi.json",
    descriptors: None,
    script: &[&["client", "ENDPOINT"]],
    client_speaks_http: false,
    guarded: None,
};
