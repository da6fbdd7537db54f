//! The token by which `mesh` acts as an operator: made at each start, readable by its user only.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::secrets::{password, write_private};

/// The file in the directory of a mesh, as the configuration key `operator_tokens` expects it.
const FILE: &str = "operators";
/// The operator's name, which the audit shows.
pub(crate) const NAME: &str = "mesh";

/// Returns the file of the token.
pub(crate) fn file(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Makes a new token.
pub(super) fn create(dir: &Path) -> Result<()> {
    write_private(&file(dir), &format!("{NAME} {}\n", password()))
}

/// Reads the token.
pub(crate) fn load(dir: &Path) -> Result<String> {
    let file = file(dir);
    let text = std::fs::read_to_string(&file);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    let token = text.trim_end().split_once(' ').map(|(_, token)| token);
    let token = token.with_context(|| format!("{} holds no token", file.display()))?;
    Ok(token.to_owned())
}
