//! Errors of expressions. None of them quotes a value of a message.

use cel_engine::ExecutionError;

use crate::limits::MAX_STEPS;

/// The reason why an expression can't be loaded, as a sentence about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CompileError(pub(crate) String);

/// The reason why an expression has no result for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// It needs more than [`MAX_STEPS`].
    #[error("it takes more than {MAX_STEPS} steps")]
    TooExpensive,
    /// A key that a map doesn't have.
    #[error("it reads a key that is not there")]
    NoSuchKey,
    /// A position that a list doesn't have.
    #[error("it reads an element that is not there")]
    NoSuchElement,
    /// A type that an operator or a function doesn't accept.
    #[error("a value has a type that an operator or a function does not accept")]
    WrongType,
    /// A number out of range, or a division by zero.
    #[error("a number is out of range")]
    OutOfRange,
    /// A text that is no number, no time or no pattern.
    #[error("a conversion or a function fails")]
    Failed,
    /// Neither true nor false, nor a text where one is accepted.
    #[error("its result is neither true nor false")]
    NotBool,
}

pub(crate) fn refused(reason: impl Into<String>) -> CompileError {
    CompileError(reason.into())
}

// === impl EvaluationError ===

impl EvaluationError {
    /// Keeps the kind of an error; its text may quote values.
    pub(crate) fn of(error: &ExecutionError) -> Self {
        match error {
            ExecutionError::NoSuchKey(_) => EvaluationError::NoSuchKey,
            ExecutionError::IndexOutOfBounds(_) => EvaluationError::NoSuchElement,
            ExecutionError::DivisionByZero(_)
            | ExecutionError::RemainderByZero(_)
            | ExecutionError::Overflow(..) => EvaluationError::OutOfRange,
            ExecutionError::FunctionError { .. } | ExecutionError::InternalError(_) => {
                EvaluationError::Failed
            }
            _ => EvaluationError::WrongType,
        }
    }
}
