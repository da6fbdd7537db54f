//! What is measured of the gateway and its peers: the objects of `--json`, and the lines of the table with the targets.

use std::collections::BTreeMap;

use serde::Serialize;

use super::peer::Peer;
use crate::report::Line;

/// One object of the results.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Figure {
    /// A peer in a case in which all are compared.
    Contested(Contested),
    /// A peer that does not take part in a case, and why.
    Skipped(Skipped),
    /// Streams that say nothing.
    Idle(Idle),
    /// A reader that stops.
    Stalled(Stalled),
    /// All protocols at once.
    Soak(Soak),
    /// Instructions per request.
    Instructions(Instructions),
}

/// Medians over the rounds.
#[derive(Debug, Clone, Serialize)]
pub struct Contested {
    /// What was done.
    pub case: &'static str,
    /// Who did it.
    pub peer: Peer,
    /// What counts as a request.
    pub unit: Unit,
    /// Processor time of the peer's process, in microseconds.
    pub cpu_us_per_request: f64,
    /// Requests per second.
    pub rps: f64,
    /// Median latency of a whole request, which of a stream is all of its messages.
    pub p50_ms: f64,
    /// The latency that one of a hundred exceeds.
    pub p99_ms: f64,
    /// Resident memory of the peer's process under this load.
    pub rss_mb: f64,
    /// How many times our processor time (in `latency`: our `p99_ms`) this is; the median of what each round says.
    pub ratio: f64,
}

/// What counts as a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// One request with one answer.
    Request,
    /// One message of a stream.
    Message,
}

/// Nothing was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Skipped {
    /// The case.
    pub case: &'static str,
    /// Who is left out.
    pub peer: Peer,
    /// Why.
    pub skipped: &'static str,
}

/// Streams that say nothing, each with a connection of its own.
#[derive(Debug, Clone, Serialize)]
pub struct Idle {
    /// Always `idle_sse`.
    pub case: &'static str,
    /// Always the gateway.
    pub peer: Peer,
    /// How many; as many as the bound of open files lets through.
    pub streams: usize,
    /// Growth of resident memory, by the streams.
    pub kb_per_stream: f64,
    /// Resident memory with all of them.
    pub rss_mb: f64,
}

/// A reader that stops in a stream of 1 GB.
#[derive(Debug, Clone, Serialize)]
pub struct Stalled {
    /// Always `stalled_reader`.
    pub case: &'static str,
    /// Always the gateway.
    pub peer: Peer,
    /// How long it stops.
    pub stall_s: f64,
    /// The most resident memory meanwhile, beyond that at the stop.
    pub growth_mb: f64,
    /// When the upstream's last message went out, counted from the stop.
    pub upstream_stalled_after_ms: f64,
    /// What the upstream had sent by then and the reader had not read: all buffers on the way.
    pub in_flight_mb: f64,
}

/// All protocols at once, for long.
#[derive(Debug, Clone, Serialize)]
pub struct Soak {
    /// Always `soak`.
    pub case: &'static str,
    /// Always the gateway.
    pub peer: Peer,
    /// How long.
    pub seconds: f64,
    /// Requests by kind. All were answered right, as one that is not ends the run.
    pub requests: BTreeMap<&'static str, u64>,
    /// Panics in the gateway's log.
    pub panics: usize,
    /// Resident memory at the end: the most in the last fifth.
    pub rss_mb: f64,
    /// That, beyond the most in the first fifth.
    pub growth_mb: f64,
    /// Files and connections that are open behind the last visitor, beyond those in front of the first.
    pub files_left: usize,
}

/// Instructions per request of the gateway's process.
#[derive(Debug, Clone, Serialize)]
pub struct Instructions {
    /// `unary` or `grpc`.
    pub case: &'static str,
    /// Requests over which they were counted.
    pub requests: u64,
    /// In user space, of all threads.
    pub instructions_per_request: u64,
}

// === impl Figure ===

impl Figure {
    pub(super) fn skipped(case: &'static str, peer: Peer, why: &'static str) -> Self {
        Figure::Skipped(Skipped {
            case,
            peer,
            skipped: why,
        })
    }

    /// What the table says about it.
    pub fn lines(&self) -> Vec<Line> {
        match self {
            Figure::Contested(contested) => contested_lines(contested),
            Figure::Skipped(skipped) => vec![Line::new(
                format!("{}, {}", skipped.case, skipped.peer.name()),
                format!("skipped: {}", skipped.skipped),
            )],
            Figure::Idle(idle) => vec![
                Line::new(
                    format!("{} silent event streams", idle.streams),
                    format!("{:.1} KB each", idle.kb_per_stream),
                )
                .below(20.0, idle.kb_per_stream),
            ],
            Figure::Stalled(stalled) => stalled_lines(stalled),
            Figure::Soak(soak) => soak_lines(soak),
            Figure::Instructions(counted) => vec![Line::new(
                format!("{}, instructions per request", counted.case),
                counted.instructions_per_request.to_string(),
            )],
        }
    }
}

