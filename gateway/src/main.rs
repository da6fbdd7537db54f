//! Starts the process.

fn main() -> std::process::ExitCode {
    chassis::main_with_flags("gateway", gateway::DEFAULTS, gateway::FLAGS, gateway::start)
}
