//! `HTTP2-Settings` with any value: taken exactly when a naive decoder says so.
#![no_main]

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Empty;
use libfuzzer_sys::fuzz_target;
use tower::service_fn;
use tower_upgrade::{
    UpgradeHandler,
    h2c::{H2c, RequestBody},
};

fuzz_target!(|value: &[u8]| {
    let Ok(header) = HeaderValue::from_bytes(value) else {
        return;
    };
    let handler = H2c::new(service_fn(|_request: Request<RequestBody>| async {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    }));
    let mut request = Request::get("/").header("connection", "upgrade, http2-settings");
    request = request.header("host", "a.test").header("http2-settings", header);
    let (head, ()) = request.body(()).unwrap().into_parts();
    let taken = handler.accepts(&head, &"h2c".parse().unwrap());
    assert_eq!(taken, naive(value), "{}", value.escape_ascii());
});

/// Decodes bit by bit, and looks at one setting after the other.
fn naive(value: &[u8]) -> bool {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    let mut bits = Vec::new();
    for character in value {
        let Some(number) = ALPHABET.iter().position(|letter| letter == character) else {
            return false;
        };
        bits.extend((0..6).rev().map(|bit| number >> bit & 1 == 1));
    }
    let whole = !bits.is_empty() && bits.len() % 48 == 0 && bits.len() / 48 <= 2_730;
    whole
        && bits.chunks(48).all(|setting| {
            let number =
                |bits: &[bool]| bits.iter().fold(0_u64, |sum, &bit| sum * 2 + u64::from(bit));
            let value = number(&setting[16..]);
            match number(&setting[..16]) {
                2 | 8 => value < 2,
                4 => value < 1 << 31,
                5 => (16_384..=16_777_215).contains(&value),
                _ => true,
            }
        })
}
