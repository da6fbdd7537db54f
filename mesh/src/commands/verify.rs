//! `mesh verify`: kills every process of a separate mesh once while the project's own load runs,
//! then lets the project check its effects.

use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio::process::{Child, Command};

use super::up::asked_to_stop;
use super::{build, declared};
use crate::home::{Home, StateDir};
use crate::os::{self, Signal};
use crate::project::{Argv, Verify};
use crate::ui::{self, Ui};
use crate::{Stack, StackOptions, State};

/// Pauses between the recovery of one process and the kill of the next, in milliseconds.
const PAUSES_MS: std::ops::Range<u64> = 100..1500;
/// Longest wait for a process that failed because of another one.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bound of the load after the last kill, and of the check.
const LONGEST: Duration = Duration::from_secs(600);

/// The arguments of `verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Seed of the order and the moments of the kills; without it a random one, which is printed
    #[arg(long)]
    seed: Option<u64>,
    /// Only these processes, and the engines that they need
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Number of runs, with successive seeds and a new mesh each
    #[arg(long, default_value_t = 1)]
    runs: u64,
}

pub(super) async fn verify(args: Args) -> Result<ExitCode> {
    let (home, ui) = (Home::find()?, Ui::detect());
    let verify = home.project().verify().context(
        "mesh.toml has no [verify]: set `load`, a command that makes work, and `check`, one that \
         fails if an effect is lost or doubled",
    )?;
    let mut options = StackOptions::new(&home)?;
    if !args.only.is_empty() {
        options = options.only(args.only.iter().map(String::as_str))?;
    }
    build::build(&home, &options, ui)?;
    let first = args
        .seed
        .unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    for seed in first..first + args.runs {
        ui::print(format!("seed {seed}"));
        let run = run(&home, verify, options.clone(), seed);
        // The drop kills all started processes.
        tokio::select! {
            ended = run => ended.with_context(|| format!("seed {seed}"))?,
            asked = asked_to_stop() => {
                asked?;
                bail!("stopped");
            }
        }
    }
    ui::print("every process was killed, and the check found nothing lost or doubled");
    Ok(ExitCode::SUCCESS)
}

async fn run(home: &Home, verify: &Verify, options: StackOptions, seed: u64) -> Result<()> {
    let stack = Stack::launch(home, StateDir::scratch(home)?, options, Ui::Quiet).await?;
    let mut load = start(home, &stack, &verify.load)?;
    kill_all(&stack, &mut load.child, seed).await?;
    let ended = tokio::time::timeout(LONGEST, load.child.wait()).await;
    let ended =
        ended.with_context(|| format!("the load did not end in {} s", LONGEST.as_secs()))?;
    succeeded("verify.load", ended?)?;
    let mut check = start(home, &stack, &verify.check)?;
    let checked = tokio::time::timeout(LONGEST, check.child.wait()).await;
    let checked =
        checked.with_context(|| format!("the check did not end in {} s", LONGEST.as_secs()))?;
    succeeded("verify.check", checked?)?;
    stack.shutdown().await.map(drop)
}

/// Kills every process once, each after the one before has recovered.
async fn kill_all(stack: &Stack, load: &mut Child, seed: u64) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut names: Vec<String> = stack.processes().into_keys().collect();
    names.shuffle(&mut random);
    for name in names {
        let pause = Duration::from_millis(random.random_range(PAUSES_MS));
        if let Ok(ended) = tokio::time::timeout(pause, load.wait()).await {
            succeeded("verify.load", ended?)?;
            bail!("verify.load ended before {name} was killed: give it more work");
        }
        stack
            .wait_for(&name, PATIENCE, |now| now.state == State::Healthy)
            .await?;
        let started = Instant::now();
        let life = stack.kill(&name)?;
        stack.revived(&name, &life).await?;
        let seconds = started.elapsed().as_secs_f64();
        ui::print(format!("killed {name}; healthy again after {seconds:.1} s"));
    }
    Ok(())
}

fn start(home: &Home, stack: &Stack, command: &Argv) -> Result<Work> {
    let mut child = Command::from(command.command(home.root()));
    child.stdin(Stdio::null());
    child.envs(declared::environment(stack.dir(), &stack.snapshot()));
    let child = child.process_group(0).kill_on_drop(true).spawn();
    let child = child.with_context(|| format!("cannot run {}", command.program))?;
    Ok(Work { child })
}

/// A command of the project with all that it has started; killed when dropped.
struct Work {
    child: Child,
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(pid) = self.child.id() {
            // It may have ended.
            let _ = os::send_to_group(pid, Signal::KILL);
        }
    }
}

fn succeeded(key: &str, ended: ExitStatus) -> Result<()> {
    ensure!(ended.success(), "{key} failed ({ended})");
    Ok(())
}
