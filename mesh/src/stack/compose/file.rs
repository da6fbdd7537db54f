//! The text of `compose.yaml`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use super::secrets::{BROKER, OPERATORS, OWNER, ROLES, SERVICE_FILE, STORE, configuration_of};
use super::{
    DOCKERFILE, Image, MIGRATE, OPERATORS_PORT, PORT, SECRETS, engine_image, engines, images,
    migrates, prometheus, secrets,
};
use crate::project::{
    Engine, GATEWAY, NATS, POSTGRES, Project, Readiness, Service, VALKEY, Wiring,
};
use crate::stack::postgres;

/// The job that makes roles and databases.
const DATABASES: &str = "databases";

/// The settings that containers share: no capability, no way to gain one, nothing to write but
/// volumes, and bounds. A process that drains has until `stop_grace_period`.
const COMMON: &str = r#"
x-common: &common
  read_only: true
  cap_drop: [ALL]
  security_opt: ["no-new-privileges:true"]
  stop_grace_period: 30s
  logging: {driver: json-file, options: {max-size: 10m, max-file: "3"}}

x-process: &process
  <<: *common
  restart: unless-stopped
  user: "65532:65532"
  deploy: {resources: {limits: {memory: 512M, pids: 512}}}

x-engine: &engine
  <<: *common
  restart: unless-stopped
  tmpfs: [/tmp]
  deploy: {resources: {limits: {memory: 1G, pids: 1024}}}

x-job: &job
  <<: *common
  restart: "no"
  deploy: {resources: {limits: {memory: 256M, pids: 64}}}

x-health: &health
  interval: 2s
  timeout: 5s
  retries: 45
  start_period: 30s
"#;

/// Returns the file.
pub(super) fn text(project: &Project) -> Result<String> {
    let mut text = format!(
        "# Written by `mesh compose` from mesh.toml; `mesh compose --check` tells whether it is up to date.\n\
         # The secrets are files in {}, which `mesh compose` makes and the repository never has.\n\
         # Only the gateway can be reached from outside; GATEWAY chooses its address, TAG the images.\n\
         name: {}\n{COMMON}\nservices:\n",
        secrets::DIRECTORY,
        project.name()
    );
    for engine in engines(project) {
        text += &self::engine(project, engine)?;
    }
    for image in images(project) {
        text += &process(project, &image)?;
    }
    text += &prometheus::container(project);
    text += "\nvolumes:\n  prometheus:\n";
    for engine in engines(project) {
        writeln!(text, "  {}:", engine.process())?;
    }
    writeln!(
        text,
        "\nconfigs:\n  prometheus: {{file: ./{}}}",
        prometheus::FILE
    )?;
    text += "\nsecrets:\n";
    for name in secret_names(project) {
        writeln!(text, "  {name}: {{file: ./{}/{name}}}", secrets::DIRECTORY)?;
    }
    Ok(text)
}

fn secret_names(project: &Project) -> Vec<String> {
    let mut names = Vec::new();
    for engine in engines(project) {
        let own: &[&str] = match engine {
            Engine::Postgres => &[OWNER, SERVICE_FILE, ROLES],
            Engine::Nats => &[BROKER],
            Engine::Valkey => &[STORE],
        };
        names.extend(own.iter().map(|name| (*name).to_owned()));
    }
    names.extend(project.names().map(configuration_of));
    names.push(OPERATORS.to_owned());
    names
}

