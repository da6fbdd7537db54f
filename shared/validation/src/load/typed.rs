//! The rules for values of one type, such as `StringRules`: numbers, names and words of each.

mod constants;
mod text;

use descriptors::Kind;

use self::constants::{Reading, Shown};
use crate::load::options::OptionFields;
use crate::rules::set::Set;
use crate::rules::table::{Bounds, Check, Test, Unit};

/// Compiles one message of typed rules.
pub(crate) struct Typed<'a> {
    /// As in rule ids: `string`.
    name: &'static str,
    rules: &'a OptionFields<'a>,
    checks: Vec<Check>,
    notes: Vec<String>,
    /// Field numbers that somebody has asked for.
    known: Vec<u32>,
}

/// Field numbers of the rules that all ordered types have.
struct Ordered {
    constant: u32,
    lt: u32,
    lte: u32,
    gt: u32,
    gte: u32,
}

const NUMBERS: Ordered = Ordered {
    constant: 1,
    lt: 2,
    lte: 3,
    gt: 4,
    gte: 5,
};

const TIMES: Ordered = Ordered {
    constant: 2,
    lt: 3,
    lte: 4,
    gt: 5,
    gte: 6,
};

/// Returns a check of a length or of a count.
pub(crate) fn between(
    name: &str,
    rule: &str,
    (least, most): (u64, u64),
    unit: Unit,
    noun: &str,
) -> Check {
    let (at_least, at_most) = match name {
        "repeated" => ("must contain at least", "must contain no more than"),
        "map" => ("map must be at least", "map must be at most"),
        _ => ("must be at least", "must be at most"),
    };
    let (quantity, limit) = match (least, most) {
        (least, most) if least == most && unit != Unit::Elements => ("must be", least),
        (least, u64::MAX) => (at_least, least),
        (_, most) => (at_most, most),
    };
    Check {
        id: format!("{name}.{rule}").into(),
        text: format!("{quantity} {limit} {noun}").into(),
        test: Test::Length(unit, least, most),
        path: Box::default(),
    }
}

// === impl Typed ===

impl<'a> Typed<'a> {
    pub(crate) fn new(name: &'static str, rules: &'a OptionFields<'a>) -> Self {
        Typed {
            name,
            rules,
            checks: Vec::new(),
            notes: Vec::new(),
            known: Vec::new(),
        }
    }

    /// Compiles the rules that `FieldRules` holds under `number`.
    pub(crate) fn compile(
        &mut self,
        number: u32,
        kind: Kind,
        enum_numbers: &[i32],
        has_clock: bool,
    ) -> Result<(), String> {
        match number {
            1 | 2 => self.number(kind, 9),
            3 => self.number(kind, 8),
            4 => self.number(kind, 9),
            5..=12 => self.number(kind, 8),
            13 => self.constants(Reading::Scalar(kind), [Some(1), None, None], 2),
            14 => self.string(),
            15 => self.bytes(),
            16 => self.enumeration(enum_numbers),
            20 => self.constants(Reading::Scalar(Kind::String), [None, Some(2), Some(3)], 0),
            21 => {
                self.range(Reading::Duration, &TIMES)?;
                let numbers = [Some(TIMES.constant), Some(7), Some(8)];
                self.constants(Reading::Duration, numbers, 9)
            }
            22 => self.timestamp(has_clock),
            28 => {
                self.field_mask();
                Ok(())
            }
            _ => Err("these rules fit no field".into()),
        }
    }

    /// Returns the checks, and notes every rule that is unsupported and not known elsewhere.
    pub(crate) fn finish(mut self, is_known: impl Fn(u32) -> bool) -> (Vec<Check>, Vec<String>) {
        for number in self.rules.numbers() {
            if !self.known.contains(&number) && !is_known(number) {
                self.notes.push(format!(
                    "rule number {number} of `{}` is not enforced here",
                    self.name
                ));
            }
        }
        (self.checks, self.notes)
    }

    fn add(&mut self, rule: &str, text: impl Into<Box<str>>, test: Test) {
        self.checks.push(Check {
            id: format!("{}.{rule}", self.name).into(),
            text: text.into(),
            test,
            path: Box::default(),
        });
    }

    fn knows(&mut self, number: u32) -> u32 {
        self.known.push(number);
        number
    }

    fn flag(&mut self, number: u32) -> bool {
        let number = self.knows(number);
        self.rules.flag(number)
    }

    fn number(&mut self, kind: Kind, example: u32) -> Result<(), String> {
        let reading = Reading::Scalar(kind);
        self.range(reading, &NUMBERS)?;
        self.constants(reading, [Some(NUMBERS.constant), Some(6), Some(7)], example)?;
        if matches!(kind, Kind::Float | Kind::Double) && self.flag(8) {
            self.add("finite", "must be finite", Test::Finite);
        }
        Ok(())
    }

    fn enumeration(&mut self, numbers: &[i32]) -> Result<(), String> {
        let reading = Reading::Scalar(Kind::Int32);
        self.constants(reading, [Some(1), None, None], 5)?;
        if self.flag(2) {
            let mut sorted = numbers.to_vec();
            sorted.sort_unstable();
            let test = Test::Defined(sorted.into());
            self.add(
                "defined_only",
                "value must be one of the defined enum values",
                test,
            );
        }
        self.constants(reading, [None, Some(3), Some(4)], 5)
    }

