//! The table of addresses, and commands to try first.

use std::path::Path;

use crate::home::SECRETS;
use crate::project::{Engine, GATEWAY, NATS, POSTGRES, Project, VALKEY};
use crate::snapshot::Snapshot;
use crate::supervise::ProcessStatus;
use crate::ui;

/// Returns every process with address, health and restarts, and every database.
pub(super) fn table(project: &Project, snapshot: &Snapshot) -> String {
    let mut rows = vec![
        ["process", "address", "health", "restarts"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let order = [GATEWAY]
        .into_iter()
        .chain(
            project
                .services()
                .iter()
                .map(|service| service.name.as_str()),
        )
        .chain([NATS, VALKEY, POSTGRES]);
    for process in order.filter_map(|name| snapshot.processes.get(name)) {
        let health = match &process.detail {
            Some(detail) => format!("{} ({detail})", process.state.name()),
            None => process.state.name().to_owned(),
        };
        rows.push(vec![
            process.name.clone(),
            address(process),
            health,
            process.restarts.to_string(),
        ]);
    }
    if let Some(dashboard) = snapshot.dashboard {
        let row = ["dashboard", &format!("http://{dashboard}"), "", ""];
        rows.push(row.map(str::to_owned).to_vec());
    }
    if let Some(postgres) = snapshot.processes.get(POSTGRES) {
        let url = |service: &str| format!("postgres://{service}@{}/{service}", postgres.address);
        let users = project.users_of(Engine::Postgres);
        rows.extend(users.map(|service| vec![format!("  {service}"), url(service)]));
    }
    ui::table(&rows)
}

fn address(process: &ProcessStatus) -> String {
    match process.name.as_str() {
        NATS => format!("nats://{}", process.address),
        VALKEY => format!("redis://{}", process.address),
        POSTGRES => process.address.to_string(),
        _ => format!("http://{}", process.address),
    }
}

/// Returns the files of passwords and logs, and commands to try first.
pub(super) fn hints(project: &Project, snapshot: &Snapshot, dir: &Path) -> String {
    let mut text = format!(
        "passwords: {}   logs: {}\n",
        dir.join(SECRETS).display(),
        dir.join("logs").display()
    );
    if let Some(gateway) = snapshot.processes.get(GATEWAY) {
        let address = gateway.address.to_string();
        text += &format!("\nhttp://{address}/docs   http://{address}/openapi.json\n");
        if !project.first_steps().is_empty() {
            text += "\nTry:\n";
        }
        for step in project.first_steps() {
            text += &format!("  {}\n", step.replace("{gateway}", &address));
        }
    }
    text
}
