//! `/`: what there is, for people and for programs, unless the API has that path.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::net::TcpListener;

use crate::support::stranger::{Reflection, Upstream, variant};
use crate::support::{Gateway, Reply};

async fn asked(gateway: &Gateway, accept: &str) -> Reply {
    let request = Request::get("/")
        .header("host", gateway.address.to_string())
        .header("accept", accept);
    gateway
        .send(request.body(Full::<Bytes>::default()).unwrap())
        .await
}

#[tokio::test]
async fn the_landing_page_links_to_all_and_has_lines_that_work() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let page = asked(&gateway, "text/html,*/*;q=0.8").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(
        page.header("content-security-policy")
            .contains("default-src 'none'")
    );
    let text = page.text();
    for link in ["docs/", "openapi.json", "metrics", "readyz", "healthz"] {
        assert!(text.contains(&format!("href=\"{link}\"")), "{link}: {text}");
        let reply = gateway.get(&format!("/{link}")).await;
        assert_eq!(reply.status, 200, "{link}");
    }
    assert!(text.contains("stranger.v1.StrangerService"), "{text}");
    let lines = text.split("<pre>").skip(1);
    let mut lines = lines.filter_map(|rest| Some(rest.split_once("</pre>")?.0));
    let url = lines.find(|line| line.starts_with("curl") && line.contains("/v1/greetings/"));
    let url = url.unwrap();
    // Without quotes for the shell.
    let target = url.split_once(&gateway.address.to_string()).unwrap().1;
    let greeted = gateway.get(target.trim_end_matches("&#39;")).await;
    assert_eq!(greeted.status, 200, "{url}: {greeted:?}");
}

#[tokio::test]
async fn programs_get_json() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let told = asked(&gateway, "application/json, */*").await.json();
    assert_eq!(told["title"], "Stranger");
    let service = &told["services"][0];
    assert_eq!(service["name"], "stranger.v1.StrangerService");
    assert_eq!(service["methods"][1]["kind"], "server stream");
}

#[tokio::test]
async fn a_route_of_the_api_and_the_configuration_go_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = variant(&[("get: \"/v1/counts/{to}\"", "get: \"/\"")]);
    let upstream = Upstream::serve(listener, own, Reflection::V1);
    let gateway = Gateway::ready(&[upstream.address]).await;
    let page = gateway.get("/?to=1").await;
    assert_eq!(page.text(), "{\"number\":1}\n");

    let upstream = Upstream::start().await;
    let without = Gateway::ready_with(&[upstream.address], &[("openapi.landing", "false")]).await;
    assert_eq!(without.get("/").await.status, 404);
}
