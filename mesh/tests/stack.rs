//! A mesh of real engines: isolation of its databases, and restarts of killed processes.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of tests may panic as a test may"
)]

use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use mesh::snapshot::Snapshot;
use mesh::{Home, Stack, StackOptions, State, StateDir, Ui};
use sqlx::{Connection, PgConnection};

const PATIENCE: Duration = Duration::from_secs(30);

async fn engines() -> Stack {
    let home = Home::find().unwrap();
    let options = StackOptions::new(&home).unwrap().engines_only();
    Stack::launch(&home, StateDir::scratch(&home).unwrap(), options, Ui::Quiet)
        .await
        .unwrap()
}

fn code(error: &sqlx::Error) -> Option<String> {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .map(|code| code.into_owned())
}

#[tokio::test]
async fn a_role_enters_its_own_database_and_no_other() {
    let stack = engines().await;
    let own = stack.database_url("orders").unwrap();
    let mut connection = PgConnection::connect(&own).await.unwrap();
    sqlx::raw_sql("CREATE TABLE mine (id int)")
        .execute(&mut connection)
        .await
        .unwrap();
    for database in ["payments", "inventory", "ingest", "postgres", "template1"] {
        let foreign = format!("{}/{database}", own.strip_suffix("/orders").unwrap());
        let refused = PgConnection::connect(&foreign).await.unwrap_err();
        assert_eq!(
            code(&refused).as_deref(),
            Some("42501"),
            "orders in {database}: {refused}"
        );
    }
    let stranger = own.replace("postgres://orders", "postgres://payments");
    let refused = PgConnection::connect(&stranger).await.unwrap_err();
    assert_eq!(
        code(&refused).as_deref(),
        Some("28P01"),
        "payments with the password of orders: {refused}"
    );
    stack.shutdown().await.unwrap();
}

#[tokio::test]
async fn data_and_passwords_are_private() {
    let stack = engines().await;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&stack.dir().join("pgpass")), 0o600);
    assert_eq!(mode(&stack.dir().join("data/postgres")), 0o700);
    assert_eq!(mode(&stack.dir().join("data/nats")), 0o700);
}

#[tokio::test]
async fn killed_engines_come_back_on_the_same_port_with_their_data() {
    let stack = engines().await;
    let url = stack.database_url("orders").unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE kept (id int); INSERT INTO kept VALUES (42)")
        .execute(&mut connection)
        .await
        .unwrap();
    for engine in ["postgres", "nats"] {
        let address = stack.address(engine).unwrap();
        let ended = stack.kill(engine).unwrap();
        let revived = stack.revived(engine, &ended).await.unwrap();
        assert!(!ended.is_alive());
        assert_eq!(revived.address, address);
        assert!(revived.restarts >= 1, "{revived:?}");
        assert_eq!(revived.last_exit.as_deref(), Some("signal: 9 (SIGKILL)"));
    }
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let id: i32 = sqlx::query_scalar("SELECT id FROM kept")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(id, 42);
}

/// Sends lines to Valkey as a user; returns the lines that it answers, until a command fails.
fn ask(stack: &Stack, user: &str, commands: &[&str]) -> Vec<String> {
    let url = stack.valkey_url(user).unwrap();
    let (user, password) = url["redis://".len()..].split_once(':').unwrap();
    let (password, address) = password.split_once('@').unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
    let login = format!("AUTH {user} {password}");
    let sent = [login.as_str()].into_iter().chain(commands.iter().copied());
    let mut said = Vec::new();
    for command in sent {
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
        said.push(answers.next().unwrap().unwrap());
    }
    said
}

