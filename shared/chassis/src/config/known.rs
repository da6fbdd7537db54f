//! Keys and variables that a process does not have. A typing error would silently be a default, so
//! each is refused, with the known one that it resembles.

use std::collections::BTreeMap;
use std::path::Path;

use config::{Value, ValueKind};
use rpc::config::ConfigError;

use super::{ENVIRONMENT_PREFIX, FILE_VARIABLE, find, leaves, variable_key};

/// Checks that the file of `--config` is there.
pub(super) fn find_file(path: &Path) -> Result<(), ConfigError> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(unreadable(path, "not a file")),
        Err(error) => Err(unreadable(path, &error.to_string())),
    }
}

fn unreadable(path: &Path, problem: &str) -> ConfigError {
    let origin = format!("`--config` or {FILE_VARIABLE}");
    let problem = format!("can't read the file {}: {problem}", path.display());
    ConfigError::new("--config", problem, origin)
}

/// Checks the keys of a file.
pub(super) fn check_file(given: &Value, known: &Value, path: &Path) -> Result<(), ConfigError> {
    check_table(given, known, known, "", path)
}

fn check_table(
    given: &Value,
    known: &Value,
    root: &Value,
    prefix: &str,
    path: &Path,
) -> Result<(), ConfigError> {
    let (ValueKind::Table(given), ValueKind::Table(known)) = (&given.kind, &known.kind) else {
        return Ok(());
    };
    // A table without documented keys is free-form, for example a map of names to addresses.
    if known.is_empty() {
        return Ok(());
    }
    for (name, value) in given {
        let key = format!("{prefix}{name}");
        let Some(default) = known.get(name) else {
            let problem = match nearest(&key, root) {
                Some(nearest) => format!("unknown key; did you mean `{nearest}`?"),
                None => "unknown key".to_owned(),
            };
            return Err(ConfigError::new(key, problem, path.display().to_string()));
        };
        check_table(value, default, root, &format!("{key}."), path)?;
    }
    Ok(())
}

/// Checks that every variable with the prefix sets a key.
pub(super) fn check_variables(
    environment: &[(String, String)],
    known: &Value,
) -> Result<(), ConfigError> {
    for (name, value) in environment {
        let is_ours = name.starts_with(ENVIRONMENT_PREFIX) && name != FILE_VARIABLE;
        if !is_ours || is_service_link(name, value) {
            continue;
        }
        let key = variable_key(name);
        if key.as_deref().is_some_and(|key| has(known, key)) {
            continue;
        }
        let key = key.unwrap_or_else(|| name.clone());
        let problem = match nearest(&key, known) {
            Some(nearest) => format!("unknown variable; did you mean `{}`?", variable(&nearest)),
            None => "unknown variable; `--help` lists those of this program".to_owned(),
        };
        let origin = format!("environment variable {name}");
        return Err(ConfigError::new(key, problem, origin));
    }
    Ok(())
}

/// Returns the variable that sets a key.
pub(super) fn variable(key: &str) -> String {
    let name = key.replace('.', "__").to_ascii_uppercase();
    format!("{ENVIRONMENT_PREFIX}{name}")
}

/// Returns whether a key has a default, or stands in a table that is free-form.
fn has(known: &Value, key: &str) -> bool {
    if find(known, key).is_some() {
        return true;
    }
    let ends = key.match_indices('.').map(|(at, _)| at);
    ends.filter_map(|end| find(known, key.get(..end)?))
        .any(|found| matches!(&found.kind, ValueKind::Table(table) if table.is_empty()))
}

/// Returns the known key that resembles another most, if one does.
fn nearest(key: &str, known: &Value) -> Option<String> {
    let mut all = BTreeMap::new();
    leaves(known, "", &mut all);
    let plain = |key: &str| key.replace(['.', '_', '-'], "").to_ascii_lowercase();
    let wanted = plain(key);
    let most = (wanted.len() / 4).clamp(1, 3);
    let near = all.into_keys().filter_map(|known| {
        let distance = strsim::damerau_levenshtein(&wanted, &plain(&known));
        (distance <= most).then_some((distance, known))
    });
    near.min().map(|(_, known)| known)
}

/// Returns whether a variable is one that Kubernetes sets for a service whose name begins like the
/// prefix: `PROTOMESH_GATEWAY_SERVICE_HOST`, `PROTOMESH_GATEWAY_PORT=tcp://10.0.0.1:80`.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let protocol = ["_TCP", "_UDP", "_SCTP"]
        .iter()
        .find_map(|own| name.find(own));
    let is_of_port = protocol.is_some_and(|at| {
        let port = name
            .get(..at)
            .and_then(|before| before.rsplit_once("_PORT_"));
        port.is_some_and(|(_, number)| is_number(number))
    });
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT") && is_number(value)
        || name.ends_with("_PORT") && value.contains("://")
        || is_of_port
}
