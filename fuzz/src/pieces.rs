//! A connection that moves its bytes in pieces.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// Moves at most so many bytes at once, in turn. A zero stands for a poll that finds nothing.
pub struct Pieces {
    io: DuplexStream,
    sizes: Vec<u8>,
    /// How often something was read and written.
    read: usize,
    written: usize,
}

impl Pieces {
    pub fn new(io: DuplexStream, mut sizes: Vec<u8>) -> Self {
        // With zeros alone nothing would ever move.
        if sizes.iter().all(|&size| size == 0) {
            sizes.push(u8::MAX);
        }
        Self { io, sizes, read: 0, written: 0 }
    }

    /// The next size, of which this is the place.
    fn size(&self, at: &mut usize, cx: &mut Context<'_>) -> Poll<usize> {
        match self.sizes[*at % self.sizes.len()] {
            0 => {
                *at += 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            u8::MAX => Poll::Ready(usize::MAX),
            size => Poll::Ready(size.into()),
        }
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut at = self.read;
        let size = self.size(&mut at, cx);
        self.read = at;
        let mut piece = buf.take(ready!(size));
        let result = ready!(Pin::new(&mut self.io).poll_read(cx, &mut piece));
        let filled = piece.filled().to_vec();
        // Only now: two such connections could wake each other for ever.
        self.read += 1;
        result?;
        buf.put_slice(&filled);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut at = self.written;
        let size = self.size(&mut at, cx);
        self.written = at;
        let most = ready!(size).min(buf.len());
        let result = ready!(Pin::new(&mut self.io).poll_write(cx, &buf[..most]));
        self.written += 1;
        Poll::Ready(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