#[tokio::test]
async fn valkey_starts_for_whom_it_is_needed_keeps_its_data_and_parts_its_users() {
    let home = Home::find().unwrap();
    let options = StackOptions::new(&home).unwrap();
    let options = options.only(["valkey"]).unwrap();
    let state_dir = StateDir::scratch(&home).unwrap();
    let stack = Stack::launch(&home, state_dir, options, Ui::Quiet);
    let stack = stack.await.unwrap();
    let running: Vec<String> = stack.processes().into_keys().collect();
    assert_eq!(running, ["valkey"]);
    assert_eq!(ask(&stack, "operator", &["SET kept 42"]), ["+OK", "+OK"]);
    let ended = stack.kill("valkey").unwrap();
    stack.revived("valkey", &ended).await.unwrap();
    assert_eq!(ask(&stack, "operator", &["STRLEN kept"]), ["+OK", ":2"]);

    let said = ask(
        &stack,
        "gateway",
        &["SET gateway:own 1", "GET kept", "FLUSHALL"],
    );
    assert_eq!(said[..2], ["+OK", "+OK"]);
    for refused in &said[2..] {
        assert!(refused.starts_with("-NOPERM"), "{refused}");
    }

    let address = stack.address("valkey").unwrap();
    let mut stranger = std::net::TcpStream::connect(address).unwrap();
    stranger.write_all(b"GET kept\r\n").unwrap();
    let mut said = String::new();
    BufReader::new(stranger).read_line(&mut said).unwrap();
    assert!(said.starts_with("-NOPERM"), "{said}");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&stack.dir().join("data/valkey")), 0o700);
    assert_eq!(mode(&stack.dir().join("valkeypass")), 0o600);
    assert_eq!(mode(&stack.dir().join("valkey.conf")), 0o600);
    stack.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_stopped_process_stays_down_until_it_is_started() {
    let stack = engines().await;
    let address = stack.address("nats").unwrap();
    stack.stop("nats").await.unwrap();
    let stopped = stack.process("nats").unwrap();
    assert_eq!(
        (stopped.state, stopped.life, stopped.restarts),
        (State::Stopped, None, 0)
    );
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    stack.start("nats").await.unwrap();
    assert_eq!(stack.process("nats").unwrap().address, address);
    tokio::net::TcpStream::connect(address).await.unwrap();
}

#[tokio::test]
async fn meshes_side_by_side_share_nothing() {
    let (one, two) = tokio::join!(engines(), engines());
    assert_ne!(
        one.address("postgres").unwrap(),
        two.address("postgres").unwrap()
    );
    for role in ["orders", "postgres"] {
        let crossed = one.database_url(role).unwrap().replace(
            &one.address("postgres").unwrap().to_string(),
            &two.address("postgres").unwrap().to_string(),
        );
        let refused = PgConnection::connect(&crossed).await.unwrap_err();
        assert_eq!(
            code(&refused).as_deref(),
            Some("28P01"),
            "{role}: {refused}"
        );
    }
}

