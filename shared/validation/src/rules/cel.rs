//! Rules written in CEL: of messages, of fields and of elements, and predefined ones.

use std::sync::OnceLock;

use cel::engine::ExecutionError;
use cel::engine::common::types::{CelBool, CelInt, CelString, CelTimestamp, CelUInt};
use cel::engine::common::value::CowVal;
use cel::{Answer, Boxed, EvaluationError, Meter, Occurrence, Program, Variables, View};
use descriptors::{FieldPlan, Kind, MessageId, Types};

use super::value::{Now, Value};

/// A rule in CEL.
#[derive(Debug)]
pub struct CelRule {
    /// Id that the contract gives, or else the expression.
    pub id: Box<str>,
    /// The words of the contract for a violation; may be empty.
    pub text: Box<str>,
    /// The expression.
    pub expression: Box<str>,
    pub(crate) program: Program,
    pub(crate) given: Option<Given>,
    /// The encoded path of the rule.
    pub(crate) path: Box<[u8]>,
    /// The words of the expression could quote a confidential value.
    pub(crate) is_discreet: bool,
}

/// A predefined rule's values at one field: `rules` and `rule`.
#[derive(Debug)]
pub(crate) struct Given {
    /// The message of typed rules, such as `buf.validate.StringRules`.
    pub(crate) rules: MessageId,
    pub(crate) bytes: Box<[u8]>,
    /// Index of the extension.
    pub(crate) field: usize,
}

/// The value that a rule judges, as it is on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) enum This<'a> {
    /// A message: all pieces of its content.
    Message(MessageId, &'a [&'a [u8]]),
    /// A whole field, lists and maps included.
    Field(&'a FieldPlan, &'a [Occurrence<'a>]),
    /// An item of a list, or a value of a map.
    Item(Kind, &'a [Occurrence<'a>]),
    /// A key of a map.
    Key(Kind, &'a Value<'a>),
}

/// The reason for a violation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) text: String,
    pub(crate) has_no_result: bool,
}

/// The variables of one evaluation.
struct Scope<'a> {
    this: Boxed<'a>,
    given: Option<(Boxed<'a>, Boxed<'a>)>,
    now: &'a Now,
    read: OnceLock<CelTimestamp>,
}

// === impl CelRule ===

impl CelRule {
    /// Returns the reason why the value breaks the rule, if it does.
    pub(crate) fn judge(&self, types: &Types, this: This<'_>, now: &Now) -> Option<Finding> {
        let outcome = self.answer(types, this, now);
        let (text, has_no_result) = match outcome {
            Ok(Answer::Bool(true)) => return None,
            Ok(Answer::Text(text)) if text.is_empty() => return None,
            Ok(Answer::Text(_)) if self.text.is_empty() && self.is_discreet => {
                (format!("must keep the rule `{}`", self.id), false)
            }
            Ok(Answer::Text(text)) if self.text.is_empty() => (text, false),
            Ok(Answer::Bool(false)) if self.text.is_empty() => {
                (format!("{:?} returned false", self.expression), false)
            }
            Ok(_) => (self.text.to_string(), false),
            Err(reason) => (format!("the rule has no result: {reason}"), true),
        };
        Some(Finding {
            text,
            has_no_result,
        })
    }

    fn answer(&self, types: &Types, this: This<'_>, now: &Now) -> Result<Answer, EvaluationError> {
        let meter = Meter::default();
        let view = View::new(types, &meter);
        let given = self
            .given
            .as_ref()
            .map(|given| given.values(view))
            .transpose();
        let this = this.read(view);
        let (Ok(given), Ok(this)) = (given, this) else {
            return Err(match meter.is_exceeded() {
                true => EvaluationError::TooExpensive,
                false => EvaluationError::Failed,
            });
        };
        let scope = Scope {
            this,
            given,
            now,
            read: OnceLock::new(),
        };
        self.program.run(&scope, &meter)
    }
}

// === impl Given ===

impl Given {
    fn values<'v>(&'v self, view: View<'v>) -> Result<(Boxed<'v>, Boxed<'v>), ExecutionError> {
        let rules = view.message(self.rules, [&*self.bytes]);
        let rule = rules.at(self.field)?;
        let rules: Boxed<'v> = Box::new(rules);
        Ok((rules, rule))
    }
}

// === impl This ===

impl<'a> This<'a> {
    fn read(self, view: View<'a>) -> Result<Boxed<'a>, ExecutionError> {
        match self {
            This::Message(id, pieces) => Ok(Box::new(view.message(id, pieces.iter().copied()))),
            This::Field(field, occurrences) => view.field(field, occurrences),
            This::Item(kind, occurrences) => view.value(kind, occurrences),
            This::Key(kind, key) => Ok(key_value(kind, key)),
        }
    }
}

fn key_value<'v>(kind: Kind, key: &Value<'v>) -> Boxed<'v> {
    let is_unsigned = matches!(
        kind,
        Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64
    );
    match key {
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Int(number) if is_unsigned => Box::new(CelUInt::from(*number as u64)),
        Value::Int(number) => Box::new(CelInt::from(*number as i64)),
        // Bytes are known to be well formed before rules are looked at.
        other => Box::new(CelString::from(
            str::from_utf8(other.bytes()).unwrap_or_default(),
        )),
    }
}

impl Variables for Scope<'_> {
    fn get<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        Some(match (name, &self.given) {
            ("this", _) => CowVal::Borrowed(&*self.this),
            ("rules", Some((rules, _))) => CowVal::Borrowed(&**rules),
            ("rule", Some((_, rule))) => CowVal::Borrowed(&**rule),
            ("now", _) => {
                let now = self.now.time()?;
                CowVal::Borrowed(self.read.get_or_init(|| cel::moment(now)))
            }
            _ => return None,
        })
    }
}
