//! Starts the service.

use std::process::ExitCode;

fn main() -> ExitCode {
    protomesh::main("{{name}}", {{name}}::DEFAULTS, {{name}}::start)
}
