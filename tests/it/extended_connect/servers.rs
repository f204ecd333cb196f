//! The servers that announce extended CONNECT, and those that have to be told.

use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tower::Layer;
#[cfg(feature = "axum")]
use {
    http::Request,
    tokio::io::{AsyncReadExt, AsyncWriteExt},
};

use super::{connect, not_found, support::Client};
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn the_auto_builder_announces_it_if_told_to() {
    for announces in [true, false] {
        let log = Log::default();
        let service = fixture(&log).extended_connect().layer(not_found(&log));
        let mut client = Client::of(|io| {
            let mut builder = auto::Builder::new(TokioExecutor::new());
            if announces {
                builder.http2().enable_connect_protocol();
            }
            let service = TowerToHyperService::new(service);
            builder.serve_connection_with_upgrades(TokioIo::new(io), service).into_owned()
        })
        .await;
        if announces {
            assert_eq!(client.connect("foo").await.exchange("NP").await, "[NP]");
        } else {
            assert!(client.send_raw(connect("foo", "/x", &[])).await.is_err());
            assert_eq!(log.take(), [""; 0]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn hypers_http_2_does_not_announce_it_unless_told_to() {
    let log = Log::default();
    let service = fixture(&log).extended_connect().layer(not_found(&log));
    let mut client = Client::of(|io| {
        http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(io), TowerToHyperService::new(service))
    })
    .await;
    assert!(client.send_raw(connect("foo", "/x", &[])).await.is_err());
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn axum_serve_announces_it() {
    let log = Log::default();
    let app = axum::Router::new()
        .route("/x", axum::routing::any(async || "plain"))
        .layer(fixture(&log).extended_connect());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    let client = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut client = Client::over(client).await;
    // The first answer comes after the settings.
    client.send(Request::get("http://a.test/x").body(()).unwrap()).await;
    let mut answer = client.connect("foo").await;
    answer.tunnel().write_all(b"NP").await.unwrap();
    let mut echoed = [0; 4];
    answer.tunnel().read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"[NP]");
}
