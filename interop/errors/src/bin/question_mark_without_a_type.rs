//! A `?` in a block that does not say which error it returns.
//~ help: consider specifying the generic arguments
//~ Ok::<(), E>(())

use bytes::Bytes;
use http::Request;
use tokio::io::AsyncWriteExt;
use tower_upgrade::{Switch, UpgradeLayer, Upgraded};

fn main() {
    let _layer = UpgradeLayer::new().on("foo", |_request: Request<Bytes>| async {
        Switch::to(|mut io: Upgraded| async move {
            io.write_all(b"hello").await?;
            Ok(())
        })
    });
}
