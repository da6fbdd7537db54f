//! A global allocator that counts on request.
//!
//! Other crates count always, which would slow down peers that allocate; this one checks a flag.

#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
};

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

/// The system's allocator with counters, for a program's `#[global_allocator]`.
#[derive(Debug, Clone, Copy)]
pub struct Counting;

/// Allocations during a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocations {
    /// Number of allocating calls.
    pub count: u64,
    /// Growth of allocated bytes from start to end.
    pub live_bytes: i64,
    /// Largest growth of allocated bytes at any time.
    pub peak_bytes: i64,
}

/// Runs `work` and counts the allocations of the whole process; one caller at a time. All counts
/// are zero without [`Counting`] as the allocator.
pub fn count<T>(work: impl FnOnce() -> T) -> (T, Allocations) {
    COUNT.store(0, Relaxed);
    LIVE.store(0, Relaxed);
    PEAK.store(0, Relaxed);
    IS_COUNTING.store(true, Relaxed);
    let done = work();
    IS_COUNTING.store(false, Relaxed);
    let allocations = Allocations {
        count: COUNT.load(Relaxed),
        live_bytes: LIVE.load(Relaxed),
        peak_bytes: PEAK.load(Relaxed),
    };
    (done, allocations)
}

fn note(taken: usize, given_back: usize) {
    if !IS_COUNTING.load(Relaxed) {
        return;
    }
    if taken > 0 {
        COUNT.fetch_add(1, Relaxed);
    }
    // Sizes of allocations fit: Rust bounds them by `isize::MAX`.
    let change = taken as i64 - given_back as i64;
    let live = LIVE.fetch_add(change, Relaxed) + change;
    PEAK.fetch_max(live, Relaxed);
}

// === impl Counting ===

// SAFETY: every call and its result pass unchanged between the caller and the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: the caller keeps the contract of this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}
