//! The spans of the latest traces, within a number and a size.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{SpanId, TraceId};

/// Most spans and most bytes of all traces; the oldest traces make room.
const MAX_SPANS: usize = 50_000;
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Most spans of one trace, so that one does not push all others out; further ones are counted.
const MAX_SPANS_OF_TRACE: usize = 5_000;
/// Memory of a span, and of each of its small parts, beside its texts.
const SPAN_BYTES: usize = 320;
const PART_BYTES: usize = 96;

/// A received span.
#[derive(Clone, Debug)]
pub(crate) struct KeptSpan {
    pub(crate) id: SpanId,
    /// The span that caused it; `None` for the first one of a trace.
    pub(crate) parent: Option<SpanId>,
    pub(crate) service: Arc<str>,
    pub(crate) name: String,
    /// The number of `opentelemetry.proto.trace.v1.Span.SpanKind`.
    pub(crate) kind: i32,
    /// Nanoseconds since 1970.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) is_error: bool,
    /// Description of an error; may be empty.
    pub(crate) message: String,
    pub(crate) attributes: Vec<(String, String)>,
    /// Spans of other traces that it works for, as a batch does.
    pub(crate) links: Vec<(TraceId, SpanId)>,
    pub(crate) events: Vec<KeptEvent>,
}

/// A moment within a span, such as a log line.
#[derive(Clone, Debug)]
pub(crate) struct KeptEvent {
    /// Nanoseconds since 1970.
    pub(crate) at: u64,
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
}

/// The spans of one trace, in the order of arrival.
#[derive(Debug, Default)]
pub(crate) struct KeptTrace {
    pub(crate) spans: Vec<KeptSpan>,
    bytes: usize,
    /// Spans beyond [`MAX_SPANS_OF_TRACE`].
    pub(crate) dropped: u64,
}

/// The latest traces.
#[derive(Debug)]
pub(crate) struct Kept {
    traces: HashMap<TraceId, KeptTrace>,
    /// Traces by their first span's arrival.
    order: VecDeque<TraceId>,
    /// For each trace, those whose spans link to it.
    linked: HashMap<TraceId, Vec<TraceId>>,
    spans: usize,
    bytes: usize,
    dropped_traces: u64,
    limits: Limits,
}

/// Bounds of a store.
#[derive(Clone, Copy, Debug)]
struct Limits {
    spans: usize,
    bytes: usize,
    spans_of_trace: usize,
}

/// The store that the receiver fills and the pages read.
#[derive(Debug, Default)]
pub(crate) struct TraceStore(Mutex<Kept>);

// === impl KeptSpan ===

impl KeptSpan {
    fn bytes(&self) -> usize {
        let of = |attributes: &[(String, String)]| {
            let texts = attributes.iter();
            texts
                .map(|(key, value)| key.len() + value.len() + PART_BYTES)
                .sum::<usize>()
        };
        let events = self.events.iter();
        SPAN_BYTES
            + self.name.len()
            + self.message.len()
            + of(&self.attributes)
            + self.links.len() * PART_BYTES
            + events
                .map(|event| PART_BYTES + event.name.len() + of(&event.attributes))
                .sum::<usize>()
    }

    /// Returns the value of an attribute.
    pub(crate) fn attribute(&self, key: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }
}

// === impl KeptTrace ===

impl KeptTrace {
    /// Returns the span that began the trace, as far as it has arrived.
    pub(crate) fn root(&self) -> Option<&KeptSpan> {
        let by_start = |spans: &mut dyn Iterator<Item = &KeptSpan>| {
            spans.min_by_key(|span| span.start).map(|span| span.id)
        };
        let first = by_start(&mut self.spans.iter().filter(|span| span.parent.is_none()));
        let id = first.or_else(|| by_start(&mut self.spans.iter()))?;
        self.spans.iter().find(|span| span.id == id)
    }

    /// Returns the earliest start and the latest end, in nanoseconds since 1970.
    pub(crate) fn times(&self) -> (u64, u64) {
        let start = self.spans.iter().map(|span| span.start).min();
        let end = self.spans.iter().map(|span| span.end).max();
        (start.unwrap_or_default(), end.unwrap_or_default())
    }
}

// === impl Kept ===

impl Default for Kept {
    fn default() -> Self {
        Self::new(Limits {
            spans: MAX_SPANS,
            bytes: MAX_BYTES,
            spans_of_trace: MAX_SPANS_OF_TRACE,
        })
    }
}

impl Kept {
    fn new(limits: Limits) -> Self {
        Self {
            traces: HashMap::new(),
            order: VecDeque::new(),
            linked: HashMap::new(),
            spans: 0,
            bytes: 0,
            dropped_traces: 0,
            limits,
        }
    }

