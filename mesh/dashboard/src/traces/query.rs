//! Answers the questions of the page: a list of traces, and one trace as a waterfall.

use std::collections::{BTreeSet, HashMap, HashSet};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde::Serialize;

use super::store::{Kept, KeptSpan, KeptTrace};
use super::{SpanId, TraceId, hex};

/// Most traces of a list, and most spans of a waterfall; further ones are counted.
const MAX_TRACES: usize = 100;
const MAX_SPANS_SHOWN: usize = 2_000;
/// Most traces of batches that a waterfall joins.
const MAX_JOINED: usize = 256;

/// The kind of a span that serves a request.
const SERVER: i32 = SpanKind::Server as i32;
/// Names of `opentelemetry.proto.trace.v1.Span.SpanKind`.
const KINDS: [&str; 6] = ["", "internal", "server", "client", "producer", "consumer"];

/// The conditions of a search; all of them must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Search {
    /// In a trace's id, or in a span's name, route, path or method, in lower case.
    pub(crate) text: String,
    /// A service that took part.
    pub(crate) service: String,
    /// Whether a span failed.
    pub(crate) is_error: Option<bool>,
    /// Shortest duration, in milliseconds.
    pub(crate) min_ms: u64,
    /// Only traces that began with a request, not with a batch of facts or sagas.
    pub(crate) is_request: bool,
}

/// One trace of a list.
#[derive(Debug, Serialize)]
pub(crate) struct TraceSummary {
    id: String,
    name: String,
    service: String,
    /// Status of the first span: an HTTP status or a gRPC code; empty if it has neither.
    status: String,
    services: BTreeSet<String>,
    spans: usize,
    errors: usize,
    /// Milliseconds since 1970.
    started_ms: u64,
    duration_us: u64,
}

/// One trace with its spans from top to bottom.
#[derive(Debug, Serialize)]
pub(crate) struct Waterfall {
    id: String,
    name: String,
    started_ms: u64,
    duration_us: u64,
    services: BTreeSet<String>,
    spans: Vec<Bar>,
    /// Spans that are not kept or not shown.
    missing: u64,
}

/// One line of a waterfall.
#[derive(Debug, Serialize)]
struct Bar {
    id: String,
    depth: usize,
    service: String,
    name: String,
    kind: &'static str,
    /// From the start of the trace.
    start_us: u64,
    duration_us: u64,
    is_error: bool,
    message: String,
    attributes: Vec<(String, String)>,
    events: Vec<Moment>,
    /// The trace that it belongs to, if it worked for several.
    batch: Option<String>,
}

/// A log line or another moment within a span.
#[derive(Debug, Serialize)]
struct Moment {
    at_us: u64,
    name: String,
    attributes: Vec<(String, String)>,
}

/// A span with its trace.
type Placed<'a> = (&'a TraceId, &'a KeptSpan);

/// The state of a layout.
struct Layout<'a> {
    /// Spans below each span: those that it caused, and those of batches that worked for it.
    below: HashMap<(TraceId, SpanId), Vec<Placed<'a>>>,
    seen: HashSet<(TraceId, SpanId)>,
    lines: Vec<(usize, Placed<'a>)>,
}

// === impl Search ===

impl Search {
    fn matches(&self, id: &TraceId, trace: &KeptTrace) -> bool {
        let spans = || trace.spans.iter();
        let (start, end) = trace.times();
        let is_request = || trace.root().is_some_and(|root| root.kind == SERVER);
        (end - start) / 1_000_000 >= self.min_ms
            && (!self.is_request || is_request())
            && (self.service.is_empty() || spans().any(|span| *span.service == *self.service))
            && self
                .is_error
                .is_none_or(|wanted| spans().any(|span| span.is_error) == wanted)
            && (self.text.is_empty()
                || hex(id).starts_with(&self.text)
                || spans().any(|span| self.mentions(span)))
    }

    fn mentions(&self, span: &KeptSpan) -> bool {
        const SEARCHED: [&str; 4] = ["http.route", "url.path", "rpc.method", "url.full"];
        let texts = SEARCHED.iter().filter_map(|key| span.attribute(key));
        texts
            .chain([span.name.as_str()])
            .any(|text| text.to_lowercase().contains(&self.text))
    }
}

// === impl Kept ===

impl Kept {
    /// Returns the latest traces that match, at most a hundred.
    pub(crate) fn search(&self, search: &Search) -> Vec<TraceSummary> {
        let found = self.latest();
        let mut found: Vec<TraceSummary> = found
            .filter(|(id, trace)| search.matches(id, trace))
            .filter_map(|(id, trace)| summary(id, trace))
            .take(MAX_TRACES)
            .collect();
        // They arrived in another order than they began.
        found.sort_by_key(|trace| std::cmp::Reverse(trace.started_ms));
        found
    }

    /// Returns the names of all services that have sent spans.
    pub(crate) fn services(&self) -> BTreeSet<String> {
        let spans = self.latest().flat_map(|(_, trace)| &trace.spans);
        let distinct: BTreeSet<&str> = spans.map(|span| &*span.service).collect();
        distinct.into_iter().map(str::to_owned).collect()
    }

