//! `cargo xtask bench dev`: the time from saving a file to the answer of the new code.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mesh::client::{Client, Error};
use mesh::home::Home;
use mesh::os::{self, Signal};
use mesh::project::GATEWAY;
use mesh::ui::{self, Ui};
use mesh::{Snapshot, cargo};
use serde_json::{Value, json};

/// Edits that are measured.
const EDITS: usize = 3;
/// The text of the service that each edit changes: its answer to a title without letters.
const TEXT: &str = "the title has only white space";
/// Bound of the first build of a project.
const FIRST: Duration = Duration::from_secs(900);
/// Bound of one edit.
const EDIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// `mesh dev` in a new project; dropping it stops it.
struct Dev {
    directory: tempfile::TempDir,
    mesh: PathBuf,
    process: Child,
}

pub(super) async fn dev(home: &Home, args: &Args, ui: Ui) -> Result<ExitCode> {
    cargo::build(home, &["mesh", cargo::GATEWAY_PROGRAM])?;
    let step = ui.step("building a new project");
    let mut dev = Dev::start(&cargo::binaries(home)?.dir.join("mesh"))?;
    let gateway = dev.watching().await?;
    step.done();
    let client = Client::new(gateway);
    let mut seconds = Vec::with_capacity(EDITS);
    for number in 0..EDITS {
        let text = format!("{TEXT}, edit {number}");
        let step = ui.step(format!("edit {number}"));
        let saved = dev.edit(&text)?;
        answers(&client, &text).await?;
        seconds.push(saved.elapsed().as_secs_f64());
        step.done();
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[EDITS / 2];
    match args.json {
        true => ui::print(json!({"edit_to_answer_s": median, "edits": seconds})),
        false => ui::print(format!(
            "from saving a file to the new answer: {median:.1} s (median)"
        )),
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until the service answers with `text`. Calls fail while it restarts.
async fn answers(client: &Client, text: &str) -> Result<()> {
    let blank = json!({
        "itemId": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "title": "  ", "quantity": 1,
    });
    let deadline = Instant::now() + EDIT;
    loop {
        let answer = client.post::<Value>("/v1/tickets/items", &blank).await;
        match answer {
            Err(Error::Rejected { message, .. }) if message.contains(text) => return Ok(()),
            other if Instant::now() > deadline => {
                bail!("no answer says `{text}`; the last one: {other:?}")
            }
            _ => tokio::time::sleep(POLL).await,
        }
    }
}

// === impl Dev ===

impl Dev {
    fn start(mesh: &Path) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let made = Command::new(mesh)
            .args(["new", "shop", "--service", "tickets"])
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .status()
            .context("cannot run mesh")?;
        ensure!(made.success(), "mesh new failed ({made})");
        let shop = directory.path().join("shop");
        let log = File::create(shop.join("dev.log"))?;
        let process = Command::new(mesh)
            .arg("dev")
            .current_dir(&shop)
            // As users have it.
            .env_remove("CARGO_INCREMENTAL")
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("RUSTFLAGS")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run mesh")?;
        let mesh = mesh.to_owned();
        Ok(Self {
            directory,
            mesh,
            process,
        })
    }

    fn shop(&self) -> PathBuf {
        self.directory.path().join("shop")
    }

    /// Waits until the project runs; returns the gateway's address.
    async fn watching(&mut self) -> Result<SocketAddr> {
        let deadline = Instant::now() + FIRST;
        loop {
            let log = fs::read_to_string(self.shop().join("dev.log"))?;
            let snapshot = Snapshot::load(&self.shop().join(".mesh"));
            if let Some(snapshot) = snapshot.filter(|_| log.contains("watching")) {
                let gateway = snapshot.processes.get(GATEWAY);
                return Ok(gateway.context("the project has no gateway")?.address);
            }
            let is_over = self.process.try_wait()?.is_some() || Instant::now() > deadline;
            ensure!(!is_over, "the project does not start:\n{log}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Changes the text; returns when the file was saved.
    fn edit(&self, text: &str) -> Result<Instant> {
        let model = self.shop().join("services/tickets/src/model.rs");
        let code = fs::read_to_string(&model)?;
        // In quotes: the documentation has the same words.
        let quoted = format!("\"{TEXT}");
        let (before, rest) = code
            .split_once(&quoted)
            .context("the template has another text")?;
        let (_, after) = rest.split_once('"').context("the text has no end")?;
        fs::write(&model, format!("{before}\"{text}\"{after}"))?;
        Ok(Instant::now())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It drains and stops its processes; an error means that it has ended.
        let _ = Command::new(&self.mesh)
            .arg("down")
            .current_dir(self.shop())
            .status();
        let _ = os::send_to_group(self.process.id(), Signal::KILL);
        let _ = self.process.wait();
    }
}
