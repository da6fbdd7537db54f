//! The counting allocator, alone in its process: it counts for all threads.

use std::hint::black_box;

use benchmarks::counting::{self, Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn allocations_are_counted_with_what_is_kept_and_what_was_held_at_most() {
    let (kept, counted) = counting::count(|| {
        drop(black_box(Vec::<u8>::with_capacity(5000)));
        black_box(Vec::<u8>::with_capacity(300))
    });
    drop(kept);
    assert_eq!((counted.count, counted.live_bytes), (2, 300));
    assert_eq!(counted.peak_bytes, 5000);
    let (_, nothing) = counting::count(|| black_box(1 + 1));
    assert_eq!((nothing.count, nothing.peak_bytes), (0, 0));
}
