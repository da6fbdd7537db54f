//! Sources that are compiled: directories, files, imports, and all mistakes of a run.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails"
)]

use std::fs;
use std::path::Path;

use compiler::{Error, Sources};
use tempfile::TempDir;

fn project(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("syntax = \"proto3\";\n{text}")).unwrap();
    }
    dir
}

fn told(sources: Sources, root: &Path) -> Vec<String> {
    let mistakes = sources.compile().unwrap().check().mistakes;
    let root = format!("{}/", root.display());
    mistakes
        .iter()
        .map(|mistake| mistake.to_string().replace(&root, ""))
        .collect()
}

const ORDERS: (&str, &str) = (
    "api/orders/v1/orders.proto",
    "package orders.v1;\nimport \"orders/v1/money.proto\";\nmessage Order { Money price = 1; }",
);
const MONEY: (&str, &str) = (
    "api/orders/v1/money.proto",
    "package orders.v1;\nmessage Money { int64 units = 1; }",
);

#[test]
fn mistakes_of_the_language_and_of_contracts_are_told_in_one_run() {
    let dir = project(&[
        (
            "b.proto",
            "message B {\n  Nope one = 1;\n  Nowhere two = 2;\n}",
        ),
        ("c.proto", "import \"b.proto\";\nmessage C { B b = 1; }"),
        (
            "a.proto",
            "import \"mesh/v1/options.proto\";\nmessage A {\n  option (mesh.v1.event) = {};\n}",
        ),
    ]);
    let told = told(Sources::new([dir.path()]), dir.path());
    let starts: Vec<&str> = told
        .iter()
        .filter_map(|mistake| mistake.split(": ").next())
        .collect();
    // Of the event: package, aggregate and key. The file that imports another's mistake has none.
    assert_eq!(
        starts,
        [
            "a.proto:4:3",
            "a.proto:4:3",
            "a.proto:4:3",
            "b.proto:3:3",
            "b.proto:4:3"
        ]
    );
}

#[test]
fn imports_of_a_file_start_above_its_package() {
    let dir = project(&[ORDERS, MONEY]);
    let file = dir.path().join(ORDERS.0);
    assert_eq!(told(Sources::new([&file]), dir.path()), [""; 0]);
}

#[test]
fn imports_of_a_file_below_an_included_directory_start_there() {
    let other = (
        "lib/deep/x.proto",
        "package other;\nimport \"deep/y.proto\";\nmessage X { Y y = 1; }",
    );
    let dir = project(&[other, ("lib/deep/y.proto", "package other;\nmessage Y {}")]);
    let file = dir.path().join(other.0);
    let alone = told(Sources::new([&file]), dir.path());
    assert!(alone[0].starts_with("lib/deep/x.proto:3:1: import \"deep/y.proto\" is neither in"));
    let included = Sources::new([&file]).include(dir.path().join("lib"));
    assert_eq!(told(included, dir.path()), [""; 0]);
}

#[test]
fn a_given_file_is_found_before_a_standard_one() {
    let money = "package google.type;\nmessage Money { string text = 9; }";
    let user = "import \"google/type/money.proto\";\nmessage U { google.type.Money m = 1; }";
    let dir = project(&[("google/type/money.proto", money), ("u.proto", user)]);
    let checked = Sources::new([dir.path()]).compile().unwrap().check();
    let place = checked
        .contract
        .unwrap()
        .place("google.type.Money.text")
        .cloned()
        .unwrap();
    assert!(
        place.file.starts_with(&*dir.path().display().to_string()),
        "{place:?}"
    );
    assert_eq!((place.line, place.column), (Some(3), Some(17)));
}

#[test]
fn what_is_legal_and_surprising_is_a_warning() {
    let dir = project(&[(
        "a.proto",
        "import \"google/api/annotations.proto\";\nimport \"mesh/v1/options.proto\";\n\
         message A { string fields = 1; }\nservice S {\n  rpc Get(A) returns (A) {\n    \
         option (google.api.http) = {get: \"/v1/a\"};\n    \
         option (mesh.v1.access) = {public: true};\n  }\n}",
    )]);
    let checked = Sources::new([dir.path()]).compile().unwrap().check();
    assert_eq!(checked.mistakes, []);
    let [warning] = &checked.warnings[..] else {
        panic!("{:?}", checked.warnings);
    };
    assert_eq!((warning.line, &*warning.element), (Some(7), "S.Get"));
    assert_eq!(
        warning.reason,
        "\"/v1/a\": 'fields' in the query is the field; the system parameter is '$fields'"
    );
}

#[test]
fn the_place_of_what_is_gone_is_that_of_what_was_around_it() {
    let dir = project(&[MONEY]);
    let checked = Sources::new([dir.path()]).compile().unwrap().check();
    let contract = checked.contract.unwrap();
    let line = |name: &str| contract.place(name).and_then(|place| place.line);
    assert_eq!(line("orders.v1.Money.units"), Some(3));
    assert_eq!(line("orders.v1.Money.nanos"), Some(3));
    assert_eq!(line("other.Thing"), None);
}

#[test]
fn what_cannot_be_read_is_an_error_of_its_own() {
    let dir = TempDir::new().unwrap();
    let none = Sources::new([dir.path()]).compile().unwrap_err();
    assert!(matches!(none, Error::Empty(path) if path == dir.path()));
    let missing = Sources::new([dir.path().join("no")]).compile().unwrap_err();
    assert!(matches!(missing, Error::Read { .. }), "{missing}");
}

#[test]
fn a_standard_file_that_nothing_imports_is_compiled_too() {
    let dir = project(&[MONEY]);
    let sources = Sources::new([dir.path().join("api")]).also("google/rpc/error_details.proto");
    let compiled = sources.compile().unwrap();
    assert!(compiled.problems.is_empty(), "{:?}", compiled.problems);
    let names: Vec<&str> = compiled.files.file.iter().map(|file| file.name()).collect();
    assert!(
        names.contains(&"google/rpc/error_details.proto"),
        "{names:?}"
    );
    assert_eq!(compiled.file_count, 1);
}
