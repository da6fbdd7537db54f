//! The endpoints of one version of an upstream: found by configuration or DNS, watched, and picked by load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::join_all;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::endpoint::Endpoint;
use crate::endpoint::connection::Target;
use crate::failure::Failure;
use crate::settings::ClientSettings;
use crate::settings::address::Address;
use crate::tls::Tls;

mod health;

/// Addresses that one upstream may have; further ones of a DNS answer are left out.
const ENDPOINTS_MAX: usize = 1000;

/// After a failed resolution, at most the configured interval.
const RESOLVE_PAUSE: Duration = Duration::from_secs(1);

/// Shared by the calls and by the tasks that keep it up to date, which end with it.
pub(crate) struct Cluster {
    members: Arc<Members>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

struct Members {
    name: String,
    addresses: Vec<Address>,
    tls: Option<Tls>,
    settings: Arc<ClientSettings>,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    /// What the last resolution came to; `None` before the first has ended.
    resolved: watch::Sender<Option<Result<(), String>>>,
}

impl Cluster {
    /// Needs a tokio runtime around it if a name has to be resolved or health checked.
    pub(crate) fn new(
        name: &str,
        addresses: Vec<Address>,
        tls: Option<Tls>,
        settings: Arc<ClientSettings>,
    ) -> Self {
        let literal: Option<Vec<SocketAddr>> = addresses.iter().map(Address::literal).collect();
        let is_static = literal.is_some();
        let members = Arc::new(Members {
            name: name.to_owned(),
            addresses,
            tls,
            settings,
            endpoints: ArcSwap::default(),
            resolved: watch::Sender::new(is_static.then_some(Ok(()))),
        });
        let mut tasks = Vec::new();
        match literal {
            Some(sockets) => members.take(sockets.into_iter().zip(&members.addresses).collect()),
            None => tasks.push(tokio::spawn(members.clone().keep_resolved())),
        }
        let may_check = members.settings.health_interval_ms > 0;
        // Where there is no other endpoint to turn to, knowing better would not help.
        if may_check && (!is_static || members.endpoints.load().len() > 1) {
            tasks.push(tokio::spawn(members.clone().keep_checked()));
        }
        Self {
            members,
            _tasks: tasks.into_iter().map(AbortOnDropHandle::new).collect(),
        }
    }

    /// The better of two random endpoints that were not tried yet; of the usable ones, as long as there are any.
    pub(crate) fn pick(&self, tried: &[Arc<Endpoint>]) -> Option<Arc<Endpoint>> {
        let endpoints = self.members.endpoints.load();
        let [first, second] = match endpoints.len() {
            0 => return None,
            1 => {
                return Some(&endpoints[0])
                    .filter(|only| is_new(only, tried))
                    .cloned();
            }
            count => two_of(count).map(|index| &endpoints[index]),
        };
        let fits = |endpoint: &&Arc<Endpoint>| is_new(endpoint, tried) && is_good(endpoint);
        match (fits(&first), fits(&second)) {
            (true, true) => Some(cheaper(first, second).clone()),
            (true, false) => Some(first.clone()),
            (false, true) => Some(second.clone()),
            (false, false) => {
                let new = || endpoints.iter().filter(|endpoint| is_new(endpoint, tried));
                let good = new().filter(|endpoint| is_good(endpoint));
                // When all are bad, that may be our own view of them: calls go out as if none were.
                let best = good.reduce(cheaper).or_else(|| random_of(new()));
                best.cloned()
            }
        }
    }

    /// Waits for the first resolution.
    pub(crate) async fn ready(&self) -> Result<(), Failure> {
        let members = &self.members;
        if !members.endpoints.load().is_empty() {
            return Ok(());
        }
        let mut resolved = members.resolved.subscribe();
        let outcome = resolved.wait_for(Option::is_some).await;
        // The sender is in `members`, so it is still there.
        match outcome.as_deref() {
            Ok(Some(Err(_))) => Err(Failure::unreachable()),
            _ => Ok(()),
        }
    }

    /// Whether each endpoint is one that gets calls.
    #[cfg(test)]
    pub(crate) fn usable(&self) -> Vec<bool> {
        let endpoints = self.members.endpoints.load();
        endpoints.iter().map(|endpoint| is_good(endpoint)).collect()
    }

