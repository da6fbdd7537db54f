//! Consumers in other languages: the examples read facts of the real mesh, through kills, each once
//! and in the order of its key; a reader may do nothing else.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::ConnectOptions;
use async_nats::jetstream::{self, consumer::pull};
use bytes::Bytes;
use integration_tests::{Mesh, eventually, import::HEADER};
use mesh::stack::Reader;
use serde_json::Value;
use tokio::process::Child;

const ACCOUNTS: usize = 20;
const INVOICES_OF_EACH: usize = 10;
const FACTS: usize = ACCOUNTS * INVOICES_OF_EACH;

#[tokio::test(flavor = "multi_thread")]
async fn consumers_in_python_and_go_apply_each_fact_once_in_order_despite_kills() -> Result<()> {
    let programs = [python()?, go()?];
    let programs: Vec<_> = programs.into_iter().flatten().collect();
    if programs.is_empty() {
        return Ok(());
    }
    let mut options = Mesh::options()?;
    for program in &programs {
        options = options.reader(program.name)?;
    }
    let mesh = Mesh::start_with(options).await?;
    import(&mesh).await?;
    let contract = mesh.stack().dir().join("contract.binpb");
    fs::write(&contract, protos::FILE_DESCRIPTOR_SET)?;
    let runs = programs
        .iter()
        .map(|program| read_all(&mesh, program, &contract));
    futures::future::try_join_all(runs).await?;
    Ok(())
}

/// Kills a consumer on its way, starts it again, and checks what it has done at the end.
async fn read_all(mesh: &Mesh, program: &Program, contract: &Path) -> Result<()> {
    let reader = mesh.stack().grant(program.name, "ingest").await?;
    let effects = mesh.stack().dir().join(format!("{}.jsonl", program.name));
    let mut running = program.run(&reader, contract, &effects)?;
    written(&effects, FACTS / 3).await?;
    running.kill().await?;
    // A line that a crash cut off is written again.
    let mut torn = fs::OpenOptions::new().append(true).open(&effects)?;
    std::io::Write::write_all(&mut torn, b"{\"id\": \"torn")?;
    let mut running = program.run(&reader, contract, &effects)?;
    written(&effects, FACTS).await?;
    settled(mesh, &reader).await?;
    running.kill().await?;
    check(&fs::read_to_string(&effects)?).with_context(|| program.name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_reads_what_it_was_granted_and_changes_nothing() -> Result<()> {
    let mesh = Mesh::start_with(Mesh::options()?.reader("analytics")?).await?;
    import(&mesh).await?;
    let reader = mesh.stack().grant("analytics", "ingest").await?;
    assert!(mesh.stack().grant("stranger", "ingest").await.is_err());
    let url = &reader.url;
    let address: async_nats::ServerAddr = url.parse()?;
    let password = address.password().context("a password")?.to_owned();
    let client = ConnectOptions::with_user_and_password("analytics".into(), password)
        .custom_inbox_prefix("_INBOX_analytics")
        .connect(url)
        .await?;
    let js = jetstream::context::ContextBuilder::new()
        .timeout(Duration::from_secs(2))
        .ack_timeout(Duration::from_secs(2))
        .build(client);
    let published = js
        .publish("evt.ingest.account.0.a", "x".into())
        .await?
        .await;
    assert!(published.is_err(), "{published:?}");
    assert!(js.get_stream("EVT_INGEST").await.is_err());
    let stream = js.get_stream_no_info("EVT_INGEST").await?;
    assert!(stream.purge().await.is_err());
    assert!(stream.get_raw_message(1).await.is_err());
    for name in ["analytics", "other"] {
        let config = pull::Config {
            durable_name: Some(name.to_owned()),
            ..pull::Config::default()
        };
        assert!(stream.create_consumer(config).await.is_err(), "{name}");
    }
    assert!(js.delete_stream("EVT_INGEST").await.is_err());
    let foreign =
        js.get_consumer_from_stream::<pull::Config, _, _>("orders_accounts", "EVT_INGEST");
    assert!(foreign.await.is_err());
    let own = js.get_consumer_from_stream::<pull::Config, _, _>("analytics", "EVT_INGEST");
    assert_eq!(own.await?.cached_info().num_pending, FACTS as u64);
    Ok(())
}

/// A consumer of the examples.
struct Program {
    name: &'static str,
    command: PathBuf,
    arguments: Vec<PathBuf>,
    env: Vec<(&'static str, PathBuf)>,
}

impl Program {
    fn run(&self, reader: &Reader, contract: &Path, effects: &Path) -> Result<Child> {
        let running = tokio::process::Command::new(&self.command)
            .args(&self.arguments)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .args(["--url", &reader.url, "--stream", &reader.stream])
            .args(["--consumer", &reader.consumer])
            .arg("--contract")
            .arg(contract)
            .arg("--effects")
            .arg(effects)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        running.with_context(|| format!("running the consumer in {}", self.name))
    }
}

/// Installs what the consumer in Python needs; none without Python.
fn python() -> Result<Option<Program>> {
    if !present("python3", "--version")? {
        return Ok(None);
    }
    let source = examples().join("python");
    let packages = built().join("python");
    let requirements = source.join("requirements.txt");
    // What is installed stays for the next run.
    let done = packages.join("requirements.txt");
    if fs::read(&done).ok() != Some(fs::read(&requirements)?) {
        let pip = ["-m", "pip", "install", "--quiet", "--upgrade", "--target"];
        let mut install = Command::new("python3");
        install
            .args(pip)
            .arg(&packages)
            .arg("-r")
            .arg(&requirements);
        succeed(&mut install)?;
        fs::copy(&requirements, done)?;
    }
    Ok(Some(Program {
        name: "python",
        command: "python3".into(),
        arguments: vec![source.join("consumer.py")],
        env: vec![("PYTHONPATH", packages)],
    }))
}

/// Builds the consumer in Go; none without Go.
fn go() -> Result<Option<Program>> {
    if !present("go", "version")? {
        return Ok(None);
    }
    let program = built().join("consumer-go");
    let mut build = Command::new("go");
    build.current_dir(examples().join("go"));
    build.args(["build", "-o"]).arg(&program).arg(".");
    succeed(&mut build)?;
    Ok(Some(Program {
        name: "go",
        command: program,
        arguments: Vec::new(),
        env: Vec::new(),
    }))
}

/// Returns whether a tool runs. CI has those of the default tests; elsewhere, what needs another
/// one is still tested.
pub(super) fn present(tool: &str, version: &str) -> Result<bool> {
    let found = Command::new(tool).arg(version).output().is_ok();
    ensure!(
        found || std::env::var_os("CI").is_none(),
        "{tool} is not installed"
    );
    if !found {
        eprintln!("SKIPPED: what needs {tool}, which is not installed");
    }
    Ok(found)
}

pub(super) fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    // Compilers write their errors to either.
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}

fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/consumers")
}

fn built() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("consumers")
}

