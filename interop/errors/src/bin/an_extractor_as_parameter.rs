//! A handler that takes an extractor, as axum's do.
//~ type mismatch in function arguments
//~ found function signature `fn(HeaderMap) -> _`

use http::HeaderMap;
use tower_upgrade::{Switch, UpgradeLayer, Upgraded};

async fn handler(_headers: HeaderMap) -> Switch {
    Switch::to(|_io: Upgraded| async {})
}

fn main() {
    let _layer = UpgradeLayer::new().on("foo", handler);
}
