//! Pools of well-formed sets, and the problems of broken ones.

mod faults;
mod features;
mod oracle;

use prost::Message;
use prost::bytes::Bytes;

use super::*;
use crate::error::{CompileError, Problem};

/// Loads hand-made files, and nothing else.
fn load_files(files: &[proto::File]) -> Result<(Pool, Vec<Problem>), CompileError> {
    let set = proto::FileSet {
        files: files
            .iter()
            .map(|file| file.encode_to_vec().into())
            .collect(),
    };
    load(&set.encode_to_vec(), |_| Vec::new())
}

const SOURCE: &str = r#"syntax = "proto3";
package t;
// Leads.
message M {
  int32 one = 1; // Trails.
  M two = 2;
  oneof choice {
    string three = 3;
  }
  map<string, M> four = 4;
  enum E { ZERO = 0; }
}
service S {
  rpc Get(M) returns (M) {
    option idempotency_level = IDEMPOTENT;
  }
}
"#;

#[test]
fn definitions_know_lines_and_comments() {
    let set = samples::descriptor_set_with_lines(&[("t.proto", SOURCE)]);
    let (pool, _) = load(&set, |_| Vec::new()).unwrap();
    let message = pool.messages.iter().find(|m| &*m.name == "t.M").unwrap();
    assert_eq!(message.source.line, Some(4));
    let comment = |source: &Source| {
        let comment = source.comment.as_deref().unwrap();
        (
            comment.leading.trim().to_owned(),
            comment.trailing.trim().to_owned(),
        )
    };
    assert_eq!(comment(&message.source), ("Leads.".into(), String::new()));
    assert_eq!(
        comment(&message.fields[0].source),
        (String::new(), "Trails.".into())
    );
    assert_eq!(message.oneofs[0].source.line, Some(7));
    assert_eq!(pool.enums[0].values[0].source.line, Some(11));
    let method = &pool.services[0].methods[0];
    assert_eq!(method.source.line, Some(14));
    assert_eq!(method.source.of_option(34), (Some(15), Some(5)));
    assert_eq!(method.source.of_option(35), (Some(14), Some(3)));
    let place = pool.place_of_option(&method.source, method.name.clone(), 34);
    assert_eq!(
        place.problem("bad").to_string(),
        "t.proto:15:5: t.S.Get: bad"
    );
}

fn proto3(name: &str, package: &str) -> proto::File {
    proto::File {
        name: name.into(),
        package: package.into(),
        syntax: "proto3".into(),
        ..proto::File::default()
    }
}

fn message(name: &str, fields: Vec<proto::Field>) -> proto::MessageType {
    proto::MessageType {
        name: name.into(),
        fields,
        ..proto::MessageType::default()
    }
}

fn reference(name: &str, number: i32, type_name: &str) -> proto::Field {
    proto::Field {
        name: name.into(),
        number,
        label: proto::label::OPTIONAL,
        kind: proto::kind::MESSAGE,
        type_name: type_name.into(),
        ..proto::Field::default()
    }
}

#[test]
fn same_bytes_twice_are_one_file_but_two_versions_are_a_fault() {
    let mut file = proto3("a.proto", "a");
    file.messages.push(message("M", Vec::new()));
    let (pool, _) = load_files(&[file.clone(), file.clone()]).unwrap();
    assert_eq!(pool.messages.len(), 1);

    let mut other = file.clone();
    other.messages.push(message("N", Vec::new()));
    let error = load_files(&[file, other]).unwrap_err();
    assert_eq!(error.problems.len(), 1);
    assert!(
        error.to_string().contains("two files \"a.proto\""),
        "{error}"
    );
}

#[test]
fn one_name_in_two_files_names_both() {
    let files = ["a.proto", "b.proto"].map(|name| {
        let mut file = proto3(name, "a");
        file.messages.push(message("M", Vec::new()));
        file
    });
    let error = load_files(&files).unwrap_err();
    assert_eq!(
        error.problems[0].to_string(),
        "b.proto: a.M: the name is already used by a.proto"
    );

    let mut package = proto3("c.proto", "a.M.x");
    package.messages.push(message("N", Vec::new()));
    let error = load_files(&[files[0].clone(), package]).unwrap_err();
    assert_eq!(
        error.problems[0].to_string(),
        "c.proto: a.M.x: the name is already used by a.proto"
    );
}

