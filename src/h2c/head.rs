//! The upgrading request as HTTP/2 would have sent it: what is put in front of the client's octets.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Method, header, request::Parts, uri::PathAndQuery};

use super::settings::{ClientSettings, HTTP2_SETTINGS};
use crate::{
    host,
    negotiation::{MEMBERS, visit_members},
};

/// What every HTTP/2 connection starts with (RFC 7540 §3.5).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The authority that a request is for, if HTTP/1.1 allows the request to be answered at all.
///
/// RFC 9112 §3.2 wants exactly one valid `Host`, and takes the target's own authority where it
/// has one.
pub(super) fn authority(head: &Parts) -> Option<&[u8]> {
    let mut lines = head.headers.get_all(header::HOST).iter();
    let (host, None) = (lines.next()?.as_bytes(), lines.next()) else {
        return None;
    };
    let authority = head.uri.authority().map_or(host, |authority| authority.as_str().as_bytes());
    (host::parse(host).is_some() && host::parse(authority).is_some()).then_some(authority)
}

/// Whether the target of a request is one that HTTP/2 has a form for (RFC 7540 §8.1.2.3).
pub(super) fn has_path(head: &Parts) -> bool {
    let path = path(head);
    path.starts_with('/') || (path == "*" && head.method == Method::OPTIONS)
}

/// The size of the header list as `SETTINGS_MAX_HEADER_LIST_SIZE` counts it (RFC 7540 §6.5.2).
pub(super) fn list_size(head: &Parts) -> usize {
    // `Host` may turn out not to be valid, which costs the request its 101 later.
    let host = head.headers.get(header::HOST).map_or(&b""[..], |host| host.as_bytes());
    let authority = head.uri.authority().map_or(host, |authority| authority.as_str().as_bytes());
    let mut size = 0_usize;
    visit_fields(head, authority, |name, value| size += name.len() + value.len() + 32);
    size
}

/// Makes what HTTP/2 is to read before the client's own octets: a preface, the client's settings,
/// and the request on stream 1, which is then half-closed (RFC 7540 §3.2).
///
/// `frame` is the largest payload of a frame that the reader takes.
pub(super) fn opening(
    head: &Parts,
    authority: &[u8],
    settings: ClientSettings<'_>,
    content: &[u8],
    frame: usize,
) -> Bytes {
    let mut block = Vec::new();
    visit_fields(head, authority, |name, value| put_literal(&mut block, name, value));

    let frames = 2 + (block.len() + content.len()) / frame;
    let octets = PREFACE.len() + settings.len() + block.len() + content.len();
    let mut opening = BytesMut::with_capacity(octets + (1 + frames) * FRAME_HEAD);
    opening.put_slice(PREFACE);
    put_frame_head(&mut opening, settings.len(), SETTINGS, 0, 0);
    settings.payload().for_each(|setting| opening.put_slice(&setting));

    let end_stream = if content.is_empty() { END_STREAM } else { 0 };
    let mut pieces = block.chunks(frame).peekable();
    let mut kind = HEADERS;
    while let Some(piece) = pieces.next() {
        // A block is one HEADERS frame and any number of CONTINUATION (RFC 7540 §6.10).
        let end_headers = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        let flags = end_headers | if kind == HEADERS { end_stream } else { 0 };
        put_frame_head(&mut opening, piece.len(), kind, flags, 1);
        opening.put_slice(piece);
        kind = CONTINUATION;
    }
    let mut pieces = content.chunks(frame).peekable();
    while let Some(piece) = pieces.next() {
        let flags = if pieces.peek().is_none() { END_STREAM } else { 0 };
        put_frame_head(&mut opening, piece.len(), DATA, flags, 1);
        opening.put_slice(piece);
    }
    opening.freeze()
}

