//! The codec of capsules, on bytes alone.

use std::{fmt::Debug, io};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::io::AsyncReadExt;
use tokio_util::codec::{Decoder, FramedRead};

use super::{
    capsule::{Capsules, Receive, get_varint, put_head},
    tcp::{DATA, Data, FINAL_DATA, Stream},
    udp::Datagrams,
};

/// Decodes pieces of a stream, up to an error if there is one, and the end of the stream.
fn decode<R: Receive>(receiver: R, pieces: &[&[u8]]) -> (Vec<R::Item>, Option<io::ErrorKind>) {
    let mut capsules = Capsules::new(receiver);
    let (mut buffer, mut items) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.put_slice(piece);
        loop {
            match capsules.decode(&mut buffer) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => return (items, Some(error.kind())),
            }
        }
    }
    loop {
        match capsules.decode_eof(&mut buffer) {
            Ok(Some(item)) => items.push(item),
            Ok(None) => return (items, None),
            Err(error) => return (items, Some(error.kind())),
        }
    }
}

/// Decodes a stream as a whole, in two pieces at each place, and byte by byte.
fn decode_split<R, T>(
    receiver: fn() -> R,
    bytes: &[u8],
    normal: fn(Vec<R::Item>) -> T,
) -> (T, Option<io::ErrorKind>)
where
    R: Receive,
    T: Debug + PartialEq,
{
    let (items, end) = decode(receiver(), &[bytes]);
    let expected = (normal(items), end);
    for at in 0..=bytes.len() {
        let (items, end) = decode(receiver(), &[&bytes[..at], &bytes[at..]]);
        assert_eq!((normal(items), end), expected, "at {at}");
    }
    let single: Vec<_> = bytes.chunks(1).collect();
    let (items, end) = decode(receiver(), &single);
    assert_eq!((normal(items), end), expected, "byte by byte");
    expected
}

/// The bytes of a stream together, and whether its last byte was among them.
fn stream(items: Vec<Data>) -> (Vec<u8>, bool) {
    let is_final = items.iter().any(|data| data.is_final);
    (items.into_iter().flat_map(|data| data.bytes).collect(), is_final)
}

fn datagrams(bytes: &[u8]) -> (Vec<Option<Bytes>>, Option<io::ErrorKind>) {
    decode_split(|| Datagrams, bytes, |items| items)
}

const MALFORMED: Option<io::ErrorKind> = Some(io::ErrorKind::InvalidData);
const TRUNCATED: Option<io::ErrorKind> = Some(io::ErrorKind::UnexpectedEof);

#[test]
fn integers_have_the_length_that_their_first_two_bits_say() {
    // RFC 9000 §A.1
    for (bytes, value) in [
        (&b"\xc2\x19\x7c\x5e\xff\x14\xe8\x8c"[..], 151_288_809_941_952_652),
        (b"\x9d\x7f\x3e\x7d", 494_878_333),
        (b"\x7b\xbd", 15_293),
        (b"\x25", 37),
        (b"\x40\x25", 37),
        (b"\xc0\0\0\0\0\0\0\0", 0),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff", (1 << 62) - 1),
    ] {
        for length in 0..bytes.len() {
            assert_eq!(get_varint(&mut &bytes[..length]), None);
        }
        let more = [bytes, b"more"].concat();
        let mut rest = &more[..];
        assert_eq!(get_varint(&mut rest), Some(value));
        assert_eq!(rest, b"more");
    }
}

#[test]
fn a_head_is_written_with_the_shortest_integers() {
    for (kind, length, head) in [
        (0, 0, &b"\0\0"[..]),
        (0, 63, b"\0\x3f"),
        (63, 64, b"\x3f\x40\x40"),
        (64, 16_383, b"\x40\x40\x7f\xff"),
        (0, 16_384, b"\0\x80\0\x40\0"),
        (DATA, 5, b"\xa0\x28\xd7\xf0\x05"),
        (FINAL_DATA, 0, b"\xa0\x28\xd7\xf1\0"),
        ((1 << 30) - 1, (1 << 30) - 1, b"\xbf\xff\xff\xff\xbf\xff\xff\xff"),
        (1 << 30, 1 << 30, b"\xc0\0\0\0\x40\0\0\0\xc0\0\0\0\x40\0\0\0"),
        ((1 << 62) - 1, 0, b"\xff\xff\xff\xff\xff\xff\xff\xff\0"),
    ] {
        let mut written = BytesMut::new();
        put_head(kind, length, &mut written);
        assert_eq!(written, head, "{kind} {length}");
    }
}

