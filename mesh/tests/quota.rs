//! Limits that processes share, on a real Valkey that is killed, wiped, slow and away.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of tests may panic as a test may"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the size of the run is a choice of its caller"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use contract::{CountedBy, RateLimit, WhenAway};
use mesh::{Home, Stack, StackOptions, StateDir, Ui};
use quota::{Clock, Limit, Limiter, Outcome, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use valkey::{Valkey, redis};

const PATIENCE: Duration = Duration::from_secs(30);
/// Calls of the long test; `QUOTA_CALLS=200000` for a full run.
const CALLS: u64 = 40_000;

async fn store() -> Stack {
    let home = Home::find().unwrap();
    let options = StackOptions::new(&home).unwrap();
    let options = options.only(["valkey"]).unwrap();
    let state_dir = StateDir::scratch(&home).unwrap();
    Stack::launch(&home, state_dir, options, Ui::Quiet)
        .await
        .unwrap()
}

/// A process that counts, with its own connection.
struct Counting {
    limiter: Limiter,
    valkey: Valkey,
    tasks: JoinSet<()>,
}

impl Counting {
    fn start(url: &str, response_timeout_ms: u64) -> Self {
        let settings = valkey::Settings {
            url: url.to_owned(),
            response_timeout_ms,
            ..valkey::Settings::default()
        };
        let (valkey, connector) = Valkey::new(&settings).unwrap();
        // Long enough for a busy machine to settle leases before they end.
        let settings = Settings {
            lease_ms: 4000,
            ..Settings::default()
        };
        let limiter = Limiter::new(&settings, Some(valkey.clone()), Clock::system());
        let mut tasks = JoinSet::new();
        tasks.spawn(connector.run(CancellationToken::new()));
        let settling = limiter.clone();
        tasks.spawn(async move { settling.settle(CancellationToken::new()).await });
        Self {
            limiter,
            valkey,
            tasks,
        }
    }

    async fn ready(url: &str) -> Self {
        Self::patient(url, 2000).await
    }

    async fn patient(url: &str, response_timeout_ms: u64) -> Self {
        let counting = Self::start(url, response_timeout_ms);
        let available = counting.valkey.available();
        tokio::time::timeout(PATIENCE, available).await.unwrap();
        counting
    }

    /// As `kill -9`: nothing is settled any more.
    async fn kill(&mut self) {
        self.tasks.shutdown().await;
    }
}

fn limit(requests: u64, period: Duration, burst: u64, when_away: WhenAway) -> Limit {
    Limit::new(&RateLimit {
        name: "test".into(),
        by: CountedBy::Caller,
        requests,
        period,
        is_window: false,
        burst,
        cost: 1,
        when_away,
    })
}

const DAY: Duration = Duration::from_secs(86_400);

/// Two processes, one quota: one process is killed, then the store. Nothing is lost but what the
/// bound says, and nothing that is left is refused for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_and_a_killed_store_stay_within_the_bound() {
    let calls = std::env::var("QUOTA_CALLS").map_or(CALLS, |calls| calls.parse().unwrap());
    let quota = calls / 4;
    let stack = store().await;
    let url = stack.valkey_url("operator").unwrap();
    let (mut one, two) = (Counting::ready(&url).await, Counting::ready(&url).await);
    let limit = Arc::new(limit(1, DAY, quota, WhenAway::Closed));
    let (admitted, refused, away) = <(AtomicU64, AtomicU64, AtomicU64)>::default();
    let counts = Arc::new((admitted, refused, away));
    let dead = CancellationToken::new();
    let mut callers = JoinSet::new();
    for caller in 0..200_u64 {
        let (limiters, counts) = ([one.limiter.clone(), two.limiter.clone()], counts.clone());
        let (limit, dead, alive) = (limit.clone(), dead.clone(), two.valkey.clone());
        callers.spawn(async move {
            let mut left = calls / 200;
            while left > 0 {
                let of_one = caller % 2 == 0 && !dead.is_cancelled();
                let limiter = &limiters[usize::from(!of_one)];
                match limiter.charge(&limit, "alice", 1).await {
                    Outcome::Admitted(_) => counts.0.fetch_add(1, Ordering::Relaxed),
                    Outcome::Refused(..) => counts.1.fetch_add(1, Ordering::Relaxed),
                    Outcome::Unavailable => {
                        counts.2.fetch_add(1, Ordering::Relaxed);
                        alive.available().await;
                        tokio::task::yield_now().await;
                        continue;
                    }
                };
                left -= 1;
                tokio::task::yield_now().await;
            }
        });
    }
    reached(&counts.0, quota / 4).await;
    dead.cancel();
    one.kill().await;
    reached(&counts.0, quota / 2).await;
    let life = stack.kill("valkey").unwrap();
    stack.revived("valkey", &life).await.unwrap();
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    // What the dead process held is back after its lease; then all has been given out.
    let deadline = Instant::now() + PATIENCE;
    while counts.0.load(Ordering::Relaxed) < quota {
        assert!(
            Instant::now() < deadline,
            "units are missing: {counts:?} of {quota}"
        );
        match two.limiter.charge(&limit, "alice", 1).await {
            Outcome::Admitted(_) => drop(counts.0.fetch_add(1, Ordering::Relaxed)),
            _ => tokio::task::yield_now().await,
        }
    }
    let admitted = counts.0.load(Ordering::Relaxed);
    // One lease of the dead process, and one of each that lost the store.
    let bound = quota + 3 * limit.rule().max_lease();
    println!("{calls} calls, quota {quota}: {counts:?} (admitted, refused, away), bound {bound}");
    assert!(
        (quota..=bound).contains(&admitted),
        "{admitted} of {quota}, bound {bound}"
    );
}

