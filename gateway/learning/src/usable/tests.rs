//! Faulty descriptors, each beside a service that is served all the same.

use prost::Message;
use prost_types::{
    DescriptorProto, FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto,
};

use super::*;
use crate::encoded::qualified;

fn file(name: &str, package: &str, imports: &[&str]) -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some(name.to_owned()),
        package: Some(package.to_owned()),
        dependency: imports.iter().map(|name| (*name).to_owned()).collect(),
        message_type: vec![DescriptorProto {
            name: Some("M".to_owned()),
            ..DescriptorProto::default()
        }],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    }
}

fn service(name: &str, package: &str, imports: &[&str], input: &str) -> FileDescriptorProto {
    let method = MethodDescriptorProto {
        name: Some("Do".to_owned()),
        input_type: Some(input.to_owned()),
        output_type: Some(format!(".{package}.M")),
        ..MethodDescriptorProto::default()
    };
    FileDescriptorProto {
        service: vec![ServiceDescriptorProto {
            name: Some("S".to_owned()),
            method: vec![method],
            ..ServiceDescriptorProto::default()
        }],
        ..file(name, package, imports)
    }
}

fn learned(files: &[FileDescriptorProto]) -> Learned {
    let services = files.iter().filter(|file| !file.service.is_empty());
    Learned {
        services: services
            .map(|file| qualified(file.package(), "S"))
            .collect(),
        files: files
            .iter()
            .map(|file| (file.name().to_owned(), file.encode_to_vec().into()))
            .collect(),
        ..Learned::default()
    }
}

#[track_caller]
fn serves(files: &[FileDescriptorProto], expected: &[&str], left_out: &[(&str, &str)]) {
    let found = usable(learned(files));
    let services: Vec<&str> = found.services.iter().map(String::as_str).collect();
    assert_eq!(services, expected, "{:?}", found.left_out);
    assert_eq!(found.left_out.len(), left_out.len(), "{:?}", found.left_out);
    for (service, reason) in left_out {
        let found = &found.left_out[*service];
        assert!(found.contains(reason), "{service}: {found}");
    }
}

#[test]
fn a_service_with_an_unknown_type_leaves_the_others() {
    for input in [".lost.Type", ".x.<unknown:0>", "", ".b.S"] {
        serves(
            &[
                service("a.proto", "a", &[], ".a.M"),
                service("b.proto", "b", &[], input),
                service("c.proto", "c", &["d.proto"], ".d.M"),
                file("d.proto", "d", &[]),
            ],
            &["a.S", "c.S"],
            &[("b.S", "b.proto: b.S.Do: ")],
        );
    }
}

#[test]
fn two_copies_of_one_file_are_one() {
    let copies = [
        service("a.proto", "a", &["one/gogo.proto"], ".gogo.M"),
        service("b.proto", "b", &["two/gogo.proto"], ".gogo.M"),
        file("one/gogo.proto", "gogo", &[]),
        file("two/gogo.proto", "gogo", &[]),
    ];
    serves(&copies, &["a.S", "b.S"], &[]);
}

#[test]
fn a_file_that_contradicts_another_costs_the_service_that_imports_it() {
    let mut other = file("other.proto", "d", &[]);
    other.message_type.push(DescriptorProto {
        name: Some("N".to_owned()),
        ..DescriptorProto::default()
    });
    let files = [
        service("a.proto", "a", &["d.proto"], ".d.M"),
        service("b.proto", "b", &["other.proto"], ".d.N"),
        file("d.proto", "d", &[]),
        other,
    ];
    serves(&files, &["a.S"], &[("b.S", "d.M")]);
}
