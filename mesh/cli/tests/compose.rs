//! Stacks of Docker Compose: that of this repository is up to date, and a new project has one.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of tests may panic as a test may"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use yaml_rust2::YamlLoader;

fn mesh(directory: &Path, arguments: &[&str]) -> Output {
    let mut mesh = Command::new(env!("CARGO_BIN_EXE_mesh"));
    mesh.args(arguments).current_dir(directory);
    mesh.stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Returns the services of the file in a project, sorted.
fn services(project: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(project.join("compose.yaml")).unwrap();
    let documents = YamlLoader::load_from_str(&text).unwrap();
    let services = documents[0]["services"].as_hash().unwrap();
    let names = services
        .keys()
        .map(|name| name.as_str().unwrap().to_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn the_stack_of_this_repository_is_what_mesh_toml_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = mesh(&root, &["compose", "--check"]);
    let said = said(&output);
    assert!(output.status.success(), "{said}run `cargo mesh compose`");
    let services = services(&root);
    for name in [
        "gateway",
        "orders",
        "orders-migrate",
        "postgres",
        "databases",
    ] {
        assert!(
            services.iter().any(|other| other == name),
            "{name}: {services:?}"
        );
    }
}

#[test]
fn a_new_project_has_a_stack() {
    let dir = tempfile::tempdir().unwrap();
    let shop = dir.path().join("shop");
    let made = mesh(dir.path(), &["new", "shop", "--service", "stock"]);
    assert!(made.status.success(), "{}", said(&made));
    let stale = mesh(&shop, &["compose", "--check"]);
    assert_eq!(stale.status.code(), Some(1), "{}", said(&stale));
    let written = mesh(&shop, &["compose"]);
    assert!(written.status.success(), "{}", said(&written));
    assert!(mesh(&shop, &["compose", "--check"]).status.success());
    assert_eq!(
        services(&shop),
        [
            "databases",
            "gateway",
            "nats",
            "postgres",
            "prometheus",
            "stock",
            "stock-migrate"
        ]
    );
    let text = std::fs::read_to_string(shop.join("deploy/Dockerfile")).unwrap();
    assert!(text.contains("FROM rust:"), "{text}");
    // The gateway and the crates that services depend on are built in the image, too.
    assert!(shop.join(".mesh/image/crates/gateway/Cargo.toml").is_file());
}
