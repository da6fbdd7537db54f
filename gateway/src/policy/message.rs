//! Policy by message: what every request message passes before it is sent, in every protocol and at
//! every place of a stream.

use chassis::error::Fault;
use chassis::server::violations;
use transcoder::{MethodPlan, Schema, Validator};

use crate::failure::Failure;

/// The steps that the request messages of one call pass.
pub(crate) struct MessagePolicy {
    rules: Option<Validator>,
}

impl MessagePolicy {
    /// Creates the policy of a call whose messages arrive as protobuf, or as JSON that no route has
    /// read.
    pub(crate) fn new(schema: &Schema, method: &MethodPlan) -> Self {
        let validator = match schema.validates(method) {
            true => schema.validator(method.input()),
            false => None,
        };
        Self::from(validator.filter(Validator::has_rules))
    }

    /// Creates the policy of messages that a route of the JSON API has encoded. The route has
    /// validated them already: it names the place in the JSON that is at fault.
    pub(crate) const fn encoded_by_route() -> Self {
        Self { rules: None }
    }

    /// Returns whether every message passes, so that none needs to be looked at.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_none()
    }

    /// Lets a message pass. A further step by message (a condition on fields, an idempotency key)
    /// is a line here.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with the violated rules, or for bytes that are no message of the type.
    pub(crate) fn admit(&self, wire: &[u8]) -> Result<(), Failure> {
        match &self.rules {
            Some(rules) => validate(rules, wire),
            None => Ok(()),
        }
    }
}

impl From<Option<Validator>> for MessagePolicy {
    fn from(rules: Option<Validator>) -> Self {
        Self { rules }
    }
}

/// Validates a message, with the errors of the JSON API.
fn validate(rules: &Validator, wire: &[u8]) -> Result<(), Failure> {
    let found = rules.check(wire).map_err(|error| {
        let message = format!("the request message is malformed: {error}");
        Fault::invalid_argument("INVALID_MESSAGE", message)
    })?;
    if found.is_empty() {
        return Ok(());
    }
    Err(violations::refusal(rules, found).into())
}
