//! The time that this thread has had a processor for: what other processes on the machine take does not count.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Since the thread began.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}
