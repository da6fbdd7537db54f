//! Requests that must not succeed: wrongly transcoded ones, and ones that are not the message the suite knows.

use anyhow::{Context, Result};
use heck::ToSnakeCase;
use http::Method;
use serde_json::{Map, Value, json};

use super::cases::{Case, Expected, Suite, bindings};
use super::request::{Request, query, text};

/// What the server says about a message that is not that of the suite: the gateway has to hand it on.
const MISMATCH: &str = "(ComplianceSuiteRequestMismatchError)";
const NOT_FOUND: &str = "(ComplianceSuiteRequestNotFoundError)";
/// What the gateway says by itself: the reason, and the field that a violation is about.
const UNKNOWN_FIELD: &str = "\"reason\":\"UNKNOWN_FIELD\"";
const IN_INFO: &str = "\"field\":\"info.";
const ZEROS: &str = "Zero values for all fields";
const NO_OPTIONAL: &str = "Basic types, no optional fields";

/// All cases that have to be refused.
pub(super) fn negative(suite: &Suite) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for group in &suite.group {
        for message in &group.requests {
            let name = text(message.get("name").unwrap_or(&Value::Null));
            for rpc in &group.rpcs {
                let refused = |what: &str, request, reason| Case {
                    name: format!("{rpc}: {name}: {what}"),
                    request,
                    expected: Expected::Refused(reason),
                };
                match rpc.as_str() {
                    "Compliance.RepeatDataBodyInfo" => {
                        let (twice, snake) = body_info(message);
                        cases.push(refused(
                            "the body's fields in the query as well",
                            twice,
                            IN_INFO,
                        ));
                        cases.push(refused("proto names in the body", snake, UNKNOWN_FIELD));
                    }
                    "Compliance.RepeatDataQuery" => {
                        let request = snake_query(message);
                        cases.push(refused("proto names in the query", request, UNKNOWN_FIELD));
                    }
                    _ => {}
                }
            }
        }
    }
    cases.extend(presence(suite)?);
    Ok(cases)
}

fn body_info(message: &Value) -> (Request, Request) {
    let path = "/v1beta1/repeat:bodyinfo";
    let nothing = json!({});
    let info = message.get("info").unwrap_or(&nothing);
    let twice = Request::new(Method::POST, path, &query(message, &[])).body(info);
    let snake = Request::new(Method::POST, path, &query(message, &["info"])).body(&snake(info));
    (twice, snake)
}

fn snake_query(message: &Value) -> Request {
    Request::new(
        Method::GET,
        "/v1beta1/repeat:query",
        &query(&snake(message), &[]),
    )
}

/// The message with its fields under the names of the proto file.
fn snake(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(key, value)| (key.to_snake_case(), snake(value)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// Presence that went wrong on the way is found by the server, as it would be here.
fn presence(suite: &Suite) -> Result<Vec<Case>> {
    let mut changes = vec![(
        "a name that the suite lacks".to_owned(),
        renamed(suite)?,
        NOT_FOUND,
    )];
    let optional = [
        ("pBool", json!(false)),
        ("pString", json!("")),
        ("pInt32", json!(0)),
    ];
    for (field, zero) in optional {
        let mut without = suite.request(ZEROS)?.clone();
        info(&mut without)?
            .remove(field)
            .with_context(|| format!("{ZEROS:?} has no {field}"))?;
        changes.push((format!("{field} is not sent"), without, MISMATCH));
        let mut with = suite.request(NO_OPTIONAL)?.clone();
        info(&mut with)?.insert(field.to_owned(), zero);
        changes.push((format!("{field} is sent"), with, MISMATCH));
    }
    let mut cases = Vec::new();
    for (what, message, reason) in changes {
        for rpc in ["Compliance.RepeatDataBody", "Compliance.RepeatDataQuery"] {
            cases.extend(bindings(rpc, &message)?.into_iter().map(|request| Case {
                name: format!("{rpc}: {what}"),
                request,
                expected: Expected::Refused(reason),
            }));
        }
    }
    Ok(cases)
}

fn renamed(suite: &Suite) -> Result<Value> {
    let mut message = suite.request(ZEROS)?.clone();
    let members = message.as_object_mut().context("a request is no object")?;
    members.insert("name".to_owned(), json!("modified name"));
    Ok(message)
}

fn info(message: &mut Value) -> Result<&mut Map<String, Value>> {
    let info = message.get_mut("info").and_then(Value::as_object_mut);
    info.context("a request without info")
}
