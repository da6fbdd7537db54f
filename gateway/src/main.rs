//! Starts the process.

/// A request is some fifty small allocations, most of them freed by the thread that made them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    chassis::main_of(&gateway::PROGRAM, gateway::start)
}
