//! Compiles proto sources for the unit tests.

use descriptors::CompileError;

use crate::options::Options;
use crate::schema::Schema;

pub(crate) use samples::{descriptor_set, descriptor_set_with_lines, ruled, source};

pub(crate) fn compile(body: &str) -> Result<Schema, CompileError> {
    Schema::compile(&samples::set_of(body))
}

pub(crate) fn compile_with(body: &str, options: Options) -> Schema {
    Schema::compile_with(&samples::set_of(body), options).unwrap()
}

pub(crate) fn compile_proto2(body: &str) -> Result<Schema, CompileError> {
    Schema::compile(&samples::proto2_set_of(body))
}

pub(crate) fn compile_delimited(body: &str, options: Options) -> Schema {
    Schema::compile_with(&samples::delimited_set_of(body), options).unwrap()
}
