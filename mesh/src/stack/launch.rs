//! Starts a mesh in the order of its dependencies.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::clients::Clients;
use super::credentials::{Credentials, Files, MESH};
use super::ports::Ports;
use super::secrets::Secrets;
use super::{Stack, StackOptions, log_file, nats, operator, postgres, valkey};
use crate::engines::Engines;
use crate::home::{Home, StateDir, create_dir};
use crate::os::{Identity, Signal};
use crate::probe::{Probe, Secure};
use crate::project::{Engine, GATEWAY, NATS, POSTGRES, VALKEY, Wiring};
use crate::snapshot::Snapshot;
use crate::supervise::{Board, ProcessStatus, Program, State, Supervised, set_aside};
use crate::ui::Ui;

/// Longest wait for a healthy process: Postgres may have to recover after a crash.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Deaths before the first health check passes after which a launch gives up.
const DEATHS: u32 = 5;
/// Exit status of a process with invalid configuration (EX_USAGE of sysexits.h): no retry helps.
const EX_USAGE: &str = "exit status: 64";
/// Lines of a log that are shown when its process does not start.
const LOG_LINES: usize = 12;

impl Stack {
    /// Starts a mesh in `state_dir` and returns when all processes but the deferred ones are
    /// healthy.
    ///
    /// # Errors
    /// When a process can't be started; the others are stopped then.
    pub async fn launch(
        home: &Home,
        state_dir: StateDir,
        options: StackOptions,
        ui: Ui,
    ) -> Result<Self> {
        options.check_binaries()?;
        if let Some(earlier) = Snapshot::load(state_dir.path()) {
            let orphans = earlier.stop_orphans();
            if !orphans.is_empty() {
                ui.note(format!(
                    "stopped processes of a killed mesh: {}",
                    orphans.join(", ")
                ));
            }
        }
        prepare_logs(&state_dir, &options)?;
        let ports = Ports::reserve(
            &home.ports(),
            state_dir.path(),
            options.listeners(),
            &options.ports,
        )?;
        let (dir, project) = (state_dir.path(), &options.project);
        let credentials = Credentials::create(dir, project, options.security)?;
        if let Some(issuer) = project.issuer()
            && options.security.authentication
        {
            Clients::of(dir).create(issuer)?;
        }
        let mut stack = Self {
            processes: Vec::new(),
            board: Arc::new(Board::default()),
            dashboard: None,
            scribe: JoinSet::new(),
            _rotation: credentials.map(Credentials::rotating).unwrap_or_default(),
            ready: watch::Sender::new(false),
            secrets: Secrets::default(),
            broker_passwords: Secrets::default(),
            valkey_passwords: Secrets::default(),
            ports,
            project: Arc::clone(&options.project),
            security: options.security,
            state_dir,
        };
        stack.start_scribe()?;
        operator::create(stack.dir())?;
        if !options.engines.is_empty() {
            stack.launch_engines(home, &options, ui).await?;
        }
        stack.dashboard = stack.open_dashboard(&options).await?;
        stack.launch_processes(&options, ui).await?;
        stack.ready.send_replace(true);
        stack.snapshot().save(stack.dir())?;
        Ok(stack)
    }

    async fn launch_engines(&mut self, home: &Home, options: &StackOptions, ui: Ui) -> Result<()> {
        let fetch = {
            let (home, needed) = (home.clone(), options.engines.clone());
            move || Engines::ensure(&home, &needed, ui)
        };
        // Fetching blocks on the network.
        let engines = tokio::task::spawn_blocking(fetch).await??;
        let chosen: Vec<&str> = options
            .engines
            .iter()
            .map(|engine| engine.process())
            .collect();
        let step = ui.step(format!("starting {}", chosen.join(" and ")));
        for engine in &options.engines {
            let program = match engine {
                Engine::Postgres => self.prepare_postgres(home, &engines, options)?,
                Engine::Nats => self.prepare_nats(&engines, options)?,
                Engine::Valkey => self.prepare_valkey(&engines, options)?,
            };
            self.supervise(program, options);
        }
        for engine in &chosen {
            self.supervised(engine)?.want(true);
        }
        self.healthy(&chosen).await?;
        if options.engines.contains(&Engine::Postgres) {
            let admin = postgres::admin(self.address(POSTGRES)?, &self.secrets)?;
            postgres::provision(&admin, options.databases(), &self.secrets).await?;
        }
        step.done();
        Ok(())
    }