fn soak_lines(figure: &Soak) -> Vec<Line> {
    let count: u64 = figure.requests.values().sum();
    let kinds = figure.requests.iter().map(|(kind, count)| {
        let kind = format!("  {kind}");
        Line::new(kind, count.to_string())
    });
    let (growth, files) = (figure.growth_mb, figure.files_left);
    let lines = [
        Line::new(
            format!("{} s of all protocols", figure.seconds),
            format!("{count} requests answered right"),
        ),
        Line::new("  panics".to_owned(), figure.panics.to_string())
            .at_most(0.0, figure.panics as f64),
        Line::new(
            "  resident memory".to_owned(),
            format!("{:.1} MB, {growth:+.2} MB since the start", figure.rss_mb),
        )
        .below(2.0, growth),
        Line::new("  connections left".to_owned(), files.to_string()).below(8.0, files as f64),
    ];
    lines.into_iter().chain(kinds).collect()
}

fn contested_lines(figure: &Contested) -> Vec<Line> {
    let what = format!("{}, {}", figure.case, figure.peer.name());
    let line = Line::new(
        what,
        format!(
            "{:.2} µs  {:.0}/s  p50 {:.2} ms  p99 {:.2} ms  {:.0} MB  {:.2} ×",
            figure.cpu_us_per_request,
            figure.rps,
            figure.p50_ms,
            figure.p99_ms,
            figure.rss_mb,
            figure.ratio
        ),
    );
    let bound = match (figure.case, figure.peer) {
        ("unary", Peer::Envoy) => 4.5,
        ("unary", Peer::Bare) => 1.0 / 1.35,
        ("stream", Peer::Envoy) => 8.0,
        ("grpc", Peer::Envoy) => 1.5,
        ("latency", Peer::Envoy) => 1.0,
        _ => return vec![line],
    };
    // To the digits that the ratio has.
    vec![line.at_least((bound * 100.0_f64).round() / 100.0, figure.ratio)]
}

fn stalled_lines(figure: &Stalled) -> Vec<Line> {
    let stall_ms = figure.stall_s * 1e3;
    vec![
        Line::new(
            format!("a reader that stops for {} s", figure.stall_s),
            format!("{:.2} MB more", figure.growth_mb),
        )
        .below(2.0, figure.growth_mb),
        Line::new(
            "  the upstream stops",
            format!(
                "after {:.0} ms, {:.1} MB ahead",
                figure.upstream_stalled_after_ms, figure.in_flight_mb
            ),
        )
        .below(stall_ms / 2.0, figure.upstream_stalled_after_ms),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contested(peer: Peer, ratio: f64) -> Figure {
        Figure::Contested(Contested {
            case: "unary",
            peer,
            unit: Unit::Request,
            cpu_us_per_request: 24.5,
            rps: 20_000.0,
            p50_ms: 1.5,
            p99_ms: 3.0,
            rss_mb: 9.0,
            ratio,
        })
    }

    #[test]
    fn a_figure_has_the_keys_that_scripts_read() {
        assert_eq!(
            serde_json::to_string(&contested(Peer::GrpcGateway, 5.0)).unwrap(),
            r#"{"case":"unary","peer":"grpc-gateway","unit":"request","cpu_us_per_request":24.5,"rps":20000.0,"p50_ms":1.5,"p99_ms":3.0,"rss_mb":9.0,"ratio":5.0}"#
        );
        assert_eq!(
            serde_json::to_string(&Figure::skipped("grpc", Peer::Envoy, "it is not at hand"))
                .unwrap(),
            r#"{"case":"grpc","peer":"envoy","skipped":"it is not at hand"}"#
        );
    }

    #[test]
    fn the_targets_are_shares_of_the_peers() {
        for (peer, ratio, is_met) in [
            (Peer::Envoy, 4.5, true),
            (Peer::Envoy, 4.49, false),
            (Peer::Bare, 0.74, true),
            (Peer::Bare, 0.73, false),
            (Peer::GrpcGateway, 0.1, true),
        ] {
            let lines = contested(peer, ratio).lines();
            assert_eq!(crate::report::passes(&lines), is_met, "{peer:?} {ratio}");
        }
    }
}
