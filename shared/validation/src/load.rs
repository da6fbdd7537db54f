//! Reads the rules of all messages out of a descriptor pool, and finds which messages a walk has to
//! look into.

mod cel;
mod compile;
mod confidential;
mod options;
mod typed;

use descriptors::{
    FieldDef, Kind, MessageDef, MessageId, MessagePlan, Place, Pool, Problem, Source, Types,
    did_you_mean,
};

use crate::load::compile::Compiler;
use crate::load::confidential::Confidential;
use crate::load::options::{OptionFields, RULES, rules_of};
use crate::options::ValidationOptions;
use crate::rules::marks;
use crate::rules::table::{
    Choice, FieldRules, Ignore, MessageRules, Need, OwnRules, RequiredOneof, Rules, ValueRules,
};

/// Compiles the rules of every message; `types` has the plans of the same pool.
pub(crate) fn load(
    pool: &Pool,
    types: &Types,
    options: &ValidationOptions,
    problems: &mut Vec<Problem>,
) -> Rules {
    if !options.enforce {
        return Rules::default();
    }
    let numbers = pool.enums.iter().map(|definition| &definition.values);
    let enums: Vec<Vec<i32>> = numbers
        .map(|values| values.iter().map(|value| value.number).collect())
        .collect();
    let mut extensions: Vec<Vec<&FieldDef>> = vec![Vec::new(); pool.messages.len()];
    for extension in &pool.extensions {
        if let Some(own) = extensions.get_mut(extension.extendee) {
            own.push(&extension.field);
        }
    }
    let mut compiler = Compiler {
        types,
        enums: &enums,
        has_clock: options.clock.is_some(),
        predefined: cel::predefined(pool),
        steps: Vec::new(),
        is_discreet: false,
        notes: Vec::new(),
    };
    let confidential = Confidential::new(pool, types);
    let definitions = pool.messages.iter().zip(&types.messages).zip(extensions);
    let mut messages: Vec<MessageRules> = definitions
        .enumerate()
        .map(|(id, ((definition, plan), extensions))| {
            let mut loader = Loader {
                compiler: &mut compiler,
                confidential: &confidential,
                id,
                pool,
                plan,
                rules: MessageRules::default(),
                problems,
            };
            loader.message(definition, &extensions);
            loader.rules
        })
        .collect();
    let texts = if options.refuse_nul {
        Need::TEXT
    } else {
        Need::default()
    };
    link(types, &mut messages, texts);
    Rules {
        messages,
        clock: options.clock,
    }
}

/// Compiles the rules of one message.
struct Loader<'l, 'c> {
    compiler: &'l mut Compiler<'c>,
    confidential: &'l Confidential,
    id: MessageId,
    pool: &'l Pool,
    plan: &'l MessagePlan,
    rules: MessageRules,
    problems: &'l mut Vec<Problem>,
}

// === impl Loader ===

impl Loader<'_, '_> {
    fn message(&mut self, definition: &MessageDef, extensions: &[&FieldDef]) {
        let oneofs = definition.oneofs.iter();
        let real: Vec<_> = oneofs.filter(|oneof| !oneof.is_synthetic).collect();
        self.rules.oneof_count = real.len();
        let fields = &self.plan.fields;
        self.rules.fields = fields.iter().map(|_| FieldRules::default()).collect();
        self.compiler.is_discreet = self.confidential.holds(self.id);
        let outcome = self.choices(definition);
        let place = self.place(&definition.source, definition.name.clone());
        self.settle(&place, outcome);
        for (oneof, index) in real.into_iter().zip(0..) {
            let outcome = self.oneof(&oneof.name, index, oneof.options.bytes());
            let name = format!("{}.{}", definition.name, oneof.name);
            let place = self.place(&oneof.source, name);
            self.settle(&place, outcome);
        }
        for field in &definition.fields {
            self.field(field, format!("{}.{}", definition.name, field.name));
        }
        for extension in extensions {
            self.field(extension, &*extension.name);
        }
    }

    fn place(&self, source: &Source, element: impl Into<Box<str>>) -> Place {
        self.pool.place_of_option(source, element, RULES as i32)
    }

