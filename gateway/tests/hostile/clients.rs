//! Every script of a hostile client: calls of others on other connections are answered as if it
//! were not there, and nothing of it stays.

use futures::StreamExt;
use futures::future::join_all;
use hostile::attack::{Attack, Target, all};
use hostile::{Client, Options, Seen, Step, code, grpc};

use crate::memory::released;
use crate::protocol::{Extra, Method, Outcome, Protocol, call};
use crate::support::{BAD, Fronted, response};
use crate::unread::flood;

/// Scripts that run at once.
const AT_ONCE: usize = 8;

/// Connections of a script.
const CONNECTIONS: usize = 3;

/// Calls beside each connection, in each protocol.
const PROBES: usize = 2;

fn target() -> Target {
    Target {
        json: "/v1/calls",
        unary: "/hostile.v1.HostileService/Put",
        stream: "/hostile.v1.HostileService/Watch",
        message: response(BAD),
        large: "/v1/calls/bad",
        websocket: "/v1/gatherings",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_script_of_a_client_harms_the_calls_of_others() {
    let attacks = all(&target());
    let checked = futures::stream::iter(&attacks).map(check);
    let wrong: Vec<_> = checked.buffered(AT_ONCE).collect().await;
    let wrong: Vec<_> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Returns the probes with a wrong answer.
async fn check(attack: &Attack) -> Vec<String> {
    // Probes that share the address of the script would wait for a slot as it does.
    let keys = "[client]\nadaptive_limit = false";
    let fronted = Fronted::with_keys(flood(), Options::default(), keys).await;
    let gateway = fronted.address;
    let mut wrong = Vec::new();
    let mut hostile = Vec::new();
    for _ in 0..CONNECTIONS {
        let probes = (0..PROBES * Protocol::ALL.len()).map(async |at| {
            let protocol = Protocol::ALL[at % Protocol::ALL.len()];
            let method = match (protocol, at / Protocol::ALL.len()) {
                (Protocol::WebSocket, _) | (_, 0) => Method::Put,
                _ => Method::Get,
            };
            let outcome = call(gateway, protocol, method, &["good"], &Extra::default()).await;
            (protocol, outcome)
        });
        let (client, probes) = tokio::join!(attack.strike(gateway), join_all(probes));
        hostile.extend(client.ok());
        let failed = probes
            .into_iter()
            .filter(|(_, seen)| *seen != Outcome::good("good"));
        wrong.extend(
            failed.map(|(protocol, seen)| format!("{}: {protocol:?}: {seen}", attack.name)),
        );
    }
    drop(hostile);
    released(gateway, attack.name).await;
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_only_websocket_was_reset_is_closed() {
    let keys = "[listener]\nidle_timeout_ms = 100\nresponse_stall_timeout_ms = 400";
    let fronted = Fronted::with_keys(flood(), Options::default(), keys).await;
    let mut client = Client::http2(fronted.address, &[]).await.unwrap();
    let connect = grpc::headers(&[
        (":method", b"CONNECT"),
        (":protocol", b"websocket"),
        (":scheme", b"http"),
        (":authority", b"a"),
        (":path", b"/v1/gatherings"),
        ("sec-websocket-version", b"13"),
    ]);
    client.play(&[Step::Sync, connect], 1).await.unwrap();
    let is_open = |seen: &Seen| seen.statuses == [(1, "200".to_owned())];
    assert!(client.until(is_open).await.is_some(), "{:?}", client.seen());
    assert!(!client.seen().is_closed);
    client.play(&[grpc::reset(code::CANCEL)], 1).await.unwrap();
    let closed = client.until(|seen| seen.is_closed).await;
    assert!(closed.is_some(), "{:?}", client.seen());
}
