//! What this crate costs as more and more is asked of it: runs `growing`, writes a page, and fails if a curve bends.

use std::{fs, io, path::Path};

mod curves;
mod page;
mod run;

use self::run::{Counts, Program};

/// Measures, and writes the page to a file, unless it is to be quick.
pub(crate) fn measure(program: &str, file: Option<&str>) -> io::Result<()> {
    let program = Program::new(program);
    let sizes: &[u32] = if file.is_some() { &SIZES } else { &SIZES[..2] };
    let figures = Figures::of(&program, sizes)?;
    let bent = curves::bent(&figures);
    if let Some(file) = file {
        let text = page::page(&figures, &program)?;
        print!("{text}");
        fs::write(Path::new(file), text)?;
    }
    for (curve, how) in &bent {
        eprintln!("FAILED: {curve}: {how}");
    }
    println!("{} curves, {} of them bent", curves::number(&figures), bent.len());
    if bent.is_empty() { Ok(()) } else { Err(io::Error::other("a curve is bent")) }
}

/// Figures that are counted under callgrind.
struct Figures {
    /// For each number of connections, by who has them.
    idle: Vec<(u32, Vec<(&'static str, Counts)>)>,
    keys: Vec<(u32, Counts)>,
    registrations: Counts,
    /// For each length of the headers.
    headers: Vec<(u32, Counts)>,
}

impl Figures {
    fn of(program: &Program, sizes: &[u32]) -> io::Result<Self> {
        let idle = |&size: &u32| {
            let count = |&who| Ok((who, program.count(&["idle", who, &size.to_string()])?));
            Ok((size, WHO.iter().map(count).collect::<io::Result<_>>()?))
        };
        let headers = |&bytes: &u32| Ok((bytes, program.count(&["headers", &bytes.to_string()])?));
        let keys = |&keys: &u32| Ok((keys, program.count(&["keys", &keys.to_string()])?));
        Ok(Self {
            idle: sizes.iter().map(idle).collect::<io::Result<_>>()?,
            keys: KEYS.iter().map(keys).collect::<io::Result<_>>()?,
            registrations: program.count(&["registrations"])?,
            headers: BYTES.iter().map(headers).collect::<io::Result<_>>()?,
        })
    }
}

/// How many connections there are.
const SIZES: [u32; 3] = [1_000, 10_000, 50_000];

/// The servers that have them: hyper by hand; handlers that leave when they are told to; the same with limits of
/// time; and those that do not listen, and are aborted.
const WHO: [&str; 4] = ["hand", "layer", "limited", "stubborn"];

/// How many keys 10,000 connections have.
const KEYS: [u32; 2] = [1, 10_000];

/// How long the hostile headers are.
const BYTES: [u32; 5] = [1024, 2048, 4096, 8192, 65_536];
