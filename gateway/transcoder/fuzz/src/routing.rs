//! HTTP rules without a compiler: a descriptor set for a list of them, and an oracle for what they
//! match.

pub(crate) mod oracle;

use prost::{Message, encoding};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use transcoder::{CompileError, Schema};

/// One HTTP rule: a method, or `*` for all, and a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) method: String,
    pub(crate) template: String,
}

impl Rule {
    /// Reads `GET /v1/{a}`; without a space, the whole text is the template of a GET.
    pub(crate) fn parse(line: &str) -> Rule {
        let (method, template) = line.split_once(' ').unwrap_or(("GET", line));
        Rule {
            method: method.to_owned(),
            template: template.to_owned(),
        }
    }

    /// `google.api.HttpRule`.
    fn encode(&self) -> Vec<u8> {
        let mut rule = Vec::new();
        let number = match self.method.as_str() {
            "GET" => 2,
            "PUT" => 3,
            "POST" => 4,
            "DELETE" => 5,
            "PATCH" => 6,
            _ => {
                let mut custom = Vec::new();
                encoding::string::encode(1, &self.method, &mut custom);
                encoding::string::encode(2, &self.template, &mut custom);
                encoding::bytes::encode(8, &custom, &mut rule);
                return rule;
            }
        };
        encoding::string::encode(number, &self.template, &mut rule);
        rule
    }
}

/// Field number of the `google.api.http` option.
const HTTP: u32 = 72_295_728;
/// Field numbers in `descriptor.proto`.
const SET_FILE: u32 = 1;
const FILE_SERVICE: u32 = 6;
const SERVICE_METHOD: u32 = 2;
const METHOD_OPTIONS: u32 = 4;

/// Compiles a service whose method `M<n>` has the n-th rule. Its request has the text fields `a`,
/// `b`, `x` and itself as `in`.
pub(crate) fn compile(rules: &[Rule]) -> Result<Schema, CompileError> {
    let mut service = Vec::new();
    encoding::string::encode(1, &"S".to_owned(), &mut service);
    for (index, rule) in rules.iter().enumerate() {
        let mut options = Vec::new();
        encoding::bytes::encode(HTTP, &rule.encode(), &mut options);
        let mut method = Vec::new();
        encoding::string::encode(1, &format!("M{index}"), &mut method);
        encoding::string::encode(2, &".t.In".to_owned(), &mut method);
        encoding::string::encode(3, &".t.In".to_owned(), &mut method);
        encoding::bytes::encode(METHOD_OPTIONS, &options, &mut method);
        encoding::bytes::encode(SERVICE_METHOD, &method, &mut service);
    }
    let mut file = file().encode_to_vec();
    encoding::bytes::encode(FILE_SERVICE, &service, &mut file);
    let mut set = Vec::new();
    encoding::bytes::encode(SET_FILE, &file, &mut set);
    Schema::compile(&set)
}

/// Returns the file without its service.
fn file() -> FileDescriptorProto {
    let field = |(name, number): (&str, i32)| FieldDescriptorProto {
        name: Some(name.into()),
        json_name: Some(name.into()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(
            if name == "in" {
                Type::Message
            } else {
                Type::String
            }
            .into(),
        ),
        type_name: (name == "in").then(|| ".t.In".into()),
        ..FieldDescriptorProto::default()
    };
    FileDescriptorProto {
        name: Some("t.proto".into()),
        package: Some("t".into()),
        syntax: Some("proto3".into()),
        message_type: vec![DescriptorProto {
            name: Some("In".into()),
            field: FIELDS.into_iter().map(field).collect(),
            ..DescriptorProto::default()
        }],
        ..FileDescriptorProto::default()
    }
}

/// The fields of the request.
pub(crate) const FIELDS: [(&str, i32); 4] = [("a", 1), ("b", 2), ("x", 3), ("in", 4)];
