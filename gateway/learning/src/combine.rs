//! One API of one upstream out of what it reflects and what descriptor files say about it.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message;
use prost_types::FileDescriptorProto;

use crate::api::Learned;
use crate::declarations::LANGUAGE_FILES;
use crate::encoded::{qualified, stand_in};
use crate::files::DescriptorSet;
use crate::reflection::INFRASTRUCTURE;

#[cfg(test)]
mod tests;

/// The reason to leave out a service that is listed or named only.
const UNDECLARED: &str = "no descriptor file and no reflection declares it";

/// The services of an upstream without reflection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    /// Full names of services; where there are any, they are all, whatever reflection says.
    pub(crate) named: BTreeSet<String>,
    /// So many of the first descriptor files are about this upstream alone.
    pub(crate) own_files: usize,
}

/// A failure to combine the API of an upstream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "the upstream does not offer server reflection, and nothing says which services it serves: \
         give a descriptor file (`--descriptors FILE` or `--proto DIR`), or name its `descriptors` or its `services` \
         under `[upstream.NAME.schema]`"
    )]
    Unassigned,
    #[error("descriptor file `{0}` cannot be decoded")]
    Malformed(String, #[source] prost::DecodeError),
}

/// Reflection tells which services are served, unless they are named; files tell what the services
/// are, where they declare them. For a service that only reflection declares, the file of
/// reflection wins over a file of the same name on disk.
pub(crate) fn combine(
    reflected: Option<&Learned>,
    sets: &[DescriptorSet],
    claims: &Claims,
) -> Result<Learned, Error> {
    let mut learned = Learned {
        services: served(reflected, sets, claims)?,
        by_reflection: reflected.is_some(),
        ..Learned::default()
    };
    let mut pending = Vec::new();
    for service in std::mem::take(&mut learned.services) {
        if let Some(file) = sets.iter().find_map(|set| set.services.get(&service)) {
            pending.push(file.clone());
        } else if let Some((name, raw)) = declaring(reflected, &service) {
            pending.extend(imports(name, raw)?);
            learned.files.insert(name.clone(), raw.clone());
        } else {
            let told = reflected.and_then(|reflected| reflected.left_out.get(&service));
            let reason = told.cloned().unwrap_or_else(|| UNDECLARED.to_owned());
            learned.left_out.insert(service, reason);
            continue;
        }
        learned.services.insert(service);
    }
    while let Some(name) = pending.pop() {
        if learned.files.contains_key(&name) {
            continue;
        }
        let own = sets.iter().find_map(|set| set.files.get(&name));
        learned.by_files |= own.is_some();
        let found = own.or_else(|| reflected?.files.get(&name)).cloned();
        if found.is_none() && name.starts_with(LANGUAGE_FILES) {
            continue;
        }
        let raw = found.unwrap_or_else(|| {
            // Often only an option's definition is missing, or the file has another path.
            stand_in(&name, namesake(reflected, sets, &name))
        });
        pending.extend(imports(&name, &raw)?);
        learned.files.insert(name, raw);
    }
    Ok(learned)
}

/// Returns the one known file whose path ends as `name` does, or the other way round: compilers
/// were told different roots.
fn namesake<'a>(
    reflected: Option<&'a Learned>,
    sets: &'a [DescriptorSet],
    name: &str,
) -> Option<&'a str> {
    let is_end = |long: &str, end: &str| {
        let directory = long.strip_suffix(end);
        directory.is_some_and(|directory| directory.ends_with('/'))
    };
    let told = reflected.into_iter().flat_map(|told| told.files.keys());
    let known = told.chain(sets.iter().flat_map(|set| set.files.keys()));
    let known: BTreeSet<&str> = known.map(String::as_str).collect();
    let mut alike = known
        .into_iter()
        .filter(|known| is_end(known, name) || is_end(name, known));
    alike.next().filter(|_| alike.next().is_none())
}

fn served(
    reflected: Option<&Learned>,
    sets: &[DescriptorSet],
    claims: &Claims,
) -> Result<BTreeSet<String>, Error> {
    if !claims.named.is_empty() {
        return Ok(claims.named.clone());
    }
    if let Some(reflected) = reflected {
        return Ok(reflected.services.clone());
    }
    let own = sets.iter().take(claims.own_files);
    let declared = own.flat_map(|set| set.services.keys());
    let services: BTreeSet<String> = declared
        .filter(|name| !INFRASTRUCTURE.iter().any(|prefix| name.starts_with(prefix)))
        .cloned()
        .collect();
    if services.is_empty() {
        return Err(Error::Unassigned);
    }
    Ok(services)
}

/// The file of reflection that declares a service.
fn declaring<'a>(reflected: Option<&'a Learned>, service: &str) -> Option<(&'a String, &'a Bytes)> {
    reflected?.files.iter().find(|(_, raw)| {
        let file = FileDescriptorProto::decode(Bytes::clone(raw)).unwrap_or_default();
        let mut services = file.service.iter();
        services.any(|own| qualified(file.package(), own.name()) == service)
    })
}

fn imports(name: &str, raw: &Bytes) -> Result<Vec<String>, Error> {
    let file = FileDescriptorProto::decode(raw.clone());
    let file = file.map_err(|error| Error::Malformed(name.to_owned(), error))?;
    Ok(file.dependency)
}
