//! The trie and the search in it.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use http::Method;

use super::{Match, Route};
use crate::{
    error::RouteError,
    limits::{MAX_PATH_BYTES, MAX_PATH_SEGMENTS},
    percent,
    schema::Place,
    template::Segment,
};

/// All routes. A lookup costs as many steps as the path has segments, however many routes there are, unless it backtracks.
#[derive(Debug)]
pub(crate) struct Router {
    nodes: Vec<Node>,
    has_verbs: bool,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, usize>,
    star: Option<usize>,
    glob: Option<usize>,
    leaves: Vec<Leaf>,
}

#[derive(Debug)]
struct Leaf {
    route: Arc<Route>,
    place: Place,
}

/// Where the segments of a request path are: byte ranges, as the path is bounded to 64 KiB and the count to a stack array.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spans {
    ranges: [(u16, u16); MAX_PATH_SEGMENTS],
    len: usize,
}

/// One reading of a path: its segments, and a verb or none.
struct Reading<'a> {
    path: &'a str,
    spans: Spans,
    verb: Option<&'a str>,
}

/// Chooses a route among the leaves of a full match, or asks to go on.
type Pick<'p, 'a> = &'p mut dyn FnMut(&mut dyn Iterator<Item = &'a Leaf>) -> Option<&'a Arc<Route>>;

// === impl Router ===

impl Default for Router {
    fn default() -> Self {
        Router {
            nodes: vec![Node::default()],
            has_verbs: false,
        }
    }
}

impl Router {
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let leaves = self.nodes.iter().flat_map(|node| &node.leaves);
        leaves.map(|leaf| &leaf.route)
    }

    /// Adds a route. Two routes for the same method, shape and verb are an error that names both places.
    pub(crate) fn insert(&mut self, route: Route, place: &Place) -> Result<(), String> {
        let mut at = 0;
        for segment in &route.template.segments {
            at = self.child(at, segment);
        }
        let leaves = &self.nodes[at].leaves;
        let rival = leaves.iter().find(|leaf| {
            leaf.route.template.verb == route.template.verb
                && leaf.route.http_method == route.http_method
        });
        if let Some(Leaf {
            route: other,
            place,
        }) = rival
        {
            return Err(format!(
                "{} {:?} is ambiguous with {:?} of {} in {}",
                route.http_method, route.text, other.text, place.element, place.file
            ));
        }
        self.has_verbs |= route.template.verb.is_some();
        self.nodes[at].leaves.push(Leaf {
            route: Arc::new(route),
            place: place.clone(),
        });
        Ok(())
    }

    fn child(&mut self, at: usize, segment: &Segment) -> usize {
        let next = self.nodes.len();
        let node = &mut self.nodes[at];
        let child = match segment {
            Segment::Literal(text) => *node.literals.entry(text.clone()).or_insert(next),
            Segment::Star => *node.star.get_or_insert(next),
            Segment::Glob => *node.glob.get_or_insert(next),
        };
        if child == next {
            self.nodes.push(Node::default());
        }
        child
    }

    pub(crate) fn find<'a>(
        &'a self,
        method: &Method,
        path: &'a str,
    ) -> Result<Match<'a>, RouteError> {
        let whole = Reading {
            path,
            spans: Spans::split(path)?,
            verb: None,
        };
        // A registered verb wins over a variable that could swallow it; an unknown one stays part of the variable.
        let verbed = self.has_verbs.then(|| whole.with_verb()).flatten();
        let find = |method| self.find_as(method, verbed.as_ref(), &whole);
        let found = find(method).or_else(|| match *method {
            Method::HEAD => find(&Method::GET),
            _ => None,
        });
        found.ok_or_else(|| self.refusal(verbed.as_ref(), &whole))
    }

    fn find_as<'a>(
        &'a self,
        method: &Method,
        verbed: Option<&Reading<'a>>,
        whole: &Reading<'a>,
    ) -> Option<Match<'a>> {
        verbed.into_iter().chain([whole]).find_map(|reading| {
            let route = self.search(0, 0, reading, &mut |leaves| pick(leaves, method))?;
            Some(Match {
                route,
                path: reading.path,
                spans: reading.spans,
            })
        })
    }

    /// Why nothing was found: a second walk, so that the first one has nothing to collect.
    fn refusal(&self, verbed: Option<&Reading<'_>>, whole: &Reading<'_>) -> RouteError {
        let mut allow: Vec<Method> = Vec::new();
        for reading in verbed.into_iter().chain([whole]) {
            self.search(0, 0, reading, &mut |leaves| {
                allow.extend(leaves.map(|leaf| leaf.route.http_method.clone()));
                None
            });
        }
        if allow.is_empty() {
            return RouteError::NotFound;
        }
        if allow.contains(&Method::GET) {
            allow.push(Method::HEAD);
        }
        allow.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        allow.dedup();
        RouteError::MethodNotAllowed { allow }
    }

    /// Walks from node `at` with the segments from `index` on.
    fn search<'a>(
        &'a self,
        at: usize,
        index: usize,
        reading: &Reading<'_>,
        pick: Pick<'_, 'a>,
    ) -> Option<&'a Arc<Route>> {
        let node = &self.nodes[at];
        if index == reading.spans.len {
            let mut leaves = node.leaves.iter().filter(|leaf| leaf.is_for(reading.verb));
            if let Some(route) = pick(&mut leaves) {
                return Some(route);
            }
        } else if let Some(text) = reading.segment(index) {
            let literal = node.literals.get(&*text).copied();
            for child in literal.into_iter().chain(node.star) {
                if let Some(route) = self.search(child, index + 1, reading, pick) {
                    return Some(route);
                }
            }
        }
        let glob = node.glob?;
        // Shortest first: what follows a `**` in a template is more specific than a `**` that takes it all.
        (index..=reading.globbable(index)).find_map(|end| self.search(glob, end, reading, pick))
    }
}