    fn prepare_postgres(
        &mut self,
        home: &Home,
        engines: &Engines,
        options: &StackOptions,
    ) -> Result<Program> {
        self.secrets = postgres::prepare(home, engines, &self.state_dir, options.databases())?;
        let (address, log) = (self.address(POSTGRES)?, self.log(POSTGRES));
        let roles = options.databases().count();
        postgres::program(
            engines,
            &self.state_dir,
            address,
            &log,
            &self.secrets,
            roles,
        )
    }

    fn prepare_nats(&mut self, engines: &Engines, options: &StackOptions) -> Result<Program> {
        self.broker_passwords = nats::passwords(self.dir(), options)?;
        let (address, log) = (self.address(NATS)?, self.log(NATS));
        let passwords = &self.broker_passwords;
        nats::program(engines, &self.state_dir, address, &log, passwords, options)
    }

    fn prepare_valkey(&mut self, engines: &Engines, options: &StackOptions) -> Result<Program> {
        self.valkey_passwords = valkey::passwords(self.dir(), options.valkey_users())?;
        let (address, log) = (self.address(VALKEY)?, self.log(VALKEY));
        let passwords = &self.valkey_passwords;
        let users: Vec<&str> = options.valkey_users().collect();
        valkey::program(engines, &self.state_dir, address, &log, passwords, &users)
    }

    async fn launch_processes(&mut self, options: &StackOptions, ui: Ui) -> Result<()> {
        let mut started = Vec::new();
        for program in self.programs(options)? {
            let name = program.name.clone();
            self.supervise(program, options);
            if !options.deferred.contains(&name) {
                self.supervised(&name)?.want(true);
                started.push(name);
            }
        }
        if !options.deferred.is_empty() {
            started.retain(|name| name != GATEWAY);
        }
        for name in &started {
            let step = ui.step(format!("starting {name}"));
            self.healthy(&[name]).await?;
            step.done();
        }
        Ok(())
    }

    fn programs(&self, options: &StackOptions) -> Result<Vec<Program>> {
        let local = |port: &u16| SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
        let addresses: BTreeMap<String, String> = self
            .ports
            .by_name
            .iter()
            .map(|(name, port)| (name.clone(), local(port).to_string()))
            .collect();
        let (mut database_urls, mut broker_urls) = (BTreeMap::new(), BTreeMap::new());
        let mut valkey_urls = BTreeMap::new();
        for service in options.databases() {
            database_urls.insert(service.to_owned(), self.database_url(service)?);
        }
        for service in options.publishers() {
            broker_urls.insert(service.to_owned(), self.nats_url(service)?);
        }
        for user in options.valkey_users() {
            valkey_urls.insert(user.to_owned(), self.valkey_url(user)?);
        }
        let upstreams: Vec<&str> = options.chosen().filter(|name| *name != GATEWAY).collect();
        let collector = self.collector(options);
        let (files, clients) = (Files::of(self.dir()), Clients::of(self.dir()));
        let (project, security) = (&options.project, self.security);
        let issuer = project.issuer().filter(|_| security.authentication);
        let gateway = self.url(GATEWAY)?;
        let secure = match security.tls {
            true => Some(Secure::load(&files.authority(), &files.certificate(MESH))?),
            false => None,
        };
        let wiring = Wiring {
            project: &options.project,
            addresses: &addresses,
            operator_addresses: &BTreeMap::new(),
            database_urls: &database_urls,
            broker_urls: &broker_urls,
            valkey_urls: &valkey_urls,
            upstreams: &upstreams,
            otlp: collector.as_deref(),
            operators: &operator::file(self.dir()),
            security,
            credentials: &|service| {
                let mut variables = files.environment(project, security, service);
                if let Some(issuer) = issuer {
                    variables.extend(clients.environment(issuer, &gateway, service));
                }
                variables
            },
        };
        let program = |name: &str| {
            let address = self.address(name)?;
            let (binary, args) = options.command(name)?;
            Ok(Program {
                name: name.to_owned(),
                binary,
                args: args.into_iter().map(OsString::from).collect(),
                env: self.with_export(options, wiring.environment(name)),
                account: None,
                directory: Some(options.project.root().to_owned()),
                address,
                log: self.log(name),
                stop: Signal::TERM,
                probe: Probe::of(&options.project, name, address, secure.as_ref()),
            })
        };
        options.chosen().map(program).collect()
    }

