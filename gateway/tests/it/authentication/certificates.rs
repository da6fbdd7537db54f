//! Callers by client certificate, and tokens that are bound to one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jsonwebtoken::Algorithm;
use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::issuer::{AUDIENCE, Issuer, SigningKey};
use crate::support::stranger::Upstream;
use crate::support::{Gateway, layers};

/// An authority of servers and clients.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn issue(&self, name: &str, uri: Option<&str>) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let uri = uri.map(|uri| SanType::URI(uri.try_into().unwrap()));
        params.subject_alt_names.extend(uri);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }
}

/// Sends a request over TLS, and returns status and body.
async fn send(
    address: SocketAddr,
    authority: &Authority,
    client: Option<&(rcgen::Certificate, KeyPair)>,
    token: Option<&str>,
) -> (u16, serde_json::Value) {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(chassis::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            let chain = vec![certificate.der().clone()];
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::get("/v1/greetings/a").header("host", "localhost");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), serde_json::from_slice(&body).unwrap())
}

/// Shows who calls.
struct Who;

#[tonic::async_trait]
impl gateway::Stage for Who {
    async fn admit(&self, request: &gateway::RequestInfo<'_>) -> Result<(), tonic::Status> {
        match request.identity() {
            None => Ok(()),
            Some(identity) => Err(tonic::Status::permission_denied(format!(
                "{} of {} in {:?} as {:?}",
                identity.subject, identity.issuer, identity.tenant, identity.roles
            ))),
        }
    }
}

#[tokio::test]
async fn a_certificate_names_its_holder_and_binds_tokens() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (certificate, key) = authority.issue("gateway", None);
    std::fs::write(path("server.pem"), certificate.pem() + &key.serialize_pem()).unwrap();
    std::fs::write(path("ca.pem"), authority.0.pem()).unwrap();
    let signer = SigningKey::generate(Algorithm::ES256, "one");
    let issuer = Issuer::start(&[&signer]).await;
    let upstream = Upstream::start().await;
    let file = format!(
        "[tls]\ncert_file = \"{0}\"\nkey_file = \"{0}\"\nclient_ca_file = \"{1}\"\n\
         client_auth = \"request\"\nmode = \"allow\"\n\
         [authentication]\naudiences = [\"{AUDIENCE}\"]\n\
         [authentication.certificates]\naccept = true\n\
         rules = [{{ uri = \"spiffe://shop/ns/*\", tenant = \"acme\", roles = [\"service\"] }}]\n\
         [authentication.issuer.test]\nurl = \"{2}\"\nalgorithms = [\"ES256\"]\n\
         [[schema.policies]]\nselector = \"stranger.v1.StrangerService.*\"\n\
         access = {{ public = true }}\n",
        path("server.pem"),
        path("ca.pem"),
        issuer.url()
    );
    let layers = layers(&[upstream.address], &[], &file);
    let gateway = Gateway::with_stages(layers, vec![Box::new(Who)]).await;
    gateway.wait_until_ready().await;
    let orders = authority.issue("orders", Some("spiffe://shop/ns/orders"));
    let other = authority.issue("other", None);
    let call = async |client, token| send(gateway.address, &authority, client, token).await;
    assert_eq!(call(None, None).await.0, 200);
    let (status, answer) = call(Some(&orders), None).await;
    let expected = r#"spiffe://shop/ns/orders of spiffe://shop in Some("acme") as {"service"}"#;
    assert_eq!((status, &answer["message"]), (403, &json!(expected)));
    let (status, answer) = call(Some(&other), None).await;
    let message = answer["message"].as_str().unwrap();
    assert!(
        status == 403 && message.contains("CN=other of certificates"),
        "{message}"
    );

    let mut claims = issuer.claims(SystemTime::now());
    let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(orders.0.der()));
    claims["cnf"] = json!({ "x5t#S256": thumbprint });
    let token = signer.sign(&claims);
    let (_, answer) = call(Some(&orders), Some(&token)).await;
    assert!(
        answer["message"].as_str().unwrap().starts_with("alice of "),
        "{answer}"
    );
    for thief in [None, Some(&other)] {
        let (status, answer) = call(thief, Some(&token)).await;
        let reason = &answer["details"][0]["reason"];
        assert_eq!(
            (status, reason),
            (401, &json!("TOKEN_CERTIFICATE_MISMATCH"))
        );
    }
}
