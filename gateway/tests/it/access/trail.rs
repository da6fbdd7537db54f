//! The audit trail of every caller, method and protocol; while the broker is away; after a crash.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use async_nats::jetstream;
use async_nats::jetstream::stream::Config;
use audit::{Entry, Problem, entry::Content};
use futures::future::join_all;
use http::Request;
use http_body_util::{BodyExt, Full};
use sha2::{Digest, Sha256};

use super::*;
use crate::support::forms::{forms, upstream};
use crate::support::nats::Nats;
use crate::support::{eventually, open};

const STREAM: &str = "AUDIT";
const GREET: &str = "/stranger.v1.StrangerService/Greet";
const CHAT: &str = "/stranger.v1.StrangerService/Chat";

fn keys(nats: &Nats, when_full: &str) -> String {
    format!(
        "[audit]\nnats = \"{}\"\nwhen_full = \"{when_full}\"\ndenials_per_second = 100000\n",
        nats.url()
    )
}

async fn entries(nats: &Nats) -> Vec<Entry> {
    let mut all = Vec::new();
    let url = nats.url();
    let read = audit::entries(&url, |entry| {
        all.push(entry);
        ControlFlow::Continue(())
    });
    read.await.unwrap();
    all
}

/// Waits until so many calls are recorded, with their outcomes if they were admitted, or denials.
async fn settled(nats: &Nats, calls: usize) -> Vec<Entry> {
    eventually("all calls are recorded", async || {
        let all = entries(nats).await;
        let count = |is_it: fn(&Content) -> bool| {
            let contents = all.iter().filter_map(|entry| entry.content.as_ref());
            contents.filter(|content| is_it(content)).count()
        };
        let admitted = count(|content| matches!(content, Content::Admitted(_)));
        let denied = count(|content| matches!(content, Content::Denied(_)));
        let outcomes = count(|content| matches!(content, Content::Outcome(_)));
        match admitted + denied == calls && outcomes == admitted {
            true => Ok(all),
            false => Err((admitted, denied, outcomes, calls)),
        }
    })
    .await
}

async fn assert_intact(nats: &Nats) {
    let verified = audit::verify(&nats.url()).await.unwrap();
    assert_eq!(verified.err().map(|finding| finding.to_string()), None);
}

/// The same message has the same digest in every protocol, and a path names its resource.
fn assert_greetings_are_alike(entries: &[Entry]) {
    let message = GreetRequest {
        name: "7".to_owned(),
        ..Default::default()
    };
    let digest = Sha256::digest(&frame(&message)[5..]).to_vec();
    for entry in entries {
        if let Some(Content::Admitted(call)) = &entry.content
            && call.method == GREET
        {
            assert_eq!((&call.digest, &*call.resource), (&digest, "7"));
        }
    }
}

#[tokio::test]
async fn every_write_and_denial_of_every_protocol_is_recorded_with_its_caller() {
    let nats = Nats::start();
    let rule = |field: &str| {
        let condition = format!("{field} == identity.tenant");
        Some(format!("roles: [\"clerk\"] condition: \"{condition}\""))
    };
    let guarded = Guarded::start(rule, &keys(&nats, "refuse")).await;
    let mut expected: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    for (caller, decision) in CALLERS.into_iter().zip([
        "CREDENTIALS_REQUIRED",
        "MISSING_ROLE",
        "roles: clerk; condition",
        "CONDITION_NOT_MET",
    ]) {
        let bearer = guarded.bearer(caller);
        for (method, _) in METHODS {
            for protocol in PROTOCOLS {
                let outcome = call(&guarded.gateway, method, protocol, bearer.as_deref()).await;
                let reason = outcome.reason();
                assert!(
                    reason == decision || reason == "OK",
                    "{method} {protocol:?} {outcome:?}"
                );
                let spoken = match protocol {
                    Protocol::Rest => "rest",
                    Protocol::Grpc | Protocol::GrpcJson => "grpc",
                    Protocol::GrpcWeb => "grpc_web",
                    Protocol::Connect => "connect",
                    Protocol::WebSocket => "websocket",
                };
                let method = format!("/stranger.v1.StrangerService/{method}");
                let case = (method, spoken.to_owned(), decision.to_owned());
                *expected.entry(case).or_default() += 1;
            }
        }
    }
    let all = settled(&nats, expected.values().sum()).await;
    let (mut found, mut codes) = (BTreeMap::new(), Vec::new());
    for entry in &all {
        let (call, decision) = match entry.content.as_ref().unwrap() {
            Content::Admitted(call) => (call, &call.rule),
            Content::Denied(denial) => (denial.call.as_ref().unwrap(), &denial.reason),
            Content::Outcome(outcome) => {
                codes.push(outcome.code.as_str());
                continue;
            }
            _ => continue,
        };
        let case = (call.method.clone(), call.protocol.clone(), decision.clone());
        *found.entry(case).or_insert(0_usize) += 1;
        let subject = call.caller.as_ref().map(|caller| &*caller.subject);
        let is_anonymous = decision == "CREDENTIALS_REQUIRED";
        assert_eq!(subject.is_none(), is_anonymous, "{call:?}");
        assert_eq!(call.address, "127.0.0.1");
        let has_message = call.digest.len() == 32;
        let knows_message = !matches!(&**decision, "CREDENTIALS_REQUIRED" | "MISSING_ROLE");
        assert_eq!(has_message, knows_message, "{call:?}");
    }
    assert_eq!(found, expected);
    assert!(codes.iter().all(|code| *code == "OK"), "{codes:?}");
    assert_greetings_are_alike(&all);
    assert_intact(&nats).await;
}

