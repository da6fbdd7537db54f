//! Upstreams of several endpoints: versions by header and weight, mirrored calls, health checks,
//! mutual TLS.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;
use http_body_util::Full;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::faults::raw::{Listens, Raw, Script, Step, answer};
use crate::support::stranger::{Reflection, Upstream, descriptors};
use crate::support::{Gateway, eventually, loaded};

const GOOD: Script = |_, id| vec![Step::Write(answer(id))];

async fn reflecting() -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Upstream::serve(listener, descriptors("fault"), Reflection::V1)
}

/// The configuration with one upstream, whose API is that of `reflects`.
fn file(reflects: SocketAddr, more: &str) -> String {
    format!("[upstream.orders]\nendpoints = ['http://{reflects}']\n{more}")
}

async fn gateway(reflects: SocketAddr, more: &str) -> Gateway {
    let gateway = Gateway::with_file(&file(reflects, more)).await;
    gateway.wait_until_ready().await;
    gateway
}

async fn write(gateway: &Gateway, track: &str) -> u16 {
    let request = Request::post("/v1/writes")
        .header("content-type", "application/json")
        .header("grpc-metadata-x-track", track)
        .header("x-server-timeout", "10");
    let body = Full::from(r#"{"id":"a"}"#);
    gateway
        .send(request.body(body).unwrap())
        .await
        .status
        .as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_get_the_calls_with_their_headers_and_their_share_of_the_rest() {
    let reflects = reflecting().await;
    let blue = Raw::start(Listens::Plain, GOOD).await;
    let canary = Raw::start(Listens::Plain, GOOD).await;
    let gateway = gateway(
        reflects.address,
        &format!(
            "version.blue = {{ endpoints = ['http://{}'], headers = {{ x-track = 'blue' }} }}
             version.canary = {{ endpoints = ['http://{}'], percent = 30 }}",
            blue.address, canary.address
        ),
    )
    .await;
    for _ in 0..10 {
        assert_eq!(write(&gateway, "blue").await, 200);
    }
    assert_eq!((blue.arrivals(), canary.arrivals()), (10, 0));
    let mut others = 0;
    for _ in 0..100 {
        // The server that reflects knows nothing of this service.
        others += usize::from(write(&gateway, "none").await != 200);
    }
    assert_eq!(blue.arrivals(), 10);
    assert_eq!(canary.arrivals() + others, 100);
    // Five standard deviations on both sides.
    assert!(
        (8..=52).contains(&canary.arrivals()),
        "{}",
        canary.arrivals()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_gets_copies_and_changes_nothing() {
    let reflects = reflecting().await;
    let main = Raw::start(Listens::Plain, GOOD).await;
    // Never answers, which must not hold anybody up.
    let mirror = Raw::start(Listens::Plain, |_, _| Vec::new()).await;
    let gateway = gateway(
        reflects.address,
        &format!(
            "version.main = {{ endpoints = ['http://{}'], percent = 100 }}
             mirror = {{ endpoints = ['http://{}'], max_requests = 3 }}",
            main.address, mirror.address
        ),
    )
    .await;
    for _ in 0..10 {
        assert_eq!(write(&gateway, "a").await, 200);
    }
    eventually("copies arrive up to the bound", async || {
        match mirror.arrivals() {
            3 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    assert_eq!(main.arrivals(), 10);
}

/// Certificates of one authority, in files.
struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        Self {
            issuer,
            certificate,
        }
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, rcgen::KeyPair) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A server that takes clients of this authority only.
    fn acceptor(&self) -> TlsAcceptor {
        let (certificate, key) = self.issue("orders.internal");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let provider = chassis::tls::provider();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// An upstream that takes clients of an authority only, and the files of a gateway that calls it.
struct Secured {
    authority: Authority,
    upstream: Raw,
    directory: tempfile::TempDir,
}

impl Secured {
    async fn start() -> Self {
        let authority = Authority::new();
        let secured = Self {
            upstream: Raw::start(Listens::Tls(authority.acceptor()), GOOD).await,
            authority,
            directory: tempfile::tempdir().unwrap(),
        };
        secured.put("ca.pem", &secured.authority.certificate.pem());
        secured
    }

    /// Where the gateway reads this file.
    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Writes what a client says that it is.
    fn identify(&self, issuer: &Authority) {
        let (certificate, key) = issuer.issue("gateway");
        self.put("client.pem", &certificate.pem());
        self.put("client.key", &key.serialize_pem());
    }

    /// The configuration of an upstream whose API another one reflects.
    fn config(&self) -> String {
        let (address, ca) = (self.upstream.address, self.path("ca.pem"));
        format!(
            "version.main = {{ endpoints = ['https://{address}'], percent = 100 }}
             tls.ca = '{ca}'
             tls.server_name = 'orders.internal'\n"
        )
    }

    fn identity(&self) -> String {
        let (certificate, key) = (self.path("client.pem"), self.path("client.key"));
        format!("tls.certificate = '{certificate}'\ntls.key = '{key}'")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_is_reached_by_mutual_tls_and_only_with_a_certificate() {
    let (reflects, secured) = (reflecting().await, Secured::start().await);
    secured.identify(&secured.authority);
    let config = secured.config();
    let known = gateway(reflects.address, &format!("{config}{}", secured.identity())).await;
    assert_eq!(write(&known, "a").await, 200);
    assert_eq!(secured.upstream.arrivals(), 1);
    let nameless = gateway(reflects.address, &config).await;
    assert_eq!(write(&nameless, "a").await, 503);
    assert_eq!(secured.upstream.arrivals(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_reads_renewed_certificates() {
    let (reflects, secured) = (reflecting().await, Secured::start().await);
    secured.identify(&Authority::new());
    let more = format!("{}{}", secured.config(), secured.identity());
    let gateway = gateway(reflects.address, &more).await;
    assert_eq!(write(&gateway, "a").await, 503);
    secured.identify(&secured.authority);
    // The very configuration that it has.
    gateway.reload(loaded(BTreeMap::new(), &file(reflects.address, &more)));
    eventually(
        "the upstream takes the new certificate",
        async || match write(&gateway, "a").await {
            200 => Ok(()),
            other => Err(other),
        },
    )
    .await;
}
