//! A client's IO that sends its first message in the same write as the handshake.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Appends bytes to the first write, which has to be the whole request.
///
/// A client should wait for the 101, but not every client does.
pub(crate) struct Early<T> {
    io: T,
    bytes: Vec<u8>,
}

impl<T> Early<T> {
    /// Sends `text` as a text message in one frame.
    pub(crate) fn text(io: T, text: &str) -> Self {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 126);
        let length = length.expect("a short text");
        // A mask of zeros leaves the text as it is.
        let mut bytes = vec![0x81, 0x80 + length, 0, 0, 0, 0];
        bytes.extend(text.as_bytes());
        Self { io, bytes }
    }
}

impl<T> AsyncWrite for Early<T>
where
    T: AsyncWrite + Unpin,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.bytes.is_empty() {
            return Pin::new(&mut self.io).poll_write(cx, buf);
        }
        let both = [buf, &self.bytes].concat();
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, &both))?;
        if written < both.len() {
            return Poll::Ready(Err(io::Error::other("the first write was cut")));
        }
        self.bytes.clear();
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<T> AsyncRead for Early<T>
where
    T: AsyncRead + Unpin,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}
