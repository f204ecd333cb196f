//! The connection as HTTP/2 sees it: the opening comes first, then the client's bytes without their
//! preface, and one acknowledgement does not reach the client.

use std::{
    io,
    io::IoSlice,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    activity::Activity,
    opening::{ACK, FRAME_HEAD, PREFACE, SETTINGS},
};

/// An IO with something put in front of what is read, and one frame taken out of what is written.
///
/// Each direction becomes a plain pass-through once it has done that.
#[derive(Debug)]
pub(super) struct Spliced<T> {
    io: T,
    reads: Reads,
    writes: Option<AckFilter>,
    activity: Arc<Activity>,
}

/// How far reading has come.
#[derive(Debug)]
enum Reads {
    /// The opening, as far as it is not yet read.
    Opening(Bytes),
    /// HTTP/2 has read the opening, and is made to wait once. Before it reads on it hands over the
    /// request on stream 1, so that no request of the client can be taken for it.
    Pause {
        is_over: bool,
    },
    Preface(Preface),
    /// The head of the client's first frame, as far as it is not yet read.
    FirstFrame(Bytes),
    Through,
}

/// The client's preface and the head of the SETTINGS frame that belongs to it, as far as they have
/// come. HTTP/2 had a preface with the opening.
#[derive(Debug, Default)]
struct Preface {
    seen: usize,
    frame_head: [u8; FRAME_HEAD],
}

impl Preface {
    const LEN: usize = PREFACE.len() + FRAME_HEAD;

