//! Calls that are known by their keys: one effect, one answer, in every protocol.

use futures::future::join_all;
use http::Request;
use http_body_util::Full;
use tokio::net::TcpListener;
use tonic::Code;

use crate::support::forms::{Form, forms};
use crate::support::stranger::{Reflection, Upstream, variant};
use crate::support::valkey::Valkey;
use crate::support::{Gateway, Reply, eventually};

const KEY: &str = "idempotency-key";
const REPLAYED: &str = "idempotency-replayed";

/// An upstream whose `Greet` has this option, and a gateway that knows its calls by their keys.
async fn start(option: &str) -> (Upstream, Valkey, Gateway) {
    let upstream = upstream(option).await;
    let valkey = Valkey::start().await;
    let gateway = gateway(&upstream, &valkey).await;
    (upstream, valkey, gateway)
}

async fn upstream(option: &str) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let declared = "rpc Greet(GreetRequest) returns (GreetResponse) {";
    let keyed = format!("{declared} option (mesh.v1.idempotency_key) = {{{option}}};");
    let import = "import \"google/protobuf/any.proto\";";
    let imports = format!("{import} import \"mesh/v1/options.proto\";");
    let descriptors = variant(&[(declared, &keyed), (import, &imports)]);
    Upstream::serve(listener, descriptors, Reflection::V1)
}

async fn gateway(upstream: &Upstream, valkey: &Valkey) -> Gateway {
    gateway_with(upstream, valkey, &[]).await
}

async fn gateway_with(upstream: &Upstream, valkey: &Valkey, more: &[(&str, &str)]) -> Gateway {
    let keys = valkey.keys();
    let mut keys: Vec<(&str, &str)> = keys.iter().map(|(key, value)| (&**key, &**value)).collect();
    keys.extend_from_slice(more);
    let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
    store_is_up(&gateway).await;
    gateway
}

/// Waits until the gateway has its store.
async fn store_is_up(gateway: &Gateway) {
    eventually("the store", async || {
        let text = gateway.get("/metrics").await.text();
        match text.lines().any(|line| line == "valkey_up 1") {
            true => Ok(()),
            false => Err(text),
        }
    })
    .await;
}

fn calls(upstream: &Upstream) -> usize {
    upstream.observed.greeted.lock().unwrap().len()
}

/// The forms that may have an effect.
fn unary_forms() -> Vec<Form> {
    let forms = forms().into_iter();
    let forms = forms.filter(|form| !form.name.contains("stream"));
    let unary: Vec<Form> = forms.filter(|form| form.name != "Connect, GET").collect();
    assert_eq!(unary.len(), 8);
    unary
}

async fn post(gateway: &Gateway, name: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = Request::post("/v1/greetings").header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = format!("{{\"name\":\"{name}\"}}");
    gateway.send(request.body(Full::from(body)).unwrap()).await
}

#[tokio::test]
async fn a_repeated_call_gets_the_first_ones_answer_in_every_protocol() {
    let (upstream, _valkey, gateway) = start("ttl: {seconds: 600} required: true").await;
    let all = unary_forms();
    for (number, first) in all.iter().enumerate() {
        let key = format!("\"key {number}\"");
        let reply = first.send(&gateway, &[(KEY, &key)]).await;
        assert_eq!((reply.header(REPLAYED), calls(&upstream)), ("", number + 1));
        for form in &all {
            let again = form.send(&gateway, &[(KEY, &key)]).await;
            assert_eq!(again.status, 200, "{form:?}: {again:?}");
            assert_eq!(again.header(REPLAYED), "true", "{form:?}: {again:?}");
            if form.name == first.name {
                assert_eq!(again.body, reply.body, "{form:?}");
            }
        }
        assert_eq!(calls(&upstream), number + 1);
    }
    // Without a key, each is refused in its own form.
    for form in &all {
        let refused = form.send(&gateway, &[]).await;
        let whole = format!("{:?} {:?}", refused.headers, refused.body);
        let is_told = [
            "400",
            "grpc-status\": \"3\"",
            "grpc-status: 3",
            "invalid_argument",
        ]
        .iter()
        .any(|sign| whole.contains(sign) || refused.status.as_str() == *sign);
        // Base64 is not read here.
        let is_text = form.name == "gRPC-Web text";
        assert!(is_told || is_text, "{form:?}: {refused:?}");
    }
    assert_eq!(calls(&upstream), all.len());
}

