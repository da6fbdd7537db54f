//! Starts the ingest service.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::main("ingest", ingest::DEFAULTS, ingest::start)
}