    /// Takes bytes that are not more than what is missing.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let in_preface = bytes.len().min(PREFACE.len().saturating_sub(self.seen));
        let (preface, frame_head) = bytes.split_at(in_preface);
        // RFC 7540 §3.5 lets a server end the connection without GOAWAY.
        if !PREFACE[self.seen.min(PREFACE.len())..].starts_with(preface) {
            return Err(invalid("the client's HTTP/2 preface is malformed"));
        }
        self.seen += preface.len();
        if !frame_head.is_empty() {
            self.frame_head[self.seen - PREFACE.len()..][..frame_head.len()]
                .copy_from_slice(frame_head);
            self.seen += frame_head.len();
        }
        let [_, _, _, kind, flags, stream @ ..] = self.frame_head;
        let is_settings = kind == SETTINGS && flags & ACK == 0 && stream == [0; 4];
        if self.is_whole() && !is_settings {
            return Err(invalid("the client's HTTP/2 preface has no SETTINGS"));
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.seen == Self::LEN
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

impl<T> Spliced<T> {
    /// `opening` is a preface, a SETTINGS frame and a request.
    pub(super) fn new(io: T, opening: Bytes, activity: Arc<Activity>) -> Self {
        let writes = Some(AckFilter::default());
        Self { io, reads: Reads::Opening(opening), writes, activity }
    }
}

/// Moves as much into the buffer as it has room for.
fn put(buf: &mut ReadBuf<'_>, bytes: &mut Bytes) {
    buf.put_slice(&bytes.split_to(bytes.len().min(buf.remaining())));
}

impl<T> AsyncRead for Spliced<T>
where
    T: AsyncRead + Unpin,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match &mut this.reads {
                Reads::Through => {
                    ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
                    this.activity.read();
                    return Poll::Ready(Ok(()));
                }
                Reads::FirstFrame(head) => {
                    put(buf, head);
                    if head.is_empty() {
                        this.reads = Reads::Through;
                    }
                    return Poll::Ready(Ok(()));
                }
                Reads::Preface(preface) => {
                    // Not more than is missing, so that what follows is read into its place.
                    let mut piece = buf.take(Preface::LEN - preface.seen);
                    ready!(Pin::new(&mut this.io).poll_read(cx, &mut piece))?;
                    if piece.filled().is_empty() {
                        // The end, which HTTP/2 has to hear of: `buf` stays as it is.
                        return Poll::Ready(Ok(()));
                    }
                    preface.take(piece.filled())?;
                    if preface.is_whole() {
                        this.activity.greet();
                        let head = Bytes::copy_from_slice(&preface.frame_head);
                        this.reads = Reads::FirstFrame(head);
                    }
                }
                Reads::Pause { is_over: true } => {
                    this.activity.open();
                    this.reads = Reads::Preface(Preface::default());
                }
                Reads::Pause { is_over } => {
                    *is_over = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Reads::Opening(opening) => {
                    put(buf, opening);
                    if opening.is_empty() {
                        this.reads = Reads::Pause { is_over: false };
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<T> Spliced<T>
where
    T: AsyncWrite + Unpin,
{
    /// Writes what the filter has let through, and puts the filter away once it is done.
    fn poll_filtered(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(filter) = &mut self.writes {
            ready!(filter.poll_drain(&mut self.io, cx))?;
            if filter.done {
                self.writes = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T> AsyncWrite for Spliced<T>
where
    T: AsyncWrite + Unpin,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.writes.is_some() {
            ready!(this.poll_filtered(cx))?;
            if let Some(filter) = &mut this.writes {
                return Poll::Ready(Ok(filter.take(buf)));
            }
        }
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, buf))?;
        this.activity.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_filtered(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_filtered(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.writes.is_some() {
            let buf = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
            return self.poll_write(cx, buf);
        }
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        self.activity.wrote(written);
        Poll::Ready(Ok(written))
    }

    // HTTP/2 asks this once, before it writes anything, and lays out its buffers by the answer.
    // So the answer is that of the pass-through.
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// Removes the first SETTINGS frame with the ACK flag from what is written.
///
/// It acknowledges the settings of the opening, which the 101 has acknowledged (RFC 7540 §3.2.1).
/// A client that counts would take it for the acknowledgement of its own settings, and the next
/// one for one too many.
///
/// HTTP/2 writes that frame as soon as it has read the opening, so only the few bytes of its
/// first frames are ever copied here.
#[derive(Debug, Default)]
struct AckFilter {
    /// The head of the frame that is being written, as far as it has come.
    head: [u8; FRAME_HEAD],
    seen: usize,
    /// How much is still to come of a frame whose head was let through.
    payload: usize,
    /// The bytes that were let through and are not yet written.
    out: BytesMut,
    done: bool,
}

impl AckFilter {
    /// Takes bytes up to the end of that frame, and returns how many.
    fn take(&mut self, buf: &[u8]) -> usize {
        let buf = &buf[..buf.len().min(MOST)];
        let mut rest = buf;
        while !rest.is_empty() && !self.done {
            if self.payload > 0 {
                let (payload, behind) = rest.split_at(self.payload.min(rest.len()));
                self.out.extend_from_slice(payload);
                self.payload -= payload.len();
                rest = behind;
            } else {
                let wanted = (FRAME_HEAD - self.seen).min(rest.len());
                let (head, behind) = rest.split_at(wanted);
                self.head[self.seen..][..wanted].copy_from_slice(head);
                self.seen += wanted;
                rest = behind;
                if self.seen == FRAME_HEAD {
                    self.end_of_head();
                }
            }
        }
        buf.len() - rest.len()
    }

    fn end_of_head(&mut self) {
        self.seen = 0;
        if self.head == SETTINGS_ACK {
            self.done = true;
        } else {
            let [a, b, c, ..] = self.head;
            self.payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            self.out.extend_from_slice(&self.head);
        }
    }

    fn poll_drain<T>(&mut self, io: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        T: AsyncWrite + Unpin,
    {
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut *io).poll_write(cx, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// The whole frame: no payload, type 4, flag ACK, stream 0 (RFC 7540 §6.5).
const SETTINGS_ACK: [u8; FRAME_HEAD] = [0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0];

/// How much the filter takes at once, so that the IO's back pressure is felt.
const MOST: usize = 16 * 1024;

#[cfg(test)]
mod tests;
