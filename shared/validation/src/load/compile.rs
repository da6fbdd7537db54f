//! From the option bytes of one field to its rules (`buf.validate.FieldRules`).

use cel::Type;
use descriptors::{EnumId, FieldPlan, Kind, Label, Shape, Types};

use crate::load::cel::Predefined;
use crate::load::options::{OptionFields, rules_of};
use crate::load::typed::{Typed, between};
use crate::rules::quick::Quick;
use crate::rules::table::{Check, Form, Ignore, OwnRules, Test, Unit, ValueRules};

/// Field numbers of `FieldRules` and their names.
const TYPES: [(u32, &str); 22] = [
    (1, "float"),
    (2, "double"),
    (3, "int32"),
    (4, "int64"),
    (5, "uint32"),
    (6, "uint64"),
    (7, "sint32"),
    (8, "sint64"),
    (9, "fixed32"),
    (10, "fixed64"),
    (11, "sfixed32"),
    (12, "sfixed64"),
    (13, "bool"),
    (14, "string"),
    (15, "bytes"),
    (16, "enum"),
    (REPEATED, "repeated"),
    (MAP, "map"),
    (20, "any"),
    (21, "duration"),
    (22, "timestamp"),
    (28, "field_mask"),
];

const REPEATED: u32 = 18;
const MAP: u32 = 19;
const CEL: u32 = 23;
const REQUIRED: u32 = 25;
const IGNORE: u32 = 27;
const CEL_EXPRESSION: u32 = 29;

/// Compiles the rules of fields.
pub(crate) struct Compiler<'a> {
    pub(crate) types: &'a Types,
    /// The numbers of each enum, in the order of declaration.
    pub(crate) enums: &'a [Vec<i32>],
    pub(crate) has_clock: bool,
    pub(crate) predefined: Predefined,
    /// Names of the rules that lead to those that are being compiled, such as `repeated`, `items`.
    pub(crate) steps: Vec<&'static str>,
    /// Expressions of these rules could quote a confidential value.
    pub(crate) is_discreet: bool,
    /// Rules that are demanded and not enforced, each with its reason.
    pub(crate) notes: Vec<String>,
}

// === impl Compiler ===

