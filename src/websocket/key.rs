//! `Sec-WebSocket-Key`, and the `Sec-WebSocket-Accept` that answers it.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use http::HeaderValue;
use sha1::{Digest, Sha1};

/// Whether this is the base64 of 16 bytes, RFC 6455 §4.1.
pub(crate) fn is_key(value: &[u8]) -> bool {
    // RFC 6455's own example of a key has bits behind its last byte, which a client may send.
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
    );
    let mut bytes = [0; 18];
    value.len() == 24 && ENGINE.decode_slice(value, &mut bytes) == Ok(16)
}

/// Returns the value of `Sec-WebSocket-Accept`: of the key as it was sent, RFC 6455 §4.2.2.
pub(crate) fn accept(key: &[u8]) -> HeaderValue {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    HeaderValue::try_from(STANDARD.encode(digest)).expect("base64 makes a header value")
}
