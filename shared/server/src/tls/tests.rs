//! A real listener with certificates of a real authority.

use std::path::PathBuf;

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::service_fn;

use super::*;
use crate::settings::{ClientAuth, HTTP2};
use crate::testing::{self, Authority, Running};
use crate::{Peer, Server, Settings};
use rpc::tls::{self, Identity};

/// Starts a server that answers with what it knows about its peer.
async fn start(settings: Settings) -> Running {
    let service = service_fn(async |request: http::Request<Incoming>| {
        let peer = request.extensions().get::<Peer>().unwrap();
        let certificate = peer.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
        let certificate =
            certificate.map(|it| (&it.subject, &it.dns_names, &it.uris, &it.addresses));
        let server_name = peer.tls.as_ref().map(|tls| &tls.server_name);
        let text = format!("{:?} {server_name:?} {certificate:?}", request.version());
        Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(bytes::Bytes::from(text))))
    });
    Running::start(Server::from_service(service), settings).await
}

fn settings(authority: &Authority) -> Settings {
    let mut settings = testing::settings();
    let identity = authority.certify("server", &["localhost"]);
    authority.serve(&mut settings.tls, &identity);
    settings
}

async fn connect(
    server: &Running,
    authority: &Authority,
    protocol: &str,
    identity: Option<&PathBuf>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let builder = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(tls::roots(&authority.path("ca.pem")).unwrap());
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let identity = Identity::read(file, file).unwrap();
            builder
                .with_client_auth_cert(identity.chain, identity.key)
                .unwrap()
        }
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

