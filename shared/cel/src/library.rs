//! The functions that expressions may call, with their signatures.

use std::fmt;
use std::sync::{Arc, OnceLock};

use cel_engine::common::functions::Function;
use cel_engine::common::types::{BOOL_TYPE, CelBool, CelString, DYN_TYPE, STRING_TYPE, Type};
use cel_engine::common::value::{CowVal, StaticVal, Val};
use cel_engine::{DeclarationError, Env, ExecutionError, extensions};
use regex::RegexBuilder;

use crate::limits::MAX_PATTERN_BYTES;
use crate::value::{Boxed, Presence, RECORD, failed};

/// The function that `has` becomes: the engine can't tell a field that is not set from its default.
pub(crate) const HAS: &str = "@has";

/// A compiled pattern of the expression itself.
pub(crate) static PATTERN: Type = Type::new_unspecified_type("pattern");

/// Returns whether a text has a match.
pub type Matcher = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Compiles a pattern in RE2's syntax.
pub type MakeMatcher = fn(&str) -> Result<Matcher, String>;

/// A set of functions. It is made once: cheap to clone.
#[derive(Clone)]
pub struct Library {
    pub(crate) env: Arc<Env>,
    pub(crate) matcher: MakeMatcher,
    more: &'static [Signature],
    pub(crate) preparations: Arc<[Preparation]>,
    pub(crate) lenient: &'static [&'static str],
}

/// Makes a value of a text that an expression writes out, once, when it is compiled: a pattern, a
/// format, the name of a table.
pub type Prepare = Arc<dyn Fn(&str) -> Result<Boxed<'static>, String> + Send + Sync>;

/// An argument of a function that has to be written out.
#[derive(Clone)]
pub struct Preparation {
    /// Name of the function, which is not called on a value.
    pub function: &'static str,
    /// Position of the argument, from 0.
    pub argument: usize,
    /// Makes the value that the function gets; the error is a sentence without its subject.
    pub prepare: Prepare,
}

/// A name and its overloads, each as `receiver.arguments:result` or `arguments:result`, a letter
/// for each type: `b`ool, `i`nt, `u`int, `d`ouble, `s`tring, b`y`tes, `t`imestamp, du`r`ation,
/// `l`ist, `m`ap, ty`p`e, d`e`cimal, any type `x`. The result `=` has the type that the arguments
/// share.
pub type Signature = (&'static str, &'static [&'static str]);

/// A function that a library adds, called on a value of `receiver` if there is one.
#[derive(Debug)]
pub struct Addition {
    /// Name.
    pub name: &'static str,
    /// The type of the value that it is called on.
    pub receiver: Option<Type>,
    /// Types of the arguments.
    pub arguments: Vec<Type>,
    /// The function; the receiver is its first argument.
    pub function: Function,
}

/// CEL's own functions and those of its extension for strings.
const STANDARD: &[Signature] = &[
    (
        "size",
        &["s:i", "y:i", "l:i", "m:i", "s.:i", "y.:i", "l.:i", "m.:i"],
    ),
    ("contains", &["s.s:b", "y.y:b"]),
    ("startsWith", &["s.s:b", "y.y:b"]),
    ("endsWith", &["s.s:b", "y.y:b"]),
    ("matches", &["s.s:b", "ss:b"]),
    ("int", &["i:i", "u:i", "d:i", "s:i", "t:i"]),
    ("uint", &["i:u", "u:u", "d:u", "s:u"]),
    ("double", &["i:d", "u:d", "d:d", "s:d"]),
    (
        "string",
        &["s:s", "b:s", "i:s", "u:s", "d:s", "y:s", "t:s", "r:s"],
    ),
    ("bytes", &["s:y", "y:y"]),
    ("bool", &["b:b", "s:b"]),
    ("timestamp", &["s:t", "t:t", "i:t"]),
    ("duration", &["s:r", "r:r"]),
    ("dyn", &["x:x"]),
    ("type", &["x:p"]),
    ("getFullYear", &["t.:i", "t.s:i"]),
    ("getMonth", &["t.:i", "t.s:i"]),
    ("getDate", &["t.:i", "t.s:i"]),
    ("getDayOfMonth", &["t.:i", "t.s:i"]),
    ("getDayOfWeek", &["t.:i", "t.s:i"]),
    ("getDayOfYear", &["t.:i", "t.s:i"]),
    ("getHours", &["t.:i", "t.s:i", "r.:i"]),
    ("getMinutes", &["t.:i", "t.s:i", "r.:i"]),
    ("getSeconds", &["t.:i", "t.s:i", "r.:i"]),
    ("getMilliseconds", &["t.:i", "t.s:i", "r.:i"]),
    ("charAt", &["s.i:s"]),
    ("indexOf", &["s.s:i", "s.si:i"]),
    ("lastIndexOf", &["s.s:i", "s.si:i"]),
    ("join", &["l.:s", "l.s:s"]),
    ("lowerAscii", &["s.:s"]),
    ("upperAscii", &["s.:s"]),
    ("trim", &["s.:s"]),
    ("reverse", &["s.:s"]),
    ("replace", &["s.ss:s", "s.ssi:s"]),
    ("split", &["s.s:l", "s.si:l"]),
    ("substring", &["s.i:s", "s.ii:s"]),
    ("format", &["s.l:s"]),
    ("strings.quote", &["s:s"]),
];

// === impl Library ===

impl Library {
    /// Returns CEL's own functions and those of its extension for strings.
    pub fn standard() -> Self {
        static LIBRARY: OnceLock<Library> = OnceLock::new();
        let make = || Library::with(&[], Vec::new(), plain_matcher);
        LIBRARY.get_or_init(make).clone()
    }

    /// Returns the standard functions and more. An addition that the library has already changes
    /// nothing.
    pub fn with(
        signatures: &'static [Signature],
        additions: Vec<Addition>,
        matcher: MakeMatcher,
    ) -> Self {
        let mut env = Env::default().with_optional_support(false).with_stdlib();
        // A conflict leaves what was there, and a test calls every function.
        let _ = env.add_extension(extensions::strings);
        let _ = add_own(&mut env);
        for (number, addition) in additions.into_iter().enumerate() {
            let Addition {
                name,
                receiver,
                arguments,
                function,
            } = addition;
            let id = format!("{name}_{number}");
            let _ = match receiver {
                Some(receiver) => env.add_member_overload(name, &id, receiver, arguments, function),
                None => env.add_overload(name, &id, arguments, function),
            };
        }
        Library {
            env: Arc::new(env),
            matcher,
            more: signatures,
            preparations: Arc::default(),
            lenient: &[],
        }
    }

    /// Has arguments of functions prepared when an expression is compiled.
    #[must_use]
    pub fn preparing(self, preparations: Vec<Preparation>) -> Self {
        Library {
            preparations: preparations.into(),
            ..self
        }
    }

    /// Has functions get null for an argument such as `a.b` where `has(a.b)` is false.
    #[must_use]
    pub fn lenient(self, functions: &'static [&'static str]) -> Self {
        Library {
            lenient: functions,
            ..self
        }
    }

    /// Returns the overloads of a function.
    pub(crate) fn overloads(&self, name: &str) -> impl Iterator<Item = &'static str> {
        let all = STANDARD.iter().chain(self.more);
        let name = name.to_owned();
        all.filter(move |(own, _)| *own == name)
            .flat_map(|(_, overloads)| overloads.iter().copied())
    }

    /// Returns the names of all functions.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        STANDARD.iter().chain(self.more).map(|(name, _)| *name)
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Library").finish_non_exhaustive()
    }
}

