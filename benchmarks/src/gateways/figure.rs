//! Results of the gateway and its peers: objects of `--json`, and lines of the table with targets.

use std::collections::BTreeMap;

use serde::Serialize;

use super::peer::Peer;
use crate::report::Line;

/// One object of the results.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Figure {
    /// A peer in a case.
    Contested(Contested),
    /// A peer that does not take part in a case, with the reason.
    Skipped(Skipped),
    /// Idle streams.
    Idle(Idle),
    /// A stalled reader.
    Stalled(Stalled),
    /// All protocols at once.
    Soak(Soak),
    /// Instructions per request.
    Instructions(Instructions),
}

/// Medians over the rounds.
#[derive(Debug, Clone, Serialize)]
pub struct Contested {
    /// The case.
    pub case: &'static str,
    /// The peer.
    pub peer: Peer,
    /// Unit of a request.
    pub unit: Unit,
    /// Processor time of the peer's process, in microseconds.
    pub cpu_us_per_request: f64,
    /// Requests per second.
    pub rps: f64,
    /// Median latency of a whole request; for a stream, until its last message.
    pub p50_ms: f64,
    /// 99th percentile of the latencies.
    pub p99_ms: f64,
    /// Resident memory of the peer's process under this load.
    pub rss_mb: f64,
    /// Ratio to the gateway's processor time (in `latency`: to its `p99_ms`), the median over the
    /// rounds.
    pub ratio: f64,
}

/// Unit of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// One request with one response.
    Request,
    /// One message of a stream.
    Message,
}

/// A peer that was not measured.
#[derive(Debug, Clone, Serialize)]
pub struct Skipped {
    /// The case.
    pub case: &'static str,
    /// The peer.
    pub peer: Peer,
    /// The reason.
    pub skipped: &'static str,
}

/// Idle streams, each on a separate connection.
#[derive(Debug, Clone, Serialize)]
pub struct Idle {
    /// Always `idle_sse`.
    pub case: &'static str,
    /// Always the gateway.
    pub peer: Peer,
    /// Number of streams, limited by the bound of open files.
    pub streams: usize,
    /// Growth of resident memory per stream.
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
    /// Length of the stop.
    pub stall_s: f64,
    /// Largest growth of resident memory since the stop.
    pub growth_mb: f64,
    /// Time of the upstream's last message since the stop.
    pub upstream_stalled_after_ms: f64,
    /// Bytes that were sent by then and not read: all buffers on the way.
    pub in_flight_mb: f64,
}

/// All protocols at once, for a long time.
#[derive(Debug, Clone, Serialize)]
pub struct Soak {
    /// Always `soak`.
    pub case: &'static str,
    /// Always the gateway.
    pub peer: Peer,
    /// Duration.
    pub seconds: f64,
    /// Requests by kind. All responses were correct: a wrong one ends the run.
    pub requests: BTreeMap<&'static str, u64>,
    /// Panics in the gateway's log.
    pub panics: usize,
    /// Most resident memory in the last fifth.
    pub rss_mb: f64,
    /// Growth of it since the first fifth.
    pub growth_mb: f64,
    /// Open files and connections after the last client, beyond those before the first.
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

    /// Returns its lines of the table.
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
    // With the digits of the ratio.
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
