//! Time to match one of few routes, and one of many.

use std::{fmt::Write, hint::black_box};

use anyhow::{Context, Result, ensure};
use http::Method;
use serde::Serialize;
use transcoder::Schema;

use super::{
    Effort,
    contest::{self, Contestant},
    load::compile,
    rounded,
};

/// Resources of the small and the large schema, each with a route per shape in [`SHAPES`].
const RESOURCES: [usize; 2] = [1, 1000];

/// Routes of a resource `R`: method, template and a matching path, with literals, variables, verbs
/// and a tail.
const SHAPES: [(&str, &str, &str); 10] = [
    ("get", "/v1/R", "/v1/R"),
    ("post", "/v1/R", "/v1/R"),
    ("get", "/v1/R/{id}", "/v1/R/7f3c9a52"),
    ("delete", "/v1/R/{id}", "/v1/R/7f3c9a52"),
    ("patch", "/v1/{name=R/*}", "/v1/R/7f3c9a52"),
    ("post", "/v1/R/{id}:cancel", "/v1/R/7f3c9a52:cancel"),
    ("get", "/v1/{name=R/*}/parts", "/v1/R/7f3c9a52/parts"),
    ("get", "/v1/R/{id}/parts/{name}", "/v1/R/7f3c9a52/parts/4"),
    (
        "get",
        "/v1/R/{id}/files/{name=**}",
        "/v1/R/7f3c9a52/files/a/b.txt",
    ),
    ("post", "/v1/R:batchGet", "/v1/R:batchGet"),
];

/// Nanoseconds to match a route.
#[derive(Debug, Clone, Serialize)]
pub struct Routed {
    /// Always `routing`.
    pub measure: &'static str,
    /// Among 10 routes.
    pub ns_10: f64,
    /// Among 10,000, of which ten are requested: one of each shape.
    pub ns_10000: f64,
    /// The latter divided by the former.
    pub ratio: f64,
    /// Among 10,000, of which all are requested, so that routes and paths come from memory.
    pub ns_10000_spread: f64,
    /// The latter divided by the first.
    pub ratio_spread: f64,
}

struct Probe {
    method: Method,
    path: String,
    template: String,
}

/// Requests in order. Their texts are contiguous as in the buffer of a connection: cache misses
/// would count as matching.
#[derive(Default)]
struct Requests {
    texts: String,
    methods: Vec<(Method, usize)>,
}

/// Measures it.
///
/// # Errors
/// When a schema doesn't compile, or a path leads to a wrong route.
pub fn routing(effort: Effort) -> Result<Routed> {
    let [few, many] = RESOURCES;
    let (small, large) = (schema(few)?, schema(many)?);
    let all = probes(many)?;
    // One of each shape, each of another resource.
    let chosen =
        (0..SHAPES.len()).map(|shape| (shape * many / SHAPES.len()) * SHAPES.len() + shape);
    let ten: Vec<&Probe> = chosen.filter_map(|index| all.get(index)).collect();
    // Steps of a prime visit all, and never neighbours in turn.
    let spread: Vec<&Probe> = (0..all.len())
        .filter_map(|n| all.get(n * 7919 % all.len()))
        .collect();
    let few = probes(few)?;
    let few: Vec<&Probe> = few.iter().collect();
    for (schema, probes) in [(&small, &few), (&large, &ten), (&large, &spread)] {
        check(schema, probes)?;
    }
    let requests = [&few, &ten, &spread].map(|probes| Requests::new(probes));
    let [few_requests, ten_requests, spread_requests] = &requests;
    let mut contestants = [
        contestant(&small, few_requests),
        contestant(&large, ten_requests),
        contestant(&large, spread_requests),
    ];
    contest::hold(&mut contestants, effort)?;
    let [small, large, everywhere] = &contestants;
    let spread_nanos = everywhere.nanos() / spread.len() as f64;
    let small_nanos = small.nanos() / few.len() as f64;
    Ok(Routed {
        measure: "routing",
        ns_10: rounded(small_nanos, 1),
        ns_10000: rounded(large.nanos() / ten.len() as f64, 1),
        ratio: rounded(small.lead_over(large), 2),
        ns_10000_spread: rounded(spread_nanos, 1),
        ratio_spread: rounded(spread_nanos / small_nanos, 2),
    })
}

fn contestant<'a>(schema: &'a Schema, requests: &'a Requests) -> Contestant<'a> {
    Contestant::new(move || {
        let mut texts = &*requests.texts;
        for (method, len) in &requests.methods {
            let (path, rest) = texts.split_at(*len);
            texts = rest;
            black_box(schema.route(black_box(method), black_box(path))?);
        }
        Ok(())
    })
}

fn check(schema: &Schema, probes: &[&Probe]) -> Result<()> {
    for probe in probes {
        let found = schema.route(&probe.method, &probe.path)?;
        ensure!(
            found.route().template() == probe.template,
            "{} led to {}",
            probe.path,
            found.route().template()
        );
    }
    Ok(())
}

fn probes(resources: usize) -> Result<Vec<Probe>> {
    let mut probes = Vec::new();
    for resource in 0..resources {
        for (method, template, path) in SHAPES {
            probes.push(Probe {
                method: method.to_uppercase().parse()?,
                path: named(path, resource),
                template: named(template, resource),
            });
        }
    }
    Ok(probes)
}

fn schema(resources: usize) -> Result<Schema> {
    let mut proto = String::from(
        "syntax = \"proto3\"; package routes; import \"google/api/annotations.proto\"; \
         message M { string id = 1; string name = 2; } service S {\n",
    );
    for resource in 0..resources {
        for (shape, (method, template, _)) in SHAPES.iter().enumerate() {
            let template = named(template, resource);
            let rule = format!("{{ {method}: \"{template}\" }}");
            writeln!(
                proto,
                "rpc R{resource}S{shape}(M) returns (M) {{ option (google.api.http) = {rule}; }}"
            )?;
        }
    }
    proto.push('}');
    Schema::compile(&compile(&proto)?).context("cannot compile the routes")
}

fn named(text: &str, resource: usize) -> String {
    text.replace('R', &format!("resource{resource}"))
}

// === impl Requests ===

impl Requests {
    fn new(probes: &[&Probe]) -> Self {
        let mut requests = Requests::default();
        for probe in probes {
            requests.texts.push_str(&probe.path);
            requests
                .methods
                .push((probe.method.clone(), probe.path.len()));
        }
        requests
    }
}
