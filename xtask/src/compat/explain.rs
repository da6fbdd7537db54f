//! The class of a difference: ours or theirs or a choice, each by a row of a table in `docs/`.

use std::fmt;

use anyhow::{Context, Result, bail};
use mesh::home::Home;
use serde::{Deserialize, Serialize};

use super::Classified;
use super::client::Reply;
use super::compare::Difference;
use super::server::Product;

const RULES: &str = include_str!("../../compat/explanations.json");
/// The table that explains differences.
const DOCS: &str = "docs/compat.md";
/// Detail of every error of our gateway.
const ERROR_INFO: &str = "google.rpc.ErrorInfo";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Class {
    /// Our gateway lacks something.
    Ours,
    /// Their gateway departs from a specification.
    Theirs,
    /// Both are right; the docs say why ours is as it is.
    Choice,
    /// No row explains it: a failure.
    Unexplained,
}

impl Class {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Theirs => "theirs",
            Self::Choice => "documented choice",
            Self::Unexplained => "unexplained",
        }
    }
}

/// The row of a table, and the differences that it explains; all given conditions must hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    class: Class,
    /// The first cell of the row.
    row: String,
    /// Part of the answer: whole, or its beginning if it ends in `*`.
    part: String,
    server: Option<String>,
    /// Beginning of the names of requests.
    case: Option<String>,
    /// Text in the value.
    theirs: Option<String>,
    ours: Option<String>,
    /// The answer is an error of our gateway, and theirs an error without details.
    #[serde(default)]
    own_error: bool,
}

/// All rules.
#[derive(Debug)]
pub(super) struct Table {
    rules: Vec<Rule>,
}

impl Table {
    /// # Errors
    /// When a rule names a row that no table has.
    pub(super) fn of_checkout(home: &Home) -> Result<Self> {
        let rules: Vec<Rule> = serde_json::from_str(RULES).context("the rules are malformed")?;
        let docs = std::fs::read_to_string(home.root().join(DOCS))
            .with_context(|| format!("cannot read {DOCS}"))?;
        for rule in &rules {
            if !docs.contains(&format!("| {} |", rule.row)) {
                bail!("{DOCS} has no row {:?}", rule.row);
            }
        }
        Ok(Self { rules })
    }

    /// Classifies a difference between two answers of one server.
    pub(super) fn explain(
        &self,
        product: &Product,
        difference: Difference,
        theirs: &Reply,
        ours: &Reply,
    ) -> Classified {
        let rule = self
            .rules
            .iter()
            .find(|rule| rule.explains(product, &difference, theirs, ours));
        Classified {
            class: rule.map_or(Class::Unexplained, |rule| rule.class),
            row: rule.map(|rule| rule.row.clone()),
            difference,
        }
    }
}

impl Rule {
    fn explains(
        &self,
        product: &Product,
        found: &Difference,
        theirs: &Reply,
        ours: &Reply,
    ) -> bool {
        let part = match self.part.strip_suffix('*') {
            Some(beginning) => found.part.starts_with(beginning),
            None => found.part == self.part,
        };
        let within = |text: &Option<String>, value: &str| {
            text.as_ref().is_none_or(|text| value.contains(text))
        };
        part && self
            .server
            .as_ref()
            .is_none_or(|name| name == product.name || name == product.module)
            && self
                .case
                .as_ref()
                .is_none_or(|name| found.case.starts_with(name))
            && within(&self.theirs, &found.theirs)
            && within(&self.ours, &found.ours)
            && (!self.own_error || own_error(theirs, ours))
    }
}

/// Returns whether both gateways refused a request by themselves.
fn own_error(theirs: &Reply, ours: &Reply) -> bool {
    let has = |answer: &Reply, text: &str| {
        answer
            .values
            .iter()
            .any(|value| value.to_string().contains(text))
    };
    has(ours, ERROR_INFO) && !has(theirs, ERROR_INFO) && theirs.status.as_u16() >= 400
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
