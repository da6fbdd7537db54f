//! Starts the process.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::main_of(&connect::PROGRAM, connect::start)
}
