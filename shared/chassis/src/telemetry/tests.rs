//! Trace context through strings, headers and calls, without a collector.

use super::*;
use crate::testing::{self, GET, Running, Shop, call};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn there_is_a_trace_without_a_collector() {
    testing::subscribe();
    assert_eq!(current_traceparent(), None);
    let text = tracing::info_span!("work")
        .in_scope(current_traceparent)
        .unwrap();
    assert_eq!(text.len(), PARENT.len(), "{text}");
}

#[test]
fn a_span_continues_the_trace_it_is_given() {
    testing::subscribe();
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
    testing::subscribe();
    for text in ["", "00-x", "\n", &PARENT.replace("4bf", "ZZZ")] {
        let span = tracing::info_span!("work");
        set_parent(&span, text);
        assert!(span.in_scope(current_traceparent).is_some(), "{text:?}");
    }
}

#[tokio::test]
async fn a_trace_crosses_client_and_server() {
    testing::subscribe();
    let shop = Shop::new(async |_| Ok(current_traceparent().unwrap_or_default()));
    let server = Running::start(shop.server(), testing::settings()).await;
    let upstream = server.upstream();
    let span = tracing::info_span!("caller");
    set_parent(&span, PARENT);
    let call = call(&upstream, GET, testing::Get::default());
    let seen = tracing::Instrument::instrument(call, span).await.unwrap();
    assert!(seen.contains(TRACE_ID), "{seen:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_filter_or_endpoint_names_its_key() {
    let mut settings = testing::settings();
    settings.log = "info,=".to_owned();
    assert_eq!(init("test", &settings).err().unwrap().key, "log");
    settings.otlp_endpoint = "http://[".to_owned();
    assert_eq!(init("test", &settings).err().unwrap().key, "otlp_endpoint");
}
