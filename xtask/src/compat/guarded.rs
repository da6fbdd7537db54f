//! A gateway that protects a contract which can't be edited, by selectors of its configuration
//! alone.

use std::fmt;

use anyhow::Result;
use http::StatusCode;
use serde::Serialize;

use super::cases::Call;
use super::client::Sender;
use super::native;
use super::processes::{Side, Sides};
use super::server::{Built, Product};

/// The protection of a server.
#[derive(Debug)]
pub(super) struct Guarded {
    /// The gateway's configuration.
    pub(super) configuration: &'static str,
    /// The token with which the server's own client may do everything.
    pub(super) token: &'static str,
    /// Calls in their order: method, path, token, and the status and reason that they end with.
    pub(super) calls: &'static [(&'static str, &'static str, &'static str, u16, &'static str)],
}

/// The outcome of the calls.
#[derive(Debug, Serialize)]
pub(super) struct GuardedResult {
    calls: usize,
    pub(super) problems: Vec<String>,
}

/// Runs the server's own client with a token, which must end as without protection, and without a
/// token; then the calls.
///
/// # Errors
/// When a command cannot start, or a call has no answer.
pub(super) async fn run(
    product: &Product,
    built: &Built,
    processes: &Sides,
    guarded: &Guarded,
) -> Result<GuardedResult> {
    let mut problems = Vec::new();
    for command in product.script {
        let bare = native::end(product, built, processes, Side::Ours, command).await?;
        let with_token = [*command, &[guarded.token]].concat();
        let ours = native::end(product, built, processes, Side::Guarded, &with_token).await?;
        if bare != ours {
            problems.push(format!(
                "{} with a token\n    bare       {bare}\n    protected  {ours}",
                command.join(" ")
            ));
        }
        let anonymous = native::end(product, built, processes, Side::Guarded, command).await?;
        if !anonymous.contains("CREDENTIALS_REQUIRED") {
            let command = command.join(" ");
            problems.push(format!("{command} without a token: {anonymous}"));
        }
    }
    let sender = Sender::new(processes.http(Side::Guarded));
    for (method, path, token, status, reason) in guarded.calls {
        let mut call = Call::probe(path);
        call.method = (*method).to_owned();
        if *method == "POST" {
            call.body = Some("{}".to_owned());
        }
        if !token.is_empty() {
            let credential = ("authorization".to_owned(), format!("Bearer {token}"));
            call.headers.push(credential);
        }
        let reply = sender.send(&call).await?;
        let said = serde_json::to_string(&reply.values)?;
        let is_right = StatusCode::from_u16(*status).is_ok_and(|status| status == reply.status)
            && said.contains(reason);
        if !is_right {
            let found = reply.status;
            problems.push(format!(
                "{method} {path} with {token:?}: {found} {said}, not {status} {reason}"
            ));
        }
    }
    Ok(GuardedResult {
        calls: guarded.calls.len(),
        problems,
    })
}

impl fmt::Display for GuardedResult {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, problems } = self;
        let failed = problems.len();
        write!(
            formatter,
            "protected by selectors: the client with a token, without one, {calls} calls; {failed} wrong"
        )
    }
}
