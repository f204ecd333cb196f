//! A tunnel on a stream of an upgraded connection: the service of the streams has a layer of its own.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, service_fn};
use tower_upgrade::{
    Connections, UpgradeLayer,
    h2c::{H2c, RequestBody},
};

use super::support::*;
use crate::support::*;

/// A client of an app whose streams may be tunnels, and the tunnels.
fn connect() -> (Client, Connections) {
    let log = Log::default();
    let plain = service_fn(async |_: Request<RequestBody>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
    });
    let tunnels = UpgradeLayer::new().on("foo", echo(&log, "foo")).extended_connect();
    let connections = tunnels.connections();
    let h2c = H2c::new(tunnels.layer(plain)).http2(|http2| {
        http2.enable_connect_protocol();
    });
    let layer = UpgradeLayer::new().on("h2c", h2c);
    (Client::to(Wire::serve(layer.layer(inner(&log))), log), connections)
}

fn open_tunnel(stream: u32) -> Vec<u8> {
    let block = [
        named_literal(0, b":method", b"CONNECT"),
        named_literal(0, b":protocol", b"foo"),
        named_literal(0, b":scheme", b"http"),
        named_literal(0, b":path", b"/x"),
        named_literal(0, b":authority", b"a.test"),
    ];
    frame(1, 0x4, stream, &block.concat())
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_an_h2c_connection_may_be_a_tunnel() {
    let (mut client, connections) = connect();
    assert_eq!(client.upgrade(get(&offer())).await, ANSWERED);
    client.exchange(preface()).await;
    assert_eq!(client.exchange(open_tunnel(3)).await, ["HEADERS 3 200"]);
    assert_eq!(connections.active(), 1);
    let echoed = ["DATA 3 1", "DATA 3 2", "DATA 3 1"];
    assert_eq!(client.exchange(frame(0, 0, 3, b"NP")).await, echoed);
    // Other streams go on beside it.
    assert_eq!(client.exchange(request_on(5, "/")).await, ["HEADERS 5 200", "DATA 5 2 END"]);
    assert_eq!(client.exchange(frame(0, 1, 3, b"")).await, ["DATA 3 0 END"]);
    let expected = ["foo asked \"\"", "foo runs foo", "foo reads \"NP\"", "foo ends"];
    assert_eq!(client.log.take(), expected);
    assert_eq!(connections.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_abort_of_the_tunnels_ends_their_streams_alone() {
    let (mut client, connections) = connect();
    client.upgrade(get(&offer())).await;
    client.exchange(preface()).await;
    client.exchange(open_tunnel(3)).await;
    connections.shutdown(Duration::ZERO).await;
    let frames = client.exchange("").await;
    assert_eq!(frames, ["DATA 3 0 END", "RST_STREAM 3 NO_ERROR"]);
    assert_eq!(client.exchange(request_on(5, "/")).await, ["HEADERS 5 200", "DATA 5 2 END"]);
}
