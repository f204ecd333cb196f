//! Recipes: cookies and headers on the 101, a limit for each address, tonic.
//!
//! # Cookies and headers on the 101
//!
//! [`Switch::header`](crate::Switch::header) adds them. Below
//! [`on_inner`](crate::UpgradeLayer::on_inner), headers that middleware adds to the response get onto the
//! 101 too: CORS, request ids, the cookie of a session.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, header::{HeaderValue, SET_COOKIE}};
//! use tower_upgrade::{Switch, Upgraded};
//!
//! async fn greet(_request: Request<Bytes>) -> Switch {
//!     let cookie = HeaderValue::from_static("seen=1; HttpOnly; SameSite=Strict");
//!     Switch::to(|_io: Upgraded| async {}).header(SET_COOKIE, cookie)
//! }
//! # let _layer = tower_upgrade::UpgradeLayer::new().on("greet/1", greet);
//! ```
//!
//! # A limit for each address
//!
//! Count in the handler, and move the guard into what runs: it is dropped however the connection ends.
//!
//! ```
//! use std::{
//!     collections::HashMap,
//!     net::IpAddr,
//!     sync::{Arc, Mutex},
//! };
//!
//! #[derive(Clone, Default)]
//! struct PerAddress(Arc<Mutex<HashMap<IpAddr, usize>>>);
//!
//! struct Guard(PerAddress, IpAddr);
//!
//! impl PerAddress {
//!     /// Returns `None` if so many are there already.
//!     fn enter(&self, address: IpAddr, limit: usize) -> Option<Guard> {
//!         let mut counts = self.0.lock().unwrap();
//!         let count = counts.entry(address).or_default();
//!         (*count < limit).then(|| {
//!             *count += 1;
//!             Guard(self.clone(), address)
//!         })
//!     }
//! }
//!
//! impl Drop for Guard {
//!     fn drop(&mut self) {
//!         let mut counts = self.0.0.lock().unwrap();
//!         if let Some(count) = counts.get_mut(&self.1) {
//!             *count -= 1;
//!             if *count == 0 {
//!                 counts.remove(&self.1);
//!             }
//!         }
//!     }
//! }
//!
//! let all = PerAddress::default();
//! let address = IpAddr::from([192, 0, 2, 1]);
//! let guard = all.enter(address, 1).unwrap();
//! assert!(all.enter(address, 1).is_none());
//! // In a handler: `ws.switch(move |io, _| async move { let _guard = guard; run(io).await })`
//! drop(guard);
//! assert!(all.enter(address, 1).is_some());
//! ```
//!
//! The address is that of the peer only if nobody stands in front. Behind a proxy, take the header that
//! the proxy sets, and from no one else.
//!
//! # tonic
//!
//! `tonic::service::Routes::into_axum_router` is a `Router`. Put the layer on it, or around it, as on any
//! other: gRPC requests are HTTP/2 and are forwarded. With `h2c`, gRPC clients that ask for an upgrade
//! are served too, but they do not: they use prior knowledge, which hyper-util's `auto` builder and
//! `axum::serve` with the feature `http2` take on the same port.
