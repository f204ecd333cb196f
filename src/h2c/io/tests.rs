//! Every way to split what is read and written gives the same bytes.

use std::{future::poll_fn, task::Waker};

use super::*;

/// An IO that moves at most so many bytes at once, and is not ready every other time.
#[derive(Debug)]
struct Pieces {
    input: Vec<u8>,
    output: Vec<u8>,
    most: usize,
    ready: bool,
    vectored: usize,
}

impl Pieces {
    fn new(input: &[u8], most: usize) -> Self {
        Self { input: input.to_vec(), output: Vec::new(), most, ready: false, vectored: 0 }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.ready = !self.ready;
        if self.ready {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_ready(cx));
        let len = self.most.min(self.input.len()).min(buf.remaining());
        buf.put_slice(&self.input.drain(..len).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_ready(cx));
        let len = self.most.min(buf.len());
        self.output.extend_from_slice(&buf[..len]);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready(cx).map(Ok)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready(cx).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        let written = ready!(self.as_mut().poll_write(cx, &all))?;
        self.vectored += 1;
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

fn spliced(io: Pieces, opening: &[u8]) -> Spliced<Pieces> {
    Spliced::new(io, Bytes::copy_from_slice(opening), Arc::new(Activity::new()))
}

/// Reads to the end, or to an error, with a buffer of so many bytes.
async fn read_all(io: &mut Spliced<Pieces>, buffer: usize) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let mut memory = vec![0; buffer];
        let mut buf = ReadBuf::new(&mut memory);
        poll_fn(|cx| Pin::new(&mut *io).poll_read(cx, &mut buf)).await?;
        if buf.filled().is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(buf.filled());
    }
}

/// The client's SETTINGS, without a setting.
const FIRST_FRAME: [u8; FRAME_HEAD] = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];

