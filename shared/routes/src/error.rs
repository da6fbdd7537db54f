//! The error of a request that no route accepts.

/// Why no route accepts a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No template matches the path (404).
    #[error("no route matches the path")]
    NotFound,
    /// Templates match the path, but none with this method (405).
    #[error("the path exists, but not with this method")]
    MethodNotAllowed {
        /// The methods for the `Allow` header, sorted by name.
        allow: Vec<http::Method>,
    },
    /// The path matches without the slash at its end (308).
    #[error("the path is {location:?}, without a slash at the end")]
    Redirect {
        /// The raw path that matches; the caller adds the query of the request.
        location: String,
    },
    /// The path is over a bound (414).
    #[error("bad path: {reason}")]
    PathTooLong {
        /// The exceeded bound.
        reason: &'static str,
    },
    /// The path itself is malformed (400).
    #[error("bad path: {reason}")]
    BadPath {
        /// The problem.
        reason: &'static str,
    },
}
