//! OpenAPI 3.1 documents of the same schema that requests are transcoded by.
#![doc = include_str!("../README.md")]
//!
//! Every HTTP binding is an operation, and every type that an operation reaches is a component
//! under its full name. Module `comments` lists what comments may hold beside prose;
//! how templates become paths in `paths`.
//!
//! - Methods that OpenAPI does not know (`custom` kinds, and `*` for all methods) stand under
//!   `x-methods` of their path.
//! - Validation rules that have no keyword in JSON Schema are sentences of the description; a
//!   pattern of RE2 that ECMA-262 reads otherwise also stands under `x-re2-pattern`.
//! - A method without a rule stands under its own path, `POST /package.Service/Method`.
//! - Each field, body and required parameter has an example: of a comment, of a rule, or one that
//!   is made. All are read and validated first as a request would be; where nothing passes, there
//!   is none, and a note.
//! - A stream is documented by the schema of one message, or of an array of them, beside the
//!   content type of each framing.
//! - `x-grpc-method` is the path of the method of an operation.
//! - Where callers are authenticated, operations have `security`, whose lists are roles and scopes,
//!   and `x-access` with the option `mesh.v1.access`; `nobody: true` if the method has none.
//! - Every operation has the error body of the transcoder as `default`, and a response per status
//!   that its comment tells of.
//!
//! Sources of the rules: the OpenAPI Specification 3.1, JSON Schema 2020-12, the ProtoJSON guide of
//! protobuf.dev.

mod checked;
mod comments;
mod digits;
mod document;
mod making;
mod options;
mod rules;
mod scalars;
#[cfg(test)]
mod tests;
mod texts;
mod value;

pub use document::{Info, OpenApi, Request, Security, document, title_of};
