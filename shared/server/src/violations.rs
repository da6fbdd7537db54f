//! Violations of a contract's rules as errors of a call.

use rpc::error::{Fault, Violation};
use validation::{Validator, Violations};

/// Returns the error for a message that breaks rules. Clients of protovalidate get its own
/// `buf.validate.Violations` beside `google.rpc.BadRequest`.
pub fn refusal(validator: &Validator, found: Violations) -> Fault {
    let (type_url, value) = validator.protovalidate(&found);
    let mut fault = Fault::invalid_argument("INVALID_FIELD", found.to_string());
    fault.violations = listed(found);
    fault.foreign(type_url, value)
}

/// Returns violations in the form that errors have them in.
pub fn listed(found: Violations) -> Vec<Violation> {
    let listed = found.listed.into_iter();
    listed
        .map(|found| Violation {
            field: found.path,
            description: found.message,
            rule: found.rule,
        })
        .collect()
}