#[test]
fn relative_names_are_found_from_the_innermost_scope_outwards() {
    let mut file = proto3("a.proto", "a.b");
    let mut outer = message(
        "Outer",
        vec![
            reference("nested", 1, "Inner"),
            reference("nested_too", 2, "Outer.Inner"),
            reference("sibling", 3, "Sibling"),
            reference("absolute", 4, ".a.b.Sibling"),
            reference("through_package", 5, "b.Inner"),
        ],
    );
    outer.messages.push(message("Inner", Vec::new()));
    file.messages = vec![
        outer,
        message("Sibling", Vec::new()),
        message("Inner", Vec::new()),
    ];
    let (pool, _) = load_files(std::slice::from_ref(&file)).unwrap();
    let names: Vec<&str> = pool.messages[0]
        .fields
        .iter()
        .map(|field| match field.kind {
            Kind::Message(id) => &*pool.messages[id].name,
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        "a.b.Outer.Inner",
        "a.b.Outer.Inner",
        "a.b.Sibling",
        "a.b.Sibling",
        "a.b.Inner",
    ];
    assert_eq!(names, expected);

    // The scope that knows the first part decides, even if it does not know the rest.
    file.messages[0].fields = vec![reference("hidden", 1, "Inner.Deep")];
    file.messages[2].messages = vec![message("Deep", Vec::new())];
    assert!(load_files(&[file]).is_err());
}

#[test]
fn options_written_in_parts_are_merged() {
    let mut file = proto3("a.proto", "a");
    let mut repeated = reference("number", 1, "");
    (repeated.kind, repeated.label) = (5, proto::label::REPEATED);
    let packed = |value: u8| Bytes::from(vec![0x10, value]);
    let deprecated = Bytes::from_static(&[0x18, 1]);
    repeated.options = vec![packed(0), deprecated];
    file.messages.push(message("M", vec![repeated]));
    let (pool, _) = load_files(&[file]).unwrap();
    assert_eq!(pool.messages[0].fields[0].label, Label::Repeated);
}

#[test]
fn files_may_come_in_any_order() {
    let mut user = proto3("a.proto", "a");
    user.dependencies.push("b.proto".into());
    user.messages
        .push(message("A", vec![reference("b", 1, ".b.B")]));
    let mut used = proto3("b.proto", "b");
    used.messages.push(message("B", Vec::new()));
    assert!(load_files(&[user.clone(), used.clone()]).is_ok());
    assert!(load_files(&[used, user]).is_ok());
}

#[test]
fn equal_json_names_are_a_note_where_the_language_allows_them() {
    let mut file = proto3("a.proto", "a");
    file.syntax = "proto2".into();
    let mut fields = [reference("foo_bar", 1, ""), reference("fooBar", 2, "")];
    fields.iter_mut().for_each(|field| field.kind = 5);
    file.messages.push(message("M", fields.to_vec()));
    let (_, notes) = load_files(std::slice::from_ref(&file)).unwrap();
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0]
            .to_string()
            .starts_with("a.proto: a.M.fooBar: the JSON name")
    );
    file.syntax = "proto3".into();
    assert!(load_files(&[file]).is_err());
}

fn extension(name: &str, number: i32) -> proto::Field {
    proto::Field {
        extendee: ".a.M".into(),
        kind: 5,
        ..reference(name, number, "")
    }
}

fn extended(options: &'static [u8], extensions: Vec<proto::Field>) -> proto::File {
    let mut file = proto3("a.proto", "a");
    file.syntax = "proto2".into();
    let mut extendee = message("M", Vec::new());
    extendee.options = vec![Bytes::from_static(options)];
    extendee.extension_ranges = vec![proto::ExtensionRange {
        start: 100,
        end: i32::MAX,
    }];
    file.messages.push(extendee);
    file.extensions = extensions;
    file
}

#[test]
fn extensions_are_fields_of_their_extendee() {
    let (pool, _) = load_files(&[extended(&[], vec![extension("note", 100)])]).unwrap();
    let types = crate::plan::Types::new(&pool, crate::plan::NameOptions::default());
    let field = &types.messages[0].fields[0];
    assert_eq!((&*field.name, &*field.json_name), ("[a.note]", "[a.note]"));
    assert_eq!(
        (field.number, field.label, field.is_extension),
        (100, Label::Explicit, true)
    );
}

#[test]
fn extensions_keep_to_the_ranges_and_apart_from_each_other() {
    let files = [extended(
        &[],
        vec![extension("x", 99), extension("y", 100), extension("z", 100)],
    )];
    let error = load_files(&files).unwrap_err();
    let texts: Vec<String> = error.problems.iter().map(Problem::to_string).collect();
    assert_eq!(
        texts,
        [
            "a.proto: a.x: a.M has no extension number 99",
            "a.proto: a.z: number 100 is already used by a.y",
        ]
    );
}

#[test]
fn message_sets_have_larger_numbers() {
    let large = || vec![extension("large", 2_000_000_000)];
    assert!(load_files(&[extended(&[], large())]).is_err());
    let (pool, _) = load_files(&[extended(&[0x08, 1], large())]).unwrap();
    assert!(pool.messages[0].is_message_set);
    assert_eq!(pool.extensions[0].field.number, 2_000_000_000);
}

#[test]
fn extensions_of_options_need_no_definition_of_the_language() {
    let mut file = proto3("a.proto", "a");
    file.dependencies
        .push("google/protobuf/descriptor.proto".into());
    file.extensions.push(proto::Field {
        extendee: ".google.protobuf.MethodOptions".into(),
        ..extension("rule", 50_000)
    });
    let (pool, notes) = load_files(&[file]).unwrap();
    assert!(pool.extensions.is_empty() && notes.is_empty());
}

#[test]
fn nested_types_deeper_than_any_decoder_takes_are_refused() {
    let mut deep = message("M", Vec::new());
    for _ in 0..200 {
        let mut outer = message("M", Vec::new());
        outer.messages.push(deep);
        deep = outer;
    }
    let mut file = proto3("a.proto", "a");
    file.messages.push(deep);
    let error = load_files(&[file]).unwrap_err();
    assert!(
        error.to_string().contains("file 0 of the set is malformed"),
        "{error}"
    );
}
