//! Starts the inventory service.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::main("inventory", inventory::DEFAULTS, inventory::start)
}
