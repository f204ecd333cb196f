//! hyper: a whole server on hyper and hyper-util, with upgrades and a graceful shutdown.
//!
//! The server speaks HTTP/1.1 and HTTP/2 on one port. It answers requests with `plain`, and echoes bytes to
//! a client that asks for `echo/1`. On a drain it stops accepting connections, tells its upgraded
//! connections to end, and answers the requests that are in flight.
//!
//! ```sh
//! cargo add tower-upgrade bytes http http-body-util hyper
//! cargo add hyper-util --features http1,http2,server,service,tokio
//! cargo add tokio --features full
//! cargo add tower --features util
//! ```
//!
//! ```
//! use std::{convert::Infallible, io, pin::pin, time::Duration};
//!
//! use bytes::Bytes;
//! use http::{Method, Request, Response, StatusCode};
//! use http_body_util::Full;
//! use hyper::body::Incoming;
//! use hyper_util::{
//!     rt::{TokioExecutor, TokioIo, TokioTimer},
//!     server::conn::auto,
//!     service::TowerToHyperService,
//! };
//! use tokio::{
//!     io::{AsyncReadExt, AsyncWriteExt},
//!     net::{TcpListener, TcpStream},
//!     task::JoinSet,
//! };
//! use tower::{Layer, service_fn};
//! use tower_upgrade::{Connections, Switch, UpgradeLayer, Upgraded};
//!
//! async fn serve(listener: TcpListener, connections: Connections) {
//!     let upgrades = UpgradeLayer::new()
//!         .with_connections(connections.clone())
//!         .on("echo/1", |_request: Request<Bytes>| async { Switch::to(echo) })
//!         .on_failure(|error| eprintln!("{}: {error:#}", error.protocol()))
//!         .extended_connect();
//!     let service = upgrades.layer(service_fn(answer));
//!     // Other layers go between these two.
//!     let service = TowerToHyperService::new(UpgradeLayer::outermost().layer(service));
//!
//!     let mut builder = auto::Builder::new(TokioExecutor::new());
//!     // A client has 10 seconds to send the head of a request. Without a timer there is no limit.
//!     builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
//!     // Without this, clients of HTTP/2 do not ask for another protocol.
//!     builder.http2().enable_connect_protocol();
//!
//!     let mut tasks = JoinSet::new();
//!     loop {
//!         let accepted = tokio::select! {
//!             accepted = listener.accept() => accepted,
//!             Some(_ended) = tasks.join_next() => continue,
//!             () = connections.draining() => break,
//!         };
//!         let Ok((stream, _peer)) = accepted else {
//!             // The process is probably out of descriptors, until a connection is closed.
//!             tokio::time::sleep(Duration::from_secs(1)).await;
//!             continue;
//!         };
//!         // Otherwise a small message waits for the acknowledgement of the one before.
//!         stream.set_nodelay(true).ok();
//!         let (builder, service) = (builder.clone(), service.clone());
//!         let draining = connections.draining();
//!         tasks.spawn(async move {
//!             let io = TokioIo::new(stream);
//!             let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
//!             let served = tokio::select! {
//!                 served = connection.as_mut() => served,
//!                 () = draining => {
//!                     connection.as_mut().graceful_shutdown();
//!                     connection.await
//!                 }
//!             };
//!             if let Err(error) = served {
//!                 eprintln!("a connection ended early: {error}");
//!             }
//!         });
//!     }
//!     // From here on, other servers may listen on the address.
//!     drop(listener);
//!     while tasks.join_next().await.is_some() {}
//! }
//!
//! async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
//!     let mut response = Response::new(Full::from("plain"));
//!     // A CONNECT for a protocol that is not registered. With a 2xx, its client would use the stream.
//!     if request.method() == Method::CONNECT {
//!         *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
//!     }
//!     Ok(response)
//! }
//!
//! async fn echo(mut io: Upgraded) -> io::Result<()> {
//!     let mut draining = pin!(io.draining());
//!     let mut bytes = [0; 1024];
//!     loop {
//!         tokio::select! {
//!             read = io.read(&mut bytes) => match read? {
//!                 0 => return io.close().await,
//!                 read => io.write_all(&bytes[..read]).await?,
//!             },
//!             () = &mut draining => {
//!                 io.write_all(b"goodbye\n").await?;
//!                 return io.close().await;
//!             }
//!         }
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let address = listener.local_addr()?;
//!     let connections = Connections::new();
//!     let server = tokio::spawn(serve(listener, connections.clone()));
//!
//!     // A client without an offer, and one that switches.
//!     let mut plain = TcpStream::connect(address).await?;
//!     plain.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await?;
//!     let mut answer = String::new();
//!     plain.read_to_string(&mut answer).await?;
//!     assert!(answer.ends_with("\r\n\r\nplain"));
//!
//!     let mut client = TcpStream::connect(address).await?;
//!     let offer = "Host: a.test\r\nConnection: upgrade\r\nUpgrade: echo/1";
//!     client.write_all(format!("GET / HTTP/1.1\r\n{offer}\r\n\r\nhello\n").as_bytes()).await?;
//!     let mut answer = String::new();
//!     while !answer.ends_with("hello\n") {
//!         answer.push(client.read_u8().await?.into());
//!     }
//!     assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
//!     let rest = tokio::spawn(async move {
//!         let mut rest = String::new();
//!         client.read_to_string(&mut rest).await.map(|_| rest)
//!     });
//!
//!     // A server waits for `tokio::signal::ctrl_c()` here.
//!     let shutdown = connections.shutdown(Duration::from_secs(30)).await;
//!     assert_eq!((shutdown.finished, shutdown.aborted), (1, 0));
//!     // Requests in flight have a time limit too.
//!     tokio::time::timeout(Duration::from_secs(5), server).await??;
//!     assert_eq!(rest.await??, "goodbye\n");
//!     Ok(())
//! }
//! ```
//!
//! # The calls that matter
//!
//! | call | without it |
//! |---|---|
//! | `serve_connection_with_upgrades`; with hyper's own builder, `.with_upgrades()` | the client gets a 101 and then EOF, and `on_failure` an error that names the call |
//! | `enable_connect_protocol()` on the HTTP/2 builder | no upgrades over HTTP/2 |
//! | `timer(…)` and `header_read_timeout(…)` on the HTTP/1 builder | a client may take forever to send the head of a request |
//! | `set_nodelay(true)` | small messages wait for each other |
//! | `graceful_shutdown()` on each connection | idle HTTP connections stay open, and the server waits for them |
//!
//! Leave `pipeline_flush` off; [the crate's documentation](crate#the-server-has-to-hand-over-connections)
//! says why.
//!
//! # hyper alone
//!
//! Without hyper-util's `auto` builder, one version of HTTP is served. hyper's `http1` builder needs
//! `.with_upgrades()`. Its `http2` builder needs no such call.
//!
//! ```
//! # use std::convert::Infallible;
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::Full;
//! use hyper::{body::Incoming, server::conn::http1};
//! use hyper_util::{rt::TokioIo, service::TowerToHyperService};
//! use tower::{Layer, service_fn};
//! use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! # let answer = |_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) };
//! # let greet = |_: Request<Bytes>| async {
//! #     Switch::to(|mut io: Upgraded| async move { io.write_all(b"hello").await })
//! # };
//! # let (mut client, server) = tokio::io::duplex(1024);
//! let service = UpgradeLayer::new().on("greet", greet).layer(service_fn(answer));
//! let connection = http1::Builder::new()
//!     .serve_connection(TokioIo::new(server), TowerToHyperService::new(service))
//!     .with_upgrades();
//! # tokio::spawn(connection);
//! # let request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: greet\r\n\r\n";
//! # client.write_all(request.as_bytes()).await?;
//! # let mut answer = String::new();
//! # client.read_to_string(&mut answer).await?;
//! # assert!(answer.ends_with("\r\n\r\nhello"));
//! # Ok(())
//! # }
//! ```
//!
//! # TLS
//!
//! Give the `auto` builder the stream of a TLS acceptor in place of the `TcpStream`, with `h2` and
//! `http/1.1` in ALPN, and bound the time of the TLS handshake. The example `chat` does this with
//! tokio-rustls (`examples/chat/tls.rs`). [`Upgraded::downcast`](crate::Upgraded::downcast) then returns the
//! TLS stream.
//!
//! The example `echo` is a server as above with a WebSocket, and the example `graceful` has the whole
//! sequence of a shutdown: the health check, the listener's queue, and a spread drain.
