//! The reasons why learned APIs cannot form a catalog.

use compatibility::BreakingChange;

/// The reason why learned APIs cannot form a catalog.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "service `{service}` is offered by {first} and by {second}: a service can have one upstream only"
    )]
    TwoOwners {
        service: String,
        first: String,
        second: String,
    },
    #[error(
        "`{key}`: the contract of `{method}` has the option `{option}` too; remove it here or there"
    )]
    TwoPolicies {
        key: String,
        option: &'static str,
        method: String,
    },
    #[error("the limits of `{method}` (mesh.v1.rate_limit) can't be read: {problems}")]
    BadLimit { method: String, problems: String },
    #[error("`schema.policies`: the option `access` of `{method}` {problem}")]
    InvalidPolicy { method: String, problem: String },
    #[error("`{key}`: no upstream serves a method that `{selector}` names")]
    SelectsNothing { key: String, selector: String },
    #[error("`schema.policies`: `{method}` can't have the option `{option}`: {problem}")]
    Unfit {
        option: &'static str,
        method: String,
        problem: String,
    },
    #[error("{}", breaking(.0))]
    Breaking(Vec<BreakingChange>),
    #[error(transparent)]
    Compile(#[from] transcoder::CompileError),
    #[error("reflection cannot serve the merged descriptors")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("the api cannot be compiled: {0}")]
    Panicked(String),
}

/// So many of them stand in the log; `/-/schema` has all.
const LOGGED_CHANGES: usize = 5;

fn breaking(changes: &[BreakingChange]) -> String {
    let shown = changes.iter().take(LOGGED_CHANGES);
    let mut text: Vec<String> = shown.map(BreakingChange::to_string).collect();
    if changes.len() > LOGGED_CHANGES {
        text.push(format!("and {} more", changes.len() - LOGGED_CHANGES));
    }
    format!(
        "{} change(s) would break callers, so the active api stays (`schema.breaking_changes` allows them): {}",
        changes.len(),
        text.join("; ")
    )
}
