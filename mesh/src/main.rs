//! The `mesh` command; in this repository, `cargo mesh` runs it.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh::commands::main()
}
