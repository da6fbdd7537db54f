//! The operators' desks of all services, through the gateway.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::fetch::{Fetch, FetchError};

/// Acts of the desk; a request for another one is refused.
const ACTS: [&str; 6] = [
    "parked:replay",
    "parked:discard",
    "parked:skip",
    "stopped:resume",
    "stuck:resume",
    "stuck:giveUp",
];
/// Lists of the desk: its path, the field that holds the entries, and the name for the page.
const LISTS: [(&str, &str, &str); 5] = [
    ("parked?limit=200", "keys", "parked"),
    ("stopped?limit=200", "keys", "stopped"),
    ("stuck?pageSize=200", "sagas", "stuck"),
    ("consumers", "consumers", "consumers"),
    ("acts?limit=50", "acts", "acts"),
];
/// Facts that are shown of one key.
const MAX_FACTS: usize = 100;

/// The desks of one mesh.
#[derive(Debug)]
pub(crate) struct Desks {
    pub(crate) gateway: Option<SocketAddr>,
    pub(crate) token: String,
    pub(crate) fetch: Fetch,
}

/// An act of the page: the service, the act, and the message for its desk.
#[derive(Debug, Deserialize)]
pub(crate) struct Act {
    service: String,
    act: String,
    message: Map<String, Value>,
}

/// A key whose facts shall be shown.
#[derive(Debug, Deserialize)]
pub(crate) struct ShownKey {
    service: String,
    /// `parked` or `stopped`.
    list: String,
    /// The consumer of a parked key, the context of a stopped one.
    scope: String,
    key: String,
}

/// Reason why the desks have no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeskError {
    #[error("this mesh has no gateway, which leads to the desks; start it without `--only`")]
    NoGateway,
    #[error("no act {0} at a desk")]
    UnknownAct(String),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the gateway answered with {0}")]
    Rejected(StatusCode, Value),
    #[error("unexpected answer of a desk: {0}")]
    Json(#[from] serde_json::Error),
}

// === impl Desks ===

impl Desks {
    /// Returns the lists of all services; a desk that does not answer is named among the problems.
    pub(crate) async fn lists(&self) -> Result<Value, DeskError> {
        let services: Vec<String> = serde_json::from_value(
            self.ask(Method::GET, "/-/processes", Bytes::new())
                .await?
                .get_mut("processes")
                .map_or(Value::Null, Value::take),
        )?;
        let mut found: Map<String, Value> = Map::new();
        for (_, _, name) in LISTS {
            found.insert(name.to_owned(), json!([]));
        }
        let mut problems = Vec::new();
        let desks = services.iter().map(|service| self.lists_of(service));
        for (service, lists) in services.iter().zip(futures::future::join_all(desks).await) {
            for (name, list) in lists {
                match (list, found.get_mut(name).and_then(Value::as_array_mut)) {
                    (Ok(entries), Some(all)) => all.extend(entries),
                    (Err(error), _) => problems.push(format!("{service}, {name}: {error}")),
                    _ => {}
                }
            }
        }
        found.insert("problems".to_owned(), json!(problems));
        Ok(found.into())
    }

    async fn lists_of(&self, service: &str) -> Vec<(&'static str, Result<Vec<Value>, DeskError>)> {
        let lists = LISTS.iter().map(|(path, field, name)| async move {
            let path = format!("/-/processes/{}/{path}", quoted(service));
            let list = match self.ask(Method::GET, &path, Bytes::new()).await {
                Ok(mut answer) => Ok(entries(&mut answer, field, service)),
                // A process without a desk.
                Err(DeskError::Rejected(StatusCode::NOT_FOUND, _)) => Ok(Vec::new()),
                Err(error) => Err(error),
            };
            (*name, list)
        });
        futures::future::join_all(lists).await
    }

    /// Carries an act out.
    pub(crate) async fn act(&self, act: Act) -> Result<Value, DeskError> {
        if !ACTS.contains(&act.act.as_str()) {
            return Err(DeskError::UnknownAct(act.act));
        }
        let path = format!("/-/processes/{}/{}", quoted(&act.service), act.act);
        let message = serde_json::to_vec(&act.message)?;
        self.ask(Method::POST, &path, message.into()).await
    }

    /// Shows the facts of a key with their payloads; the desk records that they were read.
    pub(crate) async fn show(&self, key: &ShownKey) -> Result<Value, DeskError> {
        let scope = match key.list.as_str() {
            "parked" => "consumer",
            "stopped" => "context",
            other => return Err(DeskError::UnknownAct(other.to_owned())),
        };
        let path = format!(
            "/-/processes/{}/{}/facts?{scope}={}&key={}&limit={MAX_FACTS}",
            quoted(&key.service),
            key.list,
            quoted(&key.scope),
            quoted(&key.key)
        );
        self.ask(Method::GET, &path, Bytes::new()).await
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Value, DeskError> {
        let gateway = self.gateway.ok_or(DeskError::NoGateway)?;
        let sent = self
            .fetch
            .send(method, gateway, path, Some(&self.token), body);
        let (status, body) = sent.await?;
        let answer = serde_json::from_slice(&body);
        if !status.is_success() {
            return Err(DeskError::Rejected(status, answer.unwrap_or_default()));
        }
        Ok(answer?)
    }
}

// === impl DeskError ===

impl DeskError {
    /// Returns status and sentence for the page.
    pub(crate) fn explained(&self) -> (StatusCode, String) {
        match self {
            Self::NoGateway => (StatusCode::SERVICE_UNAVAILABLE, self.to_string()),
            Self::UnknownAct(_) => (StatusCode::BAD_REQUEST, self.to_string()),
            Self::Fetch(_) | Self::Json(_) => (StatusCode::BAD_GATEWAY, self.to_string()),
            Self::Rejected(status, answer) => {
                let message = answer.get("message").and_then(Value::as_str);
                let message = message.map_or_else(|| self.to_string(), str::to_owned);
                // The token was right here: this must not make the page ask for it again.
                let status = match *status {
                    StatusCode::UNAUTHORIZED => StatusCode::BAD_GATEWAY,
                    status => status,
                };
                (status, message)
            }
        }
    }
}

/// Takes the entries of a list, each with the name of its service.
fn entries(answer: &mut Value, field: &str, service: &str) -> Vec<Value> {
    let list = answer.get_mut(field).map_or(Value::Null, Value::take);
    let Value::Array(mut list) = list else {
        return Vec::new();
    };
    for entry in list.iter_mut().filter_map(Value::as_object_mut) {
        entry.insert("service".to_owned(), service.into());
    }
    list
}

/// Returns a value as part of a path or a query.
fn quoted(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desks(gateway: Option<SocketAddr>) -> Desks {
        Desks {
            gateway,
            token: "secret".to_owned(),
            fetch: Fetch::new(),
        }
    }

    #[tokio::test]
    async fn an_act_that_no_desk_has_is_not_sent() {
        let act = Act {
            service: "orders".to_owned(),
            act: "../../v1/orders".to_owned(),
            message: Map::new(),
        };
        let refused = desks(None).act(act).await.unwrap_err();
        assert_eq!(refused.explained().0, StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn a_mesh_without_a_gateway_says_what_to_do() {
        let (status, message) = desks(None).lists().await.unwrap_err().explained();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(message.contains("without `--only`"), "{message}");
    }
}
