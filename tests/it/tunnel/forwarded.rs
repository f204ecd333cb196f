//! The headers that tell the upstream who the client is.

use std::net::IpAddr;

use tower_upgrade::tunnel::Forwarded;

use super::*;

/// The same headers, as a client sends them.
const CLAIMED: &str = "Forwarded: for=_x\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Host: \
                       b.test\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Port: 1\r\nX-Real-IP: \
                       9.9.9.9\r\n";

async fn tells(forwarded: Forwarded, headers: &str, expected: &str) {
    let mut proxy = Proxy::with(|tunnel| tunnel.forwarded(forwarded));
    let (_client, mut upstream) = proxy.asked(get(&format!("{headers}{FOO}"))).await;
    upstream.receive().await.is(&up("GET /x", expected, "foo")).and_is_open();
}

fn set(address: Option<&str>) -> Forwarded {
    let address = address.map(|address| address.parse::<IpAddr>().unwrap());
    Forwarded::set(move |_head| address)
}

fn append(address: Option<&str>) -> Forwarded {
    let address = address.map(|address| address.parse::<IpAddr>().unwrap());
    Forwarded::append(move |_head| address)
}

#[tokio::test(start_paused = true)]
async fn what_a_client_claims_goes_up_unless_it_is_replaced() {
    // S-23
    let mut proxy = Proxy::new();
    let (_client, mut upstream) = proxy.asked(get(&format!("{CLAIMED}{FOO}"))).await;
    let expected = "forwarded: for=_x\r\nx-forwarded-for: 9.9.9.9\r\nx-forwarded-host: \
                    b.test\r\nx-forwarded-proto: gopher\r\nx-forwarded-port: 1\r\nx-real-ip: \
                    9.9.9.9\r\n";
    upstream.receive().await.is(&up("GET /x", expected, "foo")).and_is_open();

    let expected = "forwarded: for=1.2.3.4;host=\"a.test\"\r\nx-forwarded-for: \
                    1.2.3.4\r\nx-forwarded-host: a.test\r\n";
    tells(set(Some("1.2.3.4")), CLAIMED, expected).await;
    let expected = "forwarded: for=\"[2001:db8::1]\";host=\"a.test\";proto=https\r\nx-forwarded-for: \
                    2001:db8::1\r\nx-forwarded-host: a.test\r\nx-forwarded-proto: https\r\n";
    tells(set(Some("2001:db8::1")).https(), "", expected).await;
    let expected = "forwarded: for=unknown;host=\"a.test\";proto=http\r\nx-forwarded-host: \
                    a.test\r\nx-forwarded-proto: http\r\n";
    tells(set(None).http(), CLAIMED, expected).await;
}

#[tokio::test(start_paused = true)]
async fn a_proxy_behind_others_appends() {
    let expected = "forwarded: for=_x\r\nforwarded: \
                    for=1.2.3.4;host=\"a.test\";proto=https\r\nx-forwarded-for: \
                    9.9.9.9\r\nx-forwarded-for: 1.2.3.4\r\nx-forwarded-host: \
                    b.test\r\nx-forwarded-proto: gopher\r\nx-forwarded-port: 1\r\nx-real-ip: \
                    9.9.9.9\r\n";
    tells(append(Some("1.2.3.4")).https(), CLAIMED, expected).await;
    let expected = "forwarded: for=1.2.3.4;host=\"a.test\"\r\nx-forwarded-for: \
                    1.2.3.4\r\nx-forwarded-host: a.test\r\n";
    tells(append(Some("1.2.3.4")), "", expected).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_cannot_remove_what_an_outer_layer_tells() {
    // S-23
    let names = "Connection: x-forwarded-for, Forwarded, X-FORWARDED-HOST\r\nConnection: \
                 x-forwarded-proto, x-forwarded-user, host, via\r\n";
    let expected = "via: 1.1 x\r\nx-forwarded-user: ada\r\nforwarded: \
                    for=1.2.3.4;host=\"a.test\"\r\nx-forwarded-for: 1.2.3.4\r\nx-forwarded-host: \
                    a.test\r\n";
    let headers = format!("Via: 1.1 x\r\nX-Forwarded-User: ada\r\n{names}");
    tells(set(Some("1.2.3.4")), &headers, expected).await;
}

#[tokio::test(start_paused = true)]
async fn the_host_that_is_told_is_the_clients() {
    let mut proxy = Proxy::with(|tunnel| {
        tunnel.host(http::HeaderValue::from_static("up.test")).forwarded(set(Some("1.2.3.4")))
    });
    // The scheme is only what the client claims.
    let request = request("GET https://b.test:8080/ HTTP/1.1", FOO);
    let (_client, mut upstream) = proxy.asked(request).await;
    let expected = "GET / HTTP/1.1\r\nhost: up.test\r\nforwarded: \
                    for=1.2.3.4;host=\"b.test:8080\"\r\nx-forwarded-for: \
                    1.2.3.4\r\nx-forwarded-host: b.test:8080\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n";
    upstream.receive().await.is(expected).and_is_open();
}
