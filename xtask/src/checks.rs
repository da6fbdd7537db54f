//! Rules of this repository that no compiler knows: module order, layers, texts, names, licences,
//! and what packages need.

pub(crate) mod alerts;
pub(crate) mod deny;
pub(crate) mod modules;
pub(crate) mod package;
pub(crate) mod rules;
pub(crate) mod tour;
