//! Keys and certificates of the processes of a mesh: made at each start, rotated while it runs, and
//! readable by its user only.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use auth::internal::{NewKey, key_set};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::secrets::write_private;
use crate::home::create_dir;
use crate::project::{GATEWAY, Project, Security, Service};

/// The directory of a mesh's credentials, in that of the mesh.
const DIRECTORY: &str = "credentials";
/// File of the authority's certificate.
const AUTHORITY: &str = "ca.pem";
/// The process that starts and asks the others, and calls them in tests.
pub(crate) const MESH: &str = "mesh";

/// Interval of rotation. A token lives for a minute, and keys are known to others one rotation
/// before they sign.
const ROTATION: Duration = Duration::from_secs(6 * 3600);
/// Life of the certificate of a process, and of those that last as long as the mesh.
const LEAF_DAYS: i64 = 3;
const AUTHORITY_DAYS: i64 = 3650;

/// The credentials of one mesh.
pub(crate) struct Credentials {
    files: Files,
    project: String,
    names: Vec<String>,
    keys: BTreeMap<String, Keys>,
    /// The key of the authority is in memory only.
    authority: Option<CertifiedIssuer<'static, KeyPair>>,
}

/// Places of the files.
#[derive(Clone, Debug)]
pub(crate) struct Files(PathBuf);

/// Private keys of a process: the one that signs, the one before it, and the next one.
struct Keys {
    before: NewKey,
    now: NewKey,
    next: NewKey,
}

// === impl Credentials ===

impl Credentials {
    /// Makes the credentials that a project asks for; `None` if it asks for none. Those of an
    /// earlier mesh are dropped.
    pub(crate) fn create(
        dir: &Path,
        project: &Project,
        security: Security,
    ) -> Result<Option<Self>> {
        let files = Files::of(dir);
        if files.0.exists() {
            let cleared = fs::remove_dir_all(&files.0);
            cleared.with_context(|| format!("cannot remove {}", files.0.display()))?;
        }
        if !security.identity && !security.tls {
            return Ok(None);
        }
        create_dir(&files.0, 0o700)?;
        let names: Vec<String> = project.names().chain([MESH]).map(str::to_owned).collect();
        let mut this = Self {
            files,
            project: project.name().to_owned(),
            names: names.clone(),
            keys: BTreeMap::new(),
            authority: None,
        };
        if security.identity {
            for name in &names {
                let keys = Keys::generate()?;
                this.write_keys(name, &keys)?;
                this.keys.insert(name.clone(), keys);
            }
        }
        if security.tls {
            let authority = authority(&this.project)?;
            write(&this.files.authority(), &authority.pem())?;
            this.authority = Some(authority);
            for name in &names {
                this.certify(name)?;
            }
        }
        Ok(Some(this))
    }

    /// Replaces keys and certificates.
    pub(crate) fn rotate(&mut self) -> Result<()> {
        let mut keys = std::mem::take(&mut self.keys);
        let mut outcome = Ok(());
        for (name, keys) in &mut keys {
            outcome = outcome.and(keys.advance().and_then(|()| self.write_keys(name, keys)));
        }
        self.keys = keys;
        for name in self.names.iter().filter(|name| *name != MESH) {
            outcome = outcome.and(self.certify(name));
        }
        outcome
    }

