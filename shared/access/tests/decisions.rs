//! The decisions of a contract's rules, for every kind of rule and of caller.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails"
)]

use std::collections::BTreeSet;
use std::fs;

use access::{Call, Label, Policies};
use auth::{Credential, Identity};
use compiler::{Contract, Sources};
use http::HeaderMap;
use rpc::error::Fault;
use tonic::Code;

const CONTRACT: &str = r#"
syntax = "proto3";

package shop.v1;

import "mesh/v1/options.proto";

service Shop {
  rpc Public(Empty) returns (Empty) { option (mesh.v1.access) = {public: true}; }
  rpc Known(Empty) returns (Empty) { option (mesh.v1.access) = {authenticated: true}; }
  rpc Role(Empty) returns (Empty) { option (mesh.v1.access) = {roles: ["clerk", "admin"]}; }
  rpc Scope(Empty) returns (Empty) { option (mesh.v1.access) = {scopes: ["read", "write"]}; }
  rpc Both(Empty) returns (Empty) { option (mesh.v1.access) = {roles: "clerk" scopes: "read"}; }
  rpc Own(Box) returns (Empty) {
    option (mesh.v1.access) = {
      authenticated: true
      condition: "identity.tenant != '' && request.owner == identity.tenant"
    };
  }
  rpc Header(Empty) returns (Empty) {
    option (mesh.v1.access) = {public: true condition: "metadata['x-region'] == 'eu'"};
  }
  rpc Wrong(Box) returns (Empty) {
    option (mesh.v1.access) = {public: true condition: "request.owned == ''"};
  }
  rpc Silent(Empty) returns (Empty);
  rpc Invalid(Empty) returns (Empty) { option (mesh.v1.access) = {public: true roles: "clerk"}; }
}

message Empty {}

message Box { string owner = 1; }
"#;

fn contract() -> Contract {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shop.proto");
    fs::write(&file, CONTRACT).unwrap();
    let checked = Sources::new([&file]).compile().unwrap().check();
    checked.contract.unwrap()
}

fn policies(contract: &Contract) -> Policies {
    let methods = contract.routes.methods().map(|method| &**method);
    Policies::of_contract(&contract.types, methods)
}

fn caller(roles: &[&str], scopes: &[&str]) -> Identity {
    let owned = |names: &[&str]| -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    };
    Identity {
        issuer: "https://issuer.example".to_owned(),
        subject: "alice".to_owned(),
        tenant: None,
        roles: owned(roles),
        scopes: owned(scopes),
        credential: Credential::Token,
        credential_id: None,
        expires: None,
    }
}

/// Returns `OK`, or the reason of the fault.
fn decided(policies: &Policies, method: &str, identity: Option<&Identity>) -> String {
    match policies.admit(&format!("/shop.v1.Shop/{method}"), identity) {
        Ok(_) => "OK".to_owned(),
        Err(denial) => Fault::from(&denial).reason.to_owned(),
    }
}

#[test]
fn every_rule_decides_every_caller() {
    let contract = contract();
    let policies = policies(&contract);
    let callers = [
        None,
        Some(caller(&[], &[])),
        Some(caller(&["admin"], &["read"])),
        Some(caller(&["clerk"], &["read", "write"])),
    ];
    for (method, expected) in [
        ("Public", ["OK", "OK", "OK", "OK"]),
        ("Known", ["CREDENTIALS_REQUIRED", "OK", "OK", "OK"]),
        ("Role", ["CREDENTIALS_REQUIRED", "MISSING_ROLE", "OK", "OK"]),
        (
            "Scope",
            [
                "CREDENTIALS_REQUIRED",
                "MISSING_SCOPE",
                "MISSING_SCOPE",
                "OK",
            ],
        ),
        (
            "Both",
            ["CREDENTIALS_REQUIRED", "MISSING_ROLE", "MISSING_ROLE", "OK"],
        ),
        ("Wrong", ["INVALID_ACCESS_RULE"; 4]),
        ("Silent", ["NO_ACCESS_RULE"; 4]),
        ("Invalid", ["INVALID_ACCESS_RULE"; 4]),
        ("Nowhere", ["NO_ACCESS_RULE"; 4]),
    ] {
        let found = callers
            .each_ref()
            .map(|identity| decided(&policies, method, identity.as_ref()));
        assert_eq!(found, expected, "{method}");
    }
}