    fn field(&mut self, definition: &FieldDef, name: impl Into<Box<str>>) {
        let Some(index) = self.plan.by_number(definition.number) else {
            return;
        };
        let Some(field) = self.plan.fields.get(index) else {
            return;
        };
        let is_confidential = self.confidential.has(self.id, field);
        self.compiler.is_discreet = is_confidential;
        if let Some(rules) = self.rules.fields.get_mut(index) {
            rules.is_confidential = is_confidential;
        }
        if definition.options.bytes().is_empty() {
            return;
        }
        let members = self.rules.choices.iter().flat_map(|choice| &choice.members);
        let is_choice = members.copied().any(|member| member as usize == index);
        let options = definition.options.bytes();
        let outcome = self.compiler.field(options, field, is_choice);
        let place = self.place(&definition.source, name);
        if let Some(own) = self.settle(&place, outcome).flatten()
            && !own.is_empty()
            && let Some(rules) = self.rules.fields.get_mut(index)
        {
            rules.own = Some(Box::new(own));
        }
    }

    fn oneof(&mut self, name: &str, index: u16, options: &[u8]) -> Result<(), String> {
        let Some(bytes) = rules_of(options)? else {
            return Ok(());
        };
        let rules = OptionFields::parse(&bytes)?;
        if rules.flag(1) {
            let members = (0..).zip(&self.plan.fields);
            self.rules.required_oneofs.push(RequiredOneof {
                name: name.into(),
                members: members
                    .filter(|(_, field)| field.oneof == Some(index))
                    .map(|(at, _)| at)
                    .collect(),
            });
        }
        self.unknown(&rules, &[1]);
        Ok(())
    }

    /// `MessageRules`: choices of fields, and CEL.
    fn choices(&mut self, definition: &MessageDef) -> Result<(), String> {
        let Some(bytes) = rules_of(definition.options.bytes())? else {
            return Ok(());
        };
        let rules = OptionFields::parse(&bytes)?;
        for (_, choice) in rules.all(4) {
            let choice = OptionFields::parse(choice)?;
            let names: Vec<&str> = choice
                .all(1)
                .map(|(_, raw)| str::from_utf8(raw).unwrap_or_default())
                .collect();
            let mut members = Vec::new();
            for name in &names {
                let fields = &self.plan.fields;
                let index = fields.iter().position(|field| &*field.name == *name);
                let index = index.ok_or_else(|| {
                    let meant = did_you_mean(name, fields.iter().map(|field| &*field.name));
                    format!("message.oneof: no field is named `{name}`{meant}")
                })?;
                members.push(index as u32);
            }
            members.sort_unstable();
            if members.is_empty() || members.windows(2).any(|pair| pair.first() == pair.last()) {
                return Err("message.oneof needs names of fields, each once".into());
            }
            let list = names.join(", ");
            self.rules.choices.push(Choice {
                members,
                is_required: choice.flag(2),
                at_most_one: format!("only one of {list} can be set").into(),
                exactly_one: format!("one of {list} must be set").into(),
            });
        }
        if let Some(id) = self.compiler.types.by_name.get(&definition.name) {
            let this = ::cel::Type::of_message(self.compiler.types, *id);
            self.rules.cel = self.compiler.cel(&rules, (3, 5), &this)?;
            // A rule of a message has no path within `FieldRules`.
            for rule in &mut self.rules.cel {
                rule.path = Box::default();
            }
        }
        self.unknown(&rules, &[3, 4, 5]);
        Ok(())
    }

    fn unknown(&mut self, rules: &OptionFields<'_>, known: &[u32]) {
        for number in rules.numbers().filter(|number| !known.contains(number)) {
            let note = format!("rule number {number} is not enforced here");
            self.compiler.notes.push(note);
        }
    }

    /// Reports notes and errors under the place.
    fn settle<T>(&mut self, place: &Place, outcome: Result<T, String>) -> Option<T> {
        let problem = |reason: String| place.problem(reason);
        let notes = self.compiler.notes.drain(..).map(problem);
        self.rules.unenforced.extend(notes);
        outcome
            .map_err(|reason| {
                self.problems
                    .push(problem(format!("buf.validate: {reason}")))
            })
            .ok()
    }
}