    /// Notes a failure of an endpoint, which is ejected if that makes too many, unless too many are already. Returns whether it is.
    pub(crate) fn failed(&self, endpoint: &Endpoint, after: Duration) -> bool {
        let settings = &self.members.settings;
        if !endpoint.standing.failed(after, settings) || endpoint.standing.is_ejected() {
            return false;
        }
        let endpoints = self.members.endpoints.load();
        let ejected = endpoints
            .iter()
            .filter(|other| other.standing.is_ejected())
            .count();
        let most = endpoints.len() * settings.eject_percent_max as usize / 100;
        // Of one endpoint none, of few at least one.
        let most = most.max(usize::from(settings.eject_percent_max > 0));
        if endpoints.len() <= 1 || ejected >= most {
            return false;
        }
        let time = endpoint.standing.eject(settings);
        tracing::warn!(
            upstream = self.members.name,
            endpoint = %endpoint.target.socket,
            milliseconds = time.as_millis() as u64,
            "endpoint ejected after failures in a row"
        );
        true
    }
}

impl Members {
    /// Replaces the set; endpoints that stay keep their connections and their standing.
    fn take(&self, found: Vec<(SocketAddr, &Address)>) {
        let known = self.endpoints.load();
        let endpoints = found
            .into_iter()
            .take(ENDPOINTS_MAX)
            .map(|(socket, address)| {
                let same = |old: &&Arc<Endpoint>| {
                    old.target.socket == socket && old.target.address == *address
                };
                known.iter().find(same).cloned().unwrap_or_else(|| {
                    let target = Target {
                        address: address.clone(),
                        socket,
                        tls: self.tls.clone().filter(|_| address.is_https()),
                    };
                    Endpoint::new(target, self.settings.clone())
                })
            });
        let endpoints = endpoints.collect();
        self.endpoints.store(Arc::new(endpoints));
    }

    async fn keep_resolved(self: Arc<Self>) {
        let interval = Duration::from_millis(self.settings.resolve_interval_ms);
        loop {
            let pause = match self.resolve().await {
                Ok(mut found) => {
                    found.sort_by_key(|(socket, _)| *socket);
                    found.dedup_by_key(|(socket, _)| *socket);
                    self.take(found);
                    self.resolved.send_replace(Some(Ok(())));
                    interval
                }
                Err(problem) => {
                    // What was found before stays: a resolver that is away says nothing about the endpoints.
                    tracing::warn!(upstream = self.name, problem, "upstream not resolved");
                    self.resolved.send_replace(Some(Err(problem)));
                    interval.min(RESOLVE_PAUSE)
                }
            };
            sleep(pause.mul_f64(rand::random_range(0.8..=1.2))).await;
        }
    }

    async fn resolve(&self) -> Result<Vec<(SocketAddr, &Address)>, String> {
        let limit = self.settings.connect_timeout();
        let lookups = self.addresses.iter().map(|address| async move {
            let found = tokio::net::lookup_host((address.host.as_str(), address.port));
            match timeout(limit, found).await {
                Ok(Ok(sockets)) => Ok(sockets.map(|socket| (socket, address)).collect()),
                Ok(Err(error)) => Err(format!("{}: {error}", address.host)),
                Err(_) => Err(format!("{}: no answer of the resolver", address.host)),
            }
        });
        let found: Result<Vec<Vec<_>>, String> = join_all(lookups).await.into_iter().collect();
        let found: Vec<_> = found?.into_iter().flatten().collect();
        if found.is_empty() {
            return Err("the name has no address".to_owned());
        }
        Ok(found)
    }

