//! Both directions of a tunnel, from the switch to the end.

use std::{
    any::Any,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, sleep_until},
};

use super::{
    connect::ConnectorIo,
    error::{Side, TunnelError},
    frames::Frames,
    pipe::{Broken, Direction},
    upstream::Free,
};
use crate::connections::upgraded::Upgraded;

/// Carries bytes both ways until both sides have ended, one of them breaks, or a drain ends the tunnel.
pub(super) async fn carry<Io>(
    mut client: Upgraded,
    upstream: Free<Io>,
    closes_websocket: bool,
) -> Result<(), TunnelError>
where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Free { io: mut upstream, read_ahead } = upstream;
    let mut tunnel = Tunnel {
        up: Direction::new(bytes::Bytes::new(), None),
        down: Direction::new(read_ahead, closes_websocket.then(Frames::default)),
        active: Instant::now(),
    };
    let mut told = pin!(client.draining());
    let mut is_draining = false;
    let mut quiet = pin!(sleep_until(tunnel.active));
    let end = poll_fn(|cx| {
        if !is_draining && told.as_mut().poll(cx).is_ready() {
            is_draining = true;
            if closes_websocket {
                tunnel.down.close_websocket();
            }
        }
        let polled = tunnel.poll(cx, &mut client, &mut upstream);
        if polled.is_ready() || !is_draining {
            return polled;
        }
        // A drain ends the tunnel once no byte has come for a while, in which a WebSocket can answer the
        // close frame. If a writer is behind, it wakes this task.
        if tunnel.up.is_behind() || tunnel.down.is_behind() {
            return Poll::Pending;
        }
        let patience = if closes_websocket { ANSWER } else { QUIET };
        quiet.as_mut().reset(tunnel.active + patience);
        quiet.as_mut().poll(cx).map(Ok)
    })
    .await;
    match end {
        // Both have read and sent all, so there is nothing to lose.
        Ok(()) if tunnel.up.is_done() && tunnel.down.is_done() => Ok(()),
        Ok(()) => {
            // Not waited for: the upstream may be gone already. The client still has to receive what it
            // has sent.
            poll_fn(|cx| Poll::Ready(Pin::new(&mut upstream).poll_shutdown(cx).is_ready())).await;
            drop(upstream);
            if tunnel.down.is_over() && !tunnel.down.is_done() {
                // It is gone.
                return Ok(());
            }
            client.close().await.map_err(|error| Side::Client.broke(error))
        }
        Err((Side::Client, error)) => {
            reset(&upstream);
            Err(Side::Client.broke(error))
        }
        Err((Side::Upstream, error)) => {
            if let Ok(client) = client.downcast::<TcpStream>() {
                reset(&client.io);
            }
            Err(Side::Upstream.broke(error))
        }
    }
}

struct Tunnel {
    up: Direction,
    down: Direction,
    /// When the last byte came.
    active: Instant,
}

impl Tunnel {
    fn poll<C, U>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        upstream: &mut U,
    ) -> Poll<Result<(), (Side, io::Error)>>
    where
        C: AsyncRead + AsyncWrite + Unpin,
        U: AsyncRead + AsyncWrite + Unpin,
    {
        let mut moved = false;
        // The upstream first: it may have sent its last bytes before it broke.
        let down = self.down.poll(cx, upstream, client, &mut moved);
        let up = self.up.poll(cx, client, upstream, &mut moved);
        if moved {
            self.active = Instant::now();
        }
        // One that does not read on has said all before: that is a way to end, as closing a WebSocket is. A
        // reset is another error: the kernel says that a pipe is broken if the end of what the peer sends
        // came before.
        let is_end = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        let upload_is_behind = self.up.is_behind();
        let download_is_done = self.down.is_done();
        let down = settle(cx, &mut self.down, down, |error| upload_is_behind && is_end(error));
        let down = down.map_err(|broken| broken.of(Side::Upstream, Side::Client))?;
        let up = settle(cx, &mut self.up, up, |error| download_is_done || is_end(error));
        let up = up.map_err(|broken| broken.of(Side::Client, Side::Upstream))?;
        if down && up { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

/// Returns whether a direction is over, unless the tunnel ends with it. If its writer may stop, the other
/// direction goes on, because its writer may not have got all yet.
fn settle(
    cx: &Context<'_>,
    direction: &mut Direction,
    polled: Poll<Result<(), Broken>>,
    writer_may_stop: impl FnOnce(&io::Error) -> bool,
) -> Result<bool, Broken> {
    match polled {
        Poll::Ready(Ok(())) => Ok(true),
        Poll::Pending => Ok(direction.is_over()),
        Poll::Ready(Err(Broken::Writer(error))) if writer_may_stop(&error) => {
            direction.discard();
            cx.waker().wake_by_ref();
            Ok(true)
        }
        Poll::Ready(Err(broken)) => Err(broken),
    }
}

/// Has a connection that is dropped reset, so that its peer does not take the end for a clean one.
fn reset(io: &dyn Any) {
    let by_connector = || io.downcast_ref::<ConnectorIo<TokioIo<TcpStream>>>();
    let stream: Option<&TcpStream> =
        io.downcast_ref().or_else(|| by_connector().map(|io| io.get_ref().inner()));
    if let Some(stream) = stream {
        SockRef::from(stream).set_linger(Some(Duration::ZERO)).ok();
    }
}

/// How long a WebSocket that was told to close may be silent.
const ANSWER: Duration = Duration::from_secs(5);

/// How long a tunnel has no byte before a drain takes it for idle.
const QUIET: Duration = Duration::from_secs(1);
