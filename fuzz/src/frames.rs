//! Frames of HTTP/2, as a client writes and reads them.

use std::collections::BTreeMap;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// Appends a frame.
pub fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let len = u32::try_from(payload.len()).expect("a frame");
    bytes.extend(&len.to_be_bytes()[1..]);
    bytes.extend([kind, flags]);
    bytes.extend((stream & 0x7fff_ffff).to_be_bytes());
    bytes.extend(payload);
}

/// Encodes headers as literals, without compression.
pub fn block(headers: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name.as_bytes(), value] {
            // An integer with a prefix of seven bits (RFC 7541 §5.1).
            match u8::try_from(text.len()) {
                Ok(len @ ..127) => block.push(len),
                _ => {
                    let mut rest = text.len() - 127;
                    block.push(127);
                    while rest >= 128 {
                        block.push(u8::try_from(rest % 128).expect("seven bits") | 128);
                        rest /= 128;
                    }
                    block.push(u8::try_from(rest).expect("seven bits"));
                }
            }
            block.extend(text);
        }
    }
    block
}

/// The frames that came on one stream.
#[derive(Debug, Default)]
pub struct Stream {
    /// The first byte of the first HEADERS, which is the status if it is in the static table.
    pub status: Option<u8>,
    pub data: Vec<u8>,
    pub is_reset: bool,
}

/// The status 200, RFC 7541 appendix A.
pub const OK: u8 = 0x88;

/// Reads the frames of a server.
pub fn streams(mut bytes: &[u8]) -> BTreeMap<u32, Stream> {
    let mut streams = BTreeMap::<u32, Stream>::new();
    while let Some((&[a, b, c, kind, flags, d, e, f, g], rest)) = bytes.split_first_chunk() {
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        let Some((payload, behind)) = rest.split_at_checked(len) else {
            break;
        };
        bytes = behind;
        let stream = streams.entry(u32::from_be_bytes([d, e, f, g])).or_default();
        assert_eq!(flags & 8, 0, "padding");
        match kind {
            DATA => stream.data.extend(payload),
            HEADERS => {
                // The encoder may change the size of its table first.
                let size = payload.iter().take_while(|&&byte| byte >> 5 == 1).count();
                stream.status = stream.status.or(payload.get(size).copied());
            }
            RST_STREAM => stream.is_reset = true,
            _ => {}
        }
    }
    streams
}