#[tokio::test]
async fn a_read_is_not_recorded_in_any_protocol() {
    let (nats, upstream) = (Nats::start(), upstream().await);
    let layers = layers(&[upstream.address], &[], &keys(&nats, "refuse"));
    let gateway = Gateway::configured(layers).await;
    gateway.wait_until_ready().await;
    let mut writes = 0;
    for form in forms() {
        assert_eq!(form.send(&gateway, &[]).await.status, 200, "{form:?}");
        writes += usize::from(form.name.contains("stream"));
    }
    for entry in settled(&nats, writes).await {
        if let Some(Content::Admitted(call)) = entry.content {
            assert_eq!(call.method, CHAT);
        }
    }
}

#[tokio::test]
async fn a_stream_that_was_tampered_with_is_found() {
    let (nats, upstream) = (Nats::start(), Upstream::start().await);
    let layers = layers(&[upstream.address], &[], &keys(&nats, "refuse"));
    let gateway = Gateway::configured(layers).await;
    gateway.wait_until_ready().await;
    for name in ["a", "b", "c"] {
        assert_eq!(
            gateway.get(&format!("/v1/greetings/{name}")).await.status,
            200
        );
    }
    settled(&nats, 3).await;
    assert_intact(&nats).await;
    let context = jetstream::new(nats.client().await);
    let stream = context.get_stream(STREAM).await.unwrap();
    // The server itself lets nobody delete one.
    stream.delete_message(2).await.unwrap_err();
    stream.purge().await.unwrap_err();
    let mut stored = Vec::new();
    for sequence in 1..=stream.cached_info().state.last_sequence {
        stored.push(stream.get_raw_message(sequence).await.unwrap());
    }
    // Who owns the server makes the stream anew, and may delete then.
    let remake = async |messages: &[async_nats::jetstream::message::StreamMessage]| {
        context.delete_stream(STREAM).await.unwrap();
        let config = Config {
            name: STREAM.to_owned(),
            subjects: vec!["audit.*".to_owned()],
            ..Config::default()
        };
        let stream = context.create_stream(config).await.unwrap();
        for message in messages {
            let sent = context.publish(message.subject.clone(), message.payload.clone());
            sent.await.unwrap().await.unwrap();
        }
        stream
    };
    let found = async || audit::verify(&nats.url()).await.unwrap().map(|_| ());
    let last = stored.len() - 1;
    for removed in 1..last {
        let stream = remake(&stored).await;
        assert_eq!(found().await, Ok(()));
        let sequence = removed as u64 + 1;
        stream.delete_message(sequence).await.unwrap();
        let problem = found().await.unwrap_err().problem;
        let missing = Problem::MessagesRemoved {
            from: sequence,
            to: sequence,
        };
        assert_eq!(problem, missing);
        // Without the gap in the stream, the chain has it.
        let mut without = stored.clone();
        without.remove(removed);
        remake(&without).await;
        let problem = found().await.unwrap_err().problem;
        assert!(matches!(problem, Problem::OutOfOrder { .. }), "{problem:?}");
    }
    let stream = remake(&stored).await;
    stream.delete_message(stored.len() as u64).await.unwrap();
    found().await.unwrap_err();
    let mut swapped = stored.clone();
    swapped.swap(1, last);
    remake(&swapped).await;
    found().await.unwrap_err();
}

