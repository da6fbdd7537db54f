//! The scripted HTTP/2 server: reads requests, and answers each with the script that a function
//! chooses for it.

mod connection;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use self::connection::serve;
use crate::grpc;
use crate::hpack::Field;
use crate::script::Script;

/// Bound of every wait of a script: one that is stuck ends, and the connection with it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that runs until it is dropped.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

/// A request, as far as it has arrived.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// The number of the request at this server, from 0.
    pub number: usize,
    /// Its stream.
    pub stream: u32,
    /// `:path`.
    pub path: String,
    /// All header fields, pseudo-header fields too.
    pub headers: Vec<Field>,
    /// The body as far as it has arrived.
    pub body: Vec<u8>,
    /// Whether the request is complete.
    pub is_ended: bool,
    /// Whether HEADERS ended it: there was no DATA frame at all.
    pub is_ended_by_headers: bool,
}

/// Flow control that the server grants for what it receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Credit {
    /// As much as arrived.
    #[default]
    All,
    /// As much for the connection, nothing for a stream.
    ConnectionOnly,
    /// Nothing.
    None,
}

/// How the server treats connections.
#[derive(Clone, Debug)]
pub struct Options {
    /// Steps of a connection before its first request, by the number of the connection; the last
    /// one stands for all further ones.
    pub greetings: Vec<Script>,
    /// Flow control.
    pub credit: Credit,
}

/// Chooses the script of a call.
type Play = Box<dyn Fn(&Call) -> Option<Script> + Send + Sync>;

struct Shared {
    play: Play,
    options: Options,
    connections: AtomicUsize,
    arrivals: AtomicUsize,
    /// Scripts that wait at the gate.
    holding: watch::Sender<usize>,
    is_open: watch::Sender<bool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            greetings: vec![vec![grpc::settings(&[])]],
            credit: Credit::All,
        }
    }
}

impl Upstream {
    /// Starts a server on a free port of 127.0.0.1 that grants all flow control.
    ///
    /// `play` chooses the script of a call. It is asked when the headers have arrived, then after
    /// each DATA frame for as long as it returns `None`; a request that has ended without a script
    /// is reset with INTERNAL_ERROR.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(
        play: impl Fn(&Call) -> Option<Script> + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        Self::with(Options::default(), play).await
    }

    /// [`Upstream::start`] with options.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn with(
        options: Options,
        play: impl Fn(&Call) -> Option<Script> + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            play: Box::new(play),
            options,
            connections: AtomicUsize::new(0),
            arrivals: AtomicUsize::new(0),
            holding: watch::Sender::new(0),
            is_open: watch::Sender::new(true),
        });
        let accepting = shared.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, accepting.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            address,
            shared,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how many requests have arrived.
    pub fn arrivals(&self) -> usize {
        self.shared.arrivals.load(Ordering::SeqCst)
    }

    /// Returns how many connections have been accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Makes scripts wait at [`crate::Step::Hold`].
    pub fn close_gate(&self) {
        self.shared.is_open.send_replace(false);
    }

    /// Lets all scripts go on that wait at [`crate::Step::Hold`], and those that come later.
    pub fn open_gate(&self) {
        self.shared.is_open.send_replace(true);
    }

    /// Waits until so many scripts are at the gate; returns whether they are within 20 s.
    pub async fn holds(&self, count: usize) -> bool {
        let mut holding = self.shared.holding.subscribe();
        let wait = holding.wait_for(|holding| *holding >= count);
        matches!(tokio::time::timeout(PATIENCE, wait).await, Ok(Ok(_)))
    }
}
