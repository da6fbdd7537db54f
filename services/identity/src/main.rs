//! Starts the identity service.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::main("identity", identity::DEFAULTS, identity::start)
}
