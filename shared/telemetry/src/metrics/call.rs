//! Metrics of calls and requests: count, outcome, duration, size.

use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use rpc::error::code_name;
use tonic::Code;

use super::Table;

/// Upper bounds in seconds: those of the conventions for `http.server.request.duration`, and two
/// below them, as most calls are faster than the first.
const SECONDS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Number of gRPC codes, 0 to 16.
const CODES: usize = 17;

/// The protocol of a request: a label of metrics, spans and log lines. The server of a protocol
/// defines its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Protocol {
    label: &'static str,
    is_rpc: bool,
}

/// The metrics of one RPC method in one protocol.
#[derive(Debug)]
pub struct Call {
    families: CallFamilies,
    labels: MethodLabels,
    protocol: Protocol,
    /// By code, each created when it is first needed.
    durations: [OnceLock<Histogram>; CODES],
    pub(crate) active: Gauge,
    pub(crate) request_bytes: Counter,
    pub(crate) response_bytes: Counter,
    /// Created by the first count: not every process inspects messages.
    request_messages: OnceLock<Counter>,
    response_messages: OnceLock<Counter>,
}

/// The metrics of one route.
#[derive(Debug)]
pub struct Route {
    family: Family<RouteLabels, Histogram, fn() -> Histogram>,
    method: http::Method,
    template: Arc<str>,
    durations: RwLock<Vec<(StatusCode, Histogram)>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    rpc_method: Arc<str>,
    protocol: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    rpc_method: Arc<str>,
    protocol: &'static str,
    rpc_response_status_code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    http_request_method: String,
    http_route: Arc<str>,
    http_response_status_code: u16,
}

#[derive(Debug, Clone)]
struct CallFamilies {
    durations: Family<CallLabels, Histogram, fn() -> Histogram>,
    active: Family<MethodLabels, Gauge>,
    request_bytes: Family<MethodLabels, Counter>,
    response_bytes: Family<MethodLabels, Counter>,
    request_messages: Family<MethodLabels, Counter>,
    response_messages: Family<MethodLabels, Counter>,
}

/// Calls by method.
pub(super) struct Calls {
    families: CallFamilies,
    table: Table<Vec<Arc<Call>>>,
}

/// Routes by template.
pub(super) struct Routes {
    family: Family<RouteLabels, Histogram, fn() -> Histogram>,
    table: Table<Vec<Arc<Route>>>,
}

// === impl Protocol ===

impl Protocol {
    /// Plain HTTP, such as a JSON API.
    pub const HTTP: Self = Self::http("rest");
    /// Native gRPC.
    pub const GRPC: Self = Self::rpc("grpc");

    /// Creates a protocol whose requests are calls of RPC methods.
    pub const fn rpc(label: &'static str) -> Self {
        Self {
            label,
            is_rpc: true,
        }
    }

    /// Creates a protocol whose requests are known by HTTP method and route.
    pub const fn http(label: &'static str) -> Self {
        Self {
            label,
            is_rpc: false,
        }
    }

    /// Returns the label.
    pub const fn as_str(self) -> &'static str {
        self.label
    }

    /// Returns whether a request is a call of an RPC method whatever its route.
    pub const fn is_rpc(self) -> bool {
        self.is_rpc
    }

    /// Returns [`Protocol::GRPC`] for the content types of native gRPC, [`Protocol::HTTP`] for all
    /// others.
    pub fn of(headers: &http::HeaderMap) -> Self {
        let content_type = headers.get(http::header::CONTENT_TYPE);
        let content_type = content_type.map_or(&[][..], |value| value.as_bytes());
        let rest = content_type.strip_prefix(b"application/grpc");
        match rest.map(|rest| rest.first()) {
            Some(None | Some(b'+' | b';' | b' ')) => Self::GRPC,
            _ => Self::HTTP,
        }
    }
}

// === impl Call ===

impl Call {
    /// Counts messages from the caller.
    pub fn request_messages(&self, count: u64) {
        let family = &self.families.request_messages;
        self.add(&self.request_messages, family, count);
    }

    /// Counts messages to the caller.
    pub fn response_messages(&self, count: u64) {
        let family = &self.families.response_messages;
        self.add(&self.response_messages, family, count);
    }

    fn add(&self, counter: &OnceLock<Counter>, family: &Family<MethodLabels, Counter>, count: u64) {
        if count > 0 {
            let counter = counter.get_or_init(|| family.get_or_create_owned(&self.labels));
            counter.inc_by(count);
        }
    }