    fn supervise(&mut self, program: Program, options: &StackOptions) {
        let name = program.name.clone();
        let supervised = Supervised::new(program, &self.board);
        for (variables, once) in [(&options.env, false), (&options.env_once, true)] {
            for (_, key, value) in variables.iter().filter(|(process, ..)| *process == name) {
                supervised.set_env(key, value, once);
            }
        }
        self.processes.push((name, supervised));
    }

    /// Waits until all are healthy, or one can't become so.
    async fn healthy(&self, names: &[&str]) -> Result<()> {
        for name in names {
            let settled = self
                .wait_for(name, PATIENCE, |process| {
                    process.state == State::Healthy || hopeless(process)
                })
                .await;
            let last = match settled {
                Ok(process) if process.state == State::Healthy => continue,
                Ok(process) => process,
                Err(_) => self.process(name)?,
            };
            return Err(does_not_start(&last));
        }
        Ok(())
    }

    /// Writes the state file on every change.
    fn start_scribe(&mut self) -> Result<()> {
        // Before anything starts: if this process is killed, its children are found through this
        // file.
        self.snapshot().save(self.dir())?;
        let (dir, dashboard) = (self.dir().to_owned(), self.dashboard_address());
        let mut changes = self.board.subscribe();
        let mut ready = self.ready.subscribe();
        self.scribe.spawn(async move {
            // Readiness too: it may change while a state is being written.
            while tokio::select! {
                changed = changes.changed() => changed.is_ok(),
                changed = ready.changed() => changed.is_ok(),
            } {
                let processes = changes.borrow_and_update().clone();
                let snapshot = Snapshot {
                    supervisor: Identity::current(),
                    ready: *ready.borrow_and_update(),
                    dashboard,
                    processes,
                };
                if let Err(error) = snapshot.save(&dir) {
                    tracing::error!(%error, "cannot write the state of the mesh");
                }
            }
        });
        Ok(())
    }
}

/// Returns the error of a process that does not become healthy, with the end of its log.
pub(super) fn does_not_start(process: &ProcessStatus) -> anyhow::Error {
    let why = process.detail.as_deref().unwrap_or(process.state.name());
    anyhow::anyhow!(
        "{} does not start ({why}); {} ends with:\n{}",
        process.name,
        process.log.display(),
        tail(&process.log)
    )
}

fn hopeless(process: &ProcessStatus) -> bool {
    process.restarts >= DEATHS || process.last_exit.as_deref() == Some(EX_USAGE)
}

fn prepare_logs(state_dir: &StateDir, options: &StackOptions) -> Result<()> {
    let logs = state_dir.path().join("logs");
    create_dir(&logs, 0o755)?;
    for name in options.listeners() {
        let log = log_file(state_dir.path(), name);
        if log.is_file() {
            set_aside(&log).with_context(|| format!("cannot rename {}", log.display()))?;
        }
    }
    Ok(())
}

/// Returns the last lines of a log, indented.
fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines
        .get(lines.len().saturating_sub(LOG_LINES)..)
        .unwrap_or_default();
    if last.is_empty() {
        return "    (nothing)".to_owned();
    }
    last.iter()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
