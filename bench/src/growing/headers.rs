//! Requests with hostile headers of one length.
//!
//! The name of a count is the header, a tab's worth of words about it, and the number of registrations.

use std::{convert::Infallible, io, net::IpAddr};

use bytes::Bytes;
use http::{HeaderValue, Response};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tower::service_fn;
use tower_upgrade::{
    UpgradeLayer,
    h2c::{H2c, RequestBody},
    tunnel::{Forwarded, Tunnel},
    websocket::{Origins, WebSocket},
};

use crate::registrations::{end, request, requests, websocket_request};

pub(crate) fn run(bytes: usize) {
    for registrations in [0, 1, 100] {
        offers(bytes, registrations);
    }
    websockets(bytes);
    h2c(bytes);
    tunnels(bytes);
}

/// `Upgrade` and `Connection`, of which nobody takes an offer. With no registrations, there is no layer.
fn offers(bytes: usize, registrations: usize) {
    let layer = (0..registrations)
        .fold(UpgradeLayer::new(), |layer, at| layer.on(&format!("protocol-{at:03}"), end));
    let with = |lines: &str| request(&format!("Connection: upgrade\r\nUpgrade: x\r\n{lines}"));
    let upgrade = |lines: &str| request(&format!("Connection: upgrade\r\n{lines}"));
    let connection = |lines: &str| request(&format!("{lines}Upgrade: x\r\n"));
    for (what, request) in [
        ("other, no offer", request(&one("X-Other", "x", bytes))),
        ("other", with(&one("X-Other", "x", bytes))),
        ("other, 60 lines", with(&lines("X-Other", bytes))),
        ("Upgrade, one offer", upgrade(&one("Upgrade", "x", bytes))),
        ("Upgrade, 64 offers", upgrade(&line("Upgrade", &list(64, bytes)))),
        ("Upgrade, as many as fit", upgrade(&line("Upgrade", &list(bytes / 2, bytes)))),
        ("Upgrade, 60 lines", upgrade(&lines("Upgrade", bytes))),
        ("Upgrade, commas", upgrade(&one("Upgrade", ",", bytes))),
        ("Connection, 64 options", connection(&line("Connection", &list(64, bytes)))),
        ("Connection, as many as fit", connection(&line("Connection", &list(bytes / 2, bytes)))),
        ("Connection, 60 lines", connection(&lines("Connection", bytes))),
    ] {
        let layer = (registrations > 0).then_some(&layer);
        requests(&format!("{what}/{registrations}"), layer, &request, "200");
    }
}

fn websockets(bytes: usize) {
    let websocket = WebSocket::new(async |_io, _agreed| {})
        .origins(Origins::list((0..100).map(|at| format!("https://{at:03}.test"))))
        .subprotocols((0..100).map(|at| format!("protocol-{at:03}")))
        .agree_extensions(|_| Some(HeaderValue::from_static("x")));
    let layer = UpgradeLayer::new().on("websocket", websocket);
    let protocol = |names: String| websocket_request(&line("Sec-WebSocket-Protocol", &names));
    let extensions = |offers: String| websocket_request(&line("Sec-WebSocket-Extensions", &offers));
    let one = |name: &str, start: &str| websocket_request(&line(name, &filled(start, "x", bytes)));
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let long_key = websocket_request("").replace(key, &"A".repeat(bytes));
    let long_host = websocket_request("").replace("a.test", &"x".repeat(bytes));
    let long_version = websocket_request("").replace(": 13", &format!(": {}", "1".repeat(bytes)));
    let within = if bytes > 8 * 1024 { "400" } else { "101" };
    for (what, request, status) in [
        ("websocket, other", one("X-Other", ""), "101"),
        ("Sec-WebSocket-Key", long_key, "400"),
        ("Sec-WebSocket-Version", long_version, "400"),
        ("Host", long_host, "101"),
        ("Origin", one("Origin", "https://"), "403"),
        ("Sec-WebSocket-Protocol, 64 names", protocol(list(64, bytes)), "101"),
        ("Sec-WebSocket-Protocol, as many as fit", protocol(list(bytes / 2, bytes)), "101"),
        ("Sec-WebSocket-Extensions, 64 offers", extensions(list(64, bytes)), within),
        ("Sec-WebSocket-Extensions, 64 deflates", extensions(deflates(bytes)), within),
        ("Sec-WebSocket-Extensions, parameters", extensions(filled("x", ";a", bytes)), within),
        ("Sec-WebSocket-Extensions, as many as fit", extensions(filled("x", ",a", bytes)), "400"),
    ] {
        requests(&format!("{what}/1"), Some(&layer), &request, status);
    }
}