    /// Returns the name of the method, without a leading slash.
    pub(crate) fn method(&self) -> &str {
        &self.labels.rpc_method
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(crate) fn ended(&self, code: Code, duration: Duration) {
        let Some(histogram) = self.durations.get(code as usize) else {
            return;
        };
        let histogram = histogram.get_or_init(|| {
            self.families.durations.get_or_create_owned(&CallLabels {
                rpc_method: self.labels.rpc_method.clone(),
                protocol: self.labels.protocol,
                rpc_response_status_code: code_name(code),
            })
        });
        histogram.observe(duration.as_secs_f64());
    }
}

// === impl Route ===

impl Route {
    pub(crate) fn template(&self) -> &str {
        &self.template
    }

    pub(crate) fn ended(&self, status: StatusCode, duration: Duration) {
        let seconds = duration.as_secs_f64();
        // A poisoned list is complete: it changes in one step.
        let known = self
            .durations
            .read()
            .unwrap_or_else(|list| list.into_inner());
        if let Some((_, histogram)) = known.iter().find(|(known, _)| *known == status) {
            return histogram.observe(seconds);
        }
        drop(known);
        let histogram = self.family.get_or_create_owned(&RouteLabels {
            http_request_method: self.method.to_string(),
            http_route: self.template.clone(),
            http_response_status_code: status.as_u16(),
        });
        histogram.observe(seconds);
        let mut known = self
            .durations
            .write()
            .unwrap_or_else(|list| list.into_inner());
        known.push((status, histogram));
    }
}

// === impl Calls ===

impl Calls {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = CallFamilies {
            durations: Family::new_with_constructor(histogram),
            active: Family::default(),
            request_bytes: Family::default(),
            response_bytes: Family::default(),
            request_messages: Family::default(),
            response_messages: Family::default(),
        };
        let of = &families;
        let help = "Time from the first byte of a call to the last byte of its response";
        let durations = of.durations.clone();
        registry.register_with_unit("rpc_server_call_duration", help, Unit::Seconds, durations);
        let help = "Calls in progress";
        registry.register("rpc_server_active_calls", help, of.active.clone());
        let help = "Bytes from callers, framing included and headers not";
        let request_bytes = of.request_bytes.clone();
        registry.register_with_unit("rpc_server_request", help, Unit::Bytes, request_bytes);
        let help = "Bytes to callers, framing included and headers not";
        let response_bytes = of.response_bytes.clone();
        registry.register_with_unit("rpc_server_response", help, Unit::Bytes, response_bytes);
        let help = "Messages from callers, where they are counted";
        let request_messages = of.request_messages.clone();
        registry.register("rpc_server_request_messages", help, request_messages);
        let help = "Messages to callers, where they are counted";
        let response_messages = of.response_messages.clone();
        registry.register("rpc_server_response_messages", help, response_messages);
        Self {
            families,
            table: Table::default(),
        }
    }

    pub(super) fn get(&self, method: &str, protocol: Protocol) -> Arc<Call> {
        let method = method.strip_prefix('/').unwrap_or(method);
        self.table.get(
            method,
            |calls| calls.iter().find(|call| call.protocol == protocol).cloned(),
            |calls| {
                let mut calls = calls.cloned().unwrap_or_default();
                let call = Arc::new(self.families.call(method, protocol));
                calls.push(call.clone());
                (calls, call)
            },
        )
    }
}

impl CallFamilies {
    fn call(&self, method: &str, protocol: Protocol) -> Call {
        let labels = MethodLabels {
            rpc_method: method.into(),
            protocol: protocol.as_str(),
        };
        Call {
            protocol,
            durations: Default::default(),
            active: self.active.get_or_create_owned(&labels),
            request_bytes: self.request_bytes.get_or_create_owned(&labels),
            response_bytes: self.response_bytes.get_or_create_owned(&labels),
            request_messages: OnceLock::new(),
            response_messages: OnceLock::new(),
            labels,
            families: self.clone(),
        }
    }
}

// === impl Routes ===

impl Routes {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let family = Family::<_, _, fn() -> Histogram>::new_with_constructor(histogram as _);
        let help =
            "Time from the first byte of a plain HTTP request to the last byte of its response";
        let durations = family.clone();
        registry.register_with_unit(
            "http_server_request_duration",
            help,
            Unit::Seconds,
            durations,
        );
        Self {
            family,
            table: Table::default(),
        }
    }

    pub(super) fn get(&self, method: &http::Method, template: &str) -> Arc<Route> {
        self.table.get(
            template,
            |routes| routes.iter().find(|route| route.method == *method).cloned(),
            |routes| {
                let mut routes = routes.cloned().unwrap_or_default();
                let route = Arc::new(Route {
                    family: self.family.clone(),
                    method: method.clone(),
                    template: template.into(),
                    durations: RwLock::default(),
                });
                routes.push(route.clone());
                (routes, route)
            },
        )
    }
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}
