//! The loads: which work, on how many connections, and until when.

use std::{
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::task::{JoinSet, LocalSet};

use crate::client::{Connection, Message, Protocol};

/// One kind of work.
#[derive(Clone)]
pub(crate) enum Work {
    /// Opens a connection, upgrades it, and closes it.
    Handshakes(Protocol),
    /// Sends a message and waits for its echo, on connections that were upgraded before.
    Messages(Protocol, Rc<Message>),
    /// Sends a request and waits for its response, on connections that stay open.
    Requests,
}

/// When each connection ends.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// After as many units, on each connection.
    Units(u32),
    /// When the time is over.
    Over(Duration),
}

/// The outcome of a load.
pub(crate) struct Done {
    pub(crate) units: u32,
    pub(crate) took: Duration,
}

impl Work {
    /// Works on so many connections at once, each with one unit in flight.
    ///
    /// `begin` is called when all connections are open, and so is `end` before they are closed.
    pub(crate) async fn run<T>(
        &self,
        address: SocketAddr,
        connections: u32,
        until: Until,
        mut at_begin_and_end: impl FnMut() -> io::Result<T>,
    ) -> io::Result<(Done, [T; 2])> {
        let mut workers = Vec::new();
        for _ in 0..connections {
            workers.push(Worker::open(self.clone(), address).await?);
        }
        let before = at_begin_and_end()?;
        let start = Instant::now();
        let local = LocalSet::new();
        let mut running = JoinSet::new();
        for worker in workers {
            running.spawn_local_on(worker.work(until, start), &local);
        }
        let (mut units, mut workers) = (0, Vec::new());
        local
            .run_until(async {
                while let Some(ended) = running.join_next().await {
                    let (worker, done) = ended??;
                    units += done;
                    workers.push(worker);
                }
                Ok::<_, io::Error>(())
            })
            .await?;
        let took = start.elapsed();
        let after = at_begin_and_end()?;
        for worker in workers {
            worker.close().await?;
        }
        Ok((Done { units, took }, [before, after]))
    }
}

/// One connection at a time, and its work.
struct Worker {
    work: Work,
    address: SocketAddr,
    connection: Option<Connection>,
}

impl Worker {
    async fn open(work: Work, address: SocketAddr) -> io::Result<Self> {
        let connection = match &work {
            Work::Handshakes(_) => None,
            Work::Messages(protocol, message) => {
                let mut connection = Connection::open(address).await?;
                connection.upgrade(*protocol).await?;
                // For all that happens once in a connection.
                connection.echo(message).await?;
                Some(connection)
            }
            Work::Requests => {
                let mut connection = Connection::open(address).await?;
                connection.request().await?;
                Some(connection)
            }
        };
        Ok(Self { work, address, connection })
    }

    async fn work(mut self, until: Until, start: Instant) -> io::Result<(Self, u32)> {
        let mut units = 0;
        loop {
            match until {
                Until::Units(wanted) if units == wanted => break,
                Until::Over(time) if start.elapsed() >= time => break,
                _ => self.unit().await?,
            }
            units += 1;
        }
        Ok((self, units))
    }

    async fn unit(&mut self) -> io::Result<()> {
        match (&self.work, &mut self.connection) {
            (Work::Messages(_, message), Some(connection)) => connection.echo(message).await,
            (Work::Requests, Some(connection)) => connection.request().await,
            (Work::Handshakes(protocol), _) => {
                let mut connection = Connection::open(self.address).await?;
                connection.upgrade(*protocol).await?;
                connection.close().await
            }
            (_, None) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    async fn close(self) -> io::Result<()> {
        match self.connection {
            Some(connection) => connection.close().await,
            None => Ok(()),
        }
    }
}
