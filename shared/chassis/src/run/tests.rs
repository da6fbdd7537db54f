//! Command line, exit codes and background tasks.

use std::ffi::OsString;
use std::path::PathBuf;

use super::arguments::{Arguments, parse};
use super::*;
use crate::config::Settings;
use crate::process::{Direction, Migration};

fn settings() -> Settings {
    let layers = Layers::load("", &Sources::default()).unwrap();
    layers.settings().unwrap()
}

fn source() -> ListenSource {
    ListenSource::of(&Layers::load("", &Sources::default()).unwrap())
}

const FLAGS: &[Flag] = &[
    Flag {
        name: "upstream",
        key: "upstreams",
        help: "URL of a backend",
    },
    Flag {
        name: "backend",
        key: "upstreams",
        help: "The same",
    },
];

fn arguments(line: &str) -> Result<Arguments, clap::Error> {
    let program = Program {
        name: "gateway",
        about: "Fronts backends.",
        defaults: "upstreams = []",
        flags: FLAGS,
    };
    parse(&program, line.split(' ').map(OsString::from))
}

#[test]
fn repeated_flags_make_a_list() {
    let parsed =
        arguments("gateway --upstream http://a --upstream http://b --config x.toml").unwrap();
    assert_eq!(parsed.flags["upstreams"], ["http://a", "http://b"]);
    assert_eq!(parsed.file, Some(PathBuf::from("x.toml")));
    assert!(!parsed.dump);
}

#[test]
fn flags_of_one_key_make_one_list() {
    let parsed = arguments("gateway --backend http://b --upstream http://a").unwrap();
    assert_eq!(parsed.flags["upstreams"], ["http://a", "http://b"]);
}

#[test]
fn unknown_flags_are_refused_and_help_is_not_a_failure() {
    assert!(arguments("gateway --downstream x").is_err_and(|error| error.use_stderr()));
    let help = arguments("gateway --help").err().unwrap();
    assert!(!help.use_stderr());
    let help = help.to_string();
    for part in [
        "Fronts backends.",
        "--upstream",
        "--listen <HOST:PORT>",
        "--version",
        "PROTOMESH_CONFIG",
        "PROTOMESH_UPSTREAMS",
        "PROTOMESH_LISTENER__REUSE_PORT",
    ] {
        assert!(help.contains(part), "{part} is missing: {help}");
    }
    let short = arguments("gateway -h").err().unwrap().to_string();
    assert!(!short.contains("PROTOMESH_UPSTREAMS"), "{short}");
}

#[test]
fn the_address_is_a_flag_and_the_version_no_failure() {
    let parsed = arguments("gateway --listen 127.0.0.1:7").unwrap();
    assert_eq!(parsed.flags["listen"], ["127.0.0.1:7"]);
    let version = arguments("gateway --version").err().unwrap();
    assert!(!version.use_stderr());
    assert!(version.to_string().contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_verb_is_found_with_flags_on_either_side_of_it() {
    let verb = |line: &str| arguments(line).unwrap().verb;
    assert_eq!(verb("gateway"), Verb::Run(Task::Serve));
    assert_eq!(verb("gateway health"), Verb::Health);
    for line in [
        "gateway migrate --config x.toml --listen 127.0.0.1:7",
        "gateway --config x.toml --listen 127.0.0.1:7 migrate",
    ] {
        let parsed = arguments(line).unwrap();
        assert_eq!(parsed.verb, Verb::Run(Task::Migrate(Migration::default())));
        assert_eq!(parsed.file, Some(PathBuf::from("x.toml")), "{line}");
        assert_eq!(parsed.flags["listen"], ["127.0.0.1:7"], "{line}");
    }
    assert!(arguments("gateway migrat").is_err_and(|error| error.use_stderr()));
}

#[test]
fn a_migration_has_a_direction_and_an_end() {
    let migration = |line: &str| match arguments(line).unwrap().verb {
        Verb::Run(Task::Migrate(migration)) => migration,
        other => panic!("{other:?}"),
    };
    let down = migration("orders migrate down --to 6 --library events --config x.toml");
    let expected = Migration {
        direction: Direction::Down,
        to: Some(6),
        library: Some("events".into()),
        json: false,
    };
    assert_eq!(down, expected);
    assert_eq!(migration("orders migrate up"), Migration::default());
    let status = migration("orders migrate status --json");
    assert_eq!((status.direction, status.json), (Direction::Status, true));
    for line in [
        "orders migrate down --to -1",
        "orders migrate sideways",
        "orders migrate up --json",
    ] {
        assert!(arguments(line).is_err(), "{line}");
    }
}

#[tokio::test]
async fn a_start_that_ends_its_process_is_a_success() {
    let process = Process::with_task("test", settings(), Task::Migrate(Migration::default()));
    let ended = run_to_end(
        process,
        (),
        source(),
        async |process: Process, ()| match process.end().await {},
    );
    ended.await.unwrap();
}

#[tokio::test]
async fn a_process_without_a_database_has_nothing_to_migrate() {
    let process = Process::with_task("test", settings(), Task::Migrate(Migration::default()));
    let served = run_to_end(process, (), source(), async |_, ()| {
        Ok(Server::new(&[], &[]))
    });
    let error = served.await.unwrap_err().to_string();
    assert!(error.contains("nothing to migrate"), "{error}");
}

#[test]
fn a_configuration_error_anywhere_is_a_usage_error() {
    let error = ConfigError::new("inventory_url", "expected a URL", "the configuration");
    let wrapped = anyhow::Error::from(error).context("start");
    assert_eq!(exit_code(&wrapped), ExitCode::from(64));
    assert_eq!(
        exit_code(&anyhow::anyhow!("no database")),
        ExitCode::from(1)
    );
}

async fn outcome(task: impl Future<Output = anyhow::Result<()>> + Send + 'static) -> bool {
    let process = Process::new("test", settings());
    process.spawn("task", task);
    process.failed().await;
    process.finish().await
}

#[tokio::test]
async fn a_task_that_fails_or_panics_fails_the_process() {
    assert!(!outcome(async { anyhow::bail!("lost the broker") }).await);
    assert!(!outcome(async { panic!("as asked") }).await);
}

#[tokio::test]
async fn tasks_end_with_the_shutdown() {
    let process = Process::new("test", settings());
    let shutdown = process.shutdown();
    process.spawn("waits", async move {
        shutdown.cancelled().await;
        anyhow::bail!("connection closed under us")
    });
    process.spawn("done", async { Ok::<(), std::io::Error>(()) });
    assert!(process.finish().await);
}

#[tokio::test]
async fn a_start_error_is_returned() {
    let process = Process::new("test", settings());
    let started = run_to_end(process, (), source(), async |_, ()| {
        anyhow::bail!("no database")
    })
    .await;
    assert_eq!(format!("{:#}", started.unwrap_err()), "start: no database");
}

#[tokio::test]
async fn a_failed_task_stops_the_server_and_the_process() {
    let process = Process::new("test", settings());
    let lived = run_to_end(process, (), source(), async |process: Process, ()| {
        process.spawn("relay", async { anyhow::bail!("lost the broker") });
        Ok(Server::new(&[], &[]))
    });
    assert_eq!(
        lived.await.unwrap_err().to_string(),
        "a background task failed"
    );
}
