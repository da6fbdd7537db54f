//! Separates the services of one upstream that can be served from those whose descriptors do not
//! resolve.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use transcoder::{InvalidBindings, Options, Schema};

use crate::api::Learned;
use crate::encoded::{Declared, copies, descriptor_set};

#[cfg(test)]
mod tests;

/// Each faulty service costs a few attempts to compile the others without it.
const MAX_ATTEMPTS: usize = 512;

/// The longest search; large APIs compile in a tenth of a second.
const MAX_TIME: Duration = Duration::from_secs(10);

/// The search for the largest part of an API that compiles.
struct Search<'a> {
    files: &'a BTreeMap<String, Bytes>,
    attempts: usize,
    end: Instant,
    accepted: BTreeSet<String>,
    services: BTreeSet<String>,
    left_out: BTreeMap<String, String>,
}

/// Returns the part of an API whose descriptors resolve; the other services are listed with their
/// reasons in [`Learned::left_out`].
pub(crate) fn usable(mut learned: Learned) -> Learned {
    learned.files.extend(copies(&learned.files));
    let mut search = Search {
        files: &learned.files,
        attempts: 0,
        end: Instant::now() + MAX_TIME,
        accepted: BTreeSet::new(),
        services: BTreeSet::new(),
        left_out: learned.left_out.clone(),
    };
    let services: Vec<&String> = learned.services.iter().collect();
    search.admit(&services);
    let Search {
        accepted,
        services,
        left_out,
        ..
    } = search;
    learned.files.retain(|name, _| accepted.contains(name));
    Learned {
        services,
        left_out,
        ..learned
    }
}

// === impl Search ===

impl Search<'_> {
    /// Accepts these services if they compile together with those accepted before, else each half.
    fn admit(&mut self, services: &[&String]) {
        if services.is_empty() {
            return;
        }
        let mut files = self.accepted.clone();
        self.add_imports(services, &mut files);
        let Err(reason) = self.compile(&files) else {
            self.accepted = files;
            let services = services.iter().map(|service| (*service).clone());
            self.services.extend(services);
            return;
        };
        if let [service] = services {
            self.left_out.insert((*service).clone(), reason);
            return;
        }
        let (first, second) = services.split_at(services.len() / 2);
        self.admit(first);
        self.admit(second);
    }

    fn add_imports(&self, services: &[&String], files: &mut BTreeSet<String>) {
        let declaring = self.files.iter().filter(|(_, raw)| {
            let declared = Declared::of(raw);
            let mut own = declared.services.iter();
            own.any(|service| services.contains(&service))
        });
        let mut pending: Vec<String> = declaring.map(|(name, _)| name.clone()).collect();
        while let Some(name) = pending.pop() {
            let Some(raw) = self.files.get(&name) else {
                continue;
            };
            if files.insert(name) {
                pending.extend(Declared::of(raw).imports);
            }
        }
    }

    fn compile(&mut self, files: &BTreeSet<String>) -> Result<(), String> {
        self.attempts += 1;
        if self.attempts > MAX_ATTEMPTS || self.end < Instant::now() {
            let tried = self.attempts - 1;
            return Err(format!(
                "not tried: the search for services that resolve ended after {tried} attempts"
            ));
        }
        let raw = files.iter().filter_map(|name| self.files.get(name));
        let set = descriptor_set(raw);
        let mut options = Options::default();
        options.routes.invalid_bindings = InvalidBindings::LeaveOut;
        let compiled = Schema::compile_with(&set, options);
        compiled.map(drop).map_err(|error| first_problem(&error))
    }
}

fn first_problem(error: &transcoder::CompileError) -> String {
    let first = error.problems.first();
    first.map_or_else(|| error.to_string(), ToString::to_string)
}
