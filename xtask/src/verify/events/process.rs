//! A process of the fixture, its commands and its answers.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fixture::commands::{Command, Verb};
use mesh::os::{Identity, Signal};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::sync::watch;
use tokio::time::timeout;

/// Longest wait for an answer; a command is tried again for a minute while an engine is away.
const PATIENCE: Duration = Duration::from_secs(75);
/// Longest wait for the visit of a point, before more is done for it.
const VISIT: Duration = Duration::from_secs(4);

/// Choices for a process of the fixture.
#[derive(Clone, Debug)]
pub(super) struct Setup<'a> {
    pub(super) program: &'a Path,
    pub(super) role: &'static str,
    pub(super) database_url: String,
    pub(super) nats_url: String,
    pub(super) log: &'a Path,
    pub(super) variables: Vec<(String, String)>,
    /// Steps that it leaves out.
    pub(super) omitted: Option<&'static str>,
}

/// A running process; killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    identity: Identity,
    input: ChildStdin,
    lines: watch::Receiver<Vec<String>>,
    commands: u64,
    /// Lines before this one belong to earlier points.
    since: usize,
}

// === impl Process ===

impl Process {
    pub(super) async fn start(setup: &Setup<'_>, armed: Option<&str>) -> Result<Self> {
        let log = File::options().create(true).append(true).open(setup.log)?;
        let mut command = tokio::process::Command::new(setup.program);
        command
            .env("PROTOMESH_ROLE", setup.role)
            .env("PROTOMESH_LISTEN", "127.0.0.1:0")
            .env("PROTOMESH_DATABASE_URL", &setup.database_url)
            .env("PROTOMESH_EVENTS__NATS_URL", &setup.nats_url)
            .envs(setup.variables.clone())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        let mut child = command.spawn().context("cannot run the fixture")?;
        let (input, output) = child
            .stdin
            .take()
            .zip(child.stdout.take())
            .context("no pipes")?;
        let identity = child.id().and_then(Identity::of).context("it has ended")?;
        let (said, lines) = watch::channel(Vec::new());
        tokio::spawn(async move {
            let mut output = BufReader::new(output).lines();
            while let Ok(Some(line)) = output.next_line().await {
                said.send_modify(|lines| lines.push(line));
            }
        });
        let mut process = Self {
            child,
            identity,
            input,
            lines,
            commands: 0,
            since: 0,
        };
        // They are read before the process does anything.
        if let Some(step) = setup.omitted {
            process.tell(&format!("omit {step}")).await?;
        }
        if let Some(point) = armed {
            process.tell(&format!("arm {point} 1")).await?;
        }
        let ready = process.heard("ready", PATIENCE).await;
        ready.with_context(|| format!("the {} does not start", setup.role))?;
        Ok(process)
    }

    /// Holds the process at the `nth` visit of `point` from now on.
    pub(super) async fn arm(&mut self, point: &str, nth: u32) -> Result<()> {
        self.since = self.lines.borrow().len();
        self.tell(&format!("arm {point} {nth}")).await?;
        self.heard(&format!("armed {point}"), PATIENCE).await
    }

    /// Waits for the visit; false if there is none.
    pub(super) async fn is_held(&mut self, point: &str) -> bool {
        self.heard(&format!("hit {point}"), VISIT).await.is_ok()
    }

    pub(super) async fn release(&mut self, point: &str) -> Result<()> {
        self.tell(&format!("go {point}")).await
    }

    /// Sends a command; its answer has the number that this returns.
    pub(super) async fn command(&mut self, verb: Verb) -> Result<u64> {
        self.commands += 1;
        let number = self.commands;
        self.tell(&Command { number, verb }.to_string()).await?;
        Ok(number)
    }

    /// Waits for the answer of command `number`.
    pub(super) async fn answered(&mut self, number: u64) -> Result<()> {
        let (done, failed) = (format!("done {number}"), format!("failed {number} "));
        let is_answer = |line: &String| *line == done || line.starts_with(&failed);
        let wait = self.lines.wait_for(|lines| lines.iter().any(is_answer));
        let lines = timeout(PATIENCE, wait).await.context("no answer")?;
        let lines = lines.context("the fixture has ended")?;
        match lines.iter().find(|line| line.starts_with(&failed)) {
            Some(line) => bail!("{line}"),
            None => Ok(()),
        }
    }

    /// Does a command to its end.
    pub(super) async fn run(&mut self, verb: Verb) -> Result<()> {
        let number = self.command(verb).await?;
        self.answered(number).await
    }

    pub(super) fn signal(&self, signal: Signal) {
        self.identity.signal(signal);
    }

    /// Kills the process (`-9`) and waits for its end.
    pub(super) async fn kill(mut self) -> Result<()> {
        self.child.start_kill()?;
        self.child.wait().await?;
        Ok(())
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    async fn tell(&mut self, line: &str) -> Result<()> {
        let line = format!("{line}\n");
        self.input.write_all(line.as_bytes()).await?;
        Ok(self.input.flush().await?)
    }

    async fn heard(&mut self, line: &str, within: Duration) -> Result<()> {
        let since = self.since;
        let is_heard = |lines: &Vec<String>| lines.iter().skip(since).any(|heard| heard == line);
        let wait = self.lines.wait_for(is_heard);
        let heard = timeout(within, wait).await;
        let heard = heard.with_context(|| format!("not heard: {line}"))?;
        ensure!(heard.is_ok(), "the fixture has ended");
        Ok(())
    }
}