#[tokio::test]
async fn the_opening_comes_first_and_the_clients_preface_does_not_come() {
    let opening = [&PREFACE[..], b"opening"].concat();
    for behind in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let input = [&PREFACE[..], &FIRST_FRAME, behind].concat();
        let expected = [&opening, &FIRST_FRAME[..], behind].concat();
        for most in 1..=input.len() {
            for buffer in 1..=opening.len() {
                let mut io = spliced(Pieces::new(&input, most), &opening);
                let read = read_all(&mut io, buffer).await.unwrap();
                assert_eq!(read, expected, "{most} at once into {buffer}");
                assert!(io.activity.is_greeted());
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_read_behind_the_opening_before_it_was_handed_over() {
    let mut io = spliced(Pieces::new(b"P", 1), b"opening");
    let mut memory = [0; 16];
    let mut buf = ReadBuf::new(&mut memory);
    let mut read = tokio_test::task::spawn(poll_fn(|cx| Pin::new(&mut io).poll_read(cx, &mut buf)));
    assert!(read.poll().is_ready());
    // One poll finds nothing, and is followed by another.
    assert!(read.poll().is_pending() && read.is_woken());
    drop(read);
    assert!(!io.activity.is_opened());
    let mut read = tokio_test::task::spawn(poll_fn(|cx| Pin::new(&mut io).poll_read(cx, &mut buf)));
    assert!(read.poll().is_pending());
    drop(read);
    assert!(io.activity.is_opened());
}

#[tokio::test]
async fn a_preface_that_is_wrong_anywhere_is_an_error() {
    for at in 0..PREFACE.len() {
        for most in 1..=PREFACE.len() {
            let mut input = [&PREFACE[..], b"behind"].concat();
            input[at] ^= 1;
            let mut io = spliced(Pieces::new(&input, most), b"opening");
            let error = read_all(&mut io, 64).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "wrong at {at}, {most} at once");
            // It stays one.
            assert!(!matches!(io.reads, Reads::Through));
        }
    }
}

#[tokio::test]
async fn a_first_frame_that_is_not_settings_is_an_error() {
    // RFC 7540 §3.5. HEADERS, an acknowledgement, and SETTINGS of a stream.
    for (at, value) in [(3, 1), (4, ACK), (5, 0x80), (8, 1)] {
        for most in [1, 5, 24, 25, 33] {
            let mut first = FIRST_FRAME;
            first[at] = value;
            let input = [&PREFACE[..], &first, b"behind"].concat();
            let mut io = spliced(Pieces::new(&input, most), b"opening");
            let error = read_all(&mut io, 64).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{value} at {at}, {most} at once");
            assert!(!io.activity.is_greeted());
        }
    }
}

#[tokio::test]
async fn a_preface_that_is_cut_is_an_end() {
    let preface = [&PREFACE[..], &FIRST_FRAME].concat();
    for len in 0..preface.len() {
        let mut io = spliced(Pieces::new(&preface[..len], 5), b"opening");
        assert_eq!(read_all(&mut io, 64).await.unwrap(), b"opening", "cut at {len}");
        assert!(!io.activity.is_greeted());
    }
}

/// Two frames, the acknowledgement, and what stands behind it.
fn written(ack: &[u8]) -> Vec<u8> {
    let settings = [&[0, 0, 6, 4, 0, 0, 0, 0, 0][..], &[0, 3, 0, 0, 0, 100]].concat();
    // Its payload looks like an acknowledgement.
    let window_update = [&[0, 0, 9, 8, 0, 0, 0, 0, 0][..], &SETTINGS_ACK].concat();
    [&settings, &window_update, ack, &SETTINGS_ACK, b"not a frame any more"].concat()
}

#[tokio::test]
async fn the_first_acknowledgement_is_removed_however_it_is_written() {
    let input = written(&SETTINGS_ACK);
    let expected = written(&[]);
    for most in 1..=input.len() {
        for pieces in 1..=input.len() {
            for vectored in [false, true] {
                let mut io = spliced(Pieces::new(&[], most), b"");
                for piece in input.chunks(pieces) {
                    write_all(&mut io, piece, vectored).await;
                }
                poll_fn(|cx| Pin::new(&mut io).poll_flush(cx)).await.unwrap();
                assert_eq!(io.io.output, expected, "{pieces} at once, {most} taken at once");
                assert!(io.writes.is_none());
            }
        }
    }
}

#[tokio::test]
async fn a_frame_of_any_length_may_come_before_it() {
    for len in [1, 255, 256, 257, 0x1_02_03] {
        let head = u32::try_from(len).unwrap() << 8 | 0x8;
        // A part of the payload would be taken for one.
        let payload = SETTINGS_ACK.into_iter().cycle().take(len).collect();
        let frame = [head.to_be_bytes().to_vec(), vec![0; 5], payload].concat();
        let mut io = spliced(Pieces::new(&[], 1 << 20), b"");
        write_all(&mut io, &[&frame[..], &SETTINGS_ACK, b"behind"].concat(), false).await;
        poll_fn(|cx| Pin::new(&mut io).poll_flush(cx)).await.unwrap();
        assert!(io.io.output == [&frame[..], b"behind"].concat(), "{len}");
    }
}

async fn write_all(io: &mut Spliced<Pieces>, mut bytes: &[u8], vectored: bool) {
    while !bytes.is_empty() {
        let written = if vectored {
            let (first, second) = bytes.split_at(bytes.len() / 2);
            let bufs = [IoSlice::new(&[]), IoSlice::new(first), IoSlice::new(second)];
            poll_fn(|cx| Pin::new(&mut *io).poll_write_vectored(cx, &bufs)).await.unwrap()
        } else {
            poll_fn(|cx| Pin::new(&mut *io).poll_write(cx, bytes)).await.unwrap()
        };
        assert!(written > 0);
        bytes = &bytes[written..];
    }
}

#[tokio::test]
async fn what_was_let_through_is_written_before_a_flush_and_before_the_end() {
    let frames = [0, 0, 1, 8, 0, 0, 0, 0, 0, 0xff];
    for flush in [true, false] {
        let mut io = spliced(Pieces::new(&[], 1), b"");
        write_all(&mut io, &frames, false).await;
        assert_eq!(io.io.output, b"");
        poll_fn(|cx| {
            let io = Pin::new(&mut io);
            if flush { io.poll_flush(cx) } else { io.poll_shutdown(cx) }
        })
        .await
        .unwrap();
        assert_eq!(io.io.output, frames);
    }
}

#[tokio::test]
async fn writes_are_vectored_once_the_acknowledgement_is_removed() {
    let mut io = spliced(Pieces::new(&[], 64), b"");
    assert!(io.is_write_vectored());
    write_all(&mut io, &SETTINGS_ACK, true).await;
    assert_eq!(io.io.vectored, 0);
    write_all(&mut io, b"one two", true).await;
    assert_eq!((io.io.vectored, &io.io.output[..]), (1, &b"one two"[..]));
    assert!(io.writes.is_none());
    // Not if those of the IO are not.
    let plain = tokio_test::io::Builder::new().build();
    let io = Spliced::new(plain, Bytes::new(), Arc::new(Activity::new()));
    assert!(!io.is_write_vectored());
}

#[test]
fn an_io_that_takes_nothing_is_an_error() {
    let mut io = spliced(Pieces::new(&[], 0), b"");
    let cx = &mut Context::from_waker(Waker::noop());
    let head = [0, 0, 1, 8, 0, 0, 0, 0, 0];
    assert!(matches!(Pin::new(&mut io).poll_write(cx, &head), Poll::Ready(Ok(9))));
    let Poll::Ready(Err(error)) = Pin::new(&mut io).poll_write(cx, &head) else {
        panic!("the bytes went nowhere");
    };
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
}
