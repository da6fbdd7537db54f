//! The rules of each method: its annotation, unless the configuration has others, and the
//! default binding.

use std::collections::HashMap;
use std::sync::Arc;

use descriptors::{MethodPlan, Place, Problem};

use crate::annotation::HttpRule;
use crate::options::{DefaultBindings, RouteOptions};

/// The rules of the configuration, ready to be asked by method.
pub(crate) struct Defaults {
    by_selector: HashMap<String, (usize, HttpRule)>,
    services: DefaultBindings,
    beside_rules: bool,
    /// Methods that get a default binding after all rules: a rule for the same path goes first.
    defaults: Vec<(Arc<MethodPlan>, Place)>,
}

// === impl Defaults ===

impl Defaults {
    pub(crate) fn new(options: &RouteOptions) -> Self {
        let rules = options.rules.iter().enumerate();
        Defaults {
            // The last of several rules for one method wins (`google.api.Http.rules`).
            by_selector: rules
                .map(|(index, rule)| (rule.selector.clone(), (index, rule.clone())))
                .collect(),
            services: options.default_bindings.clone(),
            beside_rules: options.default_bindings_beside_rules,
            defaults: Vec::new(),
        }
    }

    /// Returns the rule of a method, with the place where it is written.
    pub(crate) fn rule(
        &mut self,
        method: &Arc<MethodPlan>,
        annotation: Option<HttpRule>,
        place: &Place,
    ) -> Option<(HttpRule, Place)> {
        let rule = match self.by_selector.remove(&*place.element) {
            Some((index, rule)) => Some((rule, configured(index, &place.element))),
            None => annotation.map(|rule| (rule, place.clone())),
        };
        if self.has_default(method) && (rule.is_none() || self.beside_rules) {
            self.defaults.push((method.clone(), place.clone()));
        }
        rule
    }

    fn has_default(&self, method: &MethodPlan) -> bool {
        let service = method.service();
        match &self.services {
            DefaultBindings::None => false,
            DefaultBindings::All => true,
            DefaultBindings::Services(names) => names.iter().any(|name| name == service),
        }
    }

    /// Returns the default bindings: `POST /package.Service/Method`, with the whole message as the
    /// body.
    pub(crate) fn take_defaults(&mut self) -> Vec<(Arc<MethodPlan>, Place, HttpRule)> {
        let rule = |method: &MethodPlan| HttpRule {
            http_method: "POST".into(),
            path: method.path().to_owned(),
            body: "*".into(),
            ..HttpRule::default()
        };
        std::mem::take(&mut self.defaults)
            .into_iter()
            .map(|(method, place)| {
                let rule = rule(&method);
                (method, place, rule)
            })
            .collect()
    }

    /// Returns a problem for each method and service that the configuration names and the set
    /// lacks.
    pub(crate) fn unknown(self, services: &[Box<str>]) -> Vec<Problem> {
        let mut unused: Vec<_> = self.by_selector.into_iter().collect();
        unused.sort_by_key(|(_, (index, _))| *index);
        let methods = unused.into_iter().map(|(selector, (index, _))| {
            configured(index, &selector).problem("the schema has no method of this name")
        });
        let DefaultBindings::Services(names) = self.services else {
            return methods.collect();
        };
        let names = names.into_iter().enumerate();
        let missing = names.filter(|(_, name)| !services.iter().any(|s| **s == **name));
        let missing = missing.map(|(index, name)| Problem {
            file: format!("http.default_bindings[{index}]"),
            ..configured(0, &name).problem("the schema has no service of this name")
        });
        methods.chain(missing).collect()
    }
}

/// Where a rule of the configuration is written, as places name it.
const CONFIGURED: &str = "http.rules[";

/// Returns whether a rule stands in the configuration, not in the contract.
pub(crate) fn is_configured(place: &Place) -> bool {
    place.line.is_none() && place.file.starts_with(CONFIGURED)
}

fn configured(index: usize, selector: &str) -> Place {
    Place {
        file: format!("{CONFIGURED}{index}]").into(),
        line: None,
        column: None,
        element: selector.into(),
    }
}
