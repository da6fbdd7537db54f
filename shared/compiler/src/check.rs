//! Checks a compiled contract: everything that a server or a gateway would find when it loads it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use descriptors::{CompileError, NameOptions, Place, Pool, Problem, Source, Types};
use routes::{RouteOptions, Routes};
use validation::{Clock, Validation, ValidationOptions};

use crate::access;
use crate::answers;
use crate::events::{self, Event};
use crate::limits;
use crate::promises;
use crate::sources::Compiled;

/// The outcome of a check.
#[derive(Debug)]
pub struct Checked {
    /// The loaded contract, whatever its mistakes; `None` where definitions contradict each other.
    pub contract: Option<Contract>,
    /// Everything that has to be mended, by file, line and column.
    pub mistakes: Vec<Problem>,
    /// Remarks about what is legal and likely to surprise.
    pub warnings: Vec<Problem>,
    /// Methods that say nothing about who may call them (`mesh.v1.access`): they are refused once
    /// callers are authenticated.
    pub unruled: Vec<Problem>,
}

/// A contract with everything that is read from it.
#[derive(Debug)]
pub struct Contract {
    /// The encoded `google.protobuf.FileDescriptorSet`.
    pub descriptor_set: Vec<u8>,
    /// Its types.
    pub types: Arc<Types>,
    /// Its methods and HTTP bindings.
    pub routes: Routes,
    /// Its rules.
    pub validation: Validation,
    /// Its events, sorted by name.
    pub events: Vec<Event>,
    /// Where each message, field, enum, value, service and method is written, by full name.
    places: HashMap<Box<str>, Place>,
}

// === impl Compiled ===

impl Compiled {
    /// Checks routes, rules, events and promises of the files that compile. Files are named by
    /// their paths.
    pub fn check(&self) -> Checked {
        let mut checked = Checked::of_set(&self.descriptor_set);
        checked.mistakes.extend(self.problems.iter().cloned());
        let found = checked.mistakes.iter_mut().chain(&mut checked.warnings);
        for problem in found.chain(&mut checked.unruled) {
            problem.file = self.path(&problem.file).display().to_string();
        }
        for place in checked
            .contract
            .iter_mut()
            .flat_map(|own| own.places.values_mut())
        {
            place.file = self.path(&place.file).display().to_string().into();
        }
        sort(&mut checked.mistakes);
        sort(&mut checked.warnings);
        sort(&mut checked.unruled);
        checked
    }
}

// === impl Checked ===

impl Checked {
    /// Checks an encoded `google.protobuf.FileDescriptorSet`. Lines are known where it was compiled
    /// with source information.
    pub fn of_set(descriptor_set: &[u8]) -> Self {
        let loaded = match descriptors::load(descriptor_set) {
            Ok(loaded) => loaded,
            Err(CompileError { problems }) => {
                return Checked {
                    contract: None,
                    mistakes: problems,
                    warnings: Vec::new(),
                    unruled: Vec::new(),
                };
            }
        };
        let (pool, mut mistakes, mut warnings) = (loaded.pool, loaded.problems, loaded.notes);
        let types = Arc::new(Types::new(&pool, NameOptions::default()));
        let options = ValidationOptions {
            // A service has a clock; without one, rules about now would be remarked.
            clock: Some(Clock(SystemTime::now)),
            ..ValidationOptions::default()
        };
        let validation = Validation::new(&pool, types.clone(), &options, &mut mistakes);
        let routes = Routes::compile(&pool, &types, &RouteOptions::default(), &mut mistakes);
        let events = events::declared(&pool, &mut mistakes);
        // For the mistakes alone: what reads the policies compiles them again.
        drop(pool.field_policies(&mut mistakes));
        mistakes.extend(limits::mistakes(&pool));
        descriptors::check_answers(&pool, &mut mistakes);
        mistakes.extend(answers::unknown_events(&pool, &routes));
        mistakes.extend(promises::idempotency(&pool, &routes));
        mistakes.extend(promises::lengths(&pool, &types, &validation));
        mistakes.extend(access::mistakes(&pool, &types));
        warnings.extend(validation.unenforced().cloned());
        warnings.extend(routes.notes().iter().cloned());
        sort(&mut mistakes);
        sort(&mut warnings);
        Checked {
            unruled: access::unruled(&pool),
            contract: Some(Contract {
                descriptor_set: descriptor_set.to_vec(),
                places: places(&pool),
                types,
                routes,
                validation,
                events,
            }),
            mistakes,
            warnings,
        }
    }
}

// === impl Contract ===

impl Contract {
    /// Returns where a definition is written; of one that is gone, where the nearest one around it
    /// is.
    pub fn place(&self, full_name: &str) -> Option<&Place> {
        let mut name = full_name;
        loop {
            if let Some(place) = self.places.get(name) {
                return Some(place);
            }
            (name, _) = name.rsplit_once('.')?;
        }
    }
}

fn places(pool: &Pool) -> HashMap<Box<str>, Place> {
    let mut found: Vec<(String, &Source)> = Vec::new();
    for message in &pool.messages {
        found.push((message.name.to_string(), &message.source));
        let fields = message
            .fields
            .iter()
            .map(|field| (&field.name, &field.source));
        let oneofs = message
            .oneofs
            .iter()
            .map(|oneof| (&oneof.name, &oneof.source));
        let members = fields.chain(oneofs);
        found.extend(members.map(|(name, source)| (format!("{}.{name}", message.name), source)));
    }
    for definition in &pool.enums {
        found.push((definition.name.to_string(), &definition.source));
        let values = definition.values.iter();
        let name = |value: &str| format!("{}.{value}", definition.name);
        found.extend(values.map(|value| (name(&value.name), &value.source)));
    }
    for service in &pool.services {
        found.push((service.name.to_string(), &service.source));
        let methods = service.methods.iter();
        found.extend(methods.map(|method| (method.name.to_string(), &method.source)));
    }
    let place = |(name, source): (String, &Source)| {
        let place = pool.place(source, name.clone());
        (name.into_boxed_str(), place)
    };
    found.into_iter().map(place).collect()
}

fn sort(problems: &mut [Problem]) {
    let key = |problem: &Problem| (problem.file.clone(), problem.line, problem.column);
    problems.sort_by_cached_key(key);
}
