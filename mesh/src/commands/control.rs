//! Requests to the supervisor of a running mesh, over a socket that only its owner can open.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::{Stack, os};

/// Largest request or answer, in bytes.
const MAX_BYTES: u64 = 16 * 1024;
/// Longest wait for a request on an open connection.
const REQUEST: Duration = Duration::from_secs(5);
/// Longest wait for an answer: a process drains and starts again.
const ANSWER: Duration = Duration::from_secs(150);
/// Pause after a failure to accept.
const PAUSE: Duration = Duration::from_millis(100);
/// Most requests at once.
const CONCURRENT: usize = 8;

/// A request to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    /// Drains and stops a process, starts it again, and waits until it is healthy.
    Restart(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Done,
    Failed(String),
}

/// The listening side, in the supervisor.
#[derive(Debug)]
pub(super) struct Control {
    /// None where the path of the directory is too long for a socket.
    listener: Option<UnixListener>,
}

// === impl Control ===

impl Control {
    /// Listens in the directory of a mesh. Where that fails, the mesh runs without: only `restart`
    /// is missing.
    pub(super) fn listen(dir: &Path) -> Self {
        let path = socket(dir);
        // A killed supervisor leaves its socket; the lock of the directory keeps others away.
        let _ = std::fs::remove_file(&path);
        let bind = || {
            let listener = UnixListener::bind(&path)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            std::io::Result::Ok(listener)
        };
        match bind() {
            Ok(listener) => Self {
                listener: Some(listener),
            },
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "`mesh restart` will not work");
                Self { listener: None }
            }
        }
    }

    /// Serves requests until `stop` is over, whose result it returns; requests in progress end.
    pub(super) async fn serve<T>(self, stack: &Arc<Stack>, stop: impl Future<Output = T>) -> T {
        let mut stop = pin!(stop);
        let mut serving = JoinSet::new();
        let stopped = loop {
            let has_room = serving.len() < CONCURRENT;
            tokio::select! {
                stopped = &mut stop => break stopped,
                Some(_) = serving.join_next() => {}
                accepted = self.accept(), if has_room => match accepted {
                    Ok(connection) => {
                        let stack = Arc::clone(stack);
                        serving.spawn(async move {
                            if let Err(error) = answer(connection, &stack).await {
                                let error = format!("{error:#}");
                                tracing::warn!(error, "request not answered");
                            }
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept requests");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
            }
        };
        // Each holds the stack.
        serving.shutdown().await;
        stopped
    }

    /// Accepts a connection of this user; one of another user is closed.
    async fn accept(&self) -> std::io::Result<UnixStream> {
        let Some(listener) = &self.listener else {
            return std::future::pending().await;
        };
        loop {
            let (connection, _) = listener.accept().await?;
            if connection.peer_cred()?.uid() == os::effective_uid() {
                return Ok(connection);
            }
        }
    }
}

/// Sends a request to the supervisor of the mesh in `dir`.
///
/// # Errors
/// When no supervisor answers, or it could not do what was asked.
pub(super) async fn send(dir: &Path, request: &Request) -> Result<()> {
    let path = socket(dir);
    let mut connection = UnixStream::connect(&path).await.with_context(|| {
        format!(
            "no supervisor listens at {}: stop the mesh with `mesh down` and start it again",
            path.display()
        )
    })?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    connection.write_all(&line).await?;
    let answer = tokio::time::timeout(ANSWER, read(connection)).await;
    let (answer, _) = answer.context("the supervisor did not answer")??;
    match answer {
        Answer::Done => Ok(()),
        Answer::Failed(why) => Err(anyhow!(why)),
    }
}

async fn answer(connection: UnixStream, stack: &Stack) -> Result<()> {
    let request = tokio::time::timeout(REQUEST, read(connection)).await;
    let (request, mut connection) = request.context("no request came")??;
    let done = match request {
        Request::Restart(name) => stack.restart(&name).await,
    };
    let answer = match done {
        Ok(()) => Answer::Done,
        Err(error) => Answer::Failed(format!("{error:#}")),
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    Ok(connection.write_all(&line).await?)
}

async fn read<T: serde::de::DeserializeOwned>(connection: UnixStream) -> Result<(T, UnixStream)> {
    let mut reader = BufReader::new(connection.take(MAX_BYTES));
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    ensure!(
        line.ends_with('\n'),
        "more than {MAX_BYTES} bytes, or cut off"
    );
    let message = serde_json::from_str(&line).context("not a message of this version of mesh")?;
    Ok((message, reader.into_inner().into_inner()))
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("control")
}
