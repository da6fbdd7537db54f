//! Mistakes of the configuration: each is named with its key.

use super::settings;
use crate::{AuthenticationSettings, Authenticator, CertificateRule, Clock, KeySettings, Metrics};

const URL: &str = "https://id.example";

#[track_caller]
fn refused(key: &str, change: impl FnOnce(&mut AuthenticationSettings)) {
    let mut settings = settings(URL, "");
    change(&mut settings);
    let refused = Authenticator::new(&settings, Clock::default(), Metrics::default()).err();
    let found = refused.map(|error| error.key);
    assert_eq!(found.as_deref(), Some(&*format!("authentication.{key}")));
}

fn issuer(settings: &mut AuthenticationSettings) -> &mut crate::IssuerSettings {
    settings.issuer.get_mut("test").unwrap()
}

#[test]
fn a_mistake_is_named_with_its_key() {
    refused("skew_ms", |all| all.skew_ms = 300_001);
    refused("stream_grace_ms", |all| all.stream_grace_ms = 30_001);
    refused("jwks_refresh_ms", |all| all.jwks_refresh_ms = 0);
    refused("key_header", |all| all.key_header = "X-Api-Key".to_owned());
    refused("issuer.test.audiences", |all| all.audiences.clear());
    refused("issuer.test.algorithms", |all| {
        issuer(all).algorithms.clear()
    });
    refused("issuer.test.url", |all| issuer(all).url.clear());
    refused("issuer.test.url", |all| {
        issuer(all).url = "http://id.example".to_owned();
    });
    refused("issuer.test.url", |all| issuer(all).url = "name".to_owned());
    refused("issuer.test.jwks", |all| {
        issuer(all).jwks = "http://id.example/keys".to_owned();
    });
    refused("issuer.test.ca", |all| {
        issuer(all).ca = Some("/nowhere".into());
    });
    refused("issuer.test.url", |all| {
        let twin = issuer(all).clone();
        all.issuer.insert("twin".to_owned(), twin);
    });
    refused("keys", |all| {
        all.keys = vec![KeySettings {
            prefix: "shop".to_owned(),
            sha256: "0".repeat(63),
            subject: "a".to_owned(),
            tenant: None,
            roles: Vec::new(),
            scopes: Vec::new(),
            expires: None,
        }];
    });
    refused("keys", |all| {
        all.keys = vec![KeySettings {
            prefix: "shop".to_owned(),
            sha256: "0".repeat(64),
            subject: "a".to_owned(),
            tenant: None,
            roles: vec!["mesh.process.orders".to_owned()],
            scopes: Vec::new(),
            expires: None,
        }];
    });
    refused("keys_file", |all| all.keys_file = "/nowhere".into());
    refused("introspection.url", |all| {
        all.introspection.url = "ftp://id.example".to_owned();
    });
    refused("introspection.client_secret_file", |all| {
        all.introspection.url = "https://id.example/introspect".to_owned();
    });
    refused("introspection.cache_ms", |all| {
        all.introspection.cache_ms = 300_001
    });
    refused("certificates.rules[0]", |all| {
        all.certificates.rules = vec![CertificateRule::default()];
    });
    refused("certificates.rules[0].roles", |all| {
        all.certificates.rules = vec![CertificateRule {
            dns: Some("*".to_owned()),
            roles: vec!["mesh.process".to_owned()],
            ..CertificateRule::default()
        }];
    });
    refused("revocations.list", |all| {
        all.revocations.list = "http://id.example/revoked".to_owned();
    });
}

#[test]
fn symmetric_algorithms_cannot_be_configured() {
    for name in ["HS256", "none", "RS1"] {
        let text = format!("url = \"{URL}\"\nalgorithms = [\"{name}\"]");
        assert!(
            toml::from_str::<crate::IssuerSettings>(&text).is_err(),
            "{name}"
        );
    }
}
