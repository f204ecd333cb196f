//! The bytes that HTTP/2 is given to read before the client's own.

use bytes::{BufMut, Bytes, BytesMut};

use super::settings::ClientSettings;

/// The bytes that every HTTP/2 connection starts with (RFC 7540 §3.5).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The bytes in front of a frame's payload (RFC 7540 §4.1).
pub(super) const FRAME_HEAD: usize = 9;

/// The type of a SETTINGS frame, and its flag that acknowledges one (RFC 7540 §6.5).
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const ACK: u8 = 0x1;

/// A request on stream 1, which is then half-closed (RFC 7540 §3.2): HEADERS with `END_STREAM` and
/// `END_HEADERS`.
///
/// It has nothing of the client's request, which is put in its place later. The fields are `GET`,
/// `http` and `/` of the static table (RFC 7541 §A), so that the dynamic table stays empty.
const REQUEST: [u8; FRAME_HEAD + 3] = [0, 0, 3, 0x1, 0x5, 0, 0, 0, 1, 0x82, 0x86, 0x84];

/// Makes the opening of a connection: a preface, the client's `HTTP2-Settings`, and a request.
pub(super) fn opening(settings: ClientSettings<'_>) -> Bytes {
    let len = PREFACE.len() + FRAME_HEAD + settings.len() + REQUEST.len();
    let mut opening = BytesMut::with_capacity(len);
    opening.put_slice(PREFACE);
    opening.put_uint(settings.len() as u64, 3);
    opening.put_slice(&[SETTINGS, 0, 0, 0, 0, 0]);
    settings.payload().for_each(|setting| opening.put_slice(&setting));
    opening.put_slice(&REQUEST);
    opening.freeze()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn the_opening_is_a_preface_settings_and_a_request() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", "http2-settings".parse().unwrap());
        headers.insert("http2-settings", "AAMAAABk".parse().unwrap());
        let settings = ClientSettings::parse(&headers).unwrap();
        let frame = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100];
        assert_eq!(opening(settings), [&PREFACE[..], &frame, &REQUEST].concat());
    }
}
