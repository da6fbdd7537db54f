//! Merging what several upstreams reflect.

use prost::Message;
use prost_types::{FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto};

use super::*;

const FIRST: usize = 0;
const SECOND: usize = 1;

fn urls() -> Vec<String> {
    vec!["http://first:1".to_owned(), "http://second:2".to_owned()]
}

fn learned(services: &[&str], files: &[(&str, &[u8])]) -> Option<Learned> {
    let files = files
        .iter()
        .map(|(name, raw)| ((*name).to_owned(), Bytes::copy_from_slice(raw)));
    Some(Learned {
        files: files.collect(),
        services: services.iter().map(|name| (*name).to_owned()).collect(),
        ..Learned::default()
    })
}

#[test]
fn a_file_that_differs_is_reported_and_the_first_upstreams_kept() {
    let apis = [
        learned(
            &["a.A"],
            &[("shared.proto", b"1"), ("google/api/http.proto", b"1")],
        ),
        learned(
            &["b.B"],
            &[("shared.proto", b"2"), ("google/api/http.proto", b"2")],
        ),
    ];
    let merged = Merged::new(&urls(), &apis).unwrap();
    let conflict = FileConflict {
        file: "shared.proto".to_owned(),
        kept: FIRST,
        ignored: SECOND,
    };
    assert_eq!(merged.conflicts, [conflict]);
    assert_eq!(
        merged.files["shared.proto"],
        (FIRST, Bytes::from_static(b"1"))
    );
    assert_eq!(merged.services().collect::<Vec<_>>(), ["a.A", "b.B"]);
}

#[test]
fn a_service_of_two_upstreams_is_refused_by_both_names() {
    let apis = [learned(&["a.A"], &[]), learned(&["a.A"], &[])];
    let refusal = Merged::new(&urls(), &apis).unwrap_err().to_string();
    for part in ["`a.A`", "http://first:1", "http://second:2"] {
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[test]
fn an_upstream_that_is_not_learned_yet_is_left_out() {
    let merged = Merged::new(&urls(), &[None, learned(&["b.B"], &[])]).unwrap();
    assert_eq!(merged.owners["b.B"], SECOND);
    let catalog = Catalog::compile(&merged, &Options::default(), false).unwrap();
    assert_eq!(catalog.owner("/b.B/Get"), Some(SECOND));
    assert_eq!(catalog.owner("/b.B"), None);
    assert_eq!(catalog.owner("/c.C/Get"), None);
}

#[test]
fn services_methods_and_http_rules_are_counted_per_upstream() {
    let method = |name: &str| MethodDescriptorProto {
        name: Some(name.to_owned()),
        ..Default::default()
    };
    let service = |name: &str| ServiceDescriptorProto {
        name: Some(name.to_owned()),
        method: vec![method("Get"), method("List")],
        ..Default::default()
    };
    let mut raw = FileDescriptorProto {
        name: Some("a.proto".to_owned()),
        package: Some("a".to_owned()),
        service: vec![service("A"), service("NotServed")],
        ..Default::default()
    }
    .encode_to_vec();
    // One more service `B`, with one method that has an option which `prost_types` does not know.
    let outline = OutlineFile {
        package: String::new(),
        service: vec![OutlineService {
            name: "B".to_owned(),
            method: vec![OutlineMethod {
                name: "Get".to_owned(),
                options: Some(OutlineOptions {
                    http: Some(vec![1]),
                }),
            }],
        }],
    };
    raw.extend(outline.encode_to_vec());
    let apis = [
        learned(&["a.A", "a.B"], &[("a.proto", &raw)]),
        learned(&[], &[]),
    ];
    let merged = Merged::new(&urls(), &apis).unwrap();
    let expected = Count {
        services: 2,
        methods: 3,
        http_rules: 1,
    };
    assert_eq!(merged.count(FIRST), expected);
    assert_eq!(merged.count(SECOND), Count::default());
}