/// Imports the invoices, whose facts are those of the context `ingest`.
async fn import(mesh: &Mesh) -> Result<()> {
    let mut file = HEADER.to_owned();
    for invoice in 0..FACTS {
        let account = 10_000 + invoice % ACCOUNTS;
        let number = 500_000 + invoice;
        file += &format!("{number},85123A,HOLDER,1,2010-12-01 08:26:00,2.55,{account},Norway\n");
    }
    let file = Bytes::from(file);
    let import = mesh.announce("read", &file).await?;
    mesh.resume(&import, &file).await?;
    mesh.completed(&import).await?;
    Ok(())
}

/// Waits until the file has so many whole lines.
async fn written(effects: &Path, lines: usize) -> Result<()> {
    eventually("the facts are applied", async || {
        let text = fs::read_to_string(effects).unwrap_or_default();
        let found = text.matches('\n').count();
        ensure!(found >= lines, "{found} lines");
        Ok(())
    })
    .await
}

/// Waits until the broker knows that all facts are applied.
async fn settled(mesh: &Mesh, reader: &Reader) -> Result<()> {
    let operator = super::broker::connect(&mesh.stack().nats_url("operator")?).await?;
    let js = jetstream::new(operator);
    eventually("all facts are acknowledged", async || {
        let consumer =
            js.get_consumer_from_stream::<pull::Config, _, _>(&*reader.consumer, &*reader.stream);
        let consumer = consumer.await?;
        let info = consumer.cached_info();
        let open = (info.num_pending, info.num_ack_pending);
        ensure!(open == (0, 0), "{open:?}");
        Ok(())
    })
    .await
}

/// Checks that each fact was applied once, and those of each account in their order.
fn check(effects: &str) -> Result<()> {
    let (mut ids, mut invoices) = (HashSet::new(), BTreeMap::<String, Vec<String>>::new());
    for line in effects.lines() {
        let fact: Value = serde_json::from_str(line)?;
        let text = |value: &Value| anyhow::Ok(value.as_str().context("a text")?.to_owned());
        ensure!(ids.insert(text(&fact["id"])?), "applied twice: {line}");
        ensure!(fact["type"] == "ingest.v1.InvoiceAccepted", "{line}");
        ensure!(fact["source"] == "/ingest", "{line}");
        ensure!(fact["key"] == fact["data"]["accountId"], "{line}");
        let of_account = invoices.entry(text(&fact["key"])?).or_default();
        of_account.push(text(&fact["data"]["invoiceNumber"])?);
        ensure!(fact["version"] == of_account.len(), "out of order: {line}");
    }
    ensure!(invoices.len() == ACCOUNTS, "{} accounts", invoices.len());
    for (account, numbers) in invoices {
        ensure!(numbers.len() == INVOICES_OF_EACH, "{account}: {numbers:?}");
        ensure!(numbers.is_sorted(), "{account}: {numbers:?}");
    }
    Ok(())
}
