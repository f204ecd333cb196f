//! Right: a rejection with a status and a text, and a `?` whose error is said.

use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::io::AsyncWriteExt;
use tower_upgrade::{Switch, UpgradeLayer, Upgraded};

async fn handler(request: Request<Bytes>) -> Result<Switch, (StatusCode, &'static str)> {
    if request.uri().path() != "/room" {
        return Err((StatusCode::NOT_FOUND, "no such room"));
    }
    Ok(Switch::to(|mut io: Upgraded| async move {
        io.write_all(b"hello").await?;
        Ok::<(), std::io::Error>(())
    }))
}

fn main() {
    let _layer = UpgradeLayer::new().on("foo", handler);
}
