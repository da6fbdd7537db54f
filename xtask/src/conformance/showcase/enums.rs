//! Enum values pass unchanged, unknown ones too: the server accepts the values that it returned.

use anyhow::{Context, Result};
use http::{Method, StatusCode};
use serde_json::Value;

use super::client::Client;
use super::request::{Request, query};
use crate::conformance::report::Failure;

const PATH: &str = "/v1beta1/compliance/enum";
/// A known and an unknown value of the enum.
const UNKNOWN: [bool; 2] = [false, true];
pub(super) const CASES: usize = UNKNOWN.len();

pub(super) async fn run(client: &Client) -> Result<Vec<Failure>> {
    let mut failures = Vec::new();
    for unknown in UNKNOWN {
        let pair = ("unknownEnum".to_owned(), unknown.to_string());
        let get = Request::new(Method::GET, PATH, &[pair]);
        if let Err(reason) = round(client, &get).await? {
            failures.push(Failure {
                case: format!("Compliance.GetEnum, VerifyEnum: unknown_enum = {unknown}"),
                sent: Some(get.to_string()),
                reason,
            });
        }
    }
    Ok(failures)
}

async fn round(client: &Client, get: &Request) -> Result<Result<(), String>> {
    let given = client.send(get).await.context("GetEnum")?;
    let told = || format!("GetEnum: {}: {}", given.status, given.body);
    let message: Value = match serde_json::from_str(&given.body) {
        Ok(message) if given.status == StatusCode::OK => message,
        _ => return Ok(Err(told())),
    };
    let verify = Request::new(Method::POST, PATH, &query(&message, &[]));
    let taken = client.send(&verify).await.context("VerifyEnum")?;
    let back: Value = serde_json::from_str(&taken.body).unwrap_or_default();
    // All other members are the request; a query can't tell an empty message from a missing one.
    let is_same = back.get("continent") == message.get("continent");
    Ok(match taken.status {
        StatusCode::OK if is_same => Ok(()),
        status => Err(format!("{}; {verify}: {status}: {}", told(), taken.body)),
    })
}
