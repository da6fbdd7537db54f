//! Types that only Anys hold: no file of the schema declares them, and each is compiled by itself
//! while the schema is in use.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use descriptors::{CompileError, Problem};

use super::Tables;
use crate::limits::MAX_TYPE_NAME_BYTES;
use crate::options::{JsonOptions, Options};

/// Types that the Anys of a [`Schema`](crate::Schema) hold besides its own, by full name. Whoever
/// adds them bounds their number.
#[derive(Debug)]
pub struct AnyTypes {
    json: JsonOptions,
    by_name: RwLock<HashMap<Box<str>, Added>>,
}

/// The tables of one type, and when they cease to be valid.
#[derive(Debug)]
struct Added {
    tables: Arc<Tables>,
    until: Instant,
}

// === impl AnyTypes ===

impl AnyTypes {
    pub(super) fn new(json: JsonOptions) -> Self {
        Self {
            json,
            by_name: RwLock::default(),
        }
    }

    /// Returns whether a type was added and is still valid.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Adds a type until a time: compiles the encoded `google.protobuf.FileDescriptorSet` that
    /// declares it, imports included. Other types of the set are not added.
    ///
    /// # Errors
    /// The set does not compile, or does not declare the type.
    pub fn add(
        &self,
        name: &str,
        descriptor_set: &[u8],
        until: Instant,
    ) -> Result<(), CompileError> {
        let loaded = descriptors::load(descriptor_set)?;
        if !loaded.problems.is_empty() {
            return Err(CompileError {
                problems: loaded.problems,
            });
        }
        let options = Options {
            json: self.json.clone(),
            ..Options::default()
        };
        // What an Any holds is not validated, so faults in the rules of its types do not matter.
        let tables = Tables::new(&loaded.pool, options, &mut Vec::new());
        if !tables.by_name.contains_key(name) {
            return Err(undeclared(name));
        }
        let tables = Arc::new(tables);
        self.change(|types| types.insert(name.into(), Added { tables, until }));
        Ok(())
    }

    /// Keeps a type that was added until a later time; returns whether there is such a type.
    pub fn extend(&self, name: &str, until: Instant) -> bool {
        let mut types = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let added = types.get_mut(name);
        added.map(|added| added.until = until).is_some()
    }

    /// Removes a type.
    pub fn remove(&self, name: &str) {
        self.change(|types| types.remove(name));
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Tables>> {
        let types = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let added = types.get(name)?;
        (Instant::now() < added.until).then(|| added.tables.clone())
    }

    /// Frees what is replaced after the lock is released.
    fn change(&self, change: impl FnOnce(&mut HashMap<Box<str>, Added>) -> Option<Added>) {
        let mut types = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = change(&mut types);
        drop(types);
        drop(replaced);
    }
}

fn undeclared(name: &str) -> CompileError {
    let problem = Problem {
        file: String::new(),
        line: None,
        column: None,
        element: name.to_owned(),
        reason: "no file of the set declares this type".to_owned(),
    };
    CompileError {
        problems: vec![problem],
    }
}

/// Returns the full name in the URL of a type that is not known; `None` where no type can have it.
pub(crate) fn missing_type(url: &str) -> Option<Box<str>> {
    let (_, name) = url.rsplit_once('/')?;
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let is_identifier = |part: &str| {
        part.bytes().next().is_some_and(is_letter)
            && part
                .bytes()
                .all(|byte| is_letter(byte) || byte.is_ascii_digit())
    };
    let is_name = name.len() <= MAX_TYPE_NAME_BYTES && name.split('.').all(is_identifier);
    is_name.then(|| name.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Schema;
    use samples::set_of;

    #[test]
    fn a_type_is_known_from_its_addition_until_its_time() {
        let schema = Schema::compile(&[]).unwrap();
        let any = schema.message("google.protobuf.Any").unwrap();
        let read = |json: &str| any.read_json(json.as_bytes(), &mut Vec::new());
        let json = r#"{"@type": "x/t.Hidden"}"#;
        assert_eq!(
            read(json).unwrap_err().missing_type.as_deref(),
            Some("t.Hidden")
        );
        let (types, now) = (schema.any_types(), Instant::now());
        let set = set_of("message Hidden {}");
        assert!(types.add("t.Absent", &set, now).is_err());
        assert!(!types.extend("t.Hidden", now));
        types.add("t.Hidden", &set, now).unwrap();
        assert!(read(json).is_err());
        assert!(types.extend("t.Hidden", now + Duration::from_secs(60)));
        assert_eq!(read(json), Ok(()));
        types.remove("t.Hidden");
        assert!(read(json).is_err());
    }

    #[test]
    fn only_names_of_types_are_missing() {
        for (url, name) in [
            ("x/a.B", Some("a.B")),
            ("https://x/y/_a1", Some("_a1")),
            ("a.B", None),
            ("x/", None),
            ("x/a..b", None),
            ("x/1a", None),
            ("x/a b", None),
        ] {
            assert_eq!(missing_type(url).as_deref(), name, "{url}");
        }
        let long = format!("x/{}", "a".repeat(MAX_TYPE_NAME_BYTES + 1));
        assert_eq!(missing_type(&long), None);
    }
}
