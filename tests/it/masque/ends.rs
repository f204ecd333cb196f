//! Tunnels of `connect-tcp` that break off: nobody takes half of a stream for the whole.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower_upgrade::UpgradeLayer;

use super::{
    proxy::Proxy,
    support::{Answer, BOTH, Http, ask_over, in_time, layer, path, until_idle},
};
use crate::support::*;

/// A tunnel on a real connection of the client, and the target's end of it.
async fn open(http: Http, layer: &UpgradeLayer) -> (Answer, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let path = path("connect-tcp", address.port());
    let answer = ask_over(http, layer, "connect-tcp", &path, client, server).await;
    let (target, _) = in_time(listener.accept()).await.unwrap();
    (answer, target)
}

/// Waits for a RST. A FIN is no error of a socket.
async fn is_reset(target: &TcpStream) {
    in_time(async {
        while target.take_error().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_breaks_off_or_breaks_the_protocol_resets_the_target() {
    for http in BOTH {
        for (bytes, failure) in [
            (&b""[..], "the stream ended without FINAL_DATA"),
            (b"\xa0\x28\xd7\xf0\x03abc", "the stream ended without FINAL_DATA"),
            (b"\xa0\x28\xd7\xf0\x05abc", "unexpected end of file"),
            (b"\xa0\x28\xd7\xf1\x05abc", "unexpected end of file"),
            (b"\x17\x05abc", "unexpected end of file"),
            (b"\xa0\x28\xd7\xf1\x03abc\xa0\x28\xd7\xf0\0", "there are bytes after FINAL_DATA"),
            (b"\xa0\x28\xd7\xf1\x03abc\x17\x05ab", "unexpected end of file"),
        ] {
            let log = Log::default();
            let layer = layer(Proxy::default(), &log);
            let (mut answer, target) = open(http, &layer).await;
            answer.send(bytes).await;
            answer.finish().await;
            is_reset(&target).await;
            until_idle(&layer).await;
            let expected = format!(
                "failed connect-tcp Handler: the upgraded connection ended with an error: {failure}"
            );
            assert_eq!(log.take(), [expected], "{http:?} {bytes:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_is_gone_resets_the_target() {
    for http in BOTH {
        let layer = layer(Proxy::default(), &Log::default());
        let (answer, target) = open(http, &layer).await;
        drop(answer);
        is_reset(&target).await;
        until_idle(&layer).await;
    }
}

#[tokio::test]
async fn a_target_that_breaks_off_resets_the_client() {
    for http in BOTH {
        let log = Log::default();
        let layer = layer(Proxy::default(), &log);
        let (mut answer, mut target) = open(http, &layer).await;
        target.write_all(b"half").await.unwrap();
        answer.expect(b"\xa0\x28\xd7\xf0\x04half").await;
        target.set_zero_linger().unwrap();
        drop(target);
        let mut rest = Vec::new();
        let end = in_time(answer.tunnel().read_to_end(&mut rest)).await;
        assert_eq!(rest, b"", "{http:?}");
        match http {
            Http::One => assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset),
            // hyper cannot reset the stream. It ends without FINAL_DATA.
            Http::Two => assert_eq!(end.unwrap(), 0),
        }
        until_idle(&layer).await;
        let failures = log.take();
        assert_eq!(failures.len(), 1);
        assert!(failures[0].starts_with("failed connect-tcp Handler: "), "{failures:?}");
    }
}

#[tokio::test]
async fn a_drain_leaves_a_stream_whole_and_the_deadline_of_a_shutdown_ends_it() {
    for http in BOTH {
        let layer = layer(Proxy::default(), &Log::default());
        let (mut answer, mut target) = open(http, &layer).await;
        layer.connections().drain();
        answer.send(b"\xa0\x28\xd7\xf0\x03abc").await;
        let mut bytes = [0; 3];
        in_time(target.read_exact(&mut bytes)).await.unwrap();
        assert_eq!(&bytes, b"abc");
        let shutdown = in_time(layer.connections().shutdown(Duration::from_millis(1))).await;
        assert_eq!((shutdown.finished, shutdown.aborted), (0, 1));
        in_time(target.read_to_end(&mut Vec::new())).await.ok();
        let end = in_time(answer.tunnel().read_to_end(&mut Vec::new())).await;
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
}