async fn ask(stream: TlsStream<TcpStream>) -> hyper::Result<String> {
    let request = http::Request::get("https://localhost/").header("host", "localhost");
    let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
    let two = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
    let stream = TokioIo::new(stream);
    let answer = if two {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    } else {
        let (mut sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    };
    let body = answer.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn both_versions_of_http_are_chosen_by_alpn() {
    let authority = Authority::new();
    let server = start(settings(&authority)).await;
    for (protocol, version) in [("h2", "HTTP/2.0"), ("http/1.1", "HTTP/1.1")] {
        let stream = connect(&server, &authority, protocol, None).await.unwrap();
        assert_eq!(
            stream.get_ref().1.protocol_version(),
            Some(ProtocolVersion::TLSv1_3)
        );
        let answer = ask(stream).await.unwrap();
        assert_eq!(answer, format!("{version} Some(Some(\"localhost\")) None"));
    }
    let refused = connect(&server, &authority, "http/0.9", None)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("NoApplicationProtocol"),
        "{refused}"
    );
    server.stop().await;
}

#[tokio::test]
async fn the_verified_client_certificate_reaches_the_service() {
    let authority = Authority::new();
    let mut settings = settings(&authority);
    settings.tls.client_ca_file = authority.path("ca.pem");
    settings.tls.client_auth = ClientAuth::Request;
    let server = start(settings.clone()).await;
    let client = authority.certify(
        "client",
        &["orders.mesh", "spiffe://mesh/orders", "10.0.0.1"],
    );
    let stream = connect(&server, &authority, "h2", Some(&client))
        .await
        .unwrap();
    let answer = ask(stream).await.unwrap();
    let expected = r#"Some(("CN=client", ["orders.mesh"], ["spiffe://mesh/orders"], [10.0.0.1]))"#;
    assert!(answer.ends_with(expected), "{answer}");
    let anonymous = connect(&server, &authority, "h2", None).await.unwrap();
    assert!(ask(anonymous).await.unwrap().ends_with("None"));
    server.stop().await;

    settings.tls.client_auth = ClientAuth::Require;
    let server = start(settings).await;
    let stream = connect(&server, &authority, "h2", Some(&client))
        .await
        .unwrap();
    assert!(ask(stream).await.unwrap().ends_with(expected));
    let elsewhere = Authority::new();
    let stranger = elsewhere.certify("stranger", &["orders.mesh"]);
    for identity in [None, Some(&stranger)] {
        // In TLS 1.3 the client is done before the server has looked at its certificate.
        let stream = connect(&server, &authority, "http/1.1", identity)
            .await
            .unwrap();
        ask(stream).await.unwrap_err();
    }
    server.stop().await;
}

#[tokio::test]
async fn plain_connections_are_served_where_they_are_allowed() {
    let authority = Authority::new();
    for (mode, plain) in [(TlsMode::Require, false), (TlsMode::Allow, true)] {
        let mut settings = settings(&authority);
        settings.tls.mode = mode;
        let server = start(settings).await;
        let stream = connect(&server, &authority, "h2", None).await.unwrap();
        assert!(ask(stream).await.unwrap().starts_with("HTTP/2.0 Some"));
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.ends_with("HTTP/1.1 None None"), plain, "{answer}");
        assert_eq!(answer.starts_with("HTTP/1.1 200"), plain, "{answer}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_handshake_that_stalls_is_given_up_and_holds_up_nobody() {
    let authority = Authority::new();
    let mut settings = settings(&authority);
    settings.tls.handshake_timeout_ms = 300;
    let server = start(settings).await;
    let mut stalled = TcpStream::connect(server.address).await.unwrap();
    stalled.write_all(&[0x16, 3, 1]).await.unwrap();
    let stream = connect(&server, &authority, "h2", None).await.unwrap();
    assert!(ask(stream).await.is_ok());
    let mut rest = Vec::new();
    let closed = stalled.read_to_end(&mut rest);
    let closed = tokio::time::timeout(std::time::Duration::from_secs(20), closed).await;
    assert!(closed.is_ok() && rest.is_empty(), "{rest:?}");
    server.stop().await;
}

#[tokio::test]
async fn new_certificates_are_for_new_connections_and_broken_ones_for_nobody() {
    let authority = Authority::new();
    let server = start(settings(&authority)).await;
    let shown = async || {
        let stream = connect(&server, &authority, "h2", None).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let first = shown().await;
    let old = connect(&server, &authority, "http/1.1", None)
        .await
        .unwrap();
    authority.certify("server", &["localhost"]);
    let until_other = async |last| {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(5));
        loop {
            ticks.tick().await;
            let now = shown().await;
            if now != last {
                return now;
            }
        }
    };
    let patience = std::time::Duration::from_secs(20);
    let second = tokio::time::timeout(patience, until_other(first))
        .await
        .unwrap();
    assert!(ask(old).await.is_ok());

    let tls = Tls::load(&server.host.settings.tls).unwrap().unwrap();
    let before = tls.config.load_full();
    std::fs::write(
        authority.path("server.pem"),
        "-----BEGIN CERTIFICATE-----\n",
    )
    .unwrap();
    tls.reload();
    assert!(Arc::ptr_eq(&before, &tls.config.load_full()));
    assert_eq!(shown().await, second);
    authority.certify("server", &["localhost"]);
    tls.reload();
    assert!(!Arc::ptr_eq(&before, &tls.config.load_full()));
    server.stop().await;
}

#[test]
fn files_that_can_not_be_used_are_named_with_their_key() {
    let authority = Authority::new();
    let good = settings(&authority).tls;
    let empty = authority.path("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let other = authority.certify("other", &["localhost"]);
    let refused = |change: &dyn Fn(&mut TlsSettings), key: &str, problem: &str| {
        let mut settings = good.clone();
        change(&mut settings);
        let outcome = settings
            .validate()
            .and_then(|()| Tls::load(&settings).map(|_| ()));
        let error = outcome.unwrap_err();
        assert_eq!(error.key, key, "{error}");
        assert!(error.problem.contains(problem), "{error}");
    };
    refused(
        &|it| it.cert_file = "/nowhere.pem".into(),
        "tls.cert_file",
        "/nowhere.pem: No such file",
    );
    refused(
        &|it| it.cert_file = empty.clone(),
        "tls.cert_file",
        "holds no certificate",
    );
    refused(
        &|it| it.key_file = authority.path("ca.pem"),
        "tls.cert_file",
        "holds no private key",
    );
    refused(&|it| it.key_file = other.clone(), "tls.key_file", "");
    refused(
        &|it| it.key_file = PathBuf::new(),
        "tls.key_file",
        "expected a file",
    );
    refused(
        &|it| it.cert_file = PathBuf::new(),
        "tls.cert_file",
        "expected a file",
    );
    refused(
        &|it| it.client_auth = ClientAuth::Require,
        "tls.client_ca_file",
        "expected a file",
    );
    refused(
        &|it| it.client_ca_file = empty.clone(),
        "tls.client_auth",
        "expected request or require",
    );
    refused(
        &|it| it.reload_interval_ms = 0,
        "tls.reload_interval_ms",
        "above 0",
    );
}
