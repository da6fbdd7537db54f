//! Clients in an open loop: each makes its calls at its rate, whatever became of the earlier ones.

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::upstream::SERVICE_MS;
use crate::gateways::load::connect;
use crate::gateways::upstream::CREATE_ORDER;

/// The address of the trusted proxy.
pub(super) const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 200);

/// Connections of one client, so that none has too many streams.
const CONNECTIONS: usize = 4;

/// Wait for an answer beyond the deadline.
const GRACE: Duration = Duration::from_secs(5);

/// How a gateway can tell clients apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    Address,
    Forwarded,
}

/// One client, which calls while it exists.
pub(super) struct Client {
    /// Calls per second.
    rate: Rc<Cell<f64>>,
    calls: Rc<RefCell<Vec<Call>>>,
    /// Calls that are due, since the rate is not constant.
    planned: Rc<Cell<f64>>,
    task: JoinHandle<()>,
}

/// A client's own values.
pub(super) struct Profile {
    pub(super) number: u8,
    pub(super) identity: Identity,
    pub(super) rate: f64,
    /// `None` for that of the upstream.
    pub(super) service: Option<Duration>,
    /// Deadline of each call.
    pub(super) deadline: Duration,
}

/// A call that was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) at: Instant,
    /// `None` unless it was answered in time.
    pub(super) latency: Option<Duration>,
}

impl Identity {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Forwarded => "proxy",
        }
    }

    fn source(self, number: u8) -> Ipv4Addr {
        match self {
            Self::Address => Ipv4Addr::new(127, 0, 0, number),
            Self::Forwarded => PROXY,
        }
    }
}

// === impl Client ===

impl Client {
    /// Connects and begins to call. Needs a `LocalSet`.
    pub(super) async fn start(gateway: SocketAddr, profile: Profile) -> Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let source = profile.identity.source(profile.number);
            connections.push(open(gateway, source).await?);
        }
        let rate = Rc::new(Cell::new(profile.rate));
        let (calls, planned) = (Rc::default(), Rc::default());
        let task = spawn_local(pace(
            connections,
            request(gateway, &profile),
            profile.deadline,
            rate.clone(),
            Rc::clone(&calls),
            Rc::clone(&planned),
        ));
        Ok(Self {
            rate,
            calls,
            planned,
            task,
        })
    }

    /// Returns whether a gateway answers a call.
    pub(super) async fn once(gateway: SocketAddr) -> bool {
        let profile = Profile {
            number: 1,
            identity: Identity::Address,
            rate: 0.0,
            service: None,
            deadline: Duration::from_secs(2),
        };
        let Ok(sender) = open(gateway, Ipv4Addr::LOCALHOST).await else {
            return false;
        };
        let deadline = Instant::now() + profile.deadline;
        let answered = timeout_at(deadline, exchange(sender, request(gateway, &profile)));
        answered
            .await
            .is_ok_and(|answered| answered.unwrap_or(false))
    }

    pub(super) fn set_rate(&self, rate: f64) {
        self.rate.set(rate);
    }

    /// Returns the calls so far, in their order.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.borrow().clone()
    }

    /// Returns the number of calls that were due so far.
    pub(super) fn planned(&self) -> f64 {
        self.planned.get()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pace(
    connections: Vec<SendRequest<Full<Bytes>>>,
    request: Request<Full<Bytes>>,
    patience: Duration,
    rate: Rc<Cell<f64>>,
    calls: Rc<RefCell<Vec<Call>>>,
    planned: Rc<Cell<f64>>,
) {
    let mut ticks = interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        let now = ticks.tick().await;
        planned.set(planned.get() + (now - last).as_secs_f64() * rate.get());
        last = now;
        let due = planned.get() as usize;
        while calls.borrow().len() < due {
            let index = calls.borrow().len();
            let at = Instant::now();
            calls.borrow_mut().push(Call { at, latency: None });
            let sender = connections[index % connections.len()].clone();
            let (request, calls) = (request.clone(), calls.clone());
            spawn_local(async move {
                // The gateway ends it at the deadline. A client that resets all of its streams at
                // once would be taken for an attacker.
                let answered = timeout_at(at + patience + GRACE, exchange(sender, request)).await;
                let is_good = matches!(answered, Ok(Ok(true))) && at.elapsed() <= patience;
                calls.borrow_mut()[index].latency = is_good.then(|| at.elapsed());
            });
        }
    }
}

async fn open(gateway: SocketAddr, source: Ipv4Addr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = connect(source, gateway).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn request(gateway: SocketAddr, profile: &Profile) -> Request<Full<Bytes>> {
    let deadline = format!("{}m", profile.deadline.as_millis());
    let mut request = Request::post(format!("http://{gateway}{CREATE_ORDER}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", deadline);
    if profile.identity == Identity::Forwarded {
        let client = format!("198.51.100.{}", profile.number);
        request = request.header("x-forwarded-for", client);
    }
    if let Some(service) = profile.service {
        request = request.header(SERVICE_MS, service.as_millis().to_string());
    }
    // An empty message.
    request
        .body(Full::new(Bytes::from_static(&[0; 5])))
        .unwrap_or_default()
}

/// Returns whether the call was answered with OK.
async fn exchange(
    mut sender: SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<bool> {
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    if response.status() != StatusCode::OK || response.headers().contains_key("grpc-status") {
        return Ok(false);
    }
    let body = response.into_body().collect().await?;
    let trailers = body.trailers();
    let status = trailers.and_then(|trailers| trailers.get("grpc-status"));
    Ok(status.is_some_and(|status| status == "0"))
}