fn engine(project: &Project, engine: Engine) -> Result<String> {
    let image = engine_image(engine)?;
    Ok(match engine {
        Engine::Postgres => {
            let roles = project.users_of(engine).count();
            let settings = postgres::settings(roles);
            let settings = settings.iter().flat_map(|setting| ["-c", setting]);
            let command = list(["postgres"].into_iter().chain(settings));
            format!(
                r#"
  {POSTGRES}:
    <<: *engine
    image: {image}
    user: postgres
    command: {command}
    environment:
      POSTGRES_PASSWORD_FILE: {SECRETS}/{OWNER}
      POSTGRES_INITDB_ARGS: "--encoding=UTF8 --locale=C --auth=scram-sha-256"
    secrets: [{OWNER}]
    tmpfs: [/tmp, /var/run/postgresql]
    shm_size: 256m
    volumes: ["{POSTGRES}:/var/lib/postgresql"]
    healthcheck:
      <<: *health
      test: [CMD, pg_isready, --quiet, --host=127.0.0.1, --username={admin}]

  # Makes the roles and databases that are missing.
  {DATABASES}:
    <<: *job
    image: {image}
    user: postgres
    entrypoint: [psql, --no-psqlrc, --quiet, --set=ON_ERROR_STOP=1, --file={SECRETS}/{ROLES}]
    environment: {{PGSERVICEFILE: {SECRETS}/{SERVICE_FILE}, PGSERVICE: {POSTGRES}}}
    secrets: [{SERVICE_FILE}, {ROLES}]
    depends_on:
      {POSTGRES}: {{condition: service_healthy}}
"#,
                admin = postgres::ADMIN
            )
        }
        // Without capabilities its root can write its own volume, and nothing else.
        Engine::Nats => format!(
            r#"
  {NATS}:
    <<: *engine
    image: {image}
    command: [--config, {SECRETS}/{BROKER}]
    secrets: [{BROKER}]
    volumes: ["{NATS}:/data"]
    healthcheck:
      <<: *health
      test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:8222/healthz"]
"#
        ),
        Engine::Valkey => format!(
            r#"
  {VALKEY}:
    <<: *engine
    image: {image}
    user: valkey
    command: [valkey-server, {SECRETS}/{STORE}]
    secrets: [{STORE}]
    working_dir: /data
    volumes: ["{VALKEY}:/data"]
    healthcheck:
      <<: *health
      test: [CMD, valkey-cli, ping]
"#
        ),
    })
}

fn process(project: &Project, image: &Image) -> Result<String> {
    let name = &image.process;
    let service = project.service(name);
    let variables = variables(project, name);
    let mut text = String::new();
    let mut depends: Vec<(String, &str)> = Vec::new();
    let needs = service.map_or(&project.gateway().needs, |service| &service.needs);
    for engine in needs {
        match engine {
            Engine::Postgres => {
                depends.push((DATABASES.to_owned(), "service_completed_successfully"))
            }
            Engine::Nats | Engine::Valkey => {
                depends.push((engine.process().to_owned(), "service_healthy"));
            }
        }
    }
    if service.is_some_and(migrates) {
        let job = format!("{name}-{MIGRATE}");
        writeln!(text, "\n  {job}:\n    <<: *job")?;
        text += &container(image, &variables);
        writeln!(text, "    command: [{MIGRATE}]")?;
        text += &dependencies(&[(DATABASES.to_owned(), "service_completed_successfully")]);
        depends.retain(|(other, _)| other != DATABASES);
        depends.push((job, "service_completed_successfully"));
    }
    if name == GATEWAY {
        let behind = project.services().iter().filter(|service| service.gateway);
        depends.extend(behind.map(|service| (service.name.clone(), condition(service))));
    }
    writeln!(text, "\n  {name}:\n    <<: *process")?;
    text += &build(image);
    text += &container(image, &variables);
    if service.is_some_and(Service::is_connect) {
        text += &source_mounts(&variables);
    }
    if name == GATEWAY {
        writeln!(text, "    ports: [\"${{GATEWAY:-127.0.0.1:8080}}:{PORT}\"]")?;
    }
    if service.is_none_or(|service| service.readiness == Readiness::Http) {
        text += "    healthcheck:\n      <<: *health\n      test: [CMD, /process, health]\n";
    }
    text += &dependencies(&depends);
    Ok(text)
}

/// Returns the condition by which others wait for a service. How else than by our own verb a
/// program could be asked for its health, only its image knows.
fn condition(service: &Service) -> &'static str {
    match service.readiness {
        Readiness::Http => "service_healthy",
        Readiness::Grpc | Readiness::Tcp => "service_started",
    }
}

