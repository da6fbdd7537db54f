//! Trace context through strings and spans, without a collector.

use std::sync::Once;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Traces the whole test process: a subscriber per thread could disable a span that another test listens to.
fn subscribe() {
    static SUBSCRIBED: Once = Once::new();
    SUBSCRIBED.call_once(|| {
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        tracing_subscriber::registry().with(layer).init();
    });
}

#[test]
fn there_is_a_trace_without_a_collector() {
    subscribe();
    assert_eq!(current_traceparent(), None);
    let text = tracing::info_span!("work")
        .in_scope(current_traceparent)
        .unwrap();
    assert_eq!(text.len(), PARENT.len(), "{text}");
}

#[test]
fn a_span_continues_the_trace_it_is_given() {
    subscribe();
    let span = tracing::info_span!("work");
    set_parent(&span, PARENT);
    let text = span.in_scope(current_traceparent).unwrap();
    assert!(text.contains(TRACE_ID), "{text}");
    assert!(
        !text.contains("00f067aa0ba902b7"),
        "the span is the parent itself: {text}"
    );
}

#[test]
fn a_malformed_parent_is_ignored() {
    subscribe();
    for text in ["", "00-x", "\n", &PARENT.replace("4bf", "ZZZ")] {
        let span = tracing::info_span!("work");
        set_parent(&span, text);
        assert!(span.in_scope(current_traceparent).is_some(), "{text:?}");
    }
}
