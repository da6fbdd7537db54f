//! Tells an outage of the database from an error of a statement, and both to callers.

use std::error::Error as _;

use chassis::error::{Fault, internal};

/// SQLSTATE of a statement that ran into `statement_timeout`; a commit can too, by its deferred
/// constraints.
const QUERY_CANCELED: &str = "57014";

/// SQLSTATE of a row that refers to one that does not exist.
const FOREIGN_KEY_VIOLATION: &str = "23503";

/// Classes of SQLSTATE that say nothing about the statement: connection exception, insufficient
/// resources, operator intervention (PostgreSQL, appendix A).
const OUTAGE_CLASSES: [&str; 3] = ["08", "53", "57"];

/// Errors after which the same call may succeed: statement and lock timeouts, serialization
/// failures and deadlocks.
const CONTENTION: [&str; 4] = [QUERY_CANCELED, "55P03", "40001", "40P01"];

/// Returns true if the database is away, out of resources or did not answer: an error that says
/// nothing about the statement.
pub fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            code != QUERY_CANCELED && OUTAGE_CLASSES.iter().any(|class| code.starts_with(class))
        }),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// Returns true if the same statement will fail for ever: its data are invalid (class 22), or
/// violate a constraint (class 23).
///
/// A foreign key is the exception: the row that it refers to may still come.
pub fn is_final(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| {
        *code != *FOREIGN_KEY_VIOLATION && (code.starts_with("22") || code.starts_with("23"))
    })
}

/// Maps an error of the database to the fault that a caller sees, and logs it.
///
/// UNAVAILABLE with reason `DATABASE_UNAVAILABLE` if [`is_outage`], with `DATABASE_BUSY` if no
/// connection of the pool became free, and after a timeout of a statement or a lock, a deadlock or
/// a serialization failure: the caller may send the call again. INTERNAL for everything else.
pub fn fault(error: sqlx::Error) -> Fault {
    let code = error.as_database_error().and_then(|error| error.code());
    let contended = matches!(error, sqlx::Error::PoolTimedOut)
        || code.is_some_and(|code| CONTENTION.contains(&&*code));
    if contended {
        tracing::warn!(error = &error as &dyn std::error::Error, "database busy");
        Fault::unavailable("DATABASE_BUSY", "the database is busy")
    } else if is_outage(&error) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "database not available"
        );
        unavailable()
    } else {
        internal(error)
    }
}

/// Finds the error of the database among the causes of a migration's error.
pub(crate) fn is_outage_of_migration(error: &sqlx::migrate::MigrateError) -> bool {
    error
        .source()
        .and_then(|cause| cause.downcast_ref::<sqlx::Error>())
        .is_some_and(is_outage)
}

/// The fault of a call that found the database away.
pub(crate) fn unavailable() -> Fault {
    Fault::unavailable("DATABASE_UNAVAILABLE", "the database is not available")
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn no_connection_is_an_outage() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        for (error, reason) in [
            (sqlx::Error::Io(refused), "DATABASE_UNAVAILABLE"),
            (sqlx::Error::PoolTimedOut, "DATABASE_BUSY"),
        ] {
            assert!(is_outage(&error), "{error}");
            let fault = fault(error);
            assert_eq!((fault.code, fault.reason), (Code::Unavailable, reason));
        }
    }

    #[test]
    fn a_statement_error_is_internal() {
        let error = sqlx::Error::RowNotFound;
        assert!(!is_outage(&error));
        assert_eq!(fault(error).code, Code::Internal);
    }
}
