//! Why a request takes the route that it takes, and why the others did not.

use routes::{Candidate, RouteError};

use super::Match;

/// The route of a method and a path, and how near the other routes came.
#[derive(Debug)]
pub struct Explanation<'a> {
    /// As [`Schema::route`](crate::Schema::route) has it.
    pub outcome: Result<Match<'a>, RouteError>,
    /// Every other route, the nearest first.
    pub others: Vec<Candidate<'a>>,
}
