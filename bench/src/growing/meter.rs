//! Counts work, and prints a line for it.
//!
//! A line has the name, the units of work, and for all of them together: allocations, the bytes that are held after
//! it and not before, the same of resident memory, nanoseconds of CPU, and nanoseconds.

use std::{fs, hint::black_box, time::Instant};

use crate::ALLOCATOR;

pub(crate) fn count(name: &str, units: usize, mut work: impl FnMut()) {
    let (resident, cpu, start) = (resident(), cpu(), Instant::now());
    // The innermost, because to read the others allocates.
    let before = allocated();
    counted(&mut work);
    let after = allocated();
    let wall = start.elapsed().as_nanos();
    let (cpu, resident) = (self::cpu() - cpu, self::resident() - resident);
    let (allocations, held) = (after.0 - before.0, after.1 - before.1);
    println!("{name}\t{units}\t{allocations}\t{held}\t{resident}\t{cpu}\t{wall}");
}

/// callgrind collects inside of this function, and writes a file when it returns. Nothing else has this name.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
    // So that the call above is not the last thing, and so a jump.
    black_box(&work);
}

#[allow(clippy::cast_possible_wrap, reason = "the counts are below 2^63")]
fn allocated() -> (i64, i64) {
    let stats = ALLOCATOR.stats();
    let allocations = stats.allocations + stats.reallocations;
    (allocations as i64, stats.bytes_allocated as i64 - stats.bytes_deallocated as i64)
}

fn resident() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    1024 * line.trim().trim_end_matches(" kB").parse::<i64>().unwrap()
}

/// Of the one thread, in user and kernel mode.
fn cpu() -> i64 {
    let stat = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}
