//! Compiled expressions.

use std::fmt;

use cel_engine::common::ast::IdedExpr;
use cel_engine::common::types::{CelBool, CelString};
use cel_engine::common::value::CowVal;
use cel_engine::context::VariableResolver;
use cel_engine::parser::PrattParser;
use cel_engine::{Context, Value};
use descriptors::Types;

use crate::check::{Checker, Variable};
use crate::error::{CompileError, EvaluationError, refused};
use crate::library::{Library, Pattern};
use crate::limits::{MAX_NESTING, MAX_NODES, MAX_SOURCE_BYTES};
use crate::meter::Meter;
use crate::rewrite::{MORE, PATTERN, Rewriter};
use crate::types::Type;

/// An expression that is checked, and ready to run on any number of threads.
pub struct Program {
    expression: IdedExpr,
    library: Library,
    patterns: Vec<Pattern>,
    result: Type,
}

/// The values of an expression's variables.
pub trait Variables: Send + Sync {
    /// Returns the value of a variable. It is called each time that the expression names it.
    fn get<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>>;
}

/// The result of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A bool.
    Bool(bool),
    /// A text, which rules use for the words about a violation.
    Text(String),
}

/// The variables with those that the rewriting has added.
struct Scope<'a> {
    variables: &'a dyn Variables,
    patterns: &'a [Pattern],
    meter: &'a Meter,
}

// === impl Program ===

impl Program {
    /// Compiles an expression over these variables.
    ///
    /// # Errors
    /// The expression is malformed, names something that doesn't exist, can't have the type that
    /// an operator or function needs, or may cost too much.
    pub fn compile(
        source: &str,
        types: &Types,
        library: &Library,
        variables: &[Variable<'_>],
    ) -> Result<Self, CompileError> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(refused(format!(
                "it is longer than {MAX_SOURCE_BYTES} bytes"
            )));
        }
        let parser = PrattParser::new()
            .max_recursion_depth(MAX_NESTING)
            .max_expression_node_count(MAX_NODES)
            .error_recovery_limit(1);
        let parsed = parser.parse(source).map_err(|errors| {
            let first = errors.errors.first();
            let reason = first.map_or("it is malformed", |error| error.msg.as_str());
            let reason = reason.strip_prefix("Syntax error: ").unwrap_or(reason);
            let column = first.map_or(0, |error| error.pos.1.max(0) + 1);
            refused(format!("{reason} (column {column})"))
        });
        let mut expression = parsed?;
        let result = Checker::new(types, library, variables).expression(&expression)?;
        let mut rewriter = Rewriter {
            library,
            patterns: Vec::new(),
        };
        rewriter.expression(&mut expression)?;
        Ok(Program {
            expression,
            library: library.clone(),
            patterns: rewriter.patterns,
            result,
        })
    }

    /// Returns the type of the result, as far as it is known.
    pub fn result(&self) -> &Type {
        &self.result
    }

    /// Runs the expression.
    ///
    /// # Errors
    /// The expression has no result for these values.
    pub fn run(&self, variables: &dyn Variables, meter: &Meter) -> Result<Answer, EvaluationError> {
        let scope = Scope {
            variables,
            patterns: &self.patterns,
            meter,
        };
        let mut context = Context::with_env(self.library.env.clone());
        context.set_variable_resolver(&scope);
        let result = Value::resolve_val(&self.expression, &context);
        if meter.is_exceeded() {
            return Err(EvaluationError::TooExpensive);
        }
        let value = result.map_err(|error| EvaluationError::of(&error))?;
        if let Some(answer) = value.downcast_ref::<CelBool>() {
            return Ok(Answer::Bool(*answer.inner()));
        }
        match value.downcast_ref::<CelString>() {
            Some(text) => Ok(Answer::Text(text.inner().to_owned())),
            None => Err(EvaluationError::NotBool),
        }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Program");
        shown.field("result", &self.result).finish_non_exhaustive()
    }
}

impl VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        if !name.starts_with('@') {
            return self.variables.get(name);
        }
        if name == MORE {
            return self
                .meter
                .step(1)
                .then(|| CowVal::owned(CelBool::from(true)));
        }
        let number = name.strip_prefix(PATTERN)?.parse::<usize>().ok()?;
        self.patterns
            .get(number)
            .map(|pattern| CowVal::Borrowed(pattern))
    }
}
