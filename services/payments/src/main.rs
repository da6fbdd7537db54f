//! Starts the payments service.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::main("payments", payments::DEFAULTS, payments::start)
}
