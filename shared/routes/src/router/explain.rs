//! Why a request takes the route that it takes, and why the others did not: for people who ask,
//! never on the way of a request.

use std::cmp::Reverse;
use std::sync::Arc;

use http::Method;

use super::search::{Reading, Router};
use super::tables::NONE;
use crate::binding::Binding;
use crate::template::Segment;

/// A route that does not accept the request, or is outranked.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// The route.
    pub route: &'a Arc<Binding>,
    /// Why it does not accept the request.
    pub reason: Mismatch,
}

/// Why a route does not take a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Path and method agree, and a more specific route comes first.
    #[error(
        "it matches too, but the chosen route is more specific (a literal comes before `*`, and `*` before `**`)"
    )]
    Outranked,
    /// The path agrees, the method does not.
    #[error("the path matches, but the method is {expected}")]
    Method {
        /// The method of the rule.
        expected: Method,
    },
    /// The segments agree, what follows the colon does not.
    #[error("the segments match, but the verb is {}", verb(.expected))]
    Verb {
        /// The verb of the rule; `None` for a rule without one.
        expected: Option<String>,
    },
    /// A segment differs.
    #[error("segment {} is {found:?} where the template has {expected:?}", index + 1)]
    Segment {
        /// Index, from zero.
        index: usize,
        /// The literal, `*` or `**`.
        expected: String,
        /// The decoded text of the request; empty for an empty segment.
        found: String,
    },
    /// The path ends before the template does.
    #[error("the path ends where the template has {expected:?} as segment {}", index + 1)]
    TooShort {
        /// Index of the missing segment, from zero.
        index: usize,
        /// The literal, `*` or `**`.
        expected: String,
    },
    /// The path is longer than the template.
    #[error("the template ends after {length} segments, and the path goes on")]
    TooLong {
        /// How many segments the template has.
        length: usize,
    },
}

// === impl Router ===

impl Router {
    /// Returns every binding but the `taken` one, the nearest first, each with what keeps it from
    /// accepting the request. It compares with each template: for people, not for requests.
    pub fn others<'a>(
        &'a self,
        method: &Method,
        path: &'a str,
        taken: Option<&Arc<Binding>>,
    ) -> Vec<Candidate<'a>> {
        let Ok(readings) = self.readings(path) else {
            // A path that can't be read is compared with nothing.
            return Vec::new();
        };
        let others = self
            .bindings()
            .iter()
            .filter(|route| taken.is_none_or(|taken| !Arc::ptr_eq(taken, route)));
        let mut others: Vec<Candidate<'_>> = others
            .map(|route| Candidate {
                route,
                reason: self.mismatch(route, method, &readings),
            })
            .collect();
        others.sort_by_cached_key(|candidate| {
            let route = candidate.route;
            let name = (route.text.clone(), route.http_method.to_string());
            (Reverse(candidate.reason.nearness()), name)
        });
        others
    }

    fn mismatch(
        &self,
        route: &Binding,
        method: &Method,
        readings: &[Option<Reading<'_>>; 2],
    ) -> Mismatch {
        let of_verb =
            |reading: &&Reading<'_>| self.verb_of(reading) == route.template.verb.as_deref();
        let mut fitting = readings.iter().flatten().filter(of_verb);
        let Some(reading) = fitting.next() else {
            // Without the verb that the other has, the segments are told apart all the same.
            let shown = readings.iter().flatten().next();
            let segments = shown.and_then(|reading| differing(route, reading));
            return segments.unwrap_or_else(|| Mismatch::Verb {
                expected: route.template.verb.as_deref().map(str::to_owned),
            });
        };
        if let Some(mismatch) = differing(route, reading) {
            return mismatch;
        }
        let is_head = *method == Method::HEAD && route.http_method == Method::GET;
        match is_head || route.http_method == *method || route.http_method.as_str() == "*" {
            true => Mismatch::Outranked,
            false => Mismatch::Method {
                expected: route.http_method.clone(),
            },
        }
    }

    /// Returns the text of the verb that a path is read with.
    fn verb_of<'a>(&'a self, reading: &Reading<'a>) -> Option<&'a str> {
        if reading.verb == NONE {
            return None;
        }
        let verbs = &self.tables.verbs;
        let known = verbs.iter().find(|(_, number)| **number == reading.verb);
        known.map(|(text, _)| &**text)
    }
}

// === impl Mismatch ===

impl Mismatch {
    /// How far a route came: the larger the nearer.
    fn nearness(&self) -> (u8, usize) {
        match self {
            Self::Outranked => (3, 0),
            Self::Method { .. } => (2, 0),
            Self::Verb { .. } => (1, 0),
            Self::Segment { index, .. } | Self::TooShort { index, .. } => (0, *index),
            Self::TooLong { length } => (0, *length),
        }
    }
}

/// Where template and path part; `None` where they agree.
fn differing(route: &Binding, reading: &Reading<'_>) -> Option<Mismatch> {
    let segments = &route.template.segments;
    let count = reading.spans.len();
    let glob = route.template.glob();
    let before = glob.unwrap_or(segments.len());
    if let Some(mismatch) = differing_run(&segments[..before], reading, 0, 0) {
        return Some(mismatch);
    }
    let Some(glob) = glob else {
        let length = segments.len();
        return (count > length).then_some(Mismatch::TooLong { length });
    };
    // Segments after a `**` are compared with the end of the path.
    let behind = &segments[glob + 1..];
    let Some(start) = count
        .checked_sub(behind.len())
        .filter(|start| *start >= glob)
    else {
        let index = count.max(glob);
        return Some(Mismatch::TooShort {
            index,
            expected: text(segments.get(index + 1).unwrap_or(&Segment::Glob)),
        });
    };
    let reach = reading.globbable(glob);
    if reach < start {
        return Some(Mismatch::Segment {
            index: reach,
            expected: text(&Segment::Glob),
            found: String::new(),
        });
    }
    differing_run(behind, reading, start, glob + 1)
}

/// Compares a run of segments without `**`, of which the first one stands at `start` in the path.
fn differing_run(
    segments: &[Segment],
    reading: &Reading<'_>,
    start: usize,
    place: usize,
) -> Option<Mismatch> {
    segments.iter().enumerate().find_map(|(offset, segment)| {
        let index = start + offset;
        if index >= reading.spans.len() {
            return Some(Mismatch::TooShort {
                index: place + offset,
                expected: text(segment),
            });
        }
        let found = reading.segment(index).unwrap_or_default();
        let agrees = match segment {
            Segment::Literal(literal) => **literal == *found,
            Segment::Star => !found.is_empty(),
            Segment::Glob => true,
        };
        (!agrees).then(|| Mismatch::Segment {
            index,
            expected: text(segment),
            found: found.into_owned(),
        })
    })
}

fn text(segment: &Segment) -> String {
    match segment {
        Segment::Literal(text) => text.to_string(),
        Segment::Star => "*".to_owned(),
        Segment::Glob => "**".to_owned(),
    }
}

fn verb(expected: &Option<String>) -> String {
    match expected {
        Some(verb) => format!("\":{verb}\""),
        None => "none".to_owned(),
    }
}
