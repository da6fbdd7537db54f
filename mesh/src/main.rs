//! The `mesh` command; run it as `cargo mesh`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh::commands::main()
}
