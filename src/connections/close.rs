//! The graceful end of a connection: our FIN, and then reading until the client's.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, sleep_until, timeout},
};

/// Flushes, closes our side, and discards what the client still sends until it closes its side.
///
/// Closing the socket at once would lose data: bytes that arrive at a closed socket, or are unread
/// in it, make the kernel send a reset, and a reset discards what the client has not received yet.
///
/// `written` is how many bytes the connection has written.
pub(super) async fn close<T>(io: &mut T, written: u64) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let patience = patience(written);
    let finish = async {
        poll_fn(|cx| Pin::new(&mut *io).poll_flush(cx)).await?;
        poll_fn(|cx| Pin::new(&mut *io).poll_shutdown(cx)).await
    };
    timeout(patience, finish).await??;
    discard(io, Instant::now() + patience).await;
    Ok(())
}

/// How long a client that has stopped talking may take to receive what was written to it.
///
/// Socket buffers hold a few megabytes, and a slow reader needs time for them.
pub(crate) fn patience(written: u64) -> Duration {
    LINGER + Duration::from_secs(written.min(BUFFERED) / SLOW)
}

/// Reads until the client closes its side, for [`LINGER`] after its last byte and at most until
/// `end`.
async fn discard<T>(io: &mut T, end: Instant)
where
    T: AsyncRead + Unpin,
{
    let next = || end.min(Instant::now() + LINGER);
    let mut timer = pin!(sleep_until(next()));
    poll_fn(|cx| {
        for _ in 0..READS {
            // Before the read: a client that never stops sending must not outlast the timer.
            if timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut bytes = [0; 1024];
            let mut buf = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut *io).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => timer.as_mut().reset(next()),
                // The client's FIN, or a reset.
                _ => return Poll::Ready(()),
            }
        }
        // The timer only expires when the runtime gets its turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// How long a silent client is waited for.
const LINGER: Duration = Duration::from_secs(5);

/// Bytes that may be on their way to the client, in the buffers of both kernels.
const BUFFERED: u64 = 4 << 20;

/// Bytes per second of the slowest reader that is waited for.
const SLOW: u64 = 10_000;

/// How often a client that sends without a pause is read before other tasks get their turn.
const READS: usize = 32;

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::sleep,
    };

    use super::*;

    /// How long `close` takes, in tenths of a second, if the client sends a byte every so often.
    async fn close_with(interval: Duration, bytes: usize, written: u64) -> u64 {
        let (mut client, mut server) = duplex(64);
        let start = Instant::now();
        let client = tokio::spawn(async move {
            for _ in 0..bytes {
                sleep(interval).await;
                if client.write_all(b"x").await.is_err() {
                    return;
                }
            }
            std::future::pending::<()>().await;
        });
        close(&mut server, written).await.unwrap();
        client.abort();
        u64::try_from(start.elapsed().as_millis()).unwrap() / 100
    }

    #[tokio::test(start_paused = true)]
    async fn the_client_is_waited_for_until_it_closes() {
        let (mut client, mut server) = duplex(64);
        let closed = tokio::spawn(async move { close(&mut server, 0).await });
        client.write_all(b"late").await.unwrap();
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(!closed.is_finished());
        client.shutdown().await.unwrap();
        let start = Instant::now();
        closed.await.unwrap().unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_close_is_given_up() {
        // Silent; sending; sending slowly after a large answer; and without an end.
        let (second, many) = (Duration::from_secs(1), 1_000_000);
        assert_eq!(close_with(second, 0, 0).await, 50);
        assert_eq!(close_with(second, 0, u64::MAX).await, 50);
        assert_eq!(close_with(second, many, 0).await, 50);
        assert_eq!(close_with(second, 10, 1_000_000).await, 150);
        assert_eq!(close_with(second, many, 1_000_000).await, 1_050);
        assert_eq!(close_with(Duration::from_millis(1), many, 0).await, 50);
        assert_eq!(patience(u64::MAX), Duration::from_secs(424));
    }

    #[tokio::test]
    async fn a_flood_does_not_starve_the_timer() {
        /// Always has bytes to read.
        struct Flood;

        impl AsyncRead for Flood {
            fn poll_read(
                self: Pin<&mut Self>,
                _cx: &mut std::task::Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                buf.put_slice(b"flood");
                Poll::Ready(Ok(()))
            }
        }

        discard(&mut Flood, Instant::now() + Duration::from_millis(20)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_that_blocks_is_given_up() {
        /// Takes bytes, and never gets rid of them.
        struct Stuck;

        impl AsyncRead for Stuck {
            fn poll_read(
                self: Pin<&mut Self>,
                _cx: &mut std::task::Context<'_>,
                _buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Poll::Pending
            }
        }

        impl AsyncWrite for Stuck {
            fn poll_write(
                self: Pin<&mut Self>,
                _cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Poll::Ready(Ok(buf.len()))
            }

            fn poll_flush(
                self: Pin<&mut Self>,
                _cx: &mut std::task::Context<'_>,
            ) -> Poll<io::Result<()>> {
                Poll::Pending
            }

            fn poll_shutdown(
                self: Pin<&mut Self>,
                _cx: &mut std::task::Context<'_>,
            ) -> Poll<io::Result<()>> {
                Poll::Pending
            }
        }

        let error = close(&mut Stuck, 0).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
