//! A listener that stops listening when the drain begins.

use std::{future, io, iter, net::SocketAddr};

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tower_upgrade::Connections;

/// Accepts connections until [`Connections::drain`] is called, and then none, ever.
///
/// On a graceful shutdown, `axum::serve` stops accepting connections, and closes idle ones at the same time.
/// Here the two are apart, and the address is free for the next process while this one drains.
pub(crate) struct UntilDrained {
    listener: Option<TcpListener>,
    connections: Connections,
    address: io::Result<SocketAddr>,
    /// Connections that were made, and not accepted yet, when the drain began.
    queue: Vec<(TcpStream, SocketAddr)>,
}

impl UntilDrained {
    pub(crate) fn new(listener: TcpListener, connections: Connections) -> Self {
        let address = listener.local_addr();
        Self { listener: Some(listener), connections, address, queue: Vec::new() }
    }
}

impl Listener for UntilDrained {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        if let Some(listener) = &mut self.listener {
            tokio::select! {
                accepted = Listener::accept(listener) => return accepted,
                () = self.connections.draining() => {}
            }
        }
        if let Some(listener) = self.listener.take() {
            self.queue = take_queue(listener).unwrap_or_default();
        }
        match self.queue.pop() {
            Some(accepted) => accepted,
            None => future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.address {
            Ok(address) => Ok(*address),
            Err(error) => Err(error.kind().into()),
        }
    }
}

/// Accepts the connections that the system has made already, and closes the listener.
///
/// If it were closed with them in its queue they would be reset, though their clients may well have
/// sent a request by now.
fn take_queue(listener: TcpListener) -> io::Result<Vec<(TcpStream, SocketAddr)>> {
    // The one of std is asked because it says for sure that there is none left. It does not block:
    // tokio has set it so.
    let listener = listener.into_std()?;
    iter::from_fn(|| listener.accept().ok())
        .map(|(io, address)| {
            io.set_nonblocking(true)?;
            Ok((TcpStream::from_std(io)?, address))
        })
        .collect()
}