    /// Rotates until the task is aborted.
    pub(crate) fn rotating(self) -> JoinSet<()> {
        let mut credentials = self;
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut ticks = tokio::time::interval(ROTATION);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                let rotated = tokio::task::spawn_blocking(move || {
                    let outcome = credentials.rotate();
                    (credentials, outcome)
                });
                // It does not panic, and no one cancels it.
                let Ok((this, outcome)) = rotated.await else {
                    return;
                };
                credentials = this;
                if let Err(error) = outcome {
                    let error = format_args!("{error:#}");
                    tracing::error!(error, "keys and certificates not rotated");
                }
            }
        });
        task
    }

    fn write_keys(&self, name: &str, keys: &Keys) -> Result<()> {
        // In this order: the key that signs is in the old set already, as its next one.
        write(&self.files.key(name), &keys.now.pem)?;
        let all = [&keys.before, &keys.now, &keys.next];
        let set = key_set(all.map(|key| key.pem.as_str()))?;
        write(&self.files.key_set(name), &set)
    }

    /// Writes a certificate and its key into one file, which changes at once.
    fn certify(&self, name: &str) -> Result<()> {
        let Some(authority) = &self.authority else {
            return Ok(());
        };
        let days = if name == MESH {
            AUTHORITY_DAYS
        } else {
            LEAF_DAYS
        };
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        let id = format!("spiffe://{}/{name}", self.project);
        params
            .subject_alt_names
            .insert(0, SanType::URI(id.as_str().try_into()?));
        params
            .subject_alt_names
            .push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        limit(&mut params, days);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, authority)?;
        let text = certificate.pem() + &key.serialize_pem();
        write(&self.files.certificate(name), &text)
    }
}

fn authority(project: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.remove(DnType::CommonName);
    let name = format!("{project} of mesh");
    params.distinguished_name.push(DnType::CommonName, name);
    limit(&mut params, AUTHORITY_DAYS);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// Sets the time for which a certificate holds; clocks of containers may be late.
fn limit(params: &mut CertificateParams, days: i64) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::hours(1);
    params.not_after = now + time::Duration::days(days);
}

/// Replaces a file at once, so that no one reads half of it.
fn write(file: &Path, text: &str) -> Result<()> {
    let new = file.with_extension("new");
    write_private(&new, text)?;
    fs::rename(&new, file).with_context(|| format!("cannot write {}", file.display()))
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

// === impl Keys ===

impl Keys {
    fn generate() -> Result<Self> {
        Ok(Self {
            before: NewKey::generate()?,
            now: NewKey::generate()?,
            next: NewKey::generate()?,
        })
    }

    fn advance(&mut self) -> Result<()> {
        let next = std::mem::replace(&mut self.next, NewKey::generate()?);
        self.before = std::mem::replace(&mut self.now, next);
        Ok(())
    }
}

// === impl Files ===

impl Files {
    /// Returns the places of the credentials of the mesh in `dir`, which may have none.
    pub(crate) fn of(dir: &Path) -> Self {
        Self(dir.join(DIRECTORY))
    }

    /// Returns the file of the authority's certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.0.join(AUTHORITY)
    }

    /// Returns the file of a process's certificate and its key.
    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.tls.pem"))
    }

    /// Returns the file of the key that signs a process's calls.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.pem"))
    }

    /// Returns the file of the keys by which others verify them.
    pub(crate) fn key_set(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.jwks.json"))
    }

    /// Returns the variables of a service, or of the gateway without one.
    pub(crate) fn environment(
        &self,
        project: &Project,
        security: Security,
        service: Option<&Service>,
    ) -> Vec<(String, String)> {
        let name = service.map_or(GATEWAY, |service| service.name.as_str());
        let mut variables = Vec::new();
        let mut set = |key: &str, value: String| {
            variables.push((format!("PROTOMESH_{key}"), value));
        };
        let text = |path: PathBuf| path.display().to_string();
        if security.identity {
            set("IDENTITY__NAME", name.to_owned());
            set("IDENTITY__SIGN", true.to_string());
            set("IDENTITY__KEY_FILE", text(self.key(name)));
            if let Some(service) = service {
                let callers = callers(project, service);
                let trusted =
                    callers.map(|caller| format!("{caller}={}", text(self.key_set(caller))));
                set("IDENTITY__TRUSTED", trusted.collect::<Vec<_>>().join(","));
                set("IDENTITY__REQUIRED", true.to_string());
                set("IDENTITY__ENFORCE_ACCESS", security.access.to_string());
            }
        }
        if security.tls {
            for key in ["CERTIFICATE", "KEY"] {
                set(&format!("CLIENT__TLS__{key}"), text(self.certificate(name)));
            }
            set("CLIENT__TLS__CA", text(self.authority()));
            if service.is_some_and(Service::has_tls) {
                for key in ["CERT_FILE", "KEY_FILE"] {
                    set(&format!("TLS__{key}"), text(self.certificate(name)));
                }
                set("TLS__CLIENT_CA_FILE", text(self.authority()));
                set("TLS__CLIENT_AUTH", "require".to_owned());
            }
        }
        variables
    }
}

