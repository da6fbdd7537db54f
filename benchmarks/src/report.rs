//! Results as JSON for scripts, and as a table with targets for people.

use serde::Serialize;

use crate::corpus::{ORDER, REPORT};
use crate::measure::{Allocated, Direction, Loaded, Routed, Speed, Streamed, Validated};

/// One object of the results.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Reading {
    /// One message in one direction.
    Speed(Speed),
    /// Allocations of one message.
    Allocated(Allocated),
    /// Match of a route.
    Routed(Routed),
    /// Check of the rules of one message.
    Validated(Validated),
    /// A long stream.
    Streamed(Streamed),
    /// Load of a schema.
    Loaded(Loaded),
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    what: String,
    value: String,
    target: Option<Target>,
}

/// A target and whether it is met.
#[derive(Debug, Clone, PartialEq)]
struct Target {
    text: String,
    is_met: bool,
}

/// Returns whether all targets are met.
pub fn passes(lines: &[Line]) -> bool {
    let mut targets = lines.iter().filter_map(|line| line.target.as_ref());
    targets.all(|target| target.is_met)
}

/// Returns the lines as a table.
pub fn table(lines: &[Line]) -> String {
    let width = |text: fn(&Line) -> &str| {
        let widths = lines.iter().map(|line| text(line).chars().count());
        widths.max().unwrap_or_default()
    };
    let (what, value) = (width(|line| &line.what), width(|line| &line.value));
    let mut table = String::new();
    for line in lines {
        let (target, verdict) = match &line.target {
            None => ("", ""),
            Some(target) if target.is_met => (&*target.text, "PASS"),
            Some(target) => (&*target.text, "MISS"),
        };
        let text = format!(
            "{:what$}  {:>value$}  {target:12}  {verdict}",
            line.what, line.value
        );
        table.push_str(text.trim_end());
        table.push('\n');
    }
    table
}

// === impl Reading ===

impl Reading {
    /// Returns its lines of the table.
    pub fn lines(&self) -> Vec<Line> {
        match self {
            Reading::Speed(speed) => speed_lines(speed),
            Reading::Allocated(allocated) => allocated_lines(allocated),
            Reading::Routed(routed) => routed_lines(routed),
            Reading::Validated(validated) => validated_lines(validated),
            Reading::Streamed(streamed) => streamed_lines(streamed),
            Reading::Loaded(loaded) => loaded_lines(loaded),
        }
    }
}

fn speed_lines(speed: &Speed) -> Vec<Line> {
    let (name, pbjson) = match speed.direction {
        Direction::JsonToWire => ("JSON to wire", 5.0),
        Direction::WireToJson => ("wire to JSON", 2.5),
    };
    // A ratio, and the speed of the peer by it.
    let times = |value: f64| format!("{value:.2} × {:>4.0} MB/s", speed.mb_s / value);
    let mut reflect = Line::new("  prost-reflect", times(speed.vs_prost_reflect));
    let mut prost = Line::new("  pbjson", times(speed.vs_pbjson));
    if [ORDER.name, REPORT.name].contains(&speed.message) {
        reflect = reflect.at_least(8.0, speed.vs_prost_reflect);
        prost = prost.at_least(pbjson, speed.vs_pbjson);
    }
    vec![
        Line::new(
            format!("{}, {name}", speed.message),
            format!("{:.0} MB/s", speed.mb_s),
        ),
        reflect,
        prost,
        Line::new("  buffa", times(speed.vs_buffa)),
        Line::new("  serde_json skipping (aim: 0.5)", times(speed.vs_scan)),
    ]
}

fn allocated_lines(allocated: &Allocated) -> Vec<Line> {
    let line = Line::new(
        format!("allocations per {}", allocated.message),
        format!("{}", allocated.per_message),
    );
    // The target is for usual messages; the others are for information.
    if allocated.message == ORDER.name {
        vec![line.at_most(0.0, allocated.per_message)]
    } else {
        vec![line]
    }
}

fn routed_lines(routed: &Routed) -> Vec<Line> {
    vec![
        Line::new("one of 10 routes", format!("{:.0} ns", routed.ns_10)),
        Line::new("one of 10,000 routes", format!("{:.0} ns", routed.ns_10000)),
        Line::new("  by one of 10", format!("{:.2} ×", routed.ratio)).at_most(1.5, routed.ratio),
        Line::new(
            "  all of them asked for",
            format!(
                "{:.0} ns, {:.2} ×",
                routed.ns_10000_spread, routed.ratio_spread
            ),
        ),
    ]
}

