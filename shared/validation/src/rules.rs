//! Compiled rules: per message, per field and per value, in tables that run parallel to the plans;
//! and the tests of values.

pub(crate) mod cel;
pub(crate) mod distinct;
pub(crate) mod known;
pub(crate) mod marks;
pub(crate) mod pattern;
pub(crate) mod quick;
pub(crate) mod set;
pub(crate) mod table;
pub(crate) mod value;

pub use self::cel::CelRule;
pub use known::{Format, Versions};
pub use pattern::Pattern;
pub use set::Set;
pub use table::{
    Bounds, Check, Choice, Constant, FieldRules, Ignore, MessageRules, OwnRules, RequiredOneof,
    Rules, Test, Unit, ValueRules,
};
