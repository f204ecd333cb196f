//! Names are looked up before the answer, and their addresses are checked.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    proxy::{Lookup, Proxy},
    support::{BOTH, Http, ask, layer, offer, service},
};
use crate::support::*;

/// A proxy whose lookups have this result. They are logged.
fn resolving(log: &Log, result: io::Result<&'static [&'static str]>) -> Proxy {
    let result = result.map_err(|error| error.kind());
    let log = log.clone();
    let resolve = move |target: super::target::Target| -> Lookup {
        log.push(format!("looked up {}:{}", target.host, target.port));
        let addresses = result.map(|addresses| {
            addresses
                .iter()
                .map(|text| (text.parse::<std::net::IpAddr>().unwrap(), target.port).into())
        });
        let addresses = addresses.map(Iterator::collect).map_err(io::Error::from);
        Box::pin(std::future::ready(addresses))
    };
    Proxy { resolve: Arc::new(resolve), ..Proxy::default() }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_answered_before_the_name_is_looked_up() {
    // R9298-3.1-01
    let (answer, lookup) = oneshot::channel();
    let lookup = Mutex::new(Some(lookup));
    let resolve = move |_| -> Lookup {
        let lookup = lookup.lock().unwrap().take().unwrap();
        Box::pin(async { Ok(vec![lookup.await.unwrap()]) })
    };
    let proxy = Proxy { resolve: Arc::new(resolve), ..Proxy::default() };
    let mut wire = Wire::serve(service(&layer(proxy, &Log::default())));
    let received = wire.exchange(offer("connect-udp", "/.well-known/masque/udp/a.test/9/")).await;
    received.is("").and_is_open();
    answer.send("127.0.0.1:9".parse().unwrap()).unwrap();
    wire.receive().await.starts_with("HTTP/1.1 101 Switching Protocols\r\n").and_is_open();
}

#[tokio::test(start_paused = true)]
async fn a_name_without_an_address_gets_a_502() {
    // R9298-3.1-01
    for http in BOTH {
        for protocol in ["connect-udp", "connect-tcp"] {
            for result in [Err(io::ErrorKind::NotFound.into()), Ok(&[][..])] {
                let log = Log::default();
                let layer = layer(resolving(&log, result), &log);
                let path = format!("/.well-known/masque/{}/a.test/9/", &protocol[8..]);
                let answer = ask(http, &layer, protocol, &path).await;
                answer.is(
                    502,
                    &["content-length: 22", "proxy-status: tower-upgrade; error=dns_error"],
                );
                assert_eq!(log.take(), ["looked up a.test:9"]);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_takes_too_long_gets_a_504() {
    let resolve = |_| -> Lookup { Box::pin(std::future::pending()) };
    let proxy =
        Proxy { resolve: Arc::new(resolve), patience: Duration::from_secs(3), ..Proxy::default() };
    let layer = layer(proxy, &Log::default());
    for http in BOTH {
        let started = tokio::time::Instant::now();
        let answer = ask(http, &layer, "connect-udp", "/.well-known/masque/udp/a.test/9/").await;
        answer.is(504, &["content-length: 25", "proxy-status: tower-upgrade; error=dns_timeout"]);
        assert_eq!(started.elapsed(), Duration::from_secs(3));
    }
}

#[tokio::test(start_paused = true)]
async fn the_addresses_of_a_name_are_what_is_allowed_or_not() {
    for http in BOTH {
        for (host, addresses, next_hop) in [
            ("a.test", &["127.0.0.1"][..], Some("127.0.0.1:9")),
            ("localhost", &["192.0.2.1"], None),
            ("a.test", &["192.0.2.1", "2001:db8::1"], None),
            ("a.test", &["192.0.2.1", "127.0.0.2", "127.0.0.3"], Some("127.0.0.2:9")),
            // An address is not looked up.
            ("127.0.0.4", &[], Some("127.0.0.4:9")),
            ("192.0.2.1", &["127.0.0.1"], None),
            ("%3A%3Affff%3A192.0.2.1", &["127.0.0.1"], None),
        ] {
            let log = Log::default();
            let layer = layer(resolving(&log, Ok(addresses)), &log);
            let path = format!("/.well-known/masque/udp/{host}/9/");
            let answer = ask(http, &layer, "connect-udp", &path).await;
            if let Some(next_hop) = next_hop {
                let status = format!("proxy-status: tower-upgrade; next-hop=\"{next_hop}\"");
                let opened = if http == Http::One { 101 } else { 200 };
                answer.is(opened, &["capsule-protocol: ?1", &status]);
            } else {
                answer.is(
                    403,
                    &[
                        "content-length: 27",
                        "proxy-status: tower-upgrade; error=destination_ip_prohibited",
                    ],
                );
            }
        }
    }
}

#[tokio::test]
async fn by_default_the_system_looks_up() {
    let layer = layer(Proxy::default(), &Log::default());
    let opened =
        ask(Http::One, &layer, "connect-udp", "/.well-known/masque/udp/localhost/9/").await;
    assert_eq!(opened.status, 101);
    // No server is asked for a label of 64 bytes.
    let name = "a".repeat(64);
    let unknown =
        ask(Http::One, &layer, "connect-udp", &format!("/.well-known/masque/udp/{name}/9/")).await;
    assert_eq!(unknown.status, 502);
}
