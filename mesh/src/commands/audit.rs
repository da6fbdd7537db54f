//! `mesh audit`: the trail of writes and denials, searched and checked.

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::{Context, Result};
use audit::{Call, ChainState, Entry, entry::Content};
use prost_types::Timestamp;
use serde::Serialize;

use super::desk::running;
use crate::home::Home;
use crate::project::NATS;
use crate::stack::nats;
use crate::ui;

/// The arguments of `audit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The NATS server with the trail, as nats://user:password@host:port; without it, the mesh's
    /// own
    #[arg(long, value_name = "URL", global = true)]
    nats: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

/// The verbs of `audit`.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Lists entries in the order in which they were written
    List(List),
    /// Checks that no entry is missing, changed, doubled or moved; names the first that is, and
    /// exits with 1
    Verify,
}

/// The arguments of `audit list`.
#[derive(Debug, clap::Args)]
struct List {
    /// Only calls of this caller, by the name that its issuer gives it
    #[arg(long)]
    subject: Option<String>,
    /// Only calls of this method: `package.Service/Method`, or a part of it
    #[arg(long)]
    method: Option<String>,
    /// Only entries from this time on, as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only denials
    #[arg(long)]
    denied: bool,
    /// Print each entry as a line of JSON
    #[arg(long)]
    json: bool,
}

/// An entry as scripts read it.
#[derive(Debug, Default, Serialize)]
struct Row {
    /// RFC 3339, UTC.
    at: String,
    writer: String,
    sequence: u64,
    /// `began`, `admitted`, `denied`, `outcome` or `ended`.
    kind: &'static str,
    /// Number of the call at its writer.
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    issuer: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    subject: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    tenant: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    credential: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    method: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    protocol: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    address: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_id: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    resource: String,
    /// SHA-256 of the first message, in hexadecimal digits.
    #[serde(skip_serializing_if = "str::is_empty")]
    digest: String,
    /// The rule of an admitted call, the reason of a denial.
    #[serde(skip_serializing_if = "str::is_empty")]
    decision: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    code: String,
    /// Entries that the writer has not recorded since it began.
    not_recorded: u64,
}

pub(super) async fn audit(args: Args) -> Result<ExitCode> {
    let url = match args.nats {
        Some(url) => url,
        None => of_mesh()?,
    };
    match args.verb {
        Verb::List(args) => list(&url, &args).await,
        Verb::Verify => verify(&url).await,
    }
}

/// Returns the URL of the broker's operator in the mesh that is up.
fn of_mesh() -> Result<String> {
    let home = Home::find()?;
    let broker = running(&home)?.processes.remove(NATS);
    let broker = broker.context("the mesh that is up has no broker")?;
    let passwords = nats::load(&home.mesh()).unwrap_or_default();
    nats::url(broker.address, &passwords, nats::OPERATOR)
}

