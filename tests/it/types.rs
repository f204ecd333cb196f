//! The types of the API for their callers: auto traits, common traits, and where a panic is reported.

use std::{
    cell::Cell,
    error::Error,
    fmt::Debug,
    future,
    hash::Hash,
    marker::{PhantomData, PhantomPinned},
    panic,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, request};
use http_body_util::Full;
use tokio::io::DuplexStream;
use tower_upgrade::{
    AtCapacity, BoxError, Connection, Connections, Declined, Downcast, IntoMakeService,
    InvalidProtocol, Mapped, NoService, Outermost, OutermostBody, OutermostFuture,
    OutermostService, OwnBody, Preference, Protocol, Rejection, Shutdown, Stats, Switch,
    Transparent, Upgrade, UpgradeBody, UpgradeError, UpgradeErrorKind, UpgradeFuture, UpgradeLayer,
    Upgraded, When, WithBodyLimit, WithMaxLifetime, Wrapped,
};

use crate::support::HOOK;

/// If a type has a trait, its inherent constant hides the one of `Lacks`.
struct Of<T: ?Sized>(PhantomData<T>);

trait Lacks {
    const SEND: &str = "";
    const SYNC: &str = "";
    const UNPIN: &str = "";
}

impl<T: ?Sized> Lacks for Of<T> {}

impl<T: Send + ?Sized> Of<T> {
    const SEND: &str = "Send ";
}

impl<T: Sync + ?Sized> Of<T> {
    const SYNC: &str = "Sync ";
}

impl<T: Unpin + ?Sized> Of<T> {
    const UNPIN: &str = "Unpin ";
}

/// The auto traits of types. In a generic function, `T` would have none of them.
macro_rules! assert_auto_traits {
    ($expected:expr, $($type:ty),+ $(,)?) => {$(
        let traits = [Of::<$type>::SEND, Of::<$type>::SYNC, Of::<$type>::UNPIN].concat();
        assert_eq!(traits.trim_end(), $expected, "{}", stringify!($type));
    )+};
}

/// Whether types have traits. It fails to compile if not.
macro_rules! assert_impl {
    ($($traits:path),+; $($type:ty),+ $(,)?) => {
        const _: () = {
            const fn is<T: ?Sized $(+ $traits)+>() {}
            $(is::<$type>();)+
        };
    };
}

/// Has none of the auto traits.
type Bare = (*const (), PhantomPinned);

type Handler = fn(Request<Bytes>) -> future::Ready<Switch>;
type Predicate = fn(&request::Parts) -> bool;
type Ready = future::Ready<()>;

