//! A value that implements nothing of the kind.
//~ `Echo` cannot handle an upgrade
//~ a handler is an `async` function or closure from `http::Request<bytes::Bytes>` to `Switch`
//~ it has no other parameters

use tower_upgrade::UpgradeLayer;

struct Echo;

fn main() {
    let _layer = UpgradeLayer::new().on("foo", Echo);
}