#[tokio::test]
async fn passwords_are_in_no_log_and_not_in_the_cluster() {
    let home = Home::find().unwrap();
    let options = StackOptions::new(&home).unwrap().engines_only();
    let state_dir = StateDir::scratch(&home).unwrap();
    let first = Stack::launch(&home, state_dir, options.clone(), Ui::Quiet)
        .await
        .unwrap();
    let owner = first.database_url("postgres").unwrap();
    let mut connection = PgConnection::connect(&owner).await.unwrap();
    let kept: Vec<String> =
        sqlx::query_scalar("SELECT rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    assert_eq!(kept.len(), 8, "seven services and the owner");
    assert!(
        kept.iter()
            .all(|kept| kept.starts_with("SCRAM-SHA-256$4096:"))
    );
    // As with a statement that fails, from now on every statement is in the log.
    sqlx::raw_sql("ALTER SYSTEM SET log_statement = 'all'")
        .execute(&mut connection)
        .await
        .unwrap();
    drop(connection);
    let state_dir = first.shutdown().await.unwrap();
    let second = Stack::launch(&home, state_dir, options, Ui::Quiet)
        .await
        .unwrap();
    let log = std::fs::read_to_string(second.log("postgres")).unwrap();
    assert!(log.contains("ROLE \"orders\""), "{log}");
    let passwords = std::fs::read_to_string(second.dir().join("pgpass")).unwrap();
    for line in passwords.lines() {
        let (_, password) = line.rsplit_once(':').unwrap();
        assert!(!log.contains(password), "{line}");
        for kept in &kept {
            assert!(!kept.contains(password), "{line}");
        }
    }
}

#[tokio::test]
async fn a_role_that_takes_all_its_connections_leaves_those_of_others() {
    let stack = engines().await;
    let url = stack.database_url("orders").unwrap();
    let mut taken = Vec::new();
    let refused = loop {
        match PgConnection::connect(&url).await {
            Ok(connection) => taken.push(connection),
            Err(refused) => break refused,
        }
    };
    assert_eq!(code(&refused).as_deref(), Some("53300"), "{refused}");
    assert!((40..50).contains(&taken.len()), "{}", taken.len());
    for role in ["payments", "inventory", "ingest", "postgres"] {
        let url = stack.database_url(role).unwrap();
        PgConnection::connect(&url).await.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_mesh_leaves_nothing() {
    let stack = engines().await;
    let (processes, dir) = (stack.processes(), stack.dir().to_owned());
    drop(stack);
    for process in processes.values() {
        let life = process.life.clone().unwrap();
        until(|| !life.is_alive(), &format!("{} ended", process.name)).await;
    }
    assert!(!dir.join("state.json").exists());
}

#[tokio::test]
async fn a_second_mesh_in_the_same_directory_keeps_ports_and_data() {
    let home = Home::find().unwrap();
    let options = StackOptions::new(&home).unwrap().engines_only();
    let first = Stack::launch(
        &home,
        StateDir::scratch(&home).unwrap(),
        options.clone(),
        Ui::Quiet,
    )
    .await
    .unwrap();
    let (address, url) = (
        first.address("postgres").unwrap(),
        first.database_url("orders").unwrap(),
    );
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE kept (id int)")
        .execute(&mut connection)
        .await
        .unwrap();
    let state_dir = first.shutdown().await.unwrap();
    let second = Stack::launch(&home, state_dir, options, Ui::Quiet)
        .await
        .unwrap();
    assert_eq!(
        (
            second.address("postgres").unwrap(),
            second.database_url("orders").unwrap()
        ),
        (address, url.clone())
    );
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query("SELECT id FROM kept")
        .fetch_all(&mut connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_service_that_refuses_its_configuration_fails_the_launch_with_its_words() {
    let home = Home::find().unwrap();
    let binaries = tempfile::tempdir().unwrap();
    let gateway = binaries.path().join("mesh-gateway");
    std::fs::write(
        &gateway,
        "#!/bin/sh\necho \"$PROTOMESH_UPSTREAMS is wrong\" >&2\nexit 64\n",
    )
    .unwrap();
    std::fs::set_permissions(&gateway, std::fs::Permissions::from_mode(0o755)).unwrap();
    let options = StackOptions::new(&home)
        .unwrap()
        .only(["gateway"])
        .unwrap()
        .binaries(binaries.path())
        .env("gateway", "PROTOMESH_UPSTREAMS", "nonsense");
    let failed = Stack::launch(&home, StateDir::scratch(&home).unwrap(), options, Ui::Quiet)
        .await
        .unwrap_err();
    assert!(
        format!("{failed:#}").contains("nonsense is wrong"),
        "{failed:#}"
    );
}

#[tokio::test]
async fn what_a_killed_supervisor_leaves_is_found_and_stopped() {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "supervisor_to_be_killed",
            "--nocapture",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let dir = lines
        .find_map(|line| {
            line.unwrap()
                .split_once("state in ")
                .map(|(_, dir)| dir.to_owned())
        })
        .unwrap();
    let left = Snapshot::load(Path::new(&dir)).unwrap();
    owner.kill().unwrap();
    owner.wait().unwrap();
    let lives: Vec<_> = left
        .processes
        .values()
        .filter_map(|process| process.life.clone())
        .collect();
    assert_eq!(lives.len(), 3);
    let _next = StateDir::scratch(&Home::find().unwrap()).unwrap();
    // Another test of this program may have swept it.
    until(
        || {
            lives.iter().all(|life| !life.is_alive())
                && !Path::new(&dir).join("state.json").exists()
        },
        "the rest was cleared away",
    )
    .await;
}

#[tokio::test]
#[ignore = "runs until it is killed, by what_a_killed_supervisor_leaves_is_found_and_stopped"]
async fn supervisor_to_be_killed() {
    let stack = engines().await;
    println!("state in {}", stack.dir().display());
    std::future::pending::<()>().await;
}

async fn until(condition: impl Fn() -> bool, what: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut again = tokio::time::interval(Duration::from_millis(10));
    while !condition() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not within {PATIENCE:?}: {what}"
        );
        again.tick().await;
    }
}
