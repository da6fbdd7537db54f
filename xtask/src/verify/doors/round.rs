//! One door in a mesh of its own: the file, the books, the same file again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use mesh::client::Client;
use mesh::home::{Home, StateDir};
use mesh::project::{GATEWAY, NATS, POSTGRES};
use mesh::ui::Ui;
use mesh::{Stack, StackOptions};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::door::{Door, Files, Intake};
use super::{Passage, differences};
use crate::retail::books::{self, Books};
use crate::retail::file::OrderFile;
use crate::retail::json::int64;
use crate::retail::progress::Progress;
use crate::retail::retry::retrying;
use crate::retail::{self, Settings, opening};

/// Service of the sources.
const CONNECT: &str = "connect";
const SOURCE: &str = "orders";
/// Processes that are killed.
const VICTIMS: [&str; 4] = [CONNECT, "ingest", POSTGRES, NATS];
/// Longest round, kills included.
const PATIENCE: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(20);

/// Part of `mesh.connect.v1.GetSourceResponse`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Found {
    source: Source,
    units: Vec<Unit>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Source {
    state: String,
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Unit {
    unit: String,
    state: String,
    refusal: String,
    #[serde(deserialize_with = "int64")]
    position: i64,
    #[serde(deserialize_with = "int64")]
    quarantined: i64,
}

/// A request of AppendRows without rows: it changes nothing and answers with the import.
#[derive(Serialize)]
struct AppendRows<'a> {
    unit: &'a str,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Appended {
    state: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Sent {
    repeated_file: bool,
}

/// A mesh with one source.
struct Mesh {
    stack: Stack,
    client: Client,
    inbox: PathBuf,
}

/// Returns the books of the file that is uploaded to ingest itself.
pub(super) async fn uploaded(home: &Home, file: &OrderFile, ui: Ui) -> Result<Books> {
    let options = StackOptions::new(home)?.defer(CONNECT);
    let stack = Stack::launch(home, StateDir::scratch(home)?, options, ui).await?;
    let (progress, _unobserved) = watch::channel(Progress::none());
    let files = std::slice::from_ref(file);
    let settings = Settings::default();
    let gateway = stack.address(GATEWAY)?;
    let outcome = retail::run(gateway, files, &settings, Ui::Quiet, &progress).await?;
    stack.shutdown().await?;
    Ok(outcome.books)
}

/// Brings the file twice through a door, and compares the books with the expected ones.
pub(super) async fn through(
    home: &Home,
    door: &'static Door,
    files: &Files,
    file: &OrderFile,
    expected: &Books,
    seed: Option<u64>,
    ui: Ui,
) -> Result<Passage> {
    let dir = tempfile::tempdir()?;
    let mesh = Mesh::start(home, door, dir.path(), ui).await?;
    let settings = Settings::default();
    opening::count(
        &mesh.client,
        std::slice::from_ref(file),
        &settings,
        Ui::Quiet,
    )
    .await?;
    let begin = Instant::now();
    let path = files.path(door);
    let first = async {
        mesh.bring(door, &path, "orders-1", false).await?;
        mesh.settled(1).await
    };
    let kills = async {
        match seed {
            Some(seed) => mesh.kill_all(seed, file.rows).await,
            None => Ok(0),
        }
    };
    let (unit, kills) = tokio::try_join!(first, kills)?;
    books::delivered(&mesh.client).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let found = books::read(&mesh.client, &settings.source).await?;
    let mut differences = differences(expected, &found, unit.quarantined);
    mesh.bring(door, &path, "orders-2", true).await?;
    mesh.settled(1).await?;
    books::delivered(&mesh.client).await?;
    if books::read(&mesh.client, &settings.source).await? != found {
        differences.push("the same file again changed the books".to_owned());
    }
    mesh.stack.shutdown().await?;
    Ok(Passage {
        door: door.name,
        rows: unit.position,
        quarantined: unit.quarantined,
        accepted: found.rows.accepted,
        seconds,
        kills,
        differences,
    })
}

impl Mesh {
    async fn start(home: &Home, door: &Door, dir: &Path, ui: Ui) -> Result<Self> {
        let (sources, inbox) = (dir.join("sources"), dir.join("inbox"));
        for dir in [&sources, &inbox] {
            std::fs::create_dir(dir)?;
        }
        std::fs::write(sources.join(format!("{SOURCE}.toml")), door.source(&inbox)?)?;
        let sources = sources.to_str().context("a path that is not UTF-8")?;
        let options = StackOptions::new(home)?.env(CONNECT, "PROTOMESH_SOURCES", sources);
        let stack = Stack::launch(home, StateDir::scratch(home)?, options, ui).await?;
        let client = Client::new(stack.address(GATEWAY)?);
        Ok(Self {
            stack,
            client,
            inbox,
        })
    }

    /// Hands the file over, and waits until a repeated one is known as such.
    async fn bring(&self, door: &Door, file: &Path, name: &str, repeated: bool) -> Result<()> {
        match door.intake {
            Intake::Directory => {
                // A name without the pattern until the file is whole.
                let part = self.inbox.join(format!(".{name}"));
                std::fs::copy(file, &part)?;
                std::fs::rename(&part, self.inbox.join(name))?;
                if repeated {
                    let done = self.inbox.join("done").join(name);
                    self.until("the repeated file to be done", async || Ok(done.exists()))
                        .await?;
                }
            }
            Intake::Send => {
                let bytes = Bytes::from(std::fs::read(file)?);
                let path = format!(
                    "/v1/sources/{SOURCE}:send?name={name}&size_bytes={}&sha256={:x}",
                    bytes.len(),
                    Sha256::digest(&bytes)
                );
                let send = async || {
                    let body = Full::new(bytes.clone())
                        .map_err(|never| match never {})
                        .boxed_unsync();
                    self.client.upload(&path, "text/csv", body).await
                };
                let sent: Sent = retrying(send).await?;
                ensure!(
                    sent.repeated_file == repeated,
                    "repeatedFile is {}",
                    sent.repeated_file
                );
            }
        }
        Ok(())
    }

    /// Waits until so many units are read and all their orders are settled; returns the newest.
    async fn settled(&self, units: usize) -> Result<Unit> {
        let mut newest = Unit::default();
        self.until("all units to be done", async || {
            let found = self.found().await?;
            for unit in &found.units {
                ensure!(
                    unit.state != "UNIT_STATE_FAILED",
                    "the unit failed: {}",
                    unit.refusal
                );
            }
            ensure!(
                found.source.state == "SOURCE_STATE_RUNNING",
                "the source stopped: {}",
                found.source.reason
            );
            let is_done = |unit: &Unit| unit.state == "UNIT_STATE_DONE";
            let done = found.units.len() == units && found.units.iter().all(is_done);
            newest = found.units.into_iter().next().unwrap_or_default();
            Ok(done)
        })
        .await?;
        self.until("all orders to be settled", async || {
            let path = format!("/v1/sources/{}:append", retail::SOURCE);
            let message = AppendRows { unit: &newest.unit };
            let import: Appended =
                retrying(async || self.client.post(&path, &message).await).await?;
            Ok(import.state == "IMPORT_STATE_COMPLETED")
        })
        .await?;
        Ok(newest)
    }

    async fn found(&self) -> Result<Found> {
        let path = format!("/v1/sources/{SOURCE}");
        Ok(retrying(async || self.client.get(&path).await).await?)
    }

    async fn until(&self, what: &str, mut is: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !is().await? {
            if Instant::now() > deadline {
                bail!("waited {} s for {what}", PATIENCE.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Kills each victim once, when a random share of the rows is read; returns how many.
    async fn kill_all(&self, seed: u64, rows: u64) -> Result<usize> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut moments: Vec<(i64, &str)> = VICTIMS
            .into_iter()
            .map(|victim| (random.random_range(0..rows.cast_signed()), victim))
            .collect();
        moments.sort_unstable();
        for (row, victim) in &moments {
            self.until("the moment of a kill", async || {
                let found = self.found().await?;
                let unit = found.units.first();
                Ok(unit
                    .is_some_and(|unit| unit.position >= *row || unit.state == "UNIT_STATE_DONE"))
            })
            .await?;
            let killed = self.stack.kill(victim)?;
            self.stack.revived(victim, &killed).await?;
        }
        Ok(moments.len())
    }
}
