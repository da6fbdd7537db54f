//! Many bad calls beside many good ones, on one upstream: neither breaker nor ejection counts what
//! one caller provoked.

use futures::future::join_all;
use hostile::{Options, Script, Step, code, grpc};

use crate::known::{CROWD_FAULTS, CROWD_RACES};
use crate::protocol::{Extra, Method, Outcome, Protocol, call};
use crate::support::{BAD, Fronted, answer};

/// Bad calls in all, more than `break_after`, and good ones beside each.
const BAD_CALLS: usize = 30;
const GOOD_CALLS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn bad_calls_cost_no_good_one() {
    let illegal = [grpc::HEAD, &[("x", b"a\x11b".as_slice())]].concat();
    let scripts: [(&str, Script); 7] = [
        (
            "illegal value in the head",
            vec![grpc::headers(&illegal), grpc::last_headers(grpc::TRAILERS)],
        ),
        (
            "capital in a name",
            vec![
                grpc::headers(&[grpc::HEAD, &[("X-A", b"b".as_slice())]].concat()),
                grpc::last_headers(grpc::TRAILERS),
            ],
        ),
        (
            "no status",
            vec![grpc::last_headers(&[("grpc-status", b"0")])],
        ),
        ("reset", vec![grpc::reset(code::INTERNAL_ERROR)]),
        ("refused", vec![grpc::reset(code::REFUSED_STREAM)]),
        ("UNAVAILABLE", grpc::error("14", "no")),
        ("closed", vec![Step::Close]),
    ];
    let mut wrong = Vec::new();
    for (name, script) in scripts {
        let (failed, total) = crowd(script).await;
        if failed > 0 && !CROWD_RACES.contains(&name) {
            wrong.push((name, format!("{failed} of {total} good calls failed")));
        }
    }
    let names: Vec<_> = wrong.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, CROWD_FAULTS, "{wrong:#?}");
    let fine = crowd(answer(BAD)).await.0;
    assert_eq!(fine, 0);
}

/// Returns how many good calls failed, and how many there were.
async fn crowd(script: Script) -> (usize, usize) {
    let fronted = Fronted::start(script, Options::default()).await;
    let gateway = fronted.address;
    let plain = Extra::default();
    let mut failed = 0;
    for at in 0..BAD_CALLS {
        let bad = call(gateway, Protocol::Rest, Method::Put, &[BAD], &plain);
        let good = (0..GOOD_CALLS).map(|_| {
            let protocol = Protocol::ALL[at % 4];
            call(gateway, protocol, Method::Get, &["good"], &plain)
        });
        let (_, good) = tokio::join!(bad, join_all(good));
        failed += good
            .iter()
            .filter(|outcome| **outcome != Outcome::good("good"))
            .count();
    }
    (failed, BAD_CALLS * GOOD_CALLS)
}
