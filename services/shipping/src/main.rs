//! Starts the shipping service.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::main("shipping", shipping::DEFAULTS, shipping::start)
}
