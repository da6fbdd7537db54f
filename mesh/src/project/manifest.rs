//! The keys of `mesh.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use serde::Deserialize;

use super::argv::Argv;
use super::environment::Environment;
use super::issuer::Issuer;
use super::security::Security;
use super::{GATEWAY, NATS, POSTGRES, Project, VALKEY, order, suggest};

/// Longest name of a service: it is also that of a database role, a user of the broker, and a token
/// of subjects.
const MAX_NAME: usize = 40;
/// Most services of one project: each has connections of its own to the database.
const MAX_SERVICES: usize = 64;
/// The program that delivers records of sources; its package has another name.
const CONNECT_PROGRAM: &str = "mesh-connect";
/// Names that a service can't have.
const RESERVED: [&str; 11] = [
    GATEWAY,
    POSTGRES,
    NATS,
    VALKEY,
    "default",
    "mesh",
    "operator",
    "dashboard",
    "traces",
    "template0",
    "template1",
];

/// An engine that a process needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// A database and a role of the service's name.
    Postgres,
    /// A user of the broker, which publishes the service's own facts only.
    Nats,
    /// A user of the store, which sees only keys that begin with its name and a colon.
    Valkey,
}

impl Engine {
    /// Returns the name of its process.
    pub fn process(self) -> &'static str {
        match self {
            Self::Postgres => POSTGRES,
            Self::Nats => NATS,
            Self::Valkey => VALKEY,
        }
    }
}

/// How a process is asked whether it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Readiness {
    /// `GET /readyz` answers 200.
    Http,
    /// `grpc.health.v1.Health/Check` answers `SERVING`.
    Grpc,
    /// The port accepts a connection.
    Tcp,
}

/// A service. Its name is also that of its database, its role and its user of the broker.
#[derive(Clone, Debug)]
pub struct Service {
    /// The name, in lower case.
    pub name: String,
    /// The way to build and start it.
    pub run: Run,
    /// Engines that it needs.
    pub needs: BTreeSet<Engine>,
    /// Services that it calls: it gets the URL of each in `PROTOMESH_<NAME>_URL`.
    pub calls: Vec<String>,
    /// Contexts whose facts it consumes.
    pub reads: Vec<String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// The check that it is ready.
    pub readiness: Readiness,
    /// Whether the gateway serves its API.
    pub gateway: bool,
    /// Directories whose changes restart it in `mesh dev`.
    pub watch: Vec<PathBuf>,
    /// Commands of its tests, which `mesh test` runs.
    pub test: Vec<Argv>,
}

/// How a process is built and started.
#[derive(Clone, Debug)]
pub enum Run {
    /// A program of a Cargo package of the project.
    Cargo {
        /// The package.
        package: String,
        /// The program.
        program: String,
    },
    /// Any command, which runs in the directory of the project.
    Command {
        /// The process.
        command: Argv,
        /// Commands that have to succeed before it starts.
        build: Vec<Argv>,
    },
}

/// The gateway's part of a project.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Address at which `mesh up` makes it listen; the next free port if the default is in use.
    pub listen: Option<SocketAddr>,
    /// Its configuration file, relative to the project.
    pub config: Option<PathBuf>,
    /// Cargo package of the project that it is built from; otherwise the installed `mesh-gateway`.
    pub package: Option<String>,
    /// Engines that it needs: Valkey, and NATS for its audit trail.
    #[serde(default)]
    pub needs: BTreeSet<Engine>,
    /// Its environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// A command of the project: `mesh NAME ARGUMENTS…` runs it with the addresses of the mesh.
#[derive(Clone, Debug)]
pub struct Command {
    /// Program and first arguments.
    pub run: Argv,
    /// One line of help.
    pub about: String,
    /// Whether the mesh is started first if it is not up.
    pub up: bool,
}