fn add_own(env: &mut Env) -> Result<(), DeclarationError> {
    let pattern = || vec![PATTERN.to_owned()];
    env.add_overload(
        HAS,
        "has",
        vec![DYN_TYPE.to_owned(), STRING_TYPE.to_owned()],
        has,
    )?;
    env.add_member_overload(
        "matches",
        "text_pattern",
        STRING_TYPE.to_owned(),
        pattern(),
        matches,
    )
}

fn has<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [target, name] = args.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(2, args.len()));
    };
    let (Some(indexer), Some(name)) = (target.as_indexer(), name.downcast_ref::<CelString>())
    else {
        return Err(failed("not a record"));
    };
    if target.get_type() == &RECORD {
        let found = indexer.get(&Presence(name.inner().to_owned()))?;
        let is_set = found
            .downcast_ref::<CelBool>()
            .is_some_and(|set| *set.inner());
        return Ok(CowVal::owned(CelBool::from(is_set)));
    }
    match indexer.get(name) {
        Ok(_) => Ok(CowVal::owned(CelBool::from(true))),
        Err(ExecutionError::NoSuchKey(_)) => Ok(CowVal::owned(CelBool::from(false))),
        Err(error) => Err(error),
    }
}

fn matches<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [text, pattern] = args.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(2, args.len()));
    };
    let (Some(text), Some(pattern)) = (
        text.downcast_ref::<CelString>(),
        pattern.downcast_ref::<Pattern>(),
    ) else {
        return Err(failed("not a text"));
    };
    Ok(CowVal::owned(CelBool::from((pattern.0)(text.inner()))))
}

fn plain_matcher(pattern: &str) -> Result<Matcher, String> {
    let built = RegexBuilder::new(pattern)
        .size_limit(MAX_PATTERN_BYTES)
        .build();
    let regex = built.map_err(|error| {
        let text = error.to_string();
        let reason = text
            .lines()
            .filter_map(|line| line.strip_prefix("error: "))
            .next_back();
        reason.unwrap_or("it needs too much memory").to_owned()
    })?;
    Ok(Arc::new(move |text| regex.is_match(text)))
}

/// A pattern that an expression writes out.
#[derive(Clone)]
pub(crate) struct Pattern(pub(crate) Matcher);

impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pattern")
    }
}

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN
    }

    fn cel_type() -> &'static Type {
        &PATTERN
    }

    fn clone_as_boxed<'v>(&self) -> Boxed<'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}

/// The type of predicates, for those who add functions.
pub const BOOL: Type = BOOL_TYPE;
