use std::sync::atomic::AtomicUsize;

use super::*;

const KIB: usize = 1024;

fn client(last: u8) -> Client {
    Client::at([192, 0, 2, last].into())
}

/// A request of a client that holds so many bytes in all.
fn request(budget: &Budget, last: u8, bytes: usize) -> Result<Holding, Excess> {
    let holding = budget.admit(&client(last), 0)?;
    holding.receive(bytes).map(|()| holding)
}

#[test]
fn a_client_may_hold_what_it_leaves_to_others() {
    let budget = Budget::new(60 * KIB);
    let loud = request(&budget, 1, 30 * KIB).unwrap();
    assert_eq!(loud.receive(KIB), Err(Excess::Client));
    // The next one gets half of the rest.
    let quiet = request(&budget, 2, 15 * KIB).unwrap();
    assert_eq!(
        quiet.receive(KIB),
        Ok(()),
        "it is the turn of the loud one to give"
    );
    assert_eq!(loud.receive(KIB), Err(Excess::Client));
    drop((loud, quiet));
    assert!(request(&budget, 3, 30 * KIB).is_ok());
}

#[test]
fn the_oldest_large_request_of_a_client_ends_for_its_next() {
    let budget = Budget::new(80 * KIB);
    let first = request(&budget, 1, 16 * KIB).unwrap();
    let small = request(&budget, 1, 8 * KIB).unwrap();
    let second = request(&budget, 1, 16 * KIB).unwrap();
    let evicted = |holding: &Holding| holding.0.is_evicted.load(Ordering::Relaxed);
    let third = request(&budget, 1, 8 * KIB).unwrap();
    assert_eq!(
        [&first, &small, &second, &third].map(evicted),
        [true, false, false, false]
    );
    assert_eq!(first.receive(1), Err(Excess::Client));
    // Only its own bytes are left to be released.
    assert_eq!(budget.status().held, (8 + 8 + 16 + 8) * KIB);
    drop((first, small, second, third));
    let status = budget.status();
    assert_eq!(
        (status.held, status.clients, status.refused),
        (0, 0, [1, 0])
    );
}

#[test]
fn many_clients_take_from_the_one_that_holds_most() {
    let budget = Budget::new(200 * KIB);
    let _first = request(&budget, 1, 64 * KIB).unwrap();
    let _second = request(&budget, 2, 60 * KIB).unwrap();
    let third = request(&budget, 3, 45 * KIB).unwrap();
    assert_eq!(budget.status().refused, [0, 1]);
    assert!(!third.0.is_evicted.load(Ordering::Relaxed));
}

#[test]
fn all_that_is_held_is_released_once() {
    let budget = Budget::new(1024 * KIB);
    let held = || budget.status().held / KIB;
    let request = budget.admit(&client(1), 0).unwrap();
    assert_eq!(held(), 8);
    request.receive(8 * KIB).unwrap();
    assert_eq!(held(), 8);
    request.receive(8 * KIB).unwrap();
    assert_eq!(held(), 16);
    request.unread(58 * KIB).unwrap();
    assert_eq!(held(), 66);
    request.read();
    request.sent();
    assert_eq!(held(), 8);
    let mut part = request.part();
    part.set(28 * KIB).unwrap();
    part.set(18 * KIB).unwrap();
    request.receive(18 * KIB).unwrap();
    drop(request);
    assert_eq!(held(), 28, "a part keeps its request");
    assert_eq!(budget.status().clients, 1);
    drop(part);
    assert_eq!((held(), budget.status().clients), (0, 0));
}

#[tokio::test]
async fn an_evicted_request_is_told_and_so_is_its_response() {
    struct Response(AtomicUsize);
    impl Evict for Response {
        fn evict(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let budget = Budget::new(40 * KIB);
    let first = request(&budget, 1, 16 * KIB).unwrap();
    let response = Arc::new(Response(AtomicUsize::new(0)));
    let weak: Weak<dyn Evict> = Arc::downgrade(&response) as _;
    first.answer(weak);
    let mut work = Box::pin(first.run(std::future::pending::<()>()));
    assert!(futures::poll!(&mut work).is_pending());
    let _second = request(&budget, 1, 12 * KIB).unwrap();
    assert_eq!(work.await, Err(Excess::Client));
    assert_eq!(response.0.load(Ordering::Relaxed), 1);
}
