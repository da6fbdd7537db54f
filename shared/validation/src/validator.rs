//! Validators of message types.

use std::collections::HashSet;
use std::sync::Arc;

use descriptors::{CompileError, MessageId, NameOptions, Pool, Problem, Types};
use wire::WireError;

use crate::check::{Trust, violations};
use crate::load;
use crate::options::ValidationOptions;
use crate::protovalidate;
use crate::rules::Rules;
use crate::violations::Violations;

/// The rules of all messages of a descriptor set. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Validation {
    types: Arc<Types>,
    rules: Arc<Rules>,
}

/// Checks messages of one type.
#[derive(Debug, Clone)]
pub struct Validator {
    validation: Validation,
    input: MessageId,
}

// === impl Validation ===

impl Validation {
    /// Compiles the rules of an encoded `google.protobuf.FileDescriptorSet`.
    ///
    /// # Errors
    /// Every problem of the set; if there are none, every rule that is malformed or doesn't fit its
    /// field.
    pub fn compile(
        descriptor_set: &[u8],
        options: &ValidationOptions,
    ) -> Result<Self, CompileError> {
        let loaded = descriptors::load(descriptor_set)?;
        let types = Arc::new(Types::new(&loaded.pool, NameOptions::default()));
        let mut problems = loaded.problems;
        let validation = Self::new(&loaded.pool, types, options, &mut problems);
        match problems.is_empty() {
            true => Ok(validation),
            false => Err(CompileError { problems }),
        }
    }

    /// Compiles the rules of definitions and their plans. Rules that are malformed or don't fit
    /// their field are added to `problems`.
    pub fn new(
        pool: &Pool,
        types: Arc<Types>,
        options: &ValidationOptions,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let rules = load::load(pool, &types, options, problems);
        Validation {
            types,
            rules: Arc::new(rules),
        }
    }

    /// Returns the validator of the type with this full name; `None` where the set has no such
    /// type.
    pub fn validator(&self, message: &str) -> Option<Validator> {
        let id = self.types.by_name.get(message)?;
        Some(self.validator_of(*id))
    }

    /// Returns the validator of a message type.
    pub fn validator_of(&self, input: MessageId) -> Validator {
        Validator {
            validation: self.clone(),
            input,
        }
    }

    /// Returns the types of the set.
    pub fn types(&self) -> &Arc<Types> {
        &self.types
    }

    /// Returns the compiled rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Returns the rules that are demanded somewhere and not enforced.
    pub fn unenforced(&self) -> impl Iterator<Item = &Problem> {
        let messages = self.rules.messages.iter();
        messages.flat_map(|rules| &rules.unenforced)
    }

    /// Checks a message that an encoder of this process has written.
    ///
    /// # Errors
    /// The bytes are no message of the type.
    #[inline]
    pub fn check_written(&self, id: MessageId, wire: &[u8]) -> wire::Read<Violations> {
        violations(&self.types, &self.rules, id, wire, Trust::WellFormed)
    }

    /// Returns the violations of a message without any field set.
    pub fn of_empty(&self, id: MessageId) -> Violations {
        // No bytes are always well formed.
        self.check_written(id, &[]).unwrap_or_default()
    }
}

// === impl Validator ===

impl Validator {
    /// Returns whether there is something to check, in the message or anywhere below it.
    pub fn has_rules(&self) -> bool {
        let rules = self.validation.rules.messages.get(self.input);
        rules.is_some_and(|rules| !rules.need.is_empty())
    }

    /// Checks one message, without frame header.
    ///
    /// # Errors
    /// The bytes are no message of the type: truncated, nested too deeply, text that is not UTF-8,
    /// a known field in a wire type that is not its own.
    pub fn check(&self, wire: &[u8]) -> Result<Violations, WireError> {
        let Validation { types, rules } = &self.validation;
        violations(types, rules, self.input, wire, Trust::None).map_err(|error| *error)
    }

    /// Returns type URL and encoding of `buf.validate.Violations`, in which protovalidate reports
    /// what [`Validator::check`] has found.
    pub fn protovalidate(&self, found: &Violations) -> (&'static str, Vec<u8>) {
        let types = &self.validation.types;
        let encoded = protovalidate::encode(types, self.input, found);
        (protovalidate::TYPE_URL, encoded)
    }

    /// Returns the rules of the message, or of one below it, that the contract demands and nothing
    /// here checks: CEL, predefined rules, rules newer than this crate.
    pub fn unenforced(&self) -> Vec<&Problem> {
        let Validation { types, rules } = &self.validation;
        let mut seen = HashSet::from([self.input]);
        let mut pending = vec![self.input];
        let mut found = Vec::new();
        while let Some(id) = pending.pop() {
            if let Some(rules) = rules.messages.get(id) {
                found.extend(&rules.unenforced);
            }
            let fields = &types.message(id).fields;
            let children = fields.iter().filter_map(|field| field.message());
            pending.extend(children.filter(|child| seen.insert(*child)));
        }
        found
    }

    #[cfg(test)]
    pub(crate) fn parts(&self) -> (&Types, &Rules) {
        (&self.validation.types, &self.validation.rules)
    }

    #[cfg(test)]
    pub(crate) fn input(&self) -> MessageId {
        self.input
    }
}
