//! Merging what several upstreams reflect.

use chassis::client::{ClientSettings, UpstreamSettings};
use chassis::metrics::Metrics;
use prost::Message;
use prost_types::{FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto};

use super::outline::{OutlineMethod, OutlineOptions, OutlineService};
use super::*;

const FIRST: usize = 0;
const SECOND: usize = 1;

fn upstreams() -> Vec<UpstreamHandle> {
    let connect = |url: &&str| {
        let settings = UpstreamSettings::at(url, &ClientSettings::default());
        UpstreamHandle::connect(settings, &Metrics::new("gateway")).unwrap()
    };
    ["http://first:1", "http://second:2"]
        .iter()
        .map(connect)
        .collect()
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

#[tokio::test]
async fn a_file_that_differs_is_reported_and_that_of_the_first_upstream_is_kept() {
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
    let merged = MergedApi::new(&upstreams(), &apis).unwrap();
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

#[tokio::test]
async fn a_service_of_two_upstreams_is_rejected_and_both_upstreams_are_named() {
    let apis = [learned(&["a.A"], &[]), learned(&["a.A"], &[])];
    let refusal = MergedApi::new(&upstreams(), &apis).unwrap_err().to_string();
    for part in ["`a.A`", "http://first:1", "http://second:2"] {
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_learned_yet_is_left_out() {
    let merged = MergedApi::new(&upstreams(), &[None, learned(&["b.B"], &[])]).unwrap();
    assert_eq!(merged.owners["b.B"], SECOND);
    let catalog =
        Catalog::compile(&merged, &upstreams(), &[], &ApiOptions::default(), &[]).unwrap();
    let owner = |path: &str| catalog.owner(path).map(UpstreamHandle::name);
    assert_eq!(owner("/b.B/Get"), Some("http://second:2"));
    assert_eq!(owner("/b.B"), None);
    assert_eq!(owner("/c.C/Get"), None);
}

#[tokio::test]
async fn services_methods_and_http_rules_are_counted_per_upstream() {
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
    let merged = MergedApi::new(&upstreams(), &apis).unwrap();
    let expected = ApiSize {
        services: 2,
        methods: 3,
        http_rules: 1,
    };
    assert_eq!(merged.count(FIRST), expected);
    assert_eq!(merged.count(SECOND), ApiSize::default());
}