#[test]
fn a_denial_says_what_is_missing_and_nothing_about_the_caller() {
    let contract = contract();
    let policies = policies(&contract);
    let denied = |method: &str, identity: Option<&Identity>| {
        let denial = policies.admit(&format!("/shop.v1.Shop/{method}"), identity);
        Fault::from(&denial.unwrap_err())
    };
    let identity = caller(&["viewer"], &["read"]);
    let role = denied("Role", Some(&identity));
    let roles = ("roles".to_owned(), "clerk,admin".to_owned());
    assert_eq!(
        (role.code, &*role.metadata),
        (Code::PermissionDenied, &[roles][..])
    );
    assert_eq!(
        role.message,
        "the caller needs one of the roles `clerk`, `admin`"
    );
    let scope = denied("Scope", Some(&identity));
    let scopes = ("scopes".to_owned(), "write".to_owned());
    assert_eq!(
        (scope.code, &*scope.metadata),
        (Code::PermissionDenied, &[scopes][..])
    );
    assert_eq!(denied("Known", None).code, Code::Unauthenticated);
}

/// `owner` is "acme".
const OWNED: &[u8] = b"\x0a\x04acme";

#[test]
fn a_condition_decides_by_the_bytes_of_the_first_message() {
    let contract = contract();
    let policies = policies(&contract);
    let policy = policies.ruling("/shop.v1.Shop/Own").policy().unwrap();
    assert!(policy.has_condition());
    let of_tenant = |tenant: Option<&str>| Identity {
        tenant: tenant.map(str::to_owned),
        ..caller(&[], &[])
    };
    let metadata = HeaderMap::new();
    for (tenant, request, expected) in [
        (Some("acme"), OWNED, true),
        (Some("other"), OWNED, false),
        (None, OWNED, false),
        (None, b"" as &[u8], false),
        (Some("acme"), b"", false),
        // Truncated.
        (Some("acme"), &OWNED[..4], false),
    ] {
        let identity = of_tenant(tenant);
        let decided = policy.admit_message(&Call {
            identity: Some(&identity),
            metadata: &metadata,
            request,
        });
        assert_eq!(decided.is_ok(), expected, "{tenant:?} {request:?}");
    }
}

#[test]
fn a_condition_without_a_result_does_not_hold() {
    let contract = contract();
    let policies = policies(&contract);
    let policy = policies.ruling("/shop.v1.Shop/Header").policy().unwrap();
    let decide = |headers: &[(&'static str, &str)]| {
        let mut metadata = HeaderMap::new();
        for (name, value) in headers {
            metadata.insert(*name, value.parse().unwrap());
        }
        let call = Call {
            identity: None,
            metadata: &metadata,
            request: b"",
        };
        policy.admit_message(&call)
    };
    assert!(decide(&[("x-region", "eu")]).is_ok());
    assert!(decide(&[("x-region", "us")]).is_err());
    let missing = decide(&[]).unwrap_err();
    let fault = Fault::from(&missing);
    assert_eq!(
        (fault.code, fault.reason, fault.metadata.len()),
        (Code::PermissionDenied, "CONDITION_NOT_MET", 0)
    );
}

#[test]
fn a_label_names_no_subject_unless_it_is_asked_to() {
    let identity = caller(&[], &[]);
    let digest = Label::Digest.of(&identity);
    let hidden = digest.strip_prefix("https://issuer.example#").unwrap();
    assert_eq!(hidden.len(), 16);
    assert!(!hidden.contains("alice"));
    let other = Identity {
        subject: "bob".to_owned(),
        ..identity.clone()
    };
    assert_ne!(Label::Digest.of(&other), digest);
    let subject = Label::Subject.of(&identity);
    assert_eq!(subject, "https://issuer.example#alice");
}
