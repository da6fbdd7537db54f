use std::collections::HashSet;
use std::sync::Mutex;

use ::wire::Reader;
use rpc::error::Fault;

use super::*;
use crate::source::tests::{BATCHED, compiled, mapped};

/// A service that refuses some records, and remembers what it has accepted.
struct Service<'a> {
    refuses: &'a [&'a str],
    /// Whether it names the rows that it refuses.
    names: bool,
    /// Answers before the first honest one.
    first: Mutex<Vec<Status>>,
    accepted: Mutex<Vec<String>>,
    calls: Mutex<Vec<(usize, bool)>>,
}

impl<'a> Service<'a> {
    fn new(refuses: &'a [&'a str], names: bool) -> Self {
        Self {
            refuses,
            names,
            first: Mutex::default(),
            accepted: Mutex::default(),
            calls: Mutex::default(),
        }
    }

    fn failing(self, statuses: impl IntoIterator<Item = Status>) -> Self {
        *self.first.lock().unwrap() = statuses.into_iter().collect();
        self
    }

    fn accepted(&self) -> Vec<String> {
        self.accepted.lock().unwrap().clone()
    }

    fn calls(&self) -> Vec<(usize, bool)> {
        self.calls.lock().unwrap().clone()
    }
}

impl Send for &Service<'_> {
    async fn send(&self, request: Bytes) -> Result<(), Status> {
        if let Some(status) = self.first.lock().unwrap().pop() {
            return Err(status);
        }
        let (skus, ends) = read(&request);
        self.calls.lock().unwrap().push((skus.len(), ends));
        let bad: Vec<usize> = (0..skus.len())
            .filter(|at| self.refuses.contains(&&*skus[*at]))
            .collect();
        if bad.is_empty() {
            self.accepted.lock().unwrap().extend(skus);
            return Ok(());
        }
        let mut fault = Fault::invalid_argument("SKU_UNKNOWN", "unknown sku");
        if self.names {
            for at in bad {
                fault = fault.violation(format!("countRows[{at}].sku"), "unknown sku");
            }
        }
        Err(fault.into())
    }
}

/// Returns the SKUs of a request, and whether it says that the unit ends.
fn read(request: &[u8]) -> (Vec<String>, bool) {
    let (mut skus, mut ends) = (Vec::new(), false);
    let mut reader = Reader::new(request);
    while let Some((number, wire_type)) = reader.tag().unwrap() {
        match number {
            2 => {
                let mut row = Reader::new(reader.delimited().unwrap());
                while let Some((number, wire_type)) = row.tag().unwrap() {
                    match number {
                        2 => {
                            skus.push(String::from_utf8(row.delimited().unwrap().to_vec()).unwrap())
                        }
                        _ => row.skip(number, wire_type).unwrap(),
                    }
                }
            }
            3 => ends = reader.varint().unwrap() == 1,
            _ => reader.skip(number, wire_type).unwrap(),
        }
    }
    (skus, ends)
}

async fn deliver(
    source: &Source,
    service: &Service<'_>,
    skus: &[&str],
    ends: bool,
) -> Result<Vec<Refused>, Halt> {
    let rows: String = skus.iter().map(|sku| format!("{sku},1\n")).collect();
    let messages = mapped(source, &format!("sku,quantity\n{rows}"));
    let messages: Vec<Message> = messages.into_iter().map(Result::unwrap).collect();
    let origin = Origin {
        source: "stock",
        unit: "u",
    };
    let cancelled = CancellationToken::new();
    let delivery = Delivery {
        source,
        origin: &origin,
        calls: service,
        cancelled: &cancelled,
        patience: None,
    };
    delivery.deliver(&messages, ends).await
}

const SKUS: [&str; 8] = ["A", "B", "C", "D", "E", "F", "G", "H"];

fn indexes(refused: &[Refused]) -> Vec<usize> {
    refused.iter().map(|refused| refused.index).collect()
}

#[tokio::test(start_paused = true)]
async fn bad_records_are_found_without_details() {
    let source = compiled(BATCHED).unwrap();
    for refuses in [&["A"][..], &["C", "D"], &["A", "H"], &["H"], &SKUS] {
        let service = Service::new(refuses, false);
        let refused = deliver(&source, &service, &SKUS, true).await.unwrap();
        let bad: HashSet<&str> = refused.iter().map(|own| SKUS[own.index]).collect();
        assert_eq!(bad, refuses.iter().copied().collect());
        assert!(refused.iter().all(|own| own.reason.rule == "SKU_UNKNOWN"));
        let good: Vec<&str> = SKUS.into_iter().filter(|sku| !bad.contains(sku)).collect();
        // Each once, and in order.
        assert_eq!(service.accepted(), good);
        // The end is told once, whichever records are refused.
        let ends = service.calls().iter().filter(|(_, ends)| *ends).count();
        assert!(ends >= 1, "{:?}", service.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_a_service_names_are_left_out_at_once() {
    let source = compiled(BATCHED).unwrap();
    let service = Service::new(&["B", "G"], true);
    let refused = deliver(&source, &service, &SKUS, false).await.unwrap();
    assert_eq!(indexes(&refused), [1, 6]);
    assert_eq!(refused[0].reason.column, "sku");
    assert_eq!(service.calls(), [(8, false), (6, false)]);
}

#[tokio::test(start_paused = true)]
async fn the_end_is_told_although_the_last_records_are_refused() {
    let source = compiled(BATCHED).unwrap();
    let service = Service::new(&["G", "H"], false);
    deliver(&source, &service, &["G", "H"], true).await.unwrap();
    assert_eq!(service.calls().last(), Some(&(0, true)));
    // No record is left of the last chunk.
    let service = Service::new(&[], false);
    deliver(&source, &service, &[], true).await.unwrap();
    assert_eq!(service.calls(), [(0, true)]);
    let service = Service::new(&[], false);
    deliver(&source, &service, &[], false).await.unwrap();
    assert!(service.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_for() {
    let source = compiled(BATCHED).unwrap();
    let statuses = (0..100).map(|_| Status::unavailable("away"));
    let service = Service::new(&[], false).failing(statuses);
    let refused = deliver(&source, &service, &SKUS, false).await.unwrap();
    assert!(refused.is_empty());
    assert_eq!(service.accepted(), SKUS);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_breaks_the_service_is_refused_after_some_attempts() {
    let source = compiled(BATCHED).unwrap();
    let statuses = (0..ATTEMPTS).map(|_| Status::internal("panicked"));
    let service = Service::new(&[], false).failing(statuses);
    let refused = deliver(&source, &service, &["A"], false).await.unwrap();
    assert_eq!(refused[0].reason.rule, "INTERNAL");
    // A service that was ill for a moment refuses nothing.
    let statuses = (1..ATTEMPTS).map(|_| Status::internal("panicked"));
    let service = Service::new(&[], false).failing(statuses);
    let refused = deliver(&source, &service, &["A"], false).await.unwrap();
    assert!(refused.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_may_not_call_is_stopped_and_no_record_refused() {
    let source = compiled(BATCHED).unwrap();
    for status in [
        Status::permission_denied("no role"),
        Status::unauthenticated("no token"),
        Status::unimplemented("no method"),
    ] {
        let service = Service::new(&[], false).failing([status.clone()]);
        let halt = deliver(&source, &service, &SKUS, false).await.unwrap_err();
        let Halt::Fatal(reason) = halt else {
            panic!("{halt:?}");
        };
        assert!(reason.contains(status.message()), "{reason}");
    }
}
