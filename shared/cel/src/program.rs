//! Compiled expressions.

use std::fmt;

use cel_engine::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel_engine::common::types::{CelBool, CelString};
use cel_engine::common::value::{CowVal, Val};
use cel_engine::context::VariableResolver;
use cel_engine::parser::PrattParser;
use cel_engine::{Context, ExecutionError, Value};
use descriptors::Types;

use crate::check::{Checker, Variable};
use crate::error::{CompileError, EvaluationError, refused};
use crate::library::Library;
use crate::limits::{MAX_NESTING, MAX_NODES, MAX_SOURCE_BYTES};
use crate::meter::Meter;
use crate::rewrite::{MORE, PATTERN, Rewriter};
use crate::types::Type;
use crate::value::Boxed;

/// An expression that is checked, and ready to run on any number of threads.
pub struct Program {
    expression: IdedExpr,
    library: Library,
    patterns: Vec<Boxed<'static>>,
    result: Type,
    reads: Vec<Read>,
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

/// A field of a variable that an expression reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Name of the variable.
    pub variable: String,
    /// Name of the field: `b` of `a.b` and of `a['b']`.
    pub field: String,
    /// It is only asked whether it is there.
    pub is_test: bool,
}

/// The reason why an expression has no value. It may quote values, unlike [`EvaluationError`].
#[derive(Debug)]
pub enum Failure {
    /// It takes more than [`MAX_STEPS`](crate::MAX_STEPS).
    TooExpensive,
    /// An error of the engine, or of a function.
    Engine(ExecutionError),
}

/// The variables with those that the rewriting has added.
struct Scope<'a> {
    variables: &'a dyn Variables,
    patterns: &'a [Boxed<'static>],
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
            .max_expression_node_count(MAX_NODES);
        let parsed = parser.parse(source).map_err(|errors| {
            let first = errors.errors.iter().find(|error| error.pos.0 > 0);
            let reason = first.map_or("it is malformed", |error| error.msg.as_str());
            let reason = reason.strip_prefix("Syntax error: ").unwrap_or(reason);
            let column = first.map_or(0, |error| error.pos.1.max(0) + 1);
            refused(format!("{reason} (column {column})"))
        });
        let mut expression = parsed?;
        let result = Checker::new(types, library, variables).expression(&expression)?;
        let reads = reads(&expression);
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
            reads,
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
        let answer = self.evaluate(variables, meter, |value| {
            if let Some(answer) = value.downcast_ref::<CelBool>() {
                return Ok(Answer::Bool(*answer.inner()));
            }
            match value.downcast_ref::<CelString>() {
                Some(text) => Ok(Answer::Text(text.inner().to_owned())),
                None => Err(EvaluationError::NotBool),
            }
        });
        answer.map_err(|failure| match failure {
            Failure::TooExpensive => EvaluationError::TooExpensive,
            Failure::Engine(error) => EvaluationError::of(&error),
        })?
    }

    /// Runs the expression and hands over its value, whatever type it has.
    ///
    /// # Errors
    /// The expression has no result for these values.
    pub fn evaluate<R>(
        &self,
        variables: &dyn Variables,
        meter: &Meter,
        read: impl FnOnce(&dyn Val) -> R,
    ) -> Result<R, Failure> {
        let scope = Scope {
            variables,
            patterns: &self.patterns,
            meter,
        };
        let mut context = Context::with_env(self.library.env.clone());
        context.set_variable_resolver(&scope);
        let result = Value::resolve_val(&self.expression, &context);
        if meter.is_exceeded() {
            return Err(Failure::TooExpensive);
        }
        result.map(|value| read(&*value)).map_err(Failure::Engine)
    }

    /// Returns the fields of variables that the expression reads.
    pub fn reads(&self) -> &[Read] {
        &self.reads
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
            .map(|pattern| CowVal::Borrowed(&**pattern))
    }
}

/// Lists the fields of variables that an expression names.
fn reads(expression: &IdedExpr) -> Vec<Read> {
    let mut found = Vec::new();
    let mut pending = vec![expression];
    while let Some(expression) = pending.pop() {
        match &expression.expr {
            Expr::Select(select) => {
                note(&mut found, &select.operand, &select.field, select.test);
                pending.push(&select.operand);
            }
            Expr::Call(own) => {
                if let (operators::INDEX, [container, key]) =
                    (own.func_name.as_str(), own.args.as_slice())
                    && let Expr::Literal(LiteralValue::String(name)) = &key.expr
                {
                    note(&mut found, container, name.inner(), false);
                }
                pending.extend(own.target.as_deref());
                pending.extend(own.args.iter());
            }
            Expr::List(list) => pending.extend(&list.elements),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        pending.extend([&entry.key, &entry.value]);
                    }
                }
            }
            Expr::Comprehension(own) => pending.extend([
                &own.iter_range,
                &own.accu_init,
                &own.loop_cond,
                &own.loop_step,
                &own.result,
            ]),
            Expr::Struct(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }
    found
}

fn note(found: &mut Vec<Read>, operand: &IdedExpr, field: &str, is_test: bool) {
    if let Expr::Ident(variable) = &operand.expr {
        found.push(Read {
            variable: variable.clone(),
            field: field.to_owned(),
            is_test,
        });
    }
}
