//! The operating system: output of programs, identities of processes, signals, and the account of
//! Postgres.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, geteuid, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};

pub use rustix::process::Signal;

/// The `nobody` account of Linux distributions: Postgres refuses to run as root.
const NOBODY: Account = Account {
    uid: 65534,
    gid: 65534,
};

/// Identity of a process: a pid alone may have been reused by the time of a signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The process id.
    pub pid: u32,
    /// Start time in the unit of the system; only compared for equality.
    pub birth: String,
}

impl Identity {
    /// Returns the identity of the process with this pid; `None` without one, or for a zombie.
    pub fn of(pid: u32) -> Option<Self> {
        birth(pid).map(|birth| Self { pid, birth })
    }

    /// Returns the identity of this process.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self {
            pid,
            birth: birth(pid).unwrap_or_default(),
        }
    }

    /// Returns whether this very process still runs.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| now.birth == self.birth)
    }

    /// Signals this very process, if it still runs.
    pub fn signal(&self, signal: Signal) {
        if self.is_alive() {
            // An error means that it ended between check and signal.
            let _ = send(self.pid, signal);
        }
    }
}

/// Runs a program to its end and returns its output.
///
/// # Errors
/// When it can't be started, or fails; the message holds its stderr.
pub fn said(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed ({}): {}", output.status, stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Blocks this thread between two polls.
#[allow(
    clippy::disallowed_methods,
    reason = "for commands that do nothing else meanwhile"
)]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// The user and group that a child runs under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// Returns the account for programs that refuse to run as root; `None` for an ordinary user.
    pub(crate) fn unprivileged() -> Option<Self> {
        geteuid().is_root().then_some(NOBODY)
    }

    /// Makes this account the owner of `path`.
    pub(crate) fn own(self, path: &Path) -> io::Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
    }

    /// Returns whether this account can enter `dir` and every directory above it.
    pub(crate) fn can_enter(self, dir: &Path) -> bool {
        use std::os::unix::process::CommandExt;
        let mut command = std::process::Command::new("/bin/sh");
        command
            .args(["-c", "cd \"$0\""])
            .arg(dir)
            .current_dir("/")
            .uid(self.uid)
            .gid(self.gid);
        command
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

pub(crate) fn effective_uid() -> u32 {
    geteuid().as_raw()
}

/// Signals a process by its id.
///
/// # Errors
/// When there is no such process, or it belongs to someone else.
pub fn send(pid: u32, signal: Signal) -> io::Result<()> {
    Ok(kill_process(raw(pid)?, signal)?)
}

/// Signals a process and its children: each process of the mesh leads a process group.
///
/// # Errors
/// See [`send`].
pub fn send_to_group(pid: u32, signal: Signal) -> io::Result<()> {
    Ok(kill_process_group(raw(pid)?, signal)?)
}

fn raw(pid: u32) -> io::Result<Pid> {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

/// Returns the CPU time of a running process so far; `None` on systems without procfs.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    // proc(5): of the fields after the command, the 12th and the 13th are the ticks in user mode
    // and in the kernel.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let millis = (ticks()? + ticks()?) * 1000 / rustix::param::clock_ticks_per_second();
    Some(Duration::from_millis(millis))
}

#[cfg(target_os = "linux")]
fn birth(pid: u32) -> Option<String> {
    // proc(5): the command in parentheses may hold anything, so fields are counted from the last
    // one; field 3 is the state, field 22 the start time.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?;
    (!matches!(state, "Z" | "X")).then(|| start.to_owned())
}

#[cfg(not(target_os = "linux"))]
fn birth(pid: u32) -> Option<String> {
    let output = std::process::Command::new("ps")
        .args(["-o", "stat=,lstart=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    let (state, start) = line.trim().split_once(' ')?;
    (!state.starts_with('Z')).then(|| start.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn cpu_time_grows_with_work() {
        let own = || cpu_time(std::process::id()).unwrap();
        let before = own();
        while own() == before {
            std::hint::black_box((0..10_000u64).sum::<u64>());
        }
        assert_eq!(cpu_time(u32::MAX), None);
    }

    #[test]
    fn a_process_that_ended_is_not_alive_even_while_it_is_a_zombie() {
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "read line"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let identity = Identity::of(child.id()).unwrap();
        assert!(identity.is_alive());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!identity.is_alive());
    }

    #[test]
    fn another_process_with_the_same_pid_is_not_the_same_process() {
        let stranger = Identity {
            birth: "0".to_owned(),
            ..Identity::current()
        };
        assert!(!stranger.is_alive());
        assert!(Identity::current().is_alive());
    }
}