impl Compiler<'_> {
    /// Compiles the options of one field; `is_choice`: it is a member of a `MessageOneofRule`, so
    /// that zero means not set.
    ///
    /// # Errors
    /// Rules that contradict the field's type, and malformed patterns.
    pub(crate) fn field(
        &mut self,
        options: &[u8],
        field: &FieldPlan,
        is_choice: bool,
    ) -> Result<Option<OwnRules>, String> {
        let Some(bytes) = rules_of(options)? else {
            return Ok(None);
        };
        let rules = OptionFields::parse(&bytes)?;
        let mut own = match field.label {
            Label::Map => self.map(&rules, field)?,
            Label::Repeated | Label::Packed => self.list(&rules, field.kind)?,
            _ => OwnRules {
                value: self.value(&rules, field.kind)?,
                ..OwnRules::default()
            },
        };
        if !field.is_singular() {
            let this = Type::of_field(self.types, field);
            let mut whole = self.cel(&rules, (CEL, CEL_EXPRESSION), &this)?;
            whole.append(&mut own.value.cel);
            own.value.cel = whole;
        }
        own.is_required = rules.flag(REQUIRED);
        own.required_path = self.path(&[("required", None)]);
        own.value.ignore = ignore(&rules)?;
        if is_choice && rules.varint(IGNORE).is_none() {
            own.value.ignore = Ignore::IfZero;
        }
        Ok(Some(own))
    }

    fn list(&mut self, rules: &OptionFields<'_>, kind: Kind) -> Result<OwnRules, String> {
        let mut own = OwnRules::default();
        let Some(bytes) = self.typed(rules, REPEATED)? else {
            return Ok(own);
        };
        let list = OptionFields::parse(&bytes)?;
        own.count = counts(
            &list,
            "repeated",
            [(1, "min_items"), (2, "max_items")],
            "item(s)",
        );
        self.place(&mut own.count);
        if list.flag(3) {
            if matches!(kind, Kind::Message(_) | Kind::Group(_)) {
                return Err("rule `repeated.unique` does not fit messages".into());
            }
            own.unique = Some(Check {
                id: "repeated.unique".into(),
                text: "repeated value must contain unique items".into(),
                test: Test::Unique,
                path: self.path(&[("repeated", None), ("unique", None)]),
            });
        }
        let this = Type::List(Box::new(Type::of_value(self.types, kind)));
        own.value.cel = self.predefined_rules("repeated", &bytes, &this)?;
        own.items = self.nested(&list, 4, kind, ["repeated", "items"])?;
        self.unknown(&list, "repeated", &[1, 2, 3, 4]);
        Ok(own)
    }

    fn map(&mut self, rules: &OptionFields<'_>, field: &FieldPlan) -> Result<OwnRules, String> {
        let mut own = OwnRules::default();
        let Some(bytes) = self.typed(rules, MAP)? else {
            return Ok(own);
        };
        let map = OptionFields::parse(&bytes)?;
        own.count = counts(&map, "map", [(1, "min_pairs"), (2, "max_pairs")], "entries");
        self.place(&mut own.count);
        let this = Type::of_field(self.types, field);
        own.value.cel = self.predefined_rules("map", &bytes, &this)?;
        let entry = field.message().map(|id| &self.types.message(id).fields);
        if let Some([key, value]) = entry.map(Vec::as_slice) {
            own.keys = self.nested(&map, 4, key.kind, ["map", "keys"])?;
            own.items = self.nested(&map, 5, value.kind, ["map", "values"])?;
        }
        self.unknown(&map, "map", &[1, 2, 4, 5]);
        Ok(own)
    }

    /// Returns the rules of items, keys or values. `required` says nothing there: elements are
    /// always set.
    fn nested(
        &mut self,
        container: &OptionFields<'_>,
        number: u32,
        kind: Kind,
        steps: [&'static str; 2],
    ) -> Result<ValueRules, String> {
        let Some(bytes) = container.message(number) else {
            return Ok(ValueRules::default());
        };
        let rules = OptionFields::parse(&bytes)?;
        self.steps.extend(steps);
        let compiled = self.value(&rules, kind);
        self.steps.truncate(self.steps.len() - steps.len());
        let [_, last] = steps;
        compiled.map_err(|reason| format!("{last}: {reason}"))
    }

    /// Gives checks the paths of their rules, which their ids tell.
    fn place(&self, checks: &mut [Check]) {
        for check in checks {
            let Some((typed, rule)) = check.id.split_once('.') else {
                continue;
            };
            // Ids of two limits begin with the lower one, those of emptiness end with it, and
            // `well_known_regex` has an id for each of its values.
            let rule = match rule {
                rule if rule.starts_with("gte_") => "gte",
                rule if rule.starts_with("gt_") && rule != "gt_now" => "gt",
                rule => rule.strip_suffix("_empty").unwrap_or(rule),
            };
            let rule = rule.split('.').next().unwrap_or(rule);
            check.path = self.path(&[(typed, None), (rule, None)]);
        }
    }

    fn value(&mut self, rules: &OptionFields<'_>, kind: Kind) -> Result<ValueRules, String> {
        let (expected, form) = self.expected(kind);
        let this = self.this(kind, form);
        let mut cel = self.cel(rules, (CEL, CEL_EXPRESSION), &this)?;
        let checks = match self.typed(rules, expected)? {
            Some(bytes) => {
                let name = TYPES.iter().find(|(other, _)| *other == expected);
                let name = name.map_or("", |(_, name)| name);
                cel.append(&mut self.predefined_rules(name, &bytes, &this)?);
                self.checks(expected, &bytes, kind, form)?
            }
            None => Vec::new(),
        };
        Ok(ValueRules {
            cel,
            ignore: ignore(rules)?,
            form,
            first: self.enum_numbers(kind).first().copied().unwrap_or(0),
            quick: Quick::new(&checks),
            checks,
        })
    }

    /// Returns the type of `this`: a wrapper stands for its value, which is set where it is judged.
    fn this(&self, kind: Kind, form: Form) -> Type {
        match form {
            Form::Wrapper(inner) => Type::of_value(self.types, inner),
            _ => Type::of_value(self.types, kind),
        }
    }

    /// Returns the number of the rules that fit a value, zero for none, and how the value is read.
    fn expected(&self, kind: Kind) -> (u32, Form) {
        let Kind::Message(id) = kind else {
            return (scalar_number(kind), Form::Scalar);
        };
        let plan = self.types.message(id);
        match (plan.shape, plan.fields.as_slice()) {
            (Shape::Any, _) => (20, Form::TypeUrl),
            (Shape::Duration, _) => (21, Form::Time),
            (Shape::Timestamp, _) => (22, Form::Time),
            (Shape::FieldMask, _) => (28, Form::Paths),
            (Shape::Wrapper, [value, ..]) => (scalar_number(value.kind), Form::Wrapper(value.kind)),
            _ => (0, Form::Opaque),
        }
    }

    /// Returns the rules for the expected type. Rules for another one are rejected, what can't be
    /// enforced is noted.
    fn typed(
        &mut self,
        rules: &OptionFields<'_>,
        expected: u32,
    ) -> Result<Option<Vec<u8>>, String> {
        let name = |number| TYPES.iter().find(|(other, _)| *other == number);
        for number in rules.numbers() {
            match name(number) {
                Some((_, found)) if number != expected => {
                    let fitting = name(expected).map_or("another message", |(_, name)| name);
                    let advice = match expected {
                        0 => "write rules at the fields of that message".to_owned(),
                        REPEATED => format!("write `repeated.items.{found}`"),
                        MAP => format!("write `map.values.{found}` or `map.keys.{found}`"),
                        _ => format!("write `{fitting}`"),
                    };
                    return Err(format!(
                        "rules `{found}` do not fit a field of type {fitting}; {advice}"
                    ));
                }
                Some(_) => {}
                None if [CEL, CEL_EXPRESSION, REQUIRED, IGNORE].contains(&number) => {}
                None => self
                    .notes
                    .push(format!("rule number {number} is not enforced here")),
            }
        }
        Ok(rules.message(expected))
    }

    fn checks(
        &mut self,
        number: u32,
        bytes: &[u8],
        kind: Kind,
        form: Form,
    ) -> Result<Vec<Check>, String> {
        let name = TYPES.iter().find(|(other, _)| *other == number);
        let rules = OptionFields::parse(bytes)?;
        let kind = match form {
            Form::Wrapper(inner) => inner,
            _ => kind,
        };
        let mut typed = Typed::new(name.map_or("", |(_, name)| name), &rules);
        typed.compile(number, kind, self.enum_numbers(kind), self.has_clock)?;
        let name = name.map_or("", |(_, name)| name);
        let (mut checks, notes) = typed.finish(|number| self.is_predefined(name, number));
        self.notes.extend(notes);
        self.place(&mut checks);
        Ok(checks)
    }

    fn enum_numbers(&self, kind: Kind) -> &[i32] {
        let numbers = |id: EnumId| self.enums.get(id).map(Vec::as_slice);
        match kind {
            Kind::Enum(id) => numbers(id).unwrap_or_default(),
            _ => &[],
        }
    }

    fn unknown(&mut self, rules: &OptionFields<'_>, name: &str, known: &[u32]) {
        for number in rules.numbers() {
            if !known.contains(&number) && !self.is_predefined(name, number) {
                self.notes.push(format!(
                    "rule number {number} of `{name}` is not enforced here"
                ));
            }
        }
    }
}

