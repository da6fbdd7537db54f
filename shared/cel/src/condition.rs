//! Conditions of access: a caller, a request and its headers in, yes or no out.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use auth::Identity;
use cel_engine::common::types::{CelString, CelTimestamp};
use cel_engine::common::value::CowVal;
use chrono::{DateTime, Utc};
use descriptors::{MessageId, Types};
use http::HeaderMap;

use crate::error::{CompileError, EvaluationError, refused};
use crate::library::Library;
use crate::meter::Meter;
use crate::program::{Answer, Program, Variables};
use crate::types::Type;
use crate::value::{Caller, Headers, Message, View};

/// An expression over `identity`, `request`, `metadata`, `method` and `now` that is true or false.
#[derive(Debug)]
pub struct Condition {
    program: Program,
    types: Arc<Types>,
    input: MessageId,
}

/// A call that a condition judges.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The caller; `None` for an anonymous one, whose texts and lists are empty.
    pub identity: Option<&'a Identity>,
    /// The request message, without frame header: wire bytes of the method's input, or of the first
    /// message of a stream.
    pub request: &'a [u8],
    /// Headers of the request.
    pub metadata: &'a HeaderMap,
    /// Full name of the method, such as `shop.v1.Orders.GetOrder`.
    pub method: &'a str,
}

/// The variables of one evaluation.
struct Call<'a> {
    caller: Caller<'a>,
    request: Message<'a>,
    metadata: Headers<'a>,
    method: &'a str,
    /// Read once, so that it stands still.
    now: OnceLock<CelTimestamp>,
}

// === impl Condition ===

impl Condition {
    /// Compiles a condition on calls of a method with this input message.
    ///
    /// # Errors
    /// The expression is malformed, names something that doesn't exist, is not a bool, or may cost
    /// too much.
    pub fn compile(
        source: &str,
        types: &Arc<Types>,
        input: MessageId,
    ) -> Result<Self, CompileError> {
        let variables = [
            ("identity", Type::Identity),
            ("request", Type::of_message(types, input)),
            ("metadata", Type::Headers),
            ("method", Type::String),
            ("now", Type::Timestamp),
        ];
        let program = Program::compile(source, types, &Library::standard(), &variables)?;
        match program.result() {
            Type::Bool | Type::Dyn => Ok(Condition {
                program,
                types: types.clone(),
                input,
            }),
            other => {
                let shown = other.shown(types);
                Err(refused(format!("its result is of type {shown}, not bool")))
            }
        }
    }

    /// Returns whether the condition holds. Only the fields that it names are decoded.
    ///
    /// # Errors
    /// The expression has no result for this call, which is to be treated as a refusal.
    pub fn holds(&self, subject: &Subject<'_>) -> Result<bool, EvaluationError> {
        self.run(subject, &Meter::default())
    }

    pub(crate) fn run(
        &self,
        subject: &Subject<'_>,
        meter: &Meter,
    ) -> Result<bool, EvaluationError> {
        let view = View::new(&self.types, meter);
        let call = Call {
            caller: Caller(subject.identity),
            request: view.message(self.input, [subject.request]),
            metadata: Headers(subject.metadata),
            method: subject.method,
            now: OnceLock::new(),
        };
        match self.program.run(&call, meter)? {
            Answer::Bool(holds) => Ok(holds),
            Answer::Text(_) => Err(EvaluationError::NotBool),
        }
    }
}

impl Variables for Call<'_> {
    fn get<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        Some(match name {
            "identity" => CowVal::Borrowed(&self.caller),
            "request" => CowVal::Borrowed(&self.request),
            "metadata" => CowVal::Borrowed(&self.metadata),
            "method" => CowVal::owned(CelString::from(self.method)),
            "now" => CowVal::Borrowed(self.now.get_or_init(|| moment(SystemTime::now()))),
            _ => return None,
        })
    }
}

/// Returns a time as a value of expressions.
pub fn moment(time: SystemTime) -> CelTimestamp {
    CelTimestamp::from(DateTime::<Utc>::from(time).fixed_offset())
}
