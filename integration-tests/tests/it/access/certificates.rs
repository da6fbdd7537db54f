//! Callers of every RPC by mutual TLS: a client certificate is their identity.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::*;

/// An authority of servers and clients.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A local address whose connections go on by TLS, with a client certificate. It ends when it is
/// dropped.
struct Tunnel {
    address: SocketAddr,
    _connections: JoinSet<()>,
}

impl Authority {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(
            params,
            KeyPair::generate()?,
        )?))
    }

    fn issue(&self, uri: Option<&str>) -> Result<(rcgen::Certificate, KeyPair)> {
        let mut params = CertificateParams::new(["localhost".to_owned()])?;
        if let Some(uri) = uri {
            params.subject_alt_names.push(SanType::URI(uri.try_into()?));
        }
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.0)?, key))
    }

    /// Opens a tunnel to the gateway for the holder of a SPIFFE ID.
    async fn tunnel(&self, gateway: SocketAddr, uri: &str) -> Result<Tunnel> {
        let (certificate, key) = self.issue(Some(uri))?;
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone())?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        let config = ClientConfig::builder_with_provider(chassis::tls::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate.der().clone()], key)?;
        let tls = TlsConnector::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut own = JoinSet::new();
            while let Ok((mut plain, _)) = listener.accept().await {
                let tls = tls.clone();
                own.spawn(async move {
                    let name = ServerName::try_from("localhost")?;
                    let stream = TcpStream::connect(gateway).await?;
                    let mut secure = tls.connect(name, stream).await?;
                    tokio::io::copy_bidirectional(&mut plain, &mut secure).await?;
                    Ok::<(), anyhow::Error>(())
                });
            }
        });
        Ok(Tunnel {
            address,
            _connections: connections,
        })
    }
}

/// Writes the configuration of a gateway that accepts certificates, beside plain connections.
fn configure(directory: &Path, authority: &Authority, roles: &[String]) -> Result<String> {
    let path = |name: &str| directory.join(name).display().to_string();
    let (certificate, key) = authority.issue(None)?;
    let server = certificate.pem() + &key.serialize_pem();
    std::fs::write(path("server.pem"), server)?;
    std::fs::write(path("ca.pem"), authority.0.pem())?;
    let file = format!(
        "[tls]\ncert_file = {0:?}\nkey_file = {0:?}\nclient_ca_file = {1:?}\n\
         client_auth = \"request\"\nmode = \"allow\"\n\
         [authentication.certificates]\naccept = true\n\
         rules = [{{ uri = \"spiffe://shop/ns/clerks/*\", tenant = \"acme\", roles = {roles:?} }}]\n",
        path("server.pem"),
        path("ca.pem"),
    );
    std::fs::write(path("gateway.toml"), file)?;
    Ok(path("gateway.toml"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_lets_in_the_holders_of_certificates_that_its_contract_names() -> Result<()> {
    let authority = Authority::new()?;
    let directory = tempfile::tempdir()?;
    let home = mesh::Home::find()?;
    let issuer = home.project().issuer().context("an issuer")?;
    let file = configure(directory.path(), &authority, &issuer.roles)?;
    let options = Mesh::authenticated_options()?.env("gateway", "PROTOMESH_CONFIG", &file);
    let mesh = Mesh::authenticated_with(options).await?;
    let document = mesh.http()?.get("/openapi.json", "*/*").await?;
    let rpcs = rpcs(&document.json()?)?;
    let named: BTreeSet<&str> = issuer.roles.iter().map(String::as_str).collect();
    ensure!(roles(&rpcs).is_subset(&named), "roles: {:?}", roles(&rpcs));
    for (name, worth) in [
        ("clerks/alice", Worth::RightRole),
        ("guests/bob", Worth::OtherRole),
    ] {
        let uri = format!("spiffe://shop/ns/{name}");
        let tunnel = authority.tunnel(mesh.gateway()?, &uri).await?;
        let header = None;
        let sent = Sent {
            name,
            worth,
            header,
        };
        expect_decisions(tunnel.address, &rpcs, &[sent]).await?;
    }
    Ok(())
}
