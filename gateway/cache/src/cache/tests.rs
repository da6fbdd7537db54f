use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use auth::{Credential, Identity};
use bytes::Bytes;
use contract::{Invalidation, Scope};
use futures::future::{BoxFuture, join_all};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::sync::Notify;
use tokio::time::advance;

use tonic::Code;

use super::*;

const NONE: Duration = Duration::ZERO;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn policy(scope: Scope) -> contract::Cache {
    contract::Cache {
        ttl: seconds(10),
        scope,
        vary: vec![],
        stale_while_revalidate: NONE,
        stale_if_error: NONE,
        invalidated_by: vec![],
    }
}

fn metadata(fields: &[(&str, &str)]) -> HeaderMap {
    let fields = fields.iter().map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    });
    fields.collect()
}

/// A service that counts its calls; each answer is their number.
#[derive(Default)]
struct Service {
    calls: Arc<AtomicUsize>,
    /// How it answers instead, from now on.
    error: Arc<Mutex<Option<Status>>>,
    metadata: HeaderMap,
    /// Calls wait for it.
    gate: Option<Arc<Notify>>,
}

impl Service {
    fn fetch(&self) -> impl FnOnce(Option<Instant>) -> BoxFuture<'static, Result<Answer, Status>> {
        let (calls, error) = (self.calls.clone(), self.error.clone());
        let (metadata, gate) = (self.metadata.clone(), self.gate.clone());
        move |until| {
            async move {
                let number = calls.fetch_add(1, Ordering::SeqCst) + 1;
                let work = async {
                    if let Some(gate) = gate {
                        gate.notified().await;
                    }
                };
                match until {
                    Some(until) => timeout_at(until, work)
                        .await
                        .map_err(|_| Status::from(Fault::deadline_exceeded()))?,
                    None => work.await,
                }
                let error = error.lock().unwrap().clone();
                error.map_or(Ok(()), Err)?;
                let message = Bytes::from(number.to_string());
                let trailers = HeaderMap::new();
                Ok(Answer {
                    message,
                    metadata,
                    trailers,
                })
            }
            .boxed()
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn fail(&self, code: Option<Code>) {
        *self.error.lock().unwrap() = code.map(|code| Status::new(code, "no"));
    }
}

fn question(metadata: &HeaderMap) -> Question<'_> {
    Question {
        upstream: "u",
        method: "/a.v1.A/Get",
        message: b"m",
        identity: None,
        address: None,
        headers: metadata,
        metadata,
        deadline: None,
        event_keys: &[],
    }
}

async fn ask(
    cache: &Cache,
    policy: &contract::Cache,
    service: &Service,
    sent: &HeaderMap,
) -> String {
    match cache.serve(policy, question(sent), service.fetch()).await {
        Ok(served) => {
            let text = String::from_utf8(served.answer.message.to_vec()).unwrap();
            let status = served.headers["cache-status"].to_str().unwrap();
            format!("{text} {}", status.trim_start_matches("protomesh; "))
        }
        Err(status) => format!("{:?}", status.code()),
    }
}

/// Lets background tasks run until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the condition did not become true");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_served_as_long_as_it_is_fresh() {
    let (cache, service, none) = (
        Cache::new(Settings::default()),
        Service::default(),
        HeaderMap::new(),
    );
    let policy = policy(Scope::Shared);
    for (pause, expected) in [
        (0, "1 fwd=uri-miss"),
        (0, "1 hit"),
        (9, "1 hit"),
        (1, "2 fwd=uri-miss"),
        (9, "2 hit"),
    ] {
        advance(seconds(pause)).await;
        assert_eq!(ask(&cache, &policy, &service, &none).await, expected);
    }
    let served = cache
        .serve(&policy, question(&none), service.fetch())
        .await
        .unwrap();
    assert_eq!(served.headers["age"], "9");
    assert_eq!(served.headers["cache-control"], "public, max-age=10");
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_served_while_a_new_one_is_fetched() {
    let (cache, service, none) = (
        Cache::new(Settings::default()),
        Service::default(),
        HeaderMap::new(),
    );
    let policy = contract::Cache {
        stale_while_revalidate: seconds(5),
        ..policy(Scope::Shared)
    };
    assert_eq!(
        ask(&cache, &policy, &service, &none).await,
        "1 fwd=uri-miss"
    );
    advance(seconds(12)).await;
    assert_eq!(
        ask(&cache, &policy, &service, &none).await,
        "1 hit; detail=revalidating"
    );
    until(|| service.calls() == 2).await;
    until(|| cache.inner.refreshes.available_permits() == 64).await;
    assert_eq!(ask(&cache, &policy, &service, &none).await, "2 hit");
    advance(seconds(15)).await;
    assert_eq!(
        ask(&cache, &policy, &service, &none).await,
        "3 fwd=uri-miss"
    );
}