fn h2c(bytes: usize) {
    let app = service_fn(async |_: http::Request<RequestBody>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let layer = UpgradeLayer::new().on("h2c", H2c::new(app));
    let with = |upgrade: &str, lines: &str| {
        let connection = "Connection: upgrade, http2-settings\r\n";
        request(&format!("{connection}Upgrade: {upgrade}\r\n{lines}"))
    };
    // The last setting is not allowed, so that h2c is offered in vain.
    let settings = "AAMAAABk".repeat(bytes / 8 - 1) + "AAIAAAAC";
    let settings = line("HTTP2-Settings", &settings);
    let other = line("X-Other", &"x".repeat(bytes));
    let many = vec!["h2c"; 64].join(",");
    let mixed: Vec<&str> = ["h2c", "H2C", "h2C", "H2c"].into_iter().cycle().take(64).collect();
    for (what, request) in [
        ("h2c, other", with("h2c", &other)),
        ("HTTP2-Settings", with("h2c", &settings)),
        ("HTTP2-Settings, 64 offers of h2c", with(&many, &settings)),
        ("HTTP2-Settings, 64 offers of h2c and H2C", with(&mixed.join(","), &settings)),
    ] {
        requests(&format!("{what}/1"), Some(&layer), &request, "200");
    }
}

/// Requests to a tunnel, whose upstream answers 404.
fn tunnels(bytes: usize) {
    let tunnel = |answer: String| {
        let tunnel = Tunnel::new(move |_head| {
            let (io, upstream) = tokio::io::duplex(1024 * 1024);
            tokio::spawn(answers(upstream, answer.clone()));
            async { Ok::<_, io::Error>(io) }
        });
        let address = IpAddr::from([127, 0, 0, 1]);
        let tunnel = tunnel.forwarded(Forwarded::append(move |_head| Some(address)));
        UpgradeLayer::new().on("websocket", tunnel)
    };
    let answer =
        |lines: &str| format!("HTTP/1.1 404 Not Found\r\n{lines}Content-Length: 0\r\n\r\n");
    let plain = tunnel(answer(""));
    let named = |lines: &str| websocket_request(lines).replace("upgrade", &upgrade_and(62));
    let others: String = (0..80).map(|at| line(&format!("X-Other-{at:02}"), "x")).collect();
    for (what, request) in [
        ("tunnel, other", websocket_request(&one("X-Other", "x", bytes))),
        ("tunnel, X-Forwarded-For", websocket_request(&one("X-Forwarded-For", "x", bytes))),
        ("tunnel, X-Forwarded-For, 60 lines", websocket_request(&lines("X-Forwarded-For", bytes))),
        ("tunnel, Forwarded, 60 lines", websocket_request(&lines("Forwarded", bytes))),
        ("tunnel, 80 headers", websocket_request(&(others.clone() + &one("Y", "x", bytes)))),
        ("tunnel, 80 headers, 62 of them named", named(&(others.clone() + &one("Y", "x", bytes)))),
    ] {
        requests(&format!("{what}/1"), Some(&plain), &request, "404");
    }
    let request = websocket_request("");
    for (what, lines) in [
        ("upstream, other", others.clone() + &one("Y", "x", bytes)),
        ("upstream, Connection", others + &line("Connection", &list(bytes / 3, bytes))),
    ] {
        requests(&format!("{what}/1"), Some(&tunnel(answer(&lines))), &request, "404");
    }
}

async fn answers(mut io: DuplexStream, answer: String) {
    let mut request = Vec::with_capacity(1024);
    while !request.ends_with(b"\r\n\r\n") {
        io.read_buf(&mut request).await.unwrap();
    }
    io.write_all(answer.as_bytes()).await.unwrap();
}

/// So many different members of one length, as far as it holds them.
pub(crate) fn list(members: usize, bytes: usize) -> String {
    let length = (bytes / members).saturating_sub(1).max(1);
    let digits = length.min(2);
    // Letters alone, in base 26.
    let member = |at: usize| {
        let letters =
            [at / 26 % 26, at % 26].map(|letter| char::from(b"abcdefghijklmnopqrstuvwxyz"[letter]));
        let end: String = letters[2 - digits..].iter().collect();
        "x".repeat(length - digits) + &end
    };
    (0..members).map(member).collect::<Vec<_>>().join(",")
}

/// Offers of permessage-deflate, of which none can be met, padded by parameters.
fn deflates(bytes: usize) -> String {
    let offer = filled("permessage-deflate", ";x", bytes / 64 - 1);
    vec![offer; 64].join(",")
}

/// The options `upgrade` and `x-other-00` and so on.
fn upgrade_and(others: usize) -> String {
    (0..others).fold("upgrade".into(), |list, at| format!("{list},x-other-{at:02}"))
}

/// One text again and again, behind another.
fn filled(start: &str, again: &str, bytes: usize) -> String {
    let times = bytes.saturating_sub(start.len()) / again.len();
    start.to_owned() + &again.repeat(times)
}

fn one(name: &str, again: &str, bytes: usize) -> String {
    line(name, &filled("", again, bytes))
}

/// 60 lines, which are that long together.
fn lines(name: &str, bytes: usize) -> String {
    line(name, &"x".repeat(bytes / 60)).repeat(60)
}

fn line(name: &str, value: &str) -> String {
    format!("{name}: {value}\r\n")
}
