//! Answers that are kept: one entry for all protocols, 304, cache-control, renewal, one call for
//! many.

use futures::future::join_all;
use http::Request;
use tokio::net::TcpListener;
use tonic::Code;

use crate::support::forms::{Form, forms};
use crate::support::nats::Nats;
use crate::support::stranger::{Reflection, Upstream, variant};
use crate::support::valkey::Valkey;
use crate::support::{Gateway, Reply, eventually, layers};

/// The cache is on.
const ON: (&str, &str) = ("cache.max_bytes", "1048576");

/// Headers that differ from caller to caller are not among the metadata of the JSON API.
const PATH: &str = "/v1/greetings/a";

/// An upstream whose `Greet` has this option, and a gateway with a cache.
async fn start(option: &str) -> (Upstream, Gateway) {
    let upstream = upstream(option).await;
    let gateway = Gateway::ready_with(&[upstream.address], &[ON]).await;
    (upstream, gateway)
}

async fn upstream(option: &str) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let declared = "rpc Greet(GreetRequest) returns (GreetResponse) {";
    let cached = format!(
        "{declared} option idempotency_level = NO_SIDE_EFFECTS; option (mesh.v1.cache) = {{{option}}};"
    );
    let import = "import \"google/protobuf/any.proto\";";
    let imports = format!("{import} import \"mesh/v1/options.proto\";");
    let descriptors = variant(&[(declared, &cached), (import, &imports)]);
    Upstream::serve(listener, descriptors, Reflection::V1)
}

fn calls(upstream: &Upstream) -> usize {
    upstream.observed.greeted.lock().unwrap().len()
}

fn unary_forms() -> Vec<Form> {
    let forms = forms().into_iter();
    let unary: Vec<Form> = forms.filter(|form| !form.name.contains("stream")).collect();
    assert_eq!(unary.len(), 9);
    unary
}

fn status(reply: &Reply) -> &str {
    reply
        .header("cache-status")
        .trim_start_matches("protomesh; ")
}

#[tokio::test]
async fn every_protocol_is_answered_from_one_entry() {
    let (upstream, gateway) = start("ttl: {seconds: 600} scope: SCOPE_SHARED").await;
    let all = unary_forms();
    for first in &all {
        let before = calls(&upstream);
        // A question of its own for each form to ask first.
        let fresh = [("cache-control", "no-cache")];
        let reply = first.send(&gateway, &fresh).await;
        assert_eq!(
            (status(&reply), calls(&upstream)),
            ("fwd=uri-miss", before + 1)
        );
        let told = reply.body;
        for form in &all {
            let reply = form.send(&gateway, &[]).await;
            assert_eq!(reply.status, 200, "{form:?}: {reply:?}");
            assert_eq!(status(&reply), "hit", "{form:?}: {reply:?}");
            assert_eq!(reply.header("cache-control"), "public, max-age=600");
            assert!(reply.headers.contains_key("age"), "{reply:?}");
            assert!(!reply.body.is_empty());
            if form.name == first.name {
                assert_eq!(reply.body, told, "{form:?}");
            }
        }
        assert_eq!(calls(&upstream), before + 1);
    }
}

#[tokio::test]
async fn errors_are_not_kept_and_other_requests_are_other_questions() {
    let (upstream, gateway) = start("ttl: {seconds: 600} scope: SCOPE_SHARED").await;
    for _ in 0..2 {
        let reply = gateway.get("/v1/greetings/nobody").await;
        assert_eq!(reply.status, 404);
        assert!(reply.text().contains("NOBODY"), "{reply:?}");
    }
    assert_eq!(calls(&upstream), 2);
    for (path, expected) in [
        (PATH, 3),
        ("/v1/greetings/b", 4),
        ("/v1/greetings/a?times=2", 5),
        // Equal messages in another spelling.
        ("/v1/greetings/%61", 5),
        ("/v1/greetings/a?times=0", 5),
    ] {
        gateway.get(path).await;
        assert_eq!(calls(&upstream), expected, "{path}");
    }
}

