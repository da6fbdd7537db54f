//! Keys under `[schema]`: where the API of the upstreams is learned from, and what may become of
//! it.

use std::path::PathBuf;

use chassis::config::ConfigError;
use serde::{Deserialize, Serialize};
use transcoder::{HttpRule, Template};

use super::policies::{self, MethodOptions};
use crate::settings::reject_key;

/// The keys under `[schema]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SchemaSettings {
    /// Encoded `google.protobuf.FileDescriptorSet`s that say more about any upstream.
    pub descriptors: Vec<PathBuf>,
    /// Whether upstreams are asked by server reflection.
    pub reflection: bool,
    /// How an API that would break callers of the active one is handled.
    pub breaking_changes: BreakingChanges,
    /// HTTP rules of methods, in place of their own.
    pub http_rules: Vec<HttpRuleSettings>,
    /// Options of methods whose contract can't be edited.
    pub policies: Vec<MethodOptions>,
}

/// How an API that would break callers of the active one is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakingChanges {
    /// It is reported, and the one in force stays.
    Refuse,
    /// It goes live.
    Allow,
}

/// The keys under `[upstream.NAME.schema]`: what a single upstream is learned from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceSettings {
    /// Descriptor files of this upstream, which go before those for all.
    pub descriptors: Vec<PathBuf>,
    /// Full names of the services that it serves; empty: what reflection lists, and without
    /// reflection all that its own files declare.
    pub services: Vec<String>,
    /// Whether it is asked by server reflection; by default what `schema.reflection` says.
    pub reflection: Option<bool>,
    /// Whether its requests are checked here by the rules of `buf.validate`; by default they are.
    pub validation: Option<bool>,
}

/// An item of `[[schema.http_rules]]`: `google.api.HttpRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpRuleSettings {
    /// Full name of the method, `package.Service.Method`; additional bindings have none.
    pub selector: String,
    /// Path template of a GET.
    pub get: Option<String>,
    /// Path template of a PUT.
    pub put: Option<String>,
    /// Path template of a POST.
    pub post: Option<String>,
    /// Path template of a DELETE.
    pub delete: Option<String>,
    /// Path template of a PATCH.
    pub patch: Option<String>,
    /// Any other HTTP method with its template.
    pub custom: Option<CustomPattern>,
    /// The request field that is the body; `*` for all fields that the path does not bind.
    pub body: String,
    /// The response field that is the body of the response.
    pub response_body: String,
    /// Further bindings of the method.
    pub additional_bindings: Vec<HttpRuleSettings>,
}

/// `google.api.CustomHttpPattern`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomPattern {
    /// The HTTP method, or `*` for every one.
    pub kind: String,
    /// The path template.
    pub path: String,
}

// === impl SchemaSettings ===

impl SchemaSettings {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        for (index, rule) in self.http_rules.iter().enumerate() {
            let key = format!("schema.http_rules[{index}]");
            if rule.selector.is_empty() {
                return reject_key(&format!("{key}.selector"), "expected the name of a method");
            }
            rule.validate(&key)?;
            for (index, binding) in rule.additional_bindings.iter().enumerate() {
                let key = format!("{key}.additional_bindings[{index}]");
                if !binding.selector.is_empty() || !binding.additional_bindings.is_empty() {
                    let problem =
                        "an additional binding has neither a selector nor further bindings";
                    return reject_key(&key, problem);
                }
                binding.validate(&key)?;
            }
        }
        policies::validate(&self.policies)
    }

    /// The rules as the transcoder takes them.
    pub(crate) fn rules(&self) -> Vec<HttpRule> {
        self.http_rules.iter().map(HttpRuleSettings::rule).collect()
    }
}

// === impl HttpRuleSettings ===

