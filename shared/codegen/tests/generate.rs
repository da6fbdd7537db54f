//! The code generated from good contracts.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use prost_reflect::{DescriptorPool, DynamicMessage, Value};
use tempfile::TempDir;

use codegen::Builder;

fn fixture() -> PathBuf {
    root("fixture")
}

fn root(name: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    tests.join(name)
}

/// Generates into a fresh directory and returns all that was written there.
fn generate(builder: Builder) -> BTreeMap<String, Vec<u8>> {
    let out = TempDir::new().unwrap();
    builder.out_dir(out.path()).generate().unwrap();
    let entries = fs::read_dir(out.path()).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect()
}

fn text<'a>(written: &'a BTreeMap<String, Vec<u8>>, name: &str) -> &'a str {
    let bytes = written
        .get(name)
        .unwrap_or_else(|| panic!("no {name} among {:?}", written.keys()));
    std::str::from_utf8(bytes).unwrap()
}

fn pool(written: &BTreeMap<String, Vec<u8>>) -> DescriptorPool {
    DescriptorPool::decode(written["protos.bin"].as_slice()).unwrap()
}

fn extension(options: &DynamicMessage, pool: &DescriptorPool, name: &str) -> DynamicMessage {
    let extension = pool.get_extension_by_name(name).unwrap();
    assert!(options.has_extension(&extension), "{name} is lost");
    options
        .get_extension(&extension)
        .as_message()
        .unwrap()
        .clone()
}

#[test]
fn tables_and_events_match_the_golden_file() {
    let written = generate(Builder::new(fixture()));
    assert_eq!(
        text(&written, "protos.rs"),
        include_str!("golden/protos.rs")
    );
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(
        generate(Builder::new(fixture())),
        generate(Builder::new(fixture()))
    );
}

#[test]
fn http_body_is_one_type_and_options_are_none() {
    let written = generate(Builder::new(fixture()));
    let rust: Vec<&str> = written
        .keys()
        .map(String::as_str)
        .filter(|name| name.ends_with(".rs"))
        .collect();
    assert_eq!(
        rust,
        [
            "depot.v1.rs",
            "google.api.rs",
            "modules.rs",
            "protos.rs",
            "shop.v1.rs"
        ]
    );
    assert_eq!(
        text(&written, "google.api.rs")
            .matches("pub struct")
            .count(),
        1
    );
    for package in ["depot.v1.rs", "shop.v1.rs"] {
        assert!(
            text(&written, package).contains("super::super::google::api::HttpBody"),
            "{package}"
        );
    }
    assert!(text(&written, "depot.v1.rs").contains("::protomesh::prost_types::Timestamp"));
}

#[test]
fn descriptors_keep_options_that_are_extensions() {
    let written = generate(Builder::new(fixture()));
    let pool = pool(&written);

    let service = pool.get_service_by_name("shop.v1.ShopService").unwrap();
    let upload = service
        .methods()
        .find(|method| method.name() == "Upload")
        .unwrap();
    let http = extension(&upload.options(), &pool, "google.api.http");
    assert_eq!(
        *http.get_field_by_name("post").unwrap(),
        Value::String("/v1/uploads".to_owned())
    );

    let request = pool.get_message_by_name("shop.v1.RenameRequest").unwrap();
    let name = request.get_field_by_name("name").unwrap();
    let rules = extension(&name.options(), &pool, "buf.validate.field");
    let string = rules
        .get_field_by_name("string")
        .unwrap()
        .as_message()
        .unwrap()
        .clone();
    assert_eq!(*string.get_field_by_name("min_len").unwrap(), Value::U64(3));
}

#[test]
fn descriptors_keep_comments() {
    let written = generate(Builder::new(fixture()));
    let file = pool(&written)
        .get_file_by_name("shop/v1/shop_service.proto")
        .unwrap();
    let info = file
        .file_descriptor_proto()
        .source_code_info
        .clone()
        .unwrap();
    let comments: Vec<&str> = info
        .location
        .iter()
        .map(|location| location.leading_comments())
        .collect();
    assert!(
        comments.contains(&" A shop: one RPC of each kind.\n"),
        "{comments:?}"
    );
}

