//! A handler that only ever rejects.
//~ a handler cannot return `Response<String>`
//~ a handler returns a `Switch`, or a `Result` of `Switch` and a `Rejection`

use bytes::Bytes;
use http::{Request, Response};
use tower_upgrade::UpgradeLayer;

async fn handler(_request: Request<Bytes>) -> Response<String> {
    Response::new(String::from("no"))
}

fn main() {
    let _layer = UpgradeLayer::new().on("foo", handler);
}
