//! `mesh explain`: route and bindings of a request, and why the other routes do not match.

use std::fmt::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use crate::client::Client;
use crate::home::Home;
use crate::project::GATEWAY;
use crate::snapshot::Snapshot;
use crate::ui;

/// Most other routes in the text output; `--json` has more.
const OTHERS_MAX: usize = 10;

/// The arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// HTTP method
    method: String,
    /// Path, with its query
    path: String,
    /// Also decide whether this caller may call: a subject, with `role=`, `scope=`, `tenant=` and
    /// `issuer=`, separated by commas; `-` is a caller without a credential
    #[arg(
        long = "as",
        value_name = "SUBJECT[,role=ROLE]",
        allow_hyphen_values = true
    )]
    caller: Option<String>,
    /// Address of a gateway, as host:port; without it, the mesh's own (with `admin_listen`, that
    /// one)
    #[arg(long, value_name = "ADDR")]
    gateway: Option<String>,
    /// Environment of mesh.toml whose gateway is asked
    #[arg(long = "env", value_name = "NAME", conflicts_with = "gateway")]
    environment: Option<String>,
    /// Print the gateway's response as JSON
    #[arg(long)]
    json: bool,
}

/// Part of the gateway's response that the text output shows.
#[derive(Debug, Deserialize)]
struct Explanation {
    problem: Option<String>,
    route: Option<Route>,
    bindings: Vec<Binding>,
    #[serde(default)]
    fields: Vec<Field>,
    binding_problem: Option<String>,
    policies: Option<serde_json::Map<String, Value>>,
    others: Vec<Other>,
    others_left_out: usize,
}