#[tokio::test]
async fn without_a_cache_the_option_says_nothing() {
    let upstream = upstream("ttl: {seconds: 600} scope: SCOPE_SHARED").await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for expected in [1, 2] {
        let reply = gateway.get(PATH).await;
        assert_eq!((status(&reply), calls(&upstream)), ("", expected));
    }
}

#[tokio::test]
async fn a_kept_answer_is_not_sent_to_who_has_it() {
    let (upstream, gateway) = start("ttl: {seconds: 600} scope: SCOPE_SHARED").await;
    let tag = gateway.get(PATH).await.header("etag").to_owned();
    let asked = Request::get(PATH).header("if-none-match", &tag);
    let reply = gateway.ask(asked).await;
    assert_eq!((reply.status.as_u16(), reply.header("etag")), (304, &*tag));
    assert_eq!(reply.header("cache-control"), "public, max-age=600");
    assert_eq!((status(&reply), calls(&upstream)), ("hit", 1));
}

#[tokio::test]
async fn cache_control_of_the_caller_is_obeyed_unless_it_is_not_wanted() {
    let (upstream, gateway) = start("ttl: {seconds: 600} scope: SCOPE_SHARED").await;
    let ask = async |gateway: &Gateway, directive: &str| {
        gateway
            .ask(Request::get(PATH).header("cache-control", directive))
            .await
    };
    let reply = ask(&gateway, "only-if-cached").await;
    reply.assert_error(504, Code::Unavailable, "NOT_CACHED");
    for (directive, expected, total) in [
        ("no-store", "fwd=bypass", 1),
        ("no-cache", "fwd=uri-miss", 2),
        ("only-if-cached", "hit", 2),
        ("max-age=600", "hit", 2),
    ] {
        let reply = ask(&gateway, directive).await;
        assert_eq!(
            (status(&reply), calls(&upstream)),
            (expected, total),
            "{directive}"
        );
    }
    let keys = [ON, ("cache.request_directives", "false")];
    let deaf = Gateway::ready_with(&[upstream.address], &keys).await;
    ask(&deaf, "no-store").await;
    assert_eq!(status(&ask(&deaf, "no-store").await), "hit");
}

#[tokio::test]
async fn a_private_answer_is_its_callers() {
    let (upstream, gateway) = start("ttl: {seconds: 600}").await;
    let keys = [
        ("metadata.request", "authorization"),
        ("metadata.request_prefix", "grpc-metadata-"),
    ];
    let keys = [&[ON][..], &keys[..]].concat();
    let gateway = match gateway.get(PATH).await.status.as_u16() {
        200 => Gateway::ready_with(&[upstream.address], &keys).await,
        other => panic!("{other}"),
    };
    let mut seen = calls(&upstream);
    for (name, value, expected, new) in [
        ("x-nothing", "1", "fwd=uri-miss", 1),
        ("x-nothing", "2", "hit", 0),
        ("grpc-metadata-x-api-key", "a", "fwd=uri-miss", 1),
        ("grpc-metadata-x-api-key", "b", "fwd=uri-miss", 1),
        ("grpc-metadata-x-api-key", "a", "hit", 0),
        // Whoever vouches for this is asked each time.
        ("authorization", "Bearer a", "fwd=bypass", 1),
        ("authorization", "Bearer a", "fwd=bypass", 1),
    ] {
        let reply = gateway.ask(Request::get(PATH).header(name, value)).await;
        seen += new;
        assert_eq!(
            (status(&reply), calls(&upstream)),
            (expected, seen),
            "{name}: {value}"
        );
        let is_kept = expected != "fwd=bypass";
        let control = if is_kept {
            "private, no-cache"
        } else {
            "no-store"
        };
        assert_eq!(reply.header("cache-control"), control);
    }
}

