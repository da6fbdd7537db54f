//! Processor time of this thread, which other processes on the machine don't change.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Returns the processor time since the thread began.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}
