//! The cases: every pair of RPC and request in the suite, with every binding of the RPC that can carry the request.

use anyhow::{Context, Result, bail};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::Answer;
use super::request::{Request, encoded, encoded_segments, query, text};

/// `google.showcase.v1beta1.ComplianceSuite`.
#[derive(Debug, Deserialize)]
pub(super) struct Suite {
    pub(super) group: Vec<Group>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Group {
    pub(super) rpcs: Vec<String>,
    /// `RepeatRequest`s.
    pub(super) requests: Vec<Value>,
}

#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) request: Request,
    pub(super) expected: Expected,
}

#[derive(Debug)]
pub(super) enum Expected {
    /// 200, and a response with this request in it.
    Echo(Value),
    /// No 2xx, and a body that names the reason.
    Refused(&'static str),
}

impl Suite {
    pub(super) fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).context("cannot read the compliance suite")
    }

    pub(super) fn pairs(&self) -> usize {
        let pairs = self
            .group
            .iter()
            .map(|group| group.rpcs.len() * group.requests.len());
        pairs.sum()
    }

    /// The request of this name.
    pub(super) fn request(&self, name: &str) -> Result<&Value> {
        let mut requests = self.group.iter().flat_map(|group| &group.requests);
        requests
            .find(|request| request.get("name").is_some_and(|found| found == name))
            .with_context(|| format!("the suite has no request {name:?}"))
    }
}

/// An RPC that no group of the suite names, though requests of it fit.
const TRAILING: &str = "Compliance.RepeatDataPathTrailingResource";

/// All cases that have to succeed.
pub(super) fn positive(suite: &Suite) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for group in &suite.group {
        for message in &group.requests {
            let message = servable(message);
            let fits_trailing = !bindings(TRAILING, &message)?.is_empty();
            let trailing = fits_trailing.then_some(TRAILING);
            for rpc in group.rpcs.iter().map(String::as_str).chain(trailing) {
                let requests = bindings(rpc, &message)?;
                if requests.is_empty() {
                    bail!("no binding of {rpc} can carry {message}");
                }
                let name = text(message.get("name").unwrap_or(&Value::Null));
                cases.extend(requests.into_iter().map(|request| Case {
                    name: format!("{rpc}: {name}"),
                    request,
                    expected: Expected::Echo(message.clone()),
                }));
            }
        }
    }
    Ok(cases)
}

/// The message as a server behind gRPC can serve it. Its own REST listener checks which binding was taken, by a name that
/// only it knows; here each request is written for its binding, and what comes back shows what was bound.
fn servable(message: &Value) -> Value {
    let mut message = message.clone();
    if let Some(members) = message.as_object_mut()
        && members.contains_key("intendedBindingUri")
    {
        members.remove("serverVerify");
    }
    message
}

/// The message as a request of each binding of the RPC that can carry it.
pub(super) fn bindings(rpc: &str, message: &Value) -> Result<Vec<Request>> {
    let whole = |method: Method, path: &str| {
        let request = Request::new(method, path, &[]).body(message);
        Ok(vec![request])
    };
    match rpc {
        "Compliance.RepeatDataBody" => whole(Method::POST, "/v1beta1/repeat:body"),
        "Compliance.RepeatDataBodyPut" => whole(Method::PUT, "/v1beta1/repeat:bodyput"),
        "Compliance.RepeatDataBodyPatch" => whole(Method::PATCH, "/v1beta1/repeat:bodypatch"),
        "Compliance.RepeatDataBodyInfo" => Ok(vec![
            Request::new(
                Method::POST,
                "/v1beta1/repeat:bodyinfo",
                &query(message, &["info"]),
            )
            .body(message.get("info").unwrap_or(&json!({}))),
        ]),
        "Compliance.RepeatDataQuery" => Ok(vec![Request::new(
            Method::GET,
            "/v1beta1/repeat:query",
            &query(message, &[]),
        )]),
        "Compliance.RepeatDataSimplePath" => Ok(vec![simple_path(message)]),
        "Compliance.RepeatDataPathResource" => {
            let first = resource(
                message,
                ["fString", "fChild.fString"],
                true,
                ":pathresource",
            );
            let fields = ["fChild.fString", "fString"];
            let second = resource(message, fields, true, ":childfirstpathresource");
            Ok(first.into_iter().chain(second).collect())
        }
        TRAILING => {
            let fields = ["fString", "fChild.fString"];
            let request = resource(message, fields, false, ":pathtrailingresource");
            Ok(request.into_iter().collect())
        }
        _ => bail!("the suite names {rpc}, which is unknown here"),
    }
}

/// A scalar of `info`, or what it is when it isn't there.
fn leaf(message: &Value, path: &str, default: &str) -> String {
    let pointer = format!("/info/{}", path.replace('.', "/"));
    message
        .pointer(&pointer)
        .map_or_else(|| default.to_owned(), text)
}

fn simple_path(message: &Value) -> Request {
    let fields = [
        ("fString", ""),
        ("fInt32", "0"),
        ("fDouble", "0"),
        ("fBool", "false"),
        ("fKingdom", "LIFE_KINGDOM_UNSPECIFIED"),
    ];
    let values = fields.map(|(name, default)| encoded(&leaf(message, name, default)));
    let taken = fields.map(|(name, _)| format!("info.{name}"));
    let taken = taken.each_ref().map(String::as_str);
    let path = format!("/v1beta1/repeat/{}:simplepath", values.join("/"));
    Request::new(Method::GET, &path, &query(message, &taken))
}