fn validated_lines(validated: &Validated) -> Vec<Line> {
    let nanos = |value: f64| format!("{value:.0} ns");
    vec![
        Line::new(
            format!("{}, JSON to wire", validated.message),
            nanos(validated.ns_checked),
        ),
        Line::new("  rules left aside", nanos(validated.ns_unchecked)),
        Line::new(
            "  rules by that (aim: 0.35)",
            format!("{:.2} ×", validated.ratio),
        ),
        Line::new("  wire bytes of others", nanos(validated.ns_wire)),
        Line::new("  allocations", format!("{}", validated.allocations)),
    ]
}

fn streamed_lines(streamed: &Streamed) -> Vec<Line> {
    let heap = streamed.heap_growth_bytes as f64 / 1e6;
    let mut lines = vec![
        Line::new(
            format!(
                "{:.2} GB of NDJSON, there and back",
                streamed.bytes as f64 / 1e9
            ),
            format!("{:.0} MB/s", streamed.mb_s),
        ),
        Line::new("  most heap", format!("{heap:.3} MB")).below(2.0, heap),
    ];
    if let Some(rss) = streamed.rss_growth_bytes {
        let rss = rss as f64 / 1e6;
        lines.push(Line::new("  most resident memory", format!("{rss:.3} MB")).below(2.0, rss));
    }
    lines
}

fn loaded_lines(loaded: &Loaded) -> Vec<Line> {
    let messages = loaded.messages as f64;
    let memory = |bytes: i64| {
        let bytes = bytes as f64;
        format!(
            "{:.1} MB, {:.1} KB each",
            bytes / 1e6,
            bytes / 1e3 / messages
        )
    };
    vec![
        Line::new(
            format!("loading {messages} messages"),
            format!(
                "{:.1} ms, {:.1} µs each",
                loaded.ms,
                loaded.ms * 1000.0 / messages
            ),
        ),
        Line::new("  heap kept", memory(loaded.heap_bytes)),
        Line::new("  heap meanwhile", memory(loaded.peak_bytes)),
    ]
}

// === impl Line ===

impl Line {
    pub(crate) fn new(what: impl Into<String>, value: impl Into<String>) -> Self {
        Line {
            what: what.into(),
            value: value.into(),
            target: None,
        }
    }

    pub(crate) fn at_least(self, bound: f64, value: f64) -> Self {
        self.target(format!("≥ {bound}"), value >= bound)
    }

    pub(crate) fn at_most(self, bound: f64, value: f64) -> Self {
        self.target(format!("≤ {bound}"), value <= bound)
    }

    pub(crate) fn below(self, bound: f64, value: f64) -> Self {
        self.target(format!("< {bound}"), value < bound)
    }

    fn target(mut self, text: String, is_met: bool) -> Self {
        self.target = Some(Target { text, is_met });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(vs_pbjson: f64) -> Reading {
        Reading::Speed(Speed {
            message: "order",
            direction: Direction::JsonToWire,
            mb_s: 600.0,
            vs_prost_reflect: 12.0,
            vs_pbjson,
            vs_buffa: 4.0,
            vs_scan: 0.5,
        })
    }

    #[test]
    fn the_results_pass_when_every_target_is_met() {
        assert!(passes(&speed(5.0).lines()));
        assert!(!passes(&speed(4.99).lines()));
    }

    #[test]
    fn the_table_says_which_target_is_missed() {
        let table = table(&speed(4.0).lines());
        let missed: Vec<_> = table
            .lines()
            .filter(|line| line.ends_with("MISS"))
            .collect();
        assert!(
            matches!(*missed, [line] if line.contains("pbjson")),
            "{table}"
        );
    }

    #[test]
    fn an_object_of_speed_has_the_keys_that_scripts_read() {
        assert_eq!(
            serde_json::to_string(&speed(4.0)).unwrap(),
            r#"{"message":"order","direction":"json_to_wire","mb_s":600.0,"vs_prost_reflect":12.0,"vs_pbjson":4.0,"vs_buffa":4.0,"vs_scan":0.5}"#
        );
    }
}