    /// Adds a span to its trace; drops the oldest traces until all are within the bounds.
    pub(crate) fn add(&mut self, id: TraceId, span: KeptSpan) {
        let trace = self.traces.entry(id).or_insert_with(|| {
            self.order.push_back(id);
            KeptTrace::default()
        });
        if trace.spans.len() >= self.limits.spans_of_trace {
            trace.dropped += 1;
            return;
        }
        let bytes = span.bytes();
        for (origin, _) in span.links.iter().filter(|(origin, _)| *origin != id) {
            let linked = self.linked.entry(*origin).or_default();
            if !linked.contains(&id) {
                linked.push(id);
            }
        }
        trace.bytes += bytes;
        trace.spans.push(span);
        self.bytes += bytes;
        self.spans += 1;
        while self.spans > self.limits.spans || self.bytes > self.limits.bytes {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let oldest = self.order.pop_front();
        let Some((id, trace)) =
            oldest.and_then(|id| self.traces.remove(&id).map(|trace| (id, trace)))
        else {
            return;
        };
        self.spans -= trace.spans.len();
        self.bytes -= trace.bytes;
        self.dropped_traces += 1;
        let origins = trace.spans.iter().flat_map(|span| &span.links);
        for (origin, _) in origins {
            if let Some(linked) = self.linked.get_mut(origin) {
                linked.retain(|other| *other != id);
                if linked.is_empty() {
                    self.linked.remove(origin);
                }
            }
        }
    }

    /// Returns a trace.
    pub(crate) fn trace(&self, id: &TraceId) -> Option<&KeptTrace> {
        self.traces.get(id)
    }

    /// Returns all traces, the latest first.
    pub(crate) fn latest(&self) -> impl Iterator<Item = (&TraceId, &KeptTrace)> {
        let ids = self.order.iter().rev();
        ids.filter_map(|id| Some((id, self.traces.get(id)?)))
    }

    /// Returns the traces whose spans link to a trace.
    pub(crate) fn linked_to(&self, id: &TraceId) -> &[TraceId] {
        self.linked.get(id).map_or(&[], Vec::as_slice)
    }

    /// Returns the numbers of spans, of bytes, and of traces that were dropped.
    pub(crate) fn totals(&self) -> (usize, usize, u64) {
        (self.spans, self.bytes, self.dropped_traces)
    }
}

// === impl TraceStore ===

impl TraceStore {
    /// Locks the traces; nobody keeps the lock while waiting.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns a span of service `a` that lasts from `start` to `start + 10`.
    pub(crate) fn span(id: u8, parent: Option<u8>, start: u64) -> KeptSpan {
        KeptSpan {
            id: [id; 8],
            parent: parent.map(|parent| [parent; 8]),
            service: "a".into(),
            name: format!("span {id}"),
            kind: 2,
            start,
            end: start + 10,
            is_error: false,
            message: String::new(),
            attributes: Vec::new(),
            links: Vec::new(),
            events: Vec::new(),
        }
    }

    fn kept(spans: usize, bytes: usize) -> Kept {
        Kept::new(Limits {
            spans,
            bytes,
            spans_of_trace: 3,
        })
    }

    #[test]
    fn the_oldest_trace_makes_room_for_spans() {
        let mut kept = kept(2, usize::MAX);
        for trace in 1..=3 {
            kept.add([trace; 16], span(trace, None, 0));
        }
        let ids: Vec<u8> = kept.latest().map(|(id, _)| id[0]).collect();
        assert_eq!(ids, [3, 2]);
        assert_eq!((kept.totals().0, kept.totals().2), (2, 1));
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let mut kept = kept(usize::MAX, 2 * (SPAN_BYTES + 1_000));
        for trace in 1..=9 {
            let mut large = span(1, None, 0);
            large.message = "x".repeat(900);
            kept.add([trace; 16], large);
            assert!(kept.totals().1 <= kept.limits.bytes);
        }
        assert_eq!(kept.latest().count(), 2);
    }

    #[test]
    fn a_span_above_all_bounds_is_dropped_with_its_trace() {
        let mut kept = kept(10, SPAN_BYTES);
        let mut large = span(1, None, 0);
        large.message = "x".repeat(SPAN_BYTES);
        kept.add([1; 16], large);
        assert_eq!(kept.totals(), (0, 0, 1));
    }

    #[test]
    fn one_trace_cannot_push_the_others_out() {
        let mut kept = kept(10, usize::MAX);
        kept.add([1; 16], span(1, None, 0));
        for id in 0..100 {
            kept.add([2; 16], span(id, None, 0));
        }
        assert!(kept.trace(&[1; 16]).is_some());
        let long = kept.trace(&[2; 16]).unwrap();
        assert_eq!((long.spans.len(), long.dropped), (3, 97));
    }

    #[test]
    fn links_go_with_the_trace_that_has_them() {
        let mut kept = kept(1, usize::MAX);
        let mut batch = span(1, None, 0);
        batch.links = vec![([7; 16], [1; 8]), ([7; 16], [2; 8])];
        kept.add([1; 16], batch);
        assert_eq!(kept.linked_to(&[7; 16]), [[1; 16]]);
        kept.add([2; 16], span(2, None, 0));
        assert!(kept.linked.is_empty());
    }
}
