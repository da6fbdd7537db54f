//! The matrix as a table, and the verdict.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use mesh::ui;
use serde::Serialize;

use super::faults::Fault;
use super::points::GROUPS;

/// A visit of one point with one fault.
#[derive(Debug, Serialize)]
pub(super) struct Cell {
    pub(super) row: &'static str,
    pub(super) point: &'static str,
    #[serde(serialize_with = "named")]
    pub(super) fault: Fault,
    pub(super) seed: u64,
    /// How often the fault met the process at the point.
    pub(super) hits: u32,
    /// Facts that the producer committed.
    pub(super) facts: usize,
    pub(super) problems: Vec<String>,
}

/// All cells.
#[derive(Debug, Serialize)]
pub(super) struct Grid {
    cells: Vec<Cell>,
    /// Faults that are left out on this machine, and why.
    skipped: BTreeMap<&'static str, &'static str>,
    /// Steps whose absence the checker did not notice.
    unnoticed: Vec<String>,
    #[serde(skip)]
    rows: Vec<&'static str>,
}

// === impl Cell ===

impl Cell {
    pub(super) fn line(&self, took: Duration) -> String {
        let Self {
            point, fault, seed, ..
        } = self;
        let end = match (self.hits, self.problems.as_slice()) {
            (_, [first, ..]) => format!("FAILED: {first}"),
            (0, _) => "FAILED: not reached".to_owned(),
            _ => format!("{} facts", self.facts),
        };
        let seconds = took.as_secs_f64();
        format!(
            "{:<17} {point:<32} seed {seed}: {end} ({seconds:.1} s)",
            fault.name()
        )
    }
}

// === impl Grid ===

impl Grid {
    pub(super) fn new(is_quick: bool) -> Self {
        let rows = match is_quick {
            true => GROUPS.iter().map(|(group, _)| *group).collect(),
            false => {
                let points = GROUPS.iter().flat_map(|(_, points)| points.iter());
                points.map(|point| point.name).collect()
            }
        };
        Self {
            cells: Vec::new(),
            skipped: BTreeMap::new(),
            unnoticed: Vec::new(),
            rows,
        }
    }

    pub(super) fn add(&mut self, cells: Vec<Cell>) {
        self.cells.extend(cells);
    }

    pub(super) fn skipped(&mut self, fault: Fault, reason: &'static str) {
        self.skipped.insert(fault.name(), reason);
    }

    pub(super) fn unnoticed(&mut self, unnoticed: Vec<String>) {
        self.unnoticed = unnoticed;
    }

    /// Prints the hits of each cell and the verdict. An empty cell fails: nothing was shown there.
    pub(super) fn print(&self, is_json: bool, took: Duration) -> Result<ExitCode> {
        let is_sound = |cell: &Cell| cell.hits > 0 && cell.problems.is_empty();
        let failed: Vec<&Cell> = self.cells.iter().filter(|cell| !is_sound(cell)).collect();
        let is_sound = failed.is_empty() && self.unnoticed.is_empty() && !self.cells.is_empty();
        let code = match is_sound {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        };
        if is_json {
            ui::print(serde_json::to_string_pretty(self)?);
            return Ok(code);
        }
        ui::print(format!("\n{}", ui::table(&self.hits())));
        for (fault, reason) in &self.skipped {
            ui::print(format!("left out: {fault}, because {reason}"));
        }
        for cell in &failed {
            let problems = match cell.problems.as_slice() {
                [] => "the point was not reached".to_owned(),
                problems => problems.join("\n    "),
            };
            let (fault, point, seed) = (cell.fault.name(), cell.point, cell.seed);
            ui::print(format!(
                "FAILED {fault} at {point}, seed {seed}:\n    {problems}"
            ));
        }
        let facts: usize = self.cells.iter().map(|cell| cell.facts).sum();
        for problem in &self.unnoticed {
            ui::print(format!("FAILED {problem}"));
        }
        let verdict = match failed.len() + self.unnoticed.len() {
            0 => "passed".to_owned(),
            failed => format!("{failed} FAILED"),
        };
        let (cells, seconds) = (self.cells.len(), took.as_secs());
        ui::print(format!(
            "\n{verdict}: {cells} visits, {facts} facts, {seconds} s"
        ));
        Ok(code)
    }

    /// Returns the hits by row and fault; a dash where no visit was made.
    fn hits(&self) -> Vec<Vec<String>> {
        let mut faults: Vec<Fault> = self.cells.iter().map(|cell| cell.fault).collect();
        faults.sort_unstable();
        faults.dedup();
        let names = faults.iter().map(|fault| fault.name().to_owned());
        let mut rows = vec![std::iter::once("point".to_owned()).chain(names).collect()];
        for row in &self.rows {
            let hits = faults.iter().map(|fault| {
                let here = |cell: &&Cell| cell.row == *row && cell.fault == *fault;
                let cells: Vec<&Cell> = self.cells.iter().filter(here).collect();
                match cells.is_empty() {
                    true => "-".to_owned(),
                    false => cells.iter().map(|cell| cell.hits).sum::<u32>().to_string(),
                }
            });
            rows.push(std::iter::once((*row).to_owned()).chain(hits).collect());
        }
        rows
    }
}

fn named<S: serde::Serializer>(fault: &Fault, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(fault.name())
}
