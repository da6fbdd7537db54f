//! Many bad calls beside many good ones, on one upstream: neither breaker nor ejection counts what
//! one caller provoked.

use futures::future::join_all;
use hostile::{Options, Script, Step, code, grpc};

use crate::known::{CROWD_FAULTS, CROWD_RACES};
use crate::protocol::{Extra, Method, Outcome, Protocol, call};
use crate::support::{BAD, Fronted, answer, response};

/// Bad calls in all, and good ones beside each. Faults of a connection or an answer take fewer,
/// though more than `break_after`.
const BAD_CALLS: usize = 200;
const FEWER: usize = 30;
const GOOD_CALLS: usize = 6;
/// Good calls that may fail, of 1,200.
const FAILED_MAX: usize = 1;

#[tokio::test(flavor = "multi_thread")]
async fn bad_calls_cost_no_good_one() {
    let illegal = [grpc::HEAD, &[("x", b"a\x11b".as_slice())]].concat();
    let scripts: [(&str, Script); 8] = [
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
            "illegal value in trailers",
            vec![
                grpc::headers(grpc::HEAD),
                grpc::data(&grpc::message(&response(BAD))),
                grpc::last_headers(&[grpc::TRAILERS, &[("x", b"a\nb".as_slice())]].concat()),
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
        let is_illegal = name.starts_with("illegal value in");
        let (failed, total) = crowd(script, if is_illegal { BAD_CALLS } else { FEWER }).await;
        if failed > FAILED_MAX && !CROWD_RACES.contains(&name) {
            wrong.push((name, format!("{failed} of {total} good calls failed")));
        }
    }
    let names: Vec<_> = wrong.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, CROWD_FAULTS, "{wrong:#?}");
    let fine = crowd(answer(BAD), FEWER).await.0;
    assert_eq!(fine, 0);
}

/// Returns how many good calls failed, and how many there were.
async fn crowd(script: Script, bad_calls: usize) -> (usize, usize) {
    let fronted = Fronted::start(script, Options::default()).await;
    let gateway = fronted.address;
    let plain = Extra::default();
    let mut failed = 0;
    for at in 0..bad_calls {
        let method = [Method::Put, Method::Get, Method::Watch][at % 3];
        let bad = call(gateway, Protocol::ALL[at % 5], method, &[BAD], &plain);
        let good = (0..GOOD_CALLS).map(|_| {
            let protocol = Protocol::ALL[at % 4];
            // Only the first may be sent again.
            let method = [Method::Get, Method::Put][at / 4 % 2];
            call(gateway, protocol, method, &["good"], &plain)
        });
        let (_, good) = tokio::join!(bad, join_all(good));
        failed += good
            .iter()
            .filter(|outcome| **outcome != Outcome::good("good"))
            .count();
    }
    (failed, bad_calls * GOOD_CALLS)
}
