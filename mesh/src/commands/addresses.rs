//! The table of addresses, and what to try first.

use std::path::Path;

use crate::home::SECRETS;
use crate::services::{FIRST_STEPS, GATEWAY, NATS, POSTGRES, SERVICES};
use crate::snapshot::Snapshot;
use crate::supervise::ProcessStatus;
use crate::ui;

/// Every process with its address, health and restarts, and every database.
pub(super) fn table(snapshot: &Snapshot) -> String {
    let mut rows = vec![
        ["process", "address", "health", "restarts"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let order = [GATEWAY]
        .into_iter()
        .chain(SERVICES.iter().map(|service| service.name))
        .chain([NATS, POSTGRES]);
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
    if let Some(postgres) = snapshot.processes.get(POSTGRES) {
        let url = |service: &str| format!("postgres://{service}@{}/{service}", postgres.address);
        rows.extend(
            SERVICES
                .iter()
                .map(|service| vec![format!("  {}", service.name), url(service.name)]),
        );
    }
    ui::table(&rows)
}

fn address(process: &ProcessStatus) -> String {
    match process.name.as_str() {
        NATS => format!("nats://{}", process.address),
        POSTGRES => process.address.to_string(),
        _ => format!("http://{}", process.address),
    }
}

/// Where passwords and logs are, and the first three things to try.
pub(super) fn hints(snapshot: &Snapshot, dir: &Path) -> String {
    let mut text = format!(
        "passwords: {}   logs: {}\n",
        dir.join(SECRETS).display(),
        dir.join("logs").display()
    );
    if let Some(gateway) = snapshot.processes.get(GATEWAY) {
        let address = gateway.address.to_string();
        text += "\nTry:\n";
        for step in FIRST_STEPS {
            text += &format!("  {}\n", step.replace("{gateway}", &address));
        }
    }
    text
}