/// Finds what each message and all below it need, and which fields are to be gathered for that.
fn link(types: &Types, messages: &mut [MessageRules], texts: Need) {
    let mut parents: Vec<Vec<(usize, Need)>> = vec![Vec::new(); messages.len()];
    for (parent, (plan, rules)) in types.messages.iter().zip(messages.iter_mut()).enumerate() {
        let has_own = !rules.required_oneofs.is_empty() || !rules.choices.is_empty();
        if has_own || !rules.cel.is_empty() {
            rules.need = Need::RULES;
        }
        for (field, field_rules) in plan.fields.iter().zip(&rules.fields) {
            if field_rules.own.is_some() {
                rules.need = rules.need.or(Need::RULES);
            }
            if field.kind == Kind::String {
                rules.need = rules.need.or(texts);
            }
            let entry = field.message().and_then(|child| parents.get_mut(child));
            if let Some(entry) = entry {
                entry.push((parent, passes(field_rules)));
            }
        }
    }
    let mut pending: Vec<usize> = (0..messages.len()).collect();
    while let Some(child) = pending.pop() {
        let need = messages.get(child).map_or(Need::default(), |m| m.need);
        for (parent, mask) in parents.get(child).into_iter().flatten() {
            if let Some(rules) = messages.get_mut(*parent) {
                let grown = rules.need.or(need.and(*mask));
                if grown != rules.need {
                    rules.need = grown;
                    pending.push(*parent);
                }
            }
        }
    }
    let needs: Vec<Need> = messages.iter().map(|rules| rules.need).collect();
    for (plan, rules) in types.messages.iter().zip(messages) {
        gather(plan, rules, &needs, texts);
    }
}

/// Returns the needs that a walk has inside a field.
fn passes(rules: &FieldRules) -> Need {
    let ignore = rules.own.as_ref().map(|own| own.value.ignore);
    if ignore == Some(Ignore::Always) {
        Need::TEXT
    } else {
        Need::ALL
    }
}

/// Marks the fields whose pieces the walk collects: where one member of a oneof is looked at, all
/// of them are, since each overwrites the others.
fn gather(plan: &MessagePlan, rules: &mut MessageRules, needs: &[Need], texts: Need) {
    if rules.need.is_empty() {
        rules.fields = Box::default();
        return;
    }
    let mut oneofs = vec![Need::default(); rules.oneof_count];
    for (index, (field, own)) in (0..).zip(plan.fields.iter().zip(&mut rules.fields)) {
        let mut collect = match field.message().and_then(|child| needs.get(child)) {
            Some(need) => need.and(passes(own)),
            None if field.kind == Kind::String => texts,
            None => Need::default(),
        };
        let is_chosen = rules
            .choices
            .iter()
            .any(|choice| choice.members.contains(&index));
        let in_required = rules
            .required_oneofs
            .iter()
            .any(|oneof| oneof.members.contains(&index));
        if own.own.is_some() || is_chosen || in_required {
            collect = collect.or(Need::RULES);
        }
        own.collect = collect;
        if let Some(all) = field.oneof.and_then(|at| oneofs.get_mut(usize::from(at))) {
            *all = all.or(collect);
        }
    }
    let mut active = Vec::new();
    for (index, (field, own)) in (0..).zip(plan.fields.iter().zip(&mut rules.fields)) {
        if let Some(all) = field.oneof.and_then(|at| oneofs.get(usize::from(at))) {
            own.collect = own.collect.or(*all);
        }
        if !own.collect.is_empty() {
            active.push(index);
        }
    }
    rules.active = active.into();
    marks::mark(plan, rules);
}

// === impl OwnRules ===

impl OwnRules {
    fn is_empty(&self) -> bool {
        let values = [&self.value, &self.items, &self.keys];
        let is_idle = |rules: &&ValueRules| {
            let has_none = rules.checks.is_empty() && rules.cel.is_empty();
            has_none && rules.ignore != Ignore::Always
        };
        !self.is_required
            && self.count.is_empty()
            && self.unique.is_none()
            && values.iter().all(is_idle)
    }
}
