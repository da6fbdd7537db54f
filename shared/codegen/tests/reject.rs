//! The errors about bad contracts.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails"
)]

use std::fs;

use tempfile::TempDir;

use codegen::{Builder, Error};

/// Generates from one file, `v1/a.proto`, and returns what a build script would print.
fn error(source: &str) -> String {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("v1")).unwrap();
    fs::write(dir.path().join("v1/a.proto"), source).unwrap();
    let error = Builder::new(dir.path())
        .out_dir(dir.path())
        .generate()
        .unwrap_err();
    let root = format!("{}/", dir.path().display());
    format!("{error:?}").replace(&root, "")
}

/// Returns an event whose option and fields are given, on line 4 of the file.
fn event_error(option: &str, fields: &str) -> String {
    error(&format!(
        "syntax = \"proto3\";\npackage shop.v1;\nimport \"mesh/v1/options.proto\";\n\
         message Sold {{ option (mesh.v1.event) = {{ {option} }}; {fields} }}"
    ))
}

#[test]
fn a_key_must_be_a_plain_string_field() {
    let cases = [
        ("int64 id = 1;", "`id` is not a string"),
        ("bytes id = 1;", "`id` is not a string"),
        ("repeated string id = 1;", "`id` is repeated"),
        ("map<string, string> id = 1;", "`id` is repeated"),
        ("optional string id = 1;", "`id` is optional"),
        (
            "oneof either { string id = 1; string other = 2; }",
            "`id` is a member of a oneof",
        ),
    ];
    for (fields, found) in cases {
        assert_eq!(
            event_error("aggregate: 'item' key: 'id'", fields),
            format!(
                "v1/a.proto:4:16: shop.v1.Sold: (mesh.v1.event).key must name a plain string field, and {found}"
            ),
        );
    }
}

#[test]
fn an_event_needs_a_versioned_package() {
    for package in ["shop", "v1", "shop.events", "shop.versions"] {
        let source = format!(
            "syntax = \"proto3\"; package {package}; import \"mesh/v1/options.proto\";\n\
             message Sold {{ option (mesh.v1.event) = {{ aggregate: 'item' key: 'id' }}; string id = 1; }}"
        );
        assert_eq!(
            error(&source),
            format!(
                "v1/a.proto:2:16: {package}.Sold: the package of an event must end in a name and a version, \
                 as `orders.v1` does, not `{package}`"
            ),
        );
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let source = "syntax = \"proto3\"; package shop.v1; import \"mesh/v1/options.proto\";\n\
        message B { option (mesh.v1.event) = { aggregate: 'b' key: 'x' }; }\n\
        message A { option (mesh.v1.event) = { aggregate: 'a' key: 'y' }; }";
    let told = error(source);
    let starts: Vec<&str> = told
        .lines()
        .filter_map(|line| line.split(": ").next())
        .collect();
    assert_eq!(starts, ["v1/a.proto:2:13", "v1/a.proto:3:13"]);
}

#[test]
fn at_most_fifty_problems_are_listed() {
    let message = |n| format!("message M{n} {{ Nope{n} nope = 1; }}\n");
    let messages: String = (0..60).map(message).collect();
    let told = error(&format!("syntax = \"proto3\";\n{messages}"));
    assert_eq!(told.lines().count(), 51, "{told}");
    assert!(told.ends_with("\nand 10 more"), "{told}");
}

#[test]
fn a_file_that_does_not_compile_is_named_with_its_line() {
    let unknown = error("syntax = \"proto3\";\nmessage A {\n  Nope nope = 1;\n}");
    assert!(unknown.starts_with("v1/a.proto:3:"), "{unknown}");
    let syntax = error("syntax = \"proto3\";\n\nmessage {}");
    assert!(syntax.starts_with("v1/a.proto:3:"), "{syntax}");
    let import = error("syntax = \"proto3\";\nimport \"no/such.proto\";");
    assert!(
        import.starts_with("v1/a.proto:2:") && import.contains("no/such.proto"),
        "{import}"
    );
}

#[test]
fn an_unknown_rule_of_validation_is_refused() {
    let told = error(
        "syntax = \"proto3\";\nimport \"buf/validate/validate.proto\";\n\
         message A { string s = 1 [(buf.validate.field).string.min_length = 1]; }",
    );
    assert!(
        told.starts_with("v1/a.proto:3:") && told.contains("min_length"),
        "{told}"
    );
}

#[test]
fn a_directory_without_contracts_is_an_error() {
    let dir = TempDir::new().unwrap();
    let empty = Builder::new(dir.path())
        .out_dir(dir.path())
        .generate()
        .unwrap_err();
    assert!(
        matches!(&empty, Error::Sources(compiler::Error::Empty(path)) if path == dir.path()),
        "{empty:?}"
    );

    let missing = Builder::new(dir.path().join("none"))
        .out_dir(dir.path())
        .generate()
        .unwrap_err();
    assert!(
        matches!(&missing, Error::Sources(compiler::Error::Read { .. })),
        "{missing:?}"
    );
    assert!(format!("{missing:?}").contains("none: "), "{missing:?}");
}
