//! Prometheus in a stack: the profile `observability`.

use super::OPERATORS_PORT;
use crate::project::Project;

/// The image: a release with long support.
const IMAGE: &str = "prom/prometheus:v3.5.0";
/// Its configuration, relative to the project.
pub(super) const FILE: &str = "deploy/prometheus.yaml";
/// Rules of a project, relative to it.
const ALERTS: &str = "deploy/alerts";

/// Returns the configuration: each process by all addresses of its name, so that several instances
/// are found, too. The job has the name of the process, as the rules expect it.
pub(super) fn configuration(project: &Project) -> String {
    let mut text = "# Written by `mesh compose`.\n\
        global: {scrape_interval: 10s, evaluation_interval: 10s}\n\
        rule_files: [/etc/prometheus/alerts/*.rules.yaml]\n\
        scrape_configs:\n"
        .to_owned();
    for name in measured(project) {
        text += &format!(
            "  - job_name: {name}\n    \
             dns_sd_configs: [{{names: [{name}], type: A, port: {OPERATORS_PORT}, refresh_interval: 10s}}]\n"
        );
    }
    text
}

/// Returns the container.
pub(super) fn container(project: &Project) -> String {
    let alerts = match project.root().join(ALERTS).is_dir() {
        true => format!(", \"./{ALERTS}:/etc/prometheus/alerts:ro\""),
        false => String::new(),
    };
    format!(
        r#"
  prometheus:
    <<: *engine
    profiles: [observability]
    image: {IMAGE}
    command: [--config.file=/etc/prometheus/mesh.yaml, --storage.tsdb.path=/prometheus, --storage.tsdb.retention.time=7d]
    configs: [{{source: prometheus, target: /etc/prometheus/mesh.yaml}}]
    ports: ["${{PROMETHEUS:-127.0.0.1:9090}}:9090"]
    volumes: ["prometheus:/prometheus"{alerts}]
"#
    )
}

/// Returns the processes that show metrics: those of the chassis.
fn measured(project: &Project) -> impl Iterator<Item = &str> {
    project.names().filter(|name| {
        let service = project.service(name);
        service.is_none_or(|service| service.package().is_some())
    })
}
