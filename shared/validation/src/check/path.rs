//! Where a walk stands: steps linked on the stack, written out only when there is something to
//! report.

use std::fmt::Write;

use crate::rules::value::Value;

/// One step and what leads to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'p> {
    Root,
    Field(&'p str),
    Index(u64),
    Key(&'p Value<'p>),
    HiddenKey,
}

// === impl Path ===

impl<'p> Path<'p> {
    pub(crate) const ROOT: Path<'static> = Path {
        parent: None,
        step: Step::Root,
    };

    pub(crate) fn field(&'p self, name: &'p str) -> Path<'p> {
        self.then(Step::Field(name))
    }

    pub(crate) fn index(&'p self, index: u64) -> Path<'p> {
        self.then(Step::Index(index))
    }

    pub(crate) fn key(&'p self, key: &'p Value<'p>) -> Path<'p> {
        self.then(Step::Key(key))
    }

    /// A key that is confidential.
    pub(crate) fn hidden_key(&'p self) -> Path<'p> {
        self.then(Step::HiddenKey)
    }

    fn then(&'p self, step: Step<'p>) -> Path<'p> {
        Path {
            parent: Some(self),
            step,
        }
    }

    /// For example `lines[3].price.units` or `labels["k"]`.
    pub(crate) fn text(&self) -> String {
        let steps: Vec<&Path<'_>> = std::iter::successors(Some(self), |path| path.parent).collect();
        let mut text = String::new();
        for path in steps.into_iter().rev() {
            // Writing to a string can't fail.
            let _ = match path.step {
                Step::Root => Ok(()),
                Step::Field(name) if text.is_empty() => write!(text, "{name}"),
                Step::Field(name) => write!(text, ".{name}"),
                Step::Index(index) => write!(text, "[{index}]"),
                Step::Key(Value::Text(key)) => {
                    write!(text, "[{:?}]", String::from_utf8_lossy(key))
                }
                Step::Key(Value::Bool(key)) => write!(text, "[{key}]"),
                Step::Key(Value::Int(key)) => write!(text, "[{key}]"),
                Step::HiddenKey => write!(text, "[*]"),
                Step::Key(_) => Ok(()),
            };
        }
        text
    }
}
