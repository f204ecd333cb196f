//! The connection behind the 101, frame for frame.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tower::Layer;
use tower_upgrade::h2c::H2c;

use super::support::*;
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn the_answer_comes_at_once_behind_the_servers_settings() {
    // R7540-3.2-05, -06 and -07, R7540-3.2.1-07, R9110-7.8-12: no byte of HTTP/2 has been sent.
    let mut client = Client::connect();
    assert_eq!(client.upgrade(get(&offer())).await, ANSWERED);
    assert!(!client.ended);
    assert_eq!(client.log.take(), ["GET http://a.test/x HTTP/2.0 \"\""]);
}

#[tokio::test(start_paused = true)]
async fn the_clients_settings_are_acknowledged_once_and_the_next_stream_is_3() {
    // R7540-3.2-08, R7540-3.2.1-07, R9113-3.4-01, NET-14 to NET-17, GO-01, UND-03
    let mut client = Client::connect();
    client.upgrade(get(&offer())).await;
    assert_eq!(client.exchange(preface()).await, ["SETTINGS ACK"]);
    assert_eq!(client.exchange(SETTINGS_ACK).await, [] as [&str; 0]);
    for stream in [3, 5, 7] {
        let expected = [format!("HEADERS {stream} 200"), format!("DATA {stream} 2 END")];
        assert_eq!(client.exchange(request_on(stream, "/")).await, expected);
    }
    // Settings that come later are acknowledged as ever.
    assert_eq!(client.exchange(frame(4, 0, 0, &[])).await, ["SETTINGS ACK"]);
    assert_eq!(client.log.count("GET"), 4);
}

