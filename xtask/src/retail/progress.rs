//! Follows imports until every order and return of them is at its end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mesh::client::Client;
use mesh::ui::{Step, Ui};
use tokio::sync::watch;

use super::books::grouped;
use super::retry::Error;
use super::upload::{self, Import};

const POLL: Duration = Duration::from_millis(150);
/// A mesh that works moves within this time, a supervisor that brings a process back included.
const STALL: Duration = Duration::from_secs(120);

/// All imports of a run, added up, at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// When the mesh was asked: what is here held then or later.
    pub(crate) asked: Instant,
    size_bytes: i64,
    received_bytes: i64,
    pub(crate) rows_read: i64,
    pub(crate) rows_accepted: i64,
    pub(crate) published: i64,
    pub(crate) settled: i64,
    /// Every order and return is at its end.
    pub(crate) completed: bool,
}

impl Progress {
    /// Before anything was asked.
    pub(crate) fn none() -> Self {
        Self {
            asked: Instant::now(),
            size_bytes: 0,
            received_bytes: 0,
            rows_read: 0,
            rows_accepted: 0,
            published: 0,
            settled: 0,
            completed: false,
        }
    }

    fn add(&mut self, import: &Import) {
        self.size_bytes += import.size_bytes;
        self.received_bytes += import.received_bytes;
        self.rows_read += import.rows_read;
        self.rows_accepted += import.rows_accepted;
        self.published += import.invoices_published;
        self.settled += import.invoices_settled;
        self.completed &= import.state == "IMPORT_STATE_COMPLETED";
    }

    fn figures(&self) -> [i64; 5] {
        [
            self.received_bytes,
            self.rows_read,
            self.rows_accepted,
            self.published,
            self.settled,
        ]
    }
}

/// Asks, tells and shows.
pub(super) struct Follower<'a> {
    client: &'a Client,
    import_ids: Vec<String>,
    sender: &'a watch::Sender<Progress>,
    ui: Ui,
    receiving: Option<Step>,
    settling: Option<Step>,
}

impl<'a> Follower<'a> {
    pub(super) fn new(
        client: &'a Client,
        import_ids: Vec<String>,
        sender: &'a watch::Sender<Progress>,
        ui: Ui,
    ) -> Self {
        Self {
            client,
            import_ids,
            sender,
            ui,
            receiving: None,
            settling: None,
        }
    }

    /// Returns when all imports are completed.
    ///
    /// # Errors
    /// When nothing moves for [`STALL`], or when an import can't be read.
    pub(super) async fn run(mut self) -> Result<()> {
        let mut moved = Instant::now();
        let mut last = Progress::none();
        loop {
            let failure = match self.observe().await {
                Ok(now) => {
                    if now.figures() != last.figures() {
                        moved = Instant::now();
                    }
                    last = now;
                    self.sender.send_replace(now);
                    self.show(&now);
                    if now.completed {
                        break;
                    }
                    None
                }
                Err(error) if error.is_transient() => Some(error),
                Err(error) => return Err(error).context("cannot follow the import"),
            };
            if moved.elapsed() > STALL {
                return stalled(&last, failure);
            }
            tokio::time::sleep(POLL).await;
        }
        if let Some(step) = self.settling {
            step.done();
        }
        Ok(())
    }

    async fn observe(&self) -> Result<Progress, Error> {
        let mut progress = Progress {
            completed: true,
            ..Progress::none()
        };
        for import_id in &self.import_ids {
            progress.add(&upload::read(self.client, import_id).await?);
        }
        Ok(progress)
    }

    fn show(&mut self, now: &Progress) {
        if now.received_bytes < now.size_bytes {
            let bar = || self.ui.bar("sending rows");
            let detail = format!(
                "{} read, {} orders and returns settled",
                grouped(now.rows_read),
                grouped(now.settled)
            );
            let (received, size) = (now.received_bytes, now.size_bytes);
            let step = self.receiving.get_or_insert_with(bar);
            step.at(received.cast_unsigned(), size.cast_unsigned(), detail);
            return;
        }
        if let Some(step) = self.receiving.take() {
            step.done();
        }
        let (settled, published) = (now.settled.cast_unsigned(), now.published.cast_unsigned());
        let bar = || self.ui.bar("settling orders and returns");
        let step = self.settling.get_or_insert_with(bar);
        step.at(settled, published, format!("{settled} of {published}"));
    }
}

fn stalled(last: &Progress, failure: Option<Error>) -> Result<()> {
    let seconds = STALL.as_secs();
    if let Some(failure) = failure {
        return Err(failure).with_context(|| format!("nothing moved for {seconds} s"));
    }
    bail!(
        "nothing moved for {seconds} s: {} of {} bytes received, {} of {} orders and returns settled; \
         `cargo mesh events parked` shows what could not be applied",
        last.received_bytes,
        last.size_bytes,
        last.settled,
        last.published
    )
}
