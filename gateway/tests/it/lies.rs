//! Reflection that lies, hangs or never ends: it costs what it is about, within bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use prost::Message;
use prost_types::FileDescriptorProto;

use crate::left_out::serves_the_stranger;
use crate::support::reflection::{Odd, Told, compile};
use crate::support::stranger::Upstream;
use crate::support::{Gateway, eventually};

const ODD: &str = "odd.v1.Odd";

/// A lie about the odd service, and a part of the reason why it is left out.
struct Lie {
    name: &'static str,
    told: Told,
    reason: &'static str,
}

fn lie(
    name: &'static str,
    reason: &'static str,
    odd: impl Fn(&str) -> Option<Odd> + Send + Sync + 'static,
) -> Lie {
    Lie {
        name,
        told: Told::stranger().lists(ODD).odd(odd),
        reason,
    }
}

fn about_odd(answer: impl Fn() -> Odd + Send + Sync + 'static) -> impl Fn(&str) -> Option<Odd> {
    move |asked| (asked == ODD).then(&answer)
}

fn file(name: &str, imports: Vec<String>) -> Vec<u8> {
    let file = FileDescriptorProto {
        name: Some(name.to_owned()),
        dependency: imports,
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    };
    file.encode_to_vec()
}

/// The odd service, whose one type is in a file that is not there.
fn odd(import: &str) -> Vec<u8> {
    let lost = "syntax = \"proto3\"; package lost; message M {}";
    let text = format!(
        "syntax = \"proto3\"; package odd.v1; import \"{import}\";
         service Odd {{ rpc Do(lost.M) returns (lost.M); }}"
    );
    compile(&[(import, lost), ("odd.proto", &text)])["odd.proto"].clone()
}

/// Wrong answers about the service.
fn answers() -> Vec<Lie> {
    let fat = FileDescriptorProto {
        name: Some("fat.proto".to_owned()),
        package: Some("x".repeat(100 << 20)),
        ..FileDescriptorProto::default()
    };
    let fat = fat.encode_to_vec();
    vec![
        lie("a service that is not there", "not found", |_| None),
        lie(
            "no file at all",
            "gave no file",
            about_odd(|| Odd::Files(Vec::new())),
        ),
        lie(
            "a file of something else",
            "gave no file",
            about_odd(|| Odd::Files(vec![file("other.proto", Vec::new())])),
        ),
        lie(
            "a file without a name",
            "gave no file",
            about_odd(|| Odd::Files(vec![Vec::new()])),
        ),
        lie(
            "garbage",
            "cannot be decoded",
            about_odd(|| Odd::Files(vec![vec![0xff; 1000]])),
        ),
        lie(
            "another answer",
            "another answer",
            about_odd(|| Odd::Services),
        ),
        lie(
            "no answer",
            "no answer to `odd.v1.Odd` within",
            about_odd(|| Odd::Never),
        ),
        lie(
            "the end of the stream",
            "reflection ended",
            about_odd(|| Odd::Ends),
        ),
        lie("an error in the stream", "broken", about_odd(|| Odd::Fails)),
        lie(
            "a file that is too large",
            "message length too large",
            about_odd(move || Odd::Files(vec![fat.clone()])),
        ),
    ]
}