#[tokio::test]
async fn a_key_is_one_request_of_one_caller() {
    let (upstream, _valkey, gateway) = start("ttl: {seconds: 600}").await;
    assert_eq!(post(&gateway, "a", &[(KEY, "k")]).await.status, 200);
    let reused = post(&gateway, "b", &[(KEY, "k")]).await;
    reused.assert_error(422, Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED");
    // A key is the same quoted, and the request in another spelling.
    let again = post(&gateway, "\\u0061", &[(KEY, "\"k\"")]).await;
    assert_eq!((again.header(REPLAYED), calls(&upstream)), ("true", 1));
    let malformed = post(&gateway, "a", &[(KEY, "\"k")]).await;
    malformed.assert_error(400, Code::InvalidArgument, "IDEMPOTENCY_KEY_MALFORMED");
    // Whoever has another credential is another caller.
    let keys = [("metadata.request", "authorization")];
    let other = gateway_with(&upstream, &_valkey, &keys).await;
    for (token, total) in [("Bearer a", 2), ("Bearer b", 3), ("Bearer a", 3)] {
        let reply = post(&other, "a", &[(KEY, "k"), ("authorization", token)]).await;
        assert_eq!(
            (reply.status.as_u16(), calls(&upstream)),
            (200, total),
            "{token}"
        );
    }
    // No key, no promise.
    for total in [4, 5] {
        post(&gateway, "a", &[]).await;
        assert_eq!(calls(&upstream), total);
    }
}

#[tokio::test]
async fn a_field_may_be_the_key() {
    let option = "ttl: {seconds: 600} required: true field: \"name\"";
    let (upstream, _valkey, gateway) = start(option).await;
    assert_eq!(post(&gateway, "a", &[]).await.header(REPLAYED), "");
    assert_eq!(post(&gateway, "a", &[]).await.header(REPLAYED), "true");
    assert_eq!(post(&gateway, "b", &[]).await.header(REPLAYED), "");
    let missing = post(&gateway, "", &[]).await;
    missing.assert_error(400, Code::InvalidArgument, "IDEMPOTENCY_KEY_MISSING");
    assert_eq!(calls(&upstream), 2);
}

#[tokio::test]
async fn errors_that_stand_are_replayed_and_others_free_the_key() {
    let (upstream, _valkey, gateway) = start("ttl: {seconds: 600}").await;
    let mut total = 0;
    for code in 1_i32..=16 {
        let (name, key) = (format!("code-{code}"), format!("k{code}"));
        let first = post(&gateway, &name, &[(KEY, &key)]).await;
        let again = post(&gateway, &name, &[(KEY, &key)]).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        // NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION, OUT_OF_RANGE.
        let stands = [5, 6, 9, 11].contains(&code);
        assert_eq!(
            again.header(REPLAYED),
            if stands { "true" } else { "" },
            "{code}"
        );
        total += if stands { 1 } else { 2 };
        assert_eq!(calls(&upstream), total, "{code}");
    }
    // With details, metadata and what a client reads of them.
    let first = post(&gateway, "nobody", &[(KEY, "n")]).await;
    let again = post(&gateway, "nobody", &[(KEY, "n")]).await;
    assert!(again.text().contains("NOBODY"), "{again:?}");
    assert_eq!(
        (&again.body, again.header("x-trail")),
        (&first.body, "kept")
    );
    assert_eq!(again.header("retry-after"), first.header("retry-after"));
}

#[tokio::test]
async fn a_call_in_flight_is_not_made_twice_and_outlives_its_caller() {
    let (upstream, _valkey, gateway) = start("ttl: {seconds: 600}").await;
    let request = Request::post("/v1/greetings")
        .header("content-type", "application/json")
        .header("grpc-timeout", "10S")
        .header(KEY, "h");
    let request = request.body(Full::from("{\"name\":\"hang\"}")).unwrap();
    let (mut sender, connection) = gateway.connect().await;
    let call = tokio::spawn(sender.send_request(request));
    eventually("the call", async || match calls(&upstream) {
        1 => Ok(()),
        other => Err(other),
    })
    .await;
    let all = join_all((0..50).map(|_| post(&gateway, "hang", &[(KEY, "h")])));
    for reply in all.await {
        reply.assert_error(409, Code::Aborted, "IDEMPOTENCY_IN_FLIGHT");
        assert_eq!(reply.header("retry-after"), "1");
    }
    drop(connection);
    call.abort();
    // Its mark stays until the call ends, at its deadline.
    let reply = post(&gateway, "hang", &[(KEY, "h")]).await;
    reply.assert_error(409, Code::Aborted, "IDEMPOTENCY_IN_FLIGHT");
    let other = post(&gateway, "a", &[(KEY, "h")]).await;
    other.assert_error(422, Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(calls(&upstream), 1);
    eventually("the key is free", async || {
        let reply = post(&gateway, "a", &[(KEY, "h")]).await;
        if reply.status == 200 {
            Ok(())
        } else {
            Err(reply)
        }
    })
    .await;
}

#[tokio::test]
async fn many_at_once_have_one_effect() {
    let (upstream, valkey, gateway) = start("ttl: {seconds: 600}").await;
    let other = self::gateway(&upstream, &valkey).await;
    let gateways = [&gateway, &other];
    let all = (0..64).map(|number| post(gateways[number % 2], "a", &[(KEY, "m")]));
    for reply in join_all(all).await {
        assert!([200, 409].contains(&reply.status.as_u16()), "{reply:?}");
    }
    assert_eq!(calls(&upstream), 1);
    assert_eq!(
        post(&other, "a", &[(KEY, "m")]).await.header(REPLAYED),
        "true"
    );
}

#[tokio::test]
async fn without_the_store_the_contract_decides() {
    for (option, is_open) in [("", false), ("store_away: STORE_AWAY_OPEN", true)] {
        let option = format!("ttl: {{seconds: 600}} {option}");
        let (upstream, mut valkey, gateway) = start(&option).await;
        post(&gateway, "a", &[(KEY, "k")]).await;
        valkey.kill();
        let reply = post(&gateway, "a", &[(KEY, "k")]).await;
        match is_open {
            true => assert_eq!((reply.status.as_u16(), reply.header(REPLAYED)), (200, "")),
            false => reply.assert_error(503, Code::Unavailable, "IDEMPOTENCY_STORE_AWAY"),
        }
        // Without a key no store is needed.
        assert_eq!(post(&gateway, "a", &[]).await.status, 200);
        let before = calls(&upstream);
        // Wiped: the key is new again, as after its time.
        valkey.restart().await;
        store_is_up(&gateway).await;
        assert_eq!(
            post(&gateway, "a", &[(KEY, "k")]).await.header(REPLAYED),
            ""
        );
        assert_eq!(
            post(&gateway, "a", &[(KEY, "k")]).await.header(REPLAYED),
            "true"
        );
        assert_eq!(calls(&upstream), before + 1);
    }
}

#[tokio::test]
async fn a_slow_store_costs_a_bounded_wait() {
    let upstream = upstream("ttl: {seconds: 600}").await;
    let valkey = Valkey::start().await;
    let gateway = gateway_with(&upstream, &valkey, &[("valkey.response_timeout_ms", "100")]).await;
    valkey.freeze(true);
    for _ in 0..5 {
        let reply = post(&gateway, "a", &[(KEY, "k")]).await;
        reply.assert_error(503, Code::Unavailable, "IDEMPOTENCY_STORE_AWAY");
    }
    assert_eq!(calls(&upstream), 0);
    valkey.freeze(false);
    store_is_up(&gateway).await;
    assert_eq!(post(&gateway, "a", &[(KEY, "other")]).await.status, 200);
}

#[tokio::test]
async fn a_large_answer_is_not_asked_for_twice() {
    let upstream = upstream("ttl: {seconds: 600}").await;
    let valkey = Valkey::start().await;
    let keys = [("idempotency.max_answer_bytes", "100")];
    let gateway = gateway_with(&upstream, &valkey, &keys).await;
    assert_eq!(
        post(&gateway, &"a".repeat(90), &[(KEY, "k")]).await.status,
        200
    );
    let again = post(&gateway, &"a".repeat(90), &[(KEY, "k")]).await;
    again.assert_error(409, Code::AlreadyExists, "IDEMPOTENCY_ANSWER_TOO_LARGE");
    assert_eq!(calls(&upstream), 1);
}

#[tokio::test]
async fn without_a_store_the_option_says_nothing() {
    let upstream = upstream("ttl: {seconds: 600}").await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for total in [1, 2] {
        let reply = post(&gateway, "a", &[(KEY, "k")]).await;
        assert_eq!((reply.header(REPLAYED), calls(&upstream)), ("", total));
    }
}
