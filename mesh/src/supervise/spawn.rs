//! Starts a program in its own process group, with its output in a log file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::os::{Account, Signal};
use crate::probe::Probe;

/// A longer log is renamed before its process starts; one old log is kept.
const LOG_BYTES: u64 = 16 * 1024 * 1024;

/// A program with all that its supervisor needs.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) binary: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) account: Option<Account>,
    /// Directory that it runs in; otherwise that of this process.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) address: SocketAddr,
    pub(crate) log: PathBuf,
    /// Signal that makes it drain and end.
    pub(crate) stop: Signal,
    pub(crate) probe: Probe,
}

impl Program {
    pub(super) fn spawn(&self, extra: Vec<(String, String)>) -> io::Result<Child> {
        let log = open_log(&self.log)?;
        let mut command = Command::new(&self.binary);
        command.args(&self.args).envs(&self.env).envs(extra);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // Ctrl-C must reach `mesh` alone, which stops its processes in order.
        command.process_group(0).kill_on_drop(true);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some(account) = self.account {
            // The account may have no access to the current directory.
            command.uid(account.uid).gid(account.gid).current_dir("/");
        }
        command.spawn()
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    if path
        .metadata()
        .is_ok_and(|metadata| metadata.len() > LOG_BYTES)
    {
        set_aside(path)?;
    }
    File::options().create(true).append(true).open(path)
}

/// Renames a log, replacing the one that was renamed before.
pub(crate) fn set_aside(log: &Path) -> io::Result<()> {
    let mut aside = log.as_os_str().to_owned();
    aside.push(".1");
    std::fs::rename(log, aside)
}
