//! Expressions as the engine runs them: loops that are counted, `has` that knows protobuf's
//! presence, patterns that are compiled once.

use cel_engine::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators,
};

use crate::error::{CompileError, refused};
use crate::library::{HAS, Library, Pattern};
use crate::value::Boxed;

/// A variable that is true as long as the evaluation may go on, and unknown then. Each look at it
/// counts as a step. Expressions can't write its name.
pub(crate) const MORE: &str = "@more";

/// The prefix of the variables that hold patterns.
pub(crate) const PATTERN: &str = "@pattern";

/// Rewrites one expression.
pub(crate) struct Rewriter<'a> {
    pub(crate) library: &'a Library,
    /// Values that are made once, each behind a variable [`PATTERN`].
    pub(crate) patterns: Vec<Boxed<'static>>,
}

type Rewritten = Result<(), CompileError>;

// === impl Rewriter ===

impl Rewriter<'_> {
    pub(crate) fn expression(&mut self, expression: &mut IdedExpr) -> Rewritten {
        match &mut expression.expr {
            Expr::Select(select) => {
                self.expression(&mut select.operand)?;
                if select.test {
                    let operand = std::mem::take(&mut *select.operand);
                    let name = std::mem::take(&mut select.field);
                    let name = Expr::Literal(LiteralValue::String(name.into()));
                    expression.expr = call(HAS, vec![operand, ided(name)]);
                }
            }
            Expr::Call(own) => {
                if own.func_name == "matches" {
                    self.pattern(own)?;
                }
                self.prepare(own)?;
                if own.target.is_none() && self.library.lenient.contains(&own.func_name.as_str()) {
                    own.args.iter_mut().for_each(tolerate_absence);
                }
                if let Some(target) = &mut own.target {
                    self.expression(target)?;
                }
                own.args
                    .iter_mut()
                    .try_for_each(|argument| self.expression(argument))?;
            }
            Expr::List(list) => {
                list.elements
                    .iter_mut()
                    .try_for_each(|element| self.expression(element))?;
            }
            Expr::Map(map) => {
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        self.expression(&mut entry.key)?;
                        self.expression(&mut entry.value)?;
                    }
                }
            }
            Expr::Comprehension(own) => {
                self.expression(&mut own.iter_range)?;
                self.expression(&mut own.loop_step)?;
                self.expression(&mut own.result)?;
                count(own);
            }
            Expr::Struct(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
        Ok(())
    }

    /// Compiles the pattern of a call and puts a variable in its place.
    fn pattern(&mut self, own: &mut CallExpr) -> Rewritten {
        if own.target.is_none() && own.args.len() == 2 {
            own.target = Some(Box::new(own.args.remove(0)));
        }
        let [argument] = own.args.as_mut_slice() else {
            return Ok(());
        };
        let Expr::Literal(LiteralValue::String(text)) = &argument.expr else {
            return Err(refused("the pattern of `matches` must be written out"));
        };
        let compiled = (self.library.matcher)(text.inner());
        let matcher = compiled.map_err(|reason| {
            refused(format!(
                "the pattern `{}` is malformed: {reason}",
                text.inner()
            ))
        })?;
        argument.expr = Expr::Ident(format!("{PATTERN}{}", self.patterns.len()));
        self.patterns.push(Box::new(Pattern(matcher)));
        Ok(())
    }

    /// Puts variables in the place of arguments that are prepared.
    fn prepare(&mut self, own: &mut CallExpr) -> Rewritten {
        if own.target.is_some() {
            return Ok(());
        }
        let name = own.func_name.clone();
        let all = self.library.preparations.iter();
        for preparation in all.filter(|preparation| preparation.function == name) {
            let Some(argument) = own.args.get_mut(preparation.argument) else {
                continue;
            };
            let Expr::Literal(LiteralValue::String(text)) = &argument.expr else {
                let place = preparation.argument + 1;
                return Err(refused(format!(
                    "argument {place} of `{name}` must be a text that is written out"
                )));
            };
            let text = text.inner().to_owned();
            let made = (preparation.prepare)(&text)
                .map_err(|reason| refused(format!("`{text}` in `{name}` {reason}")))?;
            argument.expr = Expr::Ident(format!("{PATTERN}{}", self.patterns.len()));
            self.patterns.push(made);
        }
        Ok(())
    }
}

/// Turns `a.b` into `has(a.b) ? a.b : null`.
fn tolerate_absence(argument: &mut IdedExpr) {
    let Expr::Select(select) = &argument.expr else {
        return;
    };
    if select.test || !is_path(&select.operand) {
        return;
    }
    let mut test = select.clone();
    test.test = true;
    let value = std::mem::take(argument);
    let null = ided(Expr::Literal(LiteralValue::Null));
    let test = ided(Expr::Select(test));
    *argument = ided(call(operators::CONDITIONAL, vec![test, value, null]));
}

/// Returns whether an expression is a name, or one with fields: cheap to run twice.
fn is_path(expression: &IdedExpr) -> bool {
    match &expression.expr {
        Expr::Ident(_) => true,
        Expr::Select(select) => !select.test && is_path(&select.operand),
        _ => false,
    }
}

/// Makes a loop look at [`MORE`] in each turn, where an error ends it.
fn count(own: &mut ComprehensionExpr) {
    let collects = matches!(&own.accu_init.expr, Expr::List(list) if list.elements.is_empty());
    if !collects {
        let condition = std::mem::take(&mut own.loop_cond);
        own.loop_cond = ided(guarded(condition, no()));
        return;
    }
    // `map` and `filter` keep their shape, by which the engine knows to append in place.
    let step = std::mem::take(&mut own.loop_step);
    own.loop_step = match step.expr {
        Expr::Call(mut inner) if inner.func_name == operators::CONDITIONAL => {
            if let Some(condition) = inner.args.first_mut() {
                let inner = std::mem::take(condition);
                *condition = ided(guarded(inner, no()));
            }
            ided(Expr::Call(inner))
        }
        step => {
            let accumulated = ided(Expr::Ident(own.accu_var.clone()));
            ided(guarded(ided(step), accumulated))
        }
    };
}

/// Returns `@more ? expression : otherwise`.
fn guarded(expression: IdedExpr, otherwise: IdedExpr) -> Expr {
    let more = ided(Expr::Ident(MORE.to_owned()));
    call(operators::CONDITIONAL, vec![more, expression, otherwise])
}

fn no() -> IdedExpr {
    ided(Expr::Literal(LiteralValue::Boolean(false.into())))
}

fn call(name: &str, args: Vec<IdedExpr>) -> Expr {
    Expr::Call(CallExpr {
        func_name: name.to_owned(),
        target: None,
        args,
    })
}

fn ided(expr: Expr) -> IdedExpr {
    IdedExpr { id: 0, expr }
}
