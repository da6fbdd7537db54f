//! Simulations of overload on a paused clock: a server of known capacity that ignores cancellation.

use std::time::Duration;

use contract::Criticality;
use futures::FutureExt;
use tokio::task::yield_now;
use tokio::time::{Instant, advance};

use self::simulation::{Load, Server, Summary, client, run};
use crate::{AdmissionSettings, Client, Limiter, Refusal, Request};

mod simulation;

const SLOTS: usize = 32;
const SERVICE: Duration = Duration::from_millis(50);
/// The capacity of the server, in calls per second.
const CAPACITY: f64 = 640.0;
const WARM_UP: Duration = Duration::from_secs(4);

fn limiter() -> Limiter {
    Limiter::new(&AdmissionSettings::default())
}

async fn overload(rates: &[f64]) -> Vec<Summary> {
    let (limiter, server) = (limiter(), Server::new(SLOTS));
    let load = |(number, rate): (usize, &f64)| Load {
        client: client(number),
        rate: *rate,
        service: SERVICE,
        patience: Duration::from_secs(1),
    };
    let loads: Vec<_> = rates.iter().enumerate().map(load).collect();
    run(&limiter, &server, &loads, WARM_UP).await;
    run(&limiter, &server, &loads, Duration::from_secs(10)).await
}

fn goodput(summaries: &[Summary], time: Duration) -> f64 {
    let good: usize = summaries.iter().map(|summary| summary.good).sum();
    good as f64 / time.as_secs_f64() / CAPACITY
}