#[test]
fn the_auto_traits_of_types_without_parameters() {
    assert_auto_traits!("", Bare);
    assert_auto_traits!("Send Sync Unpin", BoxError, InvalidProtocol, UpgradeError);
    assert_auto_traits!("Send Sync Unpin", AtCapacity, Preference, UpgradeErrorKind);
    assert_auto_traits!("Send Sync Unpin", Connection, Connections, Declined, Shutdown, Stats);
    assert_auto_traits!("Send Sync Unpin", Protocol<'_>, UpgradeLayer, Outermost);
    // These hold functions, futures, bodies and IO of the user, which need only be `Send`.
    assert_auto_traits!("Send Unpin", OwnBody, Rejection, Switch, Upgraded);
}

#[cfg(feature = "websocket")]
#[test]
fn the_auto_traits_of_types_for_websockets() {
    use tower_upgrade::websocket::{Agreed, Handshake, Offer, Origin, Origins, WebSocket};

    assert_auto_traits!("Send Sync Unpin", Agreed, Handshake, Offer, Origin, Origins, WebSocket);
}

#[cfg(feature = "h2c")]
#[test]
fn the_auto_traits_of_types_for_h2c() {
    use tower_upgrade::h2c::{Executor, H2c, RequestBody, RequestBodyLayer, WithRequestBody};

    assert_auto_traits!("Send Sync Unpin", Executor, RequestBody, RequestBodyLayer);
    assert_auto_traits!("Send Sync Unpin", H2c<()>, WithRequestBody<()>);
    assert_auto_traits!("", H2c<Bare>, WithRequestBody<Bare>);
}

#[cfg(feature = "tunnel")]
#[test]
fn the_auto_traits_of_types_for_tunnels() {
    use tower_upgrade::tunnel::{
        Connector, ConnectorIo, Forwarded, InvalidUpstream, Tcp, Tunnel, TunnelError,
        TunnelErrorKind,
    };

    assert_auto_traits!("Send Sync Unpin", InvalidUpstream, TunnelError, TunnelErrorKind);
    assert_auto_traits!("Send Sync Unpin", Forwarded, Tcp, Tunnel<Tcp>);
    assert_auto_traits!("Send Sync Unpin", Connector<()>, ConnectorIo<()>);
    assert_auto_traits!("", Connector<Bare>, ConnectorIo<Bare>, Tunnel<Bare>);
}

#[test]
fn the_auto_traits_of_types_with_parameters() {
    assert_auto_traits!("Send Sync Unpin", Upgrade<()>, OutermostService<()>, IntoMakeService<()>);
    assert_auto_traits!("", Upgrade<Bare>, OutermostService<Bare>, IntoMakeService<Bare>);
    assert_auto_traits!("Send Sync Unpin", When<Handler, Predicate>);
    assert_auto_traits!("", When<Bare, Predicate>, When<Handler, Bare>);
    assert_auto_traits!("Send Sync Unpin", WithBodyLimit<Handler>, WithMaxLifetime<Handler>);
    assert_auto_traits!("", WithBodyLimit<Bare>, WithMaxLifetime<Bare>);
    assert_auto_traits!("Send Sync Unpin", Downcast<DuplexStream>);
    assert_auto_traits!("", Downcast<Bare>);
    // These only make a body.
    assert_auto_traits!("Send Sync Unpin", Transparent, Wrapped, Mapped<Bare>, NoService<Bare>);
    // One task at a time polls a body or a future.
    assert_auto_traits!("Send Unpin", UpgradeBody<Full<Bytes>>, UpgradeFuture<Ready>);
    assert_auto_traits!("Send Unpin", OutermostBody<Full<Bytes>>);
    assert_auto_traits!("Send Sync Unpin", OutermostFuture<Ready>);
    assert_auto_traits!("", UpgradeBody<Bare>, UpgradeFuture<Bare>);
    assert_auto_traits!("", OutermostBody<Bare>, OutermostFuture<Bare>);
}

#[test]
fn the_futures_of_methods_can_move_to_another_task() {
    fn is<F: Future + Send>(_future: F) {}
    fn is_static<F: Future + Send + 'static>(_future: F) {}
    let connections = Connections::new();
    is_static(connections.draining());
    is_static(connections.drain_over(Duration::ZERO));
    is(connections.drained());
    is(connections.shutdown(Duration::ZERO));
    is(connections.shutdown_over(Duration::ZERO, Duration::ZERO));
}

#[expect(dead_code, reason = "it only has to compile")]
fn the_futures_of_a_connection_can_move_too(mut io: Upgraded, connection: &Connection) {
    fn is<F: Future + Send>(_future: F) {}
    fn is_static<F: Future + Send + 'static>(_future: F) {}
    is_static(connection.draining());
    is_static(io.draining());
    is(io.close());
}

assert_impl!(Debug; Downcast<()>, IntoMakeService<()>, Mapped<()>, NoService<()>, OutermostFuture<()>);
assert_impl!(Debug; OutermostService<()>, OwnBody, Rejection, Switch, Transparent, Upgraded, Wrapped);
assert_impl!(Clone; Connection, Connections, InvalidProtocol, Protocol<'_>, UpgradeLayer, Upgrade<()>);
// Small types are `Copy`, whatever the body is.
assert_impl!(Copy; AtCapacity, Preference, UpgradeErrorKind, Declined, Shutdown, Stats);
assert_impl!(Copy; When<Handler, Predicate>, WithBodyLimit<Handler>, WithMaxLifetime<Handler>);
assert_impl!(Copy; Mapped<String>, NoService<String>, Transparent, Wrapped, Outermost);
assert_impl!(Copy; OutermostService<()>, IntoMakeService<()>);
assert_impl!(Default; AtCapacity, Connections, Declined, Preference, Stats, UpgradeLayer, Outermost);
assert_impl!(Default; UpgradeBody<Full<Bytes>>, OutermostBody<Full<Bytes>>);
assert_impl!(Eq; AtCapacity, Declined, InvalidProtocol, Preference, Shutdown, Stats);
// They can be keys, as of a table that counts failures.
assert_impl!(Eq, Hash; Protocol<'_>, UpgradeErrorKind);
assert_impl!(Error, Send, Sync; InvalidProtocol, UpgradeError);

#[cfg(feature = "websocket")]
mod websocket {
    use tower_upgrade::websocket::{Agreed, Handshake, Offer, Origin, Origins, WebSocket};

    use super::{Debug, Hash};

    assert_impl!(Debug; Agreed, Handshake, Offer, Origin, Origins, WebSocket);
    assert_impl!(Clone; Agreed, Handshake, Origin, Origins, WebSocket);
    assert_impl!(Default; Agreed, Origins);
    assert_impl!(Eq, Hash; Origin);
}

#[cfg(feature = "tunnel")]
mod tunnel {
    use tower_upgrade::tunnel::{
        Connector, Forwarded, InvalidUpstream, Tcp, Tunnel, TunnelError, TunnelErrorKind,
    };

    use super::{Debug, Error, Hash};

    assert_impl!(Clone, Debug; Connector<()>, Forwarded, Tcp, Tunnel<()>);
    assert_impl!(Copy, Eq, Hash; TunnelErrorKind);
    assert_impl!(Error, Send, Sync; InvalidUpstream, TunnelError);
}

#[cfg(feature = "h2c")]
mod h2c {
    use tower_upgrade::h2c::{Executor, H2c, RequestBody, RequestBodyLayer, WithRequestBody};

    use super::Debug;

    assert_impl!(Clone, Debug; H2c<()>);
    assert_impl!(Copy, Debug; Executor, RequestBodyLayer, WithRequestBody<()>);
    assert_impl!(Debug, Default; RequestBody);
}

thread_local! {
    static LINE: Cell<u32> = const { Cell::new(0) };
}

/// Returns the line in this file at which the function is reported to have panicked.
fn line_of_the_panic<T>(function: impl FnOnce() -> T + panic::UnwindSafe) -> u32 {
    LINE.set(0);
    assert!(panic::catch_unwind(function).is_err());
    LINE.get()
}

#[test]
fn a_panic_over_a_setting_is_reported_at_the_line_that_sets_it() {
    {
        let _guard = HOOK.lock();
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if let Some(place) = panic.location().filter(|place| place.file().ends_with(file!())) {
                LINE.set(place.line());
            }
            print(panic);
        }));
    }
    let handler: Handler = |_request| future::ready(Switch::to(|_io: Upgraded| async {}));
    assert_eq!(line_of_the_panic(|| UpgradeLayer::new().on("f oo", handler)), line!());
    assert_eq!(line_of_the_panic(|| UpgradeLayer::new().on_inner("ws")), line!());
    #[cfg(feature = "websocket")]
    {
        use tower_upgrade::websocket::{Origins, WebSocket};

        let socket = || WebSocket::new(|_io, _handshake| async {});
        assert_eq!(line_of_the_panic(|| Origins::list(["a.test"])), line!());
        assert_eq!(line_of_the_panic(|| socket().subprotocols(["a b"])), line!());
    }
    #[cfg(feature = "tunnel")]
    {
        use tower_upgrade::tunnel::Tunnel;

        let tunnel = || Tunnel::to("http://a.test").unwrap();
        assert_eq!(line_of_the_panic(|| tunnel().strip_prefix("api")), line!());
    }
}
