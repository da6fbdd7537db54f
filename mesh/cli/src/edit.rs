//! Changes of files that belong to the user: what they wrote stays as it is.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use toml_edit::{Array, DocumentMut, Item, value};

/// Returns `mesh.toml` with one more service.
///
/// # Errors
/// When it is not valid, or has the service.
pub(crate) fn with_service(file: &Path, name: &str, table: &str) -> Result<String> {
    let (text, document) = read(file)?;
    let services = document.get("services").and_then(Item::as_table_like);
    if services.is_some_and(|services| services.contains_key(name)) {
        bail!(
            "{}: there is a [services.{name}] already; choose another name",
            file.display()
        );
    }
    Ok(format!("{}\n\n{table}", text.trim_end()))
}

/// Returns the manifest of a Cargo workspace with one more member; `None` if its members include
/// it.
///
/// # Errors
/// When it is not valid, or not that of a workspace.
pub(crate) fn with_member(file: &Path, member: &str) -> Result<Option<String>> {
    let (_, mut document) = read(file)?;
    let workspace = document.get_mut("workspace").and_then(Item::as_table_mut);
    let workspace = workspace.with_context(|| {
        format!(
            "{} has no [workspace], to which the service belongs",
            file.display()
        )
    })?;
    let members = workspace
        .entry("members")
        .or_insert_with(|| value(Array::new()));
    let Some(members) = members.as_array_mut() else {
        bail!("{}: workspace.members: expected an array", file.display());
    };
    let parent = member
        .rsplit_once('/')
        .map(|(parent, _)| format!("{parent}/*"));
    let includes = |known: &str| known == member || parent.as_deref() == Some(known);
    if members
        .iter()
        .filter_map(|known| known.as_str())
        .any(includes)
    {
        return Ok(None);
    }
    members.push(member);
    for known in members.iter_mut() {
        known.decor_mut().set_prefix("\n    ");
    }
    members.set_trailing("\n");
    members.set_trailing_comma(true);
    Ok(Some(document.to_string()))
}

fn read(file: &Path) -> Result<(String, DocumentMut)> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let document = text
        .parse()
        .with_context(|| format!("{} is not valid", file.display()))?;
    Ok((text, document))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_new_member_leaves_the_rest_as_it_was() {
        let before = "# Ours.\n[workspace]\nmembers = [\n    \"services/a\",\n]\n\n[profile.dev]\ndebug = 1 # why\n";
        let file = file(before);
        let after = with_member(file.path(), "services/b").unwrap().unwrap();
        let expected = before.replace(
            "    \"services/a\",\n",
            "    \"services/a\",\n    \"services/b\",\n",
        );
        assert_eq!(after, expected);
    }

    #[test]
    fn a_member_that_is_there_changes_nothing() {
        let file = file("[workspace]\nmembers = [\"services/*\"]\n");
        assert_eq!(with_member(file.path(), "services/b").unwrap(), None);
    }

    #[test]
    fn a_second_service_of_a_name_is_rejected() {
        let file = file("[services.a]\n");
        with_service(file.path(), "b", "[services.b]\n").unwrap();
        with_service(file.path(), "a", "[services.a]\n").unwrap_err();
    }
}
