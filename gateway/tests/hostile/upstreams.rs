//! Every script of an upstream: the answer in each protocol, a call beside it, and a call after it.

use std::collections::BTreeSet;

use futures::StreamExt;
use tokio_util::task::AbortOnDropHandle;

use crate::known::{FAULTS, Fault, SPILLS, may_spill};
use crate::protocol::{End, Extra, Method, Outcome, Protocol, call};
use crate::scripts::{Row, all};
use crate::support::{BAD, Fronted, HOLD};

/// Scripts that run at once.
const AT_ONCE: usize = 12;

/// A check that failed: the script, the check and what was found.
type Difference = (String, String, String);

#[tokio::test(flavor = "multi_thread")]
async fn every_script_ends_in_a_right_answer_and_harms_no_other_call() {
    let rows = all();
    let names: BTreeSet<_> = rows.iter().map(|row| &row.name[..]).collect();
    assert_eq!(names.len(), rows.len(), "names are unique");
    let checked = futures::stream::iter(&rows).map(check);
    let found: Vec<Vec<Difference>> = checked.buffered(AT_ONCE).collect().await;
    compare(&found.concat());
}

/// Checks that the differences are the known ones, and prints a table of what is not.
fn compare(found: &[Difference]) {
    let is_own = |check: &str| !check.starts_with("beside") && check != "after";
    let is_known = |script: &str, check: &str| {
        let lists =
            |fault: &Fault| fault.scripts.contains(&script) && fault.checks.contains(&check);
        if is_own(check) {
            FAULTS.iter().any(lists)
        } else {
            SPILLS.contains(&script) || may_spill(script)
        }
    };
    let new = found.iter().filter(|one| !is_known(&one.0, &one.1));
    let mut wrong: Vec<String> = new
        .map(|(script, check, seen)| format!("| {script} | {check} | {seen} |"))
        .collect();
    let mut expect = |script: &str, check: &str, is_found: bool| {
        if !is_found {
            wrong.push(format!("| {script} | {check} | mended: remove it |"));
        }
    };
    for fault in FAULTS {
        for script in fault.scripts {
            for check in fault.checks {
                let is_found = |one: &Difference| one.0 == *script && one.1 == *check;
                expect(script, check, found.iter().any(is_found));
            }
        }
    }
    for script in SPILLS {
        // Whether it is this call or that one is a matter of time.
        let is_found = |one: &Difference| one.0 == *script && !is_own(&one.1);
        expect(script, "beside or after", found.iter().any(is_found));
    }
    assert!(
        wrong.is_empty(),
        "{} differences\n| script | check | found |\n|---|---|---|\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

async fn check(row: &Row) -> Vec<Difference> {
    let fronted = Fronted::start(row.script.clone(), row.options.clone()).await;
    let mut differences = Vec::new();
    for protocol in Protocol::ALL {
        for (method, codes) in [(Method::Put, row.unary), (Method::Watch, row.stream)] {
            let (outcome, beside) = play(&fronted, protocol, method, &row.extra).await;
            let mut note = |check: String, seen: String| {
                differences.push((row.name.clone(), check, seen));
            };
            if !is_allowed(&outcome, codes, row.may_abort) {
                let seen = format!("{outcome}, expected {codes:?}");
                note(format!("{protocol:?} {method:?}"), seen);
            }
            if beside != Outcome::good(HOLD) {
                note(
                    format!("beside {protocol:?} {method:?}"),
                    beside.to_string(),
                );
            }
        }
    }
    let plain = Extra::default();
    let after = call(
        fronted.address,
        Protocol::Grpc,
        Method::Put,
        &["after"],
        &plain,
    )
    .await;
    if after != Outcome::good("after") {
        differences.push((row.name.clone(), "after".to_owned(), after.to_string()));
    }
    differences
}

/// Plays the script while another call waits at the upstream, and returns what came of both.
async fn play(
    fronted: &Fronted,
    protocol: Protocol,
    method: Method,
    extra: &Extra,
) -> (Outcome, Outcome) {
    let gateway = fronted.address;
    fronted.upstream.close_gate();
    let beside = AbortOnDropHandle::new(tokio::spawn(async move {
        let plain = Extra::default();
        call(gateway, Protocol::Grpc, Method::Get, &[HOLD], &plain).await
    }));
    let mut beside = std::pin::pin!(beside);
    // A call that fails before it is held says so by its outcome.
    let early = tokio::select! {
        early = &mut beside => Some(early.unwrap()),
        _ = fronted.upstream.holds(1) => None,
    };
    let outcome = call(gateway, protocol, method, &[BAD], extra).await;
    fronted.upstream.open_gate();
    let beside = match early {
        Some(early) => early,
        None => beside.await.unwrap(),
    };
    (outcome, beside)
}

fn is_allowed(outcome: &Outcome, codes: &[i32], may_abort: bool) -> bool {
    let are_right = outcome.texts.iter().all(|text| text == BAD);
    are_right
        && match outcome.end {
            End::Code(code) => codes.contains(&code),
            End::Aborted => may_abort,
            End::Hung | End::Malformed(_) => false,
        }
}