fn scalar_number(kind: Kind) -> u32 {
    match kind {
        Kind::Float => 1,
        Kind::Double => 2,
        Kind::Int32 => 3,
        Kind::Int64 => 4,
        Kind::Uint32 => 5,
        Kind::Uint64 => 6,
        Kind::Sint32 => 7,
        Kind::Sint64 => 8,
        Kind::Fixed32 => 9,
        Kind::Fixed64 => 10,
        Kind::Sfixed32 => 11,
        Kind::Sfixed64 => 12,
        Kind::Bool => 13,
        Kind::String => 14,
        Kind::Bytes => 15,
        Kind::Enum(_) => 16,
        Kind::Message(_) | Kind::Group(_) => 0,
    }
}

fn ignore(rules: &OptionFields<'_>) -> Result<Ignore, String> {
    match rules.varint(IGNORE) {
        None | Some(0) => Ok(Ignore::Never),
        Some(1) => Ok(Ignore::IfZero),
        Some(3) => Ok(Ignore::Always),
        Some(other) => Err(format!("rule `ignore` has the unknown value {other}")),
    }
}

/// Least and most elements of a list or a map.
fn counts(
    rules: &OptionFields<'_>,
    name: &str,
    [min, max]: [(u32, &str); 2],
    noun: &str,
) -> Vec<Check> {
    let check = |(number, rule): (u32, &str), is_min: bool| {
        let limit = rules.varint(number)?;
        let (least, most) = if is_min {
            (limit, u64::MAX)
        } else {
            (0, limit)
        };
        Some(between(name, rule, (least, most), Unit::Elements, noun))
    };
    [check(min, true), check(max, false)]
        .into_iter()
        .flatten()
        .collect()
}