#[tokio::test(start_paused = true)]
async fn only_one_call_renews_an_answer() {
    let gate = Arc::new(Notify::new());
    let service = Service::default();
    let (cache, none) = (Cache::new(Settings::default()), HeaderMap::new());
    let policy = contract::Cache {
        stale_while_revalidate: seconds(5),
        ..policy(Scope::Shared)
    };
    ask(&cache, &policy, &service, &none).await;
    let service = Service {
        gate: Some(gate.clone()),
        calls: service.calls,
        ..Service::default()
    };
    advance(seconds(12)).await;
    for _ in 0..100 {
        let answer = ask(&cache, &policy, &service, &none).await;
        assert_eq!(answer, "1 hit; detail=revalidating");
        tokio::task::yield_now().await;
    }
    assert_eq!(service.calls(), 2);
    gate.notify_one();
    until(|| cache.inner.refreshes.available_permits() == 64).await;
    assert_eq!(ask(&cache, &policy, &service, &none).await, "2 hit");
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_stands_in_for_a_failure_but_for_no_refusal() {
    let (cache, service, none) = (
        Cache::new(Settings::default()),
        Service::default(),
        HeaderMap::new(),
    );
    let policy = contract::Cache {
        stale_if_error: seconds(60),
        ..policy(Scope::Shared)
    };
    ask(&cache, &policy, &service, &none).await;
    advance(seconds(11)).await;
    for (code, expected) in [
        (Code::Unavailable, "1 hit; detail=error"),
        (Code::Internal, "1 hit; detail=error"),
        (Code::ResourceExhausted, "ResourceExhausted"),
        (Code::PermissionDenied, "PermissionDenied"),
        // The refusal was the service's answer, hence the old one is gone.
        (Code::Unavailable, "Unavailable"),
    ] {
        service.fail(Some(code));
        assert_eq!(ask(&cache, &policy, &service, &none).await, expected);
    }
    service.fail(None);
    assert!(
        ask(&cache, &policy, &service, &none)
            .await
            .ends_with("miss")
    );
    advance(seconds(71)).await;
    service.fail(Some(Code::Unavailable));
    assert_eq!(ask(&cache, &policy, &service, &none).await, "Unavailable");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_who_ask_at_once_make_one_call() {
    let gate = Arc::new(Notify::new());
    let service = Service {
        gate: Some(gate.clone()),
        ..Service::default()
    };
    let (cache, none) = (Cache::new(Settings::default()), HeaderMap::new());
    let policy = policy(Scope::Shared);
    let all = join_all((0..1000).map(|_| ask(&cache, &policy, &service, &none)));
    let release = async {
        until(|| service.calls() == 1).await;
        gate.notify_one();
    };
    let (answers, ()) = tokio::join!(all, release);
    assert_eq!(service.calls(), 1);
    let told: BTreeSet<&str> = answers.iter().map(String::as_str).collect();
    let expected = ["1 fwd=uri-miss", "1 fwd=uri-miss; collapsed"];
    assert_eq!(told, BTreeSet::from(expected));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_takes_no_other_along() {
    let gate = Arc::new(Notify::new());
    let service = Service {
        gate: Some(gate.clone()),
        ..Service::default()
    };
    let (cache, policy) = (Cache::new(Settings::default()), policy(Scope::Shared));
    let none = HeaderMap::new();
    let mut leader = Box::pin(ask(&cache, &policy, &service, &none));
    assert!(futures::poll!(leader.as_mut()).is_pending());
    let mut follower = Box::pin(ask(&cache, &policy, &service, &none));
    assert!(futures::poll!(follower.as_mut()).is_pending());
    drop(leader);
    gate.notify_one();
    assert_eq!(follower.await, "1 fwd=uri-miss; collapsed");
    // The last one to leave ends the call, and the next question asks anew.
    let young = metadata(&[("cache-control", "max-age=0")]);
    advance(seconds(1)).await;
    let mut alone = Box::pin(ask(&cache, &policy, &service, &young));
    assert!(futures::poll!(alone.as_mut()).is_pending());
    drop(alone);
    gate.notify_one();
    let answer = ask(&cache, &policy, &service, &young).await;
    assert_eq!(answer, "3 fwd=uri-miss");
}

#[tokio::test(start_paused = true)]
async fn each_keeps_to_the_own_deadline() {
    let gate = Arc::new(Notify::new());
    let service = Service {
        gate: Some(gate.clone()),
        ..Service::default()
    };
    let (cache, policy) = (Cache::new(Settings::default()), policy(Scope::Shared));
    let none = HeaderMap::new();
    let begun = Instant::now();
    let within = |time: u64| {
        let deadline = Some(begun + seconds(time));
        let question = Question {
            deadline,
            ..question(&none)
        };
        cache.serve(&policy, question, service.fetch())
    };
    let short = async { (within(1).await.unwrap_err().code(), begun.elapsed()) };
    let long = async {
        let answer = within(3).await.unwrap().answer.message;
        (answer, begun.elapsed())
    };
    let shorter = async { (within(2).await.unwrap_err().code(), begun.elapsed()) };
    let release = async {
        tokio::time::sleep_until(begun + Duration::from_millis(2500)).await;
        gate.notify_one();
    };
    let (short, long, shorter, ()) = tokio::join!(short, long, shorter, release);
    assert_eq!(short, (Code::DeadlineExceeded, seconds(1)));
    assert_eq!(shorter, (Code::DeadlineExceeded, seconds(2)));
    // The call of the first was given up with its deadline; the second asked again.
    assert_eq!(long, (Bytes::from("2"), Duration::from_millis(2500)));
}

#[tokio::test(start_paused = true)]
async fn what_is_meant_for_one_is_neither_kept_nor_shared() {
    for sent in [
        [("set-cookie", "a=b")],
        [("cache-control", "no-store")],
        [("cache-control", "private")],
        [("cache-control", "max-age=0")],
        [("x-http-code", "206")],
    ] {
        let gate = Arc::new(Notify::new());
        let service = Service {
            gate: Some(gate.clone()),
            metadata: metadata(&sent),
            ..Service::default()
        };
        let (cache, policy) = (Cache::new(Settings::default()), policy(Scope::Shared));
        let none = HeaderMap::new();
        let release = async {
            until(|| service.calls() == 1).await;
            gate.notify_one();
            until(|| service.calls() == 2).await;
            gate.notify_one();
        };
        let one = ask(&cache, &policy, &service, &none);
        let other = ask(&cache, &policy, &service, &none);
        let (one, other, ()) = tokio::join!(one, other, release);
        assert_ne!(one, other);
        assert_eq!(cache.inner.store.size().1, 0, "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn callers_may_ask_past_the_cache() {
    let (cache, service) = (Cache::new(Settings::default()), Service::default());
    let policy = policy(Scope::Shared);
    for (directive, expected) in [
        ("only-if-cached", "Unavailable"),
        ("", "1 fwd=uri-miss"),
        ("no-cache", "2 fwd=uri-miss"),
        ("only-if-cached", "2 hit"),
        ("no-store", "3 fwd=bypass"),
        ("no-store, only-if-cached", "Unavailable"),
        ("", "2 hit"),
    ] {
        let sent = metadata(&[("cache-control", directive)]);
        assert_eq!(
            ask(&cache, &policy, &service, &sent).await,
            expected,
            "{directive}"
        );
    }
    advance(seconds(4)).await;
    for (directive, expected) in [
        ("max-age=4", "2 hit"),
        ("min-fresh=6", "2 hit"),
        ("max-age=3", "4 fwd=uri-miss"),
        ("min-fresh=11", "5 fwd=uri-miss"),
    ] {
        let sent = metadata(&[("cache-control", directive)]);
        assert_eq!(
            ask(&cache, &policy, &service, &sent).await,
            expected,
            "{directive}"
        );
    }
    advance(seconds(12)).await;
    for (directive, expected) in [
        ("max-stale=1, only-if-cached", "Unavailable"),
        ("max-stale=2", "5 hit; detail=max-stale"),
        ("max-stale", "5 hit; detail=max-stale"),
        ("", "6 fwd=uri-miss"),
    ] {
        let sent = metadata(&[("cache-control", directive)]);
        assert_eq!(
            ask(&cache, &policy, &service, &sent).await,
            expected,
            "{directive}"
        );
    }
    let deaf = Cache::new(Settings {
        request_directives: false,
        ..Settings::default()
    });
    let sent = metadata(&[("cache-control", "no-store")]);
    ask(&deaf, &policy, &service, &sent).await;
    assert!(ask(&deaf, &policy, &service, &sent).await.ends_with("hit"));
}

#[tokio::test(start_paused = true)]
async fn an_event_makes_the_answers_about_its_key_out_of_date() {
    let (cache, service) = (Cache::new(Settings::default()), Service::default());
    let wait = |event: &str, field: Option<&str>| Invalidation {
        event: event.to_owned(),
        field: field.map(str::to_owned),
    };
    let policy = contract::Cache {
        invalidated_by: vec![wait("a.v1.Moved", Some("id")), wait("a.v1.Closed", None)],
        ..policy(Scope::Shared)
    };
    let none = HeaderMap::new();
    let ask = async |id: &str| {
        advance(Duration::from_millis(1)).await;
        let event_keys = [id.to_owned(), String::new()];
        let question = Question {
            message: id.as_bytes(),
            event_keys: &event_keys,
            ..question(&none)
        };
        let served = cache
            .serve(&policy, question, service.fetch())
            .await
            .unwrap();
        served.headers["cache-status"]
            .to_str()
            .unwrap()
            .replace("protomesh; ", "")
    };
    // Nothing is kept before events are heard.
    assert_eq!(ask("a").await, "fwd=bypass");
    cache.hear(true);
    for id in ["a", "b"] {
        assert_eq!(ask(id).await, "fwd=uri-miss");
        assert_eq!(ask(id).await, "hit");
    }
    cache.happened("a.v1.Moved", "a");
    cache.happened("a.v1.Renamed", "b");
    assert_eq!(
        (ask("a").await, ask("b").await),
        ("fwd=uri-miss".into(), "hit".into())
    );
    cache.happened("a.v1.Closed", "x");
    assert_eq!(
        (ask("a").await, ask("b").await),
        ("fwd=uri-miss".into(), "fwd=uri-miss".into())
    );
    // More events than are remembered.
    for number in 0..40_000 {
        cache.happened("a.v1.Moved", &number.to_string());
    }
    assert_eq!(ask("a").await, "hit");
    for number in 40_000..70_000 {
        cache.happened("a.v1.Moved", &number.to_string());
    }
    assert_eq!(ask("a").await, "fwd=uri-miss");
    // A gap in what was heard.
    cache.hear(false);
    assert_eq!(ask("a").await, "fwd=bypass");
    cache.hear(true);
    assert_eq!(ask("a").await, "fwd=uri-miss");
    assert_eq!(ask("a").await, "hit");
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded() {
    let settings = Settings {
        max_bytes: 1 << 20,
        max_answer_bytes: 64 << 10,
        ..Settings::default()
    };
    let (cache, policy) = (Cache::new(settings), policy(Scope::Shared));
    let none = HeaderMap::new();
    for number in 0_u32..2000 {
        let size = 1 + (number as usize * 37) % (128 << 10);
        let answer = Answer {
            message: vec![0; size].into(),
            ..Answer::default()
        };
        let question = Question {
            message: &number.to_le_bytes(),
            ..question(&none)
        };
        let fetch = |_| async move { Ok(answer) };
        cache.serve(&policy, question, fetch).await.unwrap();
        assert!(cache.inner.store.size().0 <= 1 << 20);
    }
    assert!(cache.inner.store.size().1 > 0);
    assert_ne!(format!("{:?}", cache.inner.figures.evicted), "Count(0)");
}

#[tokio::test]
async fn an_unverified_credential_is_never_answered_from_the_cache() {
    let (cache, service) = (Cache::new(Settings::default()), Service::default());
    for name in ["authorization", "cookie", "grpcgateway-authorization"] {
        let sent = metadata(&[(name, "x")]);
        for _ in 0..2 {
            let answer = ask(&cache, &policy(Scope::Private), &service, &sent).await;
            assert!(answer.ends_with("bypass"), "{answer}");
        }
    }
    // A contract may say that the answer is the same for everyone.
    let sent = metadata(&[("authorization", "x")]);
    ask(&cache, &policy(Scope::Shared), &service, &sent).await;
    assert!(
        ask(&cache, &policy(Scope::Shared), &service, &sent)
            .await
            .ends_with("hit")
    );
}

fn identities() -> impl Strategy<Value = Identity> {
    let name = "[ab:1]{0,3}";
    let names = || proptest::collection::btree_set("[rs]{1,2}", 0..3);
    (name, proptest::option::of(name), name, names(), names()).prop_map(
        |(issuer, tenant, subject, roles, scopes)| Identity {
            issuer,
            subject,
            tenant,
            roles,
            scopes,
            credential: Credential::Token,
            credential_id: None,
            expires: None,
        },
    )
}

/// 10,000 pairs of callers, most of whom have much in common: an answer made for one is served to
/// the other only if they are the same to the policy.
#[test]
#[allow(clippy::too_many_lines, reason = "a table of policies")]
fn no_answer_is_served_to_another_identity() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let callers = (
        identities(),
        identities(),
        "[/a.]{1,3}",
        "[/a.]{1,3}",
        "[xy]{0,2}",
        "[xy]{0,2}",
    );
    let aspects = proptest::sample::subsequence(
        vec![
            "identity.tenant",
            "identity.roles",
            "identity.scopes",
            "identity.issuer",
            "x-a",
        ],
        0..=5,
    );
    let mut runner = TestRunner::new(Config::with_cases(10_000));
    let (mut same, mut told_apart) = (0, 0);
    let all = (callers, aspects, any::<bool>(), any::<bool>());
    let same_counts = std::cell::RefCell::new((&mut same, &mut told_apart));
    runner
        .run(
            &all,
            |((one, other, method, other_method, header, other_header), vary, shared, twin)| {
                let other = if twin { one.clone() } else { other };
                let scope = if shared {
                    Scope::Shared
                } else {
                    Scope::Private
                };
                let vary: Vec<String> = vary.iter().map(|name| (*name).to_owned()).collect();
                let policy = contract::Cache {
                    vary: vary.clone(),
                    ..policy(scope)
                };
                let is_same = |name: &str| match name {
                    "identity.tenant" => one.tenant == other.tenant,
                    "identity.roles" => one.roles == other.roles,
                    "identity.scopes" => one.scopes == other.scopes,
                    "identity.issuer" => one.issuer == other.issuer,
                    _ => header == other_header,
                };
                let is_one_identity = one == other || shared;
                let expected = method == other_method
                    && is_one_identity
                    && vary.iter().all(|name| is_same(name));
                let cache = Cache::new(Settings {
                    max_bytes: 1 << 20,
                    ..Settings::default()
                });
                let (sent, other_sent) = (
                    metadata(&[("x-a", &header)]),
                    metadata(&[("x-a", &other_header)]),
                );
                let first = Question {
                    identity: Some(&one),
                    method: &method,
                    ..question(&sent)
                };
                let second = Question {
                    identity: Some(&other),
                    method: &other_method,
                    ..question(&other_sent)
                };
                let told = runtime.block_on(async {
                    let answer = |text: &'static str| Answer {
                        message: text.into(),
                        ..Answer::default()
                    };
                    let for_one = |_| async move { Ok(answer("one")) };
                    cache.serve(&policy, first, for_one).await.unwrap();
                    let for_other = |_| async move { Ok(answer("other")) };
                    cache
                        .serve(&policy, second, for_other)
                        .await
                        .unwrap()
                        .answer
                        .message
                });
                prop_assert_eq!(told == "one", expected);
                let mut counts = same_counts.borrow_mut();
                match expected {
                    true => *counts.0 += 1,
                    false => *counts.1 += 1,
                }
                Ok(())
            },
        )
        .unwrap();
    assert!(same > 100 && told_apart > 1000, "{same} {told_apart}");
}

/// Callers without an identity are told apart by their address and by whatever they send.
#[tokio::test]
async fn no_answer_is_served_to_another_anonymous_caller() {
    let (cache, service) = (Cache::new(Settings::default()), Service::default());
    let policy = policy(Scope::Private);
    let mut seen = BTreeSet::new();
    for (address, fields) in [
        ("10.0.0.1", &[][..]),
        ("10.0.0.2", &[]),
        ("10.0.0.1", &[("x-api-key", "a")]),
        ("10.0.0.1", &[("x-api-key", "b")]),
        ("10.0.0.1", &[("x-api-key", "a"), ("x-b", "")]),
        ("10.0.0.1", &[("x-api-keya", "")]),
    ] {
        let sent = metadata(fields);
        let address = Some(address.parse().unwrap());
        for time in 0..2 {
            let question = Question {
                address,
                ..question(&sent)
            };
            let served = cache
                .serve(&policy, question, service.fetch())
                .await
                .unwrap();
            assert_eq!(served.headers["cache-control"], "private, no-cache");
            assert_eq!(seen.insert(served.answer.message), time == 0, "{fields:?}");
        }
    }
    assert_eq!(service.calls(), 6);
}
