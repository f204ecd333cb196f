//! Measures tower-upgrade beside its peers.
//!
//! ```text
//! bench tunnel PROGRAM FILE   the tunnel (its example) beside nginx and HAProxy; writes FILE
//! bench upstream              what the proxies forward to
//! bench relay ADDRESS         the least that a proxy does: bytes to ADDRESS and back
//! bench peers DIRECTORY [PEER…]
//!                             this crate beside its peers, or some of them; writes RESULTS.md and plots there
//! ```
//!
//! `tunnel.sh` and `run.sh` build all that is needed, and run them.

use std::{env, io};

mod client;
mod figures;
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
        ["peers", directory, ref keys @ ..] => peers::compare(directory, keys).await,
        ["relay", upstream] => relay::serve(upstream).await,
        ["upstream"] => upstream::serve().await,
        _ => Err(io::Error::other("see the first lines of src/main.rs")),
    }
}
