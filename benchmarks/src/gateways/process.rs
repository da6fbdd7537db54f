//! Processes that are measured: on which processor they run, and what they have used of it and of memory.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Files that this process needs besides the connections of the load.
const OWN_FILES: u64 = 500;

/// The processors of the machine: one for what is measured, another one for upstream and load. Without two of them, or without
/// leave to choose, the system places all.
pub(super) struct Processors {
    all: Option<CpuSet>,
    measured: Option<CpuSet>,
    load: Option<CpuSet>,
}

/// A child that ends with its owner.
pub(super) struct Process {
    child: Child,
}

/// Raises the bound of open files as far as it goes; returns how many connections fit.
pub(super) fn raise_file_limit() -> Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the bound of open files")?;
    let files = limit.maximum.unwrap_or(u64::MAX).saturating_sub(OWN_FILES);
    Ok(usize::try_from(files).unwrap_or(usize::MAX))
}

/// An address that nobody listens on.
pub(super) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

// === impl Processors ===

impl Processors {
    pub(super) fn divide() -> Self {
        let all = sched_getaffinity(None).ok();
        let mut allowed =
            (0..CpuSet::MAX_CPU).filter(|cpu| all.is_some_and(|all| all.is_set(*cpu)));
        let mut one = || {
            let mut set = CpuSet::new();
            set.set(allowed.next()?);
            Some(set)
        };
        let (measured, load) = (one(), one());
        Self {
            all,
            measured: measured.filter(|_| load.is_some()),
            load,
        }
    }

    /// Does what starts a thread or process that is to stay on the processor of the load.
    pub(super) fn on_load<T>(&self, start: impl FnOnce() -> T) -> T {
        self.during(self.load, start)
    }

    /// Does what starts a process that is to be measured.
    pub(super) fn on_measured<T>(&self, start: impl FnOnce() -> T) -> T {
        self.during(self.measured, start)
    }

    /// From now on, for this thread.
    pub(super) fn stay_on_load(&self) {
        place(self.load);
    }

    // What is started inherits the place of who starts it.
    fn during<T>(&self, set: Option<CpuSet>, start: impl FnOnce() -> T) -> T {
        place(set);
        let started = start();
        place(self.all);
        started
    }
}

fn place(set: Option<CpuSet>) {
    if let Some(set) = set {
        // Without leave to choose the system does, for all alike.
        let _ = sched_setaffinity(None, &set);
    }
}

// === impl Process ===

impl Process {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        Ok(Self { child })
    }

    /// Processor time so far, of all threads, in user and kernel.
    pub(super) fn cpu_time(&self) -> Result<Duration> {
        let stat = self.read("stat")?;
        // The name of the program may hold anything, a parenthesis too (proc_pid_stat(5)).
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let mut fields = fields.split_ascii_whitespace().skip(11);
        let mut ticks = || -> Result<u64> {
            let field = fields.next().context("a short /proc/<pid>/stat")?;
            Ok(field.parse()?)
        };
        let ticks = ticks()? + ticks()?;
        let seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
        Ok(Duration::from_secs_f64(seconds))
    }

    /// Resident memory.
    pub(super) fn resident_bytes(&self) -> Result<u64> {
        let statm = self.read("statm")?;
        let pages = statm.split_ascii_whitespace().nth(1);
        let pages: u64 = pages.context("a short /proc/<pid>/statm")?.parse()?;
        Ok(pages * rustix::param::page_size() as u64)
    }

    /// Files and connections that it has open.
    pub(super) fn open_files(&self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.child.id());
        let files = fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?;
        Ok(files.count())
    }

    /// Asks the process to end, and waits until it has.
    pub(super) fn terminate(&mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("no process id")?, Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }

    /// Fails once the process has ended by itself.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("it has ended: {status}"),
        }
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It holds nothing that would have to be saved.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
