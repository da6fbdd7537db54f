//! The search: literal before `*` before `**`, with backtracking, and a bound on how much of it.

use std::borrow::Cow;
use std::sync::Arc;

use http::Method;

use super::tables::{Leaves, NONE, Node, Tables};
use super::{PathMatch, Spans};
use crate::binding::Binding;
use crate::error::RouteError;
use crate::limits::MAX_ROUTE_STEPS;
use crate::options::{RouteOptions, TrailingSlash};
use crate::percent;

/// All routes. A lookup costs as many steps as the path has segments, however many routes there
/// are, unless it backtracks.
#[derive(Debug, Default)]
pub struct Router {
    pub(super) tables: Tables,
    trailing_slash: TrailingSlash,
    strict_verbs: bool,
}

/// One reading of a path: its segments, and a verb or none.
pub(super) struct Reading<'a> {
    path: &'a str,
    pub(super) spans: Spans,
    pub(super) verb: u32,
}

/// One walk through the tables. `W` looks at the leaves of each full match, and takes a route or
/// lets the walk go on.
struct Walk<'r, 'a, W> {
    tables: &'r Tables,
    reading: &'r Reading<'a>,
    at_leaves: W,
    steps: u32,
}

/// The walk has taken more steps than it may.
struct TooManySteps;

type Found = Result<Option<u32>, TooManySteps>;

// === impl Router ===

impl Router {
    pub(super) fn new(tables: Tables, options: &RouteOptions) -> Self {
        Router {
            tables,
            trailing_slash: options.trailing_slash,
            strict_verbs: options.strict_verbs,
        }
    }

    /// Returns all bindings, in the order of their indices.
    pub fn bindings(&self) -> &[Arc<Binding>] {
        &self.tables.routes
    }

    /// Finds the binding for a raw, undecoded path (without query). `HEAD` takes the route of `GET`
    /// unless it has its own.
    ///
    /// # Errors
    /// No such path, no such method on it, or a malformed path.
    pub fn find<'a>(&'a self, method: &Method, path: &'a str) -> Result<PathMatch<'a>, RouteError> {
        let refusal = match self.find_exactly(method, path) {
            Err(refusal @ (RouteError::NotFound | RouteError::MethodNotAllowed { .. })) => refusal,
            other => return other,
        };
        let shorter = path.strip_suffix('/').filter(|shorter| !shorter.is_empty());
        let (Some(shorter), true) = (shorter, self.trailing_slash != TrailingSlash::Strict) else {
            return Err(refusal);
        };
        match self.find_exactly(method, shorter) {
            Ok(found) if self.trailing_slash == TrailingSlash::Ignore => Ok(found),
            // No template matches an empty segment: `//host`, which browsers take for an authority,
            // can't be a location.
            Ok(_) => Err(RouteError::Redirect {
                location: as_location(shorter),
            }),
            Err(_) => Err(refusal),
        }
    }