#[test]
fn datagrams_of_context_0_are_payloads_and_everything_unknown_is_skipped() {
    // R9297-3.2-04, RFC 9298 §4
    let payload = |text: &'static [u8]| Some(Bytes::from_static(text));
    for (bytes, expected) in [
        (&b""[..], vec![]),
        (b"\0\x06\0hello", vec![payload(b"hello")]),
        (b"\0\x01\0", vec![payload(b"")]),
        (b"\0\x02\0a\0\x02\0b", vec![payload(b"a"), payload(b"b")]),
        // Longer integers than are needed.
        (b"\x40\0\x80\0\0\x0a\xc0\0\0\0\0\0\0\0hi", vec![payload(b"hi")]),
        // Another context.
        (b"\0\x02\x02a\0\x03\x40\x40b\0\x02\0c", vec![None, None, payload(b"c")]),
        // Other types, one of them with a value that looks like a datagram.
        (b"\x01\x04\0\x02\0x\0\x02\0a", vec![payload(b"a")]),
        (b"\x17\0\xff\xff\xff\xff\xff\xff\xff\xff\x01x\0\x02\0a", vec![payload(b"a")]),
    ] {
        assert_eq!(datagrams(bytes), (expected, None), "{bytes:?}");
    }
}

#[test]
fn a_datagram_that_udp_cannot_carry_is_malformed() {
    // RFC 9298 §5
    let datagram = |context: &[u8], payload: usize| {
        let mut bytes = BytesMut::new();
        put_head(0, context.len() + payload, &mut bytes);
        bytes.put_slice(context);
        bytes.put_bytes(b'x', payload);
        decode(Datagrams, &[&bytes])
    };
    let longest = (vec![Some(Bytes::from(vec![b'x'; 65_527]))], None);
    assert_eq!(datagram(b"\0", 65_527), longest);
    assert_eq!(datagram(b"\xc0\0\0\0\0\0\0\0", 65_527), longest);
    assert_eq!(datagram(b"\0", 65_528), (vec![], MALFORMED));
    assert_eq!(datagram(b"\xc0\0\0\0\0\0\0\0", 65_528), (vec![], MALFORMED));
    // It has no context.
    assert_eq!(datagrams(b"\0\0"), (vec![], MALFORMED));
    assert_eq!(datagrams(b"\0\x01\x40"), (vec![], MALFORMED));
    // The length is enough, nothing of the value has to be there.
    assert_eq!(decode(Datagrams, &[b"\0\x80\x01\0\0"]), (vec![], MALFORMED));
    assert_eq!(decode(Datagrams, &[b"\0\xff\xff\xff\xff\xff\xff\xff\xff"]), (vec![], MALFORMED));
}

#[test]
fn a_stream_that_ends_within_a_capsule_is_truncated() {
    // RFC 9297 §3.3
    let bytes = b"\0\x06\0hello\x17\x02xy\0\x02\0a";
    let ends = [0, 8, 12, 16];
    for length in 0..=bytes.len() {
        let (items, end) = datagrams(&bytes[..length]);
        let complete = [8, 16].iter().filter(|&&end| end <= length).count();
        assert_eq!(items.len(), complete, "{length}");
        assert_eq!(end, if ends.contains(&length) { None } else { TRUNCATED }, "{length}");
    }
}

#[test]
fn a_stream_is_the_bytes_of_all_data_capsules_up_to_the_final_one() {
    for (bytes, expected, end) in [
        (&b""[..], (&b""[..], false), None),
        (b"\xa0\x28\xd7\xf0\x05hello", (b"hello", false), None),
        (b"\xa0\x28\xd7\xf0\x02ab\xa0\x28\xd7\xf0\0\xa0\x28\xd7\xf1\x01c", (b"abc", true), None),
        (b"\xa0\x28\xd7\xf1\0", (b"", true), None),
        (b"\x17\x01x\xa0\x28\xd7\xf0\x01a\0\x02\0x", (b"a", false), None),
        // Other capsules may follow the last byte, and no more bytes.
        (b"\xa0\x28\xd7\xf1\x01a\x17\x01x", (b"a", true), None),
        (b"\xa0\x28\xd7\xf1\x01a\xa0\x28\xd7\xf0\0", (b"a", true), MALFORMED),
        (b"\xa0\x28\xd7\xf1\0\xa0\x28\xd7\xf1\0", (b"", true), MALFORMED),
        (b"\xa0\x28\xd7\xf0\x05hell", (b"hell", false), TRUNCATED),
        (b"\xa0\x28\xd7\xf1\x05hell", (b"hell", false), TRUNCATED),
        (b"\xa0\x28\xd7\xf1", (b"", false), TRUNCATED),
    ] {
        let given = decode_split(Stream::default, bytes, stream);
        assert_eq!(given, ((expected.0.to_vec(), expected.1), end), "{bytes:?}");
    }
}

#[tokio::test]
async fn neither_a_skipped_capsule_nor_a_long_one_of_a_stream_is_buffered() {
    let length = 8 << 20;
    for (kind, expected) in [(0x17, 0), (FINAL_DATA, length)] {
        let mut head = BytesMut::new();
        put_head(kind, length, &mut head);
        let value = tokio::io::repeat(b'x').take(length as u64);
        let mut capsules =
            FramedRead::new((&head[..]).chain(value), Capsules::new(Stream::default()));
        let mut read = 0;
        while let Some(data) = capsules.next().await {
            read += data.unwrap().bytes.len();
            assert!(capsules.read_buffer().capacity() < 64 * 1024);
        }
        assert_eq!(read, expected);
        assert!(capsules.read_buffer().capacity() < 64 * 1024);
    }
}