#[tokio::test]
async fn a_stale_answer_is_served_and_then_renewed() {
    let option =
        "ttl: {nanos: 1000000} scope: SCOPE_SHARED stale_while_revalidate: {seconds: 3600}";
    let (upstream, gateway) = start(option).await;
    gateway.get(PATH).await;
    let stale = eventually("a stale answer", async || {
        let reply = gateway.get(PATH).await;
        match status(&reply) {
            "hit; detail=revalidating" => Ok(reply),
            _ => Err(reply),
        }
    })
    .await;
    assert_eq!(
        stale.header("cache-control"),
        "public, max-age=0, stale-while-revalidate=3600"
    );
    eventually("a renewed answer", async || match calls(&upstream) {
        0 | 1 => Err(calls(&upstream)),
        _ => Ok(()),
    })
    .await;
}

#[tokio::test]
async fn many_who_ask_at_once_make_one_call() {
    let (upstream, gateway) = start("ttl: {seconds: 600} scope: SCOPE_SHARED").await;
    let all = unary_forms();
    let replies = join_all((0..64).map(|number| all[number % all.len()].send(&gateway, &[])));
    for reply in replies.await {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    assert_eq!(calls(&upstream), 1);
    eventually("the figures of the cache", async || {
        let text = gateway.get("/metrics").await.text();
        let count = |outcome: &str| {
            let name = format!("response_cache_requests_total{{outcome=\"{outcome}\"}} ");
            let found = text
                .lines()
                .find_map(|line| line.strip_prefix(name.as_str()));
            found
                .and_then(|count| count.parse::<u64>().ok())
                .unwrap_or_default()
        };
        let counts = (count("miss"), count("hit") + count("coalesced"));
        if counts == (1, 63) {
            Ok(())
        } else {
            Err((counts, text))
        }
    })
    .await;
}

/// Publishes a fact.
async fn publish(nats: &Nats, kind: &str, key: &str) {
    let client = nats.client().await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("ce-type", kind);
    headers.insert("ce-subject", key);
    let subject = "evt.stranger.greeting.7.x";
    let published = client.publish_with_headers(subject, headers, "".into());
    published.await.unwrap();
    client.flush().await.unwrap();
}

#[tokio::test]
async fn an_event_of_the_service_makes_its_answers_out_of_date() {
    let option = "ttl: {seconds: 600} scope: SCOPE_SHARED \
                  invalidated_by: {event: \"stranger.v1.Greeted\" field: \"name\"}";
    let mut nats = Nats::start();
    let upstream = upstream(option).await;
    let url = nats.url();
    let keys = [ON, ("cache.nats", &url)];
    let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
    let becomes = async |path: &str, expected: &str| {
        eventually(expected, async || {
            let reply = gateway.get(path).await;
            if status(&reply) == expected {
                Ok(())
            } else {
                Err(reply)
            }
        })
        .await;
    };
    let (space, other) = ("/v1/greetings/a%20b", "/v1/greetings/b");
    becomes(space, "hit").await;
    becomes(other, "hit").await;
    assert_eq!(
        gateway.get(other).await.header("cache-control"),
        "public, no-cache"
    );
    // Of another kind, and about another key.
    publish(&nats, "stranger.v1.Left", "a%20b").await;
    publish(&nats, "stranger.v1.Greeted", "c").await;
    let before = calls(&upstream);
    publish(&nats, "stranger.v1.Greeted", "a%20b").await;
    eventually("a new answer", async || {
        gateway.get(space).await;
        match calls(&upstream) {
            now if now > before => Ok(()),
            now => Err(now),
        }
    })
    .await;
    becomes(space, "hit").await;
    assert_eq!(status(&gateway.get(other).await), "hit");
    // Unheard events may have been any.
    nats.kill();
    becomes(other, "fwd=bypass").await;
    nats.restart();
    becomes(other, "fwd=uri-miss").await;
    becomes(other, "hit").await;
}

#[tokio::test]
async fn selectors_give_the_options_to_contracts_that_have_none() {
    let upstream = Upstream::start().await;
    let item = |options: &str| {
        let selector = "stranger.v1.StrangerService.Greet";
        format!("[[schema.policies]]\nselector = \"{selector}\"\n{options}\n")
    };
    // The method has side effects, as far as its contract says.
    let refused = layers(
        &[upstream.address],
        &[ON],
        &item("cache = { ttl_seconds = 60 }"),
    );
    let gateway = Gateway::configured(refused).await;
    eventually("a refusal", async || {
        let status = gateway.get("/-/schema").await.text();
        match status.contains("not declared free of side effects") {
            true => Ok(()),
            false => Err(status),
        }
    })
    .await;
    let declared = "rpc Greet(GreetRequest) returns (GreetResponse) {";
    let read = format!("{declared} option idempotency_level = NO_SIDE_EFFECTS;");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::serve(listener, variant(&[(declared, &read)]), Reflection::V1);
    let options = "cache = { ttl_seconds = 60, shared = true }";
    let gateway = Gateway::configured(layers(&[upstream.address], &[ON], &item(options))).await;
    gateway.wait_until_ready().await;
    for expected in ["fwd=uri-miss", "hit"] {
        assert_eq!(status(&gateway.get(PATH).await), expected);
    }
    let explained = gateway.get("/-/explain?path=/v1/greetings/a").await.json();
    assert_eq!(
        explained["policies"]["cache"],
        "shared by all callers for 60s"
    );
}

#[tokio::test]
async fn gateways_share_answers_by_a_store_that_may_fail() {
    let upstream = upstream("ttl: {seconds: 600} scope: SCOPE_SHARED").await;
    let mut valkey = Valkey::start().await;
    let keys = valkey.keys();
    let mut keys: Vec<(&str, &str)> = keys.iter().map(|(key, value)| (&**key, &**value)).collect();
    keys.extend([ON, ("cache.shared", "true")]);
    let start = async || {
        let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
        eventually("the store", async || {
            let text = gateway.get("/metrics").await.text();
            match text.lines().any(|line| line == "valkey_up 1") {
                true => Ok(()),
                false => Err(text),
            }
        })
        .await;
        gateway
    };
    let (one, other) = (start().await, start().await);
    let first = one.get(PATH).await;
    assert_eq!(status(&first), "fwd=uri-miss");
    eventually("the answer is shared", async || {
        let found = valkey.command("DBSIZE").await.unwrap();
        if found.starts_with(":1") {
            Ok(())
        } else {
            Err(found)
        }
    })
    .await;
    let shared = other.get(PATH).await;
    assert_eq!((status(&shared), &shared.body), ("hit", &first.body));
    assert_eq!(calls(&upstream), 1);
    // Empty, gone, and back.
    valkey.command("FLUSHALL").await.unwrap();
    assert_eq!(status(&start().await.get(PATH).await), "fwd=uri-miss");
    let late = start().await;
    valkey.kill();
    assert_eq!(status(&late.get("/v1/greetings/b").await), "fwd=uri-miss");
    assert_eq!(status(&late.get("/v1/greetings/b").await), "hit");
    valkey.restart().await;
    assert_eq!(
        status(&start().await.get("/v1/greetings/b").await),
        "fwd=uri-miss"
    );
    // Slow: a bounded wait, then the service is asked.
    let keys = [&keys[..], &[("valkey.response_timeout_ms", "100")]].concat();
    let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
    valkey.freeze(true);
    for name in 0..5 {
        let reply = gateway.get(&format!("/v1/greetings/slow{name}")).await;
        assert_eq!(
            (reply.status.as_u16(), status(&reply)),
            (200, "fwd=uri-miss")
        );
    }
    valkey.freeze(false);
}
