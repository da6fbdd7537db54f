//! The limit of file descriptors, compared with the limit of connections at start.

use rpc::config::ConfigError;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::arrivals::TOTAL_MAX;

/// Descriptors beside those of served connections: waiting connections, upstreams, databases,
/// files.
const RESERVE: u64 = TOTAL_MAX as u64 + 256;

/// Raises the soft limit (`RLIMIT_NOFILE`) so that the connections fit.
///
/// # Errors
/// The hard limit is too low.
pub(crate) fn make_room(max_connections: usize) -> Result<(), ConfigError> {
    let needed = (max_connections as u64).saturating_add(RESERVE);
    let limit = getrlimit(Resource::Nofile);
    // `None` is no limit.
    if limit.current.is_none_or(|soft| soft >= needed) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(needed),
        maximum: limit.maximum,
    };
    let fits = limit.maximum.is_none_or(|hard| hard >= needed);
    if fits && setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    let allowed = limit.maximum.or(limit.current).unwrap_or_default();
    let problem = format!(
        "{max_connections} connections need {needed} file descriptors, and the process may open \
         {allowed} (`ulimit -Hn`)"
    );
    Err(ConfigError::effective("max_connections", problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_connections_above_that_of_descriptors_is_refused_by_name() {
        assert!(make_room(1).is_ok());
        if getrlimit(Resource::Nofile).maximum.is_some() {
            let error = make_room(usize::MAX).unwrap_err();
            assert_eq!(error.key, "max_connections");
        }
    }
}
