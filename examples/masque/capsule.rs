//! The Capsule Protocol: a type, a length and a value, one capsule right after the other (RFC 9297 §3.2).

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::Decoder;

/// The capsules that a protocol knows.
pub(crate) trait Receive {
    /// The meaning of a capsule, or of a piece of it.
    type Item;

    /// Decides about a capsule before its value is there: how many bytes of the value are wanted at once,
    /// at least, or `None` to skip the capsule. All of them are buffered, so the number needs a limit.
    fn wants(&mut self, kind: u64, length: u64) -> io::Result<Option<usize>>;

    /// Takes the next bytes of a capsule's value.
    fn piece(&mut self, kind: u64, value: Bytes, is_last: bool) -> io::Result<Self::Item>;
}

/// Decodes capsules. A capsule that its receiver does not want is skipped without buffering it.
#[derive(Debug)]
pub(crate) struct Capsules<R> {
    receiver: R,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    Value { kind: u64, at_least: usize, left: u64 },
    Skip { left: u64 },
}

impl<R> Capsules<R> {
    pub(crate) fn new(receiver: R) -> Self {
        Self { receiver, state: State::Head }
    }
}

impl<R: Receive> Decoder for Capsules<R> {
    type Item = R::Item;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<R::Item>> {
        loop {
            match self.state {
                State::Head => {
                    let mut head = &src[..];
                    let (kind, length) = (get_varint(&mut head), get_varint(&mut head));
                    let (Some(kind), Some(length)) = (kind, length) else { return Ok(None) };
                    let read = src.len() - head.len();
                    src.advance(read);
                    self.state = match self.receiver.wants(kind, length)? {
                        Some(at_least) => State::Value { kind, at_least, left: length },
                        None => State::Skip { left: length },
                    };
                }
                State::Value { kind, at_least, left } => {
                    let available = at_most(left, src.len());
                    if available < at_most(left, at_least) {
                        src.reserve(at_least - available);
                        return Ok(None);
                    }
                    let value = src.split_to(available).freeze();
                    let left = left - available as u64;
                    let is_last = left == 0;
                    self.state =
                        if is_last { State::Head } else { State::Value { kind, at_least, left } };
                    return self.receiver.piece(kind, value, is_last).map(Some);
                }
                State::Skip { left: 0 } => self.state = State::Head,
                State::Skip { left } => {
                    if src.is_empty() {
                        return Ok(None);
                    }
                    let skipped = at_most(left, src.len());
                    src.advance(skipped);
                    self.state = State::Skip { left: left - skipped as u64 };
                }
            }
        }
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> io::Result<Option<R::Item>> {
        let item = self.decode(src)?;
        let is_between = matches!(self.state, State::Head) && src.is_empty();
        if item.is_none() && !is_between {
            // RFC 9297 §3.3: a truncated capsule is malformed.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(item)
    }
}

fn at_most(left: u64, bytes: usize) -> usize {
    usize::try_from(left).map_or(bytes, |left| left.min(bytes))
}

/// Appends the type and the length of a capsule. Its value has to follow.
pub(crate) fn put_head(kind: u64, length: usize, out: &mut BytesMut) {
    put_varint(kind, out);
    put_varint(length as u64, out);
}

/// Reads a variable-length integer (RFC 9000 §16), unless it is incomplete.
pub(crate) fn get_varint(bytes: &mut impl Buf) -> Option<u64> {
    let length = 1 << (bytes.chunk().first()? >> 6);
    let is_complete = bytes.remaining() >= length;
    // The first two bits are the length.
    is_complete.then(|| bytes.get_uint(length) & (u64::MAX >> (66 - 8 * length)))
}

fn put_varint(value: u64, out: &mut BytesMut) {
    match value {
        0..0x40 => out.put_uint(value, 1),
        0x40..0x4000 => out.put_uint(value | 0b01 << 14, 2),
        0x4000..0x4000_0000 => out.put_uint(value | 0b10 << 30, 4),
        _ => out.put_u64(value | 0b11 << 62),
    }
}

/// A client that broke the protocol.
pub(crate) fn malformed(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
