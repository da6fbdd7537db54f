//! Rules in CEL: at messages, fields and elements, and predefined ones.

use std::collections::HashMap;

use cel::{Program, Type};
use descriptors::{FieldPlan, MessageId, Pool};

use super::compile::Compiler;
use super::options::OptionFields;
use crate::library::library;
use crate::protovalidate::rule_path;
use crate::rules::cel::{CelRule, Given};

/// The extension of `FieldOptions` that makes an extension of typed rules a predefined rule.
const PREDEFINED: u32 = 1160;

/// The rules that an extension of typed rules stands for, encoded (`PredefinedRules`), by the
/// extended message and the number.
pub(crate) type Predefined = HashMap<(MessageId, u32), Vec<u8>>;

pub(crate) fn predefined(pool: &Pool) -> Predefined {
    let mut found = HashMap::new();
    for extension in &pool.extensions {
        let options = OptionFields::parse(extension.field.options.bytes());
        let rules = options.ok().and_then(|options| options.message(PREDEFINED));
        if let Some(rules) = rules {
            found.insert((extension.extendee, extension.field.number), rules);
        }
    }
    found
}

/// A message of rules, and its extensions that are set, each with the place of its field.
type Extensions<'c> = (MessageId, Vec<(usize, &'c FieldPlan)>);

/// A rule as the contract writes it.
struct Source<'a> {
    id: &'a str,
    text: &'a str,
    expression: &'a str,
}

// === impl Source ===

impl<'a> Source<'a> {
    /// Reads a `buf.validate.Rule`.
    fn of_rule(rule: &OptionFields<'a>) -> Result<Self, String> {
        let expression = rule.text(3).unwrap_or_default();
        if expression.is_empty() {
            return Err("a rule in CEL has no expression".into());
        }
        Ok(Source {
            id: rule.text(1).unwrap_or(expression),
            text: rule.text(2).unwrap_or_default(),
            expression,
        })
    }

    fn of_expression(expression: &'a str) -> Self {
        Source {
            id: expression,
            text: "",
            expression,
        }
    }
}

// === impl Compiler ===

impl<'c> Compiler<'c> {
    /// Compiles `cel` and `cel_expression`, under these numbers.
    pub(super) fn cel(
        &mut self,
        rules: &OptionFields<'_>,
        (full, short): (u32, u32),
        this: &Type,
    ) -> Result<Vec<CelRule>, String> {
        let mut compiled = Vec::new();
        for (index, (_, raw)) in rules.all(short).enumerate() {
            let expression = str::from_utf8(raw).map_err(|_| "an expression is not UTF-8")?;
            let path = self.path(&[("cel_expression", Some(index))]);
            compiled.extend(self.rule(
                &Source::of_expression(expression),
                &[("this", this)],
                path,
            )?);
        }
        for (index, (_, raw)) in rules.all(full).enumerate() {
            let rule = OptionFields::parse(raw)?;
            let path = self.path(&[("cel", Some(index))]);
            compiled.extend(self.rule(&Source::of_rule(&rule)?, &[("this", this)], path)?);
        }
        Ok(compiled)
    }

    /// Compiles the predefined rules among typed rules, such as `StringRules` under `name`.
    pub(super) fn predefined_rules(
        &mut self,
        name: &'static str,
        bytes: &[u8],
        this: &Type,
    ) -> Result<Vec<CelRule>, String> {
        let types = self.types;
        let Some((id, extensions)) = self.extensions(name, bytes)? else {
            return Ok(Vec::new());
        };
        let mut compiled = Vec::new();
        for (index, extension) in extensions {
            let Some(raw) = self.predefined.get(&(id, extension.number)).cloned() else {
                let name = &extension.name;
                self.notes.push(format!(
                    "rule `{name}` is not enforced here: it has no expression"
                ));
                continue;
            };
            let path = self.path(&[(name, None), (&*extension.name, None)]);
            for (_, raw) in OptionFields::parse(&raw)?.all(1) {
                let rule = OptionFields::parse(raw)?;
                let variables = [
                    ("this", this),
                    ("rules", &Type::of_message(types, id)),
                    ("rule", &Type::of_field(types, extension)),
                ];
                let rule = self.rule(&Source::of_rule(&rule)?, &variables, path.clone())?;
                compiled.extend(rule.map(|rule| CelRule {
                    given: Some(Given {
                        rules: id,
                        bytes: bytes.into(),
                        field: index,
                    }),
                    ..rule
                }));
            }
        }
        Ok(compiled)
    }

    /// Returns whether the number is that of a predefined rule of these typed rules.
    pub(super) fn is_predefined(&self, name: &str, number: u32) -> bool {
        let id = self.typed_message(name);
        id.is_some_and(|id| self.predefined.contains_key(&(id, number)))
    }

    fn typed_message(&self, name: &str) -> Option<MessageId> {
        let rules = self.types.by_name.get("buf.validate.FieldRules")?;
        let fields = &self.types.message(*rules).fields;
        fields.iter().find(|field| &*field.name == name)?.message()
    }

    fn extensions(&self, name: &str, bytes: &[u8]) -> Result<Option<Extensions<'c>>, String> {
        let Some(id) = self.typed_message(name) else {
            return Ok(None);
        };
        let mut numbers: Vec<u32> = OptionFields::parse(bytes)?.numbers().collect();
        numbers.sort_unstable();
        numbers.dedup();
        let plan = self.types.message(id);
        let found = numbers.into_iter().filter_map(|number| {
            let index = plan.by_number(number)?;
            let field = plan.fields.get(index)?;
            field.is_extension.then_some((index, field))
        });
        Ok(Some((id, found.collect())))
    }

    /// Returns the encoded path of a rule below the rules that are being compiled.
    pub(super) fn path(&self, last: &[(&str, Option<usize>)]) -> Box<[u8]> {
        let mut steps: Vec<_> = self.steps.iter().map(|step| (*step, None)).collect();
        steps.extend_from_slice(last);
        rule_path(self.types, &steps)
    }

    fn rule(
        &mut self,
        source: &Source<'_>,
        variables: &[(&str, &Type)],
        path: Box<[u8]>,
    ) -> Result<Option<CelRule>, String> {
        let own = variables.iter().map(|(name, own)| (*name, (*own).clone()));
        let mut own: Vec<_> = own.collect();
        let compile = |own: &[_]| Program::compile(source.expression, self.types, &library(), own);
        let timeless = compile(&own);
        own.push(("now", Type::Timestamp));
        let id = source.id;
        let program = compile(&own).map_err(|error| format!("cel rule `{id}`: {error}"))?;
        if !self.has_clock && timeless.is_err() {
            let note = format!("cel rule `{id}` is not enforced here: the options have no clock");
            self.notes.push(note);
            return Ok(None);
        }
        if !matches!(program.result(), Type::Bool | Type::String | Type::Dyn) {
            return Err(format!(
                "cel rule `{id}`: its result is neither a bool nor a string"
            ));
        }
        Ok(Some(CelRule {
            id: id.into(),
            text: source.text.into(),
            expression: source.expression.into(),
            program,
            given: None,
            path,
            is_discreet: self.is_discreet,
        }))
    }
}
