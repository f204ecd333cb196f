//! A program under measurement: started on one core, and ended with this one.

use std::{
    ffi::OsStr,
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The core of whatever is measured. The client and the upstream are on the other one.
pub(crate) const CORE: &str = "0";
pub(crate) const OTHER_CORE: &str = "1";

pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Kept open, because a program that prints into a closed pipe fails.
    output: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a program that prints `listening on http://ADDRESS`.
    pub(crate) fn announced(core: &str, command: &[&str]) -> io::Result<Self> {
        let mut child =
            pinned(core, command).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut output = child.stdout.take().map(BufReader::new);
        let address = output.as_mut().and_then(|output| {
            let mut lines = output.lines().map_while(Result::ok);
            lines.find_map(|line| line.split_once("://")?.1.parse().ok())
        });
        match address {
            Some(address) => Ok(Self { child, address, output }),
            None => {
                Err(io::Error::other(format!("{command:?} does not listen: {}", child.wait()?)))
            }
        }
    }

    /// Starts a program that listens on this address sooner or later.
    pub(crate) fn at(address: SocketAddr, core: &str, command: &[&str]) -> io::Result<Self> {
        let mut process = Self { child: pinned(core, command).spawn()?, address, output: None };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            if let Some(status) = process.child.try_wait()? {
                return Err(io::Error::other(format!("{command:?} ended: {status}")));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{command:?} does not listen")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(process)
    }

    /// Writes an empty line to a program that was announced, and returns the numbers that it prints.
    pub(crate) fn ask(&mut self) -> io::Result<[u64; 2]> {
        let (Some(input), Some(output)) = (&mut self.child.stdin, &mut self.output) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        input.write_all(b"\n")?;
        let mut line = String::new();
        output.read_line(&mut line)?;
        let mut numbers = line.split_whitespace().map_while(|number| number.parse().ok());
        match (numbers.next(), numbers.next()) {
            (Some(first), Some(second)) => Ok([first, second]),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Ends the input of a program, which ends it.
    pub(crate) fn end(mut self) -> io::Result<()> {
        self.child.stdin.take();
        self.child.wait().map(drop)
    }

    /// The memory that the process has touched, in bytes.
    pub(crate) fn resident(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes =
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kibibytes.map(|kibibytes| 1024 * kibibytes).ok_or(io::ErrorKind::InvalidData.into())
    }

    /// The CPU time of all its threads, in user and kernel mode, in steps of 10 ms.
    pub(crate) fn cpu_time(&self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name of the program comes before, and may have spaces.
        let (_, fields) = stat.rsplit_once(") ").unwrap_or_default();
        let ticks: Option<u64> =
            fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().ok()).sum();
        // Linux says it in hundredths of a second on all machines.
        ticks
            .map(|ticks| Duration::from_millis(10 * ticks))
            .ok_or(io::ErrorKind::InvalidData.into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A command on one core, which the kernel ends if this program ends without doing so.
fn pinned(core: &str, command: &[impl AsRef<OsStr>]) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["--cpu-list", core, "setpriv", "--pdeathsig", "KILL"]).args(command);
    pinned.stdin(Stdio::null()).stdout(Stdio::null());
    pinned
}

/// Lets this program, and all that it starts from now on, run before all other programs of the machine.
///
/// Otherwise a program that waits for bytes has to wait for other load too, and the least busy one has to wait
/// most. Returns a sentence for the reader of the figures.
pub(crate) fn run_before_others() -> io::Result<&'static str> {
    let this = std::process::id().to_string();
    let status = Command::new("chrt").args(["--rr", "--pid", "1", &this]).status()?;
    Ok(if status.success() {
        "All of them run with the priority `SCHED_RR`, before other programs of the machine."
    } else {
        "They run without a priority: on a busy machine the rates are wrong."
    })
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// The first line that a program prints.
pub(crate) fn first_line(program: &str, arguments: &[&str]) -> io::Result<String> {
    let output = Command::new(program).args(arguments).output()?;
    // nginx tells its version on stderr.
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
