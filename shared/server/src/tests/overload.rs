//! More calls than the handlers may work on.

use super::*;

fn limited() -> Settings {
    let mut settings = testing::settings();
    settings.admission.initial_limit = 2;
    settings.admission.max_queue = 0;
    settings
}

#[tokio::test]
async fn calls_beyond_the_limit_are_rejected_and_health_is_not() {
    let began = Arc::new(Notify::new());
    let begins = began.clone();
    let shop = Shop::new(move |id| {
        let begins = begins.clone();
        async move {
            if id == "hang" {
                begins.notify_one();
                std::future::pending::<()>().await;
            }
            Ok(id)
        }
    });
    let server = Running::start(shop.server(), limited()).await;
    let upstream = server.upstream();
    let mut hanging = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let upstream = upstream.clone();
        hanging.spawn(async move { call(&upstream, GET, get("hang")).await });
        patient("the call begins", began.notified()).await;
    }
    let status = call(&upstream, PUT, Put::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(reason(&status).as_deref(), Some("OVERLOADED"));
    let mut health = HealthClient::new(upstream);
    let check = health.check(HealthCheckRequest::default());
    patient("health", check).await.unwrap();
    let metrics = server
        .host
        .metrics
        .encode(telemetry::metrics::Format::Prometheus);
    let metrics = metrics.unwrap();
    assert!(
        metrics.contains("admission_limit{server_address=\"self\"} 2"),
        "{metrics}"
    );
    assert!(metrics.contains("reason=\"overloaded\"} 1"), "{metrics}");
    drop(hanging);
}