/// The request of a binding with `{a=first/*}/{b=second/*}`, if the fields `a` and `b` of `info` have such values. Then follows
/// `/bool/{info.f_bool}`, or nothing; in that case `b` may have more segments.
fn resource(message: &Value, fields: [&str; 2], has_bool: bool, verb: &str) -> Option<Request> {
    let [first, second] = fields.map(|field| leaf(message, field, ""));
    let (a, b) = (
        first.strip_prefix("first/")?,
        second.strip_prefix("second/")?,
    );
    if a.is_empty() || a.contains('/') || (has_bool && (b.is_empty() || b.contains('/'))) {
        return None;
    }
    let [first, second] = [first, second].map(|text| encoded_segments(&text));
    let mut path = format!("/v1beta1/repeat/{first}/{second}");
    let mut taken = fields.map(|field| format!("info.{field}")).to_vec();
    if has_bool {
        path = format!("{path}/bool/{}", leaf(message, "fBool", "false"));
        taken.push("info.fBool".to_owned());
    }
    let taken: Vec<&str> = taken.iter().map(String::as_str).collect();
    let query = query(message, &taken);
    Some(Request::new(Method::GET, &format!("{path}{verb}"), &query))
}

// === impl Expected ===

impl Expected {
    /// `Err` says what is wrong with the answer.
    pub(super) fn check(&self, answer: &Answer) -> Result<(), String> {
        let told = || format!("{}: {}", answer.status, answer.body);
        match self {
            Expected::Refused(_) if answer.status.is_success() => {
                Err(format!("was to be refused; got {}", told()))
            }
            Expected::Refused(reason) if !answer.body.contains(reason) => {
                Err(format!("was to be refused with {reason:?}; got {}", told()))
            }
            Expected::Refused(_) => Ok(()),
            Expected::Echo(_) if answer.status != StatusCode::OK => Err(format!("got {}", told())),
            Expected::Echo(expected) => {
                let body: Value = serde_json::from_str(&answer.body)
                    .map_err(|error| format!("the answer is not JSON ({error}): {}", told()))?;
                let echo = normal("", body.get("request").unwrap_or(&Value::Null));
                let expected = normal("", expected);
                match echo == expected {
                    true => Ok(()),
                    false => Err(format!("expected {expected}\n    got       {echo}")),
                }
            }
        }
    }
}

/// The one form of all that means the same in a message of the suite: its fields tell their type and presence by their
/// names, as `fInt64` (without presence) and `pFloat` (with).
fn normal(key: &str, value: &Value) -> Value {
    if let Value::Object(members) = value {
        let members = members
            .iter()
            .map(|(key, value)| (key.clone(), normal(key, value)));
        let present = members.filter(|(key, value)| is_present(key, value));
        return Value::Object(present.collect::<Map<_, _>>());
    }
    let text = text(value);
    if key.ends_with("Float") {
        return json!(text.parse::<f32>().ok());
    }
    if key.ends_with("Double") {
        return json!(text.parse::<f64>().ok());
    }
    match value {
        Value::Number(_) => Value::String(text),
        other => other.clone(),
    }
}

fn is_present(key: &str, value: &Value) -> bool {
    let has_presence = key
        .strip_prefix('p')
        .is_some_and(|rest| rest.starts_with(char::is_uppercase));
    let is_default = match value {
        Value::String(text) => ["", "0", "LIFE_KINGDOM_UNSPECIFIED"].contains(&text.as_str()),
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Object(_) | Value::Array(_) => false,
        Value::Null => true,
    };
    has_presence || !is_default
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: StatusCode, body: &Value) -> Answer {
        let body = body.to_string();
        Answer { status, body }
    }

    #[test]
    fn an_echo_is_compared_by_its_meaning() {
        let sent = json!({"name": "n", "info": {"fInt64": 5, "fInt32": 0, "pInt32": 0, "fFloat": 3.402823466385288e38}});
        let expected = Expected::Echo(sent);
        let same = json!({"request": {"name": "n", "info": {"fInt64": "5", "pInt32": 0, "fFloat": 3.4028235e38}}});
        assert_eq!(expected.check(&answer(StatusCode::OK, &same)), Ok(()));
        let without_presence =
            json!({"request": {"name": "n", "info": {"fInt64": "5", "fFloat": 3.4028235e38}}});
        assert!(
            expected
                .check(&answer(StatusCode::OK, &without_presence))
                .is_err()
        );
        assert!(
            expected
                .check(&answer(StatusCode::BAD_REQUEST, &same))
                .is_err()
        );
    }

    #[test]
    fn a_refusal_has_its_reason() {
        let expected = Expected::Refused("Mismatch");
        let refused = json!({"message": "(Mismatch) no"});
        assert_eq!(
            expected.check(&answer(StatusCode::BAD_REQUEST, &refused)),
            Ok(())
        );
        assert!(expected.check(&answer(StatusCode::OK, &refused)).is_err());
        assert!(
            expected
                .check(&answer(StatusCode::NOT_FOUND, &json!({})))
                .is_err()
        );
    }

    #[test]
    fn a_resource_goes_into_the_bindings_that_its_values_fit() {
        let targets = |message: &Value| {
            let requests = bindings("Compliance.RepeatDataPathResource", message).unwrap();
            requests
                .into_iter()
                .map(|request| request.target)
                .collect::<Vec<_>>()
        };
        let message = json!({"info": {"fString": "second/b c", "fChild": {"fString": "first/a"}, "pBool": true}});
        assert_eq!(
            targets(&message),
            [
                "/v1beta1/repeat/first/a/second/b%20c/bool/false:childfirstpathresource?info.pBool=true"
            ]
        );
        let deep = json!({"info": {"fString": "first/a/b", "fChild": {"fString": "second/c"}}});
        assert!(targets(&deep).is_empty());
    }
}
