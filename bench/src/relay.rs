//! A relay of bytes: what a proxy costs on tokio that knows nothing of HTTP.

use std::io;

use tokio::net::{TcpListener, TcpStream};

pub(crate) async fn serve(upstream: &str) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (client, _) = listener.accept().await?;
        let upstream = upstream.to_owned();
        // A client that goes away in the middle ends its connection only.
        tokio::spawn(async move { relay(client, &upstream).await.ok() });
    }
}

async fn relay(mut client: TcpStream, upstream: &str) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut upstream = TcpStream::connect(upstream).await?;
    upstream.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut upstream).await.map(drop)
}
