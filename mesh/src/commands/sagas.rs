//! `mesh sagas`: the sagas of services that are stuck, and the decisions about them.

use std::process::ExitCode;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::desk::{Desk, Listing, Place, lay_out, quoted};
use crate::ui;

/// The arguments of `sagas`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    verb: Verb,
}

/// The verbs of `sagas`.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Lists the sagas that need an operator, the longest stuck first
    List(Listing),
    /// Shows one saga, in whatever state, and the steps that it has taken
    Show(ShowSaga),
    /// Takes the step of a stuck saga again, after the cause is mended
    Resume(ResumeSaga),
    /// Gives the step of a stuck saga up: one on the way forward is compensated, a compensation
    /// counts as done
    GiveUp(GiveUpStep),
}

/// The arguments of `sagas show`.
#[derive(Debug, clap::Args)]
struct ShowSaga {
    #[command(flatten)]
    saga: Id,
    /// Print the saga as JSON
    #[arg(long)]
    json: bool,
}

/// The arguments of `sagas resume`.
#[derive(Debug, clap::Args)]
struct ResumeSaga {
    #[command(flatten)]
    saga: Id,
    /// Why that is right, for the audit
    #[arg(long, default_value = "")]
    reason: String,
}

/// The arguments of `sagas give-up`.
#[derive(Debug, clap::Args)]
struct GiveUpStep {
    #[command(flatten)]
    saga: Id,
    /// The step, as `sagas list` shows it
    #[arg(long)]
    step: String,
    /// Why that is right, for the audit and the log of the saga
    #[arg(long)]
    reason: String,
    /// Show the step that would follow, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// One saga.
#[derive(Debug, clap::Args)]
struct Id {
    /// Service that runs the saga
    service: String,
    /// The saga, as `sagas list` shows it, such as ORDER
    name: String,
    /// UUID of its subject, such as an order
    id: String,
}

/// A stuck saga as scripts read it.
#[derive(Debug, Serialize)]
struct StuckEntry {
    service: String,
    #[serde(flatten)]
    saga: Saga,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StuckSagas {
    sagas: Vec<Saga>,
    next_page_token: String,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all(deserialize = "camelCase"))]
struct Saga {
    name: String,
    #[serde(rename(deserialize = "sagaId"))]
    id: String,
    key: String,
    #[serde(skip_serializing)]
    state: String,
    step: String,
    /// The end that compensation leads to; empty on the way forward.
    outcome: String,
    /// Why it is stuck.
    problem: String,
    attempts: i32,
    /// RFC 3339, UTC.
    #[serde(rename(deserialize = "changedAt", serialize = "since"))]
    changed_at: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Found {
    saga: Saga,
    steps: Vec<Step>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Step {
    step: String,
    answer: String,
    reason: String,
    taken_at: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct GivenUp {
    next_step: String,
}

pub(super) async fn sagas(args: Args) -> Result<ExitCode> {
    let desk = args.place.desk().await?;
    match args.verb {
        Verb::List(args) => args.print(&list(&desk).await?, table)?,
        Verb::Show(args) => show(&desk, &args).await?,
        Verb::Resume(args) => resume(&desk, &args).await?,
        Verb::GiveUp(args) => give_up(&desk, &args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns all stuck sagas of every service.
async fn list(desk: &Desk) -> Result<Vec<StuckEntry>> {
    let mut all = Vec::new();
    for service in desk.services().await? {
        let mut token = String::new();
        loop {
            let path = format!("stuck?pageSize=1000&pageToken={}", quoted(&token));
            let page: Option<StuckSagas> = desk.find(&service, &path).await?;
            let page = page.unwrap_or_default();
            all.extend(page.sagas.into_iter().map(|saga| StuckEntry {
                service: service.clone(),
                saga,
            }));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
    }
    Ok(all)
}

async fn show(desk: &Desk, args: &ShowSaga) -> Result<()> {
    let Id { service, name, id } = &args.saga;
    let found: Value = desk
        .get(service, &format!("sagas/{}/{}", quoted(name), quoted(id)))
        .await?;
    if args.json {
        ui::print(serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    let Found { saga, steps } = serde_json::from_value(found)?;
    let state = saga.state.trim_start_matches("SAGA_STATE_").to_lowercase();
    let mut text = format!("{name} {id}, key {}: {state} at {}", saga.key, saga.step);
    if !saga.outcome.is_empty() {
        text += &format!(", ends as {}", saga.outcome);
    }
    if !saga.problem.is_empty() {
        text += &format!("\n{} after {} attempt(s)", saga.problem, saga.attempts);
    }
    ui::print(text);
    let header = ["at", "step", "answer", "reason"];
    ui::print(lay_out("no step taken yet", header, &steps, |step| {
        [&step.taken_at, &step.step, &step.answer, &step.reason].map(String::clone)
    }));
    Ok(())
}

async fn resume(desk: &Desk, args: &ResumeSaga) -> Result<()> {
    let Id { service, name, id } = &args.saga;
    let message = json!({"name": name, "sagaId": id, "reason": args.reason});
    let _: Value = desk.post(service, "stuck:resume", &message).await?;
    ui::print("resumed; its step is taken again now");
    Ok(())
}

async fn give_up(desk: &Desk, args: &GiveUpStep) -> Result<()> {
    let Id { service, name, id } = &args.saga;
    let message = json!({
        "name": name,
        "sagaId": id,
        "step": args.step,
        "reason": args.reason,
        "dryRun": args.dry_run,
    });
    let GivenUp { next_step } = desk.post(service, "stuck:giveUp", &message).await?;
    let fate = match next_step.as_str() {
        "" => "the saga ends".to_owned(),
        next => format!("the saga goes on at {next}"),
    };
    ui::print(match args.dry_run {
        true => format!("nothing has changed; without {}, {fate}", args.step),
        false => format!("given up; {fate}"),
    });
    Ok(())
}

/// Lays stuck sagas out as a table.
fn table(entries: &[StuckEntry]) -> String {
    let header = [
        "service", "saga", "id", "key", "step", "ends as", "attempts", "since", "problem",
    ];
    lay_out(
        "no stuck sagas",
        header,
        entries,
        |StuckEntry { service, saga }| {
            [
                service.clone(),
                saga.name.clone(),
                saga.id.clone(),
                saga.key.clone(),
                saga.step.clone(),
                saga.outcome.clone(),
                saga.attempts.to_string(),
                saga.changed_at.clone(),
                saga.problem.clone(),
            ]
        },
    )
}
