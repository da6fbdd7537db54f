//! Tables that values are looked up in, read when a mapping is compiled.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use formats::{Kind, Value};

use crate::error::CompileError;
use crate::limits::{MAX_ENTRIES, MAX_TABLES, MAX_TABLE_BYTES};
use crate::settings::{Settings, TableSettings};

/// Values by key.
pub(crate) type Table = Arc<HashMap<String, String>>;

/// Tables by name.
pub(crate) type Tables = HashMap<String, Table>;

/// Reads all tables of a mapping.
pub(crate) fn load(settings: &Settings) -> Result<Tables, CompileError> {
    if settings.tables.len() > MAX_TABLES {
        let reason = format!("more than {MAX_TABLES} tables");
        return Err(CompileError::new("tables", reason));
    }
    let tables = settings.tables.iter();
    let load = |(name, own): (&String, &TableSettings)| {
        let key = format!("tables.{name}");
        let table = table(&key, own, &settings.directory)?;
        Ok((name.clone(), Arc::new(table)))
    };
    tables.map(load).collect()
}

fn table(
    key: &str,
    settings: &TableSettings,
    directory: &Path,
) -> Result<HashMap<String, String>, CompileError> {
    let wrong = |name: &str, reason: String| CompileError::new(format!("{key}.{name}"), reason);
    let TableSettings {
        values,
        file,
        key: key_column,
        value: value_column,
    } = settings;
    match (values, file, key_column, value_column) {
        (Some(values), None, None, None) => {
            if values.len() > MAX_ENTRIES {
                return Err(wrong("values", format!("more than {MAX_ENTRIES} entries")));
            }
            let entries = values.iter();
            Ok(entries.map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        (None, Some(file), Some(key_column), Some(value_column)) => {
            let path = directory.join(file);
            let shown = path.display();
            let read = read(&path, key_column, value_column);
            read.map_err(|reason| wrong("file", format!("{shown}: {reason}")))
        }
        _ => {
            let reason = "expected `values`, or `file` with `key` and `value`";
            Err(CompileError::new(key, reason))
        }
    }
}

fn read(path: &Path, key: &str, value: &str) -> Result<HashMap<String, String>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let settings = formats::Settings {
        max_bytes: Some(MAX_TABLE_BYTES),
        ..formats::Settings::new(Kind::Csv)
    };
    let reader = settings.open(file).map_err(|refusal| refusal.to_string())?;
    let mut entries = HashMap::new();
    for record in reader.requiring([key, value]) {
        let record = record.map_err(|refusal| refusal.to_string())?;
        let record = record.map_err(|flaw| flaw.to_string())?;
        let text = |column| record.value.get(column).map(Value::shown).unwrap_or_default();
        let (key, number) = (text(key), record.number);
        if entries.contains_key(&key) {
            return Err(format!("record {number}: the key `{key}` is there twice"));
        }
        entries.insert(key, text(value));
        if entries.len() > MAX_ENTRIES {
            return Err(format!("more than {MAX_ENTRIES} entries"));
        }
    }
    Ok(entries)
}
