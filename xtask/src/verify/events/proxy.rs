//! A TCP proxy whose links stall or break.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// The state of all links of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Free,
    /// Nothing passes, and nobody is told.
    Stalled,
    /// Links are reset, and new ones refused.
    Cut,
}

/// A proxy before one address; ends when dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    address: SocketAddr,
    flow: Arc<watch::Sender<Flow>>,
    task: JoinHandle<()>,
}

// === impl Proxy ===

impl Proxy {
    pub(super) async fn before(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let flow = Arc::new(watch::Sender::new(Flow::Free));
        let links = flow.clone();
        let task = tokio::spawn(async move {
            while let Ok((downstream, _)) = listener.accept().await {
                if *links.borrow() != Flow::Cut {
                    tokio::spawn(link(downstream, target, links.subscribe()));
                }
            }
        });
        Ok(Self {
            address,
            flow,
            task,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn set(&self, flow: Flow) {
        self.flow.send_replace(flow);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn link(downstream: TcpStream, target: SocketAddr, mut flow: watch::Receiver<Flow>) {
    if flow.wait_for(|now| *now != Flow::Stalled).await.is_err() {
        return;
    }
    let Ok(upstream) = TcpStream::connect(target).await else {
        return;
    };
    let _ = (downstream.set_nodelay(true), upstream.set_nodelay(true));
    let (from_client, to_client) = downstream.into_split();
    let (from_server, to_server) = upstream.into_split();
    let mut cut = flow.clone();
    // Either way ends with a link that is dropped on both sides.
    tokio::select! {
        () = pump(from_client, to_server, flow.clone()) => {}
        () = pump(from_server, to_client, flow) => {}
        _ = cut.wait_for(|now| *now == Flow::Cut) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut flow: watch::Receiver<Flow>) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let Ok(length @ 1..) = from.read(&mut chunk).await else {
            return;
        };
        if flow.wait_for(|now| *now == Flow::Free).await.is_err() {
            return;
        }
        if to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}