/// Returns what a process and the job of its migrations have in common.
fn container(image: &Image, variables: &BTreeMap<String, String>) -> String {
    let Image { process, name, .. } = image;
    let mut text = format!("    image: {name}:${{TAG:-latest}}\n    environment:\n");
    for (name, value) in variables {
        text += &format!("      {name}: {}\n", quoted(value));
    }
    if image.dockerfile == Path::new(DOCKERFILE) {
        text += "      PROTOMESH_OTLP_ENDPOINT: ${OTLP_ENDPOINT:-}\n";
    }
    let configuration = configuration_of(process);
    text + &format!("    secrets: [{configuration}, {OPERATORS}]\n")
}

/// Returns what a process that reads sources has beside others: their files, a place for the files
/// that it unpacks, and for directories that it watches. A volume in their place keeps them.
fn source_mounts(variables: &BTreeMap<String, String>) -> String {
    let mut text = "    working_dir: /\n    tmpfs: [/tmp, /inbox]\n".to_owned();
    let sources = variables.get("PROTOMESH_SOURCES");
    if let Some(sources) = sources.filter(|path| !path.starts_with('/')) {
        let mount = quoted(&format!("./{sources}:/{sources}:ro"));
        text += &format!("    volumes: [{mount}]\n");
    }
    text
}

/// Returns how the image of a process is built; that of its job is the same one.
fn build(image: &Image) -> String {
    let arguments = image.arguments.iter();
    let arguments = arguments.map(|(name, value)| format!("{name}: {}", quoted(value)));
    let arguments: Vec<String> = arguments.collect();
    format!(
        "    build:\n      context: .\n      dockerfile: {}\n      args: {{{}}}\n",
        image.dockerfile.display(),
        arguments.join(", ")
    )
}

fn dependencies(list: &[(String, &str)]) -> String {
    let mut text = String::new();
    for (name, condition) in list {
        if text.is_empty() {
            text += "    depends_on:\n";
        }
        text += &format!("      {name}: {{condition: {condition}}}\n");
    }
    text
}

/// Returns the variables of a process that are no secrets. Passwords are in its configuration file.
fn variables(project: &Project, name: &str) -> BTreeMap<String, String> {
    let at = |port: u16| {
        let names = project.names();
        names
            .map(|name| (name.to_owned(), format!("{name}:{port}")))
            .collect::<BTreeMap<_, _>>()
    };
    let services = project.services().iter();
    let upstreams: Vec<&str> = services.map(|service| service.name.as_str()).collect();
    let none = BTreeMap::new();
    let operators = Path::new(SECRETS).join(OPERATORS);
    let wiring = Wiring {
        project,
        addresses: &at(PORT),
        operator_addresses: &at(OPERATORS_PORT),
        database_urls: &none,
        broker_urls: &none,
        valkey_urls: &none,
        upstreams: &upstreams,
        otlp: None,
        operators: &operators,
        security: project.security(),
        credentials: &|_| Vec::new(),
    };
    let mut variables = wiring.environment(name);
    let mut set = |key: &str, value: String| variables.insert(format!("PROTOMESH_{key}"), value);
    set("LISTEN", format!("0.0.0.0:{PORT}"));
    set("CONFIG", format!("{SECRETS}/{}", configuration_of(name)));
    let service = project.service(name);
    if service.is_none_or(|service| service.package().is_some()) {
        set("ADMIN_LISTEN", format!("0.0.0.0:{OPERATORS_PORT}"));
    }
    if service.is_some_and(migrates) {
        set("DATABASE__MIGRATE", false.to_string());
    }
    // What the project itself says about a variable goes first.
    let own = service.map_or(&project.gateway().env, |service| &service.env);
    variables.extend(own.clone());
    variables
}

/// Writes a text as YAML, which has JSON's strings; Compose replaces what follows a single dollar.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text.replace('$', "$$")).to_string()
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let items: Vec<String> = items.map(quoted).collect();
    format!("[{}]", items.join(", "))
}
