//! Conditional requests: entity tags, 304, 412.

use http::Request;
use serde_json::json;
use tonic::Code;

use crate::support::Gateway;
use crate::support::stranger::Upstream;

#[tokio::test]
async fn what_the_caller_has_is_not_sent_again() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let path = "/v1/files/page";
    let tag = gateway.get(path).await.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.len() > 20, "{tag}");
    assert_eq!(gateway.get(path).await.header("etag"), tag);
    let other = gateway.get("/v1/files/other").await;
    assert_ne!(other.header("etag"), tag);

    for (asked, status) in [
        (tag.clone(), 304),
        (format!("W/{tag}"), 304),
        (format!("\"x\", {tag}"), 304),
        ("*".to_owned(), 304),
        ("\"x\"".to_owned(), 200),
    ] {
        let get = gateway
            .ask(Request::get(path).header("if-none-match", &asked))
            .await;
        assert_eq!(get.status, status, "{asked}");
        assert_eq!(get.header("etag"), tag);
        assert_eq!(get.body.is_empty(), status == 304);
        assert_eq!(get.headers.contains_key("content-type"), status == 200);
        let head = gateway
            .ask(Request::head(path).header("if-none-match", &asked))
            .await;
        assert_eq!((head.status.as_u16(), head.header("etag")), (status, &*tag));
    }
}

#[tokio::test]
async fn tags_tell_apart_what_is_shown() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let tag = async |path: &str, accept: &str| {
        let request = Request::get(path).header("accept-encoding", accept);
        gateway.ask(request).await.header("etag").to_owned()
    };
    // Without metadata, which differ from call to call.
    let names = "n".repeat(99);
    let all = tag(&format!("/v1/gatherings/{names}"), "identity").await;
    let some = tag(&format!("/v1/gatherings/{names}?fields=text"), "identity").await;
    assert_ne!(all, some);
    assert!(!all.is_empty() && !some.is_empty());

    let plain = Gateway::ready_with(&[upstream.address], &[("compression.min_bytes", "1")]).await;
    let ask = async |accept: &str, condition: &str| {
        let request = Request::get("/v1/files/page")
            .header("accept-encoding", accept)
            .header("if-none-match", condition);
        plain.ask(request).await
    };
    let identity = ask("identity", "").await.header("etag").to_owned();
    let gzip = ask("gzip", "").await.header("etag").to_owned();
    assert_eq!(gzip, format!("{}-gzip\"", identity.trim_end_matches('"')));
    assert_eq!(ask("gzip", &gzip).await.status, 304);
    assert_eq!(ask("gzip", &identity).await.status, 200);
    assert_eq!(ask("identity", &gzip).await.status, 200);
}

#[tokio::test]
async fn a_tag_of_the_upstream_stands_and_only_reads_have_one() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let request = Request::get("/v1/greetings/a")
        .header("grpc-metadata-echo-etag", "\"of-upstream\"")
        .header("grpc-metadata-echo-cache-control", "max-age=60")
        .header("if-none-match", "\"of-upstream\"");
    let reply = gateway.ask(request).await;
    assert_eq!(reply.status, 304);
    assert_eq!(reply.header("etag"), "\"of-upstream\"");
    assert_eq!(reply.header("cache-control"), "max-age=60");

    let reply = gateway
        .post("/v1/greetings", "application/json", "{}")
        .await;
    assert_eq!((reply.status.as_u16(), reply.header("etag")), (200, ""));
    let reply = gateway.get("/v1/counts/1").await;
    assert_eq!((reply.status.as_u16(), reply.header("etag")), (200, ""));
    let reply = gateway.get("/v1/greetings/nobody").await;
    assert_eq!((reply.status.as_u16(), reply.header("etag")), (404, ""));

    let without = Gateway::ready_with(&[upstream.address], &[("conditional.etag", "false")]).await;
    assert_eq!(without.get("/v1/files/page").await.header("etag"), "");
}

#[tokio::test]
async fn a_condition_reaches_the_upstream_and_one_that_is_not_met_is_412() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let request = Request::get("/v1/greetings/a").header("if-match", "\"7-gzip\"");
    let metadata = &gateway.ask(request).await.json()["metadata"];
    assert_eq!(metadata["if-match"], json!("\"7\""));

    for (code, plain) in [(Code::FailedPrecondition, 400), (Code::Aborted, 409)] {
        let path = format!("/v1/greetings/code-{}", code as i32);
        let request = Request::get(&path).header("if-match", "\"7\"");
        let reply = gateway.ask(request).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["code"]),
            (412, &json!(code as i32))
        );
        assert_eq!(gateway.get(&path).await.status, plain);
    }
}
