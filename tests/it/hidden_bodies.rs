//! Outer layers that hide, replace or drop the request's body, and clients that use it: no byte of a body
//! gets into the new protocol.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;
use tower::{Layer, ServiceBuilder, service_fn};
use tower_http::decompression::RequestDecompressionLayer;
use tower_upgrade::{BoxError, Protocol, Switch, UpgradeBody, UpgradeHandler, UpgradeLayer};

use crate::support::*;

type Answer = Response<Full<Bytes>>;
type Hidden = UnsyncBoxBody<Bytes, BoxError>;

fn on_inner(log: &Log) -> UpgradeLayer {
    let failures = log.clone();
    UpgradeLayer::new().on_inner("foo").on_failure(move |error| failures.push(describe(&error)))
}

fn yes<B>(log: &Log, request: &Request<B>) -> Answer {
    match request.extensions().get::<Protocol<'static>>() {
        Some(_) => Switch::to(echo_run(log, "foo")).into_response(),
        None => Response::new(Full::from("ok")),
    }
}

/// A body that hides its size, as a stream does.
fn hide(body: Incoming) -> Hidden {
    let frames = futures_util::StreamExt::map(body.into_data_stream(), |data| {
        data.map(Frame::data).map_err(Into::into)
    });
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

#[tokio::test(start_paused = true)]
async fn on_inner_forwards_a_body_that_decompression_hides() {
    let log = Log::default();
    let seen = log.clone();
    let service = ServiceBuilder::new()
        .map_response(|r: Response<_>| r.map(|b: UnsyncBoxBody<Bytes, BoxError>| b))
        .layer(UpgradeLayer::outermost().with_body(|b| b.map_err(Into::into).boxed_unsync()))
        .map_response(|r: Response<_>| {
            r.map(|b: tower_http::body::UnsyncBoxBody<Bytes, BoxError>| {
                b.map_err(Into::<BoxError>::into).boxed_unsync()
            })
        })
        .layer(RequestDecompressionLayer::new())
        .layer(on_inner(&log))
        .service(service_fn(move |request: Request<_>| {
            let answer = yes(&seen, &request);
            drop(request);
            async { Ok::<_, Infallible>(answer) }
        }));
    let mut wire = Wire::serve(service);
    let head = get(&format!("{FOO}Content-Encoding: gzip\r\nContent-Length: 8\r\n"));
    wire.send(head).await;
    settle().await;
    wire.io.write_all(b"SMUGGLEDNP").await.ok();
    let received = wire.receive().await;
    assert!(!received.text.contains("SMUGGLED"), "{received:?} {log:?}");
}

#[tokio::test(start_paused = true)]
async fn on_inner_forwards_a_body_whose_headers_a_layer_removed() {
    let log = Log::default();
    let seen = log.clone();
    let service = ServiceBuilder::new()
        .layer(UpgradeLayer::outermost())
        .map_request(|mut request: Request<Incoming>| {
            request.headers_mut().remove(header::CONTENT_LENGTH);
            request.headers_mut().remove(header::TRANSFER_ENCODING);
            request.map(hide)
        })
        .layer(on_inner(&log))
        .service(service_fn(move |request: Request<Hidden>| {
            let answer = yes(&seen, &request);
            async { Ok::<_, Infallible>(answer) }
        }));
    for lines in ["Content-Length: 8\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut wire = Wire::serve(service.clone());
        wire.send(get(&format!("{FOO}{lines}"))).await;
        settle().await;
        let body = if lines.starts_with('C') { "SMUGGLED" } else { "8\r\nSMUGGLED\r\n0\r\n\r\n" };
        wire.io.write_all(format!("{body}NP").as_bytes()).await.ok();
        let received = wire.receive().await;
        assert!(!received.text.contains("SMUGGLED"), "{received:?} {log:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_a_layer_dropped_with_its_length_is_forwarded() {
    let log = Log::default();
    let service = ServiceBuilder::new()
        .layer(UpgradeLayer::outermost())
        .map_request(|mut request: Request<Incoming>| {
            request.headers_mut().remove(header::CONTENT_LENGTH);
            request.map(|_| http_body_util::Empty::<Bytes>::new())
        })
        .layer(fixture(&log))
        .service(service_fn(|_: Request<_>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
        }));
    let mut wire = Wire::serve(service);
    wire.send(get(&format!("{FOO}Content-Length: 8\r\n"))).await;
    settle().await;
    wire.io.write_all(b"SMUGGLEDNP").await.ok();
    let received = wire.receive().await;
    assert!(!received.text.contains("SMUGGLED"), "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn below_an_outermost_layer_a_hidden_size_does_not_cost_the_switch() {
    for is_outermost in [true, false] {
        let log = Log::default();
        let seen = log.clone();
        let service = ServiceBuilder::new()
            .option_layer(
                is_outermost.then(|| UpgradeLayer::outermost().with_body(BodyExt::boxed_unsync)),
            )
            .map_response(|r: Response<_>| r.map(|b: UpgradeBody<Full<Bytes>>| b.boxed_unsync()))
            .map_request(|request: Request<Incoming>| request.map(hide))
            .layer(on_inner(&log))
            .service(service_fn(move |request: Request<Hidden>| {
                let answer = yes(&seen, &request);
                async { Ok::<_, Infallible>(answer) }
            }));
        let received = Wire::serve(service).exchange(get(FOO) + "NP").await;
        // Without it, nobody can tell that there is no body to read.
        assert_eq!(received.text.ends_with("[NP]"), is_outermost, "{received:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn behind_decompression_a_handler_reads_no_body_to_the_wrong_end() {
    for plain in [&b""[..], b"hello"] {
        let zipped = gzip(plain);
        let total = zipped.len() + 8;
        for chunked in [false, true] {
            for late in [false, true] {
                let log = Log::default();
                let layer =
                    UpgradeLayer::new().on("foo", echo(&log, "foo").with_chunked_body_limit(5));
                let connections = layer.connections();
                let service = ServiceBuilder::new()
                    .layer(
                        UpgradeLayer::outermost()
                            .with_body(|b| b.map_err(Into::into).boxed_unsync()),
                    )
                    .map_response(|r: Response<_>| {
                        r.map(|b: tower_http::body::UnsyncBoxBody<Bytes, BoxError>| {
                            b.map_err(Into::<BoxError>::into).boxed_unsync()
                        })
                    })
                    .layer(RequestDecompressionLayer::new())
                    .layer(layer)
                    .service(service_fn(|_: Request<_>| async {
                        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("inner")))
                    }));
                let mut wire = Wire::serve(service);
                let length = if chunked {
                    "Transfer-Encoding: chunked\r\n".to_owned()
                } else {
                    format!("Content-Length: {total}\r\n")
                };
                let mut bytes =
                    post(&format!("{FOO}Content-Encoding: gzip\r\n{length}"), "").into_bytes();
                if chunked {
                    bytes.extend(format!("{:x}\r\n", zipped.len()).bytes());
                }
                bytes.extend(&zipped);
                if late {
                    wire.send(&bytes).await;
                    settle().await;
                    bytes.clear();
                }
                bytes.extend(if chunked {
                    &b"\r\n8\r\nSMUGGLED\r\n0\r\n\r\nNP"[..]
                } else {
                    b"SMUGGLEDNP"
                });
                wire.io.write_all(&bytes).await.ok();
                let received = wire.receive().await;
                assert!(!received.text.contains("SMUGGLED"), "{received:?} {log:?}");
                drop(wire);
                settle().await;
                assert_eq!(connections.active(), 0);
            }
        }
    }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    // A stored block.
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    out.extend(u16::try_from(data.len()).unwrap().to_le_bytes());
    out.extend((!u16::try_from(data.len()).unwrap()).to_le_bytes());
    out.extend(data);
    let mut crc = !0u32;
    for &byte in data {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    out.extend((!crc).to_le_bytes());
    out.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    out
}

// The story: each piece was a part of a read buffer of hyper's, and kept its 8 KiB alive.
#[test]
fn a_body_in_small_pieces_costs_no_more_memory_than_its_size() {
    for (bytes, lines) in
        [(4096, "Content-Length: 4096\r\n"), (4096, "Transfer-Encoding: chunked\r\n")]
    {
        let info = allocation_counter::measure(|| {
            let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            rt.block_on(async {
                let log = Log::default();
                let layer =
                    UpgradeLayer::new().on("foo", echo(&log, "foo").with_chunked_body_limit(bytes));
                let mut wire = Wire::serve(layer.layer(inner(&log)));
                wire.send(post(&format!("{FOO}{lines}"), "")).await;
                for _ in 0..bytes {
                    wire.send(if lines.starts_with('C') { "x" } else { "1\r\nx\r\n" }).await;
                    tokio::task::yield_now().await;
                    tokio::task::yield_now().await;
                }
                if !lines.starts_with('C') {
                    wire.send("0\r\n\r\n").await;
                }
                for _ in 0..50 {
                    tokio::task::yield_now().await;
                }
                assert_eq!(log.count("foo runs"), 1);
            });
        });
        assert!(info.bytes_max < 1 << 20, "{}", info.bytes_max);
    }
}
