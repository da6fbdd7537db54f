//! Broken sets: what is reported, and where.

use prost::Message;
use prost::bytes::Bytes;

use super::*;

/// Loads what a compiler made, after `change`, as compilers reject to write what is wrong.
fn load_changed(source: &str, change: impl FnOnce(&mut proto::File)) -> Vec<String> {
    let set = samples::descriptor_set_with_lines(&[("t.proto", source.to_owned().leak())]);
    let mut files: Vec<proto::File> = proto::FileSet::decode(&*set)
        .unwrap()
        .files
        .into_iter()
        .map(|file| proto::File::decode(file).unwrap())
        .collect();
    change(
        files
            .iter_mut()
            .find(|file| file.name == "t.proto")
            .unwrap(),
    );
    match load_files(&files) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems.iter().map(Problem::to_string).collect(),
    }
}

type Change = fn(&mut proto::File);

fn field(file: &mut proto::File, index: usize) -> &mut proto::Field {
    &mut file.messages[0].fields[index]
}

/// Changes to a field, and what the report begins with.
const FIELD_FAULTS: &[(&str, Change)] = &[
    (
        "t.proto:5: t.M.one: number 0 is not between 1 and 536870911",
        |f| field(f, 0).number = 0,
    ),
    (
        "t.proto:6: t.M.two: number 1 is already used by 'one'",
        |f| field(f, 1).number = 1,
    ),
    (
        "t.proto:6: t.M.one: the name is already used by another field",
        |f| field(f, 1).name = "one".into(),
    ),
    (
        "t.proto:6: t.M.two: the JSON name \"one\" is already used by 'one'",
        |f| {
            field(f, 1).json_name = Some("one".into());
        },
    ),
    (
        "t.proto:5: t.M.one: the JSON name \"[x]\" looks like an extension's",
        |f| {
            field(f, 0).json_name = Some("[x]".into());
        },
    ),
    (
        "t.proto:5: t.M.o\"ne: \"o\\\"ne\" is not a valid name",
        |f| field(f, 0).name = "o\"ne".into(),
    ),
    (
        "t.proto:6: t.M.two: type \".t.Nope\" is not in the set",
        |f| field(f, 1).type_name = ".t.Nope".into(),
    ),
    (
        "t.proto:6: t.M.two: \".t.M.E\" is of another kind than the field",
        |f| {
            field(f, 1).type_name = ".t.M.E".into();
        },
    ),
    ("t.proto:5: t.M.one: type 99 is unknown", |f| {
        field(f, 0).kind = 99
    }),
    (
        "t.proto:8: t.M.three: oneof 7 does not exist: there are 1",
        |f| field(f, 2).oneof_index = Some(7),
    ),
    (
        "t.proto:8: t.M.three: oneof -1 does not exist: there are 1",
        |f| field(f, 2).oneof_index = Some(-1),
    ),
    ("t.proto:5: t.M.one: malformed options: ", |f| {
        field(f, 0).options = vec![Bytes::from_static(b"\xaa\x01\x09")]
    }),
    (
        "t.proto:5: t.M.one: features: 9 is not a known FieldPresence",
        |f| {
            field(f, 0).options = vec![Bytes::from_static(&[0xaa, 1, 2, 8, 9])];
        },
    ),
];

const OTHER_FAULTS: &[(&str, Change)] = &[
    (
        "t.proto:4: t.M: oneof 'one': the name is already used",
        |f| f.messages[0].oneofs[0].name = "one".into(),
    ),
    ("t.proto: t.M.FourEntry: a map entry has a key", |f| {
        f.messages[0].messages[0].fields[0].kind = 2;
    }),
    ("t.proto: t.M: the name is already used by t.proto:4", |f| {
        let mut moved = f.messages[0].enums[0].clone();
        moved.name = "M".into();
        f.messages[0].enums[0].name = "Other".into();
        f.messages[0].enums[0].values.clear();
        f.enums.push(moved);
    }),
    (
        "t.proto:14: t.S.Get: type \".t.Nope\" is not in the set",
        |f| {
            f.services[0].methods[0].input_type = ".t.Nope".into();
        },
    ),
    ("t.proto:14: t.S.Get: \".t.M.E\" is not a message", |f| {
        f.services[0].methods[0].output_type = ".t.M.E".into();
    }),
    ("t.proto: the set lacks the import \"gone.proto\"", |f| {
        f.dependencies.push("gone.proto".into())
    }),
    ("t.proto:1: syntax \"proto4\" is unknown", |f| {
        f.syntax = "proto4".into()
    }),
    (
        "t.proto: edition number 1003 is newer than edition 2026",
        |f| {
            f.syntax = "editions".into();
            f.edition = 1003;
        },
    ),
];

#[test]
fn every_fault_names_file_line_element_and_reason() {
    for (expected, change) in FIELD_FAULTS.iter().chain(OTHER_FAULTS) {
        let problems = load_changed(SOURCE, change);
        assert!(
            problems.iter().any(|problem| problem.starts_with(expected)),
            "{expected}\n{problems:#?}"
        );
    }
    assert_eq!(load_changed(SOURCE, |_| {}), [""; 0]);
}

#[test]
fn all_faults_come_at_once_and_in_order() {
    let problems = load_changed(SOURCE, |file| {
        file.services[0].methods[0].input_type = "nope".into();
        field(file, 1).type_name = ".t.Nope".into();
        field(file, 0).number = -5;
        file.dependencies.push("gone.proto".into());
    });
    let starts = [
        "t.proto: the set lacks",
        "t.proto:5: ",
        "t.proto:6: ",
        "t.proto:14: ",
    ];
    assert_eq!(problems.len(), starts.len(), "{problems:#?}");
    for (problem, start) in problems.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problems:#?}");
    }
}

#[test]
fn endless_faults_are_counted() {
    let many = (0..5000).map(|_| proto::Field::default()).collect();
    let problems = load_changed(SOURCE, |file| file.messages[0].fields = many);
    assert_eq!(problems.len(), crate::error::MAX_PROBLEMS + 1);
    assert!(problems.last().unwrap().ends_with("more problems"));
}
