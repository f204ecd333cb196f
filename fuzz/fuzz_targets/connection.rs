//! Any bytes on a connection of HTTP/1.1, split in any way, to a layer with any registrations and policies:
//! the server does what the one by hand does (`reference.rs`), and the invariants hold.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use tower_upgrade::UpgradeErrorKind;
use tower_upgrade_fuzz::{
    client::{End, Sending},
    input::{Answer, Message, Outer, Run, Setup},
    pieces::Pieces,
    reference, runtime,
    service::{self, Event, Log, MARK, Served},
    subject,
};

#[derive(Arbitrary, Debug)]
struct Input {
    setup: Setup,
    sizes: Vec<u8>,
    buffer: u8,
    sending: Sending,
    messages: Vec<Message>,
}

fuzz_target!(
    init: runtime::allow_expected_panics(),
    |input: Input| runtime::run(check(&input))
);

async fn check(input: &Input) {
    let setup = Arc::new(input.setup.clone());
    let (stream, ends) = stream(&input.messages);

    let log = Log::default();
    let subject = subject::layer(&setup, &log);
    let received = input.exchange(subject.service, &stream).await;
    // Every place is given back. hyper does not notice that a client has left who had sent more.
    runtime::wait_for_limits().await;
    assert_eq!(subject.connections.active(), 0);
    let events = log.take();
    check_invariants(input, &stream, &ends, &events, &received);
    let failures = subject.failures.lock().unwrap();
    let panics =
        setup.inner_run == Run::Panic
            || setup.registrations.iter().filter_map(|it| it.handler.as_ref()).any(|handler| {
                matches!(handler.answer, Answer::Panic | Answer::Switch(Run::Panic))
            });
    assert!(panics || !failures.contains(&UpgradeErrorKind::Panicked), "{failures:?}");
    // Here nothing outside of the layer replaces a 101 or takes the connection.
    assert!(!failures.contains(&UpgradeErrorKind::NotEnabled), "{failures:?}");
    let unchecked = setup.inner_agrees
        && setup.registrations.iter().any(|it| it.pattern.0 == "websocket" && it.handler.is_none());
    assert!(unchecked || !failures.contains(&UpgradeErrorKind::Switch), "{failures:?}");
    if input.sending.end == End::Shutdown && setup.outer == Outer::None {
        assert!(!failures.contains(&UpgradeErrorKind::Replaced), "{failures:?}");
    }

    if input.sending.is_determined() {
        let log = Log::default();
        let expected = input.exchange(reference::server(&setup, &log), &stream).await;
        runtime::settle().await;
        assert_eq!(events, log.take());
        if expected.starts_with(b"HTTP/1.") {
            let (received, expected) = (without_date(&received), without_date(&expected));
            assert_eq!(received.escape_ascii().to_string(), expected.escape_ascii().to_string());
        }
    }
}

impl Input {
    async fn exchange(&self, service: Served, stream: &[u8]) -> Vec<u8> {
        let (client, server) = tokio::io::duplex(usize::from(self.buffer) * 64 + 1);
        service::serve(self.setup.server, Pieces::new(server, self.sizes.clone()), service);
        self.sending.exchange(client, stream).await
    }
}

/// All bytes of the client, and where each of the requests ends that surely are requests.
fn stream(messages: &[Message]) -> (Vec<u8>, Vec<usize>) {
    let (mut stream, mut ends) = (Vec::new(), Vec::new());
    let mut is_known = true;
    for message in messages {
        match message {
            Message::Request(request) => {
                stream.extend(request.bytes(ends.len()));
                if is_known {
                    ends.push(stream.len());
                }
            }
            Message::Raw(bytes) => {
                stream.extend(bytes);
                is_known = false;
            }
        }
    }
    (stream, ends)
}

/// Checks the invariants that hold for every client.
fn check_invariants(
    input: &Input,
    stream: &[u8],
    ends: &[usize],
    events: &[Event],
    received: &[u8],
) {
    let setup = &input.setup;
    // The bytes of a handler come behind a 101, and behind no other response.
    if let Some(at) = find(received, MARK) {
        let before = received[..at].strip_suffix(b"\r\n\r\n").expect("the end of a head");
        let head = before.windows(9).rposition(|it| it == b"HTTP/1.1 ").expect("a head");
        assert!(before[head..].starts_with(b"HTTP/1.1 101 "), "{}", before.escape_ascii());
    }
    let mut ran = false;
    for event in events {
        let Event::Ran { uri, read, .. } = event else {
            continue;
        };
        assert!(!ran, "two handlers on one connection: {events:?}");
        ran = true;
        assert_eq!(setup.outer, Outer::None);
        assert!(!setup.full && !setup.draining);
        // A handler reads the bytes behind its request, from the first one on.
        let number = uri.trim_start_matches(['/', 'a', '.', 't', 'e', 's', ':']).parse::<usize>();
        if let Some(&end) = number.ok().and_then(|number| ends.get(number)) {
            assert!(stream[end..].starts_with(read), "{}", read.escape_ascii());
        }
        assert!(read.is_empty() || find(stream, read).is_some());
    }
    if input.sending.end == End::Shutdown {
        // A handler runs if and only if its 101 is sent.
        let has_101 = find(received, b"HTTP/1.1 101 ").is_some();
        assert_eq!(ran, has_101, "{}", received.escape_ascii());
        assert_eq!(ran, find(received, MARK).is_some());
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|it| it == part)
}

fn without_date(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    lines.filter(|line| !line.starts_with(b"date: ")).flatten().copied().collect()
}
