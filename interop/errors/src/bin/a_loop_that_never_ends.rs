//! A run that only loops.
//~ the function on a connection cannot return `!`
//~ put it into an `async fn` that returns `std::io::Result<()>`

use bytes::Bytes;
use http::Request;
use tokio::io::AsyncWriteExt;
use tower_upgrade::{Switch, UpgradeLayer, Upgraded};

fn main() {
    let _layer = UpgradeLayer::new().on("foo", |_request: Request<Bytes>| async {
        Switch::to(|mut io: Upgraded| async move {
            loop {
                io.write_all(b"hello").await.ok();
            }
        })
    });
}
