//! `cargo xtask modules`: the modules of every crate from bottom to top, with their arrows, and the
//! rules about both.

mod graph;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use mesh::home::Home;
use mesh::ui;

use crate::workspace::{Package, Workspace, is_fuzz, is_gateway, is_product, is_shared, source};
use graph::Graph;

/// Most top-level modules of a crate.
const MAX_MODULES: usize = 12;
const MAX_MODULES_TRANSCODER: usize = 16;
/// Most lines of a crate without its tests.
const MAX_LINES_SHARED: usize = 6_000;
const MAX_LINES_GATEWAY: usize = 15_000;

/// The bounds of one crate.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    modules: usize,
    lines: Option<usize>,
}

/// Prints all crates; exits with 1 when one breaks a rule.
pub(crate) fn modules() -> Result<ExitCode> {
    let workspace = Workspace::load(&Home::find()?)?;
    let mut problems = layers(&workspace);
    for package in &workspace.packages {
        let place = workspace.place(package);
        let bounds = Bounds::of(place);
        let Some(order) = package.module_order() else {
            problems.extend(without_order(place, package)?);
            continue;
        };
        let graph = Graph::read(&package.dir().join("src"))?;
        ui::print(format!(
            "{place} ({} lines)\n{}",
            graph.lines,
            graph.show(order)
        ));
        let found = graph.problems(order, bounds.modules);
        problems.extend(
            found
                .into_iter()
                .map(|problem| format!("{place}: {problem}")),
        );
        problems.extend(bounds.check(place, graph.lines));
    }
    for problem in &problems {
        ui::print_error(&anyhow::anyhow!("{problem}"));
    }
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A crate with one module has nothing to order; one that is not part of product or mesh needn't.
fn without_order(place: &str, package: &Package) -> Result<Option<String>> {
    let must = (is_product(place) || place.starts_with("services/")) && !is_fuzz(place);
    let src: &Path = &package.dir().join("src");
    if !must || source::modules(src)?.len() < 2 {
        return Ok(None);
    }
    Ok(Some(format!(
        "{place}: Cargo.toml has no `[package.metadata.modules] order`"
    )))
}

impl Bounds {
    fn of(place: &str) -> Self {
        Self {
            modules: if place == "gateway/transcoder" {
                MAX_MODULES_TRANSCODER
            } else {
                MAX_MODULES
            },
            lines: match place {
                "gateway" => Some(MAX_LINES_GATEWAY),
                _ if is_shared(place) => Some(MAX_LINES_SHARED),
                _ => None,
            },
        }
    }

    fn check(self, place: &str, lines: usize) -> Option<String> {
        let most = self.lines.filter(|most| lines > *most)?;
        Some(format!(
            "{place}: {lines} lines without tests; at most {most}"
        ))
    }
}

/// Crates that a service never links, directly or through others.
fn is_foreign_to_services(place: &str) -> bool {
    is_gateway(place) || place == "shared/compatibility"
}

/// Returns every dependency that points the wrong way: `shared` knows no gateway, the product no
/// example, and a service links nothing that only the gateway needs.
pub(crate) fn layers(workspace: &Workspace) -> Vec<String> {
    let mut problems = Vec::new();
    for package in &workspace.packages {
        let place = workspace.place(package);
        for other in workspace.dependencies(package, true) {
            let target = workspace.place(other);
            if is_product(place) && !is_product(target) {
                problems.push(format!(
                    "{place} depends on {}, which is not of the product",
                    other.name
                ));
            }
        }
        for other in workspace.dependencies(package, false) {
            if is_shared(place) && is_gateway(workspace.place(other)) {
                problems.push(format!(
                    "{place} depends on {}, which is of the gateway",
                    other.name
                ));
            }
        }
        if place.starts_with("services/") {
            let linked = workspace.linked(package);
            let foreign = linked.iter().map(|other| workspace.place(other));
            problems.extend(
                foreign
                    .filter(|other| is_foreign_to_services(other))
                    .map(|other| format!("{place} links {other}, which only the gateway needs")),
            );
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(packages: &[(&str, &str)]) -> Workspace {
        let packages: Vec<_> = packages
            .iter()
            .map(|(place, dependencies)| {
                let (_, name) = place.rsplit_once('/').unwrap_or(("", place));
                format!(
                    r#"{{"name": "{name}", "manifest_path": "/w/{place}/Cargo.toml", "metadata": null, "dependencies": [{dependencies}]}}"#
                )
            })
            .collect();
        let text = format!(
            r#"{{"workspace_root": "/w", "packages": [{}]}}"#,
            packages.join(", ")
        );
        Workspace::parse(&text).unwrap()
    }

    #[test]
    fn dependencies_that_point_down_are_fine() {
        let workspace = workspace(&[
            ("protos", r#"{"path": "/w/shared/contract", "kind": null}"#),
            ("shared/contract", r#"{"path": null, "kind": null}"#),
            (
                "shared/chassis",
                r#"{"path": "/w/gateway/transcoder", "kind": "dev"}"#,
            ),
            (
                "gateway/transcoder",
                r#"{"path": "/w/shared/contract", "kind": "build"}"#,
            ),
            ("services/orders", r#"{"path": "/w/protos", "kind": null}"#),
        ]);
        assert_eq!(layers(&workspace), [""; 0]);
    }

    #[test]
    fn shared_must_not_depend_on_the_gateway_nor_the_product_on_the_example() {
        let workspace = workspace(&[
            ("protos", ""),
            (
                "shared/codegen",
                r#"{"path": "/w/gateway/transcoder", "kind": "build"}"#,
            ),
            ("gateway", r#"{"path": "/w/protos", "kind": null}"#),
            ("gateway/transcoder", ""),
            ("mesh", r#"{"path": "/w/protos", "kind": "dev"}"#),
        ]);
        assert_eq!(
            layers(&workspace),
            [
                "gateway depends on protos, which is not of the product",
                "mesh depends on protos, which is not of the product",
                "shared/codegen depends on transcoder, which is of the gateway",
            ]
        );
    }

    #[test]
    fn a_service_must_not_link_what_only_the_gateway_needs() {
        let workspace = workspace(&[
            (
                "services/orders",
                r#"{"path": "/w/shared/chassis", "kind": null}, {"path": "/w/gateway", "kind": "dev"}"#,
            ),
            (
                "shared/chassis",
                r#"{"path": "/w/shared/compatibility", "kind": null}"#,
            ),
            ("shared/compatibility", ""),
            ("gateway", ""),
        ]);
        assert_eq!(
            layers(&workspace),
            ["services/orders links shared/compatibility, which only the gateway needs"]
        );
    }

    #[test]
    fn crates_have_bounds() {
        assert!(
            Bounds::of("shared/chassis")
                .check("shared/chassis", 6_001)
                .is_some()
        );
        assert!(Bounds::of("gateway").check("gateway", 15_000).is_none());
        assert!(
            Bounds::of("services/orders")
                .check("services/orders", 100_000)
                .is_none()
        );
        assert_eq!(Bounds::of("gateway/transcoder").modules, 16);
    }
}