/// The commands by which `mesh verify` knows the effects of a project.
#[derive(Clone, Debug)]
pub struct Verify {
    /// Makes work, and ends once all of it has been answered; it has to repeat what fails.
    pub load: Argv,
    /// Compares the effects with the work; fails if something is lost or doubled.
    pub check: Argv,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    project: ProjectTable,
    #[serde(default)]
    gateway: Gateway,
    #[serde(default)]
    services: BTreeMap<String, ServiceTable>,
    #[serde(default)]
    command: BTreeMap<String, CommandTable>,
    verify: Option<VerifyTable>,
    #[serde(default)]
    environments: BTreeMap<String, Environment>,
    #[serde(default)]
    security: Security,
    issuer: Option<Issuer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProjectTable {
    name: String,
    #[serde(default)]
    first_steps: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceTable {
    package: Option<String>,
    program: Option<String>,
    command: Option<Vec<String>>,
    #[serde(default)]
    build: Vec<Vec<String>>,
    #[serde(default)]
    needs: BTreeSet<Engine>,
    #[serde(default)]
    calls: Vec<String>,
    #[serde(default)]
    reads: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    readiness: Option<Readiness>,
    #[serde(default = "yes")]
    gateway: bool,
    #[serde(default)]
    watch: Vec<PathBuf>,
    #[serde(default)]
    test: Vec<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandTable {
    run: Vec<String>,
    #[serde(default)]
    about: String,
    #[serde(default)]
    up: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyTable {
    load: Vec<String>,
    check: Vec<String>,
}

fn yes() -> bool {
    true
}

/// Reads a `mesh.toml`.
///
/// # Errors
/// On malformed TOML, unknown keys, and values that break a rule.
pub(super) fn parse(root: &Path, text: &str) -> Result<Project> {
    let manifest: Manifest = toml::from_str(text).map_err(suggest::with_suggestion)?;
    let Manifest {
        project,
        gateway,
        services: tables,
        command,
        verify,
        environments,
        security,
        issuer,
    } = manifest;
    security.check(issuer.is_some())?;
    check_name("project.name", &project.name)?;
    ensure!(
        !gateway.needs.contains(&Engine::Postgres),
        "gateway.needs: expected at most `{NATS}` and `{VALKEY}`: the gateway has no database"
    );
    ensure!(
        tables.len() <= MAX_SERVICES,
        "services: expected at most {MAX_SERVICES}, found {}",
        tables.len()
    );
    let mut services = Vec::with_capacity(tables.len());
    for (name, table) in tables {
        let key = format!("services.{name}");
        check_name(&key, &name)?;
        ensure!(
            !RESERVED.contains(&name.as_str()),
            "{key}: the name is reserved"
        );
        services.push(service(&key, name, table)?);
    }
    check_calls(&services)?;
    if let Some(issuer) = &issuer {
        issuer.check(&services)?;
    }
    let mut commands = BTreeMap::new();
    for (name, CommandTable { run, about, up }) in command {
        let run = Argv::parse(&format!("command.{name}.run"), run)?;
        commands.insert(name, Command { run, about, up });
    }
    let verify = verify.map(|VerifyTable { load, check }| {
        anyhow::Ok(Verify {
            load: Argv::parse("verify.load", load)?,
            check: Argv::parse("verify.check", check)?,
        })
    });
    Ok(Project {
        root: root.to_owned(),
        name: project.name,
        first_steps: project.first_steps,
        gateway,
        services: order::by_calls(services),
        commands,
        verify: verify.transpose()?,
        environments,
        security,
        issuer,
    })
}

fn service(key: &str, name: String, table: ServiceTable) -> Result<Service> {
    let run = match table.command {
        Some(command) => {
            let command = Argv::parse(&format!("{key}.command"), command)?;
            for other in ["package", "program"] {
                let is_set = match other {
                    "package" => table.package.is_some(),
                    _ => table.program.is_some(),
                };
                ensure!(!is_set, "{key}: `command` and `{other}` exclude each other");
            }
            let build = Argv::parse_all(&format!("{key}.build"), table.build)?;
            Run::Command { command, build }
        }
        None => {
            ensure!(
                table.build.is_empty(),
                "{key}.build: Cargo builds a service without `command`"
            );
            let package = table.package.unwrap_or_else(|| name.clone());
            let program = table.program.unwrap_or_else(|| package.clone());
            Run::Cargo { package, program }
        }
    };
    let readiness = table.readiness.unwrap_or(match run {
        Run::Cargo { .. } => Readiness::Http,
        Run::Command { .. } => Readiness::Grpc,
    });
    Ok(Service {
        name,
        run,
        needs: table.needs,
        calls: table.calls,
        reads: table.reads,
        env: table.env,
        readiness,
        gateway: table.gateway,
        watch: table.watch,
        test: Argv::parse_all(&format!("{key}.test"), table.test)?,
    })
}

fn check_calls(services: &[Service]) -> Result<()> {
    let names: Vec<&str> = services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for service in services {
        for callee in &service.calls {
            if !names.contains(&callee.as_str()) || *callee == service.name {
                bail!(
                    "services.{}.calls: no other service is named `{callee}`{}",
                    service.name,
                    suggest::hint(callee, &names)
                );
            }
        }
    }
    Ok(())
}

/// Checks a name that becomes one of a database, a role, a user, and a token of subjects.
fn check_name(key: &str, name: &str) -> Result<()> {
    let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_".contains(&c);
    let begins = name.bytes().next().is_some_and(|c| c.is_ascii_lowercase());
    ensure!(
        begins && name.len() <= MAX_NAME && name.bytes().all(is_plain),
        "{key}: expected a name of at most {MAX_NAME} of a-z, 0-9, - and _ that begins with a letter, found `{name}`"
    );
    Ok(())
}

// === impl Service ===

impl Service {
    /// Returns whether it serves TLS where the project has it on: the chassis does; a service with
    /// a command of its own does as it likes, and is called without.
    pub(crate) fn has_tls(&self) -> bool {
        matches!(self.run, Run::Cargo { .. })
    }

    /// Returns whether it delivers records of any source to the services that it calls.
    pub(crate) fn is_connect(&self) -> bool {
        let program = match &self.run {
            Run::Cargo { program, .. } => program,
            Run::Command { command, .. } => &command.program,
        };
        Path::new(program).file_name() == Some(CONNECT_PROGRAM.as_ref())
    }

    /// Returns the Cargo package, if it is built by Cargo.
    pub fn package(&self) -> Option<&str> {
        match &self.run {
            Run::Cargo { package, .. } => Some(package),
            Run::Command { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let text = format!("[project]\nname = \"shop\"\n{text}");
        parse(Path::new("/shop"), &text).unwrap_err().to_string()
    }

    #[test]
    fn services_start_after_the_ones_that_they_call() {
        let text = "[project]\nname = \"shop\"\n\
                    [services.a]\ncalls = [\"c\", \"b\"]\n[services.b]\ncalls = [\"c\"]\n[services.c]\n";
        let project = parse(Path::new("/shop"), text).unwrap();
        let names: Vec<&str> = project.names().collect();
        assert_eq!(names, ["c", "b", "a", "gateway"]);
    }

    #[test]
    fn services_that_call_each_other_start_in_the_order_of_names() {
        let text = "[project]\nname = \"shop\"\n\
                    [services.b]\ncalls = [\"a\"]\n[services.a]\ncalls = [\"b\"]\n";
        let project = parse(Path::new("/shop"), text).unwrap();
        let names: Vec<&str> = project.names().collect();
        assert_eq!(names, ["a", "b", "gateway"]);
    }

    #[test]
    fn a_service_is_a_cargo_package_unless_it_has_a_command() {
        let text = "[project]\nname = \"shop\"\n[services.stock]\nneeds = [\"postgres\", \"nats\"]\n\
                    [services.quotes]\ncommand = [\"python3\", \"main.py\"]\n";
        let project = parse(Path::new("/shop"), text).unwrap();
        let (stock, quotes) = (project.service("stock"), project.service("quotes"));
        assert_eq!(stock.unwrap().package(), Some("stock"));
        assert_eq!(stock.unwrap().readiness, Readiness::Http);
        assert_eq!(quotes.unwrap().package(), None);
        assert_eq!(quotes.unwrap().readiness, Readiness::Grpc);
        let users: Vec<&str> = project.users_of(Engine::Nats).collect();
        assert_eq!(users, ["stock"]);
    }

    #[test]
    fn the_program_that_reads_sources_is_known_however_it_is_run() {
        let text = "[project]\nname = \"shop\"\n\
                    [services.a]\npackage = \"protomesh-connect\"\nprogram = \"mesh-connect\"\n\
                    [services.b]\ncommand = [\"/usr/bin/mesh-connect\"]\n[services.connect]\n";
        let project = parse(Path::new("/shop"), text).unwrap();
        let is_connect = |name| project.service(name).unwrap().is_connect();
        assert!(is_connect("a") && is_connect("b"));
        // It is the program that counts, not the name.
        assert!(!is_connect("connect"));
    }

    /// The keys that the parser names in the error of an unknown one.
    fn keys(table: &str) -> Vec<String> {
        let said = error(&format!("{table}\nno-such-key = 1\n"));
        let (_, known) = said.split_once("expected one of ").unwrap();
        let known = known.split('`').skip(1).step_by(2);
        let mut known: Vec<String> = known.map(str::to_owned).collect();
        known.sort();
        known
    }

    #[test]
    fn the_schema_for_editors_has_the_keys_of_the_parser() {
        let schema = include_str!("../../mesh.schema.json");
        let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
        for (table, pointer) in [
            ("[gateway]", "/properties/gateway"),
            ("[issuer]", "/properties/issuer"),
            ("[services.a]", "/$defs/service"),
            ("[command.a]", "/properties/command/additionalProperties"),
        ] {
            let properties = schema.pointer(&format!("{pointer}/properties")).unwrap();
            let properties = properties.as_object().unwrap().keys().cloned();
            let properties: Vec<String> = properties.collect();
            assert_eq!(properties, keys(table), "{table}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_a_suggestion() {
        let said = error("[services.stock]\nneed = [\"postgres\"]\n");
        assert!(said.contains("line 4"), "{said}");
        assert!(said.contains("did you mean `needs`?"), "{said}");
    }

    #[test]
    fn a_value_that_breaks_a_rule_is_refused_with_its_key() {
        for (text, expected) in [
            ("[services.Stock]", "services.Stock: expected a name"),
            (
                "[services.gateway]",
                "services.gateway: the name is reserved",
            ),
            (
                "[services.stock]\n[services.a]\ncalls = [\"stok\"]",
                "services.a.calls: no other service is named `stok` (did you mean `stock`?)",
            ),
            (
                "[services.a]\ncommand = []",
                "services.a.command: expected a list",
            ),
            (
                "[services.a]\ncommand = [\"x\"]\npackage = \"a\"",
                "services.a: `command` and `package` exclude each other",
            ),
            (
                "[services.a]\nbuild = [[\"make\"]]",
                "services.a.build: Cargo builds a service without `command`",
            ),
            (
                "[gateway]\nneeds = [\"postgres\"]",
                "gateway.needs: expected at most `nats` and `valkey`",
            ),
            ("[command.x]\nrun = []", "command.x.run: expected a list"),
            (
                "[services.stock]\n[issuer]\nservice = \"stok\"",
                "issuer.service: no service is named `stok` (did you mean `stock`?)",
            ),
            (
                "[security]\nauthentication = true",
                "security.authentication: expected `[issuer]`",
            ),
            (
                "[services.a]\nneeds = [\"postgre\"]",
                "did you mean `postgres`?",
            ),
        ] {
            let said = error(text);
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
