//! etcd: no reflection, a bidirectional watch, leases, and raw bytes as keys.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mesh::home::Home;
use protox::Compiler;

use super::server::{Product, module_dir};

const CTL: &str = "--endpoints=ENDPOINT";

pub(super) const PRODUCT: Product = Product {
    name: "etcd",
    server: "etcd",
    version: "3.6.5",
    programs: &[
        ("etcd", "go.etcd.io/etcd/server/v3"),
        ("etcdctl", "go.etcd.io/etcd/etcdctl/v3"),
    ],
    packages: &[],
    module: "etcd",
    cases: include_str!("../../compat/etcd/cases.json"),
    arguments: |ports, data| {
        let client = format!("http://127.0.0.1:{}", ports.http);
        let peer = format!("http://127.0.0.1:{}", ports.other);
        vec![
            format!("--data-dir={}", data.display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--log-level=error".to_owned(),
        ]
    },
    one_port: true,
    settings: &[
        ("PROTOMESH_PRESERVE_PROTO_FIELD_NAMES", "true"),
        ("PROTOMESH_EMIT_DEFAULTS", "never"),
        ("PROTOMESH_CORS__ALLOWED_ORIGINS", "*"),
    ],
    configuration: "",
    ready: "/health",
    descriptors: Some(descriptors),
    script: &[
        &["etcdctl", CTL, "put", "fruit/apple", "red"],
        &["etcdctl", CTL, "put", "fruit/\u{f6}l", "gr\u{fc}n"],
        &["etcdctl", CTL, "get", "fruit/", "--prefix"],
        &[
            "etcdctl",
            CTL,
            "get",
            "fruit/",
            "--prefix",
            "--keys-only",
            "--limit=1",
        ],
        &["etcdctl", CTL, "get", "fruit/apple", "--print-value-only"],
        &["etcdctl", CTL, "get", "missing"],
        &["etcdctl", CTL, "del", "fruit/apple", "--prev-kv"],
        &["etcdctl", CTL, "get", "fruit/apple", "--rev=1000000"],
        &["etcdctl", CTL, "lease", "revoke", "1"],
        &[
            "etcdctl",
            CTL,
            "user",
            "add",
            "ann",
            "--new-user-password=pw",
        ],
        &[
            "etcdctl",
            CTL,
            "user",
            "add",
            "ann",
            "--new-user-password=pw",
        ],
        &["etcdctl", CTL, "role", "add", "reader"],
        &[
            "etcdctl",
            CTL,
            "role",
            "grant-permission",
            "reader",
            "read",
            "fruit/",
        ],
        &["etcdctl", CTL, "user", "grant-role", "ann", "reader"],
        &["etcdctl", CTL, "user", "get", "ann"],
        &["etcdctl", CTL, "role", "get", "missing"],
        &["etcdctl", CTL, "compaction", "2"],
        &["etcdctl", CTL, "compaction", "2"],
        &["etcdctl", CTL, "alarm", "list"],
        &["etcdctl", CTL, "snapshot", "save", "/dev/null/none"],
        &["etcdctl", CTL, "lock", "mine", "true"],
    ],
    client_speaks_http: false,
    guarded: None,
};

/// The release of Debian 12, whose gateway is grpc-gateway v1.
pub(super) const OLD_PRODUCT: Product = Product {
    name: "etcd34",
    version: "3.4.23",
    programs: &[],
    packages: &[
        ("etcd", "etcd-server", "3.4.23"),
        ("etcdctl", "etcd-client", "3.4.23"),
    ],
    ..PRODUCT
};

/// Compiles the proto files that etcd publishes with its modules.
fn descriptors(home: &Home, module: &Path, dir: &Path) -> Result<PathBuf> {
    // The files name each other below the root of etcd's repository, which is several modules.
    let root = dir.join("proto");
    fs::create_dir_all(root.join("etcd"))?;
    symlink(
        module_dir(module, "go.etcd.io/etcd/api/v3")?,
        root.join("etcd/api"),
    )?;
    symlink(
        module_dir(module, "go.etcd.io/etcd/server/v3")?,
        root.join("server"),
    )?;
    let includes = [
        root,
        module_dir(module, "github.com/gogo/protobuf")?,
        module_dir(module, "github.com/grpc-ecosystem/grpc-gateway/v2")?,
        home.root().join("shared/compiler/third_party"),
    ];
    let mut compiler = Compiler::new(includes)?;
    compiler.include_imports(true);
    compiler
        .open_files([
            "etcd/api/etcdserverpb/rpc.proto",
            "server/etcdserver/api/v3lock/v3lockpb/v3lock.proto",
            "server/etcdserver/api/v3election/v3electionpb/v3election.proto",
        ])
        .context("the proto files of etcd do not compile")?;
    let file = dir.join("etcd.binpb");
    fs::write(&file, compiler.encode_file_descriptor_set())?;
    Ok(file)
}
