//! A gateway as a process of its own, with its log.

use std::net::SocketAddr;
use std::process::Stdio;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::stranger::Upstream;
use super::{Connection, eventually, open, soon};

/// Killed when it is dropped.
pub(crate) struct GatewayProcess {
    pub(crate) address: SocketAddr,
    child: Child,
    log: watch::Receiver<Vec<Value>>,
}

impl GatewayProcess {
    /// Starts a gateway with these keys in its environment, and waits until it has learned its
    /// upstream.
    pub(crate) async fn start(upstream: &Upstream, keys: &[(&str, &str)]) -> Self {
        let keys = keys
            .iter()
            .map(|(key, value)| (format!("PROTOMESH_{key}"), *value));
        let mut child = Command::new(env!("CARGO_BIN_EXE_mesh-gateway"))
            .args(["--upstream", &format!("http://{}", upstream.address)])
            .env("PROTOMESH_LISTEN", "127.0.0.1:0")
            .env("PROTOMESH_LOG_FORMAT", "json")
            .envs(keys)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (sender, mut log) = watch::channel(Vec::new());
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                sender.send_modify(|lines| lines.push(line));
            }
        });
        let listening = wait(&mut log, "listening", |line| line["message"] == "listening").await;
        let address = listening["address"].as_str().unwrap().parse().unwrap();
        let process = Self {
            address,
            child,
            log,
        };
        eventually("the process is ready", async || {
            let request = Request::get("/readyz").body(Full::default()).unwrap();
            let (response, _connection) = open(address, request).await;
            (response.status() == 200)
                .then_some(())
                .ok_or(response.status())
        })
        .await;
        process
    }

    pub(crate) async fn open(
        &self,
        request: Request<Full<Bytes>>,
    ) -> (Response<Incoming>, Connection) {
        open(self.address, request).await
    }

    /// Sends a request and reads its answer to the end, however it ends.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) {
        let (response, _connection) = self.open(request).await;
        let _ = response.into_body().collect().await;
    }

    /// Asks it to stop, as an orchestrator does.
    pub(crate) fn terminate(&mut self) {
        let id = self.child.id().unwrap().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-TERM", &id])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for a line of its log.
    pub(crate) async fn line(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        wait(&mut self.log.clone(), what, is_it).await
    }

    /// Its log so far.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.log.borrow().clone()
    }
}

async fn wait(
    log: &mut watch::Receiver<Vec<Value>>,
    what: &str,
    is_it: impl Fn(&Value) -> bool,
) -> Value {
    let found = soon(what, log.wait_for(|lines| lines.iter().any(&is_it))).await;
    let lines = found.unwrap();
    lines.iter().find(|line| is_it(line)).unwrap().clone()
}
