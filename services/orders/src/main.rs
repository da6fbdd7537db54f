//! Starts the orders service.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::main("orders", orders::DEFAULTS, orders::start)
}
