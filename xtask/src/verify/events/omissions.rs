//! Tests of the checker: it must notice that a step is left out.

use std::time::Instant;

use anyhow::Result;
use mesh::ui;

use super::Matrix;
use super::faults::Fault;
use super::points::{GROUPS, Point};
use super::visit::Visit;

/// A step that is left out, and the fault that shows it.
#[derive(Clone, Copy, Debug)]
struct Omission {
    step: &'static str,
    fault: Fault,
    point: &'static str,
}

const OMISSIONS: [Omission; 4] = [
    Omission {
        step: "events.inbox",
        fault: Fault::Kill,
        point: "events.consumer.after_commit",
    },
    Omission {
        step: "events.fence",
        fault: Fault::Kill,
        point: "events.relay.after_publish",
    },
    Omission {
        step: "events.lease",
        fault: Fault::Freeze,
        point: "events.relay.after_publish",
    },
    Omission {
        step: "events.archive",
        fault: Fault::OlderStream,
        point: "events.relay.after_record",
    },
];

// === impl Matrix ===

impl Matrix {
    /// Leaves out one step after the other; returns those whose absence was not noticed.
    pub(super) async fn omissions(&self) -> Result<Vec<String>> {
        let mut unnoticed = Vec::new();
        for omission in OMISSIONS {
            let started = Instant::now();
            let end = match self.is_noticed(omission).await? {
                Ok(problem) => format!("noticed: {problem}"),
                Err(problem) => {
                    unnoticed.push(format!("{} left out: {problem}", omission.step));
                    format!("FAILED: {problem}")
                }
            };
            if !self.is_quiet {
                let seconds = started.elapsed().as_secs_f64();
                ui::print(format!(
                    "{} left out: {end} ({seconds:.1} s)",
                    omission.step
                ));
            }
        }
        Ok(unnoticed)
    }

    /// Returns the first problem that the checker found, or why it found none.
    async fn is_noticed(&self, omission: Omission) -> Result<Result<String, &'static str>> {
        let Omission { step, fault, point } = omission;
        let (mut arena, means) = fault.open(&self.home, &self.program, Some(step)).await?;
        let Some(point) = named(point) else {
            return Ok(Err("there is no such point"));
        };
        let visit = Visit::new(fault, point, self.seeds.start, 0).briefly();
        let cell = visit.run(&mut arena, &means, step).await;
        let problem = cell.problems.into_iter().next();
        Ok(match (cell.hits, problem) {
            (0, _) => Err("the point was not reached"),
            (_, None) => Err("it was not noticed"),
            (_, Some(problem)) => Ok(problem),
        })
    }
}

fn named(name: &str) -> Option<&'static Point> {
    let mut points = GROUPS.iter().flat_map(|(_, points)| points.iter());
    points.find(|point| point.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn omissions_are_tried_at_points_that_exist() {
        assert!(
            OMISSIONS
                .iter()
                .all(|omission| named(omission.point).is_some())
        );
    }
}
