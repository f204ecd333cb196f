//! The layer whose histories are generated.

use std::{future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, request};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};
use tower_upgrade::{Switch, UpgradeHandler, UpgradeLayer, Upgraded};

pub(super) const LIMIT: usize = 5;
pub(super) const LIMIT_OF_KEY: usize = 2;
pub(super) const HANDSHAKE: Duration = Duration::from_secs(1000);

/// Connections, while handshakes time out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limits {
    None,
    Idle,
    Lifetime,
}

/// The path chooses the decision, and a query has the handler wait first.
pub(super) fn layer(release: &Arc<Notify>, limits: Limits) -> UpgradeLayer {
    let release = Arc::clone(release);
    let handler = move |request: Request<Bytes>| {
        let release = Arc::clone(&release);
        async move {
            if request.uri().query().is_some() {
                release.notified().await;
            }
            match request.uri().path() {
                "/reject" => Err(StatusCode::FORBIDDEN),
                "/panic" => panic!("as asked"),
                "/stuck" => Ok(Switch::to(|io: Upgraded| talk(io, false))),
                "/moved" => Ok(Switch::to(|io: Upgraded| async { hand_over(io) })),
                _ => Ok(Switch::to(|io: Upgraded| talk(io, true))),
            }
        }
    };
    let layer = UpgradeLayer::new()
        .on("foo", handler.with_body_limit(5))
        .max_connections(LIMIT)
        .max_connections_per(key, LIMIT_OF_KEY)
        .handshake_timeout(HANDSHAKE);
    match limits {
        Limits::None => layer,
        Limits::Idle => layer.idle_timeout(HANDSHAKE / 2),
        Limits::Lifetime => layer.max_lifetime(HANDSHAKE * 2 / 3).lifetime_grace(HANDSHAKE / 4),
    }
}

pub(super) fn key(head: &request::Parts) -> Option<String> {
    Some(head.headers.get("x-key")?.to_str().ok()?.to_owned())
}

/// Obeys the client's bytes, until the client is gone or, if polite, until a drain.
pub(super) async fn talk(mut io: Upgraded, polite: bool) -> Result<(), &'static str> {
    let draining = io.draining();
    let told = async { if polite { draining.await } else { future::pending().await } };
    let obey = async {
        match io.read_u8().await {
            Ok(b'p') => panic!("as told"),
            Ok(b'e') => Err("as told"),
            _ => Ok(()),
        }
    };
    tokio::select! {
        end = obey => end,
        () = told => Ok(()),
    }
}

/// Leaves the halves to two tasks. One waits for the client to send, and the other for it to read.
pub(super) fn hand_over(io: Upgraded) {
    let (mut reader, mut writer) = tokio::io::split(io);
    tokio::spawn(async move { while reader.read(&mut [0; 8]).await.is_ok_and(|read| read > 0) {} });
    tokio::spawn(async move { while writer.write_all(&[b'x'; 99]).await.is_ok() {} });
}
