//! Any frames, and any bytes, of a client of HTTP/2 that opens streams by extended CONNECT: the handler that a
//! naive choice names is asked, and it runs if and only if the stream got its 200.
#![no_main]

use std::{collections::BTreeMap, sync::Arc};

use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use tower_upgrade_fuzz::{
    client::{End, Sending},
    frames::{self, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS},
    input::{Outer, Setup, of},
    naive,
    pieces::Pieces,
    runtime,
    service::{Event, Log, MARK},
    subject,
};

#[derive(Arbitrary, Debug)]
struct Input {
    setup: Setup,
    sizes: Vec<u8>,
    buffer: u8,
    sending: Sending,
    frames: Vec<Frame>,
}

#[derive(Arbitrary, Debug)]
enum Frame {
    Connect { stream: u8, protocol: Protocol, ends: bool, length: bool },
    Get { stream: u8 },
    Data { stream: u8, bytes: Vec<u8>, ends: bool },
    Reset { stream: u8, code: u8 },
    Window { stream: u8, size: u32 },
    Settings(Vec<(u16, u32)>),
    Ping,
    Leave,
    Any { kind: u8, flags: u8, stream: u8, payload: Vec<u8> },
    Bytes(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Protocol {
    Known(u8),
    Any(Vec<u8>),
}

impl Protocol {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Known(which) => {
                of(*which, &["foo", "FOO/1", "bar/2", "websocket", "h2c", "TLS/1.2", "a", "foo,a"])
                    .as_bytes()
            }
            Self::Any(bytes) => bytes,
        }
    }
}

impl Frame {
    fn write(&self, number: usize, bytes: &mut Vec<u8>) {
        // Clients have the odd streams.
        let id = |stream: &u8| u32::from(*stream % 8) * 2 + 1;
        match self {
            Self::Connect { stream, protocol, ends, length } => {
                let path = format!("/{number}");
                let mut headers = vec![
                    (":method", &b"CONNECT"[..]),
                    (":scheme", b"http"),
                    (":path", path.as_bytes()),
                    (":authority", b"a.test"),
                    (":protocol", protocol.bytes()),
                ];
                if *length {
                    headers.push(("content-length", b"0"));
                }
                let flags = END_HEADERS | if *ends { END_STREAM } else { 0 };
                frames::frame(bytes, HEADERS, flags, id(stream), &frames::block(&headers));
            }
            Self::Get { stream } => {
                let headers: [(&str, &[u8]); 4] = [
                    (":method", b"GET"),
                    (":scheme", b"http"),
                    (":path", b"/plain"),
                    (":authority", b"a.test"),
                ];
                let flags = END_HEADERS | END_STREAM;
                frames::frame(bytes, HEADERS, flags, id(stream), &frames::block(&headers));
            }
            Self::Data { stream, bytes: data, ends } => {
                frames::frame(bytes, DATA, u8::from(*ends), id(stream), data);
            }
            Self::Reset { stream, code } => {
                frames::frame(bytes, RST_STREAM, 0, id(stream), &[0, 0, 0, *code]);
            }
            Self::Window { stream, size } => {
                let stream = u32::from(*stream % 9);
                let stream = if stream == 8 { 0 } else { stream * 2 + 1 };
                frames::frame(bytes, frames::WINDOW_UPDATE, 0, stream, &size.to_be_bytes());
            }
            Self::Settings(settings) => {
                let encode = |(id, value): &(u16, u32)| {
                    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
                };
                let payload: Vec<u8> = settings.iter().flat_map(encode).collect();
                frames::frame(bytes, SETTINGS, 0, 0, &payload);
            }
            Self::Ping => frames::frame(bytes, PING, 0, 0, &[7; 8]),
            Self::Leave => frames::frame(bytes, GOAWAY, 0, 0, &[0; 8]),
            Self::Any { kind, flags, stream, payload } => {
                frames::frame(bytes, *kind, *flags, u32::from(*stream % 16), payload);
            }
            Self::Bytes(any) => bytes.extend(any),
        }
    }
}

