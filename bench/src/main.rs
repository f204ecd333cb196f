//! Measures tower-upgrade beside its peers.
//!
//! ```text
//! bench tunnel PROGRAM FILE   the tunnel (its example) beside nginx and HAProxy; writes FILE
//! bench upstream              what the proxies forward to
//! bench relay ADDRESS         the least that a proxy does: bytes to ADDRESS and back
//! bench load ADDRESS handshakes|messages|requests CONNECTIONS SECONDS
//!                             the client alone, with messages of 32 bytes; any server may be at ADDRESS
//! bench growth PROGRAM [FILE]  what this crate costs as it grows; without FILE the smaller half, and no page
//! bench peers DIRECTORY [PEER…]
//!                             this crate beside its peers, or some of them; writes RESULTS.md and plots there
//! ```
//!
//! `tunnel.sh`, `growth.sh` and `run.sh` build all that is needed, and run them.

use std::{env, io, rc::Rc, time::Duration};

use client::{Message, Protocol};
use load::{Until, Work};

mod client;
mod figures;
mod growth;
mod h2;
mod load;
mod machine;
mod peers;
mod process;
mod relay;
mod tunnel;
mod upstream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        ["tunnel", program, file] => tunnel::compare(program, file).await,
        ["load", address, work, connections, seconds] => {
            let until = Until::Over(Duration::from_secs(number(seconds)?.into()));
            let address = address.parse().map_err(io::Error::other)?;
            let connections = number(connections)?;
            let (done, _) = work_of(work)?.run(address, connections, until, || Ok(())).await?;
            println!("{:.0} per second", f64::from(done.units) / done.took.as_secs_f64());
            Ok(())
        }
        ["growth", program] => growth::measure(program, None),
        ["growth", program, file] => growth::measure(program, Some(file)),
        ["peers", directory, ref keys @ ..] => peers::compare(directory, keys).await,
        ["relay", upstream] => relay::serve(upstream).await,
        ["upstream"] => upstream::serve().await,
        _ => Err(io::Error::other("see the first lines of src/main.rs")),
    }
}

fn number(text: &str) -> io::Result<u32> {
    text.parse().map_err(io::Error::other)
}

fn work_of(name: &str) -> io::Result<Work> {
    match name {
        "handshakes" => Ok(Work::Handshakes(Protocol::WebSocket)),
        "messages" => Ok(Work::Messages(Protocol::WebSocket, Rc::new(Message::websocket(32)))),
        "requests" => Ok(Work::Requests),
        _ => Err(io::Error::other("the work is handshakes, messages or requests")),
    }
}
