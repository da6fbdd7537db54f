//! Types of operators and functions.

use cel_engine::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};
use descriptors::did_you_mean;

use super::{Checked, Checker, joined};
use crate::error::{CompileError, refused};
use crate::types::Type;

const COMPARISONS: [&str; 4] = [
    operators::LESS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::GREATER_EQUALS,
];

// === impl Checker ===

impl Checker<'_> {
    pub(super) fn call(&mut self, call: &CallExpr) -> Checked {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::CONDITIONAL, [condition, yes, no]) => {
                self.demand_bool(condition)?;
                let (yes, no) = (self.expression(yes)?, self.expression(no)?);
                Ok(joined(Some(yes), no))
            }
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [left, right]) => {
                self.demand_bool(left)?;
                self.demand_bool(right)?;
                Ok(Type::Bool)
            }
            (operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE, [one]) => {
                self.demand_bool(one)?;
                Ok(Type::Bool)
            }
            (operators::NEGATE, [one]) => match self.expression(one)? {
                own @ (Type::Int | Type::Double | Type::Decimal | Type::Dyn) => Ok(own),
                other => Err(self.no_operator("-", &other, None)),
            },
            (operators::INDEX, [container, key]) => self.index(container, key),
            (name, [left, right]) if call.target.is_none() && is_operator(name) => {
                let (left, right) = (self.expression(left)?, self.expression(right)?);
                self.operator(name, left, right)
            }
            _ => self.function(call),
        }
    }

    fn index(&mut self, container: &IdedExpr, key: &IdedExpr) -> Checked {
        let container = self.expression(container)?;
        let found = self.expression(key)?;
        match &container {
            Type::Dyn => Ok(Type::Dyn),
            Type::List(item) if found.is_number() || found == Type::Dyn => Ok((**item).clone()),
            Type::Map(own, value) if own.fits(&found) || own.is_number() && found.is_number() => {
                Ok((**value).clone())
            }
            Type::Headers if found.fits(&Type::String) => Ok(Type::String),
            _ => Err(self.no_operator("[]", &container, Some(&found))),
        }
    }

    fn operator(&self, name: &str, left: Type, right: Type) -> Checked {
        let either_any = left == Type::Dyn || right == Type::Dyn;
        let numbers = left.is_number() && right.is_number();
        let result = match name {
            operators::EQUALS | operators::NOT_EQUALS => {
                let nullable = |one: &Type, other: &Type| {
                    *one == Type::Null && matches!(other, Type::Message(_))
                };
                let fits = left.fits(&right) || numbers;
                (fits || nullable(&left, &right) || nullable(&right, &left)).then_some(Type::Bool)
            }
            operators::IN => match &right {
                Type::Dyn => Some(Type::Bool),
                Type::List(own) | Type::Map(own, _) => {
                    let fits = own.fits(&left) || own.is_number() && left.is_number();
                    fits.then_some(Type::Bool)
                }
                Type::Headers => left.fits(&Type::String).then_some(Type::Bool),
                _ => None,
            },
            name if COMPARISONS.contains(&name) => {
                let is_ordered = !matches!(
                    left,
                    Type::List(_) | Type::Map(..) | Type::Message(_) | Type::Null | Type::Type
                );
                let fits = either_any || numbers || left == right;
                (is_ordered && fits).then_some(Type::Bool)
            }
            _ => arithmetic(name, &left, &right),
        };
        result.ok_or_else(|| self.no_operator(shown(name), &left, Some(&right)))
    }

    fn no_operator(&self, name: &str, left: &Type, right: Option<&Type>) -> CompileError {
        let left = left.shown(self.types);
        let operands = match right {
            Some(right) => format!("{left} and {}", right.shown(self.types)),
            None => left.to_string(),
        };
        refused(format!("`{name}` does not accept {operands}"))
    }

    fn function(&mut self, call: &CallExpr) -> Checked {
        let mut name = call.func_name.clone();
        let mut receiver = None;
        if let Some(target) = &call.target {
            // `strings.quote(x)` is a function of that name, not a call on `strings`.
            match &target.expr {
                Expr::Ident(space) if self.has_function(&format!("{space}.{name}")) => {
                    name = format!("{space}.{name}");
                }
                _ => receiver = Some(self.expression(target)?),
            }
        }
        let arguments = call.args.iter().map(|argument| self.expression(argument));
        let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
        if !self.has_function(&name) {
            let meant = did_you_mean(&name, self.library.names());
            return Err(refused(format!("no function is named `{name}`{meant}")));
        }
        if name == "getField"
            && let ([Type::Message(id), _], Some(field)) =
                (arguments.as_slice(), call.args.get(1).and_then(text_of))
        {
            return self.field(&Type::Message(*id), field);
        }
        let mut results = self.library.overloads(&name).filter_map(|overload| {
            let (parameters, result) = overload.split_once(':')?;
            let (own_receiver, parameters) = match parameters.split_once('.') {
                Some((own, parameters)) => (Some(own), parameters),
                None => (None, parameters),
            };
            let fits = match (own_receiver, &receiver) {
                (Some(own), Some(receiver)) => fit(own, std::slice::from_ref(receiver)),
                (own, receiver) => own.is_none() && receiver.is_none(),
            };
            let result_type = |letter| match letter {
                '=' => shared(&arguments),
                letter => of_letter(letter),
            };
            (fits && fit(parameters, &arguments)).then(|| result.chars().next().map(result_type))?
        });
        if let Some(result) = results.next() {
            return Ok(match results.any(|other| other != result) {
                true => Type::Dyn,
                false => result,
            });
        }
        let arguments: Vec<_> = arguments
            .iter()
            .map(|own| own.shown(self.types).to_string())
            .collect();
        let on = receiver.map(|own| format!(" on {}", own.shown(self.types)));
        let on = on.unwrap_or_default();
        let list = arguments.join(", ");
        Err(refused(format!(
            "`{name}({list})`{on}: the function does not accept these types"
        )))
    }

    fn has_function(&self, name: &str) -> bool {
        self.library.overloads(name).next().is_some()
    }
}