    /// Lays a trace out: each span below the one that caused it, and spans of batches below those
    /// that they worked for.
    pub(crate) fn waterfall(&self, id: &TraceId) -> Option<Waterfall> {
        let trace = self.trace(id)?;
        let root = trace.root()?;
        let ids: HashSet<SpanId> = trace.spans.iter().map(|span| span.id).collect();
        let tops = trace.spans.iter().filter(|span| {
            let parent = span.parent.filter(|parent| *parent != span.id);
            parent.is_none_or(|parent| !ids.contains(&parent))
        });
        let mut layout = Layout::new(self.joined(id));
        layout.place(tops.map(|span| (id, span)).collect());
        let spans = || layout.lines.iter().map(|(_, (_, span))| span);
        let start = spans().map(|span| span.start).min().unwrap_or_default();
        let end = spans().map(|span| span.end).max().unwrap_or_default();
        let own = layout.lines.iter().filter(|(_, (of, _))| *of == id);
        let unseen = trace.spans.len() - own.count();
        let services = spans().map(|span| span.service.to_string()).collect();
        let bar = |(depth, (of, span)): &(usize, Placed<'_>)| {
            Bar::new(*depth, start, span, (*of != id).then_some(of))
        };
        Some(Waterfall {
            id: hex(id),
            name: root.name.clone(),
            started_ms: start / 1_000_000,
            duration_us: (end - start) / 1_000,
            services,
            missing: trace.dropped + unseen as u64,
            spans: layout.lines.iter().map(bar).collect(),
        })
    }

    /// Returns a trace, those whose spans link to it, those that link to them, and so on.
    fn joined<'a>(&'a self, id: &'a TraceId) -> Vec<Placed<'a>> {
        let mut ids = vec![id];
        let mut known = HashSet::from([id]);
        let mut next = 0;
        while let Some(id) = ids.get(next) {
            let others = self.linked_to(id).iter();
            ids.extend(others.filter(|other| known.len() < MAX_JOINED && known.insert(*other)));
            next += 1;
        }
        let spans = |id: &'a TraceId| {
            let spans = self.trace(id).map_or(&[][..], |trace| &trace.spans);
            spans.iter().map(move |span| (id, span))
        };
        ids.into_iter().flat_map(spans).collect()
    }
}

// === impl Layout ===

impl<'a> Layout<'a> {
    fn new(spans: Vec<Placed<'a>>) -> Self {
        let mut below: HashMap<_, Vec<Placed<'a>>> = HashMap::new();
        for (of, span) in spans {
            let cause = span.parent.map(|parent| (*of, parent));
            // A batch may hold several facts of one span.
            let causes: HashSet<_> = span.links.iter().copied().chain(cause).collect();
            for cause in causes {
                below.entry(cause).or_default().push((of, span));
            }
        }
        Self {
            below,
            seen: HashSet::new(),
            lines: Vec::new(),
        }
    }

    /// Places spans and all below them, depth first and by start, without recursion: a caller
    /// chooses how deep a trace is.
    fn place(&mut self, tops: Vec<Placed<'a>>) {
        let mut waiting = Vec::new();
        push(&mut waiting, 0, tops);
        while let Some((depth, (of, span))) = waiting.pop() {
            if !self.seen.insert((*of, span.id)) {
                continue;
            }
            if self.lines.len() >= MAX_SPANS_SHOWN {
                return;
            }
            self.lines.push((depth, (of, span)));
            let below = self.below.get(&(*of, span.id)).cloned();
            push(&mut waiting, depth + 1, below.unwrap_or_default());
        }
    }
}

/// Puts spans on a stack so that the earliest is taken first.
fn push<'a>(waiting: &mut Vec<(usize, Placed<'a>)>, depth: usize, mut spans: Vec<Placed<'a>>) {
    spans.sort_by_key(|(_, span)| std::cmp::Reverse(span.start));
    waiting.extend(spans.into_iter().map(|placed| (depth, placed)));
}

// === impl Bar ===

impl Bar {
    fn new(depth: usize, start: u64, span: &KeptSpan, batch: Option<&TraceId>) -> Self {
        let since = |at: u64| at.saturating_sub(start) / 1_000;
        let events = span.events.iter().map(|event| Moment {
            at_us: since(event.at),
            name: event.name.clone(),
            attributes: event.attributes.clone(),
        });
        let kind = usize::try_from(span.kind).ok();
        Self {
            id: hex(&span.id),
            depth,
            service: span.service.to_string(),
            name: span.name.clone(),
            kind: kind.and_then(|kind| KINDS.get(kind)).copied().unwrap_or(""),
            start_us: since(span.start),
            duration_us: (span.end - span.start) / 1_000,
            is_error: span.is_error,
            message: span.message.clone(),
            attributes: span.attributes.clone(),
            events: events.collect(),
            batch: batch.map(|id| hex(id)),
        }
    }
}

