//! Facts about the machine and the programs on it, for the pages with figures.

use std::{fs, io};

use crate::process::first_line;

/// The processor, the number of cores, and the kernel.
pub(crate) fn facts() -> io::Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let mut models =
        cpus.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = models.next().map_or("an unknown processor", |(_, model)| model);
    let cores = models.count() + 1;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    // The text after the numbers names a build, and says nothing about speed.
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    Ok(format!("{model}, {cores} cores, Linux {kernel}, {}", first_line("rustc", &["--version"])?))
}