#[derive(Debug, Deserialize)]
struct Route {
    method: String,
    template: String,
    rpc_method: String,
    kind: String,
    request: String,
    response: String,
    body: Option<String>,
    response_body: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Binding {
    field: String,
    value: String,
    source: String,
}

#[derive(Debug, Deserialize)]
struct Field {
    message: String,
    field: String,
    class: String,
}

#[derive(Debug, Deserialize)]
struct Other {
    method: String,
    template: String,
    why: String,
}

/// Exits with 1 when no route matches, or the caller that it asks about may not call.
pub(super) async fn explain(args: Args) -> Result<ExitCode> {
    let address = gateway(args.gateway.as_deref(), args.environment.as_deref()).await?;
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let caller = args.caller.as_deref();
    let caller = caller.map(|caller| format!("&as={}", encoded(caller)));
    let asked = format!(
        "/-/explain?method={}&path={}{}",
        encoded(&args.method.to_ascii_uppercase()),
        encoded(&args.path),
        caller.unwrap_or_default()
    );
    let told: Value = Client::new(address)
        .get(&asked)
        .await
        .context("the gateway answers on its own machine or on its `admin_listen` only")?;
    let answer = Explanation::deserialize(&told).context("unexpected response of the gateway")?;
    if args.json {
        ui::print(serde_json::to_string_pretty(&told)?);
    } else {
        ui::print(answer.text().trim_end());
    }
    Ok(match answer.problem.is_none() && !answer.is_denied() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Returns the address of a gateway: the given one, that of an environment, or the mesh's own.
pub(super) async fn gateway(given: Option<&str>, environment: Option<&str>) -> Result<SocketAddr> {
    match (given, environment) {
        (Some(address), _) => resolve(address).await,
        (None, Some(name)) => {
            let home = Home::find()?;
            resolve(&home.project().environment(name)?.gateway).await
        }
        (None, None) => of_mesh(),
    }
}

pub(super) async fn resolve(gateway: &str) -> Result<SocketAddr> {
    let mut addresses = tokio::net::lookup_host(gateway)
        .await
        .with_context(|| format!("`{gateway}` is not an address such as 127.0.0.1:8080"))?;
    addresses
        .next()
        .with_context(|| format!("`{gateway}` has no address"))
}

fn of_mesh() -> Result<SocketAddr> {
    let home = Home::find()?;
    let snapshot = Snapshot::load(&home.mesh()).filter(|mesh| mesh.supervisor.is_alive());
    let snapshot =
        snapshot.context("the mesh is not up; `--gateway ADDR` names another gateway")?;
    let gateway = snapshot.processes.get(GATEWAY);
    Ok(gateway
        .context("the mesh that is up has no gateway")?
        .address)
}

// === impl Explanation ===

impl Explanation {
    fn is_denied(&self) -> bool {
        let decision = self.policies.as_ref().and_then(|own| own.get("decision"));
        let decision = decision.and_then(Value::as_str);
        decision.is_some_and(|decision| !decision.starts_with("ALLOWED"))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if let Some(route) = &self.route {
            route.write(&mut text);
        }
        if let Some(problem) = &self.problem {
            let _ = writeln!(text, "✗ {problem}");
        }
        self.write_bindings(&mut text);
        for (name, value) in self.policies.iter().flatten() {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            let _ = writeln!(text, "  {:<18} {value}", name.replace('_', " "));
        }
        self.write_fields(&mut text);
        self.write_others(&mut text);
        text
    }

    fn write_bindings(&self, text: &mut String) {
        if let Some(problem) = &self.binding_problem {
            let _ = writeln!(text, "✗ {problem}");
        }
        let rows: Vec<Vec<String>> = self.bindings.iter().map(Binding::row).collect();
        if !rows.is_empty() {
            let header = ["field", "value", "from"].map(str::to_owned).to_vec();
            let table = ui::table(&[vec![header], rows].concat());
            let _ = writeln!(text, "\n{table}\n");
        }
    }

    fn write_fields(&self, text: &mut String) {
        let rows = self.fields.iter();
        let rows = rows.map(|row| {
            [&row.message, &row.field, &row.class]
                .map(String::clone)
                .to_vec()
        });
        let rows: Vec<Vec<String>> = rows.collect();
        if !rows.is_empty() {
            let header = ["message", "field", "class"].map(str::to_owned).to_vec();
            let table = ui::table(&[vec![header], rows].concat());
            let _ = writeln!(text, "\n{table}");
        }
    }

    fn write_others(&self, text: &mut String) {
        if self.others.is_empty() {
            return;
        }
        let _ = writeln!(text, "\nwhy not");
        let shown = self.others.iter().take(OTHERS_MAX);
        for other in shown {
            let _ = writeln!(
                text,
                "  {} {}\n      {}",
                other.method, other.template, other.why
            );
        }
        let left_out = self.others.len().saturating_sub(OTHERS_MAX) + self.others_left_out;
        if left_out > 0 {
            let _ = writeln!(text, "  and {left_out} less similar ones");
        }
    }
}

impl Route {
    fn write(&self, text: &mut String) {
        let Self {
            method,
            template,
            rpc_method,
            kind,
            request,
            response,
            ..
        } = self;
        let _ = writeln!(text, "✓ {method} {template}");
        let _ = writeln!(text, "  {:<18} {rpc_method} ({kind})", "calls");
        let _ = writeln!(text, "  {:<18} {request} → {response}", "messages");
        let body = match self.body.as_deref() {
            None => "is not used".to_owned(),
            Some("*") => "becomes the rest of the message".to_owned(),
            Some(field) => format!("becomes `{field}`"),
        };
        let _ = writeln!(text, "  {:<18} {body}", "body");
        if let Some(field) = &self.response_body {
            let _ = writeln!(text, "  {:<18} is `{field}`", "response");
        }
    }
}

impl Binding {
    fn row(&self) -> Vec<String> {
        vec![self.field.clone(), self.value.clone(), self.source.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_in_lines() {
        let told = serde_json::json!({
            "route": {
                "method": "GET", "template": "/v1/orders/{id}", "rpc_method": "orders.v1.OrderService/GetOrder",
                "kind": "unary", "request": "orders.v1.GetOrderRequest", "response": "orders.v1.Order",
                "body": null, "response_body": null,
            },
            "bindings": [{"field": "id", "value": "42", "source": "path"}],
            "fields": [{"message": "request", "field": "id", "class": "personal"}],
            "policies": {"upstream": "http://127.0.0.1:1", "max_body_bytes": 10},
            "others": [{"method": "GET", "template": "/v1/items/{id}", "why": "segment 2 differs"}],
            "others_left_out": 3,
        });
        let answer = Explanation::deserialize(told).unwrap();
        assert_eq!(
            answer.text(),
            "✓ GET /v1/orders/{id}\n\
             \x20 calls              orders.v1.OrderService/GetOrder (unary)\n\
             \x20 messages           orders.v1.GetOrderRequest → orders.v1.Order\n\
             \x20 body               is not used\n\
             \nfield  value  from\nid     42     path\n\n\
             \x20 max body bytes     10\n\
             \x20 upstream           http://127.0.0.1:1\n\
             \nmessage  field  class\nrequest  id     personal\n\
             \nwhy not\n  GET /v1/items/{id}\n      segment 2 differs\n  and 3 less similar ones\n"
        );
    }

    #[test]
    fn a_request_that_nothing_takes_says_so_first() {
        let told = serde_json::json!({
            "problem": "no route matches the path", "bindings": [], "others": [], "others_left_out": 0,
        });
        let answer = Explanation::deserialize(told).unwrap();
        assert_eq!(answer.text(), "✗ no route matches the path\n");
    }
}
