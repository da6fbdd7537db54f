//! Matching a path: one trie of segments for all routes, with literal before `*` before `**`, and
//! backtracking.

mod build;
mod explain;
mod search;
mod spans;
mod tables;

use std::sync::Arc;

use crate::binding::{Binding, RouteVariable};
use crate::error::RouteError;

pub use explain::{Candidate, Mismatch};
pub use search::Router;

pub(crate) use build::RouterBuilder;
pub(crate) use spans::Spans;

/// A binding that accepts a request, with the text that its template has captured.
#[derive(Debug, Clone, Copy)]
pub struct PathMatch<'a> {
    /// The binding.
    pub binding: &'a Arc<Binding>,
    /// Index of the binding in [`Router::bindings`]; past all of them where no router holds it.
    pub index: usize,
    path: &'a str,
    spans: Spans,
}

// === impl PathMatch ===

impl<'a> PathMatch<'a> {
    /// Returns the match of a binding without variables with its own path.
    ///
    /// # Errors
    /// The template has variables, or it is longer than a path may be.
    pub fn of_literal(binding: &'a Arc<Binding>) -> Result<Self, RouteError> {
        if !binding.variables.is_empty() {
            return Err(RouteError::NotFound);
        }
        let path = &*binding.text;
        Ok(PathMatch {
            binding,
            index: usize::MAX,
            path,
            spans: Spans::split(path)?,
        })
    }

    /// Returns the raw text that a variable of the template has captured.
    pub fn captured(&self, variable: &RouteVariable) -> &'a str {
        let template = &self.binding.template;
        let glob = template.glob();
        // Segments after a `**` move by as many as it took beyond one.
        let place = |index: usize| match glob {
            Some(glob) if index > glob => {
                (index + self.spans.len()).saturating_sub(template.segments.len())
            }
            _ => index,
        };
        self.spans
            .text(self.path, place(variable.start), place(variable.end))
    }
}
