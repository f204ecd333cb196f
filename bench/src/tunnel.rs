//! The tunnel beside nginx and HAProxy: the same upstream, the same client, one core for the proxy.

use std::{env, fs, io, path::Path, rc::Rc, time::Duration};

use crate::{
    client::{Message, Protocol},
    figures::{Rounds, Table, number},
    load::{Until, Work},
    machine,
    process::{CORE, OTHER_CORE, Process, first_line, free_address, run_before_others},
};

/// Measures, and writes the figures to a file.
pub(crate) async fn compare(tunnel: &str, file: &str) -> io::Result<()> {
    let priority = run_before_others()?;
    let directory = env::temp_dir().join(format!("tunnel-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let program = env::current_exe()?.to_string_lossy().into_owned();
    let upstream = Process::announced(OTHER_CORE, &[&program, "upstream"])?;
    let relay = [&program, "relay", &upstream.address.to_string()];
    let relay = Process::announced(CORE, &relay)?;
    let proxies = Proxies { upstream: &upstream, directory: &directory };
    let contenders = [
        ("`tunnel`", Some(proxies.tunnel(tunnel)?)),
        ("nginx", Some(proxies.nginx()?)),
        ("HAProxy", Some(proxies.haproxy("haproxy", "", "")?)),
        (
            "HAProxy, `tune.bufsize 65536`",
            Some(proxies.haproxy("buffer", "tune.bufsize 65536", "")?),
        ),
        (
            "HAProxy, `option splice-auto`",
            Some(proxies.haproxy("splice", "", "option splice-auto")?),
        ),
        ("a relay of bytes, no HTTP", Some(relay)),
        ("no proxy", None),
    ];
    let text = format!(
        "# The tunnel beside nginx and HAProxy\n\n\
         Written by `bench/tunnel.sh`. {}.\n\n{} {priority}\n{}",
        machine::facts()?,
        versions()?,
        measure(&contenders, &upstream).await?
    );
    drop(contenders);
    fs::remove_dir_all(&directory)?;
    print!("{text}");
    fs::write(file, text)
}

async fn measure(contenders: &[(&str, Option<Process>)], upstream: &Process) -> io::Result<String> {
    let mut text = String::new();
    for load in loads() {
        let mut figures = vec![Figures::default(); contenders.len()];
        for round in 0..=ROUNDS {
            for ((_, proxy), figures) in contenders.iter().zip(&mut figures) {
                let address = proxy.as_ref().unwrap_or(upstream).address;
                let cpu_time = || proxy.as_ref().map_or(Ok(Duration::ZERO), Process::cpu_time);
                let until = Until::Over(if round == 0 { WARM_UP } else { ROUND });
                let (done, [before, after]) =
                    load.work.run(address, load.connections, until, cpu_time).await?;
                if round > 0 {
                    let units = f64::from(done.units) * load.per_unit;
                    let used = after.saturating_sub(before).as_secs_f64();
                    figures.rate.push(units / done.took.as_secs_f64());
                    figures.cost.push(used * 1e6 / units);
                    figures.busy.push(100.0 * used / done.took.as_secs_f64());
                }
            }
        }
        text += &load.show(contenders, &figures);
    }
    Ok(text)
}

#[derive(Clone, Default)]
struct Figures {
    rate: Rounds,
    cost: Rounds,
    busy: Rounds,
}

struct Load {
    title: &'static str,
    /// The unit of the figures in singular and plural, and how many of them one unit of work is.
    unit: &'static str,
    units: &'static str,
    per_unit: f64,
    work: Work,
    connections: u32,
}

fn loads() -> [Load; 3] {
    let messages = |bytes| Work::Messages(Protocol::WebSocket, Rc::new(Message::returned(bytes)));
    [
        Load {
            title: "Handshakes: a connection is opened, upgraded, and closed",
            unit: "handshake",
            units: "handshakes",
            per_unit: 1.0,
            work: Work::Handshakes(Protocol::WebSocket),
            connections: 16,
        },
        Load {
            title: "Messages of 32 bytes: there and back",
            unit: "message",
            units: "messages",
            per_unit: 1.0,
            work: messages(32),
            connections: 32,
        },
        Load {
            title: "Messages of 64 KiB: there and back",
            unit: "MiB",
            units: "MiB",
            per_unit: 1.0 / 16.0,
            work: messages(64 * 1024),
            connections: 4,
        },
    ]
}

impl Load {
    fn show(&self, contenders: &[(&str, Option<Process>)], figures: &[Figures]) -> String {
        let (cost, rate) =
            (format!("µs of CPU per {}", self.unit), format!("{} per second", self.units));
        let mut table = Table::new(&["", &cost, "to `tunnel`", &rate, "% of its core"]);
        for ((name, proxy), figures_of_it) in contenders.iter().zip(figures) {
            let mut cells = [*name, "", "", "", ""].map(str::to_owned);
            cells[3] = figures_of_it.rate.show();
            if proxy.is_some() {
                cells[1] = figures_of_it.cost.show();
                cells[2] = number(figures_of_it.cost.median() / figures[0].cost.median());
                cells[4] = format!("{:.0}", figures_of_it.busy.median());
            }
            table.row(cells);
        }
        let of = |name: &str| {
            let mut all = contenders.iter().zip(figures);
            let found = all.find(|((contender, _), _)| *contender == name);
            number(
                figures[0].cost.median() / found.map_or(0.0, |(_, figures)| figures.cost.median()),
            )
        };
        format!(
            "\n## {}\n\n{} connections, one unit in flight on each. `tunnel` takes {} of the CPU time of nginx, \
             and {} of that of HAProxy with its default settings.\n\n{}",
            self.title,
            self.connections,
            of("nginx"),
            of("HAProxy"),
            table.text()
        )
    }
}

struct Proxies<'a> {
    upstream: &'a Process,
    directory: &'a Path,
}

impl Proxies<'_> {
    fn tunnel(&self, program: &str) -> io::Result<Process> {
        let upstream = format!("http://{}", self.upstream.address);
        let command = ["env", "TOKIO_WORKER_THREADS=1", program, "127.0.0.1:0", &upstream];
        Process::announced(CORE, &command)
    }

    fn nginx(&self) -> io::Result<Process> {
        self.configured("nginx", include_str!("../tunnel/nginx.conf"), &["nginx", "-c"])
    }

    fn haproxy(&self, name: &str, global: &str, defaults: &str) -> io::Result<Process> {
        let configuration = include_str!("../tunnel/haproxy.cfg")
            .replace("@GLOBAL@", global)
            .replace("@DEFAULTS@", defaults);
        self.configured(name, &configuration, &["haproxy", "-db", "-f"])
    }

    fn configured(&self, name: &str, text: &str, command: &[&str]) -> io::Result<Process> {
        let address = free_address()?;
        let text = text
            .replace("@LISTEN@", &address.to_string())
            .replace("@UPSTREAM@", &self.upstream.address.to_string())
            .replace("@DIRECTORY@", &self.directory.to_string_lossy());
        let file = self.directory.join(name);
        fs::write(&file, text)?;
        let file = file.to_string_lossy();
        Process::at(address, CORE, &[command, &[file.as_ref()]].concat())
    }
}

fn versions() -> io::Result<String> {
    let nginx = first_line("nginx", &["-v"])?;
    let haproxy = first_line("haproxy", &["-v"])?;
    let (nginx, haproxy) = (nginx.rsplit('/').next(), haproxy.split(' ').nth(2));
    Ok(format!(
        "`tunnel` is the example of that name. nginx {} and HAProxy {} are Debian's. Each proxy has one \
         thread or process for connections, on one core; client and upstream share the other. The proxies take \
         turns in {ROUNDS} rounds of {} s. The cells are `median (least–greatest)`. CPU time is that of the \
         proxy's process, user and kernel. A proxy that does not fill its core is as fast as the client and the \
         upstream let it be: its CPU time says more than its rate.",
        nginx.unwrap_or_default(),
        haproxy.unwrap_or_default(),
        ROUND.as_secs_f64(),
    ))
}

const ROUNDS: u32 = 5;
const ROUND: Duration = Duration::from_millis(1500);
const WARM_UP: Duration = Duration::from_millis(300);