impl HttpRuleSettings {
    fn patterns(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = [
            ("GET", &self.get),
            ("PUT", &self.put),
            ("POST", &self.post),
            ("DELETE", &self.delete),
            ("PATCH", &self.patch),
        ];
        let named = named
            .into_iter()
            .filter_map(|(kind, path)| Some((kind, path.as_deref()?)));
        let custom = self.custom.iter();
        named.chain(custom.map(|custom| (&*custom.kind, &*custom.path)))
    }

    fn validate(&self, key: &str) -> Result<(), ConfigError> {
        match self.patterns().count() {
            1 => self.check_pattern(key),
            found => {
                let kinds = "`get`, `put`, `post`, `delete`, `patch` or `custom`";
                reject_key(key, &format!("expected one of {kinds}, got {found}"))
            }
        }
    }

    /// Checks all that can be known before the messages of the method are.
    fn check_pattern(&self, key: &str) -> Result<(), ConfigError> {
        let (kind, path) = self.patterns().next().unwrap_or_default();
        if http::Method::from_bytes(kind.as_bytes()).is_err() {
            return reject_key(&format!("{key}.custom.kind"), "expected a method of HTTP");
        }
        match Template::parse(path) {
            Ok(_) => Ok(()),
            Err(reason) => reject_key(key, &format!("template {path:?}: {reason}")),
        }
    }

    fn rule(&self) -> HttpRule {
        let (kind, path) = self.patterns().next().unwrap_or_default();
        HttpRule {
            selector: self.selector.clone(),
            http_method: kind.to_owned(),
            path: path.to_owned(),
            body: self.body.clone(),
            response_body: self.response_body.clone(),
            additional_bindings: self.additional_bindings.iter().map(Self::rule).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(extra: &str) -> SchemaSettings {
        let base =
            "descriptors = []\nreflection = true\nbreaking_changes = \"refuse\"\npolicies = []\n";
        let rules = if extra.is_empty() {
            "http_rules = []"
        } else {
            extra
        };
        let text = format!("{base}{rules}");
        toml::from_str(&text).unwrap()
    }

    #[track_caller]
    fn refused(extra: &str, expected: &str) {
        let error = settings(extra).validate();
        let message = error.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn rules_become_those_of_a_service_configuration() {
        let settings = settings(
            "[[http_rules]]\nselector = \"a.A.Get\"\nget = \"/a/{id}\"\n\
             additional_bindings = [{ custom = { kind = \"HEAD\", path = \"/b\" }, response_body = \"x\" }]",
        );
        settings.validate().unwrap();
        let [rule] = &settings.rules()[..] else {
            panic!("{settings:?}");
        };
        let found = (&*rule.selector, &*rule.http_method, &*rule.path);
        assert_eq!(found, ("a.A.Get", "GET", "/a/{id}"));
        let additional = &rule.additional_bindings[0];
        let found = (
            &*additional.http_method,
            &*additional.path,
            &*additional.response_body,
        );
        assert_eq!(found, ("HEAD", "/b", "x"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        refused(
            "[[http_rules]]\nget = \"/a\"",
            "schema.http_rules[0].selector",
        );
        refused(
            "[[http_rules]]\nselector = \"a.A.Get\"",
            "schema.http_rules[0]`: expected one of",
        );
        refused(
            "[[http_rules]]\nselector = \"a.A.Get\"\nget = \"/a\"\nput = \"/a\"",
            "got 2",
        );
        refused(
            "[[http_rules]]\nselector = \"a.A.Get\"\nget = \"/a:b:c\"",
            "schema.http_rules[0]`: template \"/a:b:c\"",
        );
        refused(
            "[[http_rules]]\nselector = \"a.A.Get\"\ncustom = { kind = \"a b\", path = \"/a\" }",
            "schema.http_rules[0].custom.kind",
        );
        refused(
            "[[http_rules]]\nselector = \"a.A.Get\"\nget = \"/a\"\nadditional_bindings = [{ selector = \"x\", get = \"/b\" }]",
            "schema.http_rules[0].additional_bindings[0]",
        );
    }
}