    fn find_exactly<'a>(
        &'a self,
        method: &Method,
        path: &'a str,
    ) -> Result<PathMatch<'a>, RouteError> {
        let readings = self.readings(path)?;
        let code = |name: &str| {
            let methods = &self.tables.methods;
            methods.iter().position(|known| known.as_str() == name)
        };
        let find = |method, any| self.find_as(method, any, &readings);
        let found = if *method == Method::HEAD {
            // HEAD prefers the route of GET to a rule for every method.
            match code("HEAD").map(|own| find(Some(own), None)).transpose()? {
                Some(Some(own)) => Some(own),
                _ => find(code("GET"), code("*"))?,
            }
        } else {
            find(code(method.as_str()), code("*"))?
        };
        match found {
            Some(found) => Ok(found),
            None => Err(self.refusal(&readings)?),
        }
    }

    /// Returns the readings of a path. A registered verb wins over a variable that could swallow
    /// it; an unknown one stays part of the variable.
    pub(super) fn readings<'a>(
        &self,
        path: &'a str,
    ) -> Result<[Option<Reading<'a>>; 2], RouteError> {
        let spans = Spans::split(path)?;
        let whole = Reading {
            path,
            spans,
            verb: NONE,
        };
        let Some((before, raw)) = spans.split_verb(path)? else {
            return Ok([None, Some(whole)]);
        };
        if raw.is_empty() {
            // A verb is a literal, and no literal is empty: the colon is text, as in `fe80::`.
            return Ok([None, Some(whole)]);
        }
        let verb = percent::decode_all(raw).ok();
        let known = verb.and_then(|verb| self.tables.verbs.get(&*verb).copied());
        let verbed = known.map(|verb| Reading {
            path,
            spans: spans.without_verb(before),
            verb,
        });
        Ok([verbed, (!self.strict_verbs).then_some(whole)])
    }

    fn find_as<'a>(
        &'a self,
        method: Option<usize>,
        any: Option<usize>,
        readings: &[Option<Reading<'a>>; 2],
    ) -> Result<Option<PathMatch<'a>>, RouteError> {
        let mut steps = 0;
        for reading in readings.iter().flatten() {
            let found = self.walk(reading, &mut steps, |leaves| {
                let leaves = leaves.of(reading.verb);
                let of = |code: Option<usize>| {
                    let mut leaves = leaves.clone();
                    leaves.find(|leaf| code == Some(leaf.method as usize))
                };
                of(method).or_else(|| of(any)).map(|leaf| leaf.route)
            })?;
            let index = found.map_or(usize::MAX, |number| number as usize);
            if let Some(binding) = self.tables.routes.get(index) {
                return Ok(Some(PathMatch {
                    binding,
                    index,
                    path: reading.path,
                    spans: reading.spans,
                }));
            }
        }
        Ok(None)
    }

    /// Returns why nothing was found: a second walk, so that the first one has nothing to collect.
    fn refusal(&self, readings: &[Option<Reading<'_>>; 2]) -> Result<RouteError, RouteError> {
        let mut allow: Vec<Method> = Vec::new();
        let mut steps = 0;
        for reading in readings.iter().flatten() {
            self.walk(reading, &mut steps, |leaves| {
                for method in leaves
                    .of(reading.verb)
                    .filter_map(|l| self.tables.methods.get(l.method as usize))
                {
                    if !allow.contains(method) {
                        allow.push(method.clone());
                    }
                }
                None
            })?;
        }
        if allow.is_empty() {
            return Ok(RouteError::NotFound);
        }
        if allow.contains(&Method::GET) && !allow.contains(&Method::HEAD) {
            allow.push(Method::HEAD);
        }
        allow.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        Ok(RouteError::MethodNotAllowed { allow })
    }

    fn walk(
        &self,
        reading: &Reading<'_>,
        steps: &mut u32,
        at_leaves: impl FnMut(Leaves<'_>) -> Option<u32>,
    ) -> Result<Option<u32>, RouteError> {
        let mut walk = Walk {
            tables: &self.tables,
            reading,
            at_leaves,
            steps: *steps,
        };
        let found = walk.from(0, 0);
        *steps = walk.steps;
        found.map_err(|TooManySteps| RouteError::BadPath {
            reason: "too many templates overlap on this path",
        })
    }

    /// Returns how many places of the tables the search for a route visits.
    #[cfg(test)]
    pub(crate) fn steps(&self, path: &str) -> u32 {
        let mut steps = 0;
        for reading in self.readings(path).unwrap().iter().flatten() {
            self.walk(reading, &mut steps, |_| None).unwrap();
        }
        steps
    }
}

/// Returns a path as a `Location` carries it (RFC 3986): browsers take a raw backslash for a slash,
/// and `/\\host` for another host.
fn as_location(path: &str) -> String {
    let mut location = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte) {
            location.push(char::from(byte));
        } else {
            location.push_str(&format!("%{byte:02X}"));
        }
    }
    location
}

// === impl Walk ===

impl<W: FnMut(Leaves<'_>) -> Option<u32>> Walk<'_, '_, W> {
    /// Goes on from node `at` with the segments from `index` on. It nests at most as deep as the
    /// path has segments.
    fn from(&mut self, at: u32, index: usize) -> Found {
        let tables = self.tables;
        let Some(node) = tables.nodes.get(at as usize) else {
            return Ok(None);
        };
        self.steps += 1;
        if self.steps > MAX_ROUTE_STEPS {
            return Err(TooManySteps);
        }
        let left = self.reading.spans.len() - index;
        if !node.lengths.has(left) {
            return Ok(None);
        }
        if left == 0 {
            let found = (self.at_leaves)(tables.leaves(node));
            if found.is_some() {
                return Ok(found);
            }
        } else if let Some(text) = self.reading.segment(index) {
            if let Some(child) = tables.literal(at, text.as_bytes())
                && let Some(found) = self.from(child, index + 1)?
            {
                return Ok(Some(found));
            }
            if node.star != NONE
                && let Some(found) = self.from(node.star, index + 1)?
            {
                return Ok(Some(found));
            }
        }
        self.glob(node, index)
    }

    /// Shortest first: what follows a `**` in a template is more specific than a `**` that takes it
    /// all.
    fn glob(&mut self, node: &Node, index: usize) -> Found {
        let Some(behind) = self.tables.nodes.get(node.glob as usize) else {
            return Ok(None);
        };
        let count = self.reading.spans.len();
        for end in index..=self.reading.globbable(index) {
            if behind.lengths.has(count - end)
                && let Some(found) = self.from(node.glob, end)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

// === impl Reading ===

impl<'a> Reading<'a> {
    /// Returns the decoded text of a segment; `None` for an empty one, which no literal and no `*`
    /// matches.
    pub(super) fn segment(&self, index: usize) -> Option<Cow<'a, str>> {
        let raw = self.spans.text(self.path, index, index + 1);
        let text = percent::decode_all(raw).ok()?;
        (!text.is_empty()).then_some(text)
    }

    /// How far a `**` that starts at `index` may reach: up to the first empty segment. Only a verb
    /// may follow one, so that `/v1/:purge` is `/v1/{name=**}:purge` with an empty name.
    pub(super) fn globbable(&self, index: usize) -> usize {
        let empty = self.spans.first_empty().max(index);
        let is_before_verb = self.verb != NONE && empty + 1 == self.spans.len();
        if is_before_verb { empty + 1 } else { empty }
    }
}
