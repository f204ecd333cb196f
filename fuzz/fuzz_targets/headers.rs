//! Any `Upgrade`, `Connection` and `Expect` headers: the layer switches if and only if a naive parser and a
//! naive choice say so, and to the same protocol.
//!
//! The first byte chooses whose preference counts and what body there is. Each line after it is a header, whose
//! value is repeated if its first letter is a capital: that is how a list gets as long as it may be.
#![no_main]

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request, header};
use libfuzzer_sys::fuzz_target;
use tokio::io::AsyncWriteExt;
use tower_upgrade_fuzz::{
    client::receive,
    input::{Answer, Delay, Handler, Pattern, Registration, Run, Setup},
    naive, runtime, service,
    service::Log,
    subject,
};

/// Several of them match many of the offers.
const REGISTERED: [&str; 8] = ["bar/2", "f", "Foo/x", "fo/*", "foo/*", "foo", "websocket", "TLS/*"];

fuzz_target!(|input: &[u8]| {
    let Some((&flags, lines)) = input.split_first() else {
        return;
    };
    runtime::run(check(flags, lines));
});

async fn check(flags: u8, lines: &[u8]) {
    let setup = Setup { server_preference: flags & 1 == 1, ..setup() };
    let (framing, body) = match flags >> 1 & 3 {
        0 => ("", ""),
        1 => ("Content-Length: 3\r\n", "abc"),
        2 => ("Content-Length: 30\r\n", "012345678901234567890123456789"),
        _ => ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
    };
    let mut bytes = format!("POST /0 HTTP/1.1\r\n{framing}").into_bytes();
    let mut request = Request::post("/0");
    if let Some((name, value)) = framing.trim().split_once(": ") {
        request = request.header(name, value);
    }
    let mut has_upgrade = false;
    // hyper takes up to a hundred headers.
    for line in lines.split(|&byte| byte == b'\n').take(90) {
        let Some((&which, value)) = line.split_first() else {
            continue;
        };
        let (name, written): (HeaderName, &[u8]) = match which.to_ascii_lowercase() {
            b'u' => (header::UPGRADE, b"Upgrade:"),
            b'c' => (header::CONNECTION, b"cOnNeCtIoN: "),
            b'e' => (header::EXPECT, b"Expect: "),
            _ => continue,
        };
        let value = value.repeat(if which.is_ascii_uppercase() { 64 } else { 1 });
        // Of more bytes hyper would make a 431.
        if bytes.len() + value.len() > 100_000 {
            break;
        }
        let Ok(value) = HeaderValue::from_bytes(&value) else {
            continue;
        };
        has_upgrade |= name == header::UPGRADE;
        bytes.extend([written, value.as_bytes(), b"\r\n"].concat());
        request = request.header(name, value.as_bytes().trim_ascii());
    }
    bytes.extend(format!("\r\n{body}").bytes());
    let (head, ()) = request.body(()).expect("a request").into_parts();
    let expected = naive::choose(&setup, &head).filter(|_| has_upgrade);

    let log = Log::default();
    let subject = subject::layer(&Arc::new(setup.clone()), &log);
    let (mut client, server) = tokio::io::duplex(1 << 16);
    service::serve(setup.server, server, subject.service);
    client.write_all(&bytes).await.expect("an open connection");
    let received = receive(&mut client).await;
    let received = String::from_utf8_lossy(&received);
    let received = received.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&received);
    let upgrade = received.lines().find_map(|line| line.strip_prefix("upgrade: "));
    match expected {
        Some((_, protocol)) => {
            assert!(received.starts_with("HTTP/1.1 101 "), "{received}");
            assert_eq!(upgrade, Some(&*protocol));
        }
        None => assert!(received.starts_with("HTTP/1.1 200 OK\r\n"), "{received}"),
    }
    drop(client);
    runtime::settle().await;
    assert_eq!(subject.connections.active(), 0);
}

fn setup() -> Setup {
    let register = |(index, pattern)| {
        let handler = Handler {
            only_even: false,
            body_limit: if index % 2 == 0 { 3 } else { 30 },
            chunked: index % 3 == 0,
            optional: false,
            delay: Delay::None,
            answer: Answer::Switch(Run::Read),
        };
        Registration { pattern: Pattern(pattern), handler: Some(handler) }
    };
    let registrations = REGISTERED.into_iter().enumerate().map(register).collect();
    Setup { registrations, inner_reads: true, ..Setup::default() }
}