fn summary(id: &TraceId, trace: &KeptTrace) -> Option<TraceSummary> {
    let root = trace.root()?;
    let (start, end) = trace.times();
    let status = ["http.response.status_code", "rpc.response.status_code"];
    let status = status.iter().find_map(|key| root.attribute(key));
    let services = trace.spans.iter().map(|span| span.service.to_string());
    Some(TraceSummary {
        id: hex(id),
        name: root.name.clone(),
        service: root.service.to_string(),
        status: status.unwrap_or_default().to_owned(),
        services: services.collect(),
        spans: trace.spans.len(),
        errors: trace.spans.iter().filter(|span| span.is_error).count(),
        started_ms: start / 1_000_000,
        duration_us: (end - start) / 1_000,
    })
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::span;
    use super::*;

    const TRACE: TraceId = [1; 16];
    const BATCH: TraceId = [2; 16];

    fn lines(kept: &Kept) -> Vec<(usize, String, bool)> {
        let waterfall = kept.waterfall(&TRACE).unwrap();
        let lines = waterfall.spans.into_iter();
        lines
            .map(|bar| (bar.depth, bar.name, bar.batch.is_some()))
            .collect()
    }

    fn line(depth: usize, id: u8, is_batch: bool) -> (usize, String, bool) {
        (depth, format!("span {id}"), is_batch)
    }

    #[test]
    fn spans_stand_below_their_causes_in_the_order_of_time() {
        let mut kept = Kept::default();
        for (id, parent, start) in [
            (4, Some(2), 3),
            (3, Some(1), 9),
            (2, Some(1), 2),
            (1, None, 0),
        ] {
            kept.add(TRACE, span(id, parent, start));
        }
        // Its cause has not arrived.
        kept.add(TRACE, span(6, Some(5), 20));
        assert_eq!(
            lines(&kept),
            [
                line(0, 1, false),
                line(1, 2, false),
                line(2, 4, false),
                line(1, 3, false),
                line(0, 6, false)
            ]
        );
    }

    #[test]
    fn a_batch_stands_below_the_span_that_it_worked_for_with_all_that_it_did() {
        let mut kept = Kept::default();
        kept.add(TRACE, span(1, None, 0));
        let mut batch = span(8, None, 5);
        batch.links = vec![(TRACE, [1; 8]), (TRACE, [1; 8]), ([9; 16], [1; 8])];
        kept.add(BATCH, batch);
        kept.add(BATCH, span(9, Some(8), 6));
        // The batch did this for nobody of this trace.
        kept.add(BATCH, span(7, None, 6));
        // What the batch published was applied in another one.
        let mut next = span(6, None, 7);
        next.links = vec![(BATCH, [9; 8])];
        kept.add([3; 16], next);
        assert_eq!(
            lines(&kept),
            [
                line(0, 1, false),
                line(1, 8, true),
                line(2, 9, true),
                line(3, 6, true)
            ]
        );
    }

    #[test]
    fn spans_in_a_circle_do_not_hang_it() {
        let mut kept = Kept::default();
        kept.add(TRACE, span(3, None, 0));
        kept.add(TRACE, span(1, Some(2), 0));
        kept.add(TRACE, span(2, Some(1), 0));
        kept.add(TRACE, span(4, Some(4), 5));
        assert_eq!(lines(&kept), [line(0, 3, false), line(0, 4, false)]);
        assert_eq!(kept.waterfall(&TRACE).unwrap().missing, 2);
    }

    #[test]
    fn a_search_finds_traces_by_id_name_route_service_failure_duration_and_origin() {
        let mut kept = Kept::default();
        let mut slow = span(1, None, 0);
        slow.end = 80_000_000;
        slow.is_error = true;
        slow.attributes = vec![("http.route".to_owned(), "/v1/Orders".to_owned())];
        kept.add([0xab; 16], slow);
        kept.add(BATCH, span(2, None, 0));
        let found = |search: Search| kept.search(&search).len();
        let text = |text: &str| Search {
            text: text.to_owned(),
            ..Search::default()
        };
        assert_eq!(found(Search::default()), 2);
        assert_eq!(found(text("abab")), 1);
        assert_eq!(found(text("span 2")), 1);
        assert_eq!(found(text("/v1/orders")), 1);
        assert_eq!(found(text("nothing")), 0);
        let service = Search {
            service: "b".to_owned(),
            ..Search::default()
        };
        assert_eq!(found(service), 0);
        let errors = |is_error| Search {
            is_error: Some(is_error),
            ..Search::default()
        };
        assert_eq!((found(errors(true)), found(errors(false))), (1, 1));
        let slower = |min_ms| Search {
            min_ms,
            ..Search::default()
        };
        assert_eq!((found(slower(80)), found(slower(81))), (1, 0));
        let mut batch = span(3, None, 0);
        batch.kind = SpanKind::Consumer as i32;
        kept.add([3; 16], batch);
        let requests = Search {
            is_request: true,
            ..Search::default()
        };
        let all = Search::default();
        assert_eq!(
            (kept.search(&requests).len(), kept.search(&all).len()),
            (2, 3)
        );
    }
}