/// Returns the processes that may call a service: the gateway that serves its API, the services
/// that declare it, and `mesh`.
fn callers<'p>(project: &'p Project, service: &Service) -> impl Iterator<Item = &'p str> {
    let name = service.name.clone();
    let services = project.services().iter();
    let services = services.filter(move |other| other.calls.contains(&name));
    let gateway = service.gateway.then_some(GATEWAY);
    services
        .map(|service| service.name.as_str())
        .chain(gateway)
        .chain([MESH])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use auth::internal::{Signer, TrustedKeys as Source, Verifier};

    use super::*;

    const PROJECT: &str = "[project]\nname = \"shop\"\n[security]\nidentity = true\ntls = true\n\
        [services.stock]\n[services.orders]\ncalls = [\"stock\"]\n[services.quotes]\n\
        command = [\"python3\", \"main.py\"]\ngateway = false\n";

    fn project(dir: &Path) -> Project {
        fs::write(dir.join("mesh.toml"), PROJECT).unwrap();
        Project::find(dir).unwrap()
    }

    #[tokio::test]
    async fn a_rotation_leaves_files_that_tokens_of_before_and_after_are_good_for() {
        const RESERVE: &str = "/stock.v1.StockService/Reserve";
        let dir = tempfile::tempdir().unwrap();
        let project = project(dir.path());
        let made = Credentials::create(dir.path(), &project, project.security());
        let mut made = made.unwrap().unwrap();
        let files = made.files.clone();
        let signer = Signer::from_file("orders", files.key("orders")).unwrap();
        let set = files.key_set("orders");
        let source = || Source::at(set.to_str().unwrap(), None).unwrap();
        let verifier = Verifier::new([("orders".to_owned(), source())]);
        let old_certificate = fs::read(files.certificate("orders")).unwrap();
        for _ in 0..3 {
            let old = signer.call(RESERVE, None).unwrap();
            verifier
                .verify(old.to_str().unwrap(), RESERVE)
                .await
                .unwrap();
            made.rotate().unwrap();
            assert!(signer.rotate().unwrap());
            let new = signer.call(RESERVE, None).unwrap();
            // Its keys are those of before the rotation.
            verifier
                .verify(new.to_str().unwrap(), RESERVE)
                .await
                .unwrap();
            verifier.refresh().await.unwrap();
            let late = Verifier::new([("orders".to_owned(), source())]);
            late.verify(old.to_str().unwrap(), RESERVE).await.unwrap();
        }
        assert_ne!(
            fs::read(files.certificate("orders")).unwrap(),
            old_certificate
        );
        for entry in fs::read_dir(&files.0).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_service_trusts_those_who_declare_to_call_it() {
        let dir = tempfile::tempdir().unwrap();
        let project = project(dir.path());
        let files = Files::of(dir.path());
        let trusted = |name: &str| {
            let service = project.service(name);
            let variables = files.environment(&project, project.security(), service);
            let found = variables
                .iter()
                .find(|(key, _)| key == "PROTOMESH_IDENTITY__TRUSTED");
            let (_, list) = found.unwrap();
            let names = list.split(',').map(|item| item.split_once('=').unwrap().0);
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(trusted("stock"), ["orders", "gateway", "mesh"]);
        assert_eq!(trusted("orders"), ["gateway", "mesh"]);
        assert_eq!(trusted("quotes"), ["mesh"]);
    }

    #[test]
    fn without_security_the_files_of_an_earlier_mesh_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let project = project(dir.path());
        let made = Credentials::create(dir.path(), &project, project.security());
        assert!(made.unwrap().is_some());
        let none = Credentials::create(dir.path(), &project, Security::default());
        assert!(none.unwrap().is_none());
        assert!(!Files::of(dir.path()).authority().exists());
    }
}