async fn reached(count: &AtomicU64, least: u64) {
    let deadline = Instant::now() + PATIENCE;
    while count.load(Ordering::Relaxed) < least {
        assert!(Instant::now() < deadline, "{count:?} of {least}");
        tokio::task::yield_now().await;
    }
}

/// Without faults, not one unit too many or too few.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_live_share_a_quota_exactly() {
    let stack = store().await;
    let url = stack.valkey_url("operator").unwrap();
    let (one, two) = (Counting::ready(&url).await, Counting::ready(&url).await);
    let limit = limit(1, DAY, 1000, WhenAway::Closed);
    let mut admitted = 0;
    let deadline = Instant::now() + PATIENCE;
    // Leases return when they are not spent: in the end all units are given out.
    while admitted < 1000 {
        assert!(Instant::now() < deadline, "{admitted}");
        for limiter in [&one.limiter, &two.limiter] {
            let outcome = limiter.charge(&limit, "bob", 1).await;
            admitted += u64::from(matches!(outcome, Outcome::Admitted(_)));
        }
    }
    for limiter in [&one.limiter, &two.limiter] {
        let outcome = limiter.charge(&limit, "bob", 1).await;
        assert!(matches!(outcome, Outcome::Refused(..)), "{outcome:?}");
        let other = limiter.charge(&limit, "carol", 1).await;
        assert!(matches!(other, Outcome::Admitted(_)), "{other:?}");
    }
    assert_eq!(admitted, 1000);
}

/// A lease is spent without a round trip, and so is a refusal.
#[tokio::test(flavor = "multi_thread")]
async fn leases_and_refusals_cost_no_round_trip() {
    let stack = store().await;
    let url = stack.valkey_url("operator").unwrap();
    let counting = Counting::ready(&url).await;
    let limit = limit(1, DAY, 10_000, WhenAway::Closed);
    let before = evaluations(&counting.valkey).await;
    let mut outcome = Outcome::Unavailable;
    for _ in 0..20_000 {
        outcome = counting.limiter.charge(&limit, "dave", 1).await;
    }
    assert!(matches!(outcome, Outcome::Refused(..)), "{outcome:?}");
    let asked = evaluations(&counting.valkey).await - before;
    assert!(asked < 500, "{asked} round trips for 20,000 requests");
}

async fn evaluations(valkey: &Valkey) -> u64 {
    let mut info = redis::cmd("INFO");
    info.arg("commandstats");
    let text: String = valkey.query(&info).await.unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    let calls = line.and_then(|line| line.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

/// A store that lost its data gives a limit anew, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_store_gives_the_limit_once_more() {
    let stack = store().await;
    let url = stack.valkey_url("operator").unwrap();
    let counting = Counting::ready(&url).await;
    let limit = limit(1, DAY, 100, WhenAway::Closed);
    let mut admitted = 0;
    let drain = async |admitted: &mut u64| {
        let mut refused = 0;
        while refused < 1000 {
            match counting.limiter.charge(&limit, "erin", 1).await {
                Outcome::Admitted(_) => *admitted += 1,
                _ => refused += 1,
            }
        }
    };
    drain(&mut admitted).await;
    assert_eq!(admitted, 100);
    let wiped: String = counting
        .valkey
        .query(&redis::cmd("FLUSHALL"))
        .await
        .unwrap();
    assert_eq!(wiped, "OK");
    let deadline = Instant::now() + PATIENCE;
    while admitted < 200 {
        assert!(Instant::now() < deadline, "{admitted}");
        drain(&mut admitted).await;
    }
    assert_eq!(admitted, 200);
}

/// Passes bytes on, after a delay that may be set.
struct SlowProxy {
    address: SocketAddr,
    delay_ms: Arc<AtomicU64>,
    _serving: JoinHandle<()>,
}

impl SlowProxy {
    async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, delay_ms) = (listener.local_addr().unwrap(), Arc::<AtomicU64>::default());
        let delay = delay_ms.clone();
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(target).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, Arc::default()));
                tokio::spawn(pass(from_server, to_client, delay.clone()));
            }
        });
        Self {
            address,
            delay_ms,
            _serving: serving,
        }
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    delay_ms: Arc<AtomicU64>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        // The delay is the fault under test, and no wait for a condition.
        let delay = Duration::from_millis(delay_ms.load(Ordering::Relaxed));
        tokio::time::sleep_until(tokio::time::Instant::now() + delay).await;
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// A slow store costs three requests its time-out each; the others nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_store_is_not_waited_for_and_comes_back() {
    let stack = store().await;
    let proxy = SlowProxy::before(stack.address("valkey").unwrap()).await;
    let url = stack.valkey_url("operator").unwrap();
    let (user, _) = url.split_once('@').unwrap();
    let counting = Counting::patient(&format!("{user}@{}", proxy.address), 50).await;
    let limit = limit(1, DAY, 1_000_000, WhenAway::Open);
    let ask = async |subject: u32| {
        let begun = Instant::now();
        let outcome = counting
            .limiter
            .charge(&limit, &subject.to_string(), 1)
            .await;
        assert!(matches!(outcome, Outcome::Admitted(_)), "{outcome:?}");
        begun.elapsed()
    };
    ask(0).await;
    proxy.delay_ms.store(2000, Ordering::Relaxed);
    let mut waited = Duration::ZERO;
    for subject in 1..200 {
        waited += ask(subject).await;
    }
    // Three time-outs of 50 ms, with room for a busy machine; one answer would take 2 s.
    assert!(waited < Duration::from_millis(1500), "{waited:?}");
    assert!(!counting.valkey.is_available());
    proxy.delay_ms.store(0, Ordering::Relaxed);
    let available = counting.valkey.available();
    tokio::time::timeout(PATIENCE, available).await.unwrap();
    ask(200).await;
}
