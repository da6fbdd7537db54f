//! The requests of a suite, with variables that later requests take from earlier answers.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::client::{Reply, Sender};

/// The requests for one server.
#[derive(Debug, Deserialize)]
pub(super) struct Calls {
    /// Headers of all requests.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// JSON keys whose values differ between two runs of the same server.
    volatile: Vec<String>,
    pub(super) cases: Vec<Exchange>,
    /// Whether no request is left out.
    #[serde(skip)]
    pub(super) whole: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    pub(super) name: String,
    /// Method and target: `GET /stores?page_size=1`.
    send: String,
    /// Headers; `null` leaves one of the suite out.
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    /// The body as JSON.
    json: Option<Value>,
    /// The body as text, instead.
    body: Option<String>,
    /// Variables from the answer, as JSON pointers.
    #[serde(default)]
    save: BTreeMap<String, String>,
    /// Ends an endless stream after this number of lines.
    lines: Option<usize>,
    /// Whether lists and streams of the answer have no order.
    #[serde(default)]
    pub(super) unordered: bool,
    #[serde(skip)]
    pub(super) volatile: Vec<String>,
}

/// One request, ready to be sent.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<String>,
    pub(super) lines: Option<usize>,
}

impl Calls {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut suite: Self = serde_json::from_str(text).context("the requests are malformed")?;
        for case in &mut suite.cases {
            case.volatile.clone_from(&suite.volatile);
        }
        suite.whole = true;
        Ok(suite)
    }

    /// Leaves out all requests whose names do not contain the text.
    pub(super) fn only(mut self, text: Option<&str>) -> Self {
        if let Some(text) = text {
            self.cases
                .retain(|case| case.name.contains(text) || !case.save.is_empty());
            self.whole = false;
        }
        self
    }

    /// Sends all requests in their order.
    ///
    /// # Errors
    /// When an answer cannot be read to its end.
    pub(super) async fn run(&self, client: &Sender) -> Result<Vec<Reply>> {
        let mut variables = BTreeMap::new();
        let mut answers = Vec::new();
        for case in &self.cases {
            let request = case.request(&self.headers, &variables);
            let mut answer = match client.send(&request).await {
                Ok(answer) => answer,
                Err(error) => Reply::failed(&format!("{error:#}")),
            };
            for (name, pointer) in &case.save {
                let found = answer
                    .values
                    .first()
                    .and_then(|value| value.pointer(pointer));
                let found = found.with_context(|| {
                    format!(
                        "{}: no {pointer} in {} {:?}",
                        case.name, answer.status, answer.values
                    )
                })?;
                let text = found
                    .as_str()
                    .map_or_else(|| found.to_string(), str::to_owned);
                variables.insert(name.clone(), text);
            }
            answer.name_variables(&variables);
            answers.push(answer);
        }
        Ok(answers)
    }
}

impl Exchange {
    fn request(
        &self,
        shared: &BTreeMap<String, String>,
        variables: &BTreeMap<String, String>,
    ) -> Call {
        let fill = |text: &str| {
            variables
                .iter()
                .fold(text.to_owned(), |text, (name, value)| {
                    text.replace(&format!("{{{{{name}}}}}"), value)
                })
        };
        let (method, target) = self.send.split_once(' ').unwrap_or(("GET", &self.send));
        let mut headers: BTreeMap<String, String> = shared.clone();
        let body = self.json.as_ref().map(Value::to_string);
        let body = body.or_else(|| self.body.clone()).map(|body| fill(&body));
        if body.is_some() {
            headers.insert("content-type".to_owned(), "application/json".to_owned());
        }
        for (name, value) in &self.headers {
            match value {
                Some(value) => headers.insert(name.clone(), fill(value)),
                None => headers.remove(name),
            };
        }
        Call {
            method: method.to_owned(),
            target: fill(target),
            headers: headers.into_iter().collect(),
            body,
            lines: self.lines,
        }
    }
}

impl Call {
    pub(super) fn probe(path: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            target: path.to_owned(),
            headers: Vec::new(),
            body: None,
            lines: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_is_whole_and_each_request_has_a_name() {
        for product in [
            super::super::openfga::PRODUCT,
            super::super::spicedb::PRODUCT,
            super::super::etcd::PRODUCT,
        ] {
            let suite = Calls::parse(product.cases).unwrap();
            let names: std::collections::BTreeSet<_> =
                suite.cases.iter().map(|case| &case.name).collect();
            assert_eq!(names.len(), suite.cases.len(), "{}", product.name);
            assert!(
                names.len() >= super::super::LEAST_REQUESTS,
                "{}",
                product.name
            );
        }
    }
}