    fn timestamp(&mut self, has_clock: bool) -> Result<(), String> {
        self.range(Reading::Timestamp, &TIMES)?;
        let numbers = [Some(TIMES.constant), None, None];
        self.constants(Reading::Timestamp, numbers, 10)?;
        let within = self.knows(9);
        let within = self.rules.all(within).next_back().map(|(_, raw)| raw);
        let within = within.map(|raw| Reading::Duration.read(raw)).transpose()?;
        let mut found = Vec::new();
        if self.flag(7) {
            found.push((
                "lt_now",
                "must be less than now".to_owned(),
                Test::BeforeNow,
            ));
        }
        if self.flag(8) {
            found.push((
                "gt_now",
                "must be greater than now".to_owned(),
                Test::AfterNow,
            ));
        }
        if let Some((constants::Constant::Int(distance), text)) = within.map(Shown::into_parts) {
            let text = format!("must be within {text} of now");
            found.push(("within", text, Test::NearNow(distance)));
        }
        for (rule, text, test) in found {
            if has_clock {
                self.add(rule, text, test);
            } else {
                self.notes.push(format!(
                    "rule `timestamp.{rule}` is not enforced here: the options have no clock"
                ));
            }
        }
        Ok(())
    }

    fn field_mask(&mut self) {
        let mask = self.knows(1);
        if let Some(mask) = self.rules.message(mask) {
            let paths = OptionFields::parse(&mask).map(|mask| constants::texts(&mask, 1));
            let paths = paths.unwrap_or_default();
            let text = format!("must equal paths [{}]", paths.join(", "));
            self.add("const", text, Test::PathsEqual(paths));
        }
        let (within, outside) = (self.knows(2), self.knows(3));
        let paths = constants::texts(self.rules, within);
        if !paths.is_empty() {
            let text = format!("must only contain paths in [{}]", paths.join(", "));
            self.add("in", text, Test::PathsWithin(paths));
        }
        let paths = constants::texts(self.rules, outside);
        if !paths.is_empty() {
            let text = format!("must not contain any paths in [{}]", paths.join(", "));
            self.add("not_in", text, Test::PathsOutside(paths));
        }
        self.knows(4);
    }

    /// `const`, `in` and `not_in`, where the type has them under these numbers.
    fn constants(
        &mut self,
        reading: Reading,
        [equal, within, without]: [Option<u32>; 3],
        example: u32,
    ) -> Result<(), String> {
        self.knows(example);
        if let Some(number) = equal {
            let number = self.knows(number);
            if let Some((value, text)) = reading.last(self.rules, number)?.map(Shown::into_parts) {
                let test = Test::In(Set::new(vec![value]));
                let words = match self.name {
                    "bytes" => "must be",
                    _ => "must equal",
                };
                self.add("const", format!("{words} {text}"), test);
            }
        }
        if let Some(number) = within {
            let number = self.knows(number);
            let (values, text) = reading.list(self.rules, number)?;
            if !values.is_empty() {
                let text = match self.name {
                    "any" => "type URL must be in the allow list".to_owned(),
                    _ => format!("must be in list [{}]", text.replace('`', "")),
                };
                self.add("in", text, Test::In(Set::new(values)));
            }
        }
        if let Some(number) = without {
            let number = self.knows(number);
            let (values, text) = reading.list(self.rules, number)?;
            if !values.is_empty() {
                let text = match self.name {
                    "any" => "type URL must not be in the block list".to_owned(),
                    _ => format!("must not be in list [{}]", text.replace('`', "")),
                };
                self.add("not_in", text, Test::NotIn(Set::new(values)));
            }
        }
        Ok(())
    }

    /// Two limits make one rule with its own id, for example `int32.gte_lte`.
    fn range(&mut self, reading: Reading, numbers: &Ordered) -> Result<(), String> {
        let lower = self.limit(reading, ("gt", numbers.gt), ("gte", numbers.gte))?;
        let upper = self.limit(reading, ("lt", numbers.lt), ("lte", numbers.lte))?;
        let words = |limit: &Limit, strict: &str, or_equal: &str| {
            let relation = if limit.is_inclusive { or_equal } else { strict };
            format!("{relation} {}", limit.text)
        };
        let low = lower
            .as_ref()
            .map(|limit| words(limit, "greater than", "greater than or equal to"));
        let high = upper
            .as_ref()
            .map(|limit| words(limit, "less than", "less than or equal to"));
        let names = [&lower, &upper].map(|limit| limit.as_ref().map(|limit| limit.rule));
        let mut id = names.into_iter().flatten().collect::<Vec<_>>().join("_");
        if id.is_empty() {
            return Ok(());
        }
        let bounds = Bounds {
            lower: lower.map(|limit| (limit.value, limit.is_inclusive)),
            upper: upper.map(|limit| (limit.value, limit.is_inclusive)),
        };
        let mut conjunction = " and ";
        if bounds.exclude_the_middle() {
            id.push_str("_exclusive");
            conjunction = " or ";
        }
        let relations: Vec<String> = [low, high].into_iter().flatten().collect();
        let text = format!("must be {}", relations.join(conjunction));
        self.add(&id, text, Test::Within(bounds));
        Ok(())
    }

    fn limit(
        &mut self,
        reading: Reading,
        strict: (&'static str, u32),
        inclusive: (&'static str, u32),
    ) -> Result<Option<Limit>, String> {
        for ((rule, number), is_inclusive) in [(strict, false), (inclusive, true)] {
            let number = self.knows(number);
            if let Some((value, text)) = reading.last(self.rules, number)?.map(Shown::into_parts) {
                self.known.extend([strict.1, inclusive.1]);
                return Ok(Some(Limit {
                    rule,
                    value,
                    text,
                    is_inclusive,
                }));
            }
        }
        Ok(None)
    }
}

struct Limit {
    rule: &'static str,
    value: constants::Constant,
    text: String,
    is_inclusive: bool,
}
