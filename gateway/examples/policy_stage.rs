//! A gateway with a policy stage of its own: it refuses every request that has the header
//! `x-blocked: 1`.
//!
//! ```sh
//! cargo run -p protomesh-gateway --example policy_stage -- --upstream http://127.0.0.1:50051
//! curl -H 'x-blocked: 1' http://127.0.0.1:8080/v1/…   # 403, PERMISSION_DENIED
//! ```

use std::process::ExitCode;

use chassis::error::Fault;
use gateway::{RequestInfo, Stage};
use tonic::{Code, Status};

/// Refuses requests by a header.
struct RefuseBlocked;

#[tonic::async_trait]
impl Stage for RefuseBlocked {
    async fn admit(&self, request: &RequestInfo<'_>) -> Result<(), Status> {
        let is_blocked = request
            .headers()
            .get("x-blocked")
            .is_some_and(|value| value == "1");
        match is_blocked {
            true => {
                Err(Fault::new(Code::PermissionDenied, "BLOCKED", "the client is blocked").into())
            }
            false => Ok(()),
        }
    }
}

/// The stages of this build, in the order in which they run.
pub(crate) fn stages() -> Vec<Box<dyn Stage>> {
    vec![Box::new(RefuseBlocked)]
}

fn main() -> ExitCode {
    chassis::main_of(&gateway::PROGRAM, |process, config| {
        gateway::start_with(process, config, stages())
    })
}
