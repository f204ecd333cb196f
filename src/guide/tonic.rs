//! tonic: gRPC and upgrades on one port.
//!
//! `tonic::service::Routes` is an axum `Router` inside. Take it out, add routes and the layers, and serve it
//! with `axum::serve`. gRPC requests are HTTP/2 with prior knowledge. They offer no protocol, so the layer
//! forwards them unchanged.
//!
//! ```sh
//! cargo add tower-upgrade --features axum
//! cargo add axum --features http2
//! cargo add tokio --features full
//! cargo add tonic
//! ```
//!
#![cfg_attr(feature = "axum", doc = "```")]
#![cfg_attr(not(feature = "axum"), doc = "```ignore")]
//! use axum::{Router, body::Bytes, http::Request, routing::any};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tonic::service::Routes;
//! use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
//! # use std::{convert::Infallible, task::{Context, Poll}};
//! # use http_body_util::{BodyExt, Full};
//! # use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! #
//! # // In place of a service that tonic-prost-build generates: answers each call with an empty message.
//! # #[derive(Clone)]
//! # struct Greeter;
//! # impl tonic::server::NamedService for Greeter {
//! #     const NAME: &'static str = "test.Greeter";
//! # }
//! # impl tower::Service<Request<tonic::body::Body>> for Greeter {
//! #     type Response = http::Response<tonic::body::Body>;
//! #     type Error = Infallible;
//! #     type Future = std::future::Ready<Result<Self::Response, Infallible>>;
//! #     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
//! #         Poll::Ready(Ok(()))
//! #     }
//! #     fn call(&mut self, _: Request<tonic::body::Body>) -> Self::Future {
//! #         let mut trailers = http::HeaderMap::new();
//! #         trailers.insert("grpc-status", "0".parse().unwrap());
//! #         let message = Full::new(Bytes::from_static(&[0; 5]));
//! #         let body = message.with_trailers(std::future::ready(Some(Ok(trailers))));
//! #         let response = http::Response::builder().header("content-type", "application/grpc");
//! #         std::future::ready(Ok(response.body(tonic::body::Body::new(body)).unwrap()))
//! #     }
//! # }
//!
//! async fn feed(request: axum::extract::Request) -> Switch {
//!     let path = request.uri().path().to_owned();
//!     Switch::to(async move |mut io: Upgraded| io.write_all(path.as_bytes()).await)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In your app: `Routes::new(GreeterServer::new(greeter))`.
//! let routes = Routes::new(Greeter);
//! let app: Router = routes
//!     .into_axum_router()
//!     .route("/feed", any(feed))
//!     .layer(UpgradeLayer::new().on_inner("feed/1").for_axum())
//!     .layer(UpgradeLayer::outermost());
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! tokio::spawn(async { axum::serve(listener, app).await });
//!
//! // A client upgrades.
//! let mut client = tokio::net::TcpStream::connect(address).await?;
//! let offer = "GET /feed HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: feed/1\r\n\r\n";
//! client.write_all(offer.as_bytes()).await?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer).await?;
//! assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
//! assert!(answer.ends_with("\r\n\r\n/feed"));
//!
//! // Another makes a gRPC call, over HTTP/2 with prior knowledge.
//! # let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
//! let call = Request::post(format!("http://{address}/test.Greeter/Hello"))
//!     .header("content-type", "application/grpc")
//!     .header("te", "trailers")
//!     .body(Full::<Bytes>::from(vec![0; 5]))?;
//! let response = client.request(call).await?;
//! assert_eq!(response.status(), 200);
//! let response = response.into_body().collect().await?;
//! assert_eq!(response.trailers().unwrap()["grpc-status"], "0");
//! # Ok(())
//! # }
//! ```
//!
//! The test calls a service that is written by hand for tonic's `Routes`. Code that tonic generates, tonic's
//! own client, gRPC streams and gRPC-Web are not tested here.
//!
//! # tonic's own server
//!
//! Do not put the layer into `tonic::transport::Server`. It serves HTTP/2 only by default, and with
//! `accept_http1(true)` it serves HTTP/1.1 without handing over connections: a client would get a 101 and
//! then EOF. It does not announce extended CONNECT either. (This is from the source of tonic 0.14, and not
//! tested.) Serve `Routes` with `axum::serve`, or as in [hyper](crate::guide::hyper).
//!
//! # h2c
//!
//! gRPC clients do not ask for HTTP/2 with `Upgrade: h2c`. They begin with HTTP/2, which `axum::serve` and
//! hyper-util's `auto` builder accept on the same port. The feature `h2c` is not needed for them.