#[test]
fn a_team_elsewhere_brings_its_own_package_and_include() {
    let team = TempDir::new().unwrap();
    let (root, vendor) = (team.path().join("api"), team.path().join("vendor"));
    fs::create_dir_all(root.join("acme/billing/v2")).unwrap();
    fs::create_dir_all(vendor.join("money")).unwrap();
    fs::write(
        vendor.join("money/unused.proto"),
        "syntax = \"proto3\"; package unused;",
    )
    .unwrap();
    fs::write(
        vendor.join("money/money.proto"),
        "syntax = \"proto3\"; package money; message Amount { int64 minor_units = 1; }",
    )
    .unwrap();
    fs::write(
        root.join("acme/billing/v2/billing.proto"),
        r#"syntax = "proto3"; package acme.billing.v2;
        import "mesh/v1/options.proto"; import "money/money.proto";
        message Billed {
          option (mesh.v1.event) = { aggregate: "bill" key: "id" };
          string id = 1; money.Amount amount = 2;
        }"#,
    )
    .unwrap();

    let written = generate(Builder::new(&root).include(&vendor));
    assert!(
        text(&written, "protos.rs")
            .contains("impl ::protomesh::contract::Event for acme::billing::v2::Billed")
    );
    assert!(text(&written, "protos.rs").contains(r#"const CONTEXT: &'static str = "billing";"#));
    assert!(text(&written, "acme.billing.v2.rs").contains("super::super::super::money::Amount"));
    assert!(
        !written.contains_key("unused.rs"),
        "only what is imported is generated"
    );
}

#[test]
fn a_file_of_the_team_stands_before_the_built_in_one() {
    let team = TempDir::new().unwrap();
    fs::create_dir_all(team.path().join("google/api")).unwrap();
    let own = "syntax = \"proto3\"; package google.api; message HttpBody { bytes own = 7; }";
    fs::write(team.path().join("google/api/httpbody.proto"), own).unwrap();

    let written = generate(Builder::new(team.path()));
    let body = pool(&written)
        .get_message_by_name("google.api.HttpBody")
        .unwrap();
    assert_eq!(body.get_field(7).unwrap().name(), "own");
}

#[test]
fn a_crate_without_the_facade_names_its_own_dependencies() {
    let written = generate(Builder::new(fixture()).without_facade());
    for (name, bytes) in &written {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains("protomesh::"), "{name}");
    }
    assert!(text(&written, "protos.rs").contains("&[::contract::Method]"));
    assert!(text(&written, "shop.v1.rs").contains("use tonic::codegen::*;"));
}

#[test]
fn generated_code_names_no_crate_but_the_facade() {
    let written = generate(Builder::new(fixture()));
    for name in ["shop.v1.rs", "depot.v1.rs", "protos.rs"] {
        let code = text(&written, name);
        let lines = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in lines {
            for other in [
                " tonic::", "<tonic::", "(tonic::", " ::prost", "<::prost", "(::prost",
            ] {
                assert!(!line.contains(other), "{name}: {line}");
            }
        }
    }
}

#[test]
fn migrations_are_embedded_in_the_order_of_their_versions() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("0010_add_notes.sql"), "SELECT 10").unwrap();
    fs::write(dir.path().join("2_first.up.sql"), "SELECT 2").unwrap();
    fs::write(dir.path().join("2_first.down.sql"), "SELECT -2").unwrap();
    fs::write(dir.path().join("README.md"), "not a migration").unwrap();
    let written = generate(Builder::new(fixture()).migrations(dir.path()));
    let code = text(&written, "protos.rs");
    let first = code.find(r#"(2, "first", include_str!"#).unwrap();
    let second = code.find(r#"(10, "add notes", include_str!"#).unwrap();
    assert!(first < second);
    for part in ["2_first.down.sql\"))),", "0010_add_notes.sql\"), None),"] {
        assert!(code.contains(part), "{part} is missing: {code}");
    }
    assert!(!code.contains("README"));
}

#[test]
fn standard_types_and_options_need_no_file() {
    let written = generate(Builder::new(root("standard")));
    let price = text(&written, "acme.v1.rs");
    assert!(
        price.contains("super::super::google::r#type::Money"),
        "{price}"
    );
    assert!(text(&written, "google.r#type.rs").contains("pub currency_code: "));
    assert!(text(&written, "google.rpc.rs").contains("pub struct QuotaFailure"));
    let options_only = ["buf.validate.rs", "mesh.v1.rs"];
    assert!(options_only.iter().all(|file| !written.contains_key(*file)));
}