async fn list(url: &str, args: &List) -> Result<ExitCode> {
    audit::entries(url, |entry| {
        if args.wants(&entry) {
            let row = Row::of(entry);
            ui::print(match args.json {
                true => serde_json::to_string(&row).unwrap_or_default(),
                false => row.line(),
            });
        }
        ControlFlow::Continue(())
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

async fn verify(url: &str) -> Result<ExitCode> {
    let report = match audit::verify(url).await? {
        Ok(report) => report,
        Err(finding) => {
            ui::print(format!("✗ the trail is not intact: {finding}"));
            return Ok(ExitCode::FAILURE);
        }
    };
    let (entries, chains) = (report.entries, report.chains.len());
    ui::print(format!("✓ intact: {entries} entries of {chains} chains"));
    for chain in &report.chains {
        let end = match chain.state {
            ChainState::Ended => "ended",
            ChainState::Unfinished => "unfinished: its process runs, or was killed",
        };
        let mut line = format!(
            "  {}  {} to {}, {end}",
            chain.writer, chain.first, chain.last
        );
        if chain.expired > 0 {
            line += &format!("; its first {} entries have expired", chain.expired);
        }
        if chain.not_recorded > 0 {
            line += &format!("; {} entries were not recorded", chain.not_recorded);
        }
        ui::print(line);
    }
    Ok(ExitCode::SUCCESS)
}

// === impl List ===

impl List {
    fn wants(&self, entry: &Entry) -> bool {
        let time = entry.time.unwrap_or_default();
        let since = self.since.unwrap_or_default();
        if (time.seconds, time.nanos) < (since.seconds, since.nanos) {
            return false;
        }
        let (call, is_denied) = match &entry.content {
            Some(Content::Admitted(call)) => (Some(call), false),
            Some(Content::Denied(denial)) => (denial.call.as_ref(), true),
            _ => (None, false),
        };
        let has = |wanted: &Option<String>, is: &dyn Fn(&Call, &str) -> bool| match wanted {
            None => true,
            Some(wanted) => call.is_some_and(|call| is(call, wanted)),
        };
        (is_denied || !self.denied)
            && has(&self.method, &|call, method| call.method.contains(method))
            && has(&self.subject, &|call, subject| {
                call.caller
                    .as_ref()
                    .is_some_and(|own| own.subject == subject)
            })
    }
}

// === impl Row ===

impl Row {
    fn of(entry: Entry) -> Self {
        let row = Row {
            at: entry.time.unwrap_or_default().to_string(),
            writer: entry.writer,
            sequence: entry.sequence,
            not_recorded: entry.not_recorded,
            ..Row::default()
        };
        match entry.content {
            Some(Content::Began(_)) => Row {
                kind: "began",
                ..row
            },
            Some(Content::Ended(_)) => Row {
                kind: "ended",
                ..row
            },
            Some(Content::Outcome(outcome)) => Row {
                kind: "outcome",
                call: Some(outcome.call),
                code: outcome.code,
                ..row
            },
            Some(Content::Admitted(call)) => Row {
                kind: "admitted",
                call: Some(call.number),
                decision: call.rule.clone(),
                ..row.with(call)
            },
            Some(Content::Denied(denial)) => Row {
                kind: "denied",
                decision: denial.reason,
                code: denial.code,
                ..row.with(denial.call.unwrap_or_default())
            },
            None => Row {
                kind: "unknown",
                ..row
            },
        }
    }

    fn with(self, call: Call) -> Self {
        let caller = call.caller.unwrap_or_default();
        let digits = call.digest.iter().map(|byte| format!("{byte:02x}"));
        Row {
            issuer: caller.issuer,
            subject: caller.subject,
            tenant: caller.tenant,
            credential: caller.credential,
            method: call.method,
            protocol: call.protocol,
            address: call.address,
            request_id: call.request_id,
            resource: call.resource,
            digest: digits.collect(),
            ..self
        }
    }

    /// Returns the entry as a line for people.
    fn line(&self) -> String {
        let call = self.call.map_or(String::new(), |call| format!("#{call}"));
        let subject = match self.method.is_empty() || !self.subject.is_empty() {
            true => &*self.subject,
            false => "-",
        };
        let method = self.method.trim_start_matches('/');
        let words = [
            &*self.at,
            self.kind,
            &call,
            subject,
            method,
            &self.protocol,
            &self.address,
            &self.request_id,
            &self.resource,
            &self.decision,
            &self.code,
        ];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        words.join("  ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let call = Call {
            number: 7,
            caller: Some(audit::Caller {
                subject: "ada".to_owned(),
                ..audit::Caller::default()
            }),
            method: "/shop.v1.Orders/Place".to_owned(),
            digest: vec![1, 255],
            ..Call::default()
        };
        Entry {
            writer: "front".to_owned(),
            sequence: 3,
            time: Some("2026-01-31T12:00:00Z".parse().unwrap()),
            content: Some(Content::Admitted(call)),
            ..Entry::default()
        }
    }

    fn asked(
        subject: Option<&str>,
        method: Option<&str>,
        since: Option<&str>,
        denied: bool,
    ) -> bool {
        let list = List {
            subject: subject.map(str::to_owned),
            method: method.map(str::to_owned),
            since: since.map(|since| since.parse().unwrap()),
            denied,
            json: false,
        };
        list.wants(&entry())
    }

    #[test]
    fn entries_are_found_by_caller_method_time_and_decision() {
        assert!(asked(None, None, None, false));
        assert!(asked(
            Some("ada"),
            Some("Orders/Place"),
            Some("2026-01-31T12:00:00Z"),
            false
        ));
        assert!(!asked(Some("ad"), None, None, false));
        assert!(!asked(None, Some("Orders/Cancel"), None, false));
        assert!(!asked(None, None, Some("2026-01-31T12:00:01Z"), false));
        assert!(!asked(None, None, None, true));
    }

    #[test]
    fn an_entry_is_a_line_and_an_object() {
        let row = Row::of(entry());
        assert_eq!(
            row.line(),
            "2026-01-31T12:00:00Z  admitted  #7  ada  shop.v1.Orders/Place"
        );
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(
            (json["digest"].as_str(), json.get("code")),
            (Some("01ff"), None)
        );
    }
}