#[tokio::test(start_paused = true)]
async fn an_early_preface_is_the_same() {
    // R6455-4.1-wait, P-58, and half a preface.
    let early = [preface(), request_on(3, "/")].concat();
    for at in 0..=early.len() {
        let mut client = Client::connect();
        let mut frames = client.upgrade([get(&offer()).as_bytes(), &early[..at]].concat()).await;
        frames.extend(client.exchange(&early[at..]).await);
        // The rest comes in any order behind the server's settings.
        assert_eq!(frames[0], "SETTINGS", "{at}");
        for frame in [&ANSWERED[..], &["SETTINGS ACK", "HEADERS 3 200", "DATA 3 2 END"]].concat() {
            assert_eq!(frames.iter().filter(|&sent| sent == frame).count(), 1, "{at} {frames:?}");
        }
        assert_eq!(frames.len(), 7, "{at} {frames:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_settings_of_the_request_hold_for_stream_1() {
    // R7540-3.2.1-06: windows of 0, 1 and 65,535, and the last value of one that is repeated.
    for (settings, window) in
        [("AAQAAAAA", 0), ("AAQAAAAB", 1), ("AAMAAABkAAQAAP__", 65_535), ("AAQAAAAAAAQAAAAK", 10)]
    {
        let mut client = Client::connect();
        let bytes = request("GET /long HTTP/1.1", &offer_with(settings));
        let frames = client.upgrade(bytes).await;
        assert_eq!(frames[..3], [&SERVER_PREFACE[..], &["HEADERS 1 200"]].concat(), "{settings}");
        assert_eq!(bytes_on(1, &frames), window, "{settings}");
        // The client's SETTINGS say nothing of a window, and leave it as it is.
        let bytes = [preface(), window_update(0, 100_000)].concat();
        assert_eq!(client.exchange(bytes).await, ["SETTINGS ACK"], "{settings}");
        // R7540-3.2-09: what the client opens counts.
        assert_eq!(client.exchange(window_update(1, 5)).await, ["DATA 1 5"], "{settings}");
        let frames = client.exchange(window_update(1, 100_000)).await;
        assert_eq!(bytes_on(1, &frames), 100_000 - window - 5, "{settings}");
        assert!(frames.last().unwrap().ends_with(" END"));
    }
    // The window of the connection is not a setting, and the other limit.
    let mut client = Client::connect();
    let bytes = request("GET /long HTTP/1.1", &offer_with("AAR_____"));
    assert_eq!(bytes_on(1, &client.upgrade(bytes).await), 65_535);
    let bytes = [preface(), window_update(0, 100_000)].concat();
    assert_eq!(bytes_on(1, &client.exchange(bytes).await), 100_000 - 65_535);
}

/// How many bytes of a body came on a stream.
fn bytes_on(stream: u32, frames: &[String]) -> usize {
    let start = format!("DATA {stream} ");
    let body = frames.iter().filter_map(|frame| frame.strip_prefix(&start));
    body.map(|rest| rest.trim_end_matches(" END").parse::<usize>().unwrap()).sum()
}

#[tokio::test(start_paused = true)]
async fn a_reset_of_stream_1_ends_it_and_nothing_else() {
    // UND-02, TOM-30
    let mut client = Client::connect();
    let bytes = request("GET /never HTTP/1.1", &offer());
    assert_eq!(client.upgrade(bytes).await, SERVER_PREFACE);
    assert!(!client.log.has("dropped"));
    let bytes = [preface(), rst_stream(1)].concat();
    assert_eq!(client.exchange(bytes).await, ["SETTINGS ACK"]);
    assert!(client.log.has("dropped"));
    let answered = ["HEADERS 3 200", "DATA 3 2 END"];
    assert_eq!(client.exchange(request_on(3, "/")).await, answered);

    // With the answer half-way, and a body in the request.
    let mut client = Client::connect();
    let lines = format!("{}Content-Length: 10\r\n", offer_with("AAQAAAAB"));
    let bytes = request("POST /long HTTP/1.1", &lines) + "0123456789";
    assert_eq!(bytes_on(1, &client.upgrade(bytes).await), 1);
    let bytes = [preface(), rst_stream(1)].concat();
    assert_eq!(client.exchange(bytes).await, ["SETTINGS ACK"]);
    let bytes = [window_update(1, 1_000), request_on(3, "/")].concat();
    let frames = client.exchange(bytes).await;
    assert_eq!((bytes_on(1, &frames), bytes_on(3, &frames)), (0, 1), "{frames:?}");
}

#[tokio::test(start_paused = true)]
async fn frames_of_the_client_that_stream_1_cannot_take_are_refused() {
    // R7540-3.2-09, R7540-5.1.1-01: the stream is half-closed, and not the client's to open.
    let data = frame(0, 0x1, 1, b"more");
    for bytes in [&data, &frame(0, 0, 1, b"more"), &request_on(1, "/again")] {
        for line in ["GET /x HTTP/1.1", "GET /never HTTP/1.1"] {
            let mut client = Client::connect();
            client.upgrade(request(line, &offer())).await;
            let mut frames = client.exchange([preface(), bytes.clone()].concat()).await;
            frames.retain(|frame| frame != "SETTINGS ACK");
            let refused = |frame: &String| {
                frame.starts_with("GOAWAY 1 ") || frame.starts_with("RST_STREAM 1 ")
            };
            assert!(frames.iter().any(refused), "{line} {frames:?}");
            assert!(frames.iter().all(refused), "nothing but the refusal: {frames:?}");
            let started = client.log.count("GET");
            assert_eq!(started, 1, "the service was called for the upgrading request alone");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_for_header_sections_holds_for_all_streams() {
    // GO-02
    let mut client = Client::connect_to(|log| {
        H2c::new(app(log)).http2(|http2| {
            http2.max_header_list_size(300);
        })
    });
    client.upgrade(get(&offer())).await;
    client.exchange(preface()).await;
    let large = named_literal(0, b"x-large", &[b'x'; 120]);
    let frames = client.exchange(request_with(3, "/", &large)).await;
    assert!(!frames.contains(&"HEADERS 3 200".into()), "{frames:?}");
    let small = named_literal(0, b"x-large", &[b'x'; 30]);
    let frames = client.exchange(request_with(5, "/", &small)).await;
    assert_eq!(frames, ["HEADERS 5 200", "DATA 5 2 END"]);
    assert_eq!(client.log.count("GET http://a.test/ "), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_on_a_stream_cannot_upgrade() {
    // R7540-8.1.1-01, R9113-8.2.2-02
    let mut client = Client::connect();
    client.upgrade(get(&offer())).await;
    let upgrade = named_literal(0, b"upgrade", b"h2c");
    let bytes = [preface(), request_with(3, "/", &upgrade)].concat();
    assert_eq!(client.exchange(bytes).await, ["SETTINGS ACK", "RST_STREAM 3 PROTOCOL_ERROR"]);
    assert_eq!(client.log.count("GET"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_preface_that_is_wrong_anywhere_ends_the_connection() {
    // R9113-3.4-01, TOM-15: RFC 7540 §3.5 leaves the GOAWAY out.
    for at in 0..PREFACE.len() {
        let mut client = Client::connect();
        client.upgrade(get(&offer())).await;
        let mut bytes = preface();
        bytes[at] ^= 0x20;
        bytes.extend(request_on(3, "/"));
        assert_eq!(client.exchange(bytes).await, [] as [&str; 0], "{at}");
        assert!(client.ended, "{at}");
        assert_eq!(client.log.count("GET"), 1, "{at}");
        client.leave().await;
        assert_eq!(
            client.log.count("failed h2c Handler: the upgraded connection ended with an error"),
            1,
            "{at}"
        );
    }
    let mut client = Client::connect();
    client.upgrade(get(&offer())).await;
    client.exchange("x-".repeat(41)).await;
    assert!(client.ended);
    // Frames without the preface are no preface either, and nor is one more request.
    for bytes in [frame(4, 0, 0, &[]), get("").into_bytes()] {
        let mut client = Client::connect();
        client.upgrade(get(&offer())).await;
        client.exchange(bytes).await;
        assert!(client.ended);
        assert_eq!(client.log.count("GET"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_frame_other_than_settings_ends_the_connection() {
    // RFC 7540 §3.5, R9113-3.4-01. HTTP/2 itself does not look, and neither does it with prior
    // knowledge.
    let pings = [frame(6, 0, 0, &[0; 8]), SETTINGS_ACK.to_vec(), frame(4, 0, 1, &[])];
    for first in [&[request_on(3, "/")][..], &pings].concat() {
        let bytes = [PREFACE, &first, &frame(4, 0, 0, &[])].concat();
        for at in 0..bytes.len() {
            let mut client = Client::connect();
            client.upgrade(get(&offer())).await;
            client.send(&bytes[..at]).await;
            settle().await;
            assert_eq!(client.exchange(&bytes[at..]).await, [] as [&str; 0], "{at}");
            assert!(client.ended, "{at}");
            client.leave().await;
            assert_eq!((client.log.count("GET"), client.log.count("failed h2c Handler")), (1, 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_table_sizes_h2_applies_the_last_alone() {
    // h2's own: RFC 7541 §4.2 has it announce the smaller one first, since the client has dropped
    // its table. `nghttp -c 0 -c 4096` fails over this. If this test fails, h2 has mended it.
    const TABLE_SIZE: u8 = 1;
    let mut client = Client::connect();
    client.upgrade(get(&offer())).await;
    client.exchange(preface()).await;
    let sizes = [[0, TABLE_SIZE, 0, 0, 0, 0], [0, TABLE_SIZE, 0, 0, 0x10, 0]].concat();
    client.send(frame(4, 0, 0, &sizes)).await;
    client.send(request_on(3, "/")).await;
    let (bytes, _) = client.wire.receive_bytes().await;
    let headers = bytes.windows(9).position(|head| head[3..] == [1, 4, 0, 0, 0, 3]).unwrap() + 9;
    // Not `20 3f e1 1f`, the sizes 0 and 4,096.
    assert_eq!(bytes[headers] & 0xe0, 0x80, "{:x?}", &bytes[headers..]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_ends_the_connection() {
    // TOM-13, TOM-14
    for len in 0..=PREFACE.len() {
        let mut client = Client::connect();
        client.upgrade(get(&offer())).await;
        client.send(&PREFACE[..len]).await;
        client.wire.io.shutdown().await.unwrap();
        client.exchange("").await;
        assert!(client.ended, "{len}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_dropped_when_pings_are_asked_for() {
    // TOM-13, VTX-05. The timer is there without being asked for.
    let mut client = Client::connect_to(|log| {
        H2c::new(app(log)).http2(|http2| {
            http2
                .keep_alive_interval(Duration::from_secs(10))
                .keep_alive_timeout(Duration::from_secs(5));
        })
    });
    client.upgrade(get(&offer())).await;
    client.exchange(preface()).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert!(!client.ended);
    assert_eq!(client.exchange("").await[0], "PING");
    tokio::time::sleep(Duration::from_secs(6)).await;
    client.exchange("").await;
    assert!(client.ended);
}

/// The server's end of a pipe, which moves at most so many bytes at once.
struct Pieces {
    io: DuplexStream,
    most: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = vec![0; self.most.min(buf.remaining())];
        let mut piece = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut piece))?;
        buf.put_slice(piece.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let most = self.most.min(buf.len());
        Pin::new(&mut self.io).poll_write(cx, &buf[..most])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn small_reads_and_writes_change_nothing() {
    for most in [1, 2, 3, 5, 8, 9, 10, 23, 24, 25, 33, 100] {
        let log = Log::default();
        // The pipe is smaller than an answer, too.
        let (io, server) = tokio::io::duplex(64);
        let service = TowerToHyperService::new(layer(&log).layer(http1(app(&log))));
        let io_in_pieces = TokioIo::new(Pieces { io: server, most });
        let connection =
            http1::Builder::new().serve_connection(io_in_pieces, service).with_upgrades();
        let mut client = Client::to(Wire::of(io, connection), log);
        let lines = format!("{}Content-Length: 1000\r\n", offer());
        let bytes = request("POST /x HTTP/1.1", &lines) + &"x".repeat(1_000);
        assert_eq!(client.upgrade(bytes).await, ANSWERED, "{most}");
        let mut frames = client.exchange(preface()).await;
        frames.extend(client.exchange(request_on(3, "/long")).await);
        assert_eq!(frames[..2], ["SETTINGS ACK", "HEADERS 3 200"], "{most}");
        // The first answer had two bytes of the connection's window.
        assert_eq!(bytes_on(3, &frames), 65_535 - 2, "{most}");
        assert_eq!(client.log.count("POST http://a.test/x HTTP/2.0 1000 bytes"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_split_at_every_byte_are_upgraded_the_same() {
    let lines = format!("{}Content-Length: 3\r\n", offer());
    let head = request("POST /x HTTP/1.1", &lines) + "abc";
    let bytes = [head.as_bytes(), &preface(), &request_on(3, "/")].concat();
    for at in 0..bytes.len() {
        let mut client = Client::connect();
        client.send(&bytes[..at]).await;
        settle().await;
        let frames = client.upgrade(&bytes[at..]).await;
        assert_eq!(frames.len(), 7, "{at} {frames:?}");
        let log = client.log.take();
        assert_eq!(log[0], "POST http://a.test/x HTTP/2.0 \"abc\"\ncontent-length: 3", "{at}");
        assert_eq!(log[1], "GET http://a.test/ HTTP/2.0 \"\"", "{at}");
    }
}