/// Calls `visit` with the fields of the request on stream 1, in the order in which they are sent.
fn visit_fields(head: &Parts, authority: &[u8], mut visit: impl FnMut(&[u8], &[u8])) {
    let Parts { method, uri, headers, .. } = head;
    visit(b":method", method.as_str().as_bytes());
    visit(b":scheme", uri.scheme_str().unwrap_or("http").as_bytes());
    visit(b":authority", authority);
    visit(b":path", path(head).as_bytes());
    let options = ConnectionOptions::of(headers);
    for name in headers.keys() {
        if *name == header::TE {
            // The one member that means something in HTTP/2, and may stand (RFC 7540 §8.1.2.2).
            if accepts_trailers(headers) {
                visit(b"te", b"trailers");
            }
        } else if *name == header::CONTENT_LENGTH {
            // Lines that do not agree never come this far, so the first says it all.
            headers
                .get(name)
                .into_iter()
                .for_each(|value| visit(b"content-length", value.as_bytes()));
        } else if !is_connection_specific(name) && !options.name(name) {
            for value in headers.get_all(name) {
                visit(name.as_str().as_bytes(), value.as_bytes());
            }
        }
    }
}

fn path(head: &Parts) -> &str {
    head.uri.path_and_query().map_or("", PathAndQuery::as_str)
}

/// Whether a field is about the connection as it was, or says what HTTP/2 says otherwise
/// (RFC 7540 §8.1.2.2 and §8.1.2.3). What a client expected was met before the 101.
fn is_connection_specific(name: &HeaderName) -> bool {
    const NAMES: [HeaderName; 6] = [
        header::CONNECTION,
        header::EXPECT,
        header::HOST,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HTTP2_SETTINGS,
    ];
    NAMES.contains(name) || ["keep-alive", "proxy-connection"].contains(&name.as_str())
}

/// The names in `Connection`, taken apart once for all fields.
struct ConnectionOptions<'a> {
    names: [&'a [u8]; MEMBERS],
    len: usize,
}

impl<'a> ConnectionOptions<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut options = Self { names: [&[]; MEMBERS], len: 0 };
        // Whoever made the client's settings of these headers knows that the field is well-formed
        // and within its limits, of which one is the room here.
        let _: Option<()> = visit_members(headers, header::CONNECTION, |member| {
            options.names[options.len] = member;
            options.len += 1;
            Some(())
        });
        options
    }

    fn name(&self, name: &HeaderName) -> bool {
        let mut names = self.names[..self.len].iter();
        names.any(|option| option.eq_ignore_ascii_case(name.as_str().as_bytes()))
    }
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::TE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&octet| octet == b','))
        .any(|member| member.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Writes a literal field without indexing and with a new name (RFC 7541 §6.2.2), so that the
/// client's first entry in the dynamic table will be the first.
fn put_literal(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    put_string(block, name);
    put_string(block, value);
}

/// Writes a string without Huffman code (RFC 7541 §5.2): its length, and the string.
fn put_string(block: &mut Vec<u8>, string: &[u8]) {
    // The length is an integer with a prefix of seven bits (RFC 7541 §5.1).
    const PREFIX: usize = 0x7f;

    if string.len() < PREFIX {
        block.push(low_bits(string.len()));
    } else {
        block.push(low_bits(PREFIX));
        let mut rest = string.len() - PREFIX;
        while rest > PREFIX {
            block.push(0x80 | low_bits(rest));
            rest >>= 7;
        }
        block.push(low_bits(rest));
    }
    block.extend_from_slice(string);
}

/// The low seven bits, which are an octet.
fn low_bits(number: usize) -> u8 {
    number.to_le_bytes()[0] & 0x7f
}

fn put_frame_head(frames: &mut BytesMut, len: usize, kind: u8, flags: u8, stream: u32) {
    frames.put_uint(len as u64, 3);
    frames.put_u8(kind);
    frames.put_u8(flags);
    frames.put_u32(stream);
}

/// The octets in front of a frame's payload (RFC 7540 §4.1).
pub(super) const FRAME_HEAD: usize = 9;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;
const CONTINUATION: u8 = 0x9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

#[cfg(test)]
mod tests;