/// Right about the service, wrong about the files that it imports.
fn imports() -> Vec<Lie> {
    vec![
        lie("files without end", "lost.M", move |asked| {
            let number = asked.strip_prefix("endless/");
            let next = number.and_then(|number| number.parse::<u64>().ok());
            match next {
                _ if asked == ODD => Some(Odd::Files(vec![odd("endless/0")])),
                Some(at) => {
                    let next = format!("endless/{}", at + 1);
                    Some(Odd::Files(vec![file(asked, vec![next])]))
                }
                None => None,
            }
        }),
        lie("more and more files", "lost.M", move |asked| {
            if asked == ODD {
                return Some(Odd::Files(vec![odd("tree/0")]));
            }
            let name = asked.strip_prefix("tree/")?;
            let imports = (0..100).map(|at| format!("tree/{name}{at}")).collect();
            Some(Odd::Files(vec![file(asked, imports)]))
        }),
        lie("imports in a circle", "lost.M", move |asked| match asked {
            ODD => Some(Odd::Files(vec![odd("a.proto")])),
            "a.proto" => Some(Odd::Files(vec![file(asked, vec!["b.proto".to_owned()])])),
            "b.proto" => Some(Odd::Files(vec![file(asked, vec!["a.proto".to_owned()])])),
            _ => None,
        }),
        lie("names in a circle", "lost.M", move |asked| match asked {
            ODD => Some(Odd::Files(vec![odd("a.proto")])),
            "a.proto" => Some(Odd::Files(vec![file(
                "b.proto",
                vec!["c.proto".to_owned()],
            )])),
            "c.proto" => Some(Odd::Files(vec![file(
                "a.proto",
                vec!["b.proto".to_owned()],
            )])),
            _ => None,
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_costs_the_service_that_it_is_about() {
    let lies = answers().into_iter().chain(imports());
    join_all(lies.map(check)).await;
}

async fn check(lie: Lie) {
    let name = lie.name;
    let upstream = Upstream::reflecting(lie.told).await;
    let keys = [("reflect_timeout_ms", "20000")];
    let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
    serves_the_stranger(&gateway, name).await;
    let status = gateway.upstream_status(0).await;
    let left_out = &status["servicesLeftOut"][0];
    assert_eq!(left_out["service"], ODD, "{name}: {status}");
    let reason = left_out["reason"].as_str().unwrap();
    assert!(reason.contains(lie.reason), "{name}: {reason}");
}

#[tokio::test]
async fn many_services_without_an_answer_leave_time_for_the_others() {
    let names = (0..10).map(|at| format!("a{at}.v1.Odd"));
    let told = names.fold(Told::stranger(), |told, name| told.lists(&name));
    let told = told.odd(|asked| asked.ends_with(".Odd").then_some(Odd::Never));
    let upstream = Upstream::reflecting(told).await;
    let keys = [("reflect_timeout_ms", "8000")];
    let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
    let status = gateway.upstream_status(0).await;
    assert_eq!(status["servicesLeftOut"].as_array().unwrap().len(), 10);
    serves_the_stranger(&gateway, "ten").await;
}

#[tokio::test]
async fn too_many_services_are_refused_and_harm_no_other_upstream() {
    let names = (0..5_000).map(|at| format!("a.v1.Odd{at}"));
    let told = names.fold(Told::stranger(), |told, name| told.lists(&name));
    let odd = Upstream::reflecting(told).await;
    let good = Upstream::start().await;
    let gateway = Gateway::start(&[odd.address, good.address], &[]).await;
    eventually("the list is refused", async || {
        let status = gateway.upstream_status(0).await;
        let problem = status["problem"].as_str().unwrap_or_default();
        let is_told = problem.contains("lists 5001 services");
        is_told.then_some(()).ok_or(status)
    })
    .await;
    gateway.answers("/v1/greetings/a", 200).await;
}

#[tokio::test]
async fn an_upstream_that_stops_answering_loses_no_service() {
    let is_silent = Arc::new(AtomicBool::new(false));
    let silent = is_silent.clone();
    let told = Told::stranger().odd(move |_| silent.load(Ordering::SeqCst).then_some(Odd::Never));
    let upstream = Upstream::reflecting(told).await;
    let keys = [
        ("reflect_timeout_ms", "200"),
        ("schema.breaking_changes", "allow"),
    ];
    let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
    is_silent.store(true, Ordering::SeqCst);
    eventually("it is noticed", async || {
        let status = gateway.upstream_status(0).await;
        let problem = status["problem"].as_str().unwrap_or_default();
        let is_told = problem.contains("can't be learned again: no answer to");
        is_told.then_some(()).ok_or(status)
    })
    .await;
    serves_the_stranger(&gateway, "silent").await;
}