#[tokio::test(start_paused = true)]
async fn goodput_stays_near_the_capacity() {
    for load in [1.5, 3.0, 10.0] {
        let summaries = overload(&[load * CAPACITY]).await;
        let goodput = goodput(&summaries, Duration::from_secs(10));
        let p99 = summaries[0].percentile(0.99).as_secs_f64() / SERVICE.as_secs_f64();
        println!("{load}x: goodput {goodput:.3}, p99 {p99:.2} x unloaded");
        assert!(goodput >= 0.95, "{load}x: {goodput:.3}");
        assert!(p99 <= 3.0, "{load}x: {p99:.2}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_is_not_drowned_before_its_limit_is_known() {
    let service = Duration::from_millis(200);
    for load in [1.5, 3.0, 10.0] {
        let (limiter, server) = (limiter(), Server::new(SLOTS / 2));
        let capacity = SLOTS as f64 / 2.0 / service.as_secs_f64();
        let loads = [Load {
            client: client(0),
            rate: load * capacity,
            service,
            patience: service * 10,
        }];
        for time in [4, 10] {
            let time = Duration::from_secs(time);
            let summary = &run(&limiter, &server, &loads, time).await[0];
            let goodput = summary.good as f64 / time.as_secs_f64() / capacity;
            println!(
                "{load}x in {time:?}: {goodput:.3}, {:?}",
                summary.percentile(0.99)
            );
            let least = if time.as_secs() < 5 { 0.85 } else { 0.9 };
            assert!(goodput >= least, "{load}x in {time:?}: {goodput:.3}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_loud_clients_are_as_one() {
    let summaries = overload(&[CAPACITY * 0.375; 8]).await;
    let goodput = goodput(&summaries, Duration::from_secs(10));
    assert!(goodput >= 0.95, "{goodput:.3}");
    for summary in &summaries {
        let p99 = summary.percentile(0.99).as_secs_f64() / SERVICE.as_secs_f64();
        let share = summary.good as f64 / 10.0 / CAPACITY;
        println!("share {share:.3}, p99 {p99:.2}");
        assert!(p99 <= 3.0, "{p99:.2}");
        assert!((0.1..=0.15).contains(&share), "{share:.3}");
    }
}

#[tokio::test(start_paused = true)]
async fn quiet_clients_are_answered() {
    for load in [1.5, 3.0, 10.0] {
        let summaries = overload(&[load * CAPACITY, 20.0, 100.0]).await;
        for quiet in &summaries[1..] {
            let answered = quiet.good as f64 / quiet.sent as f64;
            println!(
                "{load}x: answered {answered:.4}, p99 {:?}",
                quiet.percentile(0.99)
            );
            assert!(
                answered >= 0.995,
                "{load}x: {answered:.4} of {}",
                quiet.sent
            );
        }
        let goodput = goodput(&summaries, Duration::from_secs(10));
        assert!(goodput >= 0.95, "{load}x: {goodput:.3}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_recovers_within_a_second() {
    let (limiter, server) = (limiter(), Server::new(SLOTS));
    let load = |rate| Load {
        client: client(0),
        rate,
        service: SERVICE,
        patience: Duration::from_secs(1),
    };
    run(&limiter, &server, &[load(10.0 * CAPACITY)], WARM_UP).await;
    run(
        &limiter,
        &server,
        &[load(0.5 * CAPACITY)],
        Duration::from_secs(1),
    )
    .await;
    let after = run(
        &limiter,
        &server,
        &[load(0.5 * CAPACITY)],
        Duration::from_secs(5),
    )
    .await;
    assert_eq!(after[0].good, after[0].sent);
    assert!(after[0].percentile(0.99) <= SERVICE * 2);
}

#[tokio::test(start_paused = true)]
async fn the_limit_follows_the_capacity() {
    let (limiter, server) = (limiter(), Server::new(SLOTS));
    let load = [Load {
        client: client(0),
        rate: 6.0 * CAPACITY,
        service: SERVICE,
        patience: Duration::from_secs(1),
    }];
    run(&limiter, &server, &load, WARM_UP).await;
    for slots in [SLOTS / 2, SLOTS, SLOTS * 2, SLOTS] {
        server.resize(slots);
        run(&limiter, &server, &load, Duration::from_secs(5)).await;
        let after = run(&limiter, &server, &load, Duration::from_secs(5)).await;
        let capacity = CAPACITY * slots as f64 / SLOTS as f64;
        let goodput = after[0].good as f64 / 5.0 / capacity;
        let status = limiter.status().unwrap();
        println!(
            "{slots} slots: goodput {goodput:.3}, limit {}",
            status.limit
        );
        assert!(goodput >= 0.95, "{slots}: {goodput:.3}");
        let ratio = status.limit as f64 / slots as f64;
        assert!((0.95..=1.25).contains(&ratio), "{slots}: {ratio:.2}");
    }
}

#[tokio::test(start_paused = true)]
async fn short_and_long_calls_get_equal_slot_time() {
    let (limiter, server) = (limiter(), Server::new(SLOTS));
    let load = |number, rate, service| Load {
        client: client(number),
        rate,
        service: Duration::from_millis(service),
        patience: Duration::from_secs(1),
    };
    let loads = [load(0, 30_000.0, 1), load(1, 2_000.0, 50)];
    run(&limiter, &server, &loads, WARM_UP).await;
    let summaries = run(&limiter, &server, &loads, Duration::from_secs(3)).await;
    let [short, long] = [&summaries[0], &summaries[1]].map(|summary| summary.slot_time);
    let part = short.as_secs_f64() / (short + long).as_secs_f64();
    println!(
        "slot time of the short calls {part:.3}, {:?}",
        limiter.status()
    );
    assert!((0.4..=0.6).contains(&part), "{part:.3}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_sheds_load_itself_is_followed() {
    let (limiter, server) = (limiter(), Server::new(SLOTS).shedding());
    let load = [Load {
        client: client(0),
        rate: 3.0 * CAPACITY,
        service: SERVICE,
        patience: Duration::from_secs(1),
    }];
    run(&limiter, &server, &load, WARM_UP).await;
    let after = run(&limiter, &server, &load, Duration::from_secs(5)).await;
    let goodput = goodput(&after, Duration::from_secs(5));
    println!("goodput {goodput:.3}, {:?}", limiter.status());
    assert!(goodput >= 0.85, "{goodput:.3}");
}

#[tokio::test(start_paused = true)]
async fn errors_that_load_does_not_cause_leave_the_limit() {
    let limiter = limiter();
    let before = limiter.status().unwrap().limit;
    for _ in 0..200 {
        let permit = limiter.admit(&Request::default()).await.unwrap();
        advance(Duration::from_millis(1)).await;
        permit.answered(true);
    }
    // No more than what is in flight is known to be too much.
    assert!(limiter.status().unwrap().limit <= before);
    let server = Server::new(SLOTS);
    let load = [Load {
        client: client(0),
        rate: 0.9 * CAPACITY,
        service: SERVICE,
        patience: Duration::from_secs(1),
    }];
    run(&limiter, &server, &load, Duration::from_secs(5)).await;
    let after = run(&limiter, &server, &load, Duration::from_secs(2)).await;
    assert!(after[0].good as f64 >= 0.99 * after[0].sent as f64);
}

fn small(limit: usize, max_queue: usize) -> Limiter {
    Limiter::new(&AdmissionSettings {
        initial_limit: limit,
        min_limit: 1,
        max_queue,
        ..AdmissionSettings::default()
    })
}

/// Fills a limiter of one slot, its reserve included, by a client whose calls take 100 ms.
async fn busy(limiter: &Limiter) -> Vec<crate::Permit> {
    let request = Request {
        client: client(9),
        ..Request::default()
    };
    let permit = limiter.admit(&request).await.unwrap();
    advance(Duration::from_millis(100)).await;
    permit.answered(false);
    let mut permits = Vec::new();
    while let Some(permit) = limiter.admit(&request).now_or_never() {
        permits.push(permit.unwrap());
    }
    permits
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_be_in_time_is_rejected_at_once() {
    let limiter = small(1, 10);
    let _permits = busy(&limiter).await;
    let request = Request {
        client: client(9),
        deadline: Some(Instant::now() + Duration::from_millis(90)),
        ..Request::default()
    };
    let refusal = limiter.admit(&request).now_or_never().unwrap();
    assert_eq!(refusal.err(), Some(Refusal::TooLate));
}

#[tokio::test(start_paused = true)]
async fn a_queue_has_a_bound_and_a_critical_call_the_last_place() {
    let limiter = small(1, 2);
    let mut permits = busy(&limiter).await;
    let request = |criticality| Request {
        client: client(9),
        criticality,
        ..Request::default()
    };
    let normal = request(Criticality::Normal);
    let sheddable = request(Criticality::Sheddable);
    let critical = request(Criticality::Critical);
    let mut normal = Box::pin(limiter.admit(&normal));
    let mut sheddable = Box::pin(limiter.admit(&sheddable));
    let mut critical = Box::pin(limiter.admit(&critical));
    assert!(futures::poll!(&mut normal).is_pending());
    assert!(futures::poll!(&mut sheddable).is_pending());
    assert!(futures::poll!(&mut critical).is_pending());
    let refused = sheddable.now_or_never().unwrap();
    assert_eq!(refused.err(), Some(Refusal::Overloaded));
    while let Some(permit) = permits.pop() {
        permit.answered(false);
    }
    // It is first although it came last.
    let critical = critical.now_or_never().unwrap().unwrap();
    assert!(futures::poll!(&mut normal).is_pending());
    critical.answered(false);
    drop(normal.now_or_never().unwrap());
    assert_eq!(limiter.status().unwrap().queued, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_keeps_its_slot_for_its_expected_time() {
    let limiter = small(4, 10);
    let permits = busy(&limiter).await;
    let in_flight = permits.len();
    drop(permits);
    yield_now().await;
    advance(Duration::from_millis(120)).await;
    assert_eq!(limiter.status().unwrap().in_flight, in_flight);
    advance(Duration::from_millis(10)).await;
    yield_now().await;
    assert_eq!(limiter.status().unwrap().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_that_is_given_up_leaves_the_queue() {
    let limiter = small(1, 10);
    let permits = busy(&limiter).await;
    let request = Request {
        client: client(9),
        ..Request::default()
    };
    let mut waiting = Box::pin(limiter.admit(&request));
    assert!(futures::poll!(&mut waiting).is_pending());
    // Admitted and dropped in the same moment.
    permits
        .into_iter()
        .for_each(|permit| permit.answered(false));
    drop(waiting);
    let status = limiter.status().unwrap();
    assert_eq!((status.in_flight, status.queued), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_ever_do_not_lock_others_out() {
    let limiter = small(16, 10);
    let _hung = busy(&limiter).await;
    // Another client uses the reserve at once.
    let other = Request {
        client: client(1),
        ..Request::default()
    };
    let permit = limiter.admit(&other).now_or_never();
    permit.unwrap().unwrap().answered(false);
    // After a time, calls without an answer are no load.
    advance(Duration::from_secs(11)).await;
    let request = Request {
        client: Client::Unknown,
        ..Request::default()
    };
    for _ in 0..16 {
        std::mem::forget(limiter.admit(&request).now_or_never().unwrap().unwrap());
    }
}