fn text_of(expression: &IdedExpr) -> Option<&str> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

fn is_operator(name: &str) -> bool {
    const OTHERS: [&str; 8] = [
        operators::EQUALS,
        operators::NOT_EQUALS,
        operators::IN,
        operators::ADD,
        operators::SUBSTRACT,
        operators::MULTIPLY,
        operators::DIVIDE,
        operators::MODULO,
    ];
    OTHERS.contains(&name) || COMPARISONS.contains(&name)
}

fn arithmetic(name: &str, left: &Type, right: &Type) -> Option<Type> {
    use Type::{Bytes, Decimal, Double, Duration, Dyn, Int, List, String, Timestamp, Uint};
    match (name, left, right) {
        (_, Dyn, _) | (_, _, Dyn) => Some(Dyn),
        (operators::ADD, List(one), List(other)) => Some(List(Box::new(if **one == Dyn {
            (**other).clone()
        } else {
            (**one).clone()
        }))),
        (operators::ADD, String, String) => Some(String),
        (operators::ADD, Bytes, Bytes) => Some(Bytes),
        (operators::ADD, Timestamp, Duration) | (operators::ADD, Duration, Timestamp) => {
            Some(Timestamp)
        }
        (operators::SUBSTRACT, Timestamp, Timestamp) => Some(Duration),
        (operators::SUBSTRACT, Timestamp, Duration) => Some(Timestamp),
        (operators::ADD | operators::SUBSTRACT, Duration, Duration) => Some(Duration),
        (_, Int, Int) => Some(Int),
        (_, Uint, Uint) => Some(Uint),
        // A quotient may have no end.
        (operators::ADD | operators::SUBSTRACT | operators::MULTIPLY, Decimal, Decimal | Int) => {
            Some(Decimal)
        }
        (operators::MODULO, ..) => None,
        (_, Double, Double) => Some(Double),
        _ => None,
    }
}

/// Returns the operator as expressions write it.
fn shown(name: &str) -> &str {
    name.trim_matches(['_', '@'])
}

fn fit(parameters: &str, arguments: &[Type]) -> bool {
    parameters.len() == arguments.len()
        && parameters
            .chars()
            .zip(arguments)
            .all(|(letter, own)| of_letter(letter).fits(own))
}

/// Returns the type that all arguments have, but for those that are null.
fn shared(arguments: &[Type]) -> Type {
    let others = arguments.iter().filter(|own| **own != Type::Null);
    let all = others.fold(None, |one, other| Some(joined(one, other.clone())));
    all.unwrap_or(Type::Null)
}

fn of_letter(letter: char) -> Type {
    let any = || Box::new(Type::Dyn);
    match letter {
        'b' => Type::Bool,
        'i' => Type::Int,
        'u' => Type::Uint,
        'd' => Type::Double,
        'e' => Type::Decimal,
        's' => Type::String,
        'y' => Type::Bytes,
        't' => Type::Timestamp,
        'r' => Type::Duration,
        'p' => Type::Type,
        'l' => Type::List(any()),
        'm' => Type::Map(any(), any()),
        _ => Type::Dyn,
    }
}
