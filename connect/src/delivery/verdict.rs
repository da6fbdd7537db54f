//! The meaning of a status: accepted, refused for good, not now, or a mistake of the configuration.

use std::collections::BTreeMap;

use tonic::{Code, Status};
use tonic_types::{FieldViolation, StatusExt as _};

use crate::source::Message;
use crate::store::Held;

/// Longest value of a reason, in characters.
const MAX_VALUE: usize = 256;

/// Meaning of a status for the records of its call.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Accepted,
    /// At least one record is wrong, whatever the service does later.
    Refused(Status),
    /// The same call may be accepted later.
    Transient(Status),
    /// No call of this source can be accepted as things are.
    Misconfigured(Status),
}

/// Why a record is refused, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reason {
    /// Path of the field in the record's message.
    pub(crate) column: String,
    pub(crate) rule: String,
    /// The service's words.
    pub(crate) value: String,
}

// === impl Verdict ===

impl Verdict {
    pub(crate) fn of(status: Status) -> Self {
        match status.code() {
            Code::Ok => Self::Accepted,
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::AlreadyExists
            | Code::NotFound => Self::Refused(status),
            Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented => {
                Self::Misconfigured(status)
            }
            Code::Unavailable
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Internal
            | Code::Unknown
            | Code::DataLoss => Self::Transient(status),
        }
    }

    /// Returns whether a record may have broken the service: after some attempts it counts as
    /// refused, so that one record does not stop all others.
    pub(crate) fn is_broken(status: &Status) -> bool {
        matches!(
            status.code(),
            Code::Internal | Code::Unknown | Code::DataLoss
        )
    }
}

// === impl Reason ===

impl Reason {
    /// Returns the reason of the only record of a call.
    pub(crate) fn of(status: &Status, field: Option<&str>) -> Self {
        let details = status.get_details_bad_request();
        let violation = details.and_then(|details| details.field_violations.into_iter().next());
        match violation {
            Some(violation) => {
                let path = field.and_then(|field| row(&violation.field, field));
                let column = path.map(|(_, rest)| rest.to_owned());
                Self::violated(
                    column.unwrap_or_else(|| violation.field.clone()),
                    violation,
                    status,
                )
            }
            None => Self {
                column: String::new(),
                rule: rule(status),
                value: cut(status.message()),
            },
        }
    }

    /// Returns the reasons of the records that a status names as `field[3].path`, by their index;
    /// none if it also names something else, or a record that the call did not have.
    pub(crate) fn by_row(
        status: &Status,
        field: Option<&str>,
        records: usize,
    ) -> BTreeMap<usize, Self> {
        let mut reasons = BTreeMap::new();
        let (Some(field), Some(details)) = (field, status.get_details_bad_request()) else {
            return reasons;
        };
        for violation in details.field_violations {
            let Some((index, path)) = row(&violation.field, field) else {
                return BTreeMap::new();
            };
            if index >= records {
                return BTreeMap::new();
            }
            let column = path.to_owned();
            reasons
                .entry(index)
                .or_insert_with(|| Self::violated(column, violation, status));
        }
        reasons
    }

    /// Returns a record as it goes into quarantine.
    pub(crate) fn held(self, message: &Message) -> Held {
        message.held(self.column, self.rule, self.value)
    }

    fn violated(column: String, violation: FieldViolation, status: &Status) -> Self {
        let named = !violation.reason.is_empty();
        Self {
            column,
            rule: if named {
                violation.reason
            } else {
                rule(status)
            },
            value: cut(&violation.description),
        }
    }
}

/// Splits `rows[3].sku` into the index and the path below it.
fn row<'p>(path: &'p str, field: &str) -> Option<(usize, &'p str)> {
    let (head, rest) = path.split_once('[')?;
    // Services write the names of the proto file or those of JSON.
    let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
    let (index, rest) = rest
        .split_once(']')
        .filter(|_| plain(head) == plain(field))?;
    Some((index.parse().ok()?, rest.strip_prefix('.').unwrap_or(rest)))
}

/// Returns the stable reason of a status, else the name of its code.
fn rule(status: &Status) -> String {
    let code = || rpc::error::code_name(status.code()).to_owned();
    rpc::error::reason(status).unwrap_or_else(code)
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_VALUE).collect()
}

#[cfg(test)]
mod tests {
    use rpc::error::Fault;

    use super::*;

    #[test]
    fn rows_that_a_status_names_are_found_with_their_rules() {
        let fault = Fault::invalid_argument("INVALID_FIELD", "two rows are wrong")
            .violation_of("string.min_len", "rows[3].sku", "must not be empty")
            .violation_of("int64.gt", "rows[0].quantity", "must be above 0")
            .violation("rows[3].time", "must be set");
        let found = Reason::by_row(&fault.into(), Some("rows"), 4);
        let found: Vec<_> = found
            .iter()
            .map(|(row, reason)| (*row, &*reason.column, &*reason.rule))
            .collect();
        assert_eq!(
            found,
            [(0, "quantity", "int64.gt"), (3, "sku", "string.min_len")]
        );
    }

    #[test]
    fn a_status_that_names_something_else_names_no_row() {
        let fault = |field: &str| -> Status {
            Fault::invalid_argument("INVALID_FIELD", "wrong")
                .violation("rows[0].sku", "must be set")
                .violation(field, "must be set")
                .into()
        };
        for field in [
            "source",
            "rows",
            "rows[7].sku",
            "rows[x].sku",
            "rowset[0].a",
        ] {
            assert!(
                Reason::by_row(&fault(field), Some("rows"), 4).is_empty(),
                "{field}"
            );
        }
    }

    #[test]
    fn the_reason_of_one_record_is_the_most_exact_that_there_is() {
        let bare = Reason::of(&Status::not_found("no sku A"), Some("rows"));
        assert_eq!((&*bare.rule, &*bare.value), ("NOT_FOUND", "no sku A"));
        let fault = Fault::failed_precondition("SOLD_OUT", "no stock");
        assert_eq!(Reason::of(&fault.into(), None).rule, "SOLD_OUT");
        let fault = Fault::invalid_argument("INVALID_FIELD", "wrong").violation_of(
            "string.pattern",
            "rows[0].sku",
            "must match",
        );
        let reason = Reason::of(&fault.into(), Some("rows"));
        assert_eq!((&*reason.column, &*reason.rule), ("sku", "string.pattern"));
    }
}