#[tokio::test]
async fn while_the_broker_is_away_writes_are_refused_at_once_and_reads_go_on() {
    let (mut nats, upstream) = (Nats::start(), upstream().await);
    let keys = keys(&nats, "refuse") + "timeout_ms = 500\n";
    let gateway = Gateway::configured(layers(&[upstream.address], &[], &keys)).await;
    gateway.wait_until_ready().await;
    let chat = async || {
        gateway
            .post("/v1/chats", "application/json", r#"{"name":"a"}"#)
            .await
    };
    assert_eq!(chat().await.status, 200);
    settled(&nats, 1).await;
    nats.kill();
    upstream.observed.received.lock().unwrap().clear();
    let reply = chat().await;
    reply.assert_error(503, Code::Unavailable, "AUDIT_UNAVAILABLE");
    eventually("the broker is known to be away", async || {
        let metrics = gateway.get("/metrics").await.text();
        metrics.contains("audit_up 0").then_some(()).ok_or(metrics)
    })
    .await;
    // None of many waits for the time-out of 500 ms.
    let begun = tokio::time::Instant::now();
    for reply in join_all((0..50).map(|_| chat())).await {
        reply.assert_error(503, Code::Unavailable, "AUDIT_UNAVAILABLE");
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(10));
    assert!(upstream.received().is_empty());
    assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
    nats.restart();
    eventually("writes go on", async || {
        let reply = chat().await;
        (reply.status == 200).then_some(()).ok_or(reply)
    })
    .await;
    nats.client().await;
    assert_intact(&nats).await;
}

#[tokio::test]
async fn writes_that_may_be_dropped_go_on_without_the_broker_and_are_counted() {
    let (mut nats, upstream) = (Nats::start(), Upstream::start().await);
    nats.kill();
    let keys = keys(&nats, "drop") + "timeout_ms = 200\nqueue = 16\n";
    let gateway = Gateway::configured(layers(&[upstream.address], &[], &keys)).await;
    gateway.wait_until_ready().await;
    for _ in 0..20 {
        assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
    }
    let metrics = gateway.get("/metrics").await.text();
    let dropped = |line: &&str| line.starts_with("audit_entries_total{outcome=\"dropped\"}");
    let dropped = metrics.lines().find(dropped).unwrap();
    let dropped: u64 = dropped.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(dropped >= 12, "{metrics}");
    nats.restart();
    nats.client().await;
    // The trail itself says how many it lacks.
    eventually("the trail has what has waited", async || {
        gateway.get("/v1/greetings/b").await;
        let verified = audit::verify(&nats.url())
            .await
            .map_err(|error| error.to_string())?;
        let report = verified.map_err(|finding| finding.to_string())?;
        (report.not_recorded >= dropped)
            .then_some(())
            .ok_or(format!("{report:?}"))
    })
    .await;
}

#[tokio::test]
async fn every_write_that_a_killed_gateway_has_answered_is_in_an_intact_trail() {
    let (nats, upstream) = (Nats::start(), Upstream::start().await);
    let keys = [("AUDIT__NATS", &*nats.url())];
    let process = GatewayProcess::start(&upstream, &keys).await;
    let address = process.address;
    let callers = (0..8).map(|caller| {
        tokio::spawn(async move {
            let mut answered = Vec::new();
            for number in 0..10_000 {
                let name = format!("{caller}-{number}");
                let request = Request::get(format!("/v1/greetings/{name}"));
                let request = request.body(Full::<Bytes>::default()).unwrap();
                let sent = std::panic::AssertUnwindSafe(async {
                    let (response, _connection) = open(address, request).await;
                    let is_ok = response.status() == 200;
                    is_ok && response.into_body().collect().await.is_ok()
                });
                match futures::FutureExt::catch_unwind(sent).await {
                    Ok(true) => answered.push(name),
                    _ => return answered,
                }
            }
            answered
        })
    });
    let callers: Vec<_> = callers.collect();
    eventually("the load is on", async || {
        let found = upstream.observed.greeted.lock().unwrap().len();
        (found > 200).then_some(()).ok_or(found)
    })
    .await;
    drop(process);
    let answered: Vec<String> = join_all(callers)
        .await
        .into_iter()
        .flat_map(|caller| caller.unwrap())
        .collect();
    assert!(answered.len() > 100, "{}", answered.len());
    let verified = audit::verify(&nats.url()).await.unwrap();
    let report = verified.unwrap_or_else(|finding| panic!("{finding}"));
    assert_eq!(report.chains[0].state, audit::ChainState::Unfinished);
    let all = entries(&nats).await;
    let recorded: BTreeSet<&str> = all
        .iter()
        .filter_map(|entry| match &entry.content {
            Some(Content::Admitted(call)) => Some(&*call.resource),
            _ => None,
        })
        .collect();
    let missing: Vec<&String> = answered
        .iter()
        .filter(|name| !recorded.contains(&***name))
        .collect();
    assert_eq!(missing, Vec::<&String>::new());
    // The next process begins a chain that knows of this one, and ends it.
    let mut process = GatewayProcess::start(&upstream, &keys).await;
    process
        .send(
            Request::get("/v1/greetings/z")
                .body(Full::default())
                .unwrap(),
        )
        .await;
    process.terminate();
    eventually("the second chain has an end", async || {
        let report = audit::verify(&nats.url()).await.unwrap().unwrap();
        let states: Vec<_> = report.chains.iter().map(|chain| chain.state).collect();
        let ended = [audit::ChainState::Unfinished, audit::ChainState::Ended];
        (states == ended).then_some(()).ok_or(states)
    })
    .await;
}