    async fn keep_checked(self: Arc<Self>) {
        let interval = Duration::from_millis(self.settings.health_interval_ms);
        loop {
            let endpoints = self.endpoints.load_full();
            if endpoints.len() > 1 {
                let checks = endpoints.iter().map(|endpoint| async {
                    let healthy = health::check(endpoint, &self.settings).await;
                    if endpoint.standing.set_healthy(healthy.is_ok()) {
                        let problem = healthy.err();
                        let endpoint = endpoint.target.socket;
                        tracing::warn!(upstream = self.name, %endpoint, problem, "health changed");
                    }
                });
                join_all(checks).await;
            }
            sleep(interval.mul_f64(rand::random_range(0.8..=1.2))).await;
        }
    }
}

fn is_new(endpoint: &Arc<Endpoint>, tried: &[Arc<Endpoint>]) -> bool {
    !tried.iter().any(|other| Arc::ptr_eq(other, endpoint))
}

fn is_good(endpoint: &Endpoint) -> bool {
    endpoint.standing.is_usable() && endpoint.is_reachable()
}

fn cheaper<'a>(first: &'a Arc<Endpoint>, second: &'a Arc<Endpoint>) -> &'a Arc<Endpoint> {
    if second.standing.cost() < first.standing.cost() {
        second
    } else {
        first
    }
}

fn two_of(count: usize) -> [usize; 2] {
    let first = rand::random_range(0..count);
    let second = rand::random_range(0..count - 1);
    [first, second + usize::from(second >= first)]
}

fn random_of<T>(items: impl Iterator<Item = T>) -> Option<T> {
    let mut items: Vec<T> = items.collect();
    (!items.is_empty()).then(|| items.swap_remove(rand::random_range(0..items.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(count: u16, eject_percent_max: u32) -> Cluster {
        let settings = ClientSettings {
            health_interval_ms: 0,
            eject_percent_max,
            ..ClientSettings::default()
        };
        let urls = (1..=count).map(|port| format!("http://127.0.0.1:{port}"));
        let addresses = urls.map(|url| Address::parse(&url).unwrap()).collect();
        Cluster::new("test", addresses, None, Arc::new(settings))
    }

    fn endpoints(cluster: &Cluster) -> Vec<Arc<Endpoint>> {
        cluster.members.endpoints.load().as_ref().clone()
    }

    fn port(endpoint: Option<Arc<Endpoint>>) -> Option<u16> {
        endpoint.map(|endpoint| endpoint.target.address.port)
    }

    #[test]
    fn two_are_never_the_same() {
        for _ in 0..1000 {
            let [first, second] = two_of(3);
            assert!(first != second && first < 3 && second < 3);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_slow_one_of_three_gets_next_to_nothing() {
        let cluster = cluster(3, 50);
        let mut picked = [0; 3];
        for _ in 0..300 {
            let endpoint = cluster.pick(&[]).unwrap();
            let index = usize::from(endpoint.target.address.port) - 1;
            picked[index] += 1;
            let latency = if index == 2 { 500 } else { 5 };
            endpoint.standing.answered(Duration::from_millis(latency));
        }
        assert!(picked[2] <= 2, "{picked:?}");
        assert!(picked[0] > 50 && picked[1] > 50, "{picked:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn ejected_and_unhealthy_ones_are_left_out_until_all_are() {
        let cluster = cluster(3, 50);
        let all = endpoints(&cluster);
        for _ in 0..20 {
            cluster.failed(&all[0], Duration::from_millis(1));
            cluster.failed(&all[1], Duration::from_millis(1));
        }
        let ejected = all.iter().map(|endpoint| endpoint.standing.is_ejected());
        // Half of three is one.
        assert_eq!(ejected.collect::<Vec<_>>(), [true, false, false]);
        all[1].standing.set_healthy(false);
        for _ in 0..20 {
            assert_eq!(port(cluster.pick(&[])), Some(3));
        }
        all[2].standing.set_healthy(false);
        assert!(cluster.pick(&[]).is_some());
    }

    #[tokio::test]
    async fn those_that_were_tried_are_not_picked_again() {
        let cluster = cluster(3, 50);
        let mut tried = Vec::new();
        while let Some(endpoint) = cluster.pick(&tried) {
            tried.push(endpoint);
        }
        assert_eq!(tried.len(), 3);
    }

    #[tokio::test]
    async fn a_single_endpoint_is_never_ejected() {
        let cluster = cluster(1, 100);
        let only = endpoints(&cluster).remove(0);
        for _ in 0..20 {
            cluster.failed(&only, Duration::from_millis(1));
        }
        assert_eq!(port(cluster.pick(&[])), Some(1));
    }

    #[tokio::test]
    async fn endpoints_that_stay_keep_their_standing() {
        let cluster = cluster(2, 50);
        let before = endpoints(&cluster);
        let members = &cluster.members;
        let [kept, other] = [9, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        members.take(vec![
            (kept, &members.addresses[0]),
            (other, &members.addresses[1]),
        ]);
        let after = endpoints(&cluster);
        assert!(Arc::ptr_eq(&before[1], &after[1]) && !Arc::ptr_eq(&before[0], &after[0]));
    }
}
