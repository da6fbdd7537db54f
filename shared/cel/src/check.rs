//! The check before the first run: names, fields, functions and types, and the bounds.

mod calls;

use cel_engine::common::ast::{
    ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, SelectExpr,
};
use descriptors::{Types, did_you_mean};

use crate::error::{CompileError, refused};
use crate::library::Library;
use crate::limits::{MAX_NESTED_COMPREHENSIONS, MAX_NODES};
use crate::types::{IDENTITY, Type};

/// Types that expressions can name.
const TYPE_NAMES: [&str; 9] = [
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
];

/// A variable and its type.
pub type Variable<'a> = (&'a str, Type);

/// Checks one expression.
pub(crate) struct Checker<'a> {
    pub(crate) types: &'a Types,
    pub(crate) library: &'a Library,
    /// The innermost is the last.
    scope: Vec<(String, Type)>,
    nested: usize,
    nodes: usize,
}

type Checked<T = Type> = Result<T, CompileError>;

// === impl Checker ===

impl<'a> Checker<'a> {
    pub(crate) fn new(types: &'a Types, library: &'a Library, variables: &[Variable<'_>]) -> Self {
        let scope = variables
            .iter()
            .map(|(name, own)| ((*name).to_owned(), own.clone()));
        Checker {
            types,
            library,
            scope: scope.collect(),
            nested: 0,
            nodes: 0,
        }
    }

    /// Returns the type of an expression.
    ///
    /// # Errors
    /// The expression can't run, or may cost too much.
    pub(crate) fn expression(&mut self, expression: &IdedExpr) -> Checked {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(refused(format!("it has more than {MAX_NODES} operations")));
        }
        match &expression.expr {
            Expr::Literal(literal) => Ok(literal_type(literal)),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => {
                let (mut keys, mut values) = (None, None);
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        let key = self.expression(&entry.key)?;
                        let value = self.expression(&entry.value)?;
                        keys = Some(joined(keys, key));
                        values = Some(joined(values, value));
                    }
                }
                let any = |own: Option<Type>| Box::new(own.unwrap_or(Type::Dyn));
                Ok(Type::Map(any(keys), any(values)))
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Struct(made) => Err(refused(format!(
                "it makes a message of type `{}`, which expressions can't do here",
                made.type_name
            ))),
            Expr::Unspecified => Err(refused("a part of it is missing")),
        }
    }

    fn variable(&self, name: &str) -> Checked {
        let found = self.scope.iter().rev().find(|(own, _)| own == name);
        if let Some((_, own)) = found {
            return Ok(own.clone());
        }
        if TYPE_NAMES.contains(&name) {
            return Ok(Type::Type);
        }
        let known = self.scope.iter().map(|(own, _)| own.as_str());
        let meant = did_you_mean(name, known.filter(|own| !own.starts_with('@')));
        Err(refused(format!("no variable is named `{name}`{meant}")))
    }

    fn select(&mut self, select: &SelectExpr) -> Checked {
        let field = select.field.as_str();
        if select.operand.expr == Expr::Ident("google.protobuf".into()) {
            return Ok(Type::Type);
        }
        let operand = self.expression(&select.operand)?;
        let found = self.field(&operand, field)?;
        Ok(if select.test { Type::Bool } else { found })
    }

    /// Returns the type of `operand.field`.
    pub(crate) fn field(&self, operand: &Type, field: &str) -> Checked {
        match operand {
            Type::Dyn => Ok(Type::Dyn),
            Type::Map(_, value) => Ok((**value).clone()),
            Type::Headers => Ok(Type::String),
            Type::Message(id) => {
                let plan = self.types.message(*id);
                let found = plan.fields.iter().find(|own| &*own.name == field);
                let Some(found) = found else {
                    let names = plan.fields.iter().map(|own| &*own.name);
                    let meant = did_you_mean(field, names);
                    let name = &plan.name;
                    return Err(refused(format!(
                        "message `{name}` has no field `{field}`{meant}"
                    )));
                };
                Ok(Type::of_field(self.types, found))
            }
            Type::Identity => match field {
                "roles" | "scopes" => Ok(Type::List(Box::new(Type::String))),
                field if IDENTITY.contains(&field) => Ok(Type::String),
                field => {
                    let meant = did_you_mean(field, IDENTITY);
                    Err(refused(format!(
                        "an identity has no field `{field}`{meant}"
                    )))
                }
            },
            other => {
                let shown = other.shown(self.types);
                Err(refused(format!(
                    "a value of type {shown} has no field `{field}`"
                )))
            }
        }
    }

    fn list(&mut self, list: &ListExpr) -> Checked {
        let mut items = None;
        for element in &list.elements {
            let item = self.expression(element)?;
            items = Some(joined(items, item));
        }
        Ok(Type::List(Box::new(items.unwrap_or(Type::Dyn))))
    }

    fn comprehension(&mut self, own: &ComprehensionExpr) -> Checked {
        let range = self.expression(&own.iter_range)?;
        let item = match range {
            Type::List(item) => *item,
            Type::Map(key, _) => *key,
            Type::Dyn => Type::Dyn,
            other => {
                let shown = other.shown(self.types);
                return Err(refused(format!("a value of type {shown} has no elements")));
            }
        };
        if self.nested == MAX_NESTED_COMPREHENSIONS {
            let most = MAX_NESTED_COMPREHENSIONS;
            return Err(refused(format!("it nests more than {most} comprehensions")));
        }
        self.nested += 1;
        let result = self.comprehended(own, item);
        self.nested -= 1;
        result
    }

    fn comprehended(&mut self, own: &ComprehensionExpr, item: Type) -> Checked {
        let accumulated = self.expression(&own.accu_init)?;
        let depth = self.scope.len();
        self.scope.push((own.accu_var.clone(), accumulated));
        self.scope.push((own.iter_var.clone(), item));
        self.demand_bool(&own.loop_cond)?;
        let step = self.expression(&own.loop_step)?;
        // What `map` makes shows in its step: it begins with an empty list.
        if let Some((_, accumulated)) = self.scope.get_mut(depth) {
            *accumulated = step;
        }
        let result = self.expression(&own.result)?;
        self.scope.truncate(depth);
        Ok(result)
    }

    pub(crate) fn demand_bool(&mut self, expression: &IdedExpr) -> Checked<()> {
        match self.expression(expression)? {
            Type::Bool | Type::Dyn => Ok(()),
            other => {
                let shown = other.shown(self.types);
                Err(refused(format!(
                    "a value of type {shown} stands where a bool is needed"
                )))
            }
        }
    }
}

fn literal_type(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::String,
        LiteralValue::UInt(_) => Type::Uint,
    }
}

/// Returns the type of values of both types.
pub(crate) fn joined(one: Option<Type>, other: Type) -> Type {
    match one {
        None => other,
        Some(one) if one == other => one,
        Some(Type::List(one)) if matches!(*one, Type::Dyn) && matches!(other, Type::List(_)) => {
            other
        }
        Some(_) => Type::Dyn,
    }
}
