#![doc = include_str!("../README.md")]
//!
//! Sources of the rules: `google/protobuf/descriptor.proto`, the language specifications of proto2,
//! proto3 and editions, and the page on features of protobuf.dev; for [`put_canonical`] the page on
//! encoding.

mod builtin;
mod canonical;
mod error;
mod kind;
mod methods;
mod names;
mod occurrences;
mod plan;
mod pool;
mod seen;
mod tags;
mod text;

pub use canonical::put_canonical;
pub use error::{CompileError, MAX_PROBLEMS, Problem, did_you_mean, nearest};
pub use kind::{EnumId, Kind, Label, MessageId};
pub use methods::{AccessOption, MethodPlan, RateLimitOption, check_answers, is_vary};
pub use occurrences::{Found, Occurrence, Unknown, collect};
pub use plan::{EnumPlan, FieldPlan, MessagePlan, NameOptions, Shape, Types};
#[doc(hidden)]
pub use pool::proto;
pub use pool::{
    ClassifiedField, Comment, EnumDef, EnumValueDef, EventOption, ExtensionDef, FieldDef,
    FieldPolicy, FileDef, FileId, MessageDef, MethodDef, OneofDef, Place, Pool, RawOptions,
    Reserved, ServiceDef, Source, is_identifier,
};
pub use seen::{FirstKeys, Seen, canonical_key, has_duplicate_key, key_of};
pub use tags::{NextTag, find, follows, next_field};
pub use text::{Key, Literal, quoted};

/// A descriptor set that can be compiled.
#[derive(Debug)]
pub struct Loaded {
    /// The definitions.
    pub pool: Pool,
    /// Remarks that are no reason to reject the set.
    pub notes: Vec<Problem>,
    /// Definitions of well-known types that differ from the standard ones: no reader can use them.
    /// Reported together with the faults of the options that are read later.
    pub problems: Vec<Problem>,
}

/// Resolves an encoded `google.protobuf.FileDescriptorSet` (proto2, proto3, editions up to 2026),
/// imports included. The well-known types and the standard details of `google.rpc.Status` may be
/// left out, and files may come in any order.
///
/// # Errors
/// Every problem of the set: unresolvable types, contradicting definitions, unknown editions.
pub fn load(descriptor_set: &[u8]) -> Result<Loaded, CompileError> {
    let (pool, notes) = pool::load(descriptor_set, builtin::files)?;
    let problems = builtin::check(&pool);
    Ok(Loaded {
        pool,
        notes,
        problems,
    })
}
