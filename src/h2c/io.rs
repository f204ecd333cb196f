//! The connection as HTTP/2 sees it: the upgrading request comes first, then the client's octets
//! without their preface, and one acknowledgement does not reach the client.

use std::{
    io,
    io::IoSlice,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head::{FRAME_HEAD, PREFACE};

/// An IO with something put in front of what is read, and one frame taken out of what is written.
///
/// Each direction becomes a plain pass-through once it has done that.
#[derive(Debug)]
pub(super) struct Spliced<T> {
    io: T,
    reads: Reads,
    writes: Option<AckFilter>,
}

/// How far reading has come.
#[derive(Debug)]
enum Reads {
    /// What is put in front is not yet read to its end.
    Opening(Bytes),
    /// So many octets of the client's preface have come. HTTP/2 had one with the opening.
    Preface(usize),
    Through,
}

impl<T> Spliced<T> {
    /// `opening` is a preface, a SETTINGS frame and more.
    pub(super) fn new(io: T, opening: Bytes) -> Self {
        Self { io, reads: Reads::Opening(opening), writes: Some(AckFilter::default()) }
    }
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
                Reads::Through => return Pin::new(&mut this.io).poll_read(cx, buf),
                Reads::Preface(seen) => {
                    let expected = &PREFACE[*seen..];
                    // Not more than the preface, so that what follows is read into its place.
                    let mut octets = buf.take(expected.len());
                    ready!(Pin::new(&mut this.io).poll_read(cx, &mut octets))?;
                    let octets = octets.filled();
                    if octets.is_empty() {
                        // The end, which HTTP/2 has to hear of: `buf` stays as it is.
                        return Poll::Ready(Ok(()));
                    }
                    if !expected.starts_with(octets) {
                        // RFC 7540 §3.5 lets a server end the connection without GOAWAY.
                        return Poll::Ready(Err(invalid_preface()));
                    }
                    *seen += octets.len();
                    if *seen == PREFACE.len() {
                        this.reads = Reads::Through;
                    }
                }
                Reads::Opening(opening) => {
                    let octets = opening.split_to(opening.len().min(buf.remaining()));
                    buf.put_slice(&octets);
                    if opening.is_empty() {
                        this.reads = Reads::Preface(0);
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

fn invalid_preface() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the client's HTTP/2 preface is malformed")
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
        Pin::new(&mut this.io).poll_write(cx, buf)
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
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
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
/// HTTP/2 writes that frame as soon as it has read the opening, so only the few octets of its
/// first frames are ever copied here.
#[derive(Debug, Default)]
struct AckFilter {
    /// The head of the frame that is being written, as far as it has come.
    head: [u8; FRAME_HEAD],
    seen: usize,
    /// How much is still to come of a frame whose head was let through.
    payload: usize,
    /// What was let through and not yet written.
    out: BytesMut,
    done: bool,
}

impl AckFilter {
    /// Takes octets up to the end of that frame, and returns how many.
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
const SETTINGS_ACK: [u8; FRAME_HEAD] = [0, 0, 0, 4, 1, 0, 0, 0, 0];

/// How much the filter takes at once, so that the IO's back pressure is felt.
const MOST: usize = 16 * 1024;

#[cfg(test)]
mod tests;
