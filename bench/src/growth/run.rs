//! Runs `growing`, natively or under callgrind, and reads what it has counted.

use std::{
    env, fs, io,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::process::CORE;

pub(super) struct Program {
    path: String,
}

/// One thing that was counted.
pub(super) struct Count {
    pub(super) name: String,
    pub(super) units: f64,
    /// Of the whole process, if it ran under callgrind.
    pub(super) instructions: f64,
    /// Bytes that are held afterwards.
    pub(super) held: f64,
    pub(super) resident: f64,
    /// In nanoseconds, as is the next.
    pub(super) cpu: f64,
    pub(super) wall: f64,
}

/// All that one run has counted.
pub(super) struct Counts(pub(super) Vec<Count>);

impl Counts {
    /// Returns what was counted under this name. Every name is in both programs.
    pub(super) fn get(&self, name: &str) -> &Count {
        self.0.iter().find(|count| count.name == name).expect("`growing` counts it")
    }

    /// Returns the instructions of one unit.
    pub(super) fn each(&self, name: &str) -> f64 {
        self.get(name).each()
    }
}

impl Count {
    pub(super) fn each(&self) -> f64 {
        self.instructions / self.units
    }
}

impl Program {
    pub(super) fn new(path: &str) -> Self {
        Self { path: path.to_owned() }
    }

    /// Runs it under callgrind, for its instructions.
    pub(super) fn count(&self, arguments: &[&str]) -> io::Result<Counts> {
        let directory = env::temp_dir().join(format!("growth-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let file = directory.join("out");
        let mut callgrind = Command::new("valgrind");
        callgrind.args(["--quiet", "--tool=callgrind", "--dump-line=no", "--collect-atstart=no"]);
        // It collects inside of this function, and writes a file at its end.
        for option in ["--toggle-collect", "--dump-after"] {
            callgrind.arg(format!("{option}=growing::meter::counted"));
        }
        callgrind.arg(format!("--callgrind-out-file={}", file.display())).arg(&self.path);
        let counts = read(callgrind.args(arguments));
        let counts = counts.and_then(|mut counts| {
            for (at, count) in counts.0.iter_mut().enumerate() {
                count.instructions = total(file.with_extension((at + 1).to_string()))?;
            }
            Ok(counts)
        });
        fs::remove_dir_all(&directory)?;
        counts
    }

    /// Runs it on a core of its own, for memory and times.
    pub(super) fn time(&self, arguments: &[&str]) -> io::Result<Counts> {
        let mut pinned = Command::new("taskset");
        read(pinned.args(["--cpu-list", CORE, &self.path]).args(arguments))
    }
}

fn total(file: PathBuf) -> io::Result<f64> {
    let text = fs::read_to_string(file)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    match total.map(str::parse) {
        // Nothing counts nothing, unless the function has another name.
        Some(Ok(total)) if total > 0.0 => Ok(total),
        _ => Err(io::Error::other("callgrind has not found the function that counts")),
    }
}

fn read(command: &mut Command) -> io::Result<Counts> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{command:?}: {}", output.status)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let counts = text.lines().map(|line| {
        let mut cells = line.split('\t');
        let name = cells.next()?.to_owned();
        let numbers: Option<Vec<i64>> = cells.map(|cell| cell.parse().ok()).collect();
        let &[units, _allocations, held, resident, cpu, wall] = numbers?.as_slice() else {
            return None;
        };
        let [units, held, resident, cpu, wall] = [units, held, resident, cpu, wall].map(signed);
        Some(Count { name, units, instructions: 0.0, held, resident, cpu, wall })
    });
    let counts: Option<Vec<Count>> = counts.collect();
    counts.map(Counts).ok_or_else(|| io::Error::other(format!("{command:?}: {text}")))
}

#[allow(clippy::cast_precision_loss, reason = "the counts are below 2^52")]
fn signed(count: i64) -> f64 {
    count as f64
}