fuzz_target!(
    init: runtime::allow_expected_panics(),
    |input: Input| runtime::run(check(&input))
);

async fn check(input: &Input) {
    // The layer that replaces knows a switch by its 101.
    let (outer, extended_connect) = (Outer::None, true);
    let setup = Arc::new(Setup { outer, extended_connect, ..input.setup.clone() });
    let mut stream = frames::PREFACE.to_vec();
    frames::frame(&mut stream, SETTINGS, 0, 0, &[]);
    for (number, frame) in input.frames.iter().enumerate() {
        frame.write(number, &mut stream);
    }
    let log = Log::default();
    let subject = subject::layer(&setup, &log);
    let (client, server) = tokio::io::duplex(usize::from(input.buffer) * 64 + 1);
    let server = TokioIo::new(Pieces::new(server, input.sizes.clone()));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.enable_connect_protocol();
    let service = TowerToHyperService::new(subject.service);
    let connection = tokio::spawn(builder.serve_connection(server, service));
    let received = input.sending.exchange(client, &stream).await;
    drop(connection.await);
    runtime::wait_for_limits().await;
    assert_eq!(subject.connections.active(), 0);
    check_streams(input, &setup, &log.take(), &received);
}

fn check_streams(input: &Input, setup: &Setup, events: &[Event], received: &[u8]) {
    let streams = frames::streams(received);
    let mut switched = 0;
    for (id, stream) in &streams {
        if !stream.data.is_empty() && stream.data.starts_with(&MARK[..stream.data.len().min(4)]) {
            assert_eq!(stream.status, Some(frames::OK), "stream {id}");
            switched += 1;
        }
    }
    let is_determined = input.sending.end == End::Shutdown;
    let ran = events.iter().filter(|event| matches!(event, Event::Ran { .. })).count();
    if is_determined {
        // A stream may be reset before its first byte.
        assert!(switched <= ran, "{streams:?} {events:?}");
    }
    if setup.full || setup.draining {
        assert_eq!(ran, 0);
    }

    // The frames that are well-formed say who is asked, by the number in the path.
    let mut asked = BTreeMap::new();
    for (number, frame) in input.frames.iter().enumerate() {
        if let Frame::Connect { protocol, .. } = frame {
            let choice = naive::choose_connect(setup, protocol.bytes(), number % 2 == 0);
            asked.insert(format!("/{number}"), choice);
        }
    }
    let only_frames =
        !input.frames.iter().any(|it| matches!(it, Frame::Bytes(_) | Frame::Any { .. }));
    for event in events.iter().filter(|_| only_frames) {
        match event {
            Event::Asked { index, head, body } => {
                let path = head.uri.trim_start_matches("http://a.test");
                let choice = asked[path].as_ref().expect("a choice");
                assert_eq!((choice.0, body.is_empty()), (*index, true));
            }
            Event::Inner { head, .. } if head.line.starts_with("CONNECT") => {
                assert!(!setup.strip || !setup.registrations.iter().all(|it| it.handler.is_some()));
            }
            Event::Inner { .. } => assert!(!setup.required),
            Event::Ran { protocol, uri, read } => {
                let path = uri.trim_start_matches("http://a.test");
                let choice = asked[path].as_ref().expect("a choice");
                assert_eq!(choice.1, *protocol);
                let number: usize = path.trim_start_matches('/').parse().expect("a number");
                assert!(sent_behind(&input.frames, number).starts_with(read));
            }
        }
    }
}

/// The data that a client sends on a stream behind its CONNECT.
fn sent_behind(frames: &[Frame], number: usize) -> Vec<u8> {
    let Frame::Connect { stream: opened, .. } = &frames[number] else {
        panic!("no CONNECT");
    };
    let mut sent = Vec::new();
    for frame in &frames[number..] {
        match frame {
            Frame::Data { stream, bytes, .. } if stream % 8 == opened % 8 => sent.extend(bytes),
            _ => {}
        }
    }
    sent
}
