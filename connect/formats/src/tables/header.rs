//! Names of the columns of a table.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Place, Refusal, rules};

/// The columns that records have.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    /// None for a name that is empty, or there more than once: it would be ambiguous.
    names: Vec<Option<Arc<str>>>,
    repeated: Vec<Arc<str>>,
}

// === impl Header ===

impl Header {
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.collect();
        let mut counts = HashMap::new();
        for name in &names {
            *counts.entry(*name).or_insert(0_usize) += 1;
        }
        let is_plain = |name: &str| !name.is_empty() && counts.get(name) == Some(&1);
        let own = names.iter().map(|name| is_plain(name).then(|| Arc::from(*name)));
        let repeated = counts.iter().filter(|(_, count)| **count > 1);
        Header {
            names: own.collect(),
            repeated: repeated.map(|(name, _)| Arc::from(*name)).collect(),
        }
    }

    pub(crate) fn width(&self) -> usize {
        self.names.len()
    }

    /// Returns the columns with a name, and their places.
    pub(crate) fn names(&self) -> impl Iterator<Item = (usize, &Arc<str>)> {
        let names = self.names.iter().enumerate();
        names.filter_map(|(at, name)| Some((at, name.as_ref()?)))
    }

    /// Refuses a header without one of these columns, or with one of them twice.
    pub(crate) fn require(&self, required: &[String], place: &Place) -> Result<(), Refusal> {
        for column in required {
            if self.names().any(|(_, name)| **name == **column) {
                continue;
            }
            let is_repeated = self.repeated.iter().any(|name| **name == **column);
            let rule = match is_repeated {
                true => rules::COLUMN_DUPLICATE,
                false => rules::COLUMN_MISSING,
            };
            let names: Vec<&str> = self.names().map(|(_, name)| &**name).collect();
            let found = format!("the columns are {}", names.join(", "));
            let mut refusal = Refusal::new(rule, place.clone(), found);
            refusal.column = Some(column.clone());
            return Err(refusal);
        }
        Ok(())
    }
}
