//! The decisions of a contract's rules, for every kind of rule and of caller.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails"
)]

use std::collections::BTreeSet;
use std::fs;

use access::Policies;
use auth::{Credential, Identity};
use compiler::{Contract, Sources};
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
  rpc Silent(Empty) returns (Empty);
  rpc Invalid(Empty) returns (Empty) { option (mesh.v1.access) = {public: true roles: "clerk"}; }
}

message Empty {}
"#;

fn contract() -> Contract {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shop.proto");
    fs::write(&file, CONTRACT).unwrap();
    let checked = Sources::new([&file]).compile().unwrap().check();
    checked.contract.unwrap()
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
    let policies = Policies::of_contract(contract.routes.methods().map(|method| &**method));
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
    let policies = Policies::of_contract(contract.routes.methods().map(|method| &**method));
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
