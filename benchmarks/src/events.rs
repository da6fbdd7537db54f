//! Facts on their whole way, beside what database and broker do at most.

mod cost;
mod lab;
mod limits;
mod path;

use anyhow::Result;
use serde::Serialize;

use lab::Lab;

/// Sizes of a run.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Facts of each measurement of speed.
    pub facts: u32,
    /// Facts that wait when the relay starts, beside a backlog of 10,000.
    pub backlog: u32,
    /// Facts of each measurement of latency, one at a time.
    pub single: u32,
    /// Business transactions of each measurement of their cost.
    pub transactions: u32,
}

/// A measured value, with its target.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Name of the measurement.
    pub name: &'static str,
    /// In `unit`.
    pub value: f64,
    /// Unit of value and target.
    pub unit: &'static str,
    /// None: for information.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// Whether a smaller value is better.
    pub is_limit: bool,
}

/// Measures everything, each in databases of its own on the same engines; `report` receives each
/// row.
///
/// # Errors
/// When an engine fails, or facts do not arrive.
pub async fn events(plan: &Sizes, mut report: impl FnMut(&Row) -> Result<()>) -> Result<()> {
    let lab = Lab::start().await?;
    limits::measure(&lab, plan, &mut report).await?;
    cost::measure(&lab, plan, &mut report).await?;
    path::latencies(&lab, plan, &mut report).await?;
    path::backlogs(&lab, plan, &mut report).await?;
    path::hot_key(&lab, plan, &mut report).await?;
    path::old_snapshot(&lab, plan, &mut report).await?;
    lab.stop().await
}

// === impl Row ===

impl Row {
    fn info(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self {
            name,
            value,
            unit,
            target: None,
            is_limit: false,
        }
    }

    fn at_least(name: &'static str, value: f64, unit: &'static str, target: f64) -> Self {
        Self {
            target: Some(target),
            ..Self::info(name, value, unit)
        }
    }

    fn at_most(name: &'static str, value: f64, unit: &'static str, target: f64) -> Self {
        Self {
            is_limit: true,
            ..Self::at_least(name, value, unit, target)
        }
    }

    /// Returns whether the target is met, if there is one.
    pub fn is_met(&self) -> bool {
        match (self.target, self.is_limit) {
            (None, _) => true,
            (Some(target), true) => self.value <= target,
            (Some(target), false) => self.value >= target,
        }
    }
}
