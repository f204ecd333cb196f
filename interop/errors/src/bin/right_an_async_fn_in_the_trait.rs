//! Right: the method of the trait as an `async fn` that borrows from the handler.

use bytes::Bytes;
use http::{Request, StatusCode};
use tower_upgrade::{Rejection, Switch, UpgradeHandler, UpgradeLayer, Upgraded};

struct Named(String);

impl UpgradeHandler for Named {
    async fn upgrade(&self, request: Request<Bytes>) -> Result<Switch, Rejection> {
        if request.uri().path() == self.0 {
            Ok(Switch::to(|_io: Upgraded| async {}))
        } else {
            Err((StatusCode::NOT_FOUND, "no such room").into())
        }
    }
}

fn main() {
    let _layer = UpgradeLayer::new().on("foo", Named(String::from("/room")));
}
