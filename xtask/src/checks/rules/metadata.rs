//! The manifests of crates that ship: all that a registry asks for is there, in each of them.

use std::path::Path;

use crate::workspace::{Package, Published, is_fuzz, is_product};

/// Crates of the product that only its own tests use.
const FOR_TESTS: [&str; 2] = ["shared/hostile", "shared/samples"];
/// Files that a package of its own needs.
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// Returns whether a crate ships, by its place.
fn ships(place: &str) -> bool {
    is_product(place) && !is_fuzz(place) && !FOR_TESTS.contains(&place)
}

/// Returns what a crate lacks, or why it must not be published.
pub(super) fn problems(place: &str, package: &Package) -> Vec<String> {
    let ships = ships(place);
    let mut problems = lacks(&package.published, ships);
    if !ships {
        return problems;
    }
    if !package.name.starts_with("protomesh") {
        problems.push("its name does not begin with `protomesh`".to_owned());
    }
    let dir: &Path = package.dir();
    let missing = LICENCES.iter().filter(|file| !dir.join(file).is_file());
    problems.extend(missing.map(|file| format!("no {file}: link the one of the root")));
    let open = package.dependencies.iter().filter(|other| other.is_open());
    problems.extend(open.map(|other| {
        let path = other.path.as_deref().unwrap_or(Path::new(""));
        format!("a dependency without a version: {}", path.display())
    }));
    problems
}

fn lacks(published: &Published, ships: bool) -> Vec<String> {
    let is_published = published
        .publish
        .as_ref()
        .is_none_or(|allowed| !allowed.is_empty());
    if !ships {
        let problem = "does not ship and lacks `publish.workspace = true`".to_owned();
        return is_published.then_some(problem).into_iter().collect();
    }
    let fields = [
        ("description", published.description.is_some()),
        ("license", published.license.is_some()),
        ("readme", published.readme.is_some()),
        ("repository", published.repository.is_some()),
        ("rust-version", published.rust_version.is_some()),
        ("keywords", !published.keywords.is_empty()),
        ("categories", !published.categories.is_empty()),
        ("permission to be published", is_published),
    ];
    let missing = fields.into_iter().filter(|(_, is_set)| !is_set);
    missing
        .map(|(field, _)| format!("ships and lacks {field}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(json: &str) -> Published {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_crate_that_ships_has_every_field() {
        let whole = r#"{"publish": null, "description": "d", "license": "MIT", "readme": "README.md",
            "repository": "https://a.example", "rust_version": "1.95", "keywords": ["k"],
            "categories": ["c"]}"#;
        assert_eq!(lacks(&published(whole), true), [""; 0]);
        let part = published(&whole.replace(r#""license": "MIT","#, ""));
        assert_eq!(lacks(&part, true), ["ships and lacks license"]);
    }

    #[test]
    fn only_crates_that_ship_may_be_published() {
        assert_eq!(lacks(&published(r#"{"publish": []}"#), false), [""; 0]);
        assert_eq!(lacks(&published(r#"{"publish": null}"#), false).len(), 1);
        assert!(ships("shared/events") && ships("mesh/cli"));
        assert!(!ships("services/orders") && !ships("gateway/fuzz") && !ships(""));
    }
}
