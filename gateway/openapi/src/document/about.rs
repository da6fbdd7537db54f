//! Title and version of a document: those that are given, or else the packages'.

use super::Document;
use crate::value::Object;

/// Packages that a title names.
const MAX_NAMES: usize = 4;

impl Document<'_> {
    /// Returns the member `info`.
    pub(super) fn about(&self) -> Object {
        let chosen = &self.info.services;
        let services = self.pool.services.iter().map(|service| &*service.name);
        let services =
            services.filter(|name| chosen.is_empty() || chosen.iter().any(|known| known == name));
        let packages = packages(services);
        let title = match &*self.info.title {
            "" => title(&packages),
            title => title.to_owned(),
        };
        let version = match &*self.info.version {
            "" => version(&packages),
            version => version.to_owned(),
        };
        let mut about = Object::new().with("title", title).with("version", version);
        about.set_text("description", &self.info.description);
        about
    }
}

/// Returns the name of an API that has these services: the names of their packages.
pub fn title_of<'s>(services: impl Iterator<Item = &'s str>) -> String {
    title(&packages(services))
}

fn packages<'s>(services: impl Iterator<Item = &'s str>) -> Vec<&'s str> {
    let mut packages: Vec<&str> = Vec::new();
    for service in services {
        let package = service.rsplit_once('.').map_or("", |(package, _)| package);
        if !packages.contains(&package) {
            packages.push(package);
        }
    }
    packages
}

/// Returns the names of packages: `Orders, payments and shipping`.
fn title(packages: &[&str]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for package in packages {
        let mut parts = package.split('.').rev().filter(|part| !is_version(part));
        let name = parts.next().unwrap_or_default();
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    let more = names.len().saturating_sub(MAX_NAMES);
    names.truncate(MAX_NAMES);
    let text = match (names.as_slice(), more) {
        ([], _) => "API".to_owned(),
        ([only], _) => (*only).to_owned(),
        ([first @ .., last], 0) => format!("{} and {last}", first.join(", ")),
        (names, more) => format!("{} and {more} more", names.join(", ")),
    };
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase());
    first.into_iter().flatten().chain(characters).collect()
}

/// Returns the version that the packages share.
fn version(packages: &[&str]) -> String {
    let mut versions = packages.iter().map(|package| {
        let last = package.rsplit('.').next();
        last.filter(|last| is_version(last))
    });
    let first = versions.next().flatten();
    match first.filter(|first| versions.all(|other| other == Some(first))) {
        Some(version) => version.to_owned(),
        None => "1".to_owned(),
    }
}

/// Returns whether a part of a package is a version: `v1`, `v1beta2`.
fn is_version(part: &str) -> bool {
    let digits = part.strip_prefix('v').unwrap_or_default();
    digits.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_names_the_packages() {
        for (packages, expected) in [
            (&["shop.orders.v1"][..], "Orders"),
            (&["orders.v1", "payments.v1"], "Orders and payments"),
            (
                &["a.v1", "b.v1", "c.v1", "d.v1", "e.v1", "f.v2"],
                "A, b, c, d and 2 more",
            ),
            (&["orders.v1", "orders.v2"], "Orders"),
            (&[""], "API"),
        ] {
            assert_eq!(title(packages), expected);
        }
    }

    #[test]
    fn a_version_is_the_one_of_all_packages() {
        assert_eq!(version(&["a.v1", "b.v1"]), "v1");
        assert_eq!(version(&["a.v1", "b.v2"]), "1");
        assert_eq!(version(&["a", "b.v2"]), "1");
        assert_eq!(version(&["a.v1beta1"]), "v1beta1");
    }
}