fn pick<'a>(leaves: &mut dyn Iterator<Item = &'a Leaf>, method: &Method) -> Option<&'a Arc<Route>> {
    let mut any = None;
    for leaf in leaves {
        if leaf.route.http_method == *method {
            return Some(&leaf.route);
        }
        if leaf.route.http_method.as_str() == "*" {
            any = Some(&leaf.route);
        }
    }
    any
}

impl Leaf {
    fn is_for(&self, verb: Option<&str>) -> bool {
        match (&self.route.template.verb, verb) {
            (None, None) => true,
            (Some(own), Some(raw)) => percent::decode_all(raw).is_ok_and(|text| *text == **own),
            _ => false,
        }
    }
}

// === impl Reading ===

impl<'a> Reading<'a> {
    /// The reading in which what follows the last colon of the last segment is a verb.
    fn with_verb(&self) -> Option<Reading<'a>> {
        let last = self.spans.len.checked_sub(1)?;
        let (before, verb) = self
            .spans
            .text(self.path, last, last + 1)
            .rsplit_once(':')?;
        let mut spans = self.spans;
        spans.ranges[last].1 = spans.ranges[last].0 + before.len() as u16;
        (!verb.is_empty()).then_some(Reading {
            path: self.path,
            spans,
            verb: Some(verb),
        })
    }

    /// The decoded text of a segment; `None` for an empty one, which no literal and no `*` matches.
    fn segment(&self, index: usize) -> Option<Cow<'a, str>> {
        let raw = self.spans.text(self.path, index, index + 1);
        let text = percent::decode_all(raw).ok()?;
        (!text.is_empty()).then_some(text)
    }

    /// How far a `**` that starts at `index` may reach: up to the first empty segment. Only a verb may follow one, so that
    /// `/v1/:purge` is `/v1/{name=**}:purge` with an empty name.
    fn globbable(&self, index: usize) -> usize {
        let is_empty = |at: &usize| self.spans.text(self.path, *at, *at + 1).is_empty();
        match (index..self.spans.len).find(is_empty) {
            Some(at) if self.verb.is_some() && at + 1 == self.spans.len => at + 1,
            Some(at) => at,
            None => self.spans.len,
        }
    }
}

// === impl Spans ===

impl Spans {
    /// Splits a raw path, and refuses what must never be forwarded: dot segments, malformed escapes, NUL, broken UTF-8.
    fn split(path: &str) -> Result<Spans, RouteError> {
        let bad = |reason| RouteError::BadPath { reason };
        if path.len() > MAX_PATH_BYTES {
            return Err(bad("the path is too long"));
        }
        let Some(rest) = path.strip_prefix('/') else {
            return Err(bad("a path starts with '/'"));
        };
        let mut spans = Spans {
            ranges: [(0, 0); MAX_PATH_SEGMENTS],
            len: 0,
        };
        if rest.is_empty() {
            return Ok(spans);
        }
        let mut start = 1;
        for raw in rest.split('/') {
            let text = percent::decode_all(raw).map_err(bad)?;
            if text == "." || text == ".." {
                return Err(bad("dot segments are not resolved"));
            }
            let Some(range) = spans.ranges.get_mut(spans.len) else {
                return Err(bad("the path has too many segments"));
            };
            *range = (start as u16, (start + raw.len()) as u16);
            spans.len += 1;
            start += raw.len() + 1;
        }
        Ok(spans)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The raw text of the segments from `start` up to `end`, slashes between them included.
    pub(crate) fn text<'a>(&self, path: &'a str, start: usize, end: usize) -> &'a str {
        if start >= end {
            return "";
        }
        let from = usize::from(self.ranges[start].0);
        let to = usize::from(self.ranges[end - 1].1);
        path.get(from..to).unwrap_or_default()
    }
}
