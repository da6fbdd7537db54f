//! Files that were sent: copied from the database into a file without a name.

use std::io::{Seek as _, Write as _};
use std::time::SystemTime;

use super::{Arrival, IntakeError, Place};
use crate::pipeline::Unit;
use crate::store::{Spooled, Store};

/// Returns a complete file of the spool.
pub(super) async fn arrival(
    store: &Store,
    source: &str,
    spooled: Spooled,
) -> Result<Arrival, IntakeError> {
    let Spooled {
        unit,
        name,
        size_bytes,
    } = spooled;
    let mut file = tempfile::tempfile()?;
    let mut position = 0;
    while let Some(chunk) = store.spool_chunk(source, &unit, position).await? {
        position += i64::try_from(chunk.len()).unwrap_or(i64::MAX);
        // A chunk is small, and the file is cached.
        file.write_all(&chunk)?;
    }
    file.rewind()?;
    Ok(Arrival {
        unit: Unit {
            id: unit,
            name,
            size_bytes: size_bytes.unsigned_abs(),
        },
        file,
        place: Place::Spool,
        since: SystemTime::now(),
    })
}
