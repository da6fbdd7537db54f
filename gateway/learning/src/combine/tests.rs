//! Precedence of the sources.

use prost_types::{FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto};

use super::*;

fn file(name: &str, services: &[&str], imports: &[&str]) -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some(name.to_owned()),
        package: Some("a".to_owned()),
        dependency: imports.iter().map(|name| (*name).to_owned()).collect(),
        service: services
            .iter()
            .map(|name| ServiceDescriptorProto {
                name: Some((*name).to_owned()),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

fn set(files: &[FileDescriptorProto]) -> DescriptorSet {
    let set = FileDescriptorSet {
        file: files.to_vec(),
    };
    DescriptorSet::decode(set.encode_to_vec().into()).unwrap()
}

fn reflected(services: &[&str], files: &[FileDescriptorProto]) -> Learned {
    Learned {
        files: set(files).files,
        services: services.iter().map(|name| (*name).to_owned()).collect(),
        by_reflection: true,
        ..Learned::default()
    }
}

fn names(learned: &Learned) -> Vec<&str> {
    learned.files.keys().map(String::as_str).collect()
}

#[test]
fn reflection_says_what_is_served_and_the_file_what_it_is() {
    let richer = file("s.proto", &["S", "Other"], &["types.proto"]);
    let sets = [set(&[
        richer,
        file("types.proto", &[], &[]),
        file("more.proto", &[], &[]),
    ])];
    let told = reflected(&["a.S"], &[file("s.proto", &["S"], &[])]);
    let learned = combine(Some(&told), &sets, &Claims::default()).unwrap();
    assert_eq!(learned.services, BTreeSet::from(["a.S".to_owned()]));
    assert_eq!(names(&learned), ["s.proto", "types.proto"]);
    assert_eq!(learned.files["s.proto"], sets[0].files["s.proto"]);
    assert!(learned.by_reflection && learned.by_files);
}

#[test]
fn a_service_that_no_file_declares_is_as_it_is_reflected() {
    // The file on disk is older than the upstream.
    let sets = [set(&[
        file("s.proto", &["S"], &[]),
        file("types.proto", &[], &[]),
    ])];
    let newer = file("s.proto", &["S", "New"], &["types.proto"]);
    let told = reflected(&["a.New"], &[newer, file("types.proto", &["T"], &[])]);
    let learned = combine(Some(&told), &sets, &Claims::default()).unwrap();
    assert_eq!(learned.files["s.proto"], told.files["s.proto"]);
    assert_eq!(learned.files["types.proto"], sets[0].files["types.proto"]);
}

#[test]
fn without_reflection_own_files_or_names_decide() {
    let own = set(&[file("s.proto", &["S"], &["google/protobuf/empty.proto"])]);
    let general = set(&[
        file("t.proto", &["T"], &[]),
        file("s.proto", &["S", "X"], &[]),
    ]);
    let sets = [own, general];
    let learned = combine(
        None,
        &sets,
        &Claims {
            own_files: 1,
            ..Claims::default()
        },
    );
    let learned = learned.unwrap();
    assert_eq!(learned.services, BTreeSet::from(["a.S".to_owned()]));
    assert_eq!(learned.files["s.proto"], sets[0].files["s.proto"]);

    let named = Claims {
        named: BTreeSet::from(["a.T".to_owned()]),
        own_files: 0,
    };
    let learned = combine(None, &sets, &named).unwrap();
    assert_eq!(names(&learned), ["t.proto"]);
    assert!(!learned.by_reflection && learned.by_files);
}

#[test]
fn a_missing_import_is_stood_in_for() {
    let own = Claims {
        own_files: 1,
        ..Claims::default()
    };
    let sets = [set(&[file("s.proto", &["S"], &["lost.proto"])])];
    let learned = combine(None, &sets, &own).unwrap();
    assert_eq!(names(&learned), ["lost.proto", "s.proto"]);

    // The same file under another root.
    let sets = [set(&[
        file("s.proto", &["S"], &["root/types.proto"]),
        file("types.proto", &[], &[]),
    ])];
    let learned = combine(None, &sets, &own).unwrap();
    assert_eq!(
        names(&learned),
        ["root/types.proto", "s.proto", "types.proto"]
    );
}

#[test]
fn what_is_missing_is_named() {
    let sets = [set(&[file("s.proto", &["S"], &[])])];
    let refused = combine(None, &sets, &Claims::default()).unwrap_err();
    assert!(refused.to_string().contains("[upstream.NAME.schema]"));
    let named = Claims {
        named: BTreeSet::from(["a.No".to_owned(), "a.S".to_owned()]),
        own_files: 0,
    };
    let learned = combine(None, &sets, &named).unwrap();
    assert_eq!(learned.left_out["a.No"], UNDECLARED);
    assert_eq!(learned.services, BTreeSet::from(["a.S".to_owned()]));
}

#[test]
fn files_fill_the_gaps_of_reflection() {
    let sets = [set(&[file("t.proto", &["T"], &[])])];
    let mut told = reflected(&["a.S", "a.T"], &[file("s.proto", &["S"], &[])]);
    told.left_out.insert("a.T".to_owned(), "refused".to_owned());
    let learned = combine(Some(&told), &sets, &Claims::default()).unwrap();
    assert_eq!(learned.services.len(), 2);
    assert_eq!(learned.left_out.len(), 0);
}
